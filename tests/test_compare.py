"""Workdirs side by side: what is compared with what, what is refused, what is printed and drawn."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import page_reader
import pytest
import trained_runs

from jhash import compare, compare_folders, compared, given, intervals, report
from jhash.compared import Column
from jhash.metrics import Scores

ROOT = Path(compare.__file__).parent.parent
QUERIES, ITEMS = 30, 100
MAP = Column("test", "train", "trec", "stable", "map", None)


def values(seed, gain=0.0, size=QUERIES):
    return np.random.default_rng(seed).random(size) * 0.5 + gain


def classes(size, number=3):
    """Labels [size, number], a class each."""
    return np.eye(number, dtype=np.uint8)[np.arange(size) % number]


def results(method, by_metric, *, variant=None, bits=16, seed=0, preset="trec", **more):
    """Rows of a method: metric and cut-off -> values [S]."""
    names = {"dataset": "clips", "query": "test", "database": "train"} | more
    names.setdefault("labels", (classes(QUERIES), classes(ITEMS)))
    counted = names.pop("counted", np.arange(len(next(iter(by_metric.values())))))
    scores = Scores(preset, names.pop("ties", "stable"), counted, by_metric)
    return report.results(scores, method=method, variant=variant, bits=bits, seed=seed, **names)


def workdir(folder, found, *, seed=0, own=None, **data):
    """A workdir of an experiment, or, where `own` is '', of given codes."""
    folder.mkdir(parents=True)
    report.write_results(folder / "results.json", found)
    if own != "":
        config = {"method": own or found[0].row["method"], "seed": seed, "data": {"name": "clips", "fold": ""} | data}
        (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.fixture
def two(tmp_path):
    """Two experiments: 'old' by two seeds beside a baseline, and 'new', which is better."""
    old = [*results("old", {("map", None): values(1)}), *results("old", {("map", None): values(2)}, seed=1)]
    old = [*results("itq", {("map", None): values(3)}), *old]
    new = results("new", {("map", None): values(1, 0.2)}, variant="wide", bits=32)
    return [workdir(tmp_path / "a", old, own="old"), workdir(tmp_path / "b", new)]


def field_of(folders):
    return compared.contenders(compare_folders.read_folders(folders))


def refused(capsys, *arguments):
    assert compare.main([str(one) for one in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("jhash: error: ") and err.count("\n") == 1
    return err.removeprefix("jhash: error: ").strip()


# ---- what is compared


def test_every_method_of_every_folder_stands_against_the_first_ones_own(two):
    field = field_of(two)
    assert [one.name for one in field] == ["old, 16 bits, a", "itq, 16 bits, a", "new (wide), 32 bits, b"]
    lines = compared.compare(field, MAP)
    assert [line.contender.name for line in lines] == [one.name for one in field]
    assert lines[0].verdict is None and lines[2].verdict == "won"


def test_seeds_are_averaged_query_by_query_first(two):
    reference, itq, new = compared.compare(field_of(two), MAP)
    average = (values(1) + values(2)) / 2
    assert reference.value == intervals.bootstrap(average)
    assert new.difference == intervals.compare(values(1, 0.2), average).difference
    assert itq.p == intervals.sign_flip_test(values(3), average)


def test_p_is_corrected_for_the_comparisons_of_a_column(two):
    _, itq, new = compared.compare(field_of(two), MAP)
    assert [itq.p_holm, new.p_holm] == intervals.holm([itq.p, new.p]).tolist()
    assert new.p_holm == 2 * new.p  # the smaller of two


def test_a_verdict_goes_by_the_corrected_p(tmp_path):
    """The interval of 'b' excludes 0 and its own p is below .05; of three comparisons together it's no finding."""
    reference, noise = values(1), np.random.default_rng(5).normal(size=QUERIES)
    shift = 0.019 + 0.05 * (noise - noise.mean()) / noise.std()
    found = [results(name, {("map", None): reference + by}) for name, by in (("b", shift), ("c", 0), ("d", -0.3))]
    folders = [workdir(tmp_path / "a", results("a", {("map", None): reference}))]
    folders += [workdir(tmp_path / one[0].row["method"], one) for one in found]
    _, b, c, d = compared.compare(field_of(folders), MAP)
    assert b.difference.low > 0 and b.p < 0.05 < b.p_holm
    assert [line.verdict for line in (b, c, d)] == ["tied", "tied", "lost"]


def again(folders):
    kept, dropped = compared.distinct(field_of(folders))
    return [one.name for one in kept], [(one.name, other.name) for one, other in dropped]


