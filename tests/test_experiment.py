"""A whole experiment on a small table, and everything a user can get wrong: one sentence, exit code 2, nothing torn."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jhash import evaluate, experiment, plan, report
from jhash.config import experiment as describe
from jhash.types import InputError
from jhash.workdir import claimed

SMALL = {
    "mcmsh": {"bits": 8, "width": 16, "centres": 12, "batch": 16, "steps": 3, "gates": ("L",), "reduction": 4},
    "dkph": {
        **{"bits": 8, "width": 16, "feedforward": 16, "centres": 12, "nearest": 3, "batch": 16, "teacher_bits": 8},
        **{"teacher_steps": 2, "student_steps": 3},
    },
    "lsh": {"bits": 8},
}


@pytest.fixture
def clips(tmp_path):
    """A user's own file: 48 clips of 4 frames, 6 wide, in 3 classes; 12 of them are queries."""
    random = np.random.default_rng(0)
    labels = np.arange(48) % 3
    frames = random.normal(size=(3, 1, 6))[labels] + 0.3 * random.normal(size=(48, 4, 6))
    path = tmp_path / "clips.npz"
    np.savez(path, frames=frames.astype(np.float32), labels=labels, fold=np.arange(48) // 12)
    return path


def config(clips, method="lsh", **data):
    data = {"train": str(clips), "split_array": "fold", "query_values": (3,), **data}
    config = describe(method, "files", **data)
    config.hyper.update(SMALL[method])
    config.baselines, config.run.tensorboard = (), False
    return config


def rewrite(clips, **arrays):
    with np.load(clips) as held:
        arrays = {**held, **arrays}
    np.savez(clips, **arrays)


@pytest.mark.parametrize("method", [pytest.param("mcmsh", marks=pytest.mark.slow), "dkph"])
def test_an_experiment_leaves_a_whole_workdir(clips, tmp_path, method, capsys):
    asked = config(clips, method)
    asked.baselines, asked.run.tensorboard = ("itq", "cosine"), True
    asked.hyper.bits = 4
    work = tmp_path / "w"
    rows = experiment.run(asked, work)
    assert report.read_results(work / "results.json") == rows
    assert {row["method"] for row in rows} == {method, "itq", "cosine"}
    points = [json.loads(line) for line in (work / "metrics.jsonl").read_text().splitlines()]
    assert points[-1]["step"] == 3 and np.isfinite(points[-1]["loss"])
    assert (work / "config.json").is_file() and list((work / "tensorboard").rglob("events.*"))
    codes = np.load(work / "seed-0" / method / "codes_query.npy")
    assert codes.shape == (12, 4) and set(np.unique(codes)) <= {-1, 1}
    with np.load(clips) as held:
        again = evaluate.load_model(work).encode(held["frames"][36:])
    np.testing.assert_array_equal(again, codes)
    assert method in capsys.readouterr().out


def test_several_seeds_give_a_row_each(clips, tmp_path):
    asked = config(clips)
    asked.seeds = 2
    rows = experiment.run(asked, tmp_path / "w")
    assert {row["seed"] for row in rows} == {0, 1}


@pytest.mark.slow
def test_a_validation_part_chooses_the_state(clips, tmp_path):
    asked = config(clips, "mcmsh", validation=0.3)
    asked.select, asked.select_every, asked.hyper.batch = "validation", 1, 8
    experiment.run(asked, tmp_path / "w")
    scores = [
        json.loads(line).get("validation") for line in (tmp_path / "w" / "metrics.jsonl").read_text().splitlines()
    ]
    assert len([score for score in scores if score is not None]) == 3


@pytest.mark.slow
def test_without_labels_the_loss_of_the_validation_part_chooses(clips, tmp_path):
    with np.load(clips) as held:
        np.savez(tmp_path / "bare.npz", frames=held["frames"])
        np.savez(tmp_path / "labelled.npz", frames=held["frames"][:20], labels=held["labels"][:20])
    files = {"query": str(tmp_path / "labelled.npz"), "database": str(tmp_path / "labelled.npz")}
    asked = config(clips, "mcmsh")
    asked.data.update({"train": str(tmp_path / "bare.npz"), "split_array": "", "query_values": (), **files})
    asked.data.validation, asked.select, asked.select_every = 0.4, "validation", 2
    asked.hyper.batch, asked.hyper.steps = 8, 2
    experiment.run(asked, tmp_path / "w")
    points = [json.loads(line) for line in (tmp_path / "w" / "metrics.jsonl").read_text().splitlines()]
    assert [point["validation"] < 0 for point in points if "validation" in point] == [True]


@pytest.mark.slow
def test_a_plan_refuses_a_baseline_that_is_none(clips):
    asked = config(clips, "dkph")
    asked.baselines = ("itq", "lhs")
    with pytest.raises(InputError, match="config.baselines: expected one of .*, found 'lhs' .did you mean 'lsh'"):
        plan.lines(asked)


def test_a_plan_names_stages_memory_and_minutes(clips):
    text = "\n".join(plan.lines(config(clips, "dkph")))
    for word in ("teacher: structures", "student: structures", "memory about", "disk about", "min"):
        assert word in text


def test_another_experiment_in_the_workdir_is_refused(clips, tmp_path):
    experiment.run(config(clips), tmp_path / "w")
    other = config(clips)
    other.hyper.bits = 4
    with pytest.raises(InputError, match="another experiment: config.hyper.bits: expected 8, found 4"):
        experiment.run(other, tmp_path / "w")


def test_a_folder_with_other_files_is_refused(clips, tmp_path):
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="expected an empty folder or one with a config.json"):
        experiment.run(config(clips), tmp_path)


