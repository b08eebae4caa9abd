"""FCVID, ActivityNet and YFCC: small files in the published formats, read directly and through array_record."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from jhash.data import convert, published
from jhash.data.load import load_dataset
from jhash.data.plan import lines, plan
from jhash.types import InputError

ROOT = Path(__file__).parents[1]


def write_h5(path, frames):
    with h5py.File(path, "w") as file:
        file["feats"] = frames


def clips(seed, items):
    return np.random.default_rng(seed).normal(size=(items, 4, 6)).astype(np.float32)


def tags(seed, items):
    return np.random.default_rng(seed).integers(0, 2, (items, 5)).astype(np.uint8)


@pytest.fixture
def fcvid(tmp_path):
    folder = tmp_path / "fcvid"
    folder.mkdir()
    write_h5(folder / "fcv_train_feats.h5", clips(0, 150))
    write_h5(folder / "fcv_test_feats.h5", clips(1, 9))
    scipy.io.savemat(folder / "fcv_test_labels.mat", {"labels": tags(1, 9)})
    return folder


@pytest.fixture
def activitynet(tmp_path):
    folder = tmp_path / "activitynet"
    folder.mkdir()
    for seed, (part, labels, name) in enumerate(
        [("train", "", ""), ("test", "re", "re_label"), ("query", "q", "q_label")]
    ):
        write_h5(folder / f"{part}_feats.h5", clips(seed, 6 + seed))
        if labels:
            scipy.io.savemat(folder / f"{labels}_label.mat", {name: tags(seed, 6 + seed)})
    return folder


@pytest.fixture
def yfcc(tmp_path):
    folder = tmp_path / "yfcc"
    folder.mkdir()
    for shard in range(1, 10):
        write_h5(folder / f"yfcc_train_feats_{shard}.h5", clips(shard, 3))
    for shard in (1, 2):
        write_h5(folder / f"yfcc_test_feats_{shard}.h5", clips(10 + shard, 8))
    scipy.io.savemat(folder / "yfcc_test_labels.mat", {"labels": tags(3, 16)})
    return folder


def read(table, column="frames"):
    return table.read(np.arange(len(table)), [column])[column]


def test_fcvid_queries_search_themselves(fcvid):
    dataset = load_dataset({"name": "fcvid", "dir": str(fcvid)}, 0)
    assert dataset.tables["query"] is dataset.tables["database"]
    assert dataset.tasks[0].self_in_database
    np.testing.assert_array_equal(read(dataset.tables["train"]), clips(0, 150))
    np.testing.assert_array_equal(read(dataset.tables["query"]), clips(1, 9))
    np.testing.assert_array_equal(read(dataset.tables["query"], "labels"), tags(1, 9))
    assert "labels" not in dataset.tables["train"].columns


def test_activitynet_has_three_parts(activitynet):
    dataset = load_dataset({"name": "activitynet", "dir": str(activitynet)}, 0)
    assert {part: len(table) for part, table in dataset.tables.items()} == {"train": 6, "query": 8, "database": 7}
    assert not dataset.tasks[0].self_in_database
    np.testing.assert_array_equal(read(dataset.tables["query"], "labels"), tags(2, 8))
    np.testing.assert_array_equal(read(dataset.tables["database"]), clips(1, 7))


def test_yfcc_joins_its_shards_and_draws_queries(yfcc):
    dataset = load_dataset({"name": "yfcc", "dir": str(yfcc), "queries": 4}, 0)
    np.testing.assert_array_equal(read(dataset.tables["train"]), np.concatenate([clips(s, 3) for s in range(1, 10)]))
    whole = np.concatenate([clips(11, 8), clips(12, 8)])
    queries, database = read(dataset.tables["query"]), read(dataset.tables["database"])
    assert (len(queries), len(database)) == (4, 12)
    np.testing.assert_array_equal(np.unique(np.concatenate([queries, database]), axis=0), np.unique(whole, axis=0))
    row = int(np.flatnonzero((whole == queries[2]).all(axis=(1, 2)))[0])
    np.testing.assert_array_equal(read(dataset.tables["query"], "labels")[2], tags(3, 16)[row])


def test_shards_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 2, 1):
        (tmp_path / f"yfcc_train_feats_{number}.h5").touch()
    found = published._matches(tmp_path, "yfcc_train*.h5")
    assert [path.stem.rsplit("_", 1)[1] for path in found] == ["1", "2", "10"]


def test_every_missing_file_is_named_with_what_must_be_in_it(fcvid):
    (fcvid / "fcv_train_feats.h5").unlink()
    (fcvid / "fcv_test_labels.mat").unlink()
    with pytest.raises(InputError) as error:
        load_dataset({"name": "fcvid", "dir": str(fcvid)}, 0)
    message = str(error.value)
    assert f"data.dir '{fcvid}' does not hold all of fcvid; missing: " in message
    assert "fcv_train_feats.h5 (HDF5, dataset 'feats' [45585, 25, 4096] float32)" in message
    assert "fcv_test_labels.mat (array 'labels' [45600, 239] of 0 and 1)" in message
    assert "fcv_test_feats.h5" not in message


def test_a_folder_that_there_is_not(tmp_path):
    with pytest.raises(InputError, match="gone', which is no folder, does not hold all of activitynet; missing: tr"):
        load_dataset({"name": "activitynet", "dir": str(tmp_path / "gone")}, 0)


def test_no_folder_named_at_all():
    with pytest.raises(InputError, match="data.dir: expected the folder that holds the files of fcvid, found nothing"):
        load_dataset({"name": "fcvid"}, 0)


def test_a_missing_shard_is_counted(yfcc):
    (yfcc / "yfcc_train_feats_4.h5").unlink()
    with pytest.raises(InputError, match=r"yfcc_train\*.h5 \(9 files together, 8 found, HDF5, dataset 'feats'"):
        load_dataset({"name": "yfcc", "dir": str(yfcc)}, 0)


def test_labels_written_class_by_class_are_turned(fcvid):
    scipy.io.savemat(fcvid / "fcv_test_labels.mat", {"labels": tags(1, 9).T})
    dataset = load_dataset({"name": "fcvid", "dir": str(fcvid)}, 0)
    np.testing.assert_array_equal(read(dataset.tables["query"], "labels"), tags(1, 9))


def test_labels_of_another_length(fcvid):
    scipy.io.savemat(fcvid / "fcv_test_labels.mat", {"labels": tags(1, 8)})
    with pytest.raises(InputError, match=r"fcv_test_labels.mat: labels must have 9 rows, one an item, found \[8, 5\]"):
        load_dataset({"name": "fcvid", "dir": str(fcvid)}, 0)


def test_a_nan_in_the_h5_is_found(fcvid):
    frames = clips(0, 150)
    frames[140, 2, 1] = np.nan
    write_h5(fcvid / "fcv_train_feats.h5", frames)
    with pytest.raises(InputError, match="fcv_train_feats.h5: features must be finite, found nan in item 140, frame 2"):
        load_dataset({"name": "fcvid", "dir": str(fcvid)}, 0)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, ">f4"])
def test_frames_of_another_precision_come_out_as_float32(dtype, fcvid):
    frames = np.abs(clips(0, 150) * 20).astype(dtype)
    write_h5(fcvid / "fcv_train_feats.h5", frames)
    write_h5(fcvid / "fcv_test_feats.h5", frames[:9])
    table = load_dataset({"name": "fcvid", "dir": str(fcvid)}, 0).tables["train"]
    got = read(table)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, frames.astype(np.float32))
    mapped = table.map(lambda block: block["frames"][:, 0], ["frames"])
    np.testing.assert_array_equal(mapped, got[:, 0])


def test_normalisation_of_a_file_is_fitted_block_by_block(fcvid):
    dataset = load_dataset({"name": "fcvid", "dir": str(fcvid), "normalise": "standard"}, 0)
    frames = clips(0, 150).reshape(-1, 6).astype(np.float64)
    np.testing.assert_allclose(dataset.normalisation["video"]["shift"], frames.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(dataset.normalisation["video"]["scale"], 1.0 / frames.std(axis=0), rtol=1e-5)
    expected = (clips(1, 9) - frames.mean(axis=0)) / frames.std(axis=0)
    np.testing.assert_allclose(read(dataset.tables["query"]), expected, atol=1e-5)


def test_the_plan_tells_files_shapes_disk_and_memory(fcvid):
    planned = plan({"name": "fcvid", "dir": str(fcvid), "frames": 2})
    assert planned["parts"]["train"]["shape"] == [150, 4, 6]
    assert planned["parts"]["train"]["files"] == {
        str(fcvid / "fcv_train_feats.h5"): (fcvid / "fcv_train_feats.h5").stat().st_size
    }
    assert planned["parts"]["query"]["labels"] == 5
    assert planned["resident_bytes"] == {"train": 150 * 2 * 6 * 4, "query": 9 * 2 * 6 * 4}
    assert (
        159 * 4 * 6 * 2
        < planned["convert_bytes"]["float16"]
        < planned["convert_bytes"]["float32"]
        < 2 * 159 * 4 * 6 * 4
    )
    assert any("array_record conversion in float16" in line for line in lines(planned))


@pytest.mark.parametrize("storage", ["float32", "float16"])
def test_a_conversion_reads_back_as_the_files(storage, fcvid, tmp_path, monkeypatch):
    from jhash.data.builders import records

    monkeypatch.setattr(records, "SHARD_BYTES", 64 * 4 * 6 * 2)  # several shards even here
    convert.convert("fcvid", fcvid, tmp_path / "out", storage)
    config = {"name": "fcvid", "dir": str(tmp_path / "out"), "format": "array_record", "storage": storage}
    dataset = load_dataset(config, 0)
    rows = np.array([149, 3, 3, 64, 63, 0])
    got = dataset.tables["train"].read(rows, ["frames"])["frames"]
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, clips(0, 150)[rows].astype(storage).astype(np.float32))
    np.testing.assert_array_equal(read(dataset.tables["query"], "labels"), tags(1, 9))
    assert dataset.tables["query"] is dataset.tables["database"] and dataset.tasks[0].self_in_database
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["fcvid"]
    assert len(plan(config)["parts"]["train"]["files"]) > 1


@pytest.mark.parametrize("name", ["activitynet", "yfcc"])
def test_the_other_conversions_read_back_as_the_files(name, request, tmp_path):
    folder = request.getfixturevalue(name)
    convert.convert(name, folder, tmp_path / "out", "float32")
    options = {"queries": 4} if name == "yfcc" else {}
    direct = load_dataset({"name": name, "dir": str(folder), **options}, 0).tables
    stored = load_dataset({"name": name, "dir": str(tmp_path / "out"), "format": "array_record", **options}, 0).tables
    for part, table in direct.items():
        np.testing.assert_array_equal(read(stored[part]), read(table))
        assert table.columns.keys() == stored[part].columns.keys()
        if "labels" in table.columns:
            np.testing.assert_array_equal(read(stored[part], "labels"), read(table, "labels"))


def test_a_finished_conversion_is_left_as_it_is(fcvid, tmp_path):
    folder = convert.convert("fcvid", fcvid, tmp_path / "out", "float16")
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    convert.convert("fcvid", fcvid, tmp_path / "out", "float16")
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_no_conversion_yet_names_the_command_that_makes_it(tmp_path):
    with pytest.raises(InputError, match="no finished array_record conversion of fcvid; make it by `python -m jhash"):
        load_dataset({"name": "fcvid", "dir": str(tmp_path), "format": "array_record"}, 0)


@pytest.mark.parametrize(("value", "storage"), [(np.nan, "float32"), (7e4, "float16"), (np.inf, "float16")])
def test_what_cannot_be_stored_stops_a_conversion(value, storage, fcvid, tmp_path):
    frames = clips(0, 150)
    frames[70, 3, 2] = value
    write_h5(fcvid / "fcv_train_feats.h5", frames)
    with pytest.raises(InputError, match=f"item 70, frame 3, dimension 2 is .*, which cannot be .* finite {storage}"):
        convert.convert("fcvid", fcvid, tmp_path / "out", storage)
    assert not published.build_folder("fcvid", str(tmp_path / "out"), storage).exists()


def test_a_disk_too_small_for_a_conversion(fcvid, tmp_path, monkeypatch):
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match="the conversion needs [0-9]+ bytes of disk, only 1000 are free"):
        convert.convert("fcvid", fcvid, tmp_path / "out", "float16")


def test_a_disk_that_fills_up_midway(fcvid, tmp_path, monkeypatch):
    from jhash.data.builders import records

    class Full:
        def __init__(self, path, options):
            Path(path).write_bytes(b"half")

        def write(self, example):
            raise RuntimeError("write() failed: No space left on device; writing here; at byte 4")

    monkeypatch.setattr(records, "ArrayRecordWriter", Full)
    with pytest.raises(InputError, match="the conversion cannot be written: write.. failed: No space left on device"):
        convert.convert("fcvid", fcvid, tmp_path / "out", "float16")
    assert list((tmp_path / "out").iterdir()) == []


def test_the_command_imports_no_tensorflow_and_says_where_the_result_is(fcvid, tmp_path):
    code = "import sys; from jhash.data.convert import main; code = main(sys.argv[1:]); "
    code += "assert 'tensorflow' not in sys.modules; sys.exit(code)"
    arguments = ["--dataset", "fcvid", "--source", fcvid, "--output", tmp_path / "out", "--storage", "float16"]
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "data.format = 'array_record'" in done.stdout


def test_the_command_ends_with_a_sentence_and_code_2(tmp_path, capsys):
    assert convert.main(["--dataset", "fcvid", "--source", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and message.startswith("jhash: error: data.dir '")
    assert not (tmp_path / "out").exists()


KILLED = """
import sys, time
from jhash.data import convert, source

