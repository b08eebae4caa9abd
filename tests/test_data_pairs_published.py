"""Published pairs: small files of every form that circulates, their conversions, the protocol, bad input."""

import h5py
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.io

from jhash.data import convert, published_pairs
from jhash.data.published_pairs import FIELDS, open_pairs
from jhash.types import InputError

PAIRS = 12
PARTS = {"train": 5, "test": 3, "database": 9}
SPLIT = {"queries": 3, "training": 5}
TRIO = ("IAll", "YAll", "LAll")


def path(folder):
    return folder / "one.mat"


def pictures():
    return np.random.default_rng(0).integers(0, 256, (PAIRS, 5, 4, 3)).astype(np.uint8)  # [N, H, W, C]


def vectors():
    return np.random.default_rng(1).normal(size=(PAIRS, 6)).astype(np.float32)


def words():
    """Counts of seven words; the first column numbers the pairs from 1, by which a test knows them again."""
    counts = np.random.default_rng(2).integers(0, 3, (PAIRS, 7)).astype(np.uint8)
    counts[:, 0] = np.arange(1, PAIRS + 1)
    return counts


def labels():
    array = np.random.default_rng(3).integers(0, 2, (PAIRS, 4)).astype(np.uint8)
    array[:, 0] |= ~array.any(axis=1)
    return array


