"""SHE's losses against an independent PyTorch program (tests/parity), by the arrays it left; torch itself isn't needed.

The networks are written out here, so that the gradients of every weight are held too. Codes and prototypes lie on the
sphere, so of a gradient in them only the part along the sphere means anything: an inner product and a cosine of unit
rows have the same value and differ in the rest.
"""

import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jhash.losses import she

FOLDER = Path(__file__).parent / "parity"
ALPHA, BETA, SIGMA = 1.0, 4.0, 0.95
VARIANT = pytest.mark.parametrize("variant", ["paper", "released"])
STAGES = ("first", "later")
STAGE = pytest.mark.parametrize("stage", STAGES)
NAMES = ("mining", "separation", "transfer", "discrimination", "total")
TERMS = pytest.mark.parametrize("term", NAMES)


@functools.cache
def load(variant):
    return dict(np.load(FOLDER / f"she_{variant}.npz", allow_pickle=False))


def tree(variant, prefix):
    """Torch's arrays under `prefix`, each used once: {'hash', 'library'} -> three of {'kernel' [in, out], 'bias'}."""
    left = {k.removeprefix(prefix): jnp.asarray(v) for k, v in load(variant).items() if k.startswith(prefix)}
    networks = {}
    for name in ("hash", "library"):
        networks[name] = [{"kernel": left.pop(f"{name}.{n}.weight").T} for n in (0, 2, 4)]
        for n, layer in zip((0, 2, 4), networks[name], strict=True):
            if name == "library" or n < 4:
                layer["bias"] = left.pop(f"{name}.{n}.bias")
    assert not left, sorted(left)
    return networks


def embed(layers, x):
    """Dense-ReLU-Dense-ReLU-Dense-tanh-ℓ2: x [n, in] -> [n, K]."""
    for place, layer in enumerate(layers):
        x = jnp.matmul(x, layer["kernel"], precision="highest")
        x = x + layer["bias"][None] if "bias" in layer else x
        x = jax.nn.relu(x) if place < len(layers) - 1 else jnp.tanh(x)
    return x / jnp.linalg.norm(x, axis=-1, keepdims=True)


def forward(variant, networks):
    """Codes [B, K] and library [C, P, K]."""
    arrays = load(variant)
    rows = jnp.asarray(arrays["buffer/rows"])
    prototypes, classes, _ = rows.shape
    library = embed(networks["library"], rows.reshape(prototypes * classes, classes))
    library = library.reshape(prototypes, classes, -1).swapaxes(0, 1)
    return embed(networks["hash"], jnp.asarray(arrays["input/x"])), library


def losses(variant, codes, library, stage="later"):
    """The library's four terms and their sum, Eq 10."""
    arrays = load(variant)
    labels, anchor = jnp.asarray(arrays["input/labels"]), jnp.asarray(arrays["input/anchor"])
    terms = {
        "mining": she.mining(codes, labels, library),
        "separation": she.separation(library, form=variant),
        "discrimination": she.discrimination(codes, labels, codes, labels, form=variant),
    }
    kept = terms["separation"]
    if stage == "later":
        terms["transfer"] = she.transfer(library, anchor, jnp.ones(len(anchor), bool), sigma=SIGMA)
        kept = kept + terms["transfer"]
    return terms | {"total": terms["mining"] + ALPHA * kept + BETA * terms["discrimination"]}


def outputs(variant):
    """The program's own codes and library in float32."""
    return tuple(jnp.asarray(load(variant)[f"output/{name}"], jnp.float32) for name in ("codes", "library"))


def along(gradient, rows):
    """The part of a gradient along the sphere at unit rows [..., K]."""
    gradient, rows = np.asarray(gradient, np.float64), np.asarray(rows, np.float64)
    return gradient - (gradient * rows).sum(-1, keepdims=True) * rows


def close(found, wanted, what):
    error = np.linalg.norm(found - wanted) / np.linalg.norm(wanted)
    assert error < 2e-5, (what, error)


@VARIANT
def test_networks_give_the_same_codes_and_library(variant):
    found = jax.jit(functools.partial(forward, variant))(tree(variant, "weight/"))
    for ours, name in zip(found, ("codes", "library"), strict=True):
        np.testing.assert_allclose(ours, load(variant)[f"output/{name}"], rtol=1e-5, atol=1e-6, err_msg=name)


@VARIANT
@STAGE
def test_losses_are_the_same(variant, stage):
    found = jax.jit(functools.partial(losses, variant, stage=stage))(*outputs(variant))
    prefix = f"loss/{stage}/"
    expected = {k.removeprefix(prefix): v for k, v in load(variant).items() if k.startswith(prefix)}
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)


@functools.cache
def gradients(variant):
    """term -> its gradients in codes and library, all from one compilation."""

    def of(term):
        return jax.grad(lambda *points: losses(variant, *points)[term], argnums=(0, 1))

    return jax.jit(lambda *points: {term: of(term)(*points) for term in NAMES})(*outputs(variant))


@VARIANT
@TERMS
def test_gradients_in_codes_and_library_are_the_same(variant, term):
    for ours, rows, name in zip(gradients(variant)[term], outputs(variant), ("codes", "library"), strict=True):
        wanted = load(variant).get(f"grad/{term}/{name}")
        if wanted is None:  # a term that doesn't see it
            np.testing.assert_array_equal(ours, 0)
        else:
            close(along(ours, rows), along(wanted, rows), name)


@functools.cache
def weight_gradients(variant):
    def of(stage):
        return jax.grad(lambda networks: losses(variant, *forward(variant, networks), stage)["total"])

    return jax.jit(lambda networks: {stage: of(stage)(networks) for stage in STAGES})(tree(variant, "weight/"))


@VARIANT
@STAGE
def test_gradients_in_every_weight_are_the_same(variant, stage):
    found, wanted = weight_gradients(variant)[stage], tree(variant, f"grad/{stage}/")
    for (path, ours), theirs in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(wanted), strict=True):
        close(np.asarray(ours), np.asarray(theirs), jax.tree_util.keystr(path))


def test_the_anchor_is_cut_above_below_and_not_at_all():
    """What the gradients above are worth: all three cases of Eq 8 are among the pairs."""
    for variant in ("paper", "released"):
        arrays = load(variant)
        reach = (arrays["output/library"] * arrays["input/anchor"]).sum(-1) - SIGMA + 1
        assert reach.max() > 1 and reach.min() < 0 and ((reach > 0.05) & (reach < 0.95)).any()
