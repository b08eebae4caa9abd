"""Every table and figure that shipped data can stand for, from its cells to its files, without a training."""

import functools
import json

import finished_runs
import numpy as np
import pytest

from jhash import experiment, intervals, report
from jhash.reproduce import again, command, data, outcome, page, runs
from jhash.types import InputError

EXHIBITS = [exhibit for paper in command.PAPERS for exhibit in command.exhibits(paper)]
SHIPPED = [
    (exhibit, name)
    for exhibit in EXHIBITS
    for name in (*exhibit.stand_ins, *(name for name in exhibit.datasets if name == data.SHAPES.name))
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One cache for all of them: many share runs."""
    return tmp_path_factory.mktemp("whole")


@pytest.fixture(autouse=True)
def untrained(monkeypatch):
    """Finished runs in place of runs, and numbers in place of those that need a trained network or a clock."""
    monkeypatch.setattr(experiment, "run", finished_runs.finish)
    monkeypatch.setattr(experiment, "dataset_of", finished_runs.data_of)
    monkeypatch.setattr(again, "load_model", finished_runs.load_model)
    monkeypatch.setattr(again, "_stream", lambda folder, seed, asked: np.linspace(0, 1, finished_runs.ITEMS))
    monkeypatch.setattr(again, "_errors", lambda folder, seed, asked: np.linspace(0, 1, finished_runs.ITEMS))
    monkeypatch.setattr(outcome.cost, "measure", lambda asked, changes, cache: (1.5, "median of one"))
    monkeypatch.setattr(report, "read_found", functools.cache(report.read_found))
    monkeypatch.setattr(intervals, "bootstrap", functools.partial(intervals.bootstrap, resamples=40))
    monkeypatch.setattr(intervals, "RESAMPLES", 40)
    monkeypatch.setattr(runs, "compile_cache", lambda cache: None)
    monkeypatch.setattr(runs.jax, "clear_caches", lambda: None)
    monkeypatch.setattr(runs.gc, "collect", lambda: None)


def words(exhibit, name, folder):
    kind, _, number = exhibit.name.partition(" ")
    asked = ["--table", exhibit.name] if exhibit.name == "complexity" else [f"--{kind.lower()}", number]
    on = [] if name == data.SHAPES.name else ["--dataset", name]
    return ["--paper", exhibit.paper, *asked, *on, "--budget", "quick", "--workdir", str(folder)]


def exhibit_of(paper, name):
    return next(one for one in EXHIBITS if (one.paper, one.name) == (paper, name))


@pytest.mark.parametrize(("exhibit", "name"), SHIPPED, ids=lambda value: getattr(value, "name", value))
def test_every_cell_that_can_be_filled_is_filled(exhibit, name, folder):
    before = set(folder.glob("*/table.json"))
    assert command.main(words(exhibit, name, folder)) == 0
    (made,) = set(folder.glob("*/table.json")) - before
    (part,) = json.loads(made.read_text())["parts"]
    grid = exhibit.grid(data.find(name))
    for row, line in zip(grid.rows, part["results"], strict=True):
        for column, cell in zip(grid.columns, line, strict=True):
            empty = row.changes is None or (column.measure is not None and row.measure(column.measure) is None)
            assert (cell["ours"] is None) == empty, (row.label, column.label, cell["why"])
            assert bool(cell["why"]) == empty
    for file in ("report.html", "table.tex", "table.md", "references.bib"):
        assert (made.parent / file).stat().st_size


def test_a_figure_of_three_weights_has_a_picture_each_and_no_gap_of_a_run_to_itself(tmp_path):
    command.main(words(exhibit_of("mcmsh", "Figure 3"), "jhmdb", tmp_path))
    found = json.loads((tmp_path / "mcmsh-figure-3-jhmdb-quick" / "table.json").read_text())
    drawn = {one["title"]: [line["name"] for line in one["lines"]] for one in found["pictures"][0]}
    assert drawn == {
        "jhmdb: α, 64 bits": ["α = 1", "α = 0.8", "α = 0.6"],
        "jhmdb: β, 64 bits": ["β = 0.05", "β = 0.1", "β = 0.2"],
        "jhmdb: γ, 64 bits": ["γ = 0.01", "γ = 0.05", "γ = 0.1"],
    }
    (part,) = found["parts"]
    gaps = {row for row, line in zip(part["rows"], part["results"], strict=True) if line[0]["gap"]}
    assert set(part["rows"]) - gaps == {"α = 0.8", "β = 0.1", "γ = 0.01"}


def test_a_figure_over_the_values_of_weights_has_a_line_over_them(tmp_path):
    command.main(words(exhibit_of("she", "Figure 3"), "wikipedia", tmp_path))
    found = json.loads((tmp_path / "she-figure-3-wikipedia-quick" / "table.json").read_text())
    drawn = {one["title"]: [line["x"] for line in one["lines"]] for one in found["pictures"][0]}
    assert drawn == {f"wikipedia: {name}": [[0, 1, 2, 4, 6, 8, 10]] for name in "αβ"}


def test_searches_say_whose_they_are_and_how_to_read_them(tmp_path):
    command.main(words(exhibit_of("mcmsh", "Figure 7"), "nmnist", tmp_path))
    text = (tmp_path / "mcmsh-figure-7-nmnist-quick" / "report.html").read_text()
    for method in ("MCMSH", "ITQ", "LSH"):
        assert text.count(f"<h3>nmnist: {method}, the 5 nearest items of 6 queries</h3>") == 1
    assert text.count("Beside each query stand the 5 items whose codes of 64 bits") == 1


def test_all_tables_end_with_what_was_made_and_what_was_skipped(folder, capsys):
    words = ["--paper", "mcmsh", "--table", "all", "--dataset", "jhmdb", "--budget", "quick", "--workdir", str(folder)]
    assert command.main(words) == 0
    captured = capsys.readouterr()
    made, skipped = captured.out.split("\nMade:\n")[1].split("\nSkipped:\n")
    assert [line.split(":")[0].strip() for line in made.splitlines()] == ["Table 1", "Table 2", "Table 3", "Table 5"]
    assert skipped == "  Table 4: jhmdb cannot take the place of fcvid\n"
    assert captured.err.count("Table 4: skipped: jhmdb cannot") == 1


def test_a_table_that_cannot_be_read_does_not_end_the_others(tmp_path, monkeypatch, capsys):
    def broken(folder, exhibit, *_):
        if exhibit.name == "Table 3":
            raise InputError("its codes can't be read.")
        return "a page"

    monkeypatch.setattr(page, "write", broken)
    words = ["--paper", "dsmhn", "--table", "all", "--workdir", str(tmp_path), "--data", str(tmp_path)]
    assert command.main(words) == 3
    assert capsys.readouterr().out.endswith("Skipped:\n  Table 3: its codes can't be read.\n")
