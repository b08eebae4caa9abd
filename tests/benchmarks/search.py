"""Exact and approximate search side by side: jhash, faiss, and NumPy as the published programs use it.

python tests/benchmarks/search.py [--sizes 18000,45600,1000000] [--bits 16,64,128] [--queries 1000] [--k 100]

One line a search: seconds for all queries, p50 and p99 of single queries in milliseconds, the memory that the search
took beyond the codes (a process of its own for each), and the share of the exact answers found. Codes are of 1,000
classes, each bit flipped with probability .2.
"""

import argparse
import json
import multiprocessing
import resource
import time

import numpy as np

BLOCK = 2**20  # codes made at a time


def packed_codes(items, bits, seed):
    """uint8 [N, bits / 8], each a class's code with a fifth of its bits flipped."""
    random = np.random.default_rng(seed)
    centres = np.random.default_rng(0).integers(0, 2, (1000, bits), np.uint8)
    codes = np.empty((items, bits // 8), np.uint8)
    for start in range(0, items, BLOCK):
        size = min(BLOCK, items - start)
        flips = (random.random((size, bits), np.float32) < 0.2).astype(np.uint8)
        codes[start : start + size] = np.packbits(centres[random.integers(1000, size=size)] ^ flips, axis=1)
    return codes


def jhash_exact(database, bits):
    import jax

    from jhash import hamming

    words = jax.device_put(np.ascontiguousarray(database.T))
    return lambda queries, k: hamming.top_k(np.ascontiguousarray(queries.T), words, bits, k)


def faiss_flat(database, bits):
    import faiss

    index = faiss.IndexBinaryFlat(bits)
    index.add(database)
    return index.search


def faiss_counting(database, bits):
    import faiss

    index = faiss.IndexBinaryFlat(bits)
    index.use_heap = False
    index.add(database)
    return index.search


def faiss_hash(database, bits):
    import faiss

    index = faiss.IndexBinaryHash(bits, min(bits, 16))
    index.nflip = 2
    index.add(database)
    return index.search


def faiss_hnsw(database, bits):
    import faiss

    index = faiss.IndexBinaryHNSW(bits, 16)
    index.hnsw.efSearch = 256
    index.add(database)
    return index.search


def faiss_ivf(database, bits):
    import faiss

    lists = max(16, int(np.sqrt(len(database))))
    quantiser = faiss.IndexBinaryFlat(bits)
    index = faiss.IndexBinaryIVF(quantiser, bits, lists)
    index.cp.max_points_per_centroid = 64
    index.train(database[:: max(1, len(database) // (64 * lists))])
    index.add(database)
    index.nprobe = max(1, lists // 16)
    return index.search


def numpy_argsort(database, bits):
    """A query at a time: floating-point products and a stable sort of all distances."""
    signs = np.where(np.unpackbits(database, axis=1)[:, :bits], 1, -1).astype(np.float32)

    def search(queries, k):
        asked = np.where(np.unpackbits(queries, axis=1)[:, :bits], 1, -1).astype(np.float32)
        distances, rows = [], []
        for query in asked:
            distance = 0.5 * (bits - query @ signs.T)
            order = np.argsort(distance, kind="stable")[:k]
            distances.append(distance[order])
            rows.append(order)
        return np.stack(distances), np.stack(rows)

    return search


METHODS = {
    "jhash": jhash_exact,
    "faiss flat": faiss_flat,
    "faiss flat, counting": faiss_counting,
    "faiss hash": faiss_hash,
    "faiss HNSW": faiss_hnsw,
    "faiss IVF": faiss_ivf,
    "NumPy, argsort": numpy_argsort,
}
SLOW = {"NumPy, argsort": 100_000, "faiss HNSW": 1_000_000, "faiss hash": 10_000_000, "faiss IVF": 10_000_000}


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def measure(name, items, bits, queries, k, pipe):
    """In a process of its own: what was found, seconds to build and search, latencies, memory beyond the codes."""
    database, asked = packed_codes(items, bits, 1), packed_codes(queries, bits, 2)
    build = time.perf_counter()
    search = METHODS[name](database, bits)
    build = time.perf_counter() - build
    search(asked[:1], k), search(asked if items <= 1_000_000 else asked[:100], k)
    before = resident()
    clock = time.perf_counter()
    distances, _ = search(asked, k)
    seconds = time.perf_counter() - clock
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    single = []
    for query in asked[: min(queries, 100 if items < 5_000_000 else 20)]:
        clock = time.perf_counter()
        search(query[None], k)
        single.append(time.perf_counter() - clock)
    p50, p99 = np.percentile(single, [50, 99]) * 1e3
    pipe.send((distances.astype(np.int32), build, seconds, p50, p99, (peak - before) / 1e6))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="18000,45600,1000000")
    parser.add_argument("--bits", default="16,64,128")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--k", type=int, default=100)
    parser.add_argument("--methods", default=",".join(METHODS).replace(", ", "; "), help="names with commas between")
    parser.add_argument("--json", help="a file for the figures")
    given = parser.parse_args()
    chosen = [name.strip().replace("; ", ", ") for name in given.methods.split(",")]
    context, lines = multiprocessing.get_context("spawn"), []
    print(f"{given.queries} queries, the nearest {given.k}\n")
    print("| codes | bits | search | build s | all s | p50 ms | p99 ms | memory MB | found |\n|" + "---|" * 9)
    for items in map(int, given.sizes.split(",")):
        for bits in map(int, given.bits.split(",")):
            exact = None
            for name in chosen:
                if items > SLOW.get(name, items):
                    continue
                ours, theirs = context.Pipe()
                process = context.Process(target=measure, args=(name, items, bits, given.queries, given.k, theirs))
                process.start()
                theirs.close()
                try:
                    distances, build, seconds, p50, p99, memory = ours.recv()
                except EOFError:
                    print(f"| {items:,} | {bits} | {name} | failed |", flush=True)
                    continue
                process.join()
                exact = distances if exact is None else exact
                # an item counts as found where it is no farther than the k-th nearest
                found = float((distances <= exact[:, -1:]).mean())
                lines.append([items, bits, name, build, seconds, p50, p99, memory, found])
                print(
                    f"| {items:,} | {bits} | {name} | {build:.1f} | {seconds:.2f} | {p50:.2f} | {p99:.2f} | "
                    f"{memory:.0f} | {found:.3f} |",
                    flush=True,
                )
    if given.json:
        with open(given.json, "w") as file:
            json.dump(lines, file)


if __name__ == "__main__":
    main()
