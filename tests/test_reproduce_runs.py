"""Whole tables by the command line, on shipped data and tiny settings: cached, resumed, and the same in every file."""

import html
import json
import re
import signal

import h5py
import numpy as np
import pytest
import scipy.io
from untrained_runs import untrained

from jhash import experiment
from jhash.reproduce import command, data, runs
from jhash.types import Diverged, InputError, Stopped

TINY = {
    ("dkph", "jhmdb"): {
        "hyper.encoder": "convolution",  # which compiles sooner
        "hyper.width": 8,
        "hyper.feedforward": 8,
        "hyper.teacher_bits": 8,
        "hyper.teacher_steps": 1,
        "hyper.student_steps": 2,
        "baselines": ("lsh",),
    },
    ("she", "wikipedia"): {"hyper.epochs": 1, "hyper.hidden": 8, "data.largest": 256},
}


@pytest.fixture
def quickly(monkeypatch):
    """For what is about the order of runs, not about what they do."""
    monkeypatch.setattr(experiment, "run", untrained)


def hasten(patch):
    """Quick is much quicker than it is for a user, and compiled programs are neither written to disk nor dropped."""
    patch.setattr(data, "QUICK", TINY)
    patch.setattr(runs, "compile_cache", lambda cache: None)
    patch.setattr(runs.jax, "clear_caches", lambda: None)
    patch.setattr(runs.gc, "collect", lambda: 0)  # seconds, in a process that holds other tests' programs
    patch.setattr(runs, "WAIT", 0.01)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    hasten(monkeypatch)


def reproduce(*words, folder):
    return command.main([*words, "--budget", "quick", "--workdir", str(folder)])


