"""What a config's `data` gives: samples, folds, a validation share, normalisation, and a user's own files."""

from pathlib import Path

import h5py
import ml_collections
import numpy as np
import pytest
import scipy.io

from jhash.data import samples, splits
from jhash.data.load import load_dataset, prepared
from jhash.data.plan import lines, plan
from jhash.data.source import ArrayTable
from jhash.features import fit_normalisation, normalise, normalise_pose, sqrt_counts
from jhash.types import InputError

UTD = Path(__file__).parents[2] / "shared/data/utd_mhad/utd_mhad_t32_s64.npz"


def all_frames(table):
    return table.read(np.arange(len(table)), ["frames"])["frames"]


def mean_average_precision(queries, database, query_labels, database_labels):
    """Cosine similarity, ties in row order, over all: an independent few lines."""
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries.astype(float), database.astype(float))]
    precisions = []
    for similarity, label in zip(unit[0] @ unit[1].T, query_labels, strict=True):
        hits = (database_labels @ label > 0)[np.argsort(-similarity, kind="stable")]
        precisions.append(np.mean((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits]))
    return np.mean(precisions)


@pytest.mark.parametrize(("name", "view", "expected"), [("nmnist", "mean", 0.414), ("jhmdb", "flatten", 0.319)])
def test_samples_give_the_figure_of_an_independent_program(name, view, expected):
    """Real-valued cosine, mAP over all, as measured by another program from the same clips."""
    tables = load_dataset({"name": name}, 0).tables
    vectors, labels = {}, {}
    for part in ("query", "database"):
        frames = all_frames(tables[part])
        vectors[part] = frames.mean(axis=1) if view == "mean" else frames.reshape(len(frames), -1)
        labels[part] = tables[part].read(np.arange(len(tables[part])), ["labels"])["labels"].astype(int)
    found = mean_average_precision(vectors["query"], vectors["database"], labels["query"], labels["database"])
    assert round(found, 3) == expected


@pytest.mark.parametrize(
    ("name", "train", "query", "frames", "classes"),
    [("nmnist", 1000, 100, (10, 2312), 10), ("jhmdb", 433, 176, (16, 30), 14)],
)
def test_samples_have_the_sizes_their_notes_say(name, train, query, frames, classes):
    dataset = load_dataset({"name": name}, 0)
    assert (len(dataset.tables["train"]), len(dataset.tables["query"])) == (train, query)
    assert dataset.tables["database"] is dataset.tables["train"]
    assert not dataset.tasks[0].self_in_database
    for table in dataset.tables.values():
        assert (table.columns["frames"].shape, table.columns["frames"].dtype) == (frames, np.float32)
        labels = table.read(np.arange(len(table)), ["labels"])["labels"]
        assert labels.shape[1] == classes and (labels.sum(axis=1) == 1).all()


def test_samples_carry_their_licences():
    folders = {path.parent for path in samples.FOLDER.rglob("*.npz")}
    assert {path.name for path in folders} >= {"nmnist", "jhmdb"}
    for folder in folders:
        assert "Licence:" in (folder / "LICENSE.md").read_text()


def test_samples_stay_small():
    assert (
        sum(path.stat().st_size for path in samples.FOLDER.rglob("*") if path.parent.name in ("nmnist", "jhmdb")) < 4e6
    )


def test_a_pose_is_centred_and_scaled_clip_by_clip():
    joints = np.random.default_rng(0).normal(3.0, 5.0, (4, 6, 15, 2)).astype(np.float32)
    got = normalise_pose(joints)
    np.testing.assert_allclose(got.reshape(4, -1).std(axis=1), 1.0, rtol=1e-5)
    np.testing.assert_allclose(got.reshape(4, 90, 2).mean(axis=1), 0.0, atol=1e-6)
    np.testing.assert_allclose(normalise_pose(7.0 * joints - 2.0), got, atol=1e-5)


