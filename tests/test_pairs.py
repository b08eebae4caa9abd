"""Pairs as data: what is split, checked and asked, a user's own files; and CCA-ITQ, which learns from pairs alone."""

import dataclasses

import h5py
import jax
import numpy as np
import pytest
import scipy.io
import scipy.linalg

from jhash import evaluate, metrics, train
from jhash.data import pairs
from jhash.data.load import complete
from jhash.data.pairs import load_pairs
from jhash.data.source import ArrayTable, SideBySide
from jhash.methods import cca_itq, itq
from jhash.types import InputError, Past

ITEMS = 40
MEDIA = ("skeleton", "inertial")


def arrays(several=False):
    """Row i of every array is pair i: the first column of each medium says so, the others are noise."""
    random, number = np.random.default_rng(0), np.arange(ITEMS)
    noise = random.normal(size=(ITEMS, 7)).astype(np.float32)
    labels = np.eye(3, dtype=np.uint8)[number % 3] if several else number % 3
    return {
        "skeleton": np.concatenate([number[:, None], noise[:, :4]], 1).astype(np.float32),
        "inertial": np.concatenate([number[:, None], noise[:, 4:]], 1).astype(np.float64),
        "labels": labels | np.eye(3, dtype=np.uint8)[number // 20] if several else labels,
        "subject": number % 4,
    }


def npz(folder, **changed):
    np.savez(folder / "pairs.npz", **(arrays() | changed))
    return folder / "pairs.npz"


def fields(path, **changed):
    given = {"name": "pair_files", "train": str(path), "split_array": "subject", "query_values": (3,)}
    return complete(given | changed)


def numbers(dataset, part):
    """Which pairs a part has, by its first column."""
    return dataset.tables[part].read(np.arange(len(dataset.tables[part])), ["features"])["features"][:, 0].tolist()


def refused(words, *given):
    with pytest.raises(InputError, match=words) as caught:
        load_pairs(*given)
    assert "\n" not in str(caught.value)


# --- parts, rows and tasks ----------------------------------------------------------------------------------------


def test_parts_tables_and_the_pairs_side_by_side(tmp_path):
    dataset = load_pairs(fields(npz(tmp_path)), 0, MEDIA)
    parts = {f"{medium}/{part}" for medium in MEDIA for part in ("train", "test")}
    assert dataset.tables.keys() == parts | {"pairs"} and set(dataset.parts) == parts
    assert [len(dataset.tables[f"{medium}/{part}"]) for medium in MEDIA for part in ("train", "test")] == [30, 10] * 2
    wanted = [f"{medium}:{column}" for medium in MEDIA for column in ("features", "labels")]
    read = dataset.tables["pairs"].read(np.arange(30), wanted)
    np.testing.assert_array_equal(read["skeleton:features"][:, 0], read["inertial:features"][:, 0])
    np.testing.assert_array_equal(read["skeleton:labels"].argmax(1), read["skeleton:features"][:, 0] % 3)
    assert {read[f"{medium}:features"].dtype for medium in MEDIA} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    ("changed", "sizes"),
    [
        ({"fold": "2/5"}, {"train": 24, "test": 6}),
        ({"largest": 12}, {"train": 12, "test": 10, "database": 30}),
        ({"fold": "1/3", "largest": 7}, {"train": 7, "test": 10}),
    ],
)
def test_both_media_are_cut_by_the_same_rows(changed, sizes, tmp_path):
    dataset = load_pairs(fields(npz(tmp_path), **changed), 5, MEDIA)
    for part, size in sizes.items():
        one, other = (numbers(dataset, f"{medium}/{part}") for medium in MEDIA)
        assert one == other and len(set(one)) == size
    assert dataset.tables.keys() == {f"{medium}/{part}" for medium in MEDIA for part in sizes} | {"pairs"}
    assert not set(numbers(dataset, "skeleton/train")) & set(numbers(dataset, "skeleton/test"))
    assert len(dataset.tables["pairs"]) == sizes["train"]


