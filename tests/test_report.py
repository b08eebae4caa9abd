"""results.json: its fields, no NaN, whole or not at all; and the table that a terminal shows."""

import json
import os
import zipfile

import numpy as np
import pytest

from jhash import report
from jhash.metrics import Scores
from jhash.types import InputError

NAMES = {
    "variant": None,
    "dataset": "clips",
    "query": "test",
    "database": "train",
    "labels": (np.ones((40, 1)), np.ones((100, 1))),
}


def _scores(gain=0.0, queries=40, preset="video", k=5):
    values = np.random.default_rng(0).random(queries) * 0.5 + gain
    return Scores(preset, "stable", np.arange(queries), {("map", k): values})


def _results(method="itq", gain=0.0, seed=0, bits=16, **scores):
    return report.results(_scores(gain, **scores), method=method, bits=bits, seed=seed, **NAMES)


def test_a_row_has_every_field_and_comes_back_as_written(tmp_path):
    (result,) = _results()
    report.write_results(tmp_path / "results.json", [result])
    assert report.read_results(tmp_path / "results.json") == [result.row]
    assert set(result.row) == set(report.FIELDS)
    low, high = result.row["ci95"]
    assert low < result.row["value"] == result.values.mean() < high


def test_no_query_is_null(tmp_path):
    found = _results(queries=0)
    rows = [result.row for result in found]
    report.write_results(tmp_path / "results.json", found)
    assert '"value": null' in (tmp_path / "results.json").read_text()
    assert "-" in report.table(rows).splitlines()[-3]


def test_nan_is_refused_and_the_file_before_stays(tmp_path):
    path, (result,) = tmp_path / "results.json", _results()
    report.write_results(path, [result])
    with pytest.raises(ValueError, match="JSON compliant"):
        report.write_results(path, [result._replace(row=result.row | {"value": float("nan")})])
    assert report.read_results(path) == [result.row]