def test_a_pose_of_one_point_is_zero():
    assert (normalise_pose(np.full((1, 2, 3, 2), 4.0, np.float32)) == 0.0).all()


def test_square_roots_of_counts():
    np.testing.assert_array_equal(sqrt_counts(np.array([0, 1, 4, 9], np.uint8)), np.array([0, 1, 2, 3], np.float32))


def test_a_fold_holds_out_its_share_and_never_opens_the_test_part(monkeypatch):
    opened = []

    def only(part, load=samples.jhmdb):
        opened.append(part)
        return load(part)

    monkeypatch.setattr(samples, "jhmdb", only)
    dataset = load_dataset({"name": "jhmdb", "fold": "2/5"}, 0)
    assert opened == ["train"]
    assert {part: len(table) for part, table in dataset.tables.items()} == {"train": 346, "query": 87, "database": 346}
    joined = np.concatenate([all_frames(dataset.tables[part]) for part in ("train", "query")])
    whole = all_frames(samples.jhmdb("train"))
    np.testing.assert_array_equal(np.unique(joined, axis=0), np.unique(whole, axis=0))


def test_folds_part_the_rows_and_repeat_from_the_seed():
    held = [splits.fold_rows(23, f"{i}/4", 7)[0] for i in (1, 2, 3, 4)]
    np.testing.assert_array_equal(np.sort(np.concatenate(held)), np.arange(23))
    np.testing.assert_array_equal(splits.fold_rows(23, "2/4", 7)[0], held[1])
    assert not np.array_equal(splits.fold_rows(23, "2/4", 8)[0], held[1])


@pytest.mark.parametrize("fold", ["0/5", "6/5", "1/1", "1", "a/b", "1/5/2", "-1/5"])
def test_a_fold_that_there_is_not(fold):
    with pytest.raises(InputError, match="data.fold: expected 'i/n'"):
        splits.fold_rows(23, fold, 0)


def test_validation_leaves_training_but_stays_in_the_database():
    dataset = load_dataset({"name": "jhmdb", "validation": 0.1}, 0)
    sizes = {part: len(table) for part, table in dataset.tables.items()}
    assert sizes == {"train": 390, "validation": 43, "database": 433, "query": 176}


@pytest.mark.parametrize("share", [-0.1, 1.0, 2.0])
def test_a_validation_share_that_there_is_not(share):
    with pytest.raises(InputError, match="data.validation: expected a share of the items between 0 and 1"):
        load_dataset({"name": "jhmdb", "validation": share}, 0)


def test_standard_normalisation_is_of_the_training_rows_alone():
    dataset = load_dataset({"name": "jhmdb", "normalise": "standard", "fold": "1/5"}, 0)
    frames = all_frames(dataset.tables["train"]).reshape(-1, 30)
    np.testing.assert_allclose(frames.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(frames.std(axis=0), 1.0, rtol=1e-4)


def test_centre_normalisation_has_one_scale():
    dataset = load_dataset({"name": "nmnist", "normalise": "centre"}, 0)
    frames = all_frames(dataset.tables["train"]).reshape(-1, 2312)
    np.testing.assert_allclose(frames.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(frames, dtype=np.float64))), 1.0, rtol=1e-5)
    assert len(np.unique(dataset.normalisation["video"]["scale"])) == 1


def drawn_clips():
    """Three clips of very different size, none centred."""
    random = np.random.default_rng(0)
    return (random.normal(1.0, 1.0, (3, 4, 2)) * np.array([1.0, 10.0, 0.1])[:, None, None]).astype(np.float32)


def root_mean_square(values):
    return np.sqrt(np.mean(np.square(values, dtype=np.float64)))