def test_the_seed_draws_the_rows(tmp_path):
    file = fields(npz(tmp_path), fold="1/3", largest=8)
    drawn = [numbers(load_pairs(file, seed, MEDIA), "inertial/train") for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_fold_never_opens_the_test_part(tmp_path):
    dataset = load_pairs(fields(npz(tmp_path), fold="1/2"), 0, MEDIA)
    seen = set(numbers(dataset, "skeleton/train")) | set(numbers(dataset, "skeleton/test"))
    assert seen == {number for number in range(ITEMS) if number % 4 != 3}


@pytest.mark.parametrize(
    ("changed", "asks", "searched"),
    [({}, "test", "train"), ({"fold": "1/2"}, "fold 1/2", "train"), ({"largest": 9}, "test", "database")],
)
def test_each_medium_asks_each_and_a_query_s_partner_is_never_searched(changed, asks, searched, tmp_path):
    dataset = load_pairs(fields(npz(tmp_path), **changed), 0, MEDIA)
    directions = [(one, other) for one in MEDIA for other in MEDIA]
    assert [(task.query, task.database) for task in dataset.tasks] == [
        (f"{one}/test", (f"{other}/{searched}",)) for one, other in directions
    ]
    assert [task.names for task in dataset.tasks] == [(f"{a} {asks}", f"{b} {searched}") for a, b in directions]
    assert [task.drawn for task in dataset.tasks] == [False, True, True, False]
    for task in dataset.tasks:
        assert not task.self_in_database
        assert not set(numbers(dataset, task.query)) & set(numbers(dataset, task.database[0]))


def test_a_medium_is_normalised_by_its_own_training_items(tmp_path):
    dataset = load_pairs(fields(npz(tmp_path), normalise="standard"), 0, MEDIA)
    for medium in MEDIA:
        features = dataset.tables[f"{medium}/train"].arrays["features"]
        np.testing.assert_allclose(features.mean(0), np.zeros(features.shape[1]), atol=1e-5)
        stored = arrays()[medium][arrays()["subject"] == 3]
        fitted = dataset.normalisation[medium]
        expected = (stored - fitted["shift"][None]) * fitted["scale"][None]
        np.testing.assert_allclose(dataset.tables[f"{medium}/test"].arrays["features"], expected, rtol=1e-4, atol=1e-5)


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "media", "words"),
    [
        ({"name": "wikipedia"}, ("image", "text", "audio"), "config.modalities: expected two media of wikipedia"),
        ({"name": "wikipedia"}, ("image", "image"), "config.modalities: expected two media of wikipedia"),
        ({"name": "wikipedia"}, ("image",), "config.modalities: expected two media of wikipedia"),
        ({"name": "wikipedia"}, ("image", "video"), "wikipedia: expected media among image, text, found 'video'"),
        ({"name": "wikipedia", "noise": 0.2}, ("image", "text"), "expected neither where items come in pairs"),
        ({"name": "wikipedia", "new_classes": True}, ("image", "text"), "expected neither where items come in pairs"),
        ({"name": "digits"}, ("image", "audio"), "data.name: expected items in pairs .*, found 'digits', which has"),
    ],
)
def test_what_has_no_pairs_is_refused(given, media, words):
    refused(words, complete(given), 0, media)


