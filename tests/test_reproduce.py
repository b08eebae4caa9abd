"""The tables of the papers: printed numbers, what each needs, which runs that makes, and what is said of the result."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from jhash import intervals
from jhash.config import method_of
from jhash.reproduce import cells, cmgcah, command, cost, data, findings, grid, measured, outcome, page, printed, runs
from jhash.types import InputError

TABLES = Path(__file__).parents[2] / "shared" / "tables"
COVERED = {
    "she": "Table 2, Table 3, Table 4, Table 5, Table 7, Figure 2, Figure 3, Figure 4, Figure 5, Figure 6, Figure 7",
    "dkph": "Table 1, Table 2, Table 3, Table 4, Table 5, Table 6, Figure 5, Figure 6, Figure 7, Figure 8",
    "mcmsh": "Table 1, Table 2, Table 3, Table 4, Table 5, Figure 3, Figure 4, Figure 5, Figure 6, Figure 7",
    "cmgcah": "Table I, Table II, Table III, Table IV, Figure 2, Figure 3",
    "dsmhn": "Table 1, Table 2",
}
EXHIBITS = [exhibit for paper in command.PAPERS for exhibit in command.exhibits(paper)]
ALL = [(e, name) for e in EXHIBITS for name in (*e.datasets, *e.stand_ins) if data.find(name)]


def named(paper, name):
    return next(exhibit for exhibit in command.exhibits(paper) if exhibit.name == name)


def asked(folder="nowhere", seeds=1, budget="quick"):
    return cells.Asked(Path(folder), seeds, budget)


def title(value):
    return f"{value.paper}-{value.name}" if isinstance(value, grid.Exhibit) else None


# the print


@pytest.mark.parametrize("paper", printed.PAPERS)
def test_each_printed_row_has_a_number_or_none_for_each_column(paper):
    for table in printed.paper(paper)["tables"]:
        assert {len(row["values"]) for row in table["rows"]} == {len(table["columns"])} == {len(table["decimals"])}


@pytest.mark.parametrize("paper", printed.PAPERS)
def test_printed_numbers_are_those_of_the_transcription(paper):
    if not TABLES.is_dir():
        pytest.skip("../shared/tables, the transcription of the papers, is not here")
    given = {t["id"]: t for t in json.loads((TABLES / f"{paper}.json").read_text())["tables"]}
    for table in printed.paper(paper)["tables"]:
        rows = given[table["name"]]["rows"]
        assert [(row["label"], row["values"]) for row in table["rows"]] == [(r["method"], r["values"]) for r in rows]


def test_what_is_said_of_the_samples_weights_is_what_their_configs_have(tmp_path):
    fashion, wikipedia = (
        data.config_of("cmgcah", data.find(name), tmp_path, "full").hyper for name in ("fashion", "wikipedia")
    )
    assert (wikipedia.normalised, wikipedia.alpha) == ("rows", 0.01)
    assert f"Wikipedia's β is {wikipedia.beta:g} for .0001".replace("0.", ".") in cmgcah.SHIPPED
    assert f"its γ {wikipedia.gamma:g} for .01".replace("0.", ".") in cmgcah.SHIPPED
    assert fashion.normalised == "mean" and fashion.bias_correction and not wikipedia.bias_correction
    assert fashion.alpha == fashion.beta == pytest.approx(2559 * wikipedia.alpha, rel=1e-3)
    assert fashion.gamma == pytest.approx(64 * wikipedia.gamma)
    assert (
        f"means over pairs and bits, not sums, with α = β = {fashion.beta:g} and γ {fashion.gamma:g}" in cmgcah.SHIPPED
    )


def test_printed_means_are_the_means_of_their_columns():
    """Half up, as the paper rounds."""
    for number in ("Table 2", "Table 3", "Table 4", "Table 7"):
        table = printed.table("she", number)
        for values in table.rows.values():
            for place, column in enumerate(table.columns):
                if "over" in column and values[place] is not None:
                    exact = round(sum(round(10 * values[i]) for i in column["over"]) / len(column["over"]), 6)
                    assert int(exact + 0.5) == round(10 * values[place])


# what there is


@pytest.mark.parametrize("paper", COVERED)
def test_every_table_and_figure_is_there(paper):
    assert set(COVERED[paper].split(", ")) <= {exhibit.name for exhibit in command.exhibits(paper)}


@pytest.mark.parametrize("exhibit", [e for e in EXHIBITS if e.printed], ids=title)
def test_every_printed_row_and_column_has_its_place(exhibit):
    seen = set()
    for name in exhibit.datasets:
        found = exhibit.grid(data.find(name))
        whole = printed.table(exhibit.paper, exhibit.printed, outcome.rows_of(exhibit, data.find(name)))
        assert set(whole.rows) == {row.label for row in found.rows} & set(whole.rows)
        seen |= {column.printed for column in found.columns}
    if exhibit.name.startswith("Table"):
        assert seen - {None} == set(range(len(whole.columns)))


@pytest.mark.parametrize(("exhibit", "name"), ALL, ids=lambda v: title(v) or v)
def test_every_cell_is_an_experiment_that_its_method_accepts(exhibit, name):
    found = exhibit.grid(data.find(name))
    assert found.reference in {"", *(row.label for row in found.rows)}
    for row in found.rows:
        for column in found.columns:
            if row.changes is None or column.over or isinstance(row.measure(column.measure), grid.Cost):
                continue
            for budget in ("quick", "full"):
                config = data.config_of(exhibit.paper, column.data, Path("data"), budget)
                config.update_from_flattened_dict(dict(column.changes) | dict(row.changes))
                method_of(config)
            assert not row.method or row.method in config.baselines


@pytest.mark.parametrize("key", data.QUICK, ids="-".join)
def test_a_quick_budget_trains_for_a_shorter_time(key):
    quick, full = (data.config_of(key[0], data.find(key[1]), Path("data"), b).to_dict() for b in ("quick", "full"))
    for field, value in data.QUICK[key].items():
        room, name = field.split(".")
        assert value < (full[room][name] or np.inf) and quick[room][name] == value


# runs


def test_cells_of_one_run_and_tables_of_one_paper_share_it():
    table2 = cells.blocks(named("dkph", "Table 2"), ["nmnist"], asked())
    table1 = cells.blocks(named("dkph", "Table 1"), ["nmnist"], asked())
    assert len(cells.runs_needed(table2)) == 8 * 3  # eight variants that jhash has, at three lengths
    shared = {run.key for run in cells.runs_needed(table2)} & {run.key for run in cells.runs_needed(table1)}
    assert len(shared) == 2 * 3  # the method as it stands, and without the dual stream


def test_each_seed_is_a_run_of_its_own():
    one, five = (cells.runs_needed(cells.blocks(named("she", "Table 5"), ["digits"], asked(seeds=n))) for n in (1, 5))
    assert (len(one), len(five)) == (5, 25) and {run.key for run in one} <= {run.key for run in five}


def test_quick_and_full_runs_are_not_mistaken_for_each_other():
    quick, full = (
        {r.key for r in cells.runs_needed(cells.blocks(named("she", "Table 5"), ["digits"], asked(budget=b)))}
        for b in ("quick", "full")
    )
    assert not quick & full


def test_a_run_is_named_by_the_modules_it_imports_and_no_others():
    found = runs.modules(["dkph"])
    assert {"methods/dkph.py", "losses/dkph.py", "encoders/dual_stream.py", "train.py", "metrics.py"} <= set(found)
    assert not {"losses/mcmsh.py", "methods/mcmsh.py", "pages/html.py", "reproduce/page.py"} & set(found)
    assert "losses/mcmsh.py" in runs.modules(["mcmsh"])


def test_a_changed_module_changes_the_name_of_the_runs_that_import_it(monkeypatch):
    before = {name: runs.module_digest.__wrapped__((name,)) for name in ("dkph", "mcmsh")}
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda self: read(self) + b"\n# more" * self.match("losses/mcmsh.py"))
    after = {name: runs.module_digest.__wrapped__((name,)) for name in ("dkph", "mcmsh")}
    assert before["dkph"] == after["dkph"] and before["mcmsh"] != after["mcmsh"]


def test_other_data_make_other_runs():
    config = data.config_of("she", data.find("digits"), Path("data"), "quick")
    assert runs.run_of(config, "one digest", "").key != runs.run_of(config, "another", "").key


def test_a_set_that_is_not_here_leaves_its_cells_empty_with_the_reason(tmp_path):
    (block,) = cells.blocks(named("dkph", "Table 2"), [], asked(tmp_path))
    assert "fcv_train_feats.h5" in block.missing and not cells.runs_needed([block])
    found = outcome.part(named("dkph", "Table 2"), block, tmp_path, {})
    assert {cell.ours for row in found.results for cell in row} == {None}
    assert found.results[-1][0].printed == 0.297 and "fcv_train_feats.h5" in found.results[-1][0].why


def test_a_set_of_another_paper_is_refused():
    with pytest.raises(InputError, match="--dataset: expected one of fcvid, nmnist, jhmdb for Table 2, found 'digits'"):
        cells.blocks(named("dkph", "Table 2"), ["digits"], asked())


def test_itq_of_each_medium_by_itself_is_asked_within_media_alone():
    (block,) = cells.blocks(named("dsmhn", "Table 1"), ["wikipedia"], asked())
    itq = block.cells[[row.label for row in block.grid.rows].index("ITQ")]
    within = [column.label.split(",")[0] in ("image → image", "text → text") for column in block.grid.columns]
    assert [cell.measure is not None for cell in itq] == within == [bool(cell.runs) for cell in itq]


# numbers


def test_the_mean_over_directions_is_the_mean_of_their_means():
    random = np.random.default_rng(0)
    tasks = [("image", random.random(30)), ("image", random.random(30)), ("audio", random.random(12))]
    found = measured.of_directions(tasks)
    assert found.value == pytest.approx(np.mean([values.mean() for _, values in tasks]), abs=1e-12)
    assert [len(stratum) for stratum in found.strata] == [12, 30] and found.shares == pytest.approx((1 / 3, 2 / 3))


def test_directions_with_other_queries_stay_apart():
    found = measured.of_directions([("image", np.zeros(3)), ("image", np.ones(4))])
    assert [len(stratum) for stratum in found.strata] == [3, 4] and found.shares == (0.5, 0.5) and found.value == 0.5


def test_an_interval_of_one_direction_is_that_of_results_json():
    values = np.random.default_rng(0).random(50)
    low, high = measured.interval(measured.of_directions([("test", values)]))
    assert (low, high) == intervals.bootstrap(values)[1:]


def test_an_interval_over_media_has_the_width_of_its_standard_error():
    random = np.random.default_rng(0)
    found = measured.of_directions([("image", random.normal(size=400)), ("text", random.normal(size=100))])
    low, high = measured.interval(found)
    error = np.sqrt(sum(0.25 * stratum.var() / len(stratum) for stratum in found.strata))
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_seeds_are_averaged_query_by_query_and_their_spread_is_kept():
    seeds = [measured.of_directions([("test", np.full(4, value))]) for value in (0.1, 0.2, 0.6)]
    found = measured.over_seeds(seeds)
    assert found.value == pytest.approx(0.3) and found.deviation == pytest.approx(np.std([0.1, 0.2, 0.6], ddof=1))
    np.testing.assert_allclose(found.strata[0], 0.3)


def test_a_gap_is_judged_query_by_query():
    base = np.random.default_rng(0).random(60)
    one, other = (measured.of_directions([("test", values)]) for values in (base + 0.01, base))
    gap, (low, high) = measured.difference(one, other)
    assert gap == pytest.approx(0.01) and low == pytest.approx(0.01) and high == pytest.approx(0.01)


def part(rows, reference="full", seeds=1, lower=False):
    """A part of one column from {label: (ours, printed, low, high of the gap)}."""
    base = rows[reference]
    results = []
    for ours, of_print, low, high in rows.values():
        gap = None
        if low is not None:
            gap = outcome.Gap(ours - base[0], low, high, None if of_print is None else of_print - base[1])
        results.append((outcome.Result(ours=ours, printed=of_print, gap=gap),))
    facts = {"data": "d", "stands_for": "", "about": "", "columns": ("c",), "decimals": (3,), "missing": ""}
    facts |= {"ordered": (True,), "lower": (lower,), "results": tuple(results), "seeds": seeds, "unit": "as fractions"}
    return outcome.Part(rows=tuple(rows), reference=reference, **facts)


def test_findings_count_pairs_in_the_printed_order_and_clear_gaps():
    rows = {"a": (0.3, 0.1, -0.3, -0.1), "b": (0.4, 0.2, -0.2, 0.1), "c": (0.7, 0.3, 0.1, 0.3)}
    found = part(rows | {"full": (0.5, 0.4, None, None)})
    # six pairs; c stands above full here and below it in print
    pairs, gaps = findings.orderings(found)
    assert "all columns: 6;" in pairs and "order here, by one seed: 5 (83 %)" in pairs
    assert "gaps to full: 3; with" in gaps and "by one seed: 2; of these with the printed sign: 1." in gaps
    line = findings.rows(found)[0]
    assert line.startswith("a: −0.200 on average against full, printed −0.300; more is better: ")
    assert line.endswith("better side of 0 in 0, on the worse side in 1 of 1 columns, by one seed.")


def test_of_an_error_the_lower_row_is_the_better():
    (line,) = findings.rows(part({"a": (0.3, None, -0.3, -0.1), "full": (0.5, 0.4, None, None)}, lower=True))
    assert "less is better" in line and "better side of 0 in 1, on the worse side in 0" in line


def test_a_verdict_says_over_how_many_seeds_and_warnings_stand_before_it():
    rows = {"a": (0.3, 0.1, -0.3, -0.1), "full": (0.5, 0.4, None, None)}
    found = dataclasses.replace(part(rows, seeds=3), stands_for="print's", quick="Budget quick on d.")
    lines = findings.said(found)
    assert "stands in" in lines[0] and lines[1] == "Budget quick on d."
    assert all("by means over 3 seeds" in line for line in lines[2:]) and len(lines) == 5


def test_one_seed_is_a_warning_and_no_word_of_certainty_follows(tmp_path):
    rows = {"a": (0.3, 0.1, -0.3, -0.1), "full": (0.5, 0.4, None, None)}
    found = part(rows)
    ran = tuple((dataclasses.replace(line[0], runs=("run",)),) for line in found.results)
    lines = findings.said(dataclasses.replace(found, results=ran))
    assert lines[0] == findings.ONE_SEED
    assert not re.search("significan|clear|prove", " ".join([*lines, page.LEGEND]))


def test_many_gaps_are_set_beside_those_that_chance_gives():
    rows = {str(i): (0.3, None, -0.3, -0.1 + 0.1 * i) for i in range(8)}
    (line,) = findings.orderings(part(rows | {"full": (0.5, None, None, None)}))
    assert line.startswith("8 gaps are looked at, 1 of them") and "about 0.4 (5 %)" in line


@pytest.mark.parametrize(("stand_in", "beside"), [("digits", False), ("wikipedia", True)])
def test_competitors_without_a_printed_number_have_no_row(stand_in, beside):
    rows = named("she", "Table 2").grid(data.find(stand_in)).rows
    assert ("SCH" in [row.label for row in rows]) == beside and rows[-1].label == "SHE"


def test_other_features_of_the_same_set_are_told_by_their_name(tmp_path):
    (block,) = cells.blocks(named("she", "Table 5"), ["wikipedia"], asked())
    found = outcome.part(named("she", "Table 5"), block, tmp_path / "runs", {})
    assert page._where(found) == "wikipedia (classic features) in the place of wikipedia (deep features)"
    assert findings.warnings(found)[0].startswith("wikipedia (classic features) (")


def test_rows_printed_alike_are_not_counted_as_ordered():
    (line,) = findings.orderings(part({"a": (0.3, 0.4, -1.0, 1.0), "full": (0.5, 0.4, None, None)})) or [""]
    assert "Pairs of rows" not in line


def test_gaps_without_a_print_are_said_row_by_row_and_not_counted():
    found = part({"a": (0.3, None, -0.3, -0.1), "full": (0.5, 0.4, None, None)})
    assert findings.orderings(found) == []
    assert "a: −0.200 on average against full; more is better" in findings.rows(found)[0]


def test_sizes_and_means_of_other_columns_are_not_ordered(tmp_path, monkeypatch):
    monkeypatch.setattr(outcome.cost, "measure", lambda *_: (1.0, ""))
    (block,) = cells.blocks(named("mcmsh", "Table 2"), ["jhmdb"], asked())
    found = outcome.part(named("mcmsh", "Table 2"), block, tmp_path / "runs", {})
    assert found.ordered == (True, True, True, True, True, False)
    (block,) = cells.blocks(named("she", "Table 2"), ["wikipedia"], asked())
    found = outcome.part(named("she", "Table 2"), block, tmp_path / "runs", {})
    assert found.ordered == (True, True, True, True, False) * 2


@pytest.mark.parametrize(
    ("paper", "name", "stand_in", "printed_set"),
    [
        ("cmgcah", "Table IV", "wikipedia", "mirflickr-25k"),
        ("cmgcah", "Table III", "fashion", "ms-coco"),
        ("she", "Table 4", "digits", "xmedianet"),
        ("she", "Table 5", "wikipedia", "wikipedia"),
        ("mcmsh", "Figure 7", "jhmdb", "activitynet"),
        ("dsmhn", "Table 1", "fashion", ""),
    ],
)
def test_a_stand_in_stands_for_the_set_of_the_table(paper, name, stand_in, printed_set, tmp_path):
    (block,) = cells.blocks(named(paper, name), [stand_in], asked())
    assert outcome.part(named(paper, name), block, tmp_path / "runs", {}).stands_for == printed_set


def test_a_printed_mean_of_columns_that_stand_beside_it_is_not_compared_again(tmp_path):
    """With five media of other names it has only itself to be compared with."""
    for names, compared in (([], False), (["digits"], True)):
        (block,) = cells.blocks(named("she", "Table 3"), names, asked(tmp_path))
        assert outcome._ordered(block, printed.table("she", "Table 3"))[-1] is compared


def test_a_mean_of_two_directions_is_not_set_beside_one_of_twenty():
    assert named("she", "Table 3").grid(data.find("wikipedia")).columns[-1].printed is None
    assert named("she", "Table 3").grid(data.find("digits")).columns[-1].printed == 20


def test_runs_of_other_orders_of_media_are_compared_query_by_query():
    random = np.random.default_rng(0)
    tasks = [("image", random.random(30)), ("stroke", random.random(30)), ("audio", random.random(9))]
    one, other = measured.of_directions(tasks), measured.of_directions(tasks[::-1])
    assert measured.difference(one, other) == (pytest.approx(0), (pytest.approx(0), pytest.approx(0)))


def test_other_askers_have_no_interval_of_their_difference():
    values = np.random.default_rng(0).random(30)
    one, other = (measured.of_directions([(name, values)]) for name in ("image", "text"))
    assert measured.difference(one, other) == (0, None)


def test_quick_says_what_it_changes_and_published_sets_have_no_quick():
    exhibit = named("mcmsh", "Table 1")
    line = page._quick(exhibit, cells.blocks(exhibit, ["jhmdb"], asked())[0], asked())
    assert "hyper.steps 400 in place of 1500" in line
    assert page._quick(exhibit, cells.blocks(exhibit, [], asked())[0], asked()) == ""


# all of a paper's


def parsed(*words):
    return command.parser().parse_args(words)


def test_all_tables_leave_out_those_that_the_data_cannot_stand_for():
    found, skipped = command.split(parsed("--paper", "mcmsh", "--table", "all", "--dataset", "nmnist"))
    assert [one.name for one in found] == ["Table 1", "Table 2", "Table 3", "Table 5"]  # Table 5 needs no data
    assert skipped == {"Table 4": "nmnist cannot take the place of fcvid"}


def test_all_tables_take_of_several_data_sets_those_that_each_can_have():
    asked = parsed("--paper", "she", "--table", "all", "--dataset", "xmedia", "--dataset", "nuswide")
    found, skipped = command.split(asked)
    names = {one.name: command.names_for(one, asked) for one in found}
    assert names["Table 2"] == ["nuswide"] and names["Table 5"] == ["xmedia", "nuswide"]
    assert list(skipped) == ["Table 4"]


def test_a_set_of_no_table_is_refused_also_for_all_of_them():
    with pytest.raises(InputError, match="--dataset: expected one of fcvid, nmnist, jhmdb, shapes, found 'nmnits'"):
        command.split(parsed("--paper", "mcmsh", "--table", "all", "--dataset", "nmnits"))


# times and names


def test_a_time_of_another_processor_is_measured_again(tmp_path, monkeypatch):
    asked = grid.Cost("milliseconds", "mcmsh_fcvid", (("video", (25, 4096)),))
    measured_on = []

    def measured(method, asked, device):
        measured_on.append(device)
        return {"parameters": 1.0, "multiply_adds": 1.0, "milliseconds": float(len(measured_on)), "how": device}

    monkeypatch.setattr(cost, "_measured", measured)
    found = []
    for machine in ("cpu, one, 2 cores", "cpu, one, 4 cores", "cpu, other, 2 cores", "cpu, one, 2 cores"):
        monkeypatch.setattr(runs, "machine", lambda machine=machine: machine)
        found.append(cost.measure(asked, {}, tmp_path / "runs"))
    assert found == [(1, "cpu, one, 2 cores"), (2, "cpu, one, 4 cores"), (3, "cpu, other, 2 cores"), found[0]]


def test_a_damaged_time_is_measured_again(tmp_path, monkeypatch, capsys):
    asked = grid.Cost("parameters", "mcmsh_fcvid", (("video", (25, 4096)),))
    monkeypatch.setattr(cost, "_measured", lambda *_: {"parameters": 1.0})
    cost.measure(asked, {}, tmp_path / "runs")
    (kept,) = (tmp_path / "costs").iterdir()
    kept.write_text("{")
    assert cost.measure(asked, {}, tmp_path / "runs") == (1.0, "") and json.loads(kept.read_text())
    assert capsys.readouterr().err.count(kept.name) == 1


def test_a_machine_is_named_by_its_processor_and_the_cores_that_may_be_used(monkeypatch):
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "processor : 0\nmodel name\t: Some Processor @ 1 GHz\n")
    monkeypatch.setattr(runs.os, "sched_getaffinity", lambda _: {0, 5, 6})
    assert runs.machine().endswith(", Some Processor @ 1 GHz, 3 cores")


@pytest.mark.parametrize("exhibit", command.exhibits("dsmhn")[:3], ids=title)
def test_a_table_that_the_paper_does_not_print_is_called_ours(exhibit):
    assert "a table of ours, our numbers only" in exhibit.title and "not the paper's" in exhibit.notes[0]
    assert not exhibit.stand_ins or any("in the place of MIRFLICKR-25K" in note for note in exhibit.notes)
