"""From media to the tables and tasks of a run: what is opened, which rows, whose labels, which classes."""

import itertools
import re

import numpy as np
import pytest

from jhash.data import media, samples
from jhash.data.load import complete
from jhash.data.media import Medium
from jhash.data.source import ArrayTable
from jhash.data.streams import Known, load_streams
from jhash.types import InputError

SIZES = {"image": (40, 12), "stroke": (30, 9), "audio": (20, 6)}
CLASSES = {"image": ("2", "10"), "stroke": ("10", "9"), "audio": ("2", "9", "10")}


def part(name, items, classes, offset=0):
    """Feature [i, 0] is the item's number: rows can be told from each other."""
    number = np.arange(items)
    features = np.stack([number + offset, np.sin(number), np.cos(number)], axis=1).astype(np.float32)
    return ArrayTable(name, {"features": features, "labels": np.eye(classes, dtype=np.uint8)[number % classes]})


@pytest.fixture
def opened(monkeypatch):
    """Small media in the place of the digits; the list of those that were opened."""
    asked = []

    def open_medium(config, name):
        asked.append(name)
        train, test = SIZES[name]
        classes = CLASSES[name]
        tables = part(f"{name} train", train, len(classes)), part(f"{name} test", test, len(classes), offset=1000)
        return Medium(name, *tables, None, classes)

    monkeypatch.setattr(media, "open_medium", open_medium)
    return asked


def load(*names, known=Known(), seed=0, **fields):  # noqa: B008
    return load_streams(complete({"name": "digits", **fields}), seed, names, known)


def numbers(dataset, table):
    return dataset.tables[table].arrays["features"][:, 0].astype(int).tolist()


def labels(dataset, table):
    return dataset.tables[table].arrays["labels"]


# --- tables and tasks ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [("image", "audio"), ("audio", "image", "stroke")])
def test_tasks_are_all_ordered_pairs_by_both_protocols(opened, names):
    dataset = load(*names)
    found = [(task.query, task.database, task.presets, task.names) for task in dataset.tasks]
    expected = []
    for one, other in itertools.permutations(names, 2):
        both = (f"{one} test", f"{other} train + test"), (f"{one} test", f"{other} train")
        expected.append((f"{one}/test", (f"{other}/train", f"{other}/test"), ("she",), both[0]))
        expected.append((f"{one}/test", (f"{other}/train",), ("trec",), both[1]))
    assert sorted(found) == sorted(expected)
    assert not any(task.self_in_database for task in dataset.tasks)


def test_a_medium_has_a_table_to_train_on_and_parts_that_are_encoded(opened):
    dataset = load("image", "audio")
    parts = {"image/train", "image/test", "audio/train", "audio/test"}
    assert dataset.tables.keys() == parts | {"image", "audio", "all/together"} and set(dataset.parts) == parts
    assert {name: len(dataset.tables[name]) for name in ("image", "image/test", "audio")} == {
        **{"image": 40, "image/test": 12, "audio": 20}
    }
    assert {dataset.modalities[name] for name in ("image", "image/train", "image/test")} == {"image"}


def test_a_first_medium_alone_has_parts_and_no_task(opened):
    dataset = load("image")
    assert dataset.tasks == () and set(dataset.parts) == {"image/train", "image/test"}


@pytest.mark.parametrize("names", [("stroke",), ("audio", "image")])
def test_only_what_is_asked_for_is_opened(opened, names):
    load(*names, known=Known(("2", "9", "10"), ("sign/train", "sign/test")))
    assert opened == list(names)


def test_a_part_that_a_library_holds_takes_part_in_tasks_and_has_no_table(opened):
    dataset = load("audio", known=Known(("2", "9", "10"), ("sign/train", "sign/test", "text/train", "text/test")))
    pairs = {(task.query.split("/")[0], task.database[0].split("/")[0]) for task in dataset.tasks}
    assert pairs == {("sign", "audio"), ("audio", "sign"), ("text", "audio"), ("audio", "text")}
    assert set(dataset.parts) == {"audio/train", "audio/test"}


def test_a_database_of_its_own_is_searched_as_published(monkeypatch):
    def open_medium(config, name):
        return Medium(name, *(part(n, items, 2) for n, items in (("a", 8), ("b", 4), ("c", 6))), ("0", "1"))

    monkeypatch.setattr(media, "open_medium", open_medium)
    tasks = {task.presets: task for task in load("image", "text").tasks if task.query == "image/test"}
    assert tasks["she",].database == ("text/database",) and tasks["she",].names == ("image test", "text database")
    assert tasks["trec",].database == ("text/train",)
    assert len(load("image", "text").tables["text/database"]) == 6


