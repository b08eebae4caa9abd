"""DKPH against an independent PyTorch program (tests/parity), by the arrays it left; torch itself is not needed.

The whole training loss is held, masks and the products that stand for the reconstruction included: only the draw of the
cloze is replaced by the one the arrays were made with, and there is no dropout.
"""

import functools
from pathlib import Path
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jhash.encoders.cloze import Cloze
from jhash.methods import dkph
from jhash.types import Across, Past, Stage

FOLDER = Path(__file__).parent / "parity"
VARIANTS = ["paper", "released"]
ALONE = Across(gather=lambda x: x, mean=lambda x: x, places=jnp.arange, axis=None)
QUICKLY = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}  # compiling is all the time
TERMS = {"reconstruction": "reconstruction", "binary_similarity": "bsim", "embedding_similarity": "tsim"}


def load(stage, variant):
    return dict(np.load(FOLDER / f"dkph_{stage}_{variant}.npz", allow_pickle=False))


def method(variant):
    return dkph.Method(bits=8, variant=variant, width=16, feedforward=64, dropout=0.0, teacher_bits=12, batch=6)


def flax_parameters(arrays, prefix, stage, variant):
    """Torch's arrays under `prefix` in the library's tree and layout. Every one of them is used exactly once."""
    left = {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}

    def dense(name):
        return {"kernel": left.pop(f"{name}.weight").T, "bias": left.pop(f"{name}.bias")}

    def norm(name):
        scale, bias = ("a", "b") if variant == "released" else ("weight", "bias")
        return {"scale": left.pop(f"encoder.{name}.{scale}"), "bias": left.pop(f"encoder.{name}.{bias}")}

    three = [dense(f"encoder.attention.{name}") for name in ("query", "key", "value")]
    encoder = {
        "attend": {part: np.concatenate([d[part] for d in three], axis=-1) for part in ("kernel", "bias")},
        "attended": dense("encoder.attention.output"),
        "widen": dense("encoder.dense1"),
        "narrow": dense("encoder.dense2"),
        "norm1": norm("norm1"),
        "norm2": norm("norm2"),
    }
    if variant == "paper":
        encoder["position"] = left.pop("encoder.positions")
    decoder = dense("decoder")
    tree = {
        "projection": left.pop("encoder.project.weight"),
        "projection_bias": left.pop("encoder.project.bias"),
        "encoder": encoder,
        "decoder": decoder["kernel"],
        "decoder_bias": decoder["bias"],
    }
    heads = {"frame_hash": "hash"} if stage == "teacher" else {"hash": "hash", "temporal": "temporal"}
    tree |= {name: dense(torch_name) for name, torch_name in heads.items()}
    assert not left, sorted(left)
    return tree


@functools.cache
def step(stage, variant):
    """The library's own training loss on the arrays' batch, mask and pairs: (total, logs, gradients) in NumPy."""
    arrays = load(stage, variant)
    items = arrays["output/t"].shape[0]
    clean = arrays["input/clean"].reshape(-1, items, 7, 24)
    batch = {role: {"frames": x} for role, x in zip(("item", "partner"), clean, strict=False)}
    rows, context = {"item": np.arange(items)}, {}
    if stage == "student":
        sign = arrays["input/sign"]
        target = np.where(sign == 1, 1, -1).astype(np.float32)
        rows |= {"partner": np.arange(items) + items, "target": target, "weight": np.abs(sign)}
        centres = np.concatenate([arrays["input/c_i"], arrays["input/c_j"]])
        context = {"centres": centres, "nearest": np.arange(2 * items)}
    span = Stage(stage, "train", size=2 * items, batch=items, steps=1, pass_steps=1)

    def loss(params, context, batch, rows, key):
        return method(variant).loss(span, context, params, {}, batch, rows, jnp.zeros((), int), key, ALONE)

    mask = [jnp.asarray(arrays[f"input/{name}"].reshape(-1, 7)) for name in ("zeroed", "replaced", "source")]
    params = flax_parameters(arrays, "weight/", stage, variant)
    with mock.patch.object(dkph, "draw_cloze", lambda *_: Cloze(*mask)):
        inputs = params, *jax.device_put((context, batch, rows)), jax.random.key(0)
        graded = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(*inputs).compile(QUICKLY)
        (total, (_, logs)), gradients = graded(*inputs)
    return jax.device_get((total, logs, gradients))


