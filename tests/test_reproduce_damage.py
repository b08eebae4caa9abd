"""Damaged files in the cache of runs: what they are of is made again, and the rest stays."""

import functools
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from untrained_runs import untrained

from jhash import experiment, intervals
from jhash.reproduce import again, command, damage, runs
from jhash.types import InputError
from jhash.workdir import claimed, write_json, written

WORDS = ("--paper", "mcmsh", "--figure", "5", "--dataset", "jhmdb", "--budget", "quick")


@pytest.fixture(autouse=True)
def quickly(monkeypatch):
    monkeypatch.setattr(intervals, "bootstrap", functools.partial(intervals.bootstrap, resamples=40))
    monkeypatch.setattr(runs, "compile_cache", lambda cache: None)
    monkeypatch.setattr(runs.jax, "clear_caches", lambda: None)
    monkeypatch.setattr(runs.gc, "collect", lambda: 0)  # seconds, in a process that holds other tests' programs
    monkeypatch.setattr(runs.signal, "signal", lambda *_: None)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Three finished runs, of 16, 32 and 64 bits."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "run", untrained)
        for i in "012":
            assert command.main([*WORDS, "--only", i, "--workdir", str(folder)]) == 0
    return folder


@pytest.fixture
def cache(made, tmp_path, monkeypatch):
    """A copy of them, and the lengths that are run from now on."""
    ran = []

    def noted(config, folder):
        ran.append(config.hyper.bits)
        untrained(config, folder)

    monkeypatch.setattr(experiment, "run", noted)
    shutil.copytree(made, tmp_path / "copy")
    return tmp_path / "copy", ran


def middle(folder):
    """The run of 32 bits."""
    return next(p.parent for p in (folder / "runs").glob("*/done.json") if "32 bits" in p.read_text())


def cut(file):
    os.truncate(file, file.stat().st_size // 2)


DAMAGES = {
    "results cut off": lambda run: cut(run / "results.json"),
    "results that are no JSON": lambda run: (run / "results.json").write_text("<html>"),
    "no results": lambda run: (run / "results.json").unlink(),
    "values of queries cut off": lambda run: cut(run / "per_query.npz"),
    "no values of queries": lambda run: (run / "per_query.npz").unlink(),
    "marker cut off": lambda run: cut(run / "done.json"),
    "marker of zeros": lambda run: (run / "done.json").write_bytes(bytes(100)),
    "marker of other JSON": lambda run: (run / "done.json").write_text("[1]"),
    "no config": lambda run: (run / "config.json").unlink(),
    "config cut off": lambda run: cut(run / "config.json"),
    "codes cut off": lambda run: cut(run / "seed-0" / "itq" / "codes_query.npy"),
    "empty codes": lambda run: os.truncate(run / "seed-0" / "mcmsh" / "codes_query.npy", 0),
    "no codes": lambda run: shutil.rmtree(run / "seed-0"),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_run_is_named_and_made_again_and_no_other(kind, cache, capsys):
    folder, ran = cache
    capsys.readouterr()
    run = middle(folder)
    DAMAGES[kind](run)
    assert command.main([*WORDS, "--workdir", str(folder)]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "damaged in the cache" in line]
    assert ran == [32] and len(said) == 1 and run.name in said[0]
    assert middle(folder) == run


def test_a_folder_without_a_marker_is_gone_on_with(cache, capsys):
    folder, ran = cache
    capsys.readouterr()
    run = middle(folder)
    (run / "done.json").unlink()
    (run / "kept").touch()
    assert command.main([*WORDS, "--workdir", str(folder)]) == 0
    assert ran == [32] and (run / "kept").is_file() and "damaged" not in capsys.readouterr().err


def test_a_damaged_run_that_another_process_has_in_hand_is_left_to_it(cache):
    folder, _ = cache
    run = middle(folder)
    (run / "config.json").unlink()
    wanted = runs.Run('{"method": "mcmsh", "data": {"name": "jhmdb"}}', run.name.split("-")[-1], "")
    program = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    other = [sys.executable, "-c", program, str(run / ".lock")]
    with subprocess.Popen(other, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        damage.clear([wanted], folder / "runs")
        assert (run / "results.json").is_file()
        process.communicate(b"\n")
    damage.clear([wanted], folder / "runs")
    assert not run.exists()


def test_a_run_whose_config_the_disk_does_not_give_is_left_there(cache):
    folder, _ = cache
    run = middle(folder)
    (run / "config.json").unlink()
    (run / "config.json").mkdir()
    wanted = runs.Run('{"method": "mcmsh", "data": {"name": "jhmdb"}}', run.name.split("-")[-1], "")
    with pytest.raises(InputError, match=r"config\.json: expected a file that can be read \(Is a directory\)"):
        damage.clear([wanted], folder / "runs")
    assert (run / "results.json").is_file()


def test_what_is_kept_beside_a_run_is_made_again_where_it_is_damaged(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(again, "_errors", lambda *_: np.ones(3))
    (tmp_path / "results.json").write_text('[{"query": "test"}]')
    asked = again.ReconstructionError("both")
    assert again.measure(asked, tmp_path, 0, None).value == 1
    (kept,) = tmp_path.glob("measured-*.npy")
    cut(kept)
    assert again.measure(asked, tmp_path, 0, None).value == 1
    assert capsys.readouterr().err.count(kept.name) == 1


def test_codes_that_cannot_be_read_make_a_run_unfinished(cache, monkeypatch):
    folder, _ = cache
    run = middle(folder)
    monkeypatch.setattr(experiment, "dataset_of", lambda *_: type("Data", (), {"parts": ("query",)}))
    cut(run / "seed-0" / "itq" / "codes_query.npy")
    with pytest.raises(InputError, match="can't be read"):
        again.open_run(run, 0, "itq")
    assert not (run / "done.json").exists()


def test_a_write_that_fails_leaves_what_was_there(tmp_path):
    write_json(tmp_path / "a.json", [1])
    with pytest.raises(OSError, match="full"), written(tmp_path / "a.json") as file:
        file.write(b"[2")
        raise OSError("full")
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert (tmp_path / "a.json").read_text() == "[\n 1\n]\n"


def test_two_processes_write_under_names_of_their_own(tmp_path, monkeypatch):
    with written(tmp_path / "a.json") as file:
        file.write(b"[1]")
        monkeypatch.setattr(os, "getpid", lambda: 1)
        write_json(tmp_path / "a.json", [2])
    assert (tmp_path / "a.json").read_text() == "[1]"


def test_json_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fsync", lambda number: synced.append((tmp_path / "a.json").exists()))
    write_json(tmp_path / "a.json", [1])
    assert synced == [False]


def test_what_a_killed_process_left_half_written_hinders_nobody(tmp_path):
    (tmp_path / ".config.json.elsewhere-1.partial").write_text('{"run')
    with claimed(tmp_path, {"run": {"resident_gb": 1}}) as config:
        assert config["run"]["resident_gb"] == 1