def matlab73(path, **arrays):
    """As MATLAB writes version 7.3: the axes reversed, and a mark of the class."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array.T
            file[name].attrs["MATLAB_class"] = np.bytes_(str(array.dtype))


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array


def matlab5(path, **arrays):
    scipy.io.savemat(path, arrays, do_compression=True)


NHWC, HWCN, NCHW, CHWN = (0, 1, 2, 3), (1, 2, 3, 0), (0, 3, 1, 2), (3, 1, 2, 0)
WRITERS = {"version 7.3": matlab73, "HDF5": hdf5, "version 5": matlab5}
NAMES = {name: (spec.images[0], spec.texts[0], spec.labels[0]) for name, spec in FIELDS.items()}


def one_file(path, images, name="mirflickr25k", /, *, writer=matlab73, **changed):
    """One file of a dataset; returns the config that reads it. `changed` gives other arrays by the names of fields."""
    given = dict(zip(NAMES[name], (images, words(), labels()), strict=True)) | changed
    writer(path, **{field: array for field, array in given.items() if array is not None})
    return {"name": name, "file": str(path), **SPLIT}


def trio(folder, images, apart=False):
    """Three files, images of version 7.3 and matrices of version 5, in one folder or in a folder each."""
    for field, array in zip(TRIO, (images, words(), labels()), strict=True):
        place = folder / field if apart else folder
        place.mkdir(parents=True, exist_ok=True)
        (matlab73 if field == "IAll" else matlab5)(place / f"mirflickr25k-{field.lower()}.mat", **{field: array})
    return {"name": "mirflickr25k", "file": str(folder), **SPLIT}


def read(table, rows=None):
    rows = np.arange(len(table)) if rows is None else np.array(rows)
    block = table.read(rows, ["features", "labels"])
    return block["features"], block["labels"]


def assert_pairs(config, images):
    """Every part has the images, words and labels of the pairs that it numbers, and all parts together have all."""
    parts, classes = open_pairs(config, seed=0)
    assert classes == ("0", "1", "2", "3")
    found = set()
    for part, size in PARTS.items():
        (image, first), (text, second) = (read(parts[part][medium]) for medium in ("image", "text"))
        pair = text[:, 0].astype(int) - 1
        assert len(parts[part]["image"]) == len(parts[part]["text"]) == size == len(set(pair))
        np.testing.assert_array_equal(image, images[pair])
        np.testing.assert_array_equal(text, words()[pair])
        np.testing.assert_array_equal(first, labels()[pair])
        np.testing.assert_array_equal(second, first)
        assert image.dtype == images.dtype == parts[part]["image"].columns["features"].dtype
        assert (text.dtype, first.dtype) == (np.float32, np.uint8)
        found |= set(pair.tolist())
    assert found == set(range(PAIRS))


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("axes", [NHWC, HWCN, NCHW, CHWN], ids=["NHWC", "HWCN", "NCHW", "CHWN"])
def test_pictures_of_every_order_come_as_height_width_channels(axes, writer, tmp_path):
    assert_pairs(one_file(path(tmp_path), pictures().transpose(axes), writer=writer), pictures())


def test_pictures_lie_in_hdf5_as_public_programs_find_them(tmp_path):
    """They turn what h5py sees by (0, 3, 2, 1)."""
    config = one_file(path(tmp_path), pictures().transpose(HWCN))
    with h5py.File(config["file"]) as file:
        np.testing.assert_array_equal(file["images"][()].transpose(0, 3, 2, 1), pictures())
    assert_pairs(config, pictures())


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("turned", [False, True])
def test_features_in_place_of_pictures(turned, writer, tmp_path):
    arrays = (array.T if turned else array for array in (vectors().astype(np.float64), words(), labels()))
    fields = dict(zip(NAMES["mirflickr25k"], arrays, strict=True))
    assert_pairs(one_file(path(tmp_path), None, writer=writer, **fields), vectors())


def test_pictures_stored_as_floats_become_bytes(tmp_path):
    assert_pairs(one_file(path(tmp_path), pictures().transpose(HWCN).astype(np.float64)), pictures())


@pytest.mark.parametrize("name", FIELDS)
def test_a_file_of_each_dataset(name, tmp_path):
    assert_pairs(one_file(path(tmp_path), vectors(), name), vectors())


@pytest.mark.parametrize("name", FIELDS)
def test_the_fields_of_three_files_may_stand_in_one(name, tmp_path):
    path = tmp_path / "all.h5"
    hdf5(path, **dict(zip(TRIO, (vectors(), words(), labels()), strict=True)))
    assert_pairs({"name": name, "file": str(path), **SPLIT}, vectors())


@pytest.mark.parametrize("apart", [False, True])
def test_three_files_of_a_folder(apart, tmp_path):
    config = trio(tmp_path / "set", pictures().transpose(HWCN), apart)
    matlab5(tmp_path / "set" / "mirflickr25k-fall.mat", FAll=np.zeros((PAIRS, 1)))
    assert_pairs(config, pictures())


def test_three_files_that_are_named(tmp_path):
    trio(tmp_path, pictures().transpose(HWCN))
    for letter in "iyl":
        (tmp_path / f"mirflickr25k-{letter}all.mat").rename(tmp_path / f"{letter}.mat")
    named = {field: str(tmp_path / f"{i}.mat") for field, i in (("images", "i"), ("texts", "y"), ("labels_file", "l"))}
    assert_pairs({"name": "mirflickr25k", **named, **SPLIT}, pictures())


def test_the_only_file_of_a_folder(tmp_path):
    config = one_file(path(tmp_path), vectors())
    assert_pairs(config | {"file": str(tmp_path)}, vectors())


def test_sparse_words_of_version_5(tmp_path):
    config = one_file(path(tmp_path), vectors(), writer=matlab5, YAll=scipy.sparse.csc_matrix(words().astype(float)))
    assert_pairs(config, vectors())


@pytest.mark.parametrize("turned", [False, True])
def test_words_are_read_in_slabs(turned, tmp_path, monkeypatch):
    """One slab is of bytes, a later one isn't: what was read before stays."""
    monkeypatch.setattr(published_pairs, "SLAB_BYTES", 1)
    values = words() + np.linspace(0, 300, PAIRS)[:, None] // 1 * np.linspace(0, 1, 7) - (np.arange(7) == 6)
    values = values.T if turned else values
    array = published_pairs.Stored("here", values, items=int(turned))
    found = published_pairs.matrix(array)
    np.testing.assert_array_equal(found, (values.T if turned else values).astype(np.float32))
    assert found.dtype == np.float32 and found.flags.c_contiguous
    assert published_pairs.matrix(published_pairs.Stored("here", words().astype(float))).dtype == np.uint8


