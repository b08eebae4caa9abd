"""Hamming distances and exact search on an accelerator: what is counted how, and in blocks of which size.

PYTHONPATH=. python tests/benchmarks/accelerator.py [--items 1000000] [--bits 64]

Distances of a block, [256, N]: XOR and population count as jhash has them, beside products of ±1 in bfloat16 and in
int8, which come out as distances too. Then the nearest 100 of 1,000 queries by `hamming.top_k`, for blocks of several
sizes, and one query. Medians of five; all answers are compared with the first row's.
"""

import argparse
import functools
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from jhash import hamming

QUERIES, K = 256, 100


def seconds(call, repeats=5):
    jax.block_until_ready(call())
    taken = []
    for _ in range(repeats):
        clock = time.perf_counter()
        jax.block_until_ready(call())
        taken.append(time.perf_counter() - clock)
    return statistics.median(taken)


@functools.partial(jax.jit, static_argnames="bits")
def by_products(queries, database, bits):
    """[K, Q] and [K, N] of ±1 -> [Q, N] of uint8."""
    whole = jnp.int32 if queries.dtype == jnp.int8 else jnp.float32
    agreed = jax.lax.dot_general(queries, database, (((0,), (0,)), ((), ())), preferred_element_type=whole)
    return ((bits - agreed.astype(jnp.int32)) // 2).astype(jnp.uint8)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--bits", type=int, default=64)
    flags = parser.parse_args()
    random = np.random.default_rng(0)
    signs = np.where(random.random((flags.items, flags.bits), np.float32) < 0.5, -1, 1).astype(np.int8)
    words = jax.device_put(hamming.lay_out(signs))
    print(f"{flags.items} codes of {flags.bits} bits, jax {jax.__version__} on {jax.devices()[0].device_kind}")

    expected = np.asarray(hamming.distances(words[:, :QUERIES], words, flags.bits))
    print(f"{'distances by':>24}{'ms':>10}")
    taken = seconds(lambda: hamming.distances(words[:, :QUERIES], words, flags.bits))
    print(f"{'XOR, population count':>24}{1e3 * taken:10.3f}")
    for dtype in (jnp.bfloat16, jnp.int8):
        database = jnp.asarray(signs.T, dtype)
        asked = database[:, :QUERIES]
        np.testing.assert_array_equal(by_products(asked, database, flags.bits), expected)
        taken = seconds(lambda asked=asked, database=database: by_products(asked, database, flags.bits))
        print(f"{f'±1, {jnp.dtype(dtype).name}':>24}{1e3 * taken:10.3f}")

    queries = np.asarray(words[:, :1000])
    print(f"{'the nearest 100, pairs':>24}{'queries':>10}{'ms':>10}")
    found = None
    for power in (22, 25, 28):
        for count in (1000, 1):
            search = functools.partial(hamming.top_k, queries[:, :count], words, flags.bits, K, pairs=2**power)
            print(f"{f'2^{power}':>24}{count:>10}{1e3 * seconds(search, 3):10.3f}")
            rows = search()[1]
            found = rows if found is None else found
            np.testing.assert_array_equal(rows, found[:count])


if __name__ == "__main__":
    main()
