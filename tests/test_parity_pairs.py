"""CMGCAH and DSMHN, as the library trains them, against independent PyTorch programs (tests/parity), by their arrays.

The methods' own steps are run here, with torch's weights in place of the drawn ones. torch itself isn't needed.
"""

import dataclasses
import functools
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jhash import parallel, steps, train
from jhash.data.source import ArrayTable, SideBySide
from jhash.methods import cmgcah, dsmhn

FOLDER = Path(__file__).parent / "parity"
SIDES = ("image", "text")
HEADS = 8


@functools.cache
def load(name):
    return dict(np.load(FOLDER / f"pairs_{name}.npz", allow_pickle=False))


def arrays_under(name, prefix):
    return {k.removeprefix(prefix): v for k, v in load(name).items() if k.startswith(prefix)}


def dense(left, name):
    """A linear layer of torch's, taken out of what is left of its arrays; [out, in] becomes [in, out]."""
    layer = {"kernel": left.pop(f"{name}.weight").T}
    return layer | ({"bias": left.pop(f"{name}.bias")} if f"{name}.bias" in left else {})


def position(left, name):
    """f_trans and f_att of the picture's features."""
    block = f"{name}.block"
    attend, attended = dense(left, f"{block}.attend"), dense(left, f"{block}.attended")
    width = len(attend["kernel"])
    split = (HEADS, width // HEADS)
    kernels = np.split(attend["kernel"], 3, axis=1), np.split(attend["bias"], 3)
    attention = {
        part: {"kernel": kernel.reshape(width, *split), "bias": bias.reshape(split)}
        for part, kernel, bias in zip(("query", "key", "value"), *kernels, strict=True)
    }
    attention["out"] = {"kernel": attended["kernel"].reshape(*split, width), "bias": attended["bias"]}
    norms = [
        {"scale": left.pop(f"{block}.{n}.weight"), "bias": left.pop(f"{block}.{n}.bias")} for n in ("norm1", "norm2")
    ]
    return {
        "embed": dense(left, f"{name}.embed"),
        "position": left.pop(f"{name}.position"),
        "norm_attention0": norms[0],
        "attention0": attention,
        "norm_feedforward0": norms[1],
        "widen0": dense(left, f"{block}.mlp.0"),
        "narrow0": dense(left, f"{block}.mlp.2"),
        "features": dense(left, f"{name}.widen"),
        "guide": dense(left, f"{name}.attention.hidden"),
        "weigh": dense(left, f"{name}.attention.context"),
    }


def layers(left, name, *places):
    return {f"dense{number}": dense(left, f"{name}.{place}") for number, place in enumerate(places)}


def cmgcah_tree(prefix):
    """Torch's arrays under a prefix as the groups of the method's parameters, those that are there; each used once."""
    left, groups = arrays_under("cmgcah", prefix), {}
    for side in SIDES:
        if any(name.startswith(f"sides.{side}.") for name in left):
            name = f"sides.{side}.network"
            features = layers(left, name, 0, 2) if side == "text" else None
            features = features or {"dense": dense(left, f"{name}.dense"), "position": position(left, name)}
            groups[side] = {
                "features": features,
                "predictor": {"dense0": dense(left, f"sides.{side}.predictor")},
                "generator": layers(left, f"sides.{side}.generator", 0, 2),
            }
        if any(name.startswith(f"critics.{side}.") for name in left):
            groups[f"{side}_critic"] = {"critic": layers(left, f"critics.{side}", 0, 2)}
    if "alignment.mask.weight" in left:
        groups["alignment"] = {
            "alignment": {"mask": dense(left, "alignment.mask"), "codes": dense(left, "alignment.code")}
        }
    assert not [name for name in left if not name.endswith("_memory") and name != "codes"], sorted(left)
    return groups


@dataclasses.dataclass(frozen=True)
class Plain(cmgcah.Method):
    """Plain descent in place of RMSprop, as in the PyTorch program; the state of an optimiser is its last gradient."""

    def _rmsprop(self, steps, names):
        def update(gradients, state, params=None):
            return jax.tree.map(lambda leaf: -0.05 * leaf, gradients), gradients

        return optax.GradientTransformation(lambda params: {name: params[name] for name in names}, update)


@functools.cache
def iteration():
    """The states behind the eight steps of an outer iteration, and each one's logs."""
    given = load("cmgcah")
    media = {side: given[f"input/{side}"] for side in SIDES}
    labels = given["input/labels"].astype(np.uint8)
    tables = {side: ArrayTable(side, {"features": array, "labels": labels}) for side, array in media.items()}
    tables = {"pairs": SideBySide(tables, "pairs")}
    names = {"alpha": "between", "beta": "within", "gamma": "quantisation", "delta": "label"}
    options = {ours: float(given[f"option/{theirs}"]) for ours, theirs in names.items()}
    sizes = {"bits": 6, "features": 6, "text_hidden": 7, "generator_hidden": 7, "critic_hidden": 5, "width": 16}
    method = Plain(**sizes, **options, position=0.5, batch=6, iterations=1)
    (stage,) = method.stages(tables)
    context, example = {"labels": labels}, train.example_of(tables["pairs"], method, stage)
    start = functools.partial(train.initial_state, method, stage)
    shapes = jax.eval_shape(start, {}, context, example, jax.random.key(0))
    state = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    params = jax.tree.map(
        lambda leaf, array: jnp.asarray(array.reshape(leaf.shape)), shapes.params, cmgcah_tree("weight/")
    )
    buffers = {side: jnp.asarray(given[f"buffer/{side}_memory"]) for side in SIDES}
    buffers["codes"] = jnp.asarray(given["buffer/codes"])
    state = state.replace(params=params, collections=state.collections | buffers)

    @functools.partial(jax.jit, static_argnames="phase")
    def step(state, batch, rows, phase):
        return steps.update(method, stage, context, state, batch, rows, jax.random.key(0), parallel.ALONE, phase)

    states, logs, order = [], [], given["input/order"].astype(np.int32).reshape(2, 6)
    assert (stage.pass_steps, stage.steps) == (8, 8)
    for number in range(8):
        rows = {"item": order[number % 2]}
        batch = {"item": tables["pairs"].read(rows["item"], method.columns)}
        state, log = step(state, batch, rows, phase=stage.phase(number))
        states.append(state)
        logs.append(log)
    return states, logs


def assert_close(found, wanted):
    """Each array by its norm, to 1e-5; of the keys' bias, which softmax doesn't see, next to nothing is expected."""
    for (path, ours), theirs in zip(jax.tree.leaves_with_path(found), jax.tree.leaves(wanted), strict=True):
        ours, theirs = np.asarray(ours, np.float64), theirs.reshape(ours.shape)
        where = jax.tree_util.keystr(path)
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs) + 1e-8, where