def test_of_pictures_only_the_rows_asked_for_are_read(tmp_path, monkeypatch):
    config = one_file(path(tmp_path), pictures().transpose(HWCN))
    tables = published_pairs.open_published("mirflickr25k", published_pairs.find("mirflickr25k", config))
    asked, between = [], published_pairs.Stored.between

    def spy(self, start, stop, axis):
        asked.append((start, stop, axis))
        return between(self, start, stop, axis)

    monkeypatch.setattr(published_pairs.Stored, "between", spy)
    assert tables["image"].columns["features"].shape == (5, 4, 3)
    assert asked == []
    tables["image"].read(np.array([8, 2, 1, 2]), ["labels"])
    assert asked == []
    np.testing.assert_array_equal(read(tables["image"], [8, 2, 1, 2])[0], pictures()[[8, 2, 1, 2]])
    assert asked == [(1, 3, 0), (8, 9, 0)]


def test_a_table_streams(tmp_path):
    parts, _ = open_pairs(one_file(path(tmp_path), pictures().transpose(HWCN)), seed=0)
    means = parts["database"]["image"].map(
        lambda block: jnp.mean(block["features"].astype(jnp.float32), axis=(1, 2, 3)), ["features"]
    )
    np.testing.assert_allclose(means, read(parts["database"]["image"])[0].mean(axis=(1, 2, 3)), rtol=1e-5)


def numbers(parts):
    return {part: (read(tables["text"])[0][:, 0].astype(int) - 1).tolist() for part, tables in parts.items()}


def test_the_split_is_that_of_a_seeded_permutation(tmp_path):
    config = one_file(path(tmp_path), vectors())
    found = numbers(open_pairs(config, seed=7)[0])
    order = np.random.default_rng([7, 6]).permutation(PAIRS)
    assert (set(found["test"]), set(found["train"])) == (set(order[:3]), set(order[3:8]))
    assert not set(found["test"]) & set(found["database"])
    assert found["database"][:5] == found["train"] == sorted(found["train"])
    assert numbers(open_pairs(config, seed=7)[0]) == found != numbers(open_pairs(config, seed=8)[0])


@pytest.mark.parametrize(
    ("name", "size", "training"),
    [("mirflickr25k", 20_015, 10_000), ("nuswide_tc21", 190_421, 10_500), ("mscoco", 87_081, 10_000)],
)
def test_the_numbers_of_the_papers_are_the_default(name, size, training, tmp_path):
    array = np.ones((size, 1), np.uint8)
    config = one_file(path(tmp_path), array, name, **dict.fromkeys(NAMES[name], array))
    for numbers_of in ({}, {"queries": 0, "training": 0}):
        parts, _ = open_pairs({"name": name, "file": config["file"]} | numbers_of, seed=0)
        sizes = {part: len(tables["image"]) for part, tables in parts.items()}
        assert sizes == {"train": training, "test": 2_000, "database": size - 2_000}


@pytest.mark.parametrize(("name", "left"), [("mirflickr25k", 11), ("nuswide_tc21", 10), ("mscoco", 11)])
def test_pairs_without_a_class_are_left_out_and_of_nuswide_those_without_a_word(name, left, tmp_path):
    some, counts = labels(), words()
    some[4], counts[9] = 0, 0
    config = one_file(path(tmp_path), vectors(), name, **dict(zip(NAMES[name][1:], (counts, some), strict=True)))
    parts, _ = open_pairs(config, seed=0)
    image = np.concatenate([read(parts[part]["image"])[0] for part in ("test", "database")])
    kept = [row for row in range(PAIRS) if row != 4 and (row != 9 or left == 11)]
    assert sorted(image.tolist()) == sorted(vectors()[kept].tolist())
    text = np.concatenate([read(parts[part]["text"])[0] for part in ("test", "database")])
    np.testing.assert_array_equal(image, vectors()[[*map(counts.tolist().index, text.astype(int).tolist())]])


def with_value(array, value):
    array = array.astype(np.float64)
    array[5, 2] = value
    return array