@pytest.mark.parametrize("kind", ["clip", "centre_clip", "clip_centre"])
def test_normalisation_of_clips(kind):
    frames = drawn_clips()
    table = ArrayTable("clips", {"frames": frames})
    by_clip = lambda x: np.stack([clip / root_mean_square(clip) for clip in x])  # noqa: E731

    def centre(x):
        centred = x - x.mean(axis=(0, 1))
        return centred / root_mean_square(centred)

    expected = {
        "clip": by_clip,
        "centre_clip": lambda x: by_clip(centre(x)),
        "clip_centre": lambda x: centre(by_clip(x)),
    }
    got = normalise(frames, **fit_normalisation(table, kind, block=2))
    np.testing.assert_allclose(got, expected[kind](frames), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["clip", "centre_clip", "clip_centre"])
def test_a_clip_of_zeros_stays_finite(kind):
    frames = drawn_clips()
    frames[1] = 0.0
    fitted = fit_normalisation(ArrayTable("clips", {"frames": frames}), kind)
    assert np.isfinite(normalise(frames, **fitted)).all()


def test_standard_normalisation_has_a_floor():
    """N-MNIST's corners never see an event: their standard deviation counts as a tenth of the typical one."""
    scale = load_dataset({"name": "nmnist", "normalise": "standard"}, 0).normalisation["video"]["scale"]
    deviation = all_frames(samples.nmnist("train")).reshape(-1, 2312).std(axis=0, dtype=np.float64)
    assert deviation.min() == 0.0
    np.testing.assert_allclose(scale.max(), 10.0 / np.sqrt(np.mean(deviation**2)), rtol=1e-4)


def test_another_run_s_normalisation_is_applied_as_given():
    given = {
        "shift": np.full(30, 1.0, np.float32),
        "scale": np.full(30, 2.0, np.float32),
        "clip_before": np.False_,
        "clip_after": np.False_,
    }
    dataset = load_dataset({"name": "jhmdb", "normalise": "standard"}, 0, normalisation=given)
    plain = load_dataset({"name": "jhmdb"}, 0)
    expected = (all_frames(plain.tables["query"]) - 1.0) * 2.0
    np.testing.assert_allclose(all_frames(dataset.tables["query"]), expected, rtol=1e-6)


def test_frames_are_sampled_evenly_ends_included():
    dataset = load_dataset({"name": "jhmdb", "frames": 4}, 0)
    np.testing.assert_array_equal(
        all_frames(dataset.tables["query"]), all_frames(samples.jhmdb("test"))[:, [0, 5, 10, 15]]
    )


def test_a_config_dict_serves_as_well():
    config = ml_collections.ConfigDict({"name": "jhmdb", "frames": 4})
    assert load_dataset(config, 0).tables["train"].columns["frames"].shape == (4, 30)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "nmist"}, "data.name: expected one of .*, found 'nmist' .did you mean 'nmnist'?"),
        ({"name": "jhmdb", "normalize": "none"}, "data.normalize: jhmdb has no such field .did you mean 'normalise'?"),
        ({"name": "jhmdb", "frames": "4"}, "data.frames: expected int, found '4'"),
        ({"name": "jhmdb", "frames": True}, "data.frames: expected int, found True"),
        ({"name": "jhmdb", "frames": -1}, "data.frames: expected a number of frames, or 0"),
        ({"name": "jhmdb", "normalise": "max"}, "data.normalise: expected one of none, standard, .*, found 'max'"),
        ({"name": "files"}, "data.train: expected the path of"),
        ({"name": "files", "train": "x.npz"}, "data.query: expected either a file of queries here or data.split_array"),
    ],
)
def test_a_config_that_is_wrong(config, message):
    with pytest.raises(InputError, match=message):
        load_dataset(config, 0)


@pytest.fixture
def clips():
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 3, 4)).astype(np.float32), rng.integers(0, 3, 12)


