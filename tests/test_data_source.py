"""Tables: any rows, any order, repeats; shards; streaming; and the same numbers from each kind of storage."""

from concurrent.futures import ThreadPoolExecutor

import h5py
import jax.numpy as jnp
import numpy as np
import pytest

from jhash.data import source
from jhash.data.source import ArrayTable, H5Table, Subset, Transformed, blocks, write_array
from jhash.types import InputError

ROWS = np.array([7, 0, 22, 22, 3, 4, 5, 14, 0, 10, 9])


@pytest.fixture
def frames():
    return np.random.default_rng(0).normal(size=(23, 4, 6)).astype(np.float32)


@pytest.fixture
def shards(tmp_path, frames):
    """Three files of 10, 5 and 8 items; the second is chunked and compressed."""
    cuts = [(0, 10), (10, 15), (15, 23)]
    paths = [tmp_path / f"part_{i}.h5" for i in range(3)]
    options = [{}, {"chunks": (2, 3, 3), "compression": "gzip"}, {}]
    for path, (start, stop), how in zip(paths, cuts, options, strict=True):
        with h5py.File(path, "w") as file:
            file.create_dataset("feats", data=frames[start:stop], **how)
    return paths


def table_of(kind, frames, shards):
    labels = np.eye(23, dtype=np.uint8)
    if kind == "array":
        return ArrayTable("array", {"frames": frames, "labels": labels})
    if kind == "shards":
        return H5Table("shards", shards, "feats", {"labels": labels})
    table = ArrayTable("reversed", {"frames": frames[::-1], "labels": labels[::-1]})
    return Subset(table, np.arange(23)[::-1], "subset")


KINDS = pytest.mark.parametrize("kind", ["array", "shards", "subset"])


@KINDS
def test_read_gives_rows_in_the_order_asked_for_with_repeats(kind, frames, shards):
    got = table_of(kind, frames, shards).read(ROWS, ["frames", "labels"])
    np.testing.assert_array_equal(got["frames"], frames[ROWS])
    np.testing.assert_array_equal(got["labels"].argmax(axis=1), ROWS)


@KINDS
def test_read_gives_only_the_columns_asked_for(kind, frames, shards):
    assert set(table_of(kind, frames, shards).read(ROWS, ["labels"])) == {"labels"}


@KINDS
def test_read_of_no_rows_is_empty(kind, frames, shards):
    assert table_of(kind, frames, shards).read(np.array([], int), ["frames"])["frames"].shape == (0, 4, 6)


@KINDS
@pytest.mark.parametrize("rows", [[23], [-1], [[1, 2]]])
def test_rows_that_there_are_not_raise(kind, rows, frames, shards):
    with pytest.raises(IndexError, match="row numbers must be one-dimensional and between 0 and 22"):
        table_of(kind, frames, shards).read(np.array(rows), ["frames"])


@KINDS
def test_columns_tell_shape_and_dtype_of_an_item(kind, frames, shards):
    table = table_of(kind, frames, shards)
    assert len(table) == 23
    assert (table.columns["frames"].shape, table.columns["frames"].dtype) == ((4, 6), np.float32)
    assert (table.columns["labels"].shape, table.columns["labels"].dtype) == ((23,), np.uint8)