OTHERS = ("table-6",)  # made in the same folder, from the same cache
STREAMS = ("--paper", "dkph", "--table", "4", "--dataset", "jhmdb")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """DKPH's Table 4 on JHMDB, two seeds: one config, two numbers of it."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        hasten(patch)
        assert reproduce(*STREAMS, "--seeds", "2", folder=folder) == 0
    return folder


def table(folder):
    found = next(path for path in folder.glob("*/table.json") if not path.parent.name[5:].startswith(OTHERS))
    return json.loads(found.read_text()), found.parent


def test_ours_are_the_means_of_the_runs_results(made):
    found, _ = table(made)
    (line,) = [
        row
        for row, label in zip(found["parts"][0]["results"], found["parts"][0]["rows"], strict=True)
        if "b" in label[:6]
    ]
    assert len(line[0]["runs"]) == 2
    values = []
    for name in line[0]["runs"]:
        rows = json.loads((made / "runs" / name / "results.json").read_text())
        values += [
            r["value"] for r in rows if (r["method"], r["preset"], r["metric"], r["k"]) == ("dkph", "video", "map", 5)
        ]
    assert line[0]["ours"] == pytest.approx(np.mean(values)) and line[0]["deviation"] == pytest.approx(
        np.std(values, ddof=1)
    )
    assert line[0]["printed"] == 0.297 and line[0]["difference"] is None


def test_numbers_agree_in_page_json_latex_markdown_and_terminal(made, capsys):
    found, folder = table(made)
    texts = [(folder / name).read_text() for name in ("report.html", "table.tex", "table.md")]
    assert reproduce(*STREAMS, "--seeds", "2", folder=made) == 0
    texts.append(capsys.readouterr().out)
    for row in found["parts"][0]["results"]:
        for cell in row:
            half = f"{(cell['high'] - cell['low']) / 2:.3f}"
            for text in texts:
                assert re.search(rf"{cell['ours']:.3f} (±|\$\\pm\$){half} s{cell['deviation']:.3f}", text)
                assert cell["printed"] is None or f"{cell['printed']:.3f}" in text


def test_the_protocol_its_ties_and_what_is_searched_stand_beside_each_table(made):
    found, folder = table(made)
    for name in ("report.html", "table.tex", "table.md"):
        text = html.unescape((folder / name).read_text())
        assert "mAP@5, mAP@20, mAP@60 by protocol 'video', ties 'stable'" in text
        assert re.search(r"test \(176 items\) (→|\$\\rightarrow\$) train \(433\)", text)
    assert "'stable'" in found["parts"][0]["how"][0]


def test_a_stand_in_is_called_one(made):
    _, folder = table(made)
    for name in ("report.html", "table.tex", "table.json"):
        assert "fcvid" in (folder / name).read_text() and "jhmdb" in (folder / name).read_text()


def test_what_is_in_the_cache_is_not_run_again_and_gives_the_same_files(made, monkeypatch):
    _, folder = table(made)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def never(*_):
        raise AssertionError("ran again")

    monkeypatch.setattr(experiment, "run", never)
    assert reproduce(*STREAMS, "--seeds", "2", folder=made) == 0
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_another_table_takes_what_it_needs_from_the_cache(made, capsys):
    assert reproduce("--paper", "dkph", "--table", "6", "--dataset", "jhmdb", "--seeds", "2", folder=made) == 0
    captured = capsys.readouterr()
    assert "2 runs, 2 of them in the cache" in captured.err and "remove l" in captured.out


def test_a_stopped_table_goes_on_with_the_run_that_it_was_in(tmp_path, monkeypatch):
    ran = []

    def stops_in_the_second(config, folder):
        ran.append(config.seed)
        if len(ran) == 2:
            raise Stopped("stopped")
        untrained(config, folder)

    monkeypatch.setattr(experiment, "run", stops_in_the_second)
    words = ("--paper", "mcmsh", "--figure", "5", "--dataset", "jhmdb", "--seeds", "2")
    assert reproduce(*words, folder=tmp_path) == 130
    assert not list(tmp_path.glob("*/table.json"))
    assert reproduce(*words, folder=tmp_path) == 0
    assert ran == [0, 1, 1, 0, 1, 0, 1] and list(tmp_path.glob("*/table.json"))


def test_a_run_that_diverges_leaves_its_cells_empty_and_the_others_whole(tmp_path, monkeypatch, capsys):
    def diverges(config, folder):
        if config.hyper.bits == 32:
            raise Diverged("the loss was no number")
        untrained(config, folder)

    monkeypatch.setattr(experiment, "run", diverges)
    assert reproduce("--paper", "mcmsh", "--figure", "5", "--dataset", "jhmdb", folder=tmp_path) == 3
    assert "the loss was no number" in capsys.readouterr().out
    found, _ = table(tmp_path)
    empty = {cell["why"]: cell["ours"] for cell in found["parts"][0]["results"][0]}
    assert empty.pop("the loss was no number") is None and empty.pop("") is not None and not empty


def test_one_run_of_many_is_carried_out_alone(tmp_path, quickly, capsys):
    words = ("--paper", "mcmsh", "--figure", "5", "--dataset", "jhmdb")
    assert reproduce(*words, "--count", folder=tmp_path) == 0
    assert capsys.readouterr().out.strip() == "3"
    assert reproduce(*words, "--only", "2", folder=tmp_path) == 0
    (done,) = (tmp_path / "runs").glob("*/done.json")
    assert "64 bits" in done.read_text() and not list(tmp_path.glob("*/table.json"))
    assert reproduce(*words, "--only", "3", folder=tmp_path) == 2


def test_percent_is_the_unit_of_a_paper_that_prints_percent(tmp_path, quickly):
    assert reproduce("--paper", "she", "--table", "5", "--dataset", "wikipedia", folder=tmp_path) == 0
    found, _ = table(tmp_path)
    (whole,) = dict(zip(found["parts"][0]["rows"], found["parts"][0]["results"], strict=True))["SHE"]
    (run,) = whole["runs"]
    rows = json.loads((tmp_path / "runs" / run / "results.json").read_text())
    values = [100 * row["value"] for row in rows if row["preset"] == "she" and row["method"] == "she"]
    assert len(values) == 2 and whole["ours"] == pytest.approx(np.mean(values))


def test_each_direction_has_its_scores_by_length_with_a_band_over_seeds(tmp_path, quickly):
    words = ("--paper", "she", "--table", "2", "--dataset", "wikipedia")
    for seeds in (1, 3):
        folder = tmp_path / str(seeds)
        assert reproduce(*words, "--seeds", str(seeds), folder=folder) == 0
        found, _ = table(folder)
        results = dict(zip(found["parts"][0]["rows"], found["parts"][0]["results"], strict=True))["SHE"]
        for place, (picture, way) in enumerate(
            zip(found["pictures"][0], ("image → text", "text → image"), strict=True)
        ):
            (line,) = picture["lines"]
            ours = results[5 * place : 5 * place + 4]  # the fifth is their mean
            assert way in picture["title"] and line["x"] == [16, 32, 64, 128]
            assert line["y"] == [one["ours"] for one in ours]
            if seeds == 1:
                assert line["band"] is None and "caption" not in picture
            else:
                assert line["band"][1] == pytest.approx([one["ours"] + one["deviation"] for one in ours])
                assert "between 3 seeds" in picture["caption"]


@pytest.mark.slow
def test_curves_of_media_have_a_picture_each_way(tmp_path):
    assert reproduce("--paper", "she", "--figure", "2", "--dataset", "wikipedia", folder=tmp_path) == 0
    found, _ = table(tmp_path)
    assert [len(picture["lines"]) for picture in found["pictures"][0]] == [1, 1]


def test_baselines_of_the_method_stand_in_their_own_rows(tmp_path, quickly):
    assert reproduce("--paper", "mcmsh", "--figure", "4", "--dataset", "jhmdb", folder=tmp_path) == 0
    found, _ = table(tmp_path)
    assert found["parts"][0]["rows"] == ["MCMSH", "ITQ", "LSH"]
    for row, name in zip(found["parts"][0]["results"], ("mcmsh", "itq", "lsh"), strict=True):
        drawn = np.random.default_rng([0, 16, *name.encode()])
        assert row[0]["ours"] == pytest.approx(drawn.random(20).mean())
    assert [[line["name"] for line in picture["lines"]] for picture in found["pictures"][0]] == [
        ["MCMSH", "ITQ", "LSH"]
    ] * 3


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "--paper: expected one of"),
        (("--paper", "she"), "--table, --figure: expected one of them"),
        (("--paper", "she", "--table", "9"), "--table: expected one of Table 2"),
        (("--paper", "she", "--table", "5", "--dataset", "mnist"), "--dataset: expected one of wikipedia_deep"),
        (("--paper", "she", "--table", "5", "--seeds", "0"), "--seeds: expected at least 1, found 0"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(words, sentence, tmp_path, capsys):
    assert command.main([*words, "--workdir", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert sentence in captured.err and captured.err.count("\n") == 1 and not list(tmp_path.iterdir())


def test_the_list_says_what_is_here_and_what_is_missing(capsys):
    assert command.main(["--list", "--data", "nowhere"]) == 0
    text = capsys.readouterr().out
    for words in ("Figure 8", "Table IV", "needs no data", "nmnist or jhmdb can stand in", "fcv_train_feats.h5"):
        assert words in text


def write_published(folder, name, parts, classes=3):
    (folder / name).mkdir(parents=True)
    random = np.random.default_rng(len(name))
    centres = random.normal(size=(classes, 1, 6))
    for file, (items, labels) in parts.items():
        of = np.arange(items) % classes
        with h5py.File(folder / name / file, "w") as h5:
            h5["feats"] = (centres[of] + 0.5 * random.normal(size=(items, 4, 6))).astype(np.float32)
        if labels:
            scipy.io.savemat(folder / name / labels, {"labels": np.eye(classes, dtype=np.uint8)[of]})


def test_published_sets_are_compared_by_value_and_taken_to_another_set(tmp_path, monkeypatch):
    """FCVID's and YFCC's own formats, a few clips of each."""
    small = {f"hyper.{n}": 8 for n in ("width", "feedforward", "teacher_bits", "batch")}
    small |= {"hyper.centres": 8, "hyper.nearest": 3, "hyper.teacher_steps": 1, "hyper.student_steps": 2}
    monkeypatch.setattr(data, "QUICK", {("dkph", n): small | {"baselines": ()} for n in ("fcvid", "yfcc")})
    folder = tmp_path / "data"
    write_published(folder, "fcvid", {"fcv_train_feats.h5": (24, ""), "fcv_test_feats.h5": (9, "fcv_test_labels.mat")})
    shards = {f"yfcc_train{i}.h5": (8, "") for i in range(9)}
    shards |= {f"yfcc_test{i}.h5": (600, f"yfcc_test{i}_label.mat") for i in range(2)}
    write_published(folder, "yfcc", shards)
    trained = experiment.run

    def quicker(config, folder):
        """Of YFCC's own run the results and the data are asked for, not the network."""
        if config.data.name == "fcvid":
            return trained(config, folder)
        untrained(config, folder)

    monkeypatch.setattr(experiment, "run", quicker)
    assert reproduce("--paper", "dkph", "--table", "3", "--data", str(folder), folder=tmp_path / "w") == 0
    found, _ = table(tmp_path / "w")
    value, change = found["parts"][0]["results"][-1]
    assert 0 < value["ours"] < 1 and value["difference"] == pytest.approx(value["ours"] - 0.199)
    assert len(value["runs"]) == 1 and change["printed"] == -2.8
    own = next((tmp_path / "w" / "runs").glob("dkph-yfcc-*/results.json"))
    there = [row["value"] for row in json.loads(own.read_text()) if (row["preset"], row["k"]) == ("video", 20)]
    assert change["ours"] == pytest.approx(100 * (value["ours"] / there[0] - 1))