LATE = {  # what is only seen when images are read
    "a picture of fractions": (
        {"images": pictures() / 255},
        r"'images' must be whole numbers of 0 to 255, found 0\.\d+ in item",
    ),
    "a picture of negative numbers": ({"images": pictures() - 300.0}, "must be whole numbers of 0 to 255, found -"),
    "a feature that is NaN": (
        {"images": with_value(vectors(), np.nan)},
        "'images' must be finite, found nan in item 5",
    ),
    "a feature too large": ({"images": with_value(vectors(), 1e39)}, "'images' must be finite, found inf in item 5"),
}
BAD = {
    "no images": ({"images": None}, "one.mat: expected an array 'images' or 'IAll', found LAll, YAll"),
    "no words": ({"YAll": None}, "one.mat: expected an array 'YAll', found LAll, images"),
    "no labels": ({"LAll": None}, "one.mat: expected an array 'LAll', found YAll, images"),
    "too few images": (
        {"images": vectors()[:11]},
        r"must be of one length, found \[11, 6\] in .*'images', \[12, 7\] in .*'YAll', \[12, 4\] in .*'LAll'",
    ),
    "too few words": ({"YAll": words()[:11]}, r"must be of one length, found \[12, 6\] in .*, \[11, 7\] in .*'YAll'"),
    "too few labels": ({"LAll": labels()[:11]}, r"must be of one length, found .* \[11, 4\] in .*'LAll'"),
    "a word that is NaN": ({"YAll": with_value(words(), np.nan)}, "'YAll' must be finite, found nan in item 5"),
    "a word that is infinite": ({"YAll": with_value(words(), -np.inf)}, "'YAll' must be finite, found -inf in item 5"),
    "a label of 2": (
        {"LAll": with_value(labels(), 2)},
        "'LAll': labels must be 0 or 1, found 2 at row 5, column 2",
    ),
    "a label of -1": ({"LAll": with_value(labels(), -1)}, "labels must be 0 or 1, found -1.0 at row 5, column 2"),
    "a label that is NaN": ({"LAll": with_value(labels(), np.nan)}, "'LAll' must be finite, found nan in item 5"),
    "labels of three axes": (
        {"LAll": labels()[:, :, None] + np.zeros((1, 1, 2))},
        r"'LAll' must be \[items, width\], nothing of it 0, found \[12, 4, 2\]",
    ),
    "images of three axes": (
        {"images": np.zeros((PAIRS, 5, 4))},
        r"'images' must be \[items, width\] or pictures of three channels, .* found \[12, 5, 4\]",
    ),
    "pictures of four channels": (
        {"images": np.zeros((PAIRS, 4, 5, 5), np.uint8)},
        r"'images' must be pictures of three channels, first or last, found \[4, 5, 5\] each",
    ),
    "letters": ({"YAll": np.array(list("abc"))}, "'YAll' must be an array of numbers, found"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_wrong(case, tmp_path):
    changed, message = BAD[case]
    config = one_file(path(tmp_path), vectors(), writer=matlab5, **changed)
    with pytest.raises(InputError, match=message) as error:
        open_pairs(config, seed=0)
    assert str(path(tmp_path)) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("case", [case for case in BAD if case not in ("letters", "labels of three axes")])
def test_a_file_of_version_73_that_is_wrong(case, tmp_path):
    changed, message = BAD[case]
    config = one_file(path(tmp_path), vectors(), **changed)
    with pytest.raises(InputError, match=message):
        open_pairs(config, seed=0)


@pytest.mark.parametrize("case", LATE)
def test_images_that_are_wrong_are_found_when_they_are_read(case, tmp_path):
    changed, message = LATE[case]
    parts, _ = open_pairs(one_file(path(tmp_path), None, **changed), seed=0)
    with pytest.raises(InputError, match=message):
        [read(parts[part]["image"]) for part in ("test", "database")]


def test_letters_in_hdf5(tmp_path):
    config = one_file(path(tmp_path), vectors(), writer=hdf5, YAll=np.array([b"ab"] * PAIRS))
    with pytest.raises(InputError, match="'YAll' must be an array of numbers, found"):
        open_pairs(config, seed=0)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_file_cut_short(writer, tmp_path):
    config = one_file(path(tmp_path), pictures(), writer=writer)
    whole = path(tmp_path).read_bytes()
    path(tmp_path).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="one.mat: not a whole .mat file"):
        open_pairs(config, seed=0)


def test_pictures_that_are_damaged(tmp_path):
    config = one_file(path(tmp_path), None, writer=hdf5)
    with h5py.File(config["file"], "a") as file:
        images = file.create_dataset("images", data=pictures(), chunks=(1, 5, 4, 3), fletcher32=True)
        place = images.id.get_chunk_info(4).byte_offset
    with open(config["file"], "r+b") as file:
        file.seek(place)
        assert file.read(60) == pictures()[4].tobytes()
        file.seek(place)
        file.write(bytes(60))
    parts, _ = open_pairs(config, seed=0)
    with pytest.raises(InputError, match="one.mat: 'images' cannot be read, the file is damaged"):
        [read(parts[part]["image"]) for part in ("test", "database")]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "mscocoa"}, r"data.name: expected one of mirflickr25k, .*, found 'mscocoa' \(did you mean 'mscoco'"),
        ({"format": "h5"}, "data.format: expected 'published' or 'array_record', found 'h5'"),
        (
            {"file": ""},
            "data.file: expected a file of mirflickr25k with images or IAll, YAll, LAll, or .*found nothing",
        ),
        ({"file": "gone.mat"}, "data.file: expected a file of mirflickr25k .*, at 'gone.mat'; found none"),
        ({"images": "gone.mat"}, "data.images: expected a file of mirflickr25k that holds images or IAll, found 'gone"),
        ({"images": __file__}, "data.texts: expected a file of mirflickr25k that holds YAll, found ''"),
        ({"queries": 8}, "expected 1 or more of each and 12 pairs together at most, found 8 and 5"),
        ({"queries": -1}, "data.queries and data.training: expected 1 or more of each .*, found -1 and 5"),
        ({"training": -1}, "expected 1 or more of each .*, found 3 and -1"),
        ({"format": "array_record"}, "data.dir: expected the folder that holds the conversion of mirflickr25k"),
        ({"format": "array_record", "dir": "gone", "storage": "int8"}, "data.storage: expected 'float32' or 'float16'"),
        (
            {"format": "array_record", "dir": "gone"},
            "no finished array_record conversion of mirflickr25k; make it by `python -m jhash.data.convert --dat",
        ),
    ],
)
def test_a_config_that_is_wrong(changed, message, tmp_path):
    config = one_file(path(tmp_path), vectors()) | changed
    with pytest.raises(InputError, match=message):
        open_pairs(config, seed=0)


