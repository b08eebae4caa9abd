"""Codes that somebody else's program made: every form through every kind of file, and what is refused."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io

from jhash import codes as jhash_codes
from jhash import given, metrics, report
from jhash.curves import curve
from jhash.data.given_codes import read_given
from jhash.types import InputError

ROOT = Path(given.__file__).parent.parent
RANDOM = np.random.default_rng(5)
SIGNS = [RANDOM.choice([-1, 1], (items, 16)).astype(np.int8) for items in (12, 40)]
CLASSES = [np.tile([7, 3, 12], items)[:items] for items in (12, 40)]
ONE_HOT = [(classes[:, None] == np.array([[3, 7, 12]])).astype(np.uint8) for classes in CLASSES]
MULTI_HOT = [np.maximum(one_hot, np.roll(one_hot, 1, axis=0)) for one_hot in ONE_HOT]

FORMS = {
    "int8 signs": lambda signs: signs,
    "float signs": lambda signs: signs.astype(np.float32),
    "int64 bits": lambda signs: (signs > 0).astype(np.int64),
    "float bits": lambda signs: (signs > 0).astype(np.float64),
    "uint8 bits": lambda signs: (signs > 0).astype(np.uint8),
    "bool": lambda signs: signs > 0,
    "packed": lambda signs: np.packbits(signs > 0, axis=1),
}
LABELS = {
    "class numbers": (CLASSES, ONE_HOT),
    "float class numbers in a column": ([classes[:, None].astype(float) for classes in CLASSES], ONE_HOT),
    "class numbers in a row": ([classes[None, :] for classes in CLASSES], ONE_HOT),
    "one-hot bool": ([labels.astype(bool) for labels in ONE_HOT], ONE_HOT),
    "multi-hot float": ([labels.astype(np.float32) for labels in MULTI_HOT], MULTI_HOT),
}


def save_npy(path, array):
    np.save(path, array)


def save_npz(path, array):
    np.savez_compressed(path, array=array)


def save_mat(path, array):
    scipy.io.savemat(path, {"array": array}, do_compression=True)


def save_mat73(path, array):
    with h5py.File(path, "w", userblock_size=512) as file:
        turned = np.atleast_2d(array).T  # as MATLAB lays arrays out in HDF5
        file.create_dataset("array", data=turned.astype(np.uint8) if array.dtype == bool else turned)
        file["array"].attrs["MATLAB_class"] = np.bytes_("logical" if array.dtype == bool else "double")
        file.create_dataset("note", data=np.zeros((5, 1), np.uint16)).attrs["MATLAB_class"] = np.bytes_("char")
        file.create_dataset("#refs#/a", data=np.zeros((16, 16)))


def save_h5(path, array):
    with h5py.File(path, "w") as file:
        file.create_dataset("group/array", data=array)


KINDS = {
    "npy": (".npy", save_npy),
    "npz": (".npz", save_npz),
    "mat 5": (".mat", save_mat),
    "mat 7.3": (".mat", save_mat73),
    "h5": (".h5", save_h5),
}


def stored(folder, kind, **arrays):
    """Each array in a file of its own: their paths."""
    ending, save = KINDS[kind]
    paths = {name: folder / f"{name}{ending}" for name in arrays}
    for name, array in arrays.items():
        save(paths[name], array)
    return [str(path) for path in paths.values()]


def plain_scores(labels=ONE_HOT, preset="dcmh", **options):
    return metrics.evaluate_codes(*SIGNS, *labels, preset, **options)


def same_scores(found, expected):
    assert found._replace(queries=None, values=None) == expected._replace(queries=None, values=None)
    np.testing.assert_array_equal(found.queries, expected.queries)
    assert set(found.values) == set(expected.values)
    for name, values in expected.values.items():
        np.testing.assert_array_equal(found.values[name], values)


# ---- forms and files


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", FORMS)
def test_codes_of_every_form_score_as_plain_ones(tmp_path, form, kind):
    query, database = (FORMS[form](signs) for signs in SIGNS)
    paths = stored(tmp_path, kind, q=query, d=database, ql=CLASSES[0], dl=CLASSES[1])
    found = given.evaluate_arrays(*paths, "dcmh", ties="expected")
    np.testing.assert_array_equal(found.given.query, SIGNS[0])
    np.testing.assert_array_equal(found.given.database, SIGNS[1])
    same_scores(found.scores["dcmh"], plain_scores(ties="expected"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labels", LABELS)
def test_labels_of_every_form_become_0_and_1(tmp_path, labels, kind):
    arrays, expected = LABELS[labels]
    paths = stored(tmp_path, kind, q=SIGNS[0], d=SIGNS[1], ql=arrays[0], dl=arrays[1])
    found = read_given(*paths)
    np.testing.assert_array_equal(found.query_labels, expected[0])
    np.testing.assert_array_equal(found.database_labels, expected[1])


def test_arrays_in_memory_and_two_forms_in_one_call():
    found = read_given(FORMS["packed"](SIGNS[0]), SIGNS[1].tolist(), CLASSES[0].tolist(), CLASSES[1])
    np.testing.assert_array_equal(found.query, SIGNS[0])
    np.testing.assert_array_equal(found.database, SIGNS[1])


def test_class_numbers_are_matched_by_value():
    found = read_given(*SIGNS, np.repeat([5, 900], 6), np.repeat([900, -2], 20))
    relevant = found.query_labels @ found.database_labels.T
    np.testing.assert_array_equal(relevant, np.repeat([0, 1], 6)[:, None] * np.repeat([1, 0], 20)[None, :])


def test_a_single_query_has_a_row_of_labels():
    found = read_given(SIGNS[0][:1], SIGNS[1], MULTI_HOT[0][:1], MULTI_HOT[1])
    np.testing.assert_array_equal(found.query_labels, MULTI_HOT[0][:1])


def test_each_array_gets_a_line(tmp_path):
    paths = stored(tmp_path, "npy", q=FORMS["packed"](SIGNS[0]), d=SIGNS[1], ql=MULTI_HOT[0], dl=ONE_HOT[1])
    said = []
    read_given(*paths, say=said.append)
    assert said == [
        f"query: 12 codes of 16 bits, packed uint8, from {paths[0]}",
        f"database: 40 codes of 16 bits, -1 and +1, from {paths[1]}",
        f"query labels: 12 rows of 3 classes, 0/1, up to 2 a row, from {paths[2]}",
        f"database labels: 40 rows of 3 classes, 0/1, one a row, from {paths[3]}",
    ]


# ---- which array


def test_an_array_is_found_by_name_or_by_its_shape(tmp_path):
    file = tmp_path / "a:b.npz"
    words = np.array(["a", "b"])
    np.savez(file, q=SIGNS[0], labels=CLASSES[0], words=words)
    np.savez(tmp_path / "two.npz", **{"d:x": SIGNS[1], "other": SIGNS[0][:3], "labels": CLASSES[1]})
    found = read_given(file, f"{tmp_path}/two.npz:d:x", str(file), f"{tmp_path}/two.npz")
    np.testing.assert_array_equal(found.query, SIGNS[0])
    np.testing.assert_array_equal(found.database, SIGNS[1])
    np.testing.assert_array_equal(found.query_labels, ONE_HOT[0])
    same = read_given(f"{file}:q", f"{tmp_path}/two.npz:d:x", f"{file}:labels", f"{tmp_path}/two.npz:labels")
    np.testing.assert_array_equal(same.query_labels, ONE_HOT[0])


def test_labels_beside_the_codes_are_not_the_codes(tmp_path):
    np.savez(tmp_path / "q.npz", q=FORMS["uint8 bits"](SIGNS[0]), labels=ONE_HOT[0])
    found = read_given(f"{tmp_path}/q.npz:q", SIGNS[1], tmp_path / "q.npz", ONE_HOT[1])
    np.testing.assert_array_equal(found.query_labels, ONE_HOT[0])
    with pytest.raises(InputError, match="query labels: expected another array than the codes, found the same"):
        read_given(f"{tmp_path}/q.npz:q", SIGNS[1], f"{tmp_path}/q.npz:q", ONE_HOT[1])


def test_several_arrays_that_fit_are_listed(tmp_path):
    np.savez(tmp_path / "q.npz", a=SIGNS[0], b=SIGNS[0])
    with pytest.raises(
        InputError, match=r"q.npz: query: expected one array .* a \[12, 16\], b .*; name it, as in .*:a"
    ):
        read_given(tmp_path / "q.npz", SIGNS[1], *CLASSES)


@pytest.mark.parametrize("kind", ["npz", "mat 5", "mat 7.3", "h5"])
def test_a_wrong_name_is_answered_with_the_right_ones(tmp_path, kind):
    (path,) = stored(tmp_path, kind, q=SIGNS[0])
    with pytest.raises(InputError, match=r"query: expected an array 'aray', found .*array \[12, 16\]"):
        read_given(f"{path}:aray", SIGNS[1], *CLASSES)


# ---- what could be two things


def test_bytes_of_0_and_1_are_bits_and_it_says_so():
    bits, said = [FORMS["uint8 bits"](signs)[:, :8] for signs in SIGNS], []
    found = read_given(*bits, *CLASSES, say=said.append)
    np.testing.assert_array_equal(found.query, SIGNS[0][:, :8])
    assert "12 codes of 8 bits, uint8 of 0 and 1" in said[0]
    assert "could be 64 packed bits" in said[0]


@pytest.mark.parametrize("option", [{"bits": 64}, {"packed": True}])
def test_bits_or_packed_reads_bytes_of_0_and_1_as_packed(option):
    bytes_, said = [FORMS["uint8 bits"](signs)[:, :8] for signs in SIGNS], []
    found = read_given(*bytes_, *CLASSES, say=said.append, **option)
    np.testing.assert_array_equal(found.query > 0, np.unpackbits(bytes_[0], axis=1) > 0)
    assert said[0] == "query: 12 codes of 64 bits, packed uint8"


def test_bits_can_say_that_they_are_not_packed():
    bits, said = [FORMS["uint8 bits"](signs) for signs in SIGNS], []
    assert read_given(*bits, *CLASSES, bits=16, say=said.append).query.shape == (12, 16)
    assert said[0] == "query: 12 codes of 16 bits, uint8 of 0 and 1"


def test_few_packed_queries_follow_their_database():
    query = np.array([[1, 0], [0, 1]], np.uint8)
    found = read_given(query, FORMS["packed"](SIGNS[1]), CLASSES[0][:2], CLASSES[1])
    np.testing.assert_array_equal(found.query > 0, np.unpackbits(query, axis=1) > 0)


def test_the_bit_order_of_jhash_is_little():
    words = [np.asarray(jhash_codes.pack(signs)) for signs in SIGNS]
    np.testing.assert_array_equal(read_given(*words, *CLASSES, bit_order="little").query, SIGNS[0])
    assert (read_given(*words, *CLASSES).query != SIGNS[0]).any()


@pytest.mark.parametrize("bit_order", ["big", "little"])
def test_filled_up_bytes_are_cut_to_the_bits(bit_order):
    packed = [np.packbits(signs[:, :11] > 0, axis=1, bitorder=bit_order) for signs in SIGNS]
    found = read_given(*packed, *CLASSES, bits=11, bit_order=bit_order)
    np.testing.assert_array_equal(found.database, SIGNS[1][:, :11])
    other = {"big": "little", "little": "big"}[bit_order]
    with pytest.raises(InputError, match=f"query: expected zeros behind bit 11, bit order '{other}', found a 1 in row"):
        read_given(*packed, *CLASSES, bits=11, bit_order=other)


# ---- what is refused


def changed(array, place, value):
    array = array.copy()
    array[place] = value
    return array


REAL = changed(SIGNS[0].astype(float), (3, 5), 0.37)
WRONG = {
    "real codes": (
        {"q": REAL},
        r"q.npy: query: expected codes of -1 and \+1, .* found float64 0.37 at row 3, column 5",
    ),
    "nan": ({"q": changed(REAL, (3, 5), np.nan)}, "found float64 nan at row 3, column 5"),
    "0 beside -1": ({"q": changed(SIGNS[0], (2, 4), 0)}, "query: expected .* found int8 0 at row 2, column 4"),
    "signs in uint8": ({"q": SIGNS[0].view(np.uint8)}, "q.npy: query: expected packed uint8, found 1 and 255 alone"),
    "a mask": ({"d": np.where(SIGNS[1] > 0, 255, 0).astype(np.uint8)}, "d.npy: database: .* found 0 and 255 alone"),
    "text": ({"q": np.array([["a", "b"]])}, "q.npy: query: expected an array of numbers, found <U1"),
    "complex": ({"q": SIGNS[0] * 1j}, "query: expected an array of numbers, found complex128"),
    "no items": ({"q": SIGNS[0][:0]}, r"query: expected codes \[items, bits\], at least one of each, found \[0, 16\]"),
    "a vector": ({"q": SIGNS[0][:, 0]}, r"query: expected codes \[items, bits\], .* found \[12\]"),
    "another length": ({"d": SIGNS[1][:, :15]}, "d.npy: database: expected codes of 16 bits like those .* found 15"),
    "fewer labels": ({"ql": CLASSES[0][1:]}, r"ql.npy: query labels: expected one row for each of 12 codes, .* \[11\]"),
    "turned labels": ({"dl": ONE_HOT[1].T}, r"dl.npy: database labels: expected one row for .* 40 codes, .* \[3, 40\]"),
    "fewer classes": ({"ql": ONE_HOT[0], "dl": ONE_HOT[1][:, :2]}, "dl.npy: .* expected 3 classes like .* found 2"),
    "two kinds": ({"dl": ONE_HOT[1]}, "dl.npy: database labels: expected labels like .*, class numbers, found 0/1"),
    "half a class": (
        {"ql": CLASSES[0] + 0.5},
        "ql.npy: query labels: expected whole class numbers, found 7.5 in row 0",
    ),
    "nan for a class": ({"ql": CLASSES[0] * np.nan}, "query labels: expected whole class numbers, found nan in row 0"),
    "other classes": ({"dl": CLASSES[1] + 50}, "dl.npy: database labels: expected a class that the queries have too"),
    "labels of -1": ({"ql": 2.0 * ONE_HOT[0] - 1, "dl": ONE_HOT[1]}, "ql.npy: query labels: labels must be 0 or 1"),
}


def command(paths, *more):
    names = ("--query", "--database", "--query-labels", "--database-labels")
    words = [word for pair in zip(names, map(str, paths), strict=True) for word in pair]
    return [*words, *(("--preset", "dcmh") if "--preset" not in more else ()), *map(str, more)]


def refused(capsys, arguments, folder):
    """The sentence of a command that must fail and write nothing."""
    before = sorted(path.name for path in folder.iterdir())
    assert given.main(arguments) == 2
    out, err = capsys.readouterr()
    assert sorted(path.name for path in folder.iterdir()) == before
    assert "mAP" not in out and err.startswith("jhash: error: ") and err.count("\n") == 1
    return err


def good(folder, **other):
    arrays = {"q": SIGNS[0], "d": SIGNS[1], "ql": CLASSES[0], "dl": CLASSES[1]} | other
    return stored(folder, "npy", **arrays)


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arrays_get_one_sentence(tmp_path, capsys, case):
    arrays, sentence = WRONG[case]
    found = refused(capsys, command(good(tmp_path, **arrays), "--workdir", tmp_path / "w"), tmp_path)
    assert re.search(sentence, found), found


OPTIONS = {
    "bits": (["--bits", "17"], "query: expected codes of 17 bits, found 16 columns of -1 and +1"),
    "no bits": (["--bits", "0"], "bits: expected a number from 1 up, found 0"),
    "packed": (["--packed"], "q.npy: query: expected packed codes in uint8, found int8"),
    "preset": (["--preset", "vdeo"], "preset: expected one of video, she, dcmh, deephash, trec, found 'vdeo' (did you"),
    "ties": (["--ties", "fair"], "protocol field 'ties': expected one of"),
    "cutoffs": (
        ["--cutoffs", "5,many"],
        "--cutoffs: expected whole numbers or all, with commas between, found '5,many'",
    ),
    "ranks": (["--precision-at", "all"], "--precision-at: expected whole numbers, with commas between, found 'all'"),
    "same": (["--self-rows", "same"], "self rows 'same': expected query and database to be the same codes, found 12"),
    "seed": (["--seed", "-1"], "seed: expected a number from 0 up, found -1"),
    "rows": (["--self-rows", "none.npy"], "none.npy: self rows: expected a file, found none of that name"),
    "name": (["--name", "a", "b", "c"], "--name: expected a method and a dataset, found 3 names"),
}


@pytest.mark.parametrize("case", OPTIONS)
def test_wrong_options_get_one_sentence(tmp_path, capsys, case):
    options, sentence = OPTIONS[case]
    assert sentence in refused(capsys, command(good(tmp_path), "--workdir", tmp_path / "w", *options), tmp_path)


FILES = {
    "missing": ("none.npz:q", "none.npz:q: query: expected a file, found none of that name"),
    "empty": ("empty.npy", "empty.npy: not a whole .npy file"),
    "empty npz": ("empty.npz", "empty.npz: query: expected a whole .npz file, found it damaged or cut short"),
    "cut npz": ("cut.npz", "cut.npz: query: expected a whole .npz file, found it damaged or cut short"),
    "cut mat": ("cut.mat", "cut.mat: query: expected a whole .mat file, found it damaged or cut short"),
    "cut h5": ("cut.h5", "cut.h5: query: expected a whole .h5 file, found it damaged or cut short"),
    "ending": ("q.txt", "q.txt: query: expected a file ending in .npy, .npz, .mat, .h5, .hdf5, found '.txt'"),
    "named npy": ("q.npy:codes", "q.npy: query: expected no array's name, for an .npy holds one array, found 'codes'"),
    "archive": ("archive.npy", "archive.npy: query: expected an array of numbers, found an archive of several"),
    "pickle": ("pickle.npy", "pickle.npy: holds pickled Python objects, which are never loaded"),
    "pickles": ("pickle.npz", "'a.npy' is a pickle, which is never loaded"),
    "bomb": ("bomb.npz", "bomb.npz: query: expected at most 2,147,483,648 numbers, found a [4294967296, 64]"),
    "nothing": ("nothing.npz", "nothing.npz: query: expected one array of a shape that fits, found nothing"),
}


@pytest.fixture
def odd_files(tmp_path):
    """A folder with files that can't be codes."""
    good(tmp_path)
    for ending in (".npy", ".npz"):
        (tmp_path / f"empty{ending}").touch()
    for kind in ("npz", "mat 5", "h5"):
        (path,) = stored(tmp_path, kind, cut=RANDOM.choice([-1.0, 1.0], (40, 32)))
        whole = Path(path).read_bytes()
        Path(path).write_bytes(whole[: 150 if kind == "mat 5" else len(whole) // 2])
    (tmp_path / "q.txt").write_text("1 0 1\n")
    np.savez(tmp_path / "archive", a=SIGNS[0])
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    np.save(tmp_path / "pickle.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "pickle.npz", a=np.array([{}]))
    np.savez(tmp_path / "nothing.npz", a=np.array(["words"]))
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w") as archive, archive.open("a.npy", "w") as member:
        header = {"descr": "|i1", "fortran_order": False, "shape": (2**32, 64)}
        np.lib.format.write_array_header_1_0(member, header)
    return tmp_path


@pytest.mark.parametrize("case", FILES)
def test_wrong_files_get_one_sentence(odd_files, capsys, case):
    name, sentence = FILES[case]
    paths = [odd_files / name, *(odd_files / f"{other}.npy" for other in ("d", "ql", "dl"))]
    assert sentence in refused(capsys, command(paths, "--workdir", odd_files / "w"), odd_files)


# ---- protocols


def test_options_reach_the_protocol():
    options = {"ties": "shuffled", "cutoffs": (5, None), "precision_ranks": (10,), "radii": (3,), "seed": 4}
    found = given.evaluate_arrays(*SIGNS, *CLASSES, ["dcmh", "trec"], **options)
    same_scores(found.scores["dcmh"], plain_scores(**options))
    same_scores(found.scores["trec"], plain_scores(preset="trec", **options))
    assert {row["seed"] for row in found.rows} == {4}


@pytest.mark.parametrize("rows", ["same", np.arange(40), np.arange(40.0)[:, None]], ids=["same", "array", "column"])
def test_a_query_of_the_database_is_removed_from_its_ranking(rows):
    signs, labels = [SIGNS[1]] * 2, [ONE_HOT[1]] * 2
    found = given.evaluate_arrays(*signs, CLASSES[1], CLASSES[1], "trec", self_rows=rows)
    expected = metrics.evaluate_codes(*signs, *labels, "trec", self_rows=np.arange(40))
    same_scores(found.scores["trec"], expected)
    kept = metrics.evaluate_codes(*signs, *labels, "trec")
    assert kept.means()["map", None] != expected.means()["map", None]


def test_the_curve_leaves_out_what_the_ranking_leaves_out():
    arrays, own = [SIGNS[1], SIGNS[1], ONE_HOT[1], ONE_HOT[1]], np.arange(40)
    found = curve(*arrays, own)
    whole = metrics.precision_recall_curve(*arrays, by="rank", ties="expected", self_rows=own)
    assert found["rank"][-1] == 39
    np.testing.assert_allclose(found["precision"], whole.precision.mean(axis=0)[np.array(found["rank"]) - 1], atol=1e-6)


def test_queries_kept_in_their_own_database_are_mentioned():
    said = []
    given.evaluate_arrays(SIGNS[1], SIGNS[1], CLASSES[1], CLASSES[1], "trec", say=said.append)
    assert said[-1].startswith("query and database are the same codes, and trec keeps each query")


@pytest.mark.parametrize("rows", [np.arange(11), np.full(12, 0.5), np.arange(12) + 29])
def test_wrong_self_rows_are_refused(rows):
    with pytest.raises(InputError, match="^self rows: expected "):
        given.evaluate_arrays(*SIGNS, *CLASSES, "trec", self_rows=rows)


# ---- the command


def test_the_command_prints_the_table_and_writes_the_rows(tmp_path, capsys):
    more = "--preset video --preset trec --precision-at 10 --radii 2 --name net toys".split()
    assert given.main(command(good(tmp_path), *more, "--workdir", tmp_path / "w")) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"query: 12 codes of 16 bits, -1 and +1, from {tmp_path}/q.npy"
    assert "toys: query -> database" in lines
    (header,) = [line for line in lines if line.startswith("method")]
    cutoffs = [f"mAP@{k}" for k in (5, 10, 20, 40, 60, 80, 100)]
    others = [name for name in ("precision@10", "lookup precision@2", "lookup recall@2") for _ in ("video", "trec")]
    assert re.split(" {2,}", header) == ["method", "bits", *cutoffs, "mAP", *others]
    rows = report.read_results(tmp_path / "w" / "results.json")
    options = {"precision_ranks": (10,), "radii": (2,)}
    expected = plain_scores(preset="video", **options).means() | {
        ("map", None): plain_scores(preset="trec").means()["map", None]
    }
    found = {(row["metric"], row["k"]): row["value"] for row in rows if row["preset"] == "video" or row["k"] is None}
    assert found == pytest.approx(expected, abs=0)
    assert {(row["method"], row["dataset"], row["bits"], row["seed"]) for row in rows} == {("net", "toys", 16, None)}
    (drawn,) = json.loads((tmp_path / "w" / "curves.json").read_text())
    assert drawn["recall"][-1] == 1 and drawn["rank"][-1] == 40
    assert "net: query → database" in (tmp_path / "w" / "precision_recall.svg").read_text()


def test_a_second_evaluation_takes_the_place_of_the_first(tmp_path, capsys):
    paths, work = good(tmp_path), tmp_path / "w"
    assert given.main(command(paths, "--workdir", work)) == 0
    np.save(paths[2], np.eye(5, dtype=np.uint8)[[0] * 12])  # nothing to find: no curve
    np.save(paths[3], np.eye(5, dtype=np.uint8)[[1] * 40])
    assert given.main(command(paths, "--name", "second", "--workdir", work)) == 0
    assert sorted(path.name for path in work.iterdir()) == ["per_query.npz", "results.json"]
    assert {row["method"] for row in report.read_results(work / "results.json")} == {"second"}


def test_a_folder_of_something_else_is_left_alone(tmp_path, capsys):
    paths, work = good(tmp_path), tmp_path / "w"
    work.mkdir()
    (work / "config.json").write_text("{}")
    assert "expected a new or empty folder, found 'config.json'" in refused(
        capsys, command(paths, "--workdir", work), work
    )


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_read(tmp_path, capsys):
    (path, *_) = paths = good(tmp_path)
    assert f"expected a folder that can be written, found {path}" in refused(
        capsys, command([path, "none", *paths[2:]], "--workdir", f"{path}/w"), tmp_path
    )


def test_nothing_relevant_above_the_cutoff_draws_no_curve(tmp_path, capsys):
    paths = good(tmp_path, ql=MULTI_HOT[0] * 0, dl=MULTI_HOT[1])
    assert given.main(command(paths, "--workdir", tmp_path / "w")) == 0
    assert sorted(path.name for path in (tmp_path / "w").iterdir()) == ["per_query.npz", "results.json"]


def test_json_prints_the_rows_and_nothing_else(tmp_path, capsys):
    assert given.main(command(good(tmp_path), "--json")) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == given.evaluate_arrays(*SIGNS, *CLASSES, "dcmh", dataset="given").rows
    assert err == ""


def test_the_command_runs_from_another_folder(tmp_path):
    for name, array in {"q": SIGNS[0], "d": SIGNS[1], "ql": CLASSES[0], "dl": CLASSES[1]}.items():
        np.save(tmp_path / f"{name}.npy", array)
    words = command(["q.npy", "d.npy", "ql.npy", "dl.npy"], "--workdir", "w")
    done = subprocess.run(
        [sys.executable, "-m", "jhash.evaluate", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("query: 12 codes of 16 bits, -1 and +1, from q.npy\n")
    (row,) = report.read_results(tmp_path / "w" / "results.json")
    assert row["value"] == plain_scores().means()["map", None]