BROKEN = {
    "lengths": ({"inertial": np.zeros((39, 4))}, "expected arrays of one length, found .*'inertial': 39"),
    "labels of another length": ({"labels": np.arange(39) % 3}, "expected arrays of one length, found .*'labels': 39"),
    "a number in place of labels": ({"labels": np.array(3)}, r"'labels' must be class numbers \[items\] or"),
    "labels that are no classes": ({"labels": np.full((ITEMS, 3), 2)}, "labels must be 0 or 1, found 2 at row 0"),
    "infinite classes": ({"labels": np.full(ITEMS, np.inf)}, "class numbers must be finite, found inf"),
    "a vector of items": ({"inertial": np.zeros(ITEMS)}, r"'inertial' must be numbers \[items, ...\], found \[40\]"),
    "pictures by channel": (
        {"inertial": np.zeros((ITEMS, 3, 8, 8), np.uint8)},
        r"expected pictures \[items, height, width, 3\], found \[40, 3, 8, 8\]: transpose",
    ),
    "pictures with alpha": (
        {"inertial": np.zeros((ITEMS, 8, 8, 4), np.uint8)},
        r"expected pixels of 1 or 3 channels, found \[40, 8, 8, 4\]: leave alpha out",
    ),
    "numbers too large": (
        {"inertial": np.full((ITEMS, 4), 1e200)},
        "must be finite in float32, found 1e.200 in item 0",
    ),
    "times in place of classes": (
        {"labels": np.full(ITEMS, "2020-01-01", "datetime64[D]")},
        "pairs.npz: labels must be numbers or names, found datetime64",
    ),
    "no classes": ({"labels": np.zeros((ITEMS, 3))}, "labels: expected a class that both the test and the train part"),
    "other classes": (
        {"labels": np.where(np.arange(ITEMS) % 4 == 3, 5, 1)},
        "labels: expected a class that both the test and the train part have, found none",
    ),
    "one class": (
        {"labels": np.full(ITEMS, 4)},
        "labels: expected items of different classes, found all items of the test and the train part in one",
    ),
    "a class that all have": (
        {"labels": np.stack([np.arange(ITEMS) % 2, np.ones(ITEMS)], axis=1)},
        "labels: expected items of different classes, found all items of the test and the train part in one",
    ),
    "NaN": ({"inertial": np.full((ITEMS, 4), np.nan)}, "'inertial' must be finite, found nan in item 0"),
    "words": ({"inertial": np.full((ITEMS, 4), "word")}, "'inertial' must be numbers"),
    "a pickle": ({"inertial": np.array([{}] * ITEMS, dtype=object)}, "pickled Python objects"),
    "subjects of another length": ({"subject": np.zeros(39)}, r"'subject' must be \[40\], one an item, found \[39\]"),
    "no queries": ({"subject": np.zeros(ITEMS)}, "0 of 40 items have one of .3. in 'subject'"),
    "queries alone": ({"subject": np.full(ITEMS, 3)}, "40 of 40 items have one of .3. in 'subject'"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_file_that_is_wrong_is_refused(case, tmp_path):
    changed, words = BROKEN[case]
    refused(words, fields(npz(tmp_path, **changed)), 0, MEDIA)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"train": ""}, "data.train: expected the path of"),
        ({"train": "nowhere.npz"}, "nowhere.npz: no such file"),
        ({"split_array": ""}, "data.query: expected either a file of queries here or data.split_array"),
        ({"query": "other.npz"}, "data.query: expected either a file of queries here or data.split_array"),
        ({"labels_array": "action"}, "expected an array 'action', found inertial, labels, skeleton, subject"),
        ({"split_array": "person"}, "expected an array 'person', found"),
        ({"fold": "3/2"}, "data.fold"),
        ({"arrays": ("skeleton", "joints")}, "data.arrays: expected rows of a medium .skeleton, inertial. and one to"),
        (
            {"arrays": (("skeletn", "joints"),)},
            "data.arrays: expected rows of a medium .*, found .'skeletn', 'joints'.",
        ),
        ({"arrays": (("skeleton",),)}, "data.arrays: expected rows of a medium .*, found .'skeleton',."),
        ({"arrays": (5,)}, "data.arrays: expected rows of a medium .*, found 5."),
        ({"largest": -1}, "expected a number of items, or 0 for all, found -1"),
    ],
)
def test_fields_that_are_wrong_are_refused(changed, words, tmp_path):
    refused(words, fields(npz(tmp_path), **changed), 0, MEDIA)


def test_a_medium_that_the_file_does_not_have_is_refused(tmp_path):
    refused("expected an array 'depth', found", fields(npz(tmp_path)), 0, ("skeleton", "depth"))


def stored_apart(monkeypatch, lengths=(12, 12), turned=0):
    """A dataset whose media are in tables of their own, the second's labels turned by some rows."""
    tables = {}
    for medium, length, turn in zip(MEDIA, lengths, (0, turned), strict=True):
        labels = np.eye(3, dtype=np.uint8)[(np.arange(length) + turn) % 3]
        tables[medium] = ArrayTable(medium, {"features": np.zeros((length, 2), np.float32), "labels": labels})
    stored = pairs.Paired({"train": tables, "test": tables}, ("a", "b", "c"))
    monkeypatch.setattr(pairs, "open_pairs", lambda *given: stored)