def test_a_folder_of_several_files_and_one_without_its_labels(tmp_path):
    config = trio(tmp_path, vectors())
    (tmp_path / "mirflickr25k-lall.mat").rename(tmp_path / "other.mat")
    with pytest.raises(InputError, match="; found mirflickr25k-iall.mat, mirflickr25k-yall.mat, other.mat"):
        open_pairs(config, seed=0)


@pytest.fixture
def converted(tmp_path, monkeypatch):
    """Converts the files of a folder, in several shards; returns the finished folder and the config that reads it."""
    from jhash.data.builders import pairs, records

    monkeypatch.setattr(records, "SHARD_BYTES", 5 * 60)
    monkeypatch.setattr(pairs, "BLOCK", 2)

    def run(name, source, storage="float16"):
        folder = convert.convert(name, source, tmp_path / "out", storage)
        stored = {"name": name, "format": "array_record", "dir": str(tmp_path / "out"), "storage": storage, **SPLIT}
        return folder, stored

    return run


def source_of(tmp_path):
    (tmp_path / "source").mkdir()
    return tmp_path / "source"


@pytest.mark.parametrize("name", FIELDS)
def test_a_conversion_of_pictures_reads_back_as_the_file(name, converted, tmp_path):
    source = source_of(tmp_path)
    one_file(source / "one.mat", pictures().transpose(HWCN), name)
    folder, config = converted(name, source)
    assert len(list(folder.glob(f"{name}-pairs.array_record-*"))) == 3
    assert_pairs(config, pictures())


