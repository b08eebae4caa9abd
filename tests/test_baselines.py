"""ITQ, LSH and cosine, driven through the protocol as a training loop would, on tables in memory."""

import jax
import numpy as np
import pytest

from jhash.methods import cosine, itq, lsh
from jhash.types import InputError, Past


class Table:
    """Two columns in memory, streamed in blocks of 7 rows."""

    name = "clips"

    def __init__(self, frames):
        self.frames = frames
        self.columns = {"frames": jax.ShapeDtypeStruct(frames.shape[1:], frames.dtype)}

    def __len__(self):
        return len(self.frames)

    def map(self, function, columns, path=None):
        parts = [function({"frames": self.frames[i : i + 7]}) for i in range(0, len(self), 7)]
        np.save(path, np.concatenate(parts))
        return np.load(path, mmap_mode="r", allow_pickle=False)


def _frames(items=40, frames=3, width=6, seed=0):
    spread = np.arange(1, width + 1)[None, None, :]
    return (np.random.default_rng(seed).normal(size=(items, frames, width)) * spread + 5).astype(np.float32)


def _fit(method, frames, scratch, seed=0):
    tables = {"train": Table(frames)}
    (stage,) = method.stages(tables)
    key = jax.random.key(seed)
    context = method.prepare(stage, {}, tables, key, scratch)
    assert stage.steps == 0 and method.init(stage, {}, context, {"frames": frames[:1]}, key) == ({}, {})
    return {stage.name: Past({}, {}, method.conclude(stage, context, None))}


def _encode(method, past, frames):
    return np.asarray(jax.jit(lambda x: method.encode(past, {"frames": x}, "video"))(frames))


METHODS = {"itq": itq.Method(bits=4), "lsh": lsh.Method(bits=4), "cosine": cosine.Method()}


@pytest.mark.parametrize("kind, width", [("mean", 6), ("flatten", 18)])
@pytest.mark.parametrize("name", METHODS)
def test_encodes_either_view_to_its_length(name, kind, width, tmp_path):
    method = type(METHODS[name])(bits=4, structure_features=kind)
    encoded = _encode(method, _fit(method, _frames(), tmp_path), _frames(items=5, seed=1))
    assert encoded.shape == (5, width if method.real else 4)
    assert np.isfinite(encoded).all()


@pytest.mark.parametrize("name", ["itq", "lsh"])
def test_the_same_seed_gives_the_same_codes_and_another_seed_others(name, tmp_path):
    method, frames = METHODS[name], _frames()
    codes = [_encode(method, _fit(method, frames, tmp_path, seed), frames) >= 0 for seed in (0, 0, 1)]
    np.testing.assert_array_equal(codes[0], codes[1])
    assert (codes[0] != codes[2]).any()


def test_cosine_is_the_mean_over_frames():
    frames = _frames()
    np.testing.assert_allclose(_encode(cosine.Method(), {}, frames), frames.mean(axis=1), rtol=1e-5)


def test_lsh_bits_are_sides_of_hyperplanes_through_the_mean(tmp_path):
    frames = _frames()
    past = _fit(METHODS["lsh"], frames, tmp_path)
    view = frames.astype(np.float64).mean(axis=1)
    expected = (view - view.mean(axis=0)[None, :]) @ past["lsh"].kept["hyperplanes"]
    np.testing.assert_allclose(_encode(METHODS["lsh"], past, frames), expected, atol=1e-4)


def test_lsh_agreement_follows_the_angle(tmp_path):
    method = lsh.Method(bits=8000)
    pair = np.array([[[2.0, 0.0]], [[1.0, 1.0]], [[-3.0, -1.0]]], np.float32)  # mean 0; 45 degrees apart
    codes = _encode(method, _fit(method, pair, tmp_path), pair) >= 0
    assert abs((codes[0] != codes[1]).mean() - 0.25) < 0.02


@pytest.mark.parametrize("items, width", [(40, 6), (9, 30)])
def test_pca_finds_the_leading_directions(items, width, monkeypatch):
    monkeypatch.setattr(itq, "BLOCK", 4 * width)
    features = np.random.default_rng(0).normal(size=(items, width)) * np.arange(1, width + 1)[None, :] + 3
    mean, axes = itq.pca(features, 5)
    np.testing.assert_allclose(mean, features.mean(axis=0), atol=1e-12)
    _, _, directions = np.linalg.svd(features - mean[None, :], full_matrices=False)
    np.testing.assert_allclose(np.abs(np.sum(axes * directions[:5].T, axis=0)), 1, atol=1e-9)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-9)


@pytest.mark.parametrize("items, width", [(200, 90), (90, 200)])
def test_pca_by_iteration_finds_the_same_directions(items, width, monkeypatch):
    random = np.random.default_rng(0)
    features = random.normal(size=(items, width)) @ np.diag(0.9 ** np.arange(width)) + 3
    _, axes = itq.pca(features, 8)
    monkeypatch.setattr(itq, "LARGEST", 80)
    monkeypatch.setattr(itq, "BLOCK", 64 * width)
    _, found = itq.pca(features, 8)
    np.testing.assert_allclose(np.abs(np.sum(axes * found, axis=0)), 1, atol=1e-6)
    np.testing.assert_allclose(found.T @ found, np.eye(8), atol=1e-9)


def test_rotation_is_orthogonal_and_never_raises_the_quantisation_loss():
    random = np.random.default_rng(0)
    projected = random.normal(size=(200, 8)) * np.arange(1, 9)[None, :]
    start, _ = np.linalg.qr(random.normal(size=(8, 8)))
    losses = []
    for iterations in (0, 1, 2, 5, 20, 50):
        rotation = itq.rotate(projected, start, iterations=iterations)
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(8), atol=1e-9)
        turned = projected @ rotation
        losses.append(np.square(np.where(turned >= 0, 1, -1) - turned).sum())
    assert np.all(np.diff(losses) <= 1e-9) and losses[-1] < losses[0]


def test_rotation_undoes_a_small_turn_away_from_the_corners():  # after a large one it may end in a local minimum
    random = np.random.default_rng(0)
    corners = random.choice([-1.0, 1.0], (500, 4))
    turn, _ = np.linalg.qr(np.eye(4) + 0.1 * random.normal(size=(4, 4)))
    turned = corners @ turn @ itq.rotate(corners @ turn, np.eye(4), iterations=50)
    np.testing.assert_allclose(np.abs(turned), 1, atol=1e-9)


@pytest.mark.parametrize("bits, items", [(9, 40), (9, 6)])
def test_itq_turns_fewer_directions_into_more_bits(bits, items, tmp_path):
    frames = _frames(items=items)
    left = _fit(itq.Method(bits=bits), frames, tmp_path)["itq"].kept
    assert left["projection"].shape == (frames.shape[-1], bits)
    directions = min(frames.shape[-1], items - 1)
    assert np.linalg.matrix_rank(left["projection"], tol=1e-4) == directions


def test_itq_leaves_out_directions_in_which_nothing_varies(tmp_path):
    frames = _frames()
    frames[..., 2:] = 1
    kept = _fit(itq.Method(bits=4), frames, tmp_path)["itq"].kept
    np.testing.assert_allclose(kept["projection"][2:], 0, atol=1e-6)


def test_items_that_are_all_alike_are_an_error(tmp_path):
    with pytest.raises(InputError, match="all alike"):
        _fit(itq.Method(bits=4), np.ones_like(_frames()), tmp_path)
