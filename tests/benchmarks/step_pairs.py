"""Seconds of one step of the methods that learn from pairs, beside a product of matrices timed in the same run.

    PYTHONPATH=. python tests/benchmarks/step_pairs.py --method cmgcah
    PYTHONPATH=. python tests/benchmarks/step_pairs.py --method dsmhn

Sizes as in torch_pairs.py, which times the same in PyTorch: batch 128, 10,000 pairs, 24 classes, 64 bits, pictures as
4096-d features, texts as bags of 1386 words. What is timed is the compiled call that training makes of a resident
table: spans of steps, each on the rows of its order. CMGCAH has a row for each phase of an outer iteration, and one for
a whole one, steps times batches. `products` is fastest step over fastest product 256×4096×4096 in float32, ten of them
in one call.
"""

import argparse
import functools
import importlib
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from jhash.steps import keys_of_stage, resident_call
from jhash.train import initial_state
from jhash.types import Stage

BATCH, ITEMS, CLASSES, BITS = 128, 10_000, 24, 64
PHASES = ("image", "critic of image", "text", "critic of text")


def drawn():
    """The pairs' columns."""
    random = np.random.default_rng(0)
    return {
        "image:features": np.maximum(random.standard_normal((ITEMS, 4096), np.float32), 0),
        "text:features": (random.random((ITEMS, 1386)) < 0.01).astype(np.float32),
        "image:labels": (random.random((ITEMS, CLASSES)) < 0.15).astype(np.uint8),
    }


def measure(method, stage, steps, repeats):
    """name -> [repeats] seconds a step: each kind of step that the stage has, and the product."""
    columns = jax.device_put(drawn())
    cmgcah = "cmgcah" in type(method).__module__
    context = jax.device_put({"labels": columns["image:labels"]} if cmgcah else {"single": np.bool_(False)})
    keys = keys_of_stage(0, 0)
    example = {name: column[:BATCH] for name, column in columns.items()}
    state = jax.jit(functools.partial(initial_state, method, stage, {}))(context, example, jax.random.key(0))
    call = resident_call(method, stage, 1)
    begins = dict(zip(PHASES if cmgcah else ("step",), (first for first, _ in stage.bounds), strict=True))
    left, right = jnp.ones((256, 4096)), jnp.ones((4096, 4096))
    products = jax.jit(lambda x, right: jax.lax.fori_loop(0, 10, lambda _, x: x @ right, x))
    seconds = {name: [] for name in (*begins, "product")}
    for repeat in range(repeats + 1):
        for name in seconds:
            if name != "product":
                state = state.replace(step=jnp.int32(begins[name]))
            clock = time.perf_counter()
            if name == "product":
                jax.block_until_ready(products(left, right))
            else:
                state, _ = jax.block_until_ready(call(state, (context, keys, jnp.int32(steps)), columns))
            if repeat:  # the first compiles
                seconds[name].append((time.perf_counter() - clock) / (10 if name == "product" else steps))
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("cmgcah", "dsmhn"), required=True)
    parser.add_argument("--steps", type=int, default=5, help="of each call")
    parser.add_argument("--repeats", type=int, default=3)
    flags = parser.parse_args()
    method = importlib.import_module(f"jhash.methods.{flags.method}").Method(bits=BITS, batch=BATCH)
    epoch = ITEMS // BATCH
    each = 4 * epoch if flags.method == "cmgcah" else epoch
    phases = (epoch,) * 4 if flags.method == "cmgcah" else ()
    stage = Stage("pairs", "pairs", ITEMS, BATCH, 500 * each, each, phases)
    print(f"{flags.method}: jax {jax.__version__} on {jax.devices()[0].device_kind}")
    seconds = measure(method, stage, flags.steps, flags.repeats)
    yard = min(seconds["product"])
    print("".join(f"{title:>18}" for title in ("what", "median s", "fastest s", "products")))
    for name, times in seconds.items():
        print(f"{name:>18}{statistics.median(times):18.5f}{min(times):18.5f}{min(times) / yard:18.2f}")
    if flags.method == "cmgcah":
        whole = epoch * sum(min(times) for name, times in seconds.items() if name != "product")
        print(f"{f'{epoch} of each':>18}{'':>18}{whole:18.2f}{whole / yard:18.0f}")


if __name__ == "__main__":
    main()