def write_clips(path, frames, labels):
    if path.suffix == ".npz":
        np.savez(path, frames=frames, labels=labels)
    else:
        with h5py.File(path, "w") as file:
            file["frames"], file["labels"] = frames, labels


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
@pytest.mark.parametrize("kind", ["class numbers", "one-hot"])
def test_own_files(suffix, kind, tmp_path, clips):
    frames, numbers = clips
    labels = numbers if kind == "class numbers" else np.eye(3)[numbers]
    write_clips(tmp_path / f"a{suffix}", frames[:8], labels[:8])
    write_clips(tmp_path / f"b{suffix}", frames[8:], labels[8:])
    config = {"name": "files", "train": str(tmp_path / f"a{suffix}"), "query": str(tmp_path / f"b{suffix}")}
    tables = load_dataset(config, 0).tables
    np.testing.assert_array_equal(all_frames(tables["query"]), frames[8:])
    got = tables["query"].read(np.arange(4), ["labels"])["labels"]
    np.testing.assert_array_equal(got, np.eye(3, dtype=np.uint8)[numbers[8:]])
    assert tables["database"] is tables["train"]


def test_own_npy_frames_with_labels_in_a_mat(tmp_path, clips):
    frames, numbers = clips
    for name in ("train", "query"):
        np.save(tmp_path / f"{name}.npy", frames)
        scipy.io.savemat(tmp_path / f"{name}.mat", {"labels": np.eye(3)[numbers]})
    config = {"name": "files", "train": str(tmp_path / "train.npy"), "query": str(tmp_path / "query.npy")}
    config |= {"train_labels": str(tmp_path / "train.mat"), "query_labels": str(tmp_path / "query.mat")}
    got = load_dataset(config, 0).tables["train"].read(np.arange(12), ["labels"])["labels"]
    np.testing.assert_array_equal(got, np.eye(3, dtype=np.uint8)[numbers])


def test_own_file_split_by_an_array(tmp_path, clips):
    frames, numbers = clips
    subject = np.arange(12) % 4 + 1
    np.savez(tmp_path / "all.npz", video=frames, action=numbers, subject=subject)
    config = {"name": "files", "train": str(tmp_path / "all.npz"), "frames_array": "video", "labels_array": "action"}
    tables = load_dataset(config | {"split_array": "subject", "query_values": (2, 4)}, 0).tables
    np.testing.assert_array_equal(all_frames(tables["train"]), frames[subject % 2 == 1])
    np.testing.assert_array_equal(all_frames(tables["query"]), frames[subject % 2 == 0])


def test_own_file_whose_split_takes_all(tmp_path, clips):
    np.savez(tmp_path / "all.npz", frames=clips[0], labels=clips[1], test=np.zeros(12, int))
    config = {"name": "files", "train": str(tmp_path / "all.npz"), "split_array": "test", "query_values": (1,)}
    with pytest.raises(InputError, match="data.query_values: 0 of 12 items have one of .1. in 'test'"):
        load_dataset(config, 0)


def test_queries_of_another_width(tmp_path, clips):
    write_clips(tmp_path / "a.npz", *clips)
    write_clips(tmp_path / "b.npz", clips[0][:, :, :3], clips[1])
    config = {"name": "files", "train": str(tmp_path / "a.npz"), "query": str(tmp_path / "b.npz")}
    with pytest.raises(InputError, match=r"b.npz: items must be \[3, 4\] .* like those of .*a.npz, found \[3, 3\]"):
        load_dataset(config, 0)


def test_queries_with_other_classes(tmp_path, clips):
    write_clips(tmp_path / "a.npz", clips[0], np.eye(3)[clips[1]])
    write_clips(tmp_path / "b.npz", clips[0], np.eye(4)[clips[1]])
    config = {"name": "files", "train": str(tmp_path / "a.npz"), "query": str(tmp_path / "b.npz")}
    with pytest.raises(InputError, match="labels must have one column a class, the same in every part"):
        load_dataset(config, 0)


def test_a_fold_needs_labels(tmp_path, clips):
    np.savez(tmp_path / "a.npz", frames=clips[0])
    config = {"name": "files", "train": str(tmp_path / "a.npz"), "query": "never opened", "fold": "1/3"}
    with pytest.raises(InputError, match="a.npz: has no labels, which data.fold needs"):
        load_dataset(config, 0)


