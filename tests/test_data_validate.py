"""Each bad input has its sentence; a pickle is never loaded."""

import pickle

import h5py
import numpy as np
import pytest
import scipy.io

from jhash.data import validate
from jhash.data.source import ArrayTable
from jhash.types import InputError


def table(frames=None, **columns):
    return ArrayTable("clips.npz", {"frames": np.ones((6, 3, 4), np.float32) if frames is None else frames, **columns})


@pytest.mark.parametrize(("value", "word"), [(np.nan, "nan"), (np.inf, "inf"), (-np.inf, "-inf")])
def test_the_first_bad_number_is_named(value, word):
    frames = np.ones((6, 3, 4), np.float32)
    frames[4, 1, 2] = frames[5, 0, 0] = value
    message = f"clips.npz: features must be finite, found {word} in item 4, frame 1, dimension 2."
    with pytest.raises(InputError, match=message):
        validate.check_finite(table(frames))


def test_finite_frames_pass():
    validate.check_table(table(np.random.default_rng(0).normal(size=(6, 3, 4)), labels=np.eye(6, dtype=np.uint8)))


@pytest.mark.parametrize("shape", [(6, 4), (6, 3, 4, 2), (6, 0, 4)])
def test_wrong_rank(shape):
    with pytest.raises(
        InputError, match=r"clips.npz: frames must be \[items, frames, width\], none of them 0, found \[6"
    ):
        validate.check_shape(table(np.ones(shape, np.float32)))


def test_wrong_width():
    with pytest.raises(InputError, match=r"items must be \[3, 5\] .* like those of clips.npz, found \[3, 4\]"):
        validate.check_shape(table(), table(np.ones((6, 3, 5), np.float32)))


def test_frames_that_are_no_numbers():
    with pytest.raises(InputError, match="frames must be numbers, found <U1"):
        validate.check_shape(table(np.full((6, 3, 4), "x")))


def test_labels_of_another_length():
    with pytest.raises(InputError, match=r"labels must have 6 rows, one an item, found \[5, 2\]"):
        validate.check_labels("clips.npz", np.zeros((5, 2)), 6)


def test_labels_that_are_not_0_or_1():
    labels = np.zeros((6, 2))
    labels[3, 1] = 2
    with pytest.raises(InputError, match="labels must be 0 or 1, found 2.0 at row 3, column 1"):
        validate.check_labels("clips.npz", labels, 6)


def test_no_labels_where_needed():
    with pytest.raises(InputError, match="clips.npz: has no labels, which mAP needs"):
        validate.check_labelled([table()], "mAP")


def test_an_object_array_in_an_npz_is_refused(tmp_path):
    np.savez(tmp_path / "x.npz", frames=np.array([{}, None], object))
    with pytest.raises(InputError, match="x.npz: holds pickled Python objects, which are never loaded"):
        validate.load_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_a_pickle_by_another_name_is_refused_and_not_run(name, tmp_path):
    class Trap:
        def __reduce__(self):
            return open, (str(tmp_path / "sprung"), "w")

    (tmp_path / name).write_bytes(pickle.dumps(Trap()))
    with pytest.raises(InputError, match="holds pickled Python objects, which are never loaded"):
        (validate.load_npy if name.endswith("npy") else validate.load_npz)(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_an_npz_holding_one_array_by_name(tmp_path):
    np.save(tmp_path / "x.npy", np.ones(3))
    (tmp_path / "x.npy").rename(tmp_path / "x.npz")
    with pytest.raises(InputError, match="x.npz: expected an .npz archive of arrays, found a single array"):
        validate.load_npz(tmp_path / "x.npz")


@pytest.mark.parametrize("kept", [0, 3, 100, -40])
def test_a_truncated_npz(kept, tmp_path):
    np.savez(tmp_path / "x.npz", frames=np.ones((40, 4)))
    (tmp_path / "x.npz").write_bytes((tmp_path / "x.npz").read_bytes()[:kept])
    with pytest.raises(InputError, match=r"x.npz: not a whole .npz file|x.npz: holds pickled"):
        validate.load_npz(tmp_path / "x.npz")


def test_a_compressed_npz_with_a_wrong_byte(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, frames=np.arange(400.0))
    whole = path.read_bytes()
    start = whole.index(b"frames.npy") + 40
    for place in range(start, start + 200):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with pytest.raises(InputError, match="x.npz: not a whole .npz file"):
            validate.load_npz(path)


def test_an_npz_behind_a_password(tmp_path):
    path = tmp_path / "x.npz"
    np.savez(path, frames=np.ones(3))
    content = bytearray(path.read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the local header and the central one
        content[content.index(mark) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="x.npz: not a whole .npz file .*encrypted"):
        validate.load_npz(path)


@pytest.mark.parametrize("kept", [0, 60, -40])
def test_a_truncated_npy(kept, tmp_path):
    np.save(tmp_path / "x.npy", np.ones((40, 4)))
    (tmp_path / "x.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:kept])
    with pytest.raises(InputError, match="x.npy: not a whole .npy file"):
        validate.load_npy(tmp_path / "x.npy")


def write_mat(path, version, **arrays):
    """A .mat of version 5, or as MATLAB writes 7.3: HDF5 behind 512 bytes of header, arrays transposed."""
    if version == "5":
        scipy.io.savemat(path, arrays)
        return
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in arrays.items():
            file[name] = array.T
    with open(path, "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")


VERSIONS = pytest.mark.parametrize("version", ["5", "7.3"])


@VERSIONS
def test_a_mat_file_comes_as_it_was_written(version, tmp_path):
    labels = np.random.default_rng(0).integers(0, 2, (7, 3)).astype(np.uint8)
    write_mat(tmp_path / "x.mat", version, labels=labels)
    np.testing.assert_array_equal(validate.load_mat(tmp_path / "x.mat", "labels"), labels)


@VERSIONS
def test_a_mat_file_without_the_array_says_what_it_has(version, tmp_path):
    write_mat(tmp_path / "x.mat", version, q_label=np.ones((2, 2)))
    with pytest.raises(InputError, match="x.mat: expected an array 'labels', found q_label"):
        validate.load_mat(tmp_path / "x.mat", "labels")


@VERSIONS
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_a_truncated_mat(version, part, tmp_path):
    path = tmp_path / "x.mat"
    write_mat(path, version, labels=np.random.default_rng(0).normal(size=(60, 30)))
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data))])
    with pytest.raises(InputError, match="x.mat: not a whole .mat file"):
        validate.load_mat(path, "labels")


def test_a_mat_file_of_cells_is_refused(tmp_path):
    scipy.io.savemat(tmp_path / "x.mat", {"labels": np.array(["a", [1, 2]], object)})
    with pytest.raises(InputError, match="'labels' must be an array of numbers, found object"):
        validate.load_mat(tmp_path / "x.mat", "labels")


@pytest.mark.parametrize("load", [validate.load_npz, validate.load_npy, lambda path: validate.load_mat(path, "x")])
def test_a_missing_file(load, tmp_path):
    with pytest.raises(InputError, match="gone: no such file"):
        load(tmp_path / "gone")


def test_one_hot_has_a_column_for_each_name():
    np.testing.assert_array_equal(
        validate.one_hot(np.array([5, 2, 5]), np.array([2, 3, 5])), [[0, 0, 1], [1, 0, 0], [0, 0, 1]]
    )