@pytest.mark.parametrize("changed", [{}, {"fold": "1/3"}, {"largest": 3}], ids=str)
def test_media_whose_labels_or_lengths_differ_are_refused_before_rows_are_drawn(changed, monkeypatch):
    config = complete({"name": "wikipedia"} | changed)
    stored_apart(monkeypatch, turned=1)
    refused("train: expected the same labels of skeleton and inertial, found others", config, 0, MEDIA)
    stored_apart(monkeypatch, lengths=(12, 15))
    refused("train: expected as many items of each medium, and some, found .*'inertial': 15", config, 0, MEDIA)
    stored_apart(monkeypatch, lengths=(0, 0))
    refused("train: expected as many items of each medium, and some, found .*'inertial': 0", config, 0, MEDIA)


# --- a user's own files -------------------------------------------------------------------------------------------


def written(path, values):
    np.savez(path, **values) if path.suffix == ".npz" else scipy.io.savemat(path, values)
    return str(path)


@pytest.mark.parametrize("ending", [".npz", ".mat"])
@pytest.mark.parametrize("several", [False, True], ids=["classes", "several"])
def test_one_file_with_an_array_that_says_who_asks(ending, several, tmp_path):
    """MATLAB's files hold class numbers and subjects as [1, N]."""
    config = fields(written(tmp_path / f"pairs{ending}", arrays(several)), query_values=(1, 3))
    dataset = load_pairs(config, 0, MEDIA)
    for medium in MEDIA:
        assert numbers(dataset, f"{medium}/test") == list(range(1, ITEMS, 2))
        assert numbers(dataset, f"{medium}/train") == list(range(0, ITEMS, 2))
        wanted = arrays(several=True)["labels"] if several else np.eye(3, dtype=np.uint8)[np.arange(ITEMS) % 3]
        np.testing.assert_array_equal(dataset.tables[f"{medium}/test"].arrays["labels"], wanted[1::2])
    assert dataset.classes == ("0", "1", "2")


@pytest.mark.parametrize("ending", [".npz", ".mat"])
@pytest.mark.parametrize("own_database", [False, True])
def test_files_of_queries_and_of_a_database_with_names_of_their_own(ending, own_database, tmp_path):
    held = {name: (array[:20], array[20:25], array[25:]) for name, array in arrays().items()}
    config = fields(
        written(
            tmp_path / f"train{ending}",
            {"I_tr": held["skeleton"][0], "inertial": held["inertial"][0], "L": held["labels"][0]},
        ),
        query=written(
            tmp_path / f"query{ending}",
            {"I_te": held["skeleton"][1], "inertial": held["inertial"][1], "L_te": held["labels"][1]},
        ),
        database=written(
            tmp_path / f"database{ending}",
            {"I_db": held["skeleton"][2], "inertial": held["inertial"][2], "L": held["labels"][2]},
        )
        if own_database
        else "",
        arrays=(("skeleton", "I_tr", "I_te", "I_db"),),
        labels_array="L",
        query_labels_array="L_te",
        split_array="",
        query_values=(),
    )
    dataset = load_pairs(config, 0, MEDIA)
    wanted = {"train": range(20), "test": range(20, 25)} | ({"database": range(25, ITEMS)} if own_database else {})
    for medium in MEDIA:
        for part, rows in wanted.items():
            table = dataset.tables[f"{medium}/{part}"]
            assert numbers(dataset, f"{medium}/{part}") == list(rows)
            np.testing.assert_array_equal(table.arrays["labels"].argmax(1), np.array(rows) % 3)
    searched = "database" if own_database else "train"
    assert {task.database for task in dataset.tasks} == {(f"{medium}/{searched}",) for medium in MEDIA}


def test_labels_of_two_kinds_are_refused(tmp_path):
    one, other = arrays(), arrays(several=True)
    config = fields(written(tmp_path / "a.npz", one), query=written(tmp_path / "b.npz", other), split_array="")
    refused("labels must be of one kind in all parts", config, 0, MEDIA)
    wider = np.concatenate([other["labels"], other["labels"]], 1)
    files = (written(tmp_path / f"{n}.npz", other | labels) for n, labels in (("c", {}), ("d", {"labels": wider})))
    config = fields(next(files), query=next(files), split_array="")
    refused("labels must have one column a class, the same in every part", config, 0, MEDIA)