def test_a_run_that_another_process_has_in_hand_is_waited_for(tmp_path, monkeypatch):
    config = data.config_of("she", data.find("wikipedia"), tmp_path, "quick")
    run, tries = runs.run_of(config, "", "a run"), []

    def busy_twice(run, cache):
        tries.append(run.key)
        if len(tries) < 3:
            raise runs.Busy("in use")

    monkeypatch.setattr(runs, "carry_out", busy_twice)
    assert runs.carry_out_all([run], tmp_path / "runs", lambda *_: None) == {} and len(tries) == 3


def test_a_run_is_in_hand_until_it_is_said_to_be_done_and_then_left_alone(tmp_path, monkeypatch):
    """Else another process begins to score what is scored, and its half-written results are read."""
    config = data.config_of("she", data.find("wikipedia"), tmp_path, "quick")
    run, cache, ran = runs.run_of(config, "", "a run"), tmp_path / "runs", []

    def begun(config, folder):
        ran.append(folder)
        folder.mkdir()

    def between():
        with pytest.raises(runs.Busy, match="another process is at work on this run"):
            runs.carry_out(run, cache)
        return "cpu"

    monkeypatch.setattr(runs.experiment, "run", begun)
    monkeypatch.setattr(runs, "machine", between)  # asked for between the experiment's end and what says so
    runs.carry_out(run, cache)
    looks = iter([False, True])
    monkeypatch.setattr(runs.Run, "done", lambda *_: next(looks))  # done by another one since it was looked at
    runs.carry_out(run, cache)
    assert ran == [run.folder(cache)] and (ran[0] / runs.DONE).is_file()


