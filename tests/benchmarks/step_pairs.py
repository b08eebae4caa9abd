"""Seconds of one step of the methods that learn from pairs, beside a product of matrices timed in the same run.

    PYTHONPATH=. python tests/benchmarks/step_pairs.py --method cmgcah
    PYTHONPATH=. python tests/benchmarks/step_pairs.py --method dsmhn

Sizes as in torch_pairs.py, which times the same in PyTorch: batch 128, 10,000 pairs, 24 classes, 64 bits, pictures as
4096-d features, texts as bags of 1386 words. CMGCAH has a row for each phase of an outer iteration, and one for a whole
one, steps times batches. `products` is fastest step over fastest product 256×4096×4096 in float32.
"""

import argparse
import functools
import importlib
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from jhash import parallel
from jhash.steps import update
from jhash.train import initial_state
from jhash.types import Stage

BATCH, ITEMS, CLASSES, BITS = 128, 10_000, 24, 64
PHASES = ("image", "critic of image", "text", "critic of text")


def drawn():
    """One batch of the pairs' columns, and the labels of all items."""
    random = np.random.default_rng(0)
    labels = (random.random((ITEMS, CLASSES)) < 0.15).astype(np.uint8)
    image = np.maximum(random.standard_normal((BATCH, 4096), np.float32), 0)
    text = (random.random((BATCH, 1386)) < 0.01).astype(np.float32)
    return {"image:features": image, "text:features": text, "image:labels": labels[:BATCH]}, labels


def measure(method, stage, repeats):
    """name -> [repeats] seconds: each kind of step that the stage has, and the product."""
    batch, labels = drawn()
    context = {"labels": labels} if "cmgcah" in type(method).__module__ else {"single": np.bool_(False)}
    context = jax.device_put(context)
    state = jax.jit(functools.partial(initial_state, method, stage, {}))(context, batch, jax.random.key(0))
    rows = {"item": jnp.arange(BATCH, dtype=jnp.int32)}
    given = (jax.device_put({"item": batch}), rows, jax.random.key(1))
    across = parallel.across(1)

    def step(phase, state, *given):
        return update(method, stage, context, state, *given, across, phase)

    names = PHASES if "cmgcah" in type(method).__module__ else ("step",)
    left, right = jnp.ones((256, 4096)), jnp.ones((4096, 4096))
    product = jax.jit(jnp.matmul)
    clock = time.perf_counter()
    calls = [
        jax.jit(functools.partial(step, phase), donate_argnums=0).lower(state, *given).compile()
        for phase in range(len(names))
    ]
    print(f"compiling: {time.perf_counter() - clock:.1f} s")
    seconds = {name: [] for name in (*names, "product")}
    for repeat in range(repeats + 1):
        for place, name in enumerate(seconds):
            clock = time.perf_counter()
            if name == "product":
                jax.block_until_ready(product(left, right))
            else:
                state, _ = jax.block_until_ready(calls[place](state, *given))
            if repeat:  # the first warms up
                seconds[name].append(time.perf_counter() - clock)
    return seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("cmgcah", "dsmhn"), required=True)
    parser.add_argument("--steps", type=int, default=10)
    flags = parser.parse_args()
    method = importlib.import_module(f"jhash.methods.{flags.method}").Method(bits=BITS, batch=BATCH)
    epoch = ITEMS // BATCH
    each = 4 * epoch if flags.method == "cmgcah" else epoch
    phases = (epoch,) * 4 if flags.method == "cmgcah" else ()
    stage = Stage("pairs", "pairs", ITEMS, BATCH, 500 * each, each, phases)
    print(f"{flags.method}: jax {jax.__version__} on {jax.devices()[0].device_kind}")
    seconds = measure(method, stage, flags.steps)
    yard = min(seconds["product"])
    print("".join(f"{title:>18}" for title in ("what", "median s", "fastest s", "products")))
    for name, times in seconds.items():
        print(f"{name:>18}{statistics.median(times):18.5f}{min(times):18.5f}{min(times) / yard:18.2f}")
    if flags.method == "cmgcah":
        whole = epoch * sum(min(times) for name, times in seconds.items() if name != "product")
        print(f"{f'{epoch} of each':>18}{'':>18}{whole:18.2f}{whole / yard:18.0f}")


if __name__ == "__main__":
    main()