def test_a_write_that_fails_leaves_nothing_half_written(tmp_path, monkeypatch):
    path, (result,) = tmp_path / "results.json", _results()
    report.write_results(path, [result])
    synced, fsync = [], os.fsync

    def full(file):
        synced.append(file)
        if len(synced) == 2:  # the first of the two files is whole by then
            raise OSError(28, "No space left on device")
        fsync(file)

    monkeypatch.setattr(report.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        report.write_results(path, [])
    assert [one.row for one in report.read_found(tmp_path)] == [result.row]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["per_query.npz", "results.json"]


def test_values_of_single_queries_come_back_as_they_were(tmp_path):
    found = [*_results(), *_results(seed=1), *_results("new", k=None, preset="trec"), *_results("empty", queries=0)]
    counted = np.array([0, 3, 4])  # another row, another set of queries
    found += report.results(
        Scores("trec", "stable", counted, {("map", None): np.array([0.1, 1 / 3, 0.9])}),
        **{"method": "few", "bits": 16, "seed": 0, **NAMES},
    )
    report.write_results(tmp_path / "results.json", found)
    again = report.read_found(tmp_path)
    for before, after in zip(found, again, strict=True):
        assert before.row == after.row
        np.testing.assert_array_equal(before.values, after.values)
        np.testing.assert_array_equal(before.queries, after.queries)


def test_rows_share_the_queries_that_they_count(tmp_path):
    report.write_results(tmp_path / "results.json", [*_results(), *_results("new"), *_results(queries=20)])
    with np.load(tmp_path / "per_query.npz", allow_pickle=False) as held:
        assert held["queries"].tolist() == [0, 0, 1]
        assert sorted(held.files) == ["0", "1", "2", "digest", "queries", "queries_0", "queries_1", "relevance"]


def test_a_digest_of_labels_comes_back_and_is_none_of_an_earlier_file(tmp_path):
    report.write_results(tmp_path / "results.json", _results())
    assert [one.relevance for one in report.read_found(tmp_path)] == [report.relevance(*NAMES["labels"])]
    with np.load(tmp_path / "per_query.npz", allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files if name != "relevance"}
    np.savez_compressed(tmp_path / "per_query.npz", **arrays)
    assert [one.relevance for one in report.read_found(tmp_path)] == [None]


def test_relevance_goes_by_who_shares_a_class_and_not_by_how_classes_are_numbered():
    random = np.random.default_rng(0)
    asks, answers = (random.random((9, 5)) < 0.5), (random.random((20, 5)) < 0.5)
    found, order = report.relevance(asks, answers), [3, 1, 0, 4, 2]
    alone = np.zeros((20, 1))  # a class that no item of the database has
    assert report.relevance(asks[:, order].astype(np.uint8), answers[:, order].astype(float)) == found
    assert report.relevance(np.c_[asks, np.ones(9)], np.c_[answers, alone]) == found


@pytest.mark.parametrize(
    "harm",
    [
        lambda asks, answers: (asks[::-1], answers),
        lambda asks, answers: (asks, answers[::-1]),
        lambda asks, answers: (asks[:, ::-1], answers),
        lambda asks, answers: (answers, asks),
        lambda asks, answers: (np.r_[asks, np.zeros((1, 3), int)], answers),
    ],
)
def test_other_queries_items_or_classes_are_other_relevance(harm):
    asks, answers = np.eye(3, dtype=int)[[0, 1, 1, 2]], np.eye(3, dtype=int)[[0, 0, 1, 2, 0]]
    assert report.relevance(*harm(asks, answers)) != report.relevance(asks, answers)


def test_intervals_can_be_found_again(tmp_path):
    report.write_results(tmp_path / "results.json", _results())
    (result,) = report.read_found(tmp_path)
    mean, low, high = report.intervals.bootstrap(result.values)
    assert (mean, [low, high]) == (result.row["value"], result.row["ci95"])


def test_40_rows_of_fcvids_queries_stay_below_20_mb(tmp_path):
    values = np.random.default_rng(0).random((40, 45_600))  # no two alike: what compression helps least
    queries = np.arange(45_600)
    row = _results()[0].row | {"query_items": 45_600}
    report.write_results(tmp_path / "results.json", [report.Result(row, one, queries, 0) for one in values])
    assert (tmp_path / "per_query.npz").stat().st_size < 20e6
    np.testing.assert_array_equal(report.read_found(tmp_path)[39].values, values[39])


def _stale(folder):
    """results.json is of another run."""
    text = (folder / "results.json").read_text()
    (folder / "results.json").write_text(text.replace('"itq"', '"lsh"'))


def _torn(folder):
    whole = (folder / "per_query.npz").read_bytes()
    (folder / "per_query.npz").write_bytes(whole[: len(whole) // 2])


def _flipped(folder):
    with zipfile.ZipFile(folder / "per_query.npz") as archive:
        place = archive.getinfo("0.npy").header_offset + 200
    whole = bytearray((folder / "per_query.npz").read_bytes())
    whole[place] ^= 255
    (folder / "per_query.npz").write_bytes(whole)


def _bomb(folder):
    """An array of far more numbers than there are queries, small when it is packed."""
    with np.load(folder / "per_query.npz", allow_pickle=False) as held:
        arrays = dict(held)
    np.savez_compressed(folder / "per_query.npz", **arrays | {"0": np.zeros(10**6)})


def _pickled(folder):
    with np.load(folder / "per_query.npz", allow_pickle=False) as held:
        arrays = dict(held)
    np.savez_compressed(folder / "per_query.npz", **arrays | {"0": np.array([{}], object)})


@pytest.mark.parametrize(
    "harm, sentence",
    [
        (lambda folder: (folder / "per_query.npz").unlink(), "found no such file: run it again"),
        (_stale, "expected the values of results.json, found others"),
        (_torn, "found a damaged file"),
        (_flipped, "found a damaged file"),
        (_bomb, "found a damaged file: arrays of more than 40 queries"),
        (_pickled, "found a damaged file: Object arrays cannot be loaded"),
    ],
)
def test_values_that_are_not_those_of_the_rows_are_a_sentence(tmp_path, harm, sentence):
    report.write_results(tmp_path / "results.json", _results())
    harm(tmp_path)
    with pytest.raises(InputError, match=f"per_query.npz: .*{sentence}"):
        report.read_found(tmp_path)


@pytest.mark.parametrize(
    "text, sentence",
    [
        ("[{", "expected JSON"),
        ("{}", "expected a list of rows"),
        (json.dumps([{"method": "itq"}]), "row 0: expected the fields"),
        (None, "no such file"),
    ],
)
def test_a_bad_file_is_a_sentence(tmp_path, text, sentence):
    if text is not None:
        (tmp_path / "results.json").write_text(text)
    with pytest.raises(InputError, match=sentence):
        report.read_results(tmp_path / "results.json")


def test_comparisons_average_seeds_and_match_bits():
    found = [*_results(), *_results("new", 0.3, seed=0), *_results("new", -0.1, seed=1), *_results("new", bits=32)]
    compared = report.comparisons(found, ("itq",))
    (name,) = compared
    assert name == report.cell(found[1].row)
    assert compared[name].verdict == "won"
    np.testing.assert_allclose(compared[name].difference.mean, 0.1)


def test_table_shows_value_interval_spread_and_verdict():
    found = [*_results(), *_results(k=None, preset="she"), *_results("new", 0.3), *_results("new", 0.2, seed=1)]
    text = report.table([r.row for r in found], compared=report.comparisons(found, ("itq",)), baselines=("itq",))
    title, names, presets, itq, new = text.splitlines()[:5]
    assert title == "clips: test -> train"
    assert names.split() == ["method", "bits", "mAP@5", "mAP"]
    assert presets.split() == ["video,", "stable", "she,", "stable"]
    value, (low, high) = found[0].row["value"], found[0].row["ci95"]
    assert itq.split()[:4] == ["itq", "16", f"{value:.3f}"[1:], f"±{(high - low) / 2:.3f}".replace("±0", "±")]
    assert new.split()[2] == f"{value + 0.25:.3f}"[1:] and new.split()[4:] == ["s.071", "won", "-"]
    assert "against itq" in text


def test_a_matrix_shows_what_is_undefined_and_leaves_it_out_of_the_mean():
    rows = []
    for query, database, queries in (("image", "text", 40), ("text", "image", 0)):
        names = NAMES | {"query": f"{query} test", "database": f"{database} train"}
        scores = _scores(queries=queries, preset="trec", k=None)
        rows += [result.row for result in report.results(scores, method="she", bits=16, seed=0, **names)]
    lines = report.matrix(rows).splitlines()
    assert lines[2].split()[:2] == ["image", "-"] and lines[3].split()[:2] == ["text", "-"]
    assert lines[-1] == f"mean of 2 tasks {report._short(rows[0]['value'])}"