read = source.H5Table.read
reads = []

def slow(table, rows, columns):
    reads.append(rows)
    if len(reads) > 2:
        print("midway", file=sys.__stdout__, flush=True)  # TFDS runs with its own words unheard
        time.sleep(30)
    return read(table, rows, columns)

source.H5Table.read = slow
convert.main(sys.argv[1:])
"""


def test_a_killed_conversion_is_never_read_and_starts_afresh(fcvid, tmp_path):
    out = tmp_path / "out"
    command = ["--dataset", "fcvid", "--source", str(fcvid), "--output", str(out), "--storage", "float32"]
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as child:
        while "midway" not in (line := child.stdout.readline()):
            assert line, "the conversion ended before it was killed"
        assert any(path.is_file() for path in (out / ".fcvid-float32.part").rglob("*"))
        os.kill(child.pid, signal.SIGKILL)
    config = {"name": "fcvid", "dir": str(out), "format": "array_record"}
    with pytest.raises(InputError, match="no finished array_record conversion"):
        load_dataset(config, 0)
    assert convert.main(command) == 0
    np.testing.assert_array_equal(read(load_dataset(config, 0).tables["train"]), clips(0, 150))
    assert sorted(path.name for path in out.iterdir()) == ["fcvid"]


def test_two_conversions_do_not_grow_in_one_folder(fcvid, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with (
        convert._alone(out / ".fcvid-float16.lock"),
        pytest.raises(InputError, match="another conversion of this dataset"),
    ):
        convert.convert("fcvid", fcvid, out, "float16")
