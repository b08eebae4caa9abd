"""The backbones: sizes, pixels, training, and parity with independent PyTorch programs by the arrays they left."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.io
from parity import make_backbones

from jhash import weights
from jhash.encoders import c3d, cnn_f, resnet, vgg
from jhash.weights import Backbone

# compiling is nearly all the time of what follows
quick_jit = functools.partial(jax.jit, compiler_options={"xla_llvm_disable_expensive_passes": True})
SMALL = {
    "vgg16": Backbone(vgg.VGG(16, width=4), (64, 64, 3), (2, 2), "classifier.6"),
    "vgg19": Backbone(vgg.VGG(19, width=4), (64, 64, 3), (2, 2), "classifier.6"),
    "resnet50": Backbone(resnet.ResNet((2, 1, 2, 1), width=4), (64, 64, 3), (), "fc"),
    "cnn_f": Backbone(cnn_f.CNNF(width=4), (103, 103, 3), (3, 3), "fc8"),
    "c3d": Backbone(c3d.C3D(width=4), (16, 48, 48, 3), (1, 2, 2), "fc8"),
}
PUBLISHED = [
    (vgg.VGG(16, classes=1000), (224, 224, 3), 138_357_544),
    (vgg.VGG(19, classes=1000), (224, 224, 3), 143_667_240),
    (resnet.ResNet(classes=1000), (224, 224, 3), 25_557_032),
    (cnn_f.CNNF(classes=1000), (224, 224, 3), 60_834_536),
    (c3d.C3D(classes=487), (16, 112, 112, 3), 79_991_015),
]


def reference(case):
    with np.load(make_backbones.FOLDER / f"backbone_{case}.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def read(case, tmp_path):
    """The case's seeded weights by way of a file, as a user has them."""
    name, state = case.rsplit("_", 1)[0], make_backbones.state_dict(case)
    if name == "cnn_f":
        path = tmp_path / "weights.mat"
        scipy.io.savemat(path, make_backbones.matconvnet(state, weights.BACKBONES[name].grid[0]))
    else:
        path = tmp_path / "weights.npz"
        np.savez(path, **state)
    variables = weights.read_weights(path, name)
    path.unlink()
    return variables


def drawn(module, items):
    """Variables by NumPy, in place of flax's own draw, which takes longer to compile than the network."""
    random = np.random.default_rng(0)

    def draw(path, leaf):
        if path[-1].key in ("scale", "var"):
            return np.ones(leaf.shape, np.float32)
        kernel = path[-1].key == "kernel"
        return random.normal(0, (2 / np.prod(leaf.shape[:-1])) ** 0.5 if kernel else 0.1, leaf.shape).astype(np.float32)

    return jax.tree_util.tree_map_with_path(draw, jax.eval_shape(module.init, jax.random.key(0), items))


def error(found, expected):
    """The largest difference as a part of the largest value."""
    return float(np.abs(np.asarray(found) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize(("module", "shape", "count"), PUBLISHED, ids=["vgg16", "vgg19", "resnet50", "cnn_f", "c3d"])
def test_parameters_are_as_many_as_published(module, shape, count):
    items = jax.ShapeDtypeStruct((1, *shape), np.uint8)
    params = jax.eval_shape(module.init, jax.random.key(0), items)["params"]
    assert sum(int(np.prod(leaf.shape)) for leaf in jax.tree.leaves(params)) == count


@pytest.mark.parametrize("name", list(weights.BACKBONES))
def test_features_have_the_published_width(name):
    module, shape = weights.BACKBONES[name][:2]
    items = jax.ShapeDtypeStruct((3, *shape), np.uint8)
    features, _ = jax.eval_shape(module.init_with_output, jax.random.key(0), items)
    assert (features.shape, features.dtype) == ((3, 2048 if name == "resnet50" else 4096), np.float32)


@pytest.mark.parametrize("name", list(SMALL))
def test_parity_with_torch(name, monkeypatch, tmp_path):
    case = f"{name}_small"
    monkeypatch.setitem(weights.BACKBONES, name, SMALL[name])
    features = quick_jit(SMALL[name].module.apply)(read(case, tmp_path), make_backbones.pixels(case))
    assert error(features, reference(case)["features"]) < 1e-5


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "cnn_f", "c3d"])
def test_parity_with_torch_at_full_size(name, tmp_path):
    case = f"{name}_whole"
    with jax.default_matmul_precision("highest"):
        features = jax.jit(weights.BACKBONES[name].module.apply)(read(case, tmp_path), make_backbones.pixels(case))
    assert error(features, reference(case)["features"]) < 1e-4


def test_resnet_trains_by_the_batchs_statistics_as_torch(monkeypatch, tmp_path):
    monkeypatch.setitem(weights.BACKBONES, "resnet50", SMALL["resnet50"])
    variables, expected = read("resnet50_small", tmp_path), reference("resnet50_small")
    items = make_backbones.pixels("resnet50_small")
    train = functools.partial(SMALL["resnet50"].module.apply, train=True, mutable=["batch_stats"])
    features, changed = quick_jit(train)(variables, items)
    assert error(features, expected["train_features"]) < 1e-4
    before, after = variables["batch_stats"]["bn1"], changed["batch_stats"]["bn1"]
    assert error(after["mean"], expected["train_mean"]) < 1e-5
    n = 3 * 32 * 32  # values a channel has behind the first convolution: torch's variance is n / (n - 1) of ours
    unbiased = 0.9 * before["var"] + (after["var"] - 0.9 * before["var"]) * n / (n - 1)
    assert error(unbiased, expected["train_var"]) < 1e-5