def test_a_baseline_of_several_folders_counts_once(tmp_path):
    cosine = results("cosine", {("map", None): values(3)}, bits=None)
    folders = [
        workdir(tmp_path / name, [*results(name, {("map", None): values(seed)}), *cosine], own=name)
        for seed, name in enumerate("ab")
    ]
    folders.append(workdir(tmp_path / "cosine", cosine, own="cosine"))
    kept, dropped = again(folders)
    assert kept == ["a, 16 bits, a", "b, 16 bits, b", "cosine, real, cosine"]
    assert dropped == [(f"cosine, real, {name}", "cosine, real, cosine") for name in "ab"]


@pytest.mark.parametrize(
    "more", [{"seed": 1}, {"bits": 32}, {"variant": "wide"}, {"values": values(4)}], ids=lambda more: next(iter(more))
)
def test_baselines_that_differ_in_anything_count_each(tmp_path, more):
    changed = dict(more)
    theirs = results("itq", {("map", None): changed.pop("values", values(3))}, **changed)
    folders = [
        workdir(
            tmp_path / "a", [*results("a", {("map", None): values(1)}), *results("itq", {("map", None): values(3)})]
        ),
        workdir(tmp_path / "b", [*results("b", {("map", None): values(2)}), *theirs]),
    ]
    assert len(again(folders)[0]) == 4


def test_a_run_whose_settings_change_nothing_keeps_its_line(tmp_path):
    found = results("m", {("map", None): values(1)})
    folders = [workdir(tmp_path / name, found) for name in "abc"]
    for name, dropout in (("a", 0.0), ("b", 0.5), ("c", 0.0)):
        file = tmp_path / name / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"hyper": {"dropout": dropout}}))
    kept, dropped = again(folders)
    assert kept == ["m, 16 bits, a", "m, 16 bits, b"] and dropped == [("m, 16 bits, c", "m, 16 bits, a")]


def test_what_counts_once_is_said(tmp_path, capsys):
    cosine = results("cosine", {("map", None): values(3)}, bits=None)
    folders = [
        workdir(tmp_path / name, [*results(name, {("map", None): values(1)}), *cosine], own=name) for name in "ab"
    ]
    page = drawn(folders, tmp_path / "page.html")
    sentence = "cosine, real, b: the same values, query by query, as cosine, real, a, and counted once."
    assert sentence in page and sentence in capsys.readouterr().out


def test_folders_of_one_name_keep_their_paths(tmp_path):
    names = [workdir(tmp_path / one / "run", results("m", {("map", None): values(1)})) for one in "ab"]
    assert [one.name for one in field_of(names)] == [f"m, 16 bits, {name}" for name in names]


def test_columns_are_those_that_all_folders_have(tmp_path):
    def found(*ks):
        return results("m", {("map", k): values(1) for k in ks} | {("precision", 5): values(2)})

    folders = [workdir(tmp_path / "a", found(5, 10, 20, None)), workdir(tmp_path / "b", found(None, 20, 10))]
    field = field_of(folders)
    titles = [column.title for column in compared.columns(field, None, None)]
    assert titles == ["mAP@20, trec, stable", "mAP, trec, stable"]
    assert [column.k for column in compared.columns(field, "map", None)] == [10, 20, None]
    assert [column.k for column in compared.columns(field, None, [10])] == [10]
    assert [column.title for column in compared.columns(field, "precision", None)] == ["precision@5, trec, stable"]


def test_a_column_without_a_query_that_counts_is_left_out(tmp_path):
    found = results("m", {("map", None): values(1)}) + results("m", {("map", None): values(1, size=0)}, preset="she")
    folders = [workdir(tmp_path / name, found) for name in "ab"]
    assert [column.preset for column in compared.columns(field_of(folders), None, None)] == ["trec"]


def test_a_method_that_lacks_a_column_has_no_line_in_it(tmp_path):
    old = results("m", {("map", None): values(1)}, ties="expected")
    real = results("cosine", {("map", None): values(2)}, bits=None)
    folders = [workdir(tmp_path / "a", [*old, *real]), workdir(tmp_path / "b", old)]
    field = field_of(folders)
    (column,) = compared.columns(field, None, None)
    assert [line.contender.name for line in compared.compare(field, column)] == ["m, 16 bits, a", "m, 16 bits, b"]


def test_given_codes_stand_under_the_experiments_task(tmp_path):
    theirs = results("net", {("map", None): values(2)}, dataset="given", query="query", database="database", seed=None)
    folders = [
        workdir(tmp_path / "net", theirs, own=""),
        workdir(tmp_path / "a", results("m", {("map", None): values(1)})),
    ]
    reference, line = compared.compare(field_of(folders), MAP)
    assert (reference.contender.method, line.contender.method) == ("net", "m")