def test_a_run_that_cannot_be_done_says_why_and_is_tried_again(tmp_path, monkeypatch):
    config = data.config_of("she", data.find("wikipedia"), tmp_path, "quick")
    config.hyper.sigma = 7.0
    run = runs.run_of(config, "", "a run")
    with pytest.raises(InputError, match="config.hyper.sigma"):
        runs.carry_out(run, tmp_path / "runs")
    assert "config.hyper.sigma" in (tmp_path / "logs" / f"{run.name}.failed.json").read_text() and not run.done(
        tmp_path / "runs"
    )
    with pytest.raises(InputError, match="config.hyper.sigma"):
        runs.carry_out(run, tmp_path / "runs")


def test_a_stop_that_comes_too_late_for_a_run_begins_no_other(tmp_path, monkeypatch, capsys):
    """Ctrl-C while the last codes are scored: that run's training has no place to stop any more."""
    ran = []

    def interrupted(config, folder):
        ran.append(config.hyper.bits)
        with experiment.Interrupt():
            signal.raise_signal(signal.SIGINT)
            untrained(config, folder)

    monkeypatch.setattr(experiment, "run", interrupted)
    assert reproduce("--paper", "mcmsh", "--figure", "5", "--dataset", "jhmdb", folder=tmp_path) == 130
    assert ran == [16] and "stopped" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def same_signals():
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)