def test_names_of_classes_and_numbers_are_labels_of_two_kinds(tmp_path):
    names = arrays() | {"labels": np.array(["hat", "shoe", "coat"])[arrays()["labels"]]}
    files = (written(tmp_path / f"{n}.npz", held) for n, held in (("a", arrays()), ("b", names)))
    config = fields(next(files), query=next(files), split_array="")
    refused("labels must be of one kind in all parts, found .*a.npz': 'numbers', .*b.npz': 'names'", config, 0, MEDIA)


def test_names_in_another_encoding_are_refused(tmp_path):
    with h5py.File(tmp_path / "pairs.h5", "w") as file:
        for name, array in arrays().items():
            file[name] = array
        del file["labels"]
        file["labels"] = np.array(["Mütze".encode("latin-1")] * ITEMS, object)
    refused(
        r"pairs.h5: expected strings in UTF-8 in /labels, found b'M.xfctze'", fields(tmp_path / "pairs.h5"), 0, MEDIA
    )


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_classes_and_those_who_ask_may_have_names(ending, tmp_path):
    held = arrays()
    held |= {"labels": np.array(["hat", "shoe", "Mütze"])[held["labels"]], "subject": held["subject"].astype(str)}
    path = tmp_path / f"pairs{ending}"
    if ending == ".h5":
        with h5py.File(path, "w") as file:
            for name, array in held.items():
                file[name] = array.astype(object) if array.dtype.kind == "U" else array
    else:
        np.savez(path, **held)
    dataset = load_pairs(fields(path, query_values=("3",)), 0, MEDIA)
    assert dataset.classes == ("Mütze", "hat", "shoe")
    assert numbers(dataset, "skeleton/test") == list(range(3, ITEMS, 4))
    np.testing.assert_array_equal(dataset.tables["skeleton/train"].arrays["labels"][0], [0, 1, 0])


@pytest.mark.parametrize("other", [np.zeros((9, 6)), np.zeros((9, 5, 4), np.uint8)], ids=["wider", "pixels"])
def test_queries_are_of_the_training_items_shape(other, tmp_path):
    query = written(tmp_path / "b.npz", {name: array[:9] for name, array in arrays().items()} | {"inertial": other})
    config = fields(npz(tmp_path), query=query, split_array="")
    refused(r"b.npz inertial \(test\): items must be \[4\] like those of .*pairs.npz inertial", config, 0, MEDIA)


@pytest.mark.parametrize(
    ("stored", "item", "pixels"),
    [
        (np.zeros((ITEMS, 6, 5, 3), np.uint8), (6, 5, 3), True),
        (np.zeros((ITEMS, 6, 5, 1), np.uint8), (6, 5, 1), True),
        (np.zeros((ITEMS, 6, 5), np.uint8), (6, 5, 1), True),
        (np.zeros((ITEMS, 4, 6, 5), np.uint8), (4, 6, 5, 1), True),
        (np.zeros((ITEMS, 4, 6, 5, 3), np.uint8), (4, 6, 5, 3), True),
        (np.zeros((ITEMS, 6), np.uint8), (6,), False),
        (np.zeros((ITEMS, 4, 5, 3), np.float32), (60,), False),
        (np.zeros((ITEMS, 6, 5, 3), np.int64), (90,), False),
    ],
)
def test_bytes_of_two_dimensions_or_more_are_pixels_and_all_else_vectors(stored, item, pixels, tmp_path):
    dataset = load_pairs(fields(npz(tmp_path, skeleton=stored)), 0, MEDIA)
    found = dataset.tables["skeleton/train"].columns["features"]
    assert (found.shape, found.dtype) == (item, np.uint8 if pixels else np.float32)
    assert ("pixels" in dataset.normalisation["skeleton"]) is pixels


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_a_file_tells_what_its_columns_are(ending, tmp_path):
    path, held = tmp_path / f"pairs.{ending}", arrays() | {"text": np.eye(ITEMS, 2, dtype=np.float32)}
    held |= {"words": np.array(["red", "shoe"]), "classes": np.array(["hat", "shoe", "coat"])}
    if ending == "npz":
        np.savez(path, **held)
    else:
        with h5py.File(path, "w") as file:
            for name, array in held.items():
                file[name] = array.astype(object) if array.dtype.kind == "U" else array
    dataset = load_pairs(fields(path), 0, ("skeleton", "text"))
    assert (dataset.words, dataset.classes) == (("red", "shoe"), ("hat", "shoe", "coat"))
    dataset = load_pairs(fields(path), 0, MEDIA)
    assert (dataset.words, dataset.classes) == ((), ("hat", "shoe", "coat"))


