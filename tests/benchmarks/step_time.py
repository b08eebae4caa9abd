"""Seconds, compile seconds and memory of one training step, beside a product of matrices timed in the same run.

    python tests/benchmarks/step_time.py --method mcmsh
    python tests/benchmarks/step_time.py --method dkph --batch 128 --dtype bfloat16
    python tests/benchmarks/step_time.py --method she --variant paper

The sizes are the papers': batch 256, 25 frames, 4096-d features, 64 bits, 2000 centres; of SHE, which has no frames,
128 bits and 20 classes, and the stage is a later medium's. The yardstick is one float32
product 256×4096×4096. `ratio` is fastest step over fastest product, since other work on the machine only ever adds;
`cpu ratio` is the same of the processor's seconds, which a busy machine blurs less. The batch
lies on the device and the state is donated, as in training. SHE's tables live on the device and training takes many
steps in one compiled call: there SPAN steps are timed in one, elsewhere one step, as where batches are streamed.
"""

import argparse
import functools
import importlib
import resource
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jhash.types import Across, Past, TrainState

CLASSES = 20
SPAN = 5
ALONE = Across(gather=lambda tree: tree, mean=lambda tree: tree, places=jnp.arange, axis=None)


class RandomTable:
    """As many items as structures and batches ask for; their frames are drawn when they are read."""

    def __init__(self, items, frames, channels):
        self.name, self.items = "random", items
        self.columns = {"frames": jax.ShapeDtypeStruct((frames, channels), np.float32)}

    def __len__(self):
        return self.items

    def read(self, rows, columns):
        shape = (len(rows), *self.columns["frames"].shape)
        return {"frames": np.maximum(np.random.default_rng(0).standard_normal(shape, np.float32), 0)}


class LabelledTable:
    """Random features and classes of one medium."""

    def __init__(self, items, channels):
        self.name, self.items = "random", items
        self.columns = {
            "features": jax.ShapeDtypeStruct((channels,), np.float32),
            "labels": jax.ShapeDtypeStruct((CLASSES,), np.uint8),
        }

    def __len__(self):
        return self.items

    def read(self, rows, columns):
        random = np.random.default_rng(0)
        features = np.maximum(random.standard_normal((len(rows), *self.columns["features"].shape), np.float32), 0)
        return {"features": features, "labels": np.eye(CLASSES, dtype=np.uint8)[rows % CLASSES]}


def context_of(name, method, items, stage):
    """What `prepare` would give, of the right shapes: random pools say nothing, but cost a step the same."""
    random = np.random.default_rng(0)
    if name == "she":
        anchor = random.standard_normal((CLASSES, method.prototypes, method.bits), np.float32)
        anchor /= np.linalg.norm(anchor, axis=-1, keepdims=True)
        known = np.ones(CLASSES, bool)
        start = np.asarray(jax.random.key_data(jax.random.key(0)))
        return {"anchor": anchor, "filled": known, "present": known, "width": np.int32(4096), "start": start}
    pool = lambda: random.integers(0, items, (items, method.pool), np.int32)  # noqa: E731
    counts = np.full(items, method.pool, np.int32)
    pools = {"positive": pool(), "positive_count": counts, "negative": pool(), "negative_count": counts}
    centres = random.standard_normal((method.centres, method.width), np.float32)
    if name == "mcmsh":
        return pools | {"nearest": random.integers(0, method.centres, (items, 5), np.int32), "targets": centres}
    if stage.name == "teacher":
        return {}
    return pools | {"nearest": random.integers(0, method.centres, items, np.int32), "centres": centres}


def steps_of(method, stage, span):
    """`span` updates as in training: (state, context, batch, rows, key) -> state."""

    def step(state, context, batch, rows, key):
        def objective(params):
            return method.loss(stage, context, params, state.collections, batch, rows, state.step, key, ALONE)

        gradients, (collections, _) = jax.grad(objective, has_aux=True)(state.params)
        changes, opt = method.optimizer(stage).update(gradients, state.opt, state.params)
        return TrainState(state.step + 1, optax.apply_updates(state.params, changes), collections, opt)

    def steps(state, *given):
        return jax.lax.fori_loop(0, span, lambda _, state: step(state, *given), state)

    return jax.jit(steps if span > 1 else step, donate_argnums=0)