@pytest.mark.parametrize("stage", ["teacher", "student"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_parameter_tree_is_the_library_s_own(stage, variant):
    arrays = load(stage, variant)
    network = method(variant)._network((7, 24), teacher=stage == "teacher")
    shapes = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, 7, 24), jnp.float32))["params"]
    mapped = flax_parameters(arrays, "weight/", stage, variant)
    assert jax.tree.map(jnp.shape, mapped) == jax.tree.map(lambda leaf: leaf.shape, dict(shapes))


@pytest.mark.parametrize("variant", VARIANTS)
def test_teacher_rebuilds_the_same_frames(variant):
    arrays = load("teacher", variant)
    network = method(variant)._network((7, 24), teacher=True)
    variables = {"params": flax_parameters(arrays, "weight/", "teacher", variant)}
    embed = jax.jit(lambda variables, x: (network.apply(variables, x, method="embed"), network.apply(variables, x)))
    t, rebuilt = embed(variables, arrays["input/masked"])
    np.testing.assert_allclose(t, arrays["output/t"], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(rebuilt, arrays["output/rebuilt"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_student_gives_the_same_streams_and_frames(variant):
    arrays = load("student", variant)
    network = method(variant)._network((7, 24), teacher=False)
    variables = {"params": flax_parameters(arrays, "weight/", "student", variant)}

    @jax.jit
    def streams(variables, x):
        t = network.apply(variables, x, method="embed")
        code, latent = (network.apply(variables, t, method=m) for m in ("code", "temporal_features"))
        return t, code, latent, network.apply(variables, x)

    t, code, latent, rebuilt = streams(variables, arrays["input/masked"][0])
    np.testing.assert_array_equal(code, arrays["output/b"])
    for found, name in [(t, "t"), (latent, "latent"), (rebuilt, "rebuilt")]:
        np.testing.assert_allclose(found, arrays[f"output/{name}"], rtol=1e-5, atol=1e-5, err_msg=name)


def test_retrieval_encodes_with_the_student_s_code():
    arrays = load("student", "paper")
    past = {"student": Past(flax_parameters(arrays, "weight/", "student", "paper"), {}, {})}
    encode = jax.jit(lambda past, frames: method("paper").encode(past, {"frames": frames}, "video"))
    encoded = np.asarray(encode(past, arrays["input/masked"][0]))
    np.testing.assert_array_equal(np.where(encoded >= 0, 1, -1), arrays["output/b"])


@pytest.mark.parametrize("stage", ["teacher", "student"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_losses_are_the_same(stage, variant):
    arrays = load(stage, variant)
    total, logs, _ = step(stage, variant)
    np.testing.assert_allclose(total, arrays["loss/step/total"], rtol=1e-5)
    if stage == "student":
        for name, torch_name in TERMS.items():
            np.testing.assert_allclose(logs[name], arrays[f"loss/step/{torch_name}"], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("stage", ["teacher", "student"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_are_the_same_in_every_parameter(stage, variant):
    gradients = step(stage, variant)[2]
    expected = flax_parameters(load(stage, variant), "grad/step/", stage, variant)
    for (path, found), wanted in zip(jax.tree.leaves_with_path(gradients), jax.tree.leaves(expected), strict=True):
        # key biases shift all scores of a row alike, so their true gradient is 0: hence the floor
        error = np.linalg.norm(found - wanted) / max(np.linalg.norm(wanted), 1e-2)
        assert error < 2e-5, (jax.tree_util.keystr(path), error)