def test_media_side_by_side_are_as_long_as_the_longest(opened):
    together = load("image", "audio").tables["all/together"]
    assert len(together) == 40
    assert set(together.columns) == {"image:features", "image:labels", "audio:features", "audio:labels"}
    read = together.read(np.array([39, 0, 21]), ["image:features", "audio:features", "audio:labels"])
    assert read["image:features"][:, 0].tolist() == [39, 0, 21]
    assert read["audio:features"][:, 0].tolist() == [19, 0, 1] and read["audio:labels"].shape == (3, 3)
    assert list(together.read(np.array([0]), ["audio:labels"])) == ["audio:labels"]


# --- rows ---------------------------------------------------------------------------------------------------------


def test_the_largest_number_is_drawn_by_the_seed_in_order(opened):
    few = load("image", largest=10)
    rows = numbers(few, "image")
    assert len(rows) == 10 and rows == sorted(set(rows)) and rows == numbers(few, "image/train")
    assert rows == numbers(load("image", "audio", largest=10), "image")  # whoever else is there
    assert rows != numbers(load("image", largest=10, seed=1), "image")
    assert numbers(few, "image/test") == list(range(1000, 1012))
    assert numbers(load("image", largest=40), "image") == list(range(40))


def test_a_fold_asks_items_of_the_training_part_and_never_of_the_test_part(opened):
    folds = [load("image", "audio", fold=f"{number}/4") for number in (1, 2, 3, 4)]
    asked = [numbers(dataset, "image/test") for dataset in folds]
    assert sorted(sum(asked, [])) == list(range(40))
    for dataset, held in zip(folds, asked, strict=True):
        assert sorted(held + numbers(dataset, "image")) == list(range(40))
    names = {task.names for task in folds[0].tasks if task.query == "image/test"}
    assert names == {("image fold 1/4", "audio train + fold 1/4"), ("image fold 1/4", "audio train")}


def test_features_are_normalised_by_the_training_items_alone(opened):
    dataset = load("image", normalise="standard", largest=15)
    features = dataset.tables["image"].arrays["features"]
    np.testing.assert_allclose(features.mean(0), 0, atol=1e-4)
    fitted, raw = dataset.normalisation["image"], part("", 12, 2, offset=1000).arrays["features"]
    expected = (raw - fitted["shift"][None]) * fitted["scale"][None]
    np.testing.assert_allclose(dataset.tables["image/test"].arrays["features"], expected, rtol=1e-5, atol=1e-4)


# --- labels -------------------------------------------------------------------------------------------------------


def test_noise_touches_what_is_trained_on_and_nothing_that_scores(opened):
    clean, noisy = load("image", "audio"), load("image", "audio", noise=0.5)
    for name in ("image", "audio"):
        wrong = (labels(noisy, name) != labels(clean, name)).any(1)
        assert wrong.sum() == len(wrong) / 2
        assert (labels(noisy, name).sum(1) == 1).all()
        for scored in (f"{name}/train", f"{name}/test"):
            np.testing.assert_array_equal(labels(noisy, scored), labels(clean, scored))
        assert numbers(noisy, name) == numbers(clean, name)
    together = noisy.tables["all/together"].read(np.arange(40), ["image:labels"])["image:labels"]
    np.testing.assert_array_equal(together, labels(noisy, "image"))


def test_the_code_book_is_the_union_in_natural_order(opened):
    dataset = load("image", "stroke")
    assert dataset.classes == ("2", "9", "10")
    assert labels(dataset, "image")[:2].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert labels(dataset, "stroke")[:2].tolist() == [[0, 0, 1], [0, 1, 0]]


def test_words_stand_behind_numbers(monkeypatch):
    monkeypatch.setattr(
        media, "open_medium", lambda *_: Medium("image", *[part("", 4, 4)] * 2, None, ("b", "10", "a", "9"))
    )
    assert load("image").classes == ("9", "10", "a", "b")


def test_the_order_of_a_library_s_classes_is_kept(opened):
    dataset = load("stroke", known=Known(("10", "2", "9"), ("image/train", "image/test")))
    assert dataset.classes == ("10", "2", "9")
    assert labels(dataset, "stroke")[:2].tolist() == [[1, 0, 0], [0, 0, 1]]


