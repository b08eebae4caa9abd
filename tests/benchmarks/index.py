"""Time, disk and memory of an index that grows by small batches, and of searching it.

PYTHONPATH=. python tests/benchmarks/index.py --items 1000000 --batch 1000
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np

from jhash.index import Index

QUERIES, K, BITS = 100, 10, 64


def items(count: int, rng: np.random.Generator) -> np.ndarray:
    """Codes around 4096 centres, eight bits in a hundred flipped, as learned codes gather."""
    centres = rng.choice(np.array([-1, 1], np.int8), (4096, BITS))
    flips = rng.choice(np.array([1, -1], np.int8), (count, BITS), p=(0.92, 0.08))
    return centres[rng.integers(0, len(centres), count)] * flips


def timed(what: str, function):
    start = time.perf_counter()
    result = function()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"{what}: {time.perf_counter() - start:.3f} s, peak {peak:.2f} GB", flush=True)
    return result


def fill(index: Index, codes: np.ndarray, batch: int) -> None:
    for start in range(0, len(codes), batch):
        rows = range(start, min(start + batch, len(codes)))
        years = [1990 + row % 30 for row in rows]
        index.add(codes[start : start + batch], [f"photo/{row}" for row in rows], "image", {"year": years})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=1000)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    codes = items(options.items + QUERIES + 1000, rng)
    queries, more, codes = codes[:QUERIES], codes[QUERIES : QUERIES + 1000], codes[QUERIES + 1000 :]
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "index"
        with Index.create(place, bits=BITS, metadata={"year": "int"}) as index:
            timed(f"adding {options.items:,} codes by {options.batch:,}", lambda: fill(index, codes, options.batch))
            before = index.search(queries, K)
        index = timed("opening", lambda: Index.open(place))
        for what in ("first search", "search again"):
            found = timed(f"{what}, {QUERIES} queries, exact", lambda: index.search(queries, K))
        same = all((a == b).all() for a, b in zip(found.ids, before.ids, strict=True))
        print("search after opening equals search before:", same)
        timed("adding 1,000 more", lambda: index.add(more, [f"more/{row}" for row in range(1000)], "image"))
        found = timed("search", lambda: index.search(queries, K))
        timed("where, first time", lambda: index.search(queries, K, where="year > 2010"))
        timed("another where", lambda: index.search(queries, K, where="year < 2010"))
        timed("within 6 bits", lambda: index.within(queries, 6))
        for kind in ("hash", "hnsw", "ivf"):
            timed(f"{kind}, built", lambda: index.search(queries, K, approximate=kind))
            near = timed(f"{kind}", lambda: index.search(queries, K, approximate=kind))
            kth = [distances[-1] for distances in found.distances]  # of equal distances any will do
            right = [np.mean(part <= last) for part, last in zip(near.distances, kth, strict=True)]
            print(f"{kind}: recall@{K} {np.mean(right):.3f}")
        timed("deleting 1,000", lambda: index.delete([f"photo/{row}" for row in range(1000)]))
        timed("search", lambda: index.search(queries, K))
        timed("compacting", index.compact)
        timed("verifying", index.verify)
        print(index.stats())


if __name__ == "__main__":
    main()