def test_resnet_normalises_by_the_whole_batch_of_all_devices():
    items = make_backbones.pixels("resnet50_small")[:2, :32, :32]
    alone, across = (resnet.ResNet((1, 1), width=2, axis_name=axis) for axis in (None, "devices"))
    variables = drawn(alone, items)
    step = lambda module: lambda x: module.apply(variables, x, train=True, mutable=["batch_stats"])  # noqa: E731
    together, changed = quick_jit(step(alone))(items)
    apart, changed_apart = quick_jit(jax.vmap(step(across), axis_name="devices"))(items[:, None])
    np.testing.assert_allclose(apart[:, 0], together, rtol=1e-4, atol=1e-4)
    chosen = jax.tree.map(lambda leaf: leaf[1], changed_apart)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), chosen, changed)


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        pytest.param(vgg.VGG(16, width=2), (32, 32, 3), marks=pytest.mark.slow),
        (resnet.ResNet((1, 1), width=2), (32, 32, 3)),
        (cnn_f.CNNF(width=2), (67, 67, 3)),
        (c3d.C3D(width=2), (8, 16, 16, 3)),
    ],
    ids=["vgg16", "resnet", "cnn_f", "c3d"],
)
def test_one_step_of_descent_lowers_the_loss(module, shape):
    items = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    variables = drawn(module, items)
    params, statistics = variables["params"], {k: v for k, v in variables.items() if k != "params"}

    def loss(params):
        features, _ = module.apply({"params": params, **statistics}, items, train=True, mutable=["batch_stats"])
        return jnp.mean((features - 1) ** 2)

    value_and_gradient = quick_jit(jax.value_and_grad(loss))
    before, gradient = value_and_gradient(params)
    norm = optax.tree.norm(gradient)
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))
    rate = 0.01 * before / norm**2  # to first order the loss falls by a hundredth
    after, _ = value_and_gradient(jax.tree.map(lambda p, g: p - rate * g, params, gradient))
    assert 0.9 < after / before < 0.999


@pytest.mark.parametrize("name", ["vgg16", "cnn_f", "c3d"])
def test_untrained_features_of_pixels_are_near_1(name):
    """Where a tanh still has a slope; by pixels as they are they would be near 100 for two of them."""
    module, (shape, *_) = SMALL[name].module, SMALL[name][1:]
    items = np.random.default_rng(0).integers(0, 256, (2, *shape), np.uint8)
    features, _ = quick_jit(module.init_with_output)(jax.random.key(0), items)
    assert 0.1 < float(jnp.sqrt(jnp.square(features).mean())) < 4


def test_float_pixels_are_as_good_as_bytes():
    module, items = cnn_f.CNNF(width=2), make_backbones.pixels("cnn_f_small")[:, :67, :67]
    variables, apply = drawn(module, items), quick_jit(module.apply)
    np.testing.assert_array_equal(apply(variables, items.astype(np.float32)), apply(variables, items))


def test_products_in_bfloat16_stay_close_and_come_out_as_float32():
    items = make_backbones.pixels("vgg16_small")[:, :32, :32]
    exact, rough = (resnet.ResNet((1, 1), width=8, dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    variables = drawn(exact, items)
    features, roughly = quick_jit(exact.apply)(variables, items), quick_jit(rough.apply)(variables, items)
    assert roughly.dtype == jnp.float32
    assert 1e-4 < error(roughly, features) < 0.05


def test_imagenets_mean_colour_becomes_zero():
    colour = 255 * np.array([0.485, 0.456, 0.406], np.float32).reshape(1, 1, 1, 3)
    np.testing.assert_allclose(vgg.preprocess(colour), np.zeros((1, 1, 1, 3)), atol=1e-6)
    white = np.full((1, 1, 1, 3), 255, np.uint8)
    np.testing.assert_allclose(vgg.preprocess(white)[0, 0, 0], [2.2489, 2.4286, 2.64], atol=1e-4)


def test_a_clips_blue_comes_first():
    pixel = np.array([200, 100, 50], np.uint8).reshape(1, 1, 1, 1, 3)
    np.testing.assert_array_equal(c3d.preprocess(pixel).ravel(), [50 - 90, 100 - 98, 200 - 102])


def test_cnn_f_subtracts_the_mean_colour_where_no_file_brings_an_image():
    items = np.zeros((1, 103, 103, 3), np.uint8)
    initial = quick_jit(lambda: SMALL["cnn_f"].module.init(jax.random.key(0), items)["batch_stats"]["mean"])
    mean = initial()
    np.testing.assert_allclose(cnn_f.preprocess(items, mean)[0, 50, 60], [-123.68, -116.779, -103.939], rtol=1e-6)


def test_response_normalisation_sums_five_neighbours():
    x = np.arange(1, 8, dtype=np.float32).reshape(1, 1, 1, 7) * 30
    squares = x.ravel() ** 2
    expected = [x.ravel()[i] / (2 + 1e-4 * squares[max(i - 2, 0) : i + 3].sum()) ** 0.75 for i in range(7)]
    np.testing.assert_allclose(cnn_f.local_response_normalisation(x).ravel(), expected, rtol=1e-6)


def test_items_without_three_colours_are_refused():
    with pytest.raises(AssertionError):
        vgg.preprocess(np.zeros((1, 8, 8, 4), np.uint8))
