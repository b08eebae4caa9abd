"""Seconds and memory of the structures at the sizes of FCVID and YFCC, on synthetic clustered features.

    python tests/benchmarks/structures.py                    # 45,585 x 256
    python tests/benchmarks/structures.py fcvid4096 yfcc256  # 45,585 x 4096, 409,788 x 256

The features lie in a memory-mapped file that another process writes. Peak memory is this process's resident set, `own`
what is resident after the step without the pages of mapped files. CPU seconds are those of all threads:
on a machine of two cores with nothing else to do a step takes between half of them and all of them.
"""

import argparse
import multiprocessing
import re
import tempfile
import time
from pathlib import Path

import numpy as np

SHAPES = {"small": (5_000, 256), "fcvid256": (45_585, 256), "fcvid4096": (45_585, 4096), "yfcc256": (409_788, 256)}
COMPONENTS, DIRECTIONS, BLOCK = 600, 24, 4096


def write_features(path: Path, items: int, width: int) -> None:
    """A mixture of COMPONENTS clusters of unequal size and spread in DIRECTIONS dimensions, with noise in all."""
    random = np.random.default_rng(0)
    share = random.dirichlet(np.full(COMPONENTS, 2.0))
    basis = random.normal(size=(DIRECTIONS, width)).astype(np.float32) / np.sqrt(DIRECTIONS)
    means = random.normal(size=(COMPONENTS, DIRECTIONS)).astype(np.float32)
    spread = random.uniform(0.2, 0.7, COMPONENTS).astype(np.float32)
    x = np.lib.format.open_memmap(path, mode="w+", dtype=np.float32, shape=(items, width))
    for first in range(0, items, BLOCK):
        rows = len(x[first : first + BLOCK])
        which = random.choice(COMPONENTS, rows, p=share)
        inner = means[which] + spread[which, None] * random.normal(size=(rows, DIRECTIONS)).astype(np.float32)
        noise = 0.2 * random.standard_normal((rows, width), dtype=np.float32)
        x[first : first + rows] = inner @ basis + noise
    x.flush()


def memory() -> dict[str, float]:
    """GB: the peak of the resident set, and what is resident now without mapped files."""
    status = Path("/proc/self/status").read_text()
    found = {name: int(re.search(rf"{name}:\s+(\d+) kB", status).group(1)) / 1e6 for name in ("VmHWM", "RssAnon")}
    return {"peak": found["VmHWM"], "own": found["RssAnon"]}


def measure(name: str, path: Path, centres: int) -> None:
    """Prints one line a step."""
    import jax

    from jhash import structure

    x = np.load(path, mmap_mode="r")
    key = jax.random.key(0)
    totals = np.zeros(2)

    def step(title, function):
        begin = np.array([time.perf_counter(), time.process_time()])
        result = function()
        seconds = np.array([time.perf_counter(), time.process_time()]) - begin
        totals[:] += seconds
        show(title, seconds)
        return result

    def show(title, seconds):
        held = memory()
        row = f"{seconds[0]:8.1f} {seconds[1]:8.1f} {held['own']:8.2f} {held['peak']:8.2f}"
        print(f"{name:10} {title:28} {row}", flush=True)

    found = step("k-means", lambda: structure.kmeans(x, centres, key=key))
    index, distance = step("10 nearest centres", lambda: structure.nearest_centres(x, found.centres, 10))
    graph = step("anchor graph", lambda: structure.anchor_graph(index, distance, centres=centres))
    statistics = step("row statistics", lambda: structure.row_statistics(graph))
    three = step("three-granularity pools", lambda: structure.mcmsh_pools(index[:, :5], key=key))
    adaptive = step("Gaussian-adaptive pools", lambda: structure.gaussian_adaptive_pools(graph, key=key))
    step("principal components", lambda: structure.pca(found.centres, 256))
    show("total", totals)
    print(f"{name:10} non-zero entries a row of A: {statistics.entries.mean():.0f}")
    for title, pools in (("three-granularity", three), ("Gaussian-adaptive", adaptive)):
        print(f"{name:10} {title}: {structure.graph_report(index, pools, centres=centres, reseeded=found.reseeded)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shapes", nargs="*", default=["fcvid256"], choices=[*SHAPES, []], help=", ".join(SHAPES))
    parser.add_argument("--centres", type=int, default=2000)
    parser.add_argument("--scratch", type=Path, default=None, help="a folder for the features (up to 750 MB)")
    flags = parser.parse_args()
    print(f"{'shape':10} {'step':28} {'seconds':>8} {'CPU s':>8} {'own GB':>8} {'peak GB':>8}", flush=True)
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(dir=flags.scratch) as folder:
        for name in flags.shapes:
            path = Path(folder) / f"{name}.npy"
            for target, arguments in ((write_features, (path, *SHAPES[name])), (measure, (name, path, flags.centres))):
                process = spawn.Process(target=target, args=arguments)
                process.start()
                process.join()
                if process.exitcode:
                    raise SystemExit(process.exitcode)
            path.unlink()


if __name__ == "__main__":
    main()