def test_a_fold_of_own_files_never_opens_the_queries(tmp_path, clips):
    write_clips(tmp_path / "a.npz", *clips)
    config = {"name": "files", "train": str(tmp_path / "a.npz"), "query": "never opened", "fold": "1/3"}
    assert len(load_dataset(config, 0).tables["query"]) == 4


def test_utd_mhad_as_own_files():
    if not UTD.exists():
        pytest.skip("UTD-MHAD may not be shipped, and ../shared/data does not hold it")
    config = {"name": "files", "train": str(UTD), "frames_array": "skeleton", "labels_array": "action"}
    tables = load_dataset(config | {"split_array": "subject", "query_values": (2, 4, 6, 8)}, 0).tables
    assert (len(tables["train"]), len(tables["query"])) == (431, 430)
    assert (tables["train"].columns["frames"].shape, tables["train"].columns["labels"].shape) == ((32, 60), (27,))


def test_the_plan_of_a_sample():
    planned = plan({"name": "jhmdb"})
    assert planned["parts"]["train"]["shape"] == [433, 16, 30]
    assert planned["resident_bytes"] == {"train": 433 * 16 * 30 * 4, "query": 176 * 16 * 30 * 4}
    assert "train: [433, 16, 30] float32, 14 classes" in "\n".join(lines(planned))


@pytest.mark.parametrize("block", [7, 23, 64])
def test_fitting_does_not_depend_on_the_block(block):
    frames = np.random.default_rng(0).normal(3.0, 2.0, (23, 3, 4)).astype(np.float32)
    got = fit_normalisation(ArrayTable("clips", {"frames": frames}), "standard", block=block)
    np.testing.assert_allclose(got["shift"], frames.reshape(-1, 4).mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(1.0 / got["scale"], frames.reshape(-1, 4).std(axis=0, dtype=np.float64), rtol=1e-5)


def test_constant_frames_are_only_shifted():
    got = fit_normalisation(ArrayTable("clips", {"frames": np.full((5, 2, 3), 7.0, np.float32)}), "standard")
    np.testing.assert_array_equal(got["shift"], 7.0)
    np.testing.assert_array_equal(got["scale"], 1.0)


def test_a_model_s_normalisation_of_another_width():
    given = {
        "shift": np.zeros(7, np.float32),
        "scale": np.ones(7, np.float32),
        "clip_before": np.False_,
        "clip_after": np.False_,
    }
    with pytest.raises(InputError, match="frames are 30 wide, but the model's normalisation is 7 wide"):
        load_dataset({"name": "jhmdb"}, 0, normalisation=given)


def test_class_numbers_that_are_nan(tmp_path, clips):
    numbers = clips[1].astype(float)
    numbers[3] = np.nan
    np.savez(tmp_path / "a.npz", frames=clips[0], labels=numbers)
    config = {"name": "files", "train": str(tmp_path / "a.npz"), "query": str(tmp_path / "a.npz")}
    with pytest.raises(InputError, match="a.npz: class numbers must be finite, found nan"):
        load_dataset(config, 0)


def test_new_clips_are_prepared_like_those_of_the_run():
    dataset = load_dataset({"name": "jhmdb", "frames": 4, "normalise": "standard"}, 0)
    table = prepared(samples.jhmdb("test"), 4, dataset.normalisation["video"])
    np.testing.assert_array_equal(all_frames(table), all_frames(dataset.tables["query"]))


def test_new_clips_of_another_rank():
    given = {
        "shift": np.zeros(4, np.float32),
        "scale": np.ones(4, np.float32),
        "clip_before": np.False_,
        "clip_after": np.False_,
    }
    with pytest.raises(InputError, match=r"clips: frames must be \[items, frames, width\], .* found \[3, 4\]"):
        prepared(ArrayTable("clips", {"frames": np.zeros((3, 4), np.float32)}), 0, given)
