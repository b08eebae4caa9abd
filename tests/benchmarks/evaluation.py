"""Evaluation side by side with the field's usual programs: a published video protocol, and a multi-label one.

python tests/benchmarks/evaluation.py [--items 45600] [--bits 64] [--labels labels.txt]

Each line is measured in a process of its own: seconds, and the peak of its memory with everything loaded. The first
table is of 45,600 codes of 239 classes that search themselves; rows marked * did a part of the queries and are scaled
up, the others are the median of three. The second, with a file of 0/1 labels (MIRFLICKR-25K: 20,015 x 24), is of 2,000
queries and the full ranking.
"""

import argparse
import importlib
import multiprocessing
import resource
import time

import numpy as np

PACKAGES = ("jhash.metrics", "faiss")  # imported before the clock runs
CUTOFFS = (5, 10, 20, 40, 60, 80, 100)
PART = 500  # queries that a slow program does


def video_codes(items, bits):
    """±1 codes of 239 classes, each bit flipped with probability .3, and one-hot labels."""
    random = np.random.default_rng(0)
    classes = random.integers(0, 239, items)
    centres = np.where(random.random((239, bits)) < 0.5, -1, 1)
    flips = np.where(random.random((items, bits), np.float32) < 0.3, -1, 1)
    return (centres[classes] * flips).astype(np.int8), np.eye(239, dtype=np.uint8)[classes]


def together(codes, labels):
    """mAP at seven cut-offs, stable and expected, precision at 10 ranks, the precision-recall curve: in one pass."""
    from jhash import curves, metrics

    ranks = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
    tasks = [
        metrics.Task("video"),
        metrics.Task("video", "expected", precision_ranks=ranks),
        curves.task(len(codes)),
    ]
    metrics.evaluate_tasks(codes, codes, labels, labels, tasks)


def one(preset, ties):
    def run(codes, labels):
        from jhash import metrics

        metrics.evaluate_codes(codes, codes, labels, labels, preset, ties=ties, self_rows=np.arange(len(codes)))

    return run


def top_100(codes, labels):
    from jhash import hamming

    words = hamming.lay_out(codes)
    hamming.top_k(words, words, codes.shape[1], 100)


def faiss_100(counting):
    def run(codes, labels):
        import faiss

        packed = np.packbits(codes > 0, axis=1)
        index = faiss.IndexBinaryFlat(codes.shape[1])
        index.use_heap = not counting
        index.add(packed)
        index.search(packed, 100)

    return run


def usual_video(codes, labels):
    """A query at a time: products, a stable sort of all distances, cumulative precision at each cut-off."""
    signs = codes.astype(np.float32)
    for query in range(PART):
        order = np.argsort(0.5 * (signs.shape[1] - signs @ signs[query]), kind="stable")
        hits = (labels[order] @ labels[query] > 0).astype(np.float64)
        precision = np.cumsum(hits) / np.arange(1, len(hits) + 1) * hits
        for k in CUTOFFS:
            precision[:k].sum() / k


VIDEO = {
    "all of the protocol in one pass": (together, 1),
    "mAP@k, stable": (one("video", "stable"), 1),
    "mAP@k, expected": (one("video", "expected"), 1),
    "mAP of the whole ranking, stable": (one("trec", "stable"), 1),
    "usual loop, mAP@k, stable *": (usual_video, PART),
    "exact top-100": (top_100, 1),
    "faiss flat, top-100": (faiss_100(False), 1),
    "faiss flat, counting, top-100": (faiss_100(True), 1),
}


def multi_label(path, bits):
    """Codes that go with the labels a little, and the split into 2,000 queries and the rest."""
    labels = np.loadtxt(path, dtype=np.uint8)
    random = np.random.default_rng(0)
    order = random.permutation(len(labels))
    noisy = labels @ random.normal(size=(labels.shape[1], bits)) + 1.5 * random.normal(size=(len(labels), bits))
    codes = np.where(noisy > 0, 1, -1).astype(np.int8)
    queries, items = order[:2000], order[2000:]
    return codes[queries], codes[items], labels[queries], labels[items]


def ours_multi_label(given):
    from jhash import metrics

    return metrics.evaluate_codes(*given, "dcmh").values["map", None]


def usual_multi_label(kind):
    def run(given):
        query_codes, codes, query_labels, labels = (part.astype(np.float32) for part in given)
        found = np.zeros(len(query_codes))
        for query, code in enumerate(query_codes):
            relevant = query_labels[query] @ labels.T > 0
            if not relevant.any():
                continue
            order = np.argsort(0.5 * (codes.shape[1] - code @ codes.T), kind=kind)
            places = np.flatnonzero(relevant[order]) + 1.0
            found[query] = np.mean(np.arange(1, len(places) + 1) / places)
        return found

    return run


FULL = {
    "jhash": ours_multi_label,
    "usual loop, stable sort": usual_multi_label("stable"),
    "usual loop, any sort": usual_multi_label(None),
}


def video(name, items, bits, pipe):
    codes, labels = video_codes(items, bits)
    work, part = VIDEO[name]
    for package in PACKAGES:
        importlib.import_module(package)
    seconds = []
    for _ in range(1 if part > 1 else 3):
        clock = time.perf_counter()
        work(codes, labels)
        seconds.append(time.perf_counter() - clock)
    scale = items / part if part > 1 else 1
    pipe.send((scale * sorted(seconds)[len(seconds) // 2], peak(), None))


def full(name, path, bits, pipe):
    given = multi_label(path, bits)
    seconds = []
    for _ in range(3):
        clock = time.perf_counter()
        found = FULL[name](given)
        seconds.append(time.perf_counter() - clock)
    pipe.send((sorted(seconds)[1], peak(), found))


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def in_a_process(target, *arguments):
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*arguments, theirs))
    process.start()
    theirs.close()
    found = ours.recv()
    process.join()
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=45600)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--labels", help="0/1, a line an item, blanks between")
    given = parser.parse_args()
    print(f"{given.items:,} x {given.items:,}, {given.bits} bits\n\n| what | seconds | peak GB |\n|---|---|---|")
    for name in VIDEO:
        seconds, memory, _ = in_a_process(video, name, given.items, given.bits)
        print(f"| {name} | {seconds:.1f} | {memory:.2f} |", flush=True)
    if not given.labels:
        return
    print(
        "\nfull ranking, several labels an item\n\n| what | seconds | peak GB | largest difference |\n|---|---|---|---|"
    )
    first = None
    for name in FULL:
        seconds, memory, found = in_a_process(full, name, given.labels, given.bits)
        first = found if first is None else first
        print(f"| {name} | {seconds:.2f} | {memory:.2f} | {np.abs(found - first).max():.1e} |", flush=True)


if __name__ == "__main__":
    main()