@pytest.mark.parametrize("words", [["red"], [1, 2]])
def test_words_that_are_no_names_of_columns_are_left_alone(words, tmp_path):
    path = npz(tmp_path, text=np.eye(ITEMS, 2, dtype=np.float32), words=np.array(words))
    assert load_pairs(fields(path), 0, ("skeleton", "text")).words == ()


# --- CCA-ITQ ------------------------------------------------------------------------------------------------------


def shared_space(items=600, seed=0):
    """Two media of one latent point each, by class, under noise of their own that varies more than it."""
    random = np.random.default_rng(seed)
    maps = np.random.default_rng(9).normal(size=(2, 6, 12)), np.random.default_rng(8).normal(size=(2, 4, 12))
    owner = np.arange(items) % 8
    latent = 2 * np.random.default_rng(7).normal(size=(8, 6))[owner] + 0.5 * random.normal(size=(items, 6))
    media = [latent @ maps[0][m] + 4 * random.normal(size=(items, 4)) @ maps[1][m] + 3 for m in (0, 1)]
    return *(medium.astype(np.float32) for medium in media), np.eye(8, dtype=np.uint8)[owner]


def fitted(method, x, y, folder, seed=0):
    tables = {
        f"{name}/train": ArrayTable(name, {"features": features})
        for name, features in zip(("image", "text"), (x, y), strict=True)
    }
    tables["pairs"] = SideBySide({"image": tables["image/train"], "text": tables["text/train"]}, "pairs")
    past = {}
    for number, stage in enumerate(method.stages(tables)):
        assert stage.steps == 0
        context = method.prepare(stage, past, tables, jax.random.fold_in(jax.random.key(seed), number), folder)
        past[stage.name] = Past({}, {}, method.conclude(stage, context, None))
    return past


def between(method, past, first, second):
    """mAP over the whole ranking of the first medium's items in the second's, partners left out."""
    codes = [
        evaluate.encode(method, past, ArrayTable(name, {"features": features}), name)
        for name, features in zip(("image", "text"), (first, second), strict=True)
    ]
    half = len(first) // 2
    labels = shared_space(len(first))[2]
    scores = metrics.evaluate_codes(codes[0][:half], codes[1][half:], labels[:half], labels[half:], "trec")
    return scores.means()["map", None]


def test_cca_itq_finds_partners_classes_across_media_and_itq_does_not(tmp_path):
    found = {}
    for name, method in (("cca_itq", cca_itq.Method(bits=16)), ("itq", itq.Method(bits=16, column="features"))):
        past = fitted(method, *shared_space()[:2], tmp_path)
        found[name] = between(method, past, *shared_space(400, seed=1)[:2])
    assert found["itq"] < 0.25 and found["cca_itq"] > 2 * found["itq"] and found["cca_itq"] > 0.4


@pytest.mark.parametrize("ridge", [0.0, 0.1])
def test_canonical_correlations_and_directions_solve_their_eigenproblem(ridge):
    """Cxy (Cyy + r)⁻¹ Cyx w = ρ² (Cxx + r) w, r a share of the mean variance."""
    x, y = (medium.astype(np.float64) - medium.mean(0, dtype=np.float64)[None] for medium in shared_space()[:2])
    x, y = x[:, :7], y[:, :5]
    cxx, cyy, cxy = x.T @ x / len(x), y.T @ y / len(y), x.T @ y / len(x)
    cxx, cyy = (c + ridge * np.trace(c) / len(c) * np.eye(len(c)) for c in (cxx, cyy))
    values, _ = scipy.linalg.eigh(cxy @ np.linalg.solve(cyy, cxy.T), cxx)
    left, right, correlations = cca_itq.cca(x, y, 4, ridge=ridge)
    np.testing.assert_allclose(correlations, np.sqrt(values[::-1][:4]), rtol=1e-8)
    np.testing.assert_allclose(left.T @ cxx @ left, np.eye(4), atol=1e-8)
    np.testing.assert_allclose(right.T @ cyy @ right, np.eye(4), atol=1e-8)
    np.testing.assert_allclose(left.T @ cxy @ right, np.diag(correlations), atol=1e-8)


