"""Media that arrive on different days, as a user lives it: a run, its library, the next run, and what can go wrong."""

import dataclasses
import functools
import hashlib
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from jhash import evaluate, experiment, library, report, train
from jhash.config import experiment as describe
from jhash.data import media
from jhash.data.source import ArrayTable
from jhash.types import InputError

TINY = {"bits": 8, "hidden": 16, "epochs": 1, "batch": 16, "library": "free", "discrimination": 1.0}
SHIPPED = functools.cache(functools.partial(media.open_medium, {"name": "digits"}))  # read once


def cut(table, items):
    return ArrayTable(table.name, {name: array[:items] for name, array in table.arrays.items()})


def open_medium(config, medium):
    """The shipped digits with few test items."""
    return dataclasses.replace(SHIPPED(medium), test=cut(SHIPPED(medium).test, 40))


def asked(*modalities, method="she", hyper=None, data=None, **fields):
    config = describe(method, "digits", normalise="standard", largest=40)
    config.hyper.update({name: value for name, value in TINY.items() if name in config.hyper} | (hyper or {}))
    config.data.update(data or {})
    config.update({"modalities": modalities, **fields})
    config.run.tensorboard, config.run.devices = False, 1
    return config


def hashes(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def codes(work, part):
    return np.load(work / "seed-0" / "she" / f"codes_{part}.npy")


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.fixture(scope="module", autouse=True)
def few_items():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(media, "open_medium", open_medium)
        yield


@pytest.fixture(scope="module")
def days(tmp_path_factory, few_items):
    """a: three media in one run. b: two of them; c: the third from b's library; d: a fourth from c's."""
    base = tmp_path_factory.mktemp("days")
    a, b, c, d = (base / name for name in "abcd")
    rows = {a: experiment.run(asked("image", "stroke", "audio"), a), b: experiment.run(asked("image", "stroke"), b)}
    before = hashes(b)
    rows[c] = experiment.run(asked("audio", library=str(b)), c)
    after = hashes(b)
    rows[d] = experiment.run(asked("sign", library=str(c)), d)
    return SimpleNamespace(a=a, b=b, c=c, d=d, rows=rows, before=before, after=after)


def pairs(rows):
    return {(row["query"].split()[0], row["database"].split()[0]) for row in rows}


# --- what a later day gives ---------------------------------------------------------------------------------------


def test_a_medium_of_a_later_day_has_the_codes_and_parameters_of_one_run(days):
    for part in ("audio_train", "audio_test"):
        np.testing.assert_array_equal(codes(days.c, part), codes(days.a, part))
    one, other = (train.read_past(work / "seed-0" / "she" / "02_audio" / "past") for work in (days.a, days.c))
    assert_same_bits(one, other)


def test_its_results_are_the_tasks_with_all_media_before_and_those_of_one_run(days):
    rows = days.rows[days.c]
    assert pairs(rows) == {("image", "audio"), ("audio", "image"), ("stroke", "audio"), ("audio", "stroke")}
    assert rows == [row for row in days.rows[days.a] if "audio" in row["query"] + row["database"]]
    assert report.read_results(days.c / "results.json") == rows


def test_nothing_of_the_earlier_run_is_touched(days):
    assert days.before == days.after and len(days.before) > 10


def test_the_library_lies_beside_its_origin_and_its_hash(days):
    folder = days.c / "seed-0" / "she"
    content = (folder / library.EARLIER).read_bytes()
    assert content == (days.b / "seed-0" / "she" / library.FILE).read_bytes()
    assert hashlib.sha256(content).hexdigest() in (folder / "earlier.json").read_text()


def test_what_is_handed_on_grows_by_the_medium_alone(days):
    before, after = (library.read(work / "seed-0" / "she" / library.FILE) for work in (days.b, days.c))
    assert before.media == ("image", "stroke") and after.media == ("image", "stroke", "audio")
    assert before.classes == after.classes == tuple("0123456789")
    np.testing.assert_array_equal(before.kept["library"], after.kept["library"])
    assert after.parts.keys() == before.parts.keys() | {"audio/train", "audio/test"}
    for part, arrays in before.parts.items():
        assert_same_bits(arrays, after.parts[part])
    np.testing.assert_array_equal(after.parts["audio/test"][0], codes(days.c, "audio_test"))
    np.testing.assert_array_equal(after.parts["audio/test"][1], open_medium({}, "audio").test.arrays["labels"])


def test_the_chain_goes_on(days):
    others = ("image", "stroke", "audio")
    assert pairs(days.rows[days.d]) == {(o, "sign") for o in others} | {("sign", o) for o in others}
    assert library.read(days.d / "seed-0" / "she" / library.FILE).media == (*others, "sign")
    assert (days.d / "seed-0" / "she" / "03_sign" / "past").is_dir()


def test_a_run_goes_on_and_runs_again_when_the_earlier_one_is_gone(days, tmp_path):
    work, config = tmp_path / "c", asked("audio", library=str(days.b))
    shutil.copytree(days.c, work)
    shutil.rmtree(work / "seed-0" / "she" / "02_audio")  # as if it had been killed in its first seconds
    away = days.b.rename(days.b.with_name("away"))
    try:
        again, read = experiment.run(config, work), experiment.run(config, work)
    finally:
        away.rename(days.b)
    assert again == read == days.rows[days.c]
    np.testing.assert_array_equal(codes(work, "audio_train"), codes(days.c, "audio_train"))
    one, other = (folder / "seed-0" / "she" / library.FILE for folder in (work, days.c))
    assert one.read_bytes() == other.read_bytes()


def test_a_first_day_with_one_medium(days, tmp_path, capsys):
    assert experiment.run(asked("image"), tmp_path / "first") == []
    assert "no second medium yet" in capsys.readouterr().err
    rows = experiment.run(asked("stroke", library=str(tmp_path / "first")), tmp_path / "second")
    assert rows == days.rows[days.b]


def test_each_seed_goes_on_from_its_own_library(days, tmp_path):
    experiment.run(asked("image", "stroke", seeds=2), tmp_path / "b")
    rows = experiment.run(asked("audio", seeds=2, library=str(tmp_path / "b")), tmp_path / "c")
    assert [row for row in rows if row["seed"] == 0] == days.rows[days.c] and len(rows) == 2 * len(days.rows[days.c])
    for seed in ("seed-0", "seed-1"):
        before, after = (library.read(tmp_path / work / seed / "she" / library.FILE) for work in "bc")
        np.testing.assert_array_equal(before.kept["library"], after.kept["library"])


# --- classes ------------------------------------------------------------------------------------------------------


@pytest.fixture
def renamed(monkeypatch):
    """The signs call the last class otherwise."""

    def named(config, medium):
        return dataclasses.replace(open_medium(config, medium), classes=(*"012345678", "nine"))

    monkeypatch.setattr(media, "open_medium", named)


def test_a_class_that_the_library_does_not_know_is_appended_where_that_is_asked_for(renamed, days, tmp_path):
    config = asked("sign", library=str(days.c), data={"new_classes": True})
    assert len(experiment.run(config, tmp_path / "w")) == len(days.rows[days.d])
    before, after = (library.read(work / "seed-0" / "she" / library.FILE) for work in (days.c, tmp_path / "w"))
    assert after.classes == (*"0123456789", "nine") and after.kept["filled"].all()
    np.testing.assert_array_equal(after.kept["library"][:10], before.kept["library"])
    np.testing.assert_array_equal(after.kept["library"][10], after.kept["own"][10])
    assert after.parts["image/train"][1].shape[1] == 11 and not after.parts["image/train"][1][:, 10].any()


# --- one sentence, and nothing written ----------------------------------------------------------------------------


def refused(config, work, words):
    with pytest.raises(InputError, match=words) as caught:
        experiment.run(config, work)
    assert "\n" not in str(caught.value)
    assert not work.exists()


FROM_B = [
    (("audio",), {"hyper": {"bits": 16}}, "expected codes of she with 16 bits, found she with 8"),
    (("audio",), {"hyper": {"prototypes": 2}}, r"expected 2 prototypes a class \(config.hyper.prototypes\), found 3"),
    (("audio",), {"method": "joint"}, "expected the workdir of a finished run of joint with seed 0, found no"),
    (("audio",), {"seed": 1}, "expected the workdir of a finished run of she with seed 1, found no"),
    (("audio",), {"seeds": 2}, "expected the workdir of a finished run of she with seed 1, found no"),
    (("image",), {}, "config.modalities: the library holds 'image' already"),
    (("audios",), {}, "expected a medium among image, .*found 'audios' .did you mean 'audio'"),
    (("audio", "audio"), {}, r"each once, found \('audio', 'audio'\)"),
    (("audio",), {"select": "validation"}, "config.select: expected 'last' for media one by one"),
    (("audio",), {"baselines": ("lsh",)}, "config.baselines: expected codes that can be compared across media"),
    (("audio",), {"stages": "scann"}, "config.stages: expected 'fold'"),
]


@pytest.mark.parametrize(("modalities", "fields", "words"), FROM_B)
def test_what_does_not_fit_a_library_is_refused(modalities, fields, words, days, tmp_path):
    refused(asked(*modalities, library=str(days.b), **fields), tmp_path / "w", words)


def test_a_library_that_is_not_there(tmp_path):
    refused(asked("audio", library="nowhere"), tmp_path / "w", "config.library 'nowhere': expected the workdir of a")


def test_a_library_that_is_damaged(days, tmp_path):
    shutil.copytree(days.b, tmp_path / "b")
    file = tmp_path / "b" / "seed-0" / "she" / library.FILE
    file.write_bytes(file.read_bytes()[:-50])
    refused(asked("audio", library=str(tmp_path / "b")), tmp_path / "w", "expected a whole library, found a torn")


def test_a_class_that_the_library_does_not_know(renamed, days, tmp_path):
    refused(asked("sign", library=str(days.c)), tmp_path / "w", "sign: expected classes that the library knows")


def test_an_empty_medium(monkeypatch, tmp_path):
    def empty(config, medium):
        return dataclasses.replace(open_medium(config, medium), train=cut(open_medium(config, medium).train, 0))

    monkeypatch.setattr(media, "open_medium", empty)
    refused(asked("image"), tmp_path / "w", r"digits image \(train\): expected items with a class, found none")


def test_devices_that_do_not_divide_a_batch(tmp_path):
    config = asked("image")
    config.run.devices = 3
    refused(config, tmp_path / "w", "config.run.devices: expected a number that divides the batch of 16, found 3")


def test_methods_of_video_and_of_media_are_told_apart(tmp_path):
    refused(asked("image", method="lsh"), tmp_path / "w", "config.method: expected a method of features.*found 'lsh'")
    video = describe("she", "nmnist")
    video.baselines = ()
    refused(video, tmp_path / "w", "config.method: expected a method of frames.*found 'she'")


# --- a trained model ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("run", "medium"), [("a", "image"), ("a", "audio"), ("c", "audio")])
def test_a_restored_model_encodes_new_items_as_the_run_did(run, medium, days):
    model = evaluate.load_model(getattr(days, run))
    found = model.encode(open_medium({}, medium).test.arrays["features"], medium)
    np.testing.assert_array_equal(found, codes(getattr(days, run), f"{medium}_test"))


def test_a_restored_model_knows_the_media_it_was_trained_on(days):
    model = evaluate.load_model(days.c)
    items = open_medium({}, "audio").test.arrays["features"]
    for medium in ("image", "video"):
        with pytest.raises(InputError, match=f"modality: expected one of audio, found '{medium}'"):
            model.encode(items, medium)
    with pytest.raises(InputError, match=r"items: expected \[items, 1280\], found \[.*, 16\]"):
        model.encode(items[:, :16], "audio")


# --- the joint baseline -------------------------------------------------------------------------------------------


def test_the_joint_baseline_sees_all_media_at_once(days, tmp_path):
    config = asked("image", "stroke", method="joint", hyper={"media": ("image", "stroke")})
    rows = experiment.run(config, tmp_path / "w")
    tasks = [{(row["query"], row["database"], row["preset"]) for row in some} for some in (rows, days.rows[days.b])]
    assert tasks[0] == tasks[1]
    model = evaluate.load_model(tmp_path / "w")
    found = model.encode(open_medium({}, "stroke").test.arrays["features"], "stroke")
    np.testing.assert_array_equal(found, np.load(tmp_path / "w" / "seed-0" / "joint" / "codes_stroke_test.npy"))
    assert not (tmp_path / "w" / "seed-0" / "joint" / library.FILE).exists()


# --- the command line ---------------------------------------------------------------------------------------------


def launch(*words, **options):
    words = [sys.executable, "-m", "jhash.launch", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, **options)


FLAGS = [
    *(f"--config.hyper.{name}={value}" for name, value in TINY.items()),
    *("--config.data.largest=40", "--config.run.tensorboard=False", "--config.run.devices=1"),
]


def test_a_medium_is_added_from_the_command_line(days, tmp_path):
    words = ("--config", "configs/she_digits.py", "--workdir", tmp_path / "w", "--config.modalities=sign")
    done = launch(*words, f"--config.library={days.c}", *FLAGS)
    assert done.returncode == 0, done.stderr
    assert pairs(report.read_results(tmp_path / "w" / "results.json")) == pairs(days.rows[days.d])
    np.testing.assert_array_equal(codes(tmp_path / "w", "sign_train"), codes(days.d, "sign_train"))


@pytest.mark.slow
def test_kill_9_in_the_second_medium_and_the_same_command_again_ends_in_the_same_codes(tmp_path):
    words = ("--config", "she_digits", "--config.modalities=('stroke','image')", *FLAGS, "--config.hyper.epochs=400")
    words = (*words, "--config.run.save_every=0.2", "--workdir")
    whole = launch(*words, tmp_path / "a")
    assert whole.returncode == 0, whole.stderr
    command = [sys.executable, "-m", "jhash.launch", *words, str(tmp_path / "b")]
    checkpoints, killed = tmp_path / "b" / "seed-0" / "she" / "01_image" / "checkpoints", 0
    for steps in (1, 100, 400):  # at least so far in the second medium
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        while process.poll() is None:
            time.sleep(0.05)
            if max((int(path.name) for path in checkpoints.glob("*") if path.name.isdigit()), default=0) >= steps:
                process.kill()
                killed += 1
                break
        process.wait()
    assert killed > 1
    assert subprocess.run(command, capture_output=True).returncode == 0
    for part in ("stroke_train", "stroke_test", "image_train", "image_test"):
        np.testing.assert_array_equal(codes(tmp_path / "a", part), codes(tmp_path / "b", part))
    assert (tmp_path / "a" / "metrics.jsonl").read_text() == (tmp_path / "b" / "metrics.jsonl").read_text()


def test_media_in_one_program_give_the_codes_of_media_one_by_one(days, tmp_path):
    experiment.run(asked("image", "stroke", stages="scan"), tmp_path / "w")
    for part in ("image_test", "stroke_train", "stroke_test"):
        np.testing.assert_array_equal(codes(tmp_path / "w", part), codes(days.b, part))


def test_a_library_of_other_data_is_refused(days, tmp_path):
    other = dataclasses.replace(library.read(days.b / "seed-0" / "she" / library.FILE), dataset="xmedia")
    folder = tmp_path / "old" / "seed-0" / "she"
    folder.mkdir(parents=True)
    library.write(folder / library.FILE, other)
    with pytest.raises(InputError, match="expected the dataset 'digits', found 'xmedia'"):
        experiment.run(asked("audio", library=str(tmp_path / "old")), tmp_path / "w")
    assert not (tmp_path / "w").exists()