@KINDS
def test_map_in_blocks_equals_the_function_at_once(kind, frames, shards, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_ROWS", 5)  # 23 items: the last block is padded with two rows
    got = table_of(kind, frames, shards).map(lambda block: block["frames"].mean(axis=1), ["frames"])
    np.testing.assert_allclose(got, frames.mean(axis=1), rtol=1e-6, atol=1e-7)


def test_map_traces_its_function_for_one_block_shape(frames, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_ROWS", 5)
    seen = []

    def function(block):
        seen.append(block["frames"].shape)
        return block["frames"].sum(axis=(1, 2))

    ArrayTable("array", {"frames": frames}).map(function, ["frames"])
    assert set(seen) == {(5, 4, 6)}


def test_map_to_a_file_is_memory_mapped_and_equal(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_ROWS", 5)
    got = ArrayTable("array", {"frames": frames}).map(lambda block: block["frames"] * 2, ["frames"], tmp_path / "x.npy")
    assert isinstance(got, np.memmap)
    np.testing.assert_array_equal(got, frames * 2)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]


def test_map_that_breaks_off_leaves_no_file_of_that_name(frames, tmp_path, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_ROWS", 5)
    table = ArrayTable("array", {"frames": frames})
    reads = []

    def read(rows, columns):
        reads.append(rows)
        if len(reads) == 3:
            raise InputError("the disk is gone")
        return ArrayTable.read(table, rows, columns)

    table.read = read
    with pytest.raises(InputError, match="the disk is gone"):
        table.map(lambda block: block["frames"], ["frames"], tmp_path / "x.npy")
    assert list(tmp_path.iterdir()) == []


def test_map_of_a_function_that_loses_the_items_raises(frames):
    with pytest.raises(ValueError, match=r"expected a result \[23, ...\]"):
        ArrayTable("array", {"frames": frames}).map(lambda block: block["frames"].sum(), ["frames"])


def test_a_disk_that_cannot_hold_the_result_is_a_sentence(tmp_path):
    def parts():
        yield np.zeros(4, np.float32)
        raise OSError(28, "No space left on device")

    with pytest.raises(InputError, match=r"x.npy: cannot be written \(400 bytes are needed\): No space left on device"):
        write_array(tmp_path / "x.npy", (100,), np.float32, parts())
    assert list(tmp_path.iterdir()) == []


def test_blocks_are_bounded_in_bytes(frames, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 3 * 4 * 6 * 4)
    lengths = [len(block["frames"]) for _, block in blocks(ArrayTable("array", {"frames": frames}), ["frames"])]
    assert lengths == [3] * 7 + [2]


def test_transformed_frames_are_as_the_function_makes_them(frames):
    table = Transformed(
        ArrayTable("array", {"frames": frames.astype(np.float16)}), lambda x: x[:, ::2].astype(np.float32)
    )
    assert (table.columns["frames"].shape, table.columns["frames"].dtype) == ((2, 6), np.float32)
    got = table.read(ROWS, ["frames"])["frames"]
    np.testing.assert_array_equal(got, frames.astype(np.float16)[ROWS, ::2].astype(np.float32))


def test_transformed_by_jax_is_still_numpy(frames):
    table = Transformed(ArrayTable("array", {"frames": frames}), jnp.abs)
    assert isinstance(table.read(ROWS, ["frames"])["frames"], np.ndarray)


def test_transformed_does_not_touch_frames_when_labels_are_read(frames):
    def refuse(block):
        assert not isinstance(block, np.ndarray), "called on data"
        return block

    table = Transformed(ArrayTable("array", {"frames": frames, "labels": np.eye(23, dtype=np.uint8)}), refuse)
    assert table.read(ROWS, ["labels"])["labels"].shape == (11, 23)


def test_two_threads_may_read_one_file(frames, shards):
    table = table_of("shards", frames, shards)
    rows = [np.random.default_rng(i).integers(0, 23, 50) for i in range(40)]
    with ThreadPoolExecutor(2) as threads:
        for asked, got in zip(rows, threads.map(lambda r: table.read(r, ["frames"]), rows), strict=True):
            np.testing.assert_array_equal(got["frames"], frames[asked])


def test_shards_of_different_widths_are_refused(shards):
    with h5py.File(shards[1], "w") as file:
        file["feats"] = np.zeros((5, 4, 7), np.float32)
    with pytest.raises(InputError, match=r"part_1.h5: 'feats' must be like that of part_0.h5, \[N, 4, 6\]"):
        H5Table("shards", shards, "feats", {})


def test_labels_of_another_length_are_refused(shards):
    with pytest.raises(InputError, match="labels must have 23 rows, one an item, found 22"):
        H5Table("shards", shards, "feats", {"labels": np.zeros((22, 3), np.uint8)})


def test_columns_of_different_lengths_are_refused(frames):
    with pytest.raises(InputError, match="columns must be of one length"):
        ArrayTable("array", {"frames": frames, "labels": np.zeros((22, 3), np.uint8)})


def test_a_truncated_h5_is_a_sentence(shards):
    shards[0].write_bytes(shards[0].read_bytes()[:-300])
    with pytest.raises(InputError, match="part_0.h5: not a whole HDF5 file"):
        H5Table("shards", shards, "feats", {})


def test_a_file_without_the_dataset_says_what_it_has(shards):
    with pytest.raises(InputError, match="expected a dataset 'frames', found feats"):
        H5Table("shards", shards, "frames", {})


def test_a_damaged_chunk_is_a_sentence_that_names_the_rows(shards):
    data = bytearray(shards[1].read_bytes())
    with h5py.File(shards[1]) as file:
        chunk = file["feats"].id.get_chunk_info(0)
    data[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    shards[1].write_bytes(data)
    table = H5Table("shards", shards, "feats", {})
    with pytest.raises(InputError, match="part_1.h5: rows 0 to 1 cannot be read, the file is damaged"):
        table.read(np.array([11, 10]), ["frames"])


def test_blocks_of_a_transformed_table_are_bounded_by_what_it_reads(frames, monkeypatch):
    monkeypatch.setattr(source, "BLOCK_BYTES", 3 * 4 * 6 * 4)
    table = Transformed(ArrayTable("array", {"frames": frames}), lambda x: x[:, :1])
    assert source.block_rows(table, ["frames"]) == 3
    assert source.block_rows(Subset(table, np.arange(9), "nine"), ["frames"]) == 3