def test_directions_count_by_their_correlations(tmp_path):
    """Without a ridge each direction has variance 1, so what is rotated has the correlations as its spread."""
    noise = np.random.default_rng(3).normal(size=(2, 600, 12)).astype(np.float32)
    x, y = (medium + 3 * own for medium, own in zip(shared_space()[:2], noise, strict=True))
    kept = fitted(cca_itq.Method(bits=8, ridge=0.0), x, y, tmp_path)["cca_itq"].kept
    centred = [medium - medium.mean(0, dtype=np.float64)[None] for medium in (x, y)]
    _, _, correlations = cca_itq.cca(*centred, 8, ridge=0.0)
    for medium, view in zip(("image", "text"), centred, strict=True):
        spread = np.linalg.svd(view @ kept[f"{medium}/projection"], compute_uv=False) / np.sqrt(len(view))
        np.testing.assert_allclose(spread, correlations, rtol=1e-4)
    assert correlations[-1] < 0.5 < correlations[0]


def test_no_more_directions_than_the_narrower_medium_has():
    x, y = np.random.default_rng(0).normal(size=(50, 7)), np.random.default_rng(1).normal(size=(50, 3))
    left, right, correlations = cca_itq.cca(x - x.mean(0)[None], y - y.mean(0)[None], 16, ridge=0.1)
    assert (left.shape, right.shape, correlations.shape) == ((7, 3), (3, 3), (3,))
    assert (np.diff(correlations) < 0).all()


def test_fewer_directions_than_bits_are_spread_over_all_of_them(tmp_path):
    x, y, _ = shared_space(100)
    kept = fitted(cca_itq.Method(bits=16), x, y[:, :5], tmp_path)["cca_itq"].kept
    assert kept["image/projection"].shape == (12, 16) and kept["text/projection"].shape == (5, 16)
    assert np.linalg.matrix_rank(kept["image/projection"], tol=1e-5) == 5
    assert (np.abs(kept["image/projection"]).max(0) > 1e-4).all()


def test_the_same_seed_gives_the_same_codes_and_another_seed_others(tmp_path):
    x, y, _ = shared_space(100)
    kept = [fitted(cca_itq.Method(bits=8), x, y, tmp_path, seed)["cca_itq"].kept for seed in (0, 0, 1)]
    jax.tree.map(np.testing.assert_array_equal, kept[0], kept[1])
    assert (kept[0]["text/projection"] != kept[2]["text/projection"]).any()


def test_pixels_are_flattened_and_itq_hashes_each_medium_by_itself(tmp_path):
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (30, 4, 3, 3)).astype(np.uint8)
    y = random.normal(size=(30, 5)).astype(np.float32)
    for method in (cca_itq.Method(bits=4), itq.Method(bits=4, column="features")):
        past = fitted(method, x, y, tmp_path)
        flat = fitted(method, x.reshape(30, -1).astype(np.float32), y, tmp_path)
        for stage, left in past.items():
            jax.tree.map(np.testing.assert_array_equal, left.kept, flat[stage].kept)
    assert past.keys() == {"image", "text"} and not itq.Method(bits=4).across_media
    alone = fitted(dataclasses.replace(method), x, 2 * y[::-1], tmp_path)
    np.testing.assert_array_equal(alone["image"].kept["projection"], past["image"].kept["projection"])


def test_cca_itq_leaves_its_stage_to_a_run(tmp_path):
    """Through the loop with its files: what it finds is written and read again."""
    x, y, _ = shared_space(60)
    method = cca_itq.Method(bits=8)
    tables = {name: ArrayTable(name, {"features": f}) for name, f in (("image/train", x), ("text/train", y))}
    tables["pairs"] = SideBySide({"image": tables["image/train"], "text": tables["text/train"]}, "pairs")
    once, again = (train.train(method, tables, train.Run(tmp_path, devices=1)) for _ in range(2))
    assert once.keys() == {"cca_itq"}
    jax.tree.map(np.testing.assert_array_equal, once["cca_itq"].kept, again["cca_itq"].kept)
