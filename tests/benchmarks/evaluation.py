"""Seconds and memory of a published video evaluation: 45,600 codes search themselves, 239 classes.

python tests/benchmarks/evaluation.py [--items 45600] [--bits 64]
"""

import argparse
import resource
import time

import numpy as np

from jhash.metrics import evaluate_codes

CASES = (("video", "stable"), ("video", "expected"), ("trec", "stable"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=45600)
    parser.add_argument("--bits", type=int, default=64)
    given = parser.parse_args()
    random = np.random.default_rng(0)
    codes = np.where(random.random((given.items, given.bits)) < 0.5, -1, 1).astype(np.int8)
    labels = np.eye(239, dtype=np.uint8)[random.integers(0, 239, given.items)]
    print(f"{given.items} x {given.items}, {given.bits} bit\npreset  ties      seconds  peak GB")
    for preset, ties in CASES:
        clock = time.perf_counter()
        evaluate_codes(codes, codes, labels, labels, preset, ties=ties, self_rows=np.arange(given.items))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
        print(f"{preset:7} {ties:9} {time.perf_counter() - clock:7.1f}  {peak:.2f}", flush=True)


if __name__ == "__main__":
    main()