@pytest.mark.parametrize("step", range(8))
def test_the_terms_of_each_step_of_an_outer_iteration_are_the_same(step):
    wanted = arrays_under("cmgcah", f"loss/{step}/")
    found = {name: float(iteration()[1][step][name]) for name in wanted}
    assert found == pytest.approx({name: float(value) for name, value in wanted.items()}, rel=1e-5)


@pytest.mark.parametrize(("step", "phase"), list(enumerate(["image", "image_critic", "text", "text_critic"])))
def test_the_gradients_of_each_phase_are_the_same(step, phase):
    wanted = cmgcah_tree(f"grad/{2 * step}/")
    found = iteration()[0][2 * step].opt[phase]
    assert found.keys() == wanted.keys() == ({phase} if "critic" in phase else {phase, "alignment"})
    assert_close(found, wanted)


def test_an_outer_iteration_ends_with_the_same_weights():
    assert_close(iteration()[0][-1].params, cmgcah_tree("after/"))


def test_an_outer_iteration_ends_with_the_same_buffers_and_codes():
    found, given = iteration()[0][-1].collections, load("cmgcah")
    for side in SIDES:
        np.testing.assert_allclose(found[side], given[f"after/{side}_memory"], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(found["codes"], given["after/codes"])
    assert (given["after/codes"] != given["buffer/codes"]).any()


def rmsprop_path(gradients, **fields):
    """[T, F]: where those gradients take zeros at a rate that doesn't fall."""
    optimizer = cmgcah.Method(learning_rate=0.01, final_rate=0.01, **fields)._rmsprop(5, ("text",))
    params = {"text": jnp.zeros(8), "image": jnp.ones(8)}
    state, path = optimizer.init(params), []
    for gradient in gradients:
        changes, state = optimizer.update({"text": jnp.asarray(gradient)}, state)
        params = params | optax.apply_updates({"text": params["text"]}, changes)
        path.append(params["text"])
    return np.stack(path)


def test_rmsprop_is_torch_s():
    """On gradients of very different sizes."""
    given = load("cmgcah")
    path = rmsprop_path(given["input/gradients"])
    np.testing.assert_allclose(path, given["output/rmsprop"], rtol=1e-5)


def test_corrected_rmsprop_divides_its_mean_squares_by_their_share_of_the_whole():
    gradients = load("cmgcah")["input/gradients"].astype(np.float64)
    at, mean, path = np.zeros(8), np.zeros(8), []
    for step, gradient in enumerate(gradients, 1):
        mean = 0.99 * mean + 0.01 * gradient**2
        at = at - 0.01 * gradient / (np.sqrt(mean / (1 - 0.99**step)) + 1e-8)
        path.append(at)
    np.testing.assert_allclose(
        rmsprop_path(gradients.astype(np.float32), bias_correction=True), path, rtol=1e-5, atol=1e-5 * 0.01
    )


# --- DSMHN --------------------------------------------------------------------------------------------------------


def dsmhn_tree(prefix):
    left, groups = arrays_under("dsmhn", prefix), {}
    for side in SIDES:
        names = {"hidden": f"streams.{side}.0", "hash": f"streams.{side}.2"}
        groups[side] = {ours: dense(left, theirs) for ours, theirs in names.items()}
        groups[f"{side}_classifier"] = dense(left, f"classifiers.{side}")
    assert not left, sorted(left)
    return groups


@functools.cache
def dsmhn_step():
    """((loss, terms), gradients) of one step."""
    given = load("dsmhn")
    names = {"similarity": "inter", "semantic": "semantic", "quantisation": "quantisation", "balance": "balance"}
    options = {ours: float(given[f"option/{theirs}"]) for ours, theirs in names.items()}
    method = dsmhn.Method(bits=6, hidden=(7, 7), inter="logistic", balanced=False, batch=6, **options)
    items = {f"{side}:features": given[f"input/{side}"] for side in SIDES}
    batch = {"item": items | {"image:labels": given["input/labels"].astype(np.uint8)}}

    def loss(params):
        context = {"single": np.bool_(False)}
        fixed = (batch, {}, 0, jax.random.key(0), parallel.ALONE)
        total, (_, terms) = method.loss(None, context, params, {}, *fixed)
        return total, terms

    return jax.jit(jax.value_and_grad(loss, has_aux=True))(jax.tree.map(jnp.asarray, dsmhn_tree("weight/")))


def test_the_terms_of_dsmhn_are_the_same():
    (total, terms), _ = dsmhn_step()
    found = {name: float(value) for name, value in terms.items()} | {"total": float(total)}
    found["inter"] = found.pop("similarity")
    wanted = {name: float(value) for name, value in arrays_under("dsmhn", "loss/").items()}
    assert found == pytest.approx(wanted, rel=1e-5)


def test_the_gradients_of_dsmhn_are_the_same():
    assert_close(dsmhn_step()[1], dsmhn_tree("grad/"))