# ---- what is refused


def other(**more):
    size = more.pop("size", QUERIES)
    return results("m", {(more.pop("metric", "map"), None): values(1, size=size)}, **more)


REFUSED = {
    "dataset": (other(dataset="films"), "dataset: expected 'clips', as in A, found 'films'"),
    "task": (other(query="image"), "query and database: expected test -> train, as in A, found image -> train"),
    "queries": (
        other(labels=(classes(31), classes(ITEMS))),
        "query_items of test -> train: expected 30, as in A, found 31",
    ),
    "items": (
        other(labels=(classes(QUERIES), classes(99))),
        "database_items of test -> train: expected 100, as in A, found 99",
    ),
    "ties": (other(ties="expected"), "preset and ties: expected trec, stable, as in A, found trec, expected"),
    "preset": (other(preset="she"), "preset and ties: expected trec, stable, as in A, found she, stable"),
    "counted": (other(size=29), "queries that count in test -> train, trec: expected 30, as in A, found 29"),
    "labels": (
        other(labels=(classes(QUERIES)[::-1], classes(ITEMS))),
        "labels of test -> train: expected those of the same queries and items, as in A, found others",
    ),
    "others": (other(counted=np.arange(1, 31)), "expected 30, as in A, found 30 others"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_compared_is_a_sentence(tmp_path, capsys, case):
    found, sentence = REFUSED[case]
    first, second = workdir(tmp_path / "a", other()), workdir(tmp_path / "b", found)
    said = refused(capsys, first, second)
    assert said.startswith(f"{second}: ") and sentence.replace("A,", f"{first},") in said


@pytest.mark.parametrize(
    "seed, data, sentence",
    [
        (1, {"fold": "1/5"}, "config.seed: expected 0"),
        (1, {"fold": "", "name": "yfcc"}, "config.seed: expected 0"),
        (0, {"fold": "2/5"}, "config.data.fold: expected '1/5'"),
    ],
)
def test_queries_drawn_otherwise_are_refused(tmp_path, capsys, seed, data, sentence):
    first = {"fold": "1/5"} | ({"name": "yfcc", "fold": ""} if "name" in data else {})
    folders = [workdir(tmp_path / "a", other(), **first), workdir(tmp_path / "b", other(), seed=seed, **data)]
    assert sentence in refused(capsys, *folders)


def test_another_seed_of_a_split_that_is_given_is_compared(tmp_path):
    folders = [workdir(tmp_path / "a", other()), workdir(tmp_path / "b", other(seed=1), seed=1)]
    assert len(field_of(folders)) == 2


def test_metrics_that_are_not_there_are_named(two, capsys):
    assert "all folders have (mAP), found mAP@7" in refused(capsys, *two, "--k", "7")
    assert "all folders have (mAP), found recall" in refused(capsys, *two, "--metric", "recall")
    assert "--k: expected whole numbers or all" in refused(capsys, *two, "--k", "five")


def test_a_folder_twice_or_of_an_earlier_jhash_is_refused(two, capsys):
    assert "expected each folder once" in refused(capsys, two[0], f"{two[0]}/../a")
    (Path(two[1]) / "per_query.npz").unlink()
    assert "per_query.npz: expected the values of single queries, found no such file" in refused(capsys, *two)


def test_runs_on_files_of_other_items_are_refused_and_on_other_features_of_the_same_are_not(trained, tmp_path, capsys):
    others, features = ((tmp_path / name) for name in ("others", "features"))
    for folder, labels in ((others, np.arange(60) // 2 % 3), (features, trained_runs.CLASSES)):
        folder.mkdir()
        trained_runs.clips(folder, seed=1, labels=labels)
    capsys.readouterr()
    assert "labels of test -> train: expected those of" in refused(capsys, trained[0], others / "clips")
    assert compare.main([trained[0], str(features / "clips")]) == 0
    assert f"of other files than {trained[0]} (data.train) with the same labels" in capsys.readouterr().out


def forget(folder):
    """As an earlier jhash wrote it."""
    with np.load(folder / "per_query.npz", allow_pickle=False) as held:
        arrays = {name: held[name] for name in held.files if name != "relevance"}
    np.savez_compressed(folder / "per_query.npz", **arrays)


def test_a_folder_without_a_digest_of_labels_is_compared_and_named(tmp_path, capsys):
    folders = [
        workdir(tmp_path / "a", other()),
        workdir(tmp_path / "b", other(labels=(classes(QUERIES)[::-1], classes(ITEMS)))),
    ]
    forget(tmp_path / "b")
    sentence = f"{folders[1]}: an earlier jhash kept no digest of labels"
    page = drawn(folders, tmp_path / "page.html")
    out = capsys.readouterr().out
    assert sentence in page and sentence in out and folders[0] not in out
    assert compare.main([*folders, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["remarks"][0].startswith(sentence)


def test_given_codes_that_fit_two_tasks_are_refused(tmp_path, capsys):
    both = [*other(query="image", database="text"), *other(query="text", database="image")]
    theirs = other(query="query", database="database", dataset="given")
    folders = [workdir(tmp_path / "a", both), workdir(tmp_path / "net", theirs, own="")]
    said = refused(capsys, *folders)
    assert "expected those of one task" in said and "image -> text (30 and 100), text -> image (30 and 100)" in said


def test_nothing_is_written_where_something_is_refused(two, tmp_path, capsys):
    refused(capsys, two[0], tmp_path / "nowhere", "--output", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()
    assert "cannot be written" in refused(capsys, *two, "--output", tmp_path / "no" / "page.html")


# ---- what is printed and drawn


def test_the_table_says_what_the_lines_hold(two, capsys):
    assert compare.main(two) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "clips: test -> train; mAP, trec, stable; 30 queries"
    new = compared.compare(field_of(two), MAP)[2]
    difference = new.difference
    words = [f"{new.value.mean:.4f}", f"{difference.mean:+.4f}", f"{difference.low:+.4f} to {difference.high:+.4f}"]
    assert lines[4].startswith("new (wide), 32 bits, b") and lines[4].split()[7] == "won"
    assert all(word in lines[4] for word in [*words, f"{new.p:.4f}", f"{new.p_holm:.4f}"])
    assert "reference" in lines[2]


def test_json_holds_the_same(two, capsys):
    assert compare.main([*two, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["reference"] == "old, 16 bits, a"
    (column,) = said["columns"]
    assert (column["metric"], column["k"], column["queries"]) == ("map", None, QUERIES)
    first, _, new = column["lines"]
    expected = compared.compare(field_of(two), MAP)[2]
    assert first["seeds"] == [0, 1] and "p" not in first
    assert (new["difference"], new["p"], new["verdict"]) == (expected.difference.mean, expected.p, "won")


def test_a_page_escapes_names(two, tmp_path, capsys):
    odd = workdir(tmp_path / "c", results("<b>", {("map", None): values(4)}))
    assert compare.main([*two, odd, "--output", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "<b>" not in page and "3: &lt;b&gt;, 16 bits" in page


def drawn(folders, path, *more):
    assert compare.main([*map(str, folders), "--output", str(path), *more]) == 0
    return path.read_text()


def test_a_page_draws_cutoffs_bits_and_learning(tmp_path, capsys):
    folders = []
    for name, bits in (("a", 16), ("b", 64)):
        found = results("m", {("map", k): values(bits) for k in (5, 10)}, bits=bits, preset="video")
        folders.append(workdir(tmp_path / name, found))
        points = [{"seed": 0, "method": "m", "stage": "train", "step": step, "loss": 1 / step} for step in (1, 2, 3)]
        lines = [json.dumps(point) for point in points] + ['{"seed": 0, "meth']  # torn by a kill
        (tmp_path / name / "metrics.jsonl").write_text("\n".join(lines))
    page = drawn(folders, tmp_path / "page.html")
    for words in ("mAP@k", "mAP against bits", "Learning", "m, train: loss", "2: m, 64 bits"):
        assert words in page
    alone = drawn(folders[:1], tmp_path / "alone.html")
    assert "mAP against bits" not in alone and "Learning" in alone


def test_curves_are_those_of_the_folders(tmp_path, capsys):
    one = {"dataset": "clips", "method": "m", "seed": 0, "query": "test", "database": "train", "rank": [1, 2]}
    folders = [workdir(tmp_path / name, results("m", {("map", None): values(i)})) for i, name in enumerate("ab")]
    (tmp_path / "a" / "curves.json").write_text(json.dumps([one | {"recall": [0.1, 1.0], "precision": [1.0, 0.2]}]))
    (tmp_path / "b" / "curves.json").write_text("[{")
    page = drawn(folders, tmp_path / "page.html")
    assert "Precision and recall" in page
    reason = "there is no curves.json, and the labels aren&#x27;t at hand"
    assert f"No curve of m, 16 bits, b for test → train: {reason}" in page
    assert "No curve of m, 16 bits, a" not in page


def test_a_curve_that_is_missing_is_missing_in_a_task_that_is_named(tmp_path, capsys):
    tasks, folders = [("image test", "text train"), ("text test", "image train"), ("text test", "text train")], []
    for seed, name in enumerate("ab"):
        found = [
            one
            for query, database in tasks
            for one in results("m", {("map", None): values(seed)}, query=query, database=database)
        ]
        folders.append(workdir(tmp_path / name, found))
        file = tmp_path / name / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"modalities": ["image", "text"]}))
    points = {"method": "m", "query": "image test", "database": "text train", "recall": [0.1, 1], "precision": [1, 0.2]}
    (tmp_path / "a" / "curves.json").write_text(json.dumps([points]))
    page = drawn(folders, tmp_path / "page.html")
    lacking = "text test → image train, text test → text train"
    assert f"No curve of m, 16 bits, a for {lacking}: curves.json has none." in page
    assert f"No curve of m, 16 bits, b for image test → text train, {lacking}: there is no curves.json." in page


def two_runs(tmp_path, *hypers):
    """Folders of runs of one method and length by these settings, each with a point of a learning curve."""
    folders = []
    for seed, hyper in enumerate(hypers):
        folder = tmp_path / f"a-folder-with-a-long-name-of-its-own-{seed}"
        folders.append(workdir(folder, results("m", {("map", k): values(seed) for k in (5, 10)}, variant="triplet")))
        held = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(held | {"hyper": hyper, "run": {"devices": seed}}))
        point = {"seed": 0, "method": "m", "stage": "train", "step": 1, "loss": 1.0}
        (folder / "metrics.jsonl").write_text(json.dumps(point))
    return folders


def test_runs_have_numbers_and_the_settings_that_differ_stand_below_the_tables(tmp_path, capsys):
    folders = two_runs(tmp_path, {"margin": 0.5, "width": 8}, {"margin": 0.25, "width": 8, "lr": 0.1})
    read = page_reader.Page(drawn(folders, tmp_path / "page.html"))
    place = read.cells.index("run")
    assert read.cells[place : place + 9] == ["run", "1", "2", "folder", *folders, "hyper.margin", "0.5", "0.25"]
    assert read.cells[-3:] == ["hyper.lr", "–", "0.1"]
    assert not {"hyper.width", "run.devices"} & set(read.cells)
    assert read.words.count("1: m (triplet), 16 bits") == read.words.count("2: m (triplet), 16 bits") == 3


@pytest.mark.parametrize("margin", [0.5, 0.25])
def test_losses_by_other_settings_are_called_other_losses(tmp_path, capsys, margin):
    page = drawn(two_runs(tmp_path, {"margin": 0.5}, {"margin": margin}), tmp_path / "page.html")
    assert ("The runs differ in hyper.margin. Where that changes the loss" in page) == (margin != 0.5)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of LSH beside cosine similarity, and the same codes scored by `jhash.evaluate`."""
    folder = tmp_path_factory.mktemp("trained")
    work, _ = trained_runs.clips(folder)
    with np.load(folder / "clips.npz") as held:
        labels, fold = held["labels"], held["fold"]
    codes = [str(work / "seed-0" / "lsh" / f"codes_{part}.npy") for part in ("query", "database")]
    found = given.evaluate_arrays(*codes, labels[fold == 4], labels[fold != 4], ("video", "trec"), method="theirs")
    given.write(folder / "theirs", found)
    return [str(work), str(folder / "theirs")]


def test_a_run_and_the_same_codes_elsewhere_tie(trained, capsys):
    assert compare.main([*trained, "--json"]) == 0
    for column in json.loads(capsys.readouterr().out)["columns"]:
        lsh, _, theirs = column["lines"]
        assert theirs["value"] == pytest.approx(lsh["value"], abs=1e-15)
        assert (theirs["difference"], theirs["p"], theirs["verdict"]) == (0, 1, "tied")


def test_curves_of_a_run_on_clips_come_from_its_codes(trained, tmp_path, capsys):
    page = drawn(trained, tmp_path / "page.html")
    assert "No curve of cosine, real, clips for test → train: it has vectors and no codes." in page
    assert "No curve of lsh" not in page and "No curve of theirs" not in page
    moved = Path(trained[0]).parent / "clips.npz"
    moved.rename(moved.with_suffix(".away"))
    try:
        page = drawn(trained, tmp_path / "page.html")
    finally:
        moved.with_suffix(".away").rename(moved)
    reason = "there is no curves.json, and the labels aren&#x27;t at hand"
    assert f"No curve of lsh, 16 bits, clips; cosine, real, clips for test → train: {reason}" in page


def test_the_command_runs_from_another_folder(two, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "jhash.compare", "a", "b", "--output", "page.html"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "reference" in done.stdout and (tmp_path / "page.html").read_text().startswith("<!doctype html>")
