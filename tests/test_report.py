"""results.json: its fields, no NaN, whole or not at all; and the table that a terminal shows."""

import json

import numpy as np
import pytest

from jhash import report
from jhash.metrics import Scores
from jhash.types import InputError

NAMES = {"variant": None, "dataset": "clips", "query": "test", "database": "train", "items": (40, 100)}


def _scores(gain=0.0, queries=40, preset="video", k=5):
    values = np.random.default_rng(0).random(queries) * 0.5 + gain
    return Scores(preset, "stable", np.arange(queries), {("map", k): values})


def _results(method="itq", gain=0.0, seed=0, bits=16, **scores):
    return report.results(_scores(gain, **scores), method=method, bits=bits, seed=seed, **NAMES)


def test_a_row_has_every_field_and_comes_back_as_written(tmp_path):
    (result,) = _results()
    report.write_results(tmp_path / "results.json", [result.row])
    assert report.read_results(tmp_path / "results.json") == [result.row]
    assert set(result.row) == set(report.FIELDS)
    low, high = result.row["ci95"]
    assert low < result.row["value"] == result.values.mean() < high


def test_no_query_is_null(tmp_path):
    rows = [result.row for result in _results(queries=0)]
    report.write_results(tmp_path / "results.json", rows)
    assert '"value": null' in (tmp_path / "results.json").read_text()
    assert "-" in report.table(rows).splitlines()[-3]


def test_nan_is_refused_and_the_file_before_stays(tmp_path):
    path, (result,) = tmp_path / "results.json", _results()
    report.write_results(path, [result.row])
    with pytest.raises(ValueError, match="JSON compliant"):
        report.write_results(path, [result.row | {"value": float("nan")}])
    assert report.read_results(path) == [result.row]


def test_a_write_that_fails_leaves_nothing_half_written(tmp_path, monkeypatch):
    path, (result,) = tmp_path / "results.json", _results()
    report.write_results(path, [result.row])

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(report.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        report.write_results(path, [])
    assert report.read_results(path) == [result.row]
    assert [entry.name for entry in tmp_path.iterdir()] == ["results.json"]


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