def test_a_class_that_the_library_lacks_is_refused_by_name_or_appended(opened):
    known = Known(("2", "10"), ("image/train", "image/test"))
    words = "stroke: expected classes that the library knows (2, 10), found '9'; config.data.new_classes=True adds it"
    with pytest.raises(InputError, match=re.escape(words)):
        load("stroke", known=known)
    dataset = load("stroke", known=known, new_classes=True)
    assert dataset.classes == ("2", "10", "9") and labels(dataset, "stroke")[1].tolist() == [0, 0, 1]


def test_a_long_list_of_classes_is_cut_in_the_sentence(opened):
    known = Known(tuple(f"c{number}" for number in range(99)), ("text/train", "text/test"))
    with pytest.raises(InputError, match=r"c11, …\), found '10'"):
        load("stroke", known=known)


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_medium_that_the_library_holds_is_refused(opened):
    with pytest.raises(InputError, match="config.modalities: the library holds 'image' already"):
        load("audio", "image", known=Known(("2",), ("image/train", "image/test")))
    assert not opened


@pytest.mark.parametrize(
    ("names", "fields", "words"),
    [
        ((), {}, r"config.modalities: expected media of digits, each once, found \(\)"),
        (("image", "image"), {}, r"each once, found \('image', 'image'\)"),
        (("image",), {"noise": 1.0}, "data.noise: expected a share from 0 to below 1, found 1.0"),
        (("image",), {"noise": -0.1}, "data.noise: expected a share from 0 to below 1, found -0.1"),
        (("image",), {"largest": -1}, "data.largest: expected a number of items, or 0 for all, found -1"),
        (("image",), {"fold": "5/4"}, "data.fold: expected 'i/n'"),
        (("image",), {"normalise": "standad"}, "data.normalise: expected one of"),
    ],
)
def test_fields_that_are_wrong_are_refused(opened, names, fields, words):
    with pytest.raises(InputError, match=words) as caught:
        load(*names, **fields)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("empty", ["train", "test"])
@pytest.mark.parametrize("how", ["items", "classes"])
def test_a_medium_without_items_or_without_classes_is_refused(monkeypatch, empty, how):
    def open_medium(config, name):
        tables = {one: part(one, 4, 2) for one in ("train", "test")}
        arrays = tables[empty].arrays
        arrays = {n: a[:0] for n, a in arrays.items()} if how == "items" else arrays | {"labels": 0 * arrays["labels"]}
        tables[empty] = ArrayTable(empty, arrays)
        return Medium(name, *tables.values(), None, ("0", "1"))

    monkeypatch.setattr(media, "open_medium", open_medium)
    with pytest.raises(InputError, match=rf"digits image \({empty}\): expected items with a class, found none"):
        load("image")


# --- shipped media ------------------------------------------------------------------------------------------------


def test_the_shipped_digits(monkeypatch):
    def other(*_):
        raise AssertionError("opened")

    monkeypatch.setattr(samples, "nmnist", other)  # the event camera's, which is large
    dataset = load("stroke", "audio", largest=20)
    assert {name: dataset.tables[name].columns["features"].shape for name in ("stroke", "audio")} == {
        **{"stroke": (16,), "audio": (1280,)}
    }
    assert [len(dataset.tables[f"{name}/test"]) for name in ("stroke", "audio")] == [1000, 300]
    assert dataset.classes == tuple("0123456789") and len(dataset.tasks) == 4


def test_the_shipped_wikipedia():
    dataset = load_streams(complete({"name": "wikipedia", "largest": 20}), 0, ("text", "image"), Known())
    np.testing.assert_array_equal(labels(dataset, "text"), labels(dataset, "image"))  # pairs are drawn alike
    assert dataset.classes == tuple(sorted(samples.wikipedia_names())) and len(dataset.tasks) == 4
    written = samples.wikipedia("image", "test").arrays["labels"]
    by_name = written[:, [samples.wikipedia_names().index(name) for name in dataset.classes]]
    np.testing.assert_array_equal(labels(dataset, "image/test"), by_name)


def test_an_unknown_medium_is_refused_with_a_suggestion():
    with pytest.raises(InputError, match="expected a medium among image, stroke, .*did you mean 'stroke'"):
        load("strokes")