def test_a_workdir_that_is_a_file_is_refused(clips, tmp_path):
    (tmp_path / "w").touch()
    with pytest.raises(InputError, match="expected a folder that can be written"):
        experiment.run(config(clips), tmp_path / "w")


def test_the_same_experiment_again_reads_its_results(clips, tmp_path):
    first = experiment.run(config(clips), tmp_path / "w")
    assert experiment.run(config(clips), tmp_path / "w") == first


BAD = {
    "nan": (dict(frames=np.full((48, 4, 6), np.nan, np.float32)), "NaN|nan"),
    "infinite": (dict(frames=np.full((48, 4, 6), np.inf, np.float32)), "inf"),
    "rank": (dict(frames=np.zeros((48, 6), np.float32)), r"N, T, C|frames"),
    "labels of another length": (dict(labels=np.arange(47) % 3), "47"),
    "a pickle": (dict(frames=np.array([{}] * 48, dtype=object)), "pickle|object"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arrays_are_refused_with_a_sentence_and_nothing_is_written(clips, tmp_path, case):
    arrays, words = BAD[case]
    rewrite(clips, **arrays)
    with pytest.raises(InputError, match=words) as caught:
        experiment.run(config(clips), tmp_path / "w")
    assert "\n" not in str(caught.value) and str(clips.name) in str(caught.value)
    assert not (tmp_path / "w" / "results.json").exists()


@pytest.mark.parametrize(("field", "value"), [("batch", 64), ("centres", 64)])
def test_fewer_items_than_a_batch_or_than_centres_are_refused(clips, tmp_path, field, value):
    asked = config(clips, "mcmsh")
    asked.hyper[field] = value
    with pytest.raises(InputError, match=f"{value}"):
        experiment.run(asked, tmp_path / "w")


def test_missing_labels_are_refused_before_training(clips, tmp_path):
    asked = config(clips, "mcmsh", labels_array="kinds")
    with pytest.raises(InputError, match="labels|kinds"):
        experiment.run(asked, tmp_path / "w")
    assert not list(tmp_path.glob("w/seed-0/*"))


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("seed", -1, "config.seed: expected at least 0, found -1"),
        ("seeds", 0, "config.seeds: expected at least 1, found 0"),
        ("select_every", 0, "config.select_every: expected at least 1, found 0"),
        ("run.log_every", 0, "config.run.log_every: expected at least 1, found 0"),
        ("run.devices", -1, "config.run.devices: expected at least 0, found -1"),
        ("presets", (), "config.presets: expected at least one protocol, found none"),
    ],
)
def test_a_field_of_the_experiment_that_says_nothing_is_refused(clips, tmp_path, field, value, sentence):
    asked = config(clips)
    asked.update_from_flattened_dict({field: value})
    with pytest.raises(InputError, match=sentence):
        experiment.run(asked, tmp_path / "w")
    assert not (tmp_path / "w").exists()