def test_a_conversion_of_features_in_float16(converted, tmp_path):
    trio(source_of(tmp_path), vectors())
    _, config = converted("mirflickr25k", tmp_path / "source")
    assert_pairs(config, vectors().astype(np.float16).astype(np.float32))


def test_a_conversion_of_features_in_float32(converted, tmp_path):
    trio(source_of(tmp_path), vectors())
    _, config = converted("mirflickr25k", tmp_path / "source", "float32")
    assert_pairs(config, vectors())


def test_a_conversion_leaves_out_and_divides_as_the_file_does(converted, tmp_path):
    some = labels()
    some[[0, 4]] = 0
    config = one_file(source_of(tmp_path) / "one.mat", pictures(), LAll=some)
    _, stored = converted("mirflickr25k", tmp_path / "source")
    assert numbers(open_pairs(stored, seed=3)[0]) == numbers(open_pairs(config, seed=3)[0])


def test_a_record_is_whole_by_itself(converted, tmp_path):
    import tensorflow_datasets as tfds

    one_file(source_of(tmp_path) / "one.mat", pictures())
    folder, _ = converted("mirflickr25k", tmp_path / "source")
    record = tfds.builder_from_directory(folder).as_data_source(split="pairs")[7]
    np.testing.assert_array_equal(record["image"], pictures()[7])
    np.testing.assert_array_equal(record["text"], words()[7])
    np.testing.assert_array_equal(record["labels"], labels()[7])
    assert (int(record["id"]), record["features"].shape) == (7, (0,))


def test_a_conversion_that_ended_early_leaves_nothing_and_starts_anew(converted, tmp_path, monkeypatch):
    from jhash.data.builders import pairs

    one_file(source_of(tmp_path) / "one.mat", pictures())
    examples, calls = pairs._examples, []

    def interrupted(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        yield from examples(*arguments)

    with monkeypatch.context() as context:
        context.setattr(pairs, "_examples", interrupted)
        with pytest.raises(KeyboardInterrupt):
            converted("mirflickr25k", tmp_path / "source")
    assert [found.name for found in (tmp_path / "out").rglob("*array_record*")] == []
    _, config = converted("mirflickr25k", tmp_path / "source")
    assert_pairs(config, pictures())


def test_what_a_killed_conversion_left_is_thrown_away(converted, tmp_path):
    one_file(source_of(tmp_path) / "one.mat", pictures())
    left = tmp_path / "out" / ".mirflickr25k-float16.part" / "mirflickr25k" / "float16" / "1.0.0"
    left.mkdir(parents=True)
    (left / "dataset_info.json").write_text("{")
    _, config = converted("mirflickr25k", tmp_path / "source")
    assert_pairs(config, pictures())
    assert not list((tmp_path / "out").glob(".mirflickr25k*"))


@pytest.mark.parametrize("field", ["images", "YAll"])
def test_what_float16_cannot_hold_stops_a_conversion(field, converted, tmp_path):
    given = {"images": vectors(), "YAll": words()}[field]
    one_file(source_of(tmp_path) / "one.mat", vectors(), **{field: with_value(given, 7e4)})
    with pytest.raises(InputError, match=f"'{field}': pair 5, dimension 2 is 70000.0, which cannot be stored"):
        converted("mirflickr25k", tmp_path / "source")
    assert not list((tmp_path / "out").rglob("*array_record*"))


def test_the_room_that_a_conversion_needs(tmp_path):
    config = one_file(path(tmp_path), pictures())
    needed = published_pairs.conversion_bytes("mirflickr25k", config["file"], "float16")
    assert needed == PAIRS * (60 + 2 * 7 * 2 + 2 * 4 + 200)
