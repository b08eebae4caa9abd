"""The file that a run hands on: what is written is read; what isn't whole is refused with one sentence."""

import dataclasses
import hashlib
import io
import json
import zipfile

import numpy as np
import pytest

from jhash import library
from jhash.library import Library
from jhash.types import InputError


def example(bits=11):
    random = np.random.default_rng(0)
    sizes = {"image/train": 7, "image/test": 3, "audio/train": 5}
    parts = {
        part: (random.choice([-1, 1], (items, bits)).astype(np.int8), random.integers(0, 2, (items, 3), np.uint8))
        for part, items in sizes.items()
    }
    kept = {"library": random.normal(size=(3, 2, bits)).astype(np.float32), "filled": np.array([True, False, True])}
    return Library("she", bits, ("image", "audio"), ("cat", "dog", "größe"), kept, parts)


def assert_same(one, other):
    for field in ("method", "bits", "media", "classes"):
        assert getattr(one, field) == getattr(other, field)
    for name, value in one.kept.items():
        np.testing.assert_array_equal(other.kept[name], value)
        assert other.kept[name].dtype == value.dtype
    assert one.kept.keys() == other.kept.keys() and list(one.parts) == list(other.parts)
    for part, arrays in one.parts.items():
        for a, b in zip(arrays, other.parts[part], strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype


@pytest.fixture
def path(tmp_path):
    library.write(tmp_path / "library.npz", example())
    return tmp_path / "library.npz"


def rewritten(path, **changes):
    """The same file with some arrays changed, and the digest as it was."""
    with np.load(path) as held:
        arrays = {**held, **{name.replace("__", "/"): value for name, value in changes.items()}}
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})


def refused(path, words):
    with pytest.raises(InputError, match=words) as caught:
        library.read(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize("bits", [1, 8, 11, 64])
def test_what_is_written_is_read_at_any_code_length(bits, tmp_path):
    library.write(tmp_path / "library.npz", example(bits))
    assert_same(library.read(tmp_path / "library.npz"), example(bits))


def test_codes_take_a_bit_an_entry_and_the_first_is_the_lowest(path):
    with np.load(path) as held:
        packed = held["codes/image/train"]
    codes = example().parts["image/train"][0]
    assert packed.shape == (7, 2) and packed.dtype == np.uint8
    by_hand = [
        [sum(1 << j for j in range(8) if 8 * w + j < 11 and row[8 * w + j] > 0) for w in (0, 1)] for row in codes
    ]
    np.testing.assert_array_equal(packed, by_hand)


def test_a_library_without_parts_or_classes_is_one_too(tmp_path):
    bare = dataclasses.replace(example(), parts={}, classes=(), media=())
    library.write(tmp_path / "library.npz", bare)
    assert_same(library.read(tmp_path / "library.npz"), bare)


def test_the_same_library_is_the_same_file(path, tmp_path):
    library.write(tmp_path / "again.npz", example())
    assert path.read_bytes() == (tmp_path / "again.npz").read_bytes()


def test_labels_have_as_many_columns_as_the_code_book_by_now():
    labels = example().labels("image/test", 5)
    assert labels.shape == (3, 5) and not labels[:, 3:].any()
    np.testing.assert_array_equal(labels[:, :3], example().parts["image/test"][1])


def test_a_fold_begins_with_what_was_kept(path):
    (past,) = library.read(path).past.values()
    assert not past.params and not past.collections
    np.testing.assert_array_equal(past.kept["library"], example().kept["library"])


def test_no_such_file(tmp_path):
    refused(tmp_path / "library.npz", "expected the library of a finished run, found no such file")


def test_one_altered_byte_is_noticed_wherever_it_changes_anything(path):
    whole, told = path.read_bytes(), 0
    for place in range(0, len(whole), 97):
        content = bytearray(whole)
        content[place] ^= 0x10
        path.write_bytes(bytes(content))
        try:
            assert_same(library.read(path), example())  # a byte that says nothing, such as a date in the archive
        except InputError as error:
            told += 1
            assert "\n" not in str(error) and str(path) in str(error)
    assert told > 10


def test_a_file_cut_short_anywhere(path):
    whole = path.read_bytes()
    for size in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        refused(path, "expected a whole library, found a torn or damaged file")


@pytest.mark.parametrize(
    "changes",
    [
        {"kept__library": np.zeros((3, 2, 11), np.float32)},
        {"kept__filled": np.array([1, 0, 1], np.uint8)},  # the same bytes
        {"labels__image__train": np.zeros((7, 3), np.uint8)},
        {"codes__image__train": np.zeros((7, 2), np.uint8)},
        {"classes": np.array(["cat", "dog", "mouse"])},
        {"bits": np.int64(12)},
        {"codes__audio__train": None, "labels__audio__train": None},
        {"kept__more": np.zeros(1)},
        {"digest": None},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_an_altered_array_is_noticed(path, changes):
    rewritten(path, **changes)
    refused(path, "the library's content differs from what was written")


@pytest.mark.parametrize(
    ("version", "found"),
    [(np.int64(2), "2"), (None, "'none'"), (np.array([1, 1]), r"\[1, 1\]"), (np.array("1"), "'1'")],
)
def test_another_version_is_refused(path, version, found):
    rewritten(path, version=version)
    refused(path, f"expected a library of version 1, found version {found}")


def test_a_pickle_inside_is_never_opened(path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("opened",))

    held = io.BytesIO()
    np.save(held, np.array([Trap()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("kept/trap.npy", held.getvalue())
    refused(path, "expected a whole library, found a torn or damaged file .*pickle")


def test_a_single_array_is_no_library(path):
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
    refused(path, "expected a whole library, found a torn or damaged file")


def test_a_write_that_fails_leaves_what_was_there(path, monkeypatch):
    before = path.read_bytes()

    def full(*args, **arrays):
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        library.write(path, example(8))
    assert path.read_bytes() == before


def test_a_copy_says_where_it_is_from(path, tmp_path):
    library.copy(path, tmp_path / "new")
    assert (tmp_path / "new" / library.EARLIER).read_bytes() == path.read_bytes()
    origin = json.loads((tmp_path / "new" / "earlier.json").read_text())
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert origin == {"copied from": str(path.resolve()), "sha256": sha256}
    assert library.find("nowhere", 0, "she", tmp_path / "new" / library.EARLIER).parent == tmp_path / "new"


def test_a_workdir_without_that_run_is_refused(tmp_path):
    run = tmp_path / "seed-0" / "she"
    run.mkdir(parents=True)
    (run / library.FILE).touch()
    assert library.find(str(tmp_path), 0, "she", tmp_path / "none") == run / library.FILE
    for seed, method in ((1, "she"), (0, "joint")):
        with pytest.raises(InputError, match=f"the workdir of a finished run of {method} with seed {seed}, found no"):
            library.find(str(tmp_path), seed, method, tmp_path / "none")