def seconds_of(call, repeats):
    """[repeats] pairs: seconds on the clock, seconds of all cores together."""
    times = []
    for _ in range(repeats):
        start, busy = time.perf_counter(), time.process_time()
        jax.block_until_ready(call())
        times.append((time.perf_counter() - start, time.process_time() - busy))
    return times


def measure(name, method, stage, table, repeats):
    """A row of the table: a dict of figures of one stage."""
    context = jax.device_put(context_of(name, method, len(table), stage))
    key = jax.random.key(0)
    rows = jax.jit(functools.partial(method.rows, stage))(context, jnp.arange(stage.size), jnp.int32(0), key)
    roles = [role for role, chosen in rows.items() if jnp.issubdtype(chosen.dtype, jnp.integer)]
    batch = {role: jax.device_put(table.read(np.asarray(rows[role]), method.columns)) for role in roles}
    past: dict[str, Past] = {}
    params, collections = jax.jit(lambda key: method.init(stage, past, context, batch["item"], key))(key)
    opt = jax.jit(method.optimizer(stage).init)(params)
    state = TrainState(jnp.int32(0), params, collections, opt)

    start, busy = time.perf_counter(), time.process_time()
    span = SPAN if name == "she" else 1
    step = steps_of(method, stage, span).lower(state, context, batch, rows, key).compile()
    compiling, compiling_busy = time.perf_counter() - start, time.process_time() - busy
    temporary = step.memory_analysis().temp_size_in_bytes

    left, right = jnp.ones((256, 4096)), jnp.ones((4096, 4096))
    product = jax.jit(jnp.matmul)
    product(left, right).block_until_ready()
    held = [state]

    def once():
        held[0] = step(held[0], context, batch, rows, key)
        return held[0]

    jax.block_until_ready(once())
    steps, products = [], []
    for _ in range(repeats):
        products += seconds_of(lambda: product(left, right), 10)
        steps += [(seconds / span, busy / span) for seconds, busy in seconds_of(once, 1)]
    products += seconds_of(lambda: product(left, right), 10)
    (step_seconds, step_busy), (product_seconds, product_busy) = (np.min(times, 0) for times in (steps, products))
    return {
        "stage": stage.name,
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(held[0].params)),
        "step s": step_seconds,
        "median s": statistics.median(seconds for seconds, _ in steps),
        "product ms": 1e3 * product_seconds,
        "ratio": step_seconds / product_seconds,
        "cpu ratio": step_busy / product_busy,
        "compile s": compiling,
        "compile cpu s": compiling_busy,
        "temporary GB": temporary / 1e9,
        "peak GB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("mcmsh", "dkph", "she"), required=True)
    parser.add_argument("--variant", default="released")
    parser.add_argument("--bits", type=int, default=0, help="default: 64, of SHE 128")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--channels", type=int, default=4096)
    parser.add_argument("--items", type=int, default=5000)
    parser.add_argument("--centres", type=int, default=2000)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--repeats", type=int, default=5)
    flags = parser.parse_args()
    frames = flags.method != "she"
    flags.bits = flags.bits or (64 if frames else 128)
    settings = {name: getattr(flags, name) for name in ("variant", "bits", "batch", "dtype")}
    settings |= {"centres": flags.centres} if frames else {}
    method = importlib.import_module(f"jhash.methods.{flags.method}").Method(**settings)
    videos, media = RandomTable(flags.items, flags.frames, flags.channels), LabelledTable(flags.items, flags.channels)
    tables = {"train": videos} if frames else {"medium": media}
    print(f"{flags.method} {flags.variant}, {flags.dtype}: jax {jax.__version__} on {jax.devices()[0].device_kind}")
    for n, stage in enumerate(method.stages(tables)):
        row = measure(flags.method, method, stage, tables[stage.table], flags.repeats)
        if n == 0:
            print("".join(f"{name:>14}" for name in row))
        print("".join(f"{value:14.3f}" if isinstance(value, float) else f"{value:>14}" for value in row.values()))


if __name__ == "__main__":
    main()