def test_a_workdir_that_is_a_link_stays_one_where_an_experiment_is_refused(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "w").symlink_to(tmp_path / "disk")
    with pytest.raises(InputError, match="refused"), claimed(tmp_path / "w", {"run": {"resident_gb": 1.0}}):
        raise InputError("refused")
    assert (tmp_path / "w").is_symlink() and list((tmp_path / "disk").iterdir()) == []


def test_validation_without_a_share_is_refused(clips, tmp_path):
    asked = config(clips, "mcmsh")
    asked.select = "validation"
    with pytest.raises(InputError, match="config.data.validation: expected a share above 0"):
        experiment.run(asked, tmp_path / "w")


def launch(*words, cwd=None):
    return subprocess.run([sys.executable, "-m", "jhash.launch", *words], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "--config: expected an experiment"),
        (("--config", "nowhere.py"), "--config: expected a file, or one of"),
        (("--config", "mcmsh_nmnist", "--config.hyper.centers=3"), ": 'centers' Did you mean centres"),
        (("--config", "mcmsh_nmnist", "--config.hyper.gpus=3"), "--config.hyper.gpus: expected a field of the config"),
        (("--config", "mcmsh_nmnist", "--config.hyper.bits=many"), "many"),
        (("--config", "mcmsh_nmnist", "--wrkdir=x"), "workdir"),
        (("--config", "mcmsh_fcvid", "--config.data.dir=nowhere"), "fcv_train_feats.h5"),
    ],
)
def test_a_wrong_command_line_ends_in_one_sentence_and_exit_code_2(words, sentence, tmp_path):
    done = launch(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("jhash: error: ") and done.stderr.count("\n") == 1
    assert sentence in done.stderr
    assert not (tmp_path / "runs").exists()


def test_help_names_the_flags():
    done = launch("--help")
    assert done.returncode == 0 and "--workdir" in done.stdout and "--plan" in done.stdout


@pytest.mark.slow
def test_kill_9_at_any_moment_and_the_same_command_again_ends_in_the_same_codes(clips, tmp_path):
    file = Path(tmp_path / "tiny.py")
    file.write_text(
        "from jhash.config import experiment\n\ndef get_config():\n"
        f"    config = experiment('mcmsh', 'files', train={str(clips)!r}, split_array='fold', query_values=(3,))\n"
        f"    config.hyper.update({SMALL['mcmsh'] | {'steps': 3000}!r})\n"
        "    config.baselines, config.run.save_every, config.run.tensorboard = (), 0.2, False\n    return config\n"
    )
    whole = launch("--config", str(file), "--workdir", str(tmp_path / "a"))
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", "jhash.launch", "--config", str(file), "--workdir", str(tmp_path / "b")]
    for seconds in (1, 2, 3, 5, 8, 10, 12, 14):
        killed = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        try:
            killed.wait(seconds)
        except subprocess.TimeoutExpired:
            killed.kill()
            killed.wait()
    assert subprocess.run(command).returncode == 0
    for part in ("query", "database"):
        one, other = (np.load(tmp_path / w / "seed-0" / "mcmsh" / f"codes_{part}.npy") for w in "ab")
        np.testing.assert_array_equal(one, other)
    a, b = ((tmp_path / w / "metrics.jsonl").read_text() for w in "ab")
    assert a == b
