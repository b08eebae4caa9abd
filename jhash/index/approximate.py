"""Approximate neighbours among the codes in an index's files, by FAISS: a look at some of the codes in place of all.

A structure is built when it is first asked for and kept beside the codes it was built for.
"""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from jhash.index.fast import digest, read_facts, write_facts
from jhash.types import InputError

KINDS = ("hash", "hnsw", "ivf")
FLIPS = 3  # 'hash': buckets whose keys differ from the query's in up to three bits are looked at
LINKS = 32  # 'hnsw': neighbours that each code is linked to
SHARE = 16  # 'ivf': of the lists of codes one in sixteen is looked at
ROUNDS = 10  # 'ivf': of k-means
TRAINING = 64  # 'ivf': codes for each list's centre


def _faiss():
    try:
        import faiss
    except ImportError as error:
        raise InputError("approximate search needs FAISS, which is not installed: pip install jhash[index]") from error
    return faiss


def structure(folder: Path, kind: str, words: np.ndarray, bits: int) -> Any:
    """The structure of a kind over codes uint8 [W, n], read from the folder, or built and written there.

    Raises:
        InputError: another kind than 'hash', 'hnsw' or 'ivf', or FAISS isn't installed.
    """
    if kind not in KINDS:
        raise InputError(f"approximate: expected one of {', '.join(KINDS)}, found {kind!r}.")
    faiss, file, facts = _faiss(), folder / f"{kind}.faiss", folder / f"{kind}.json"
    try:
        if read_facts(facts) == {"sha256": digest(file)}:
            return faiss.read_index_binary(str(file))
    except (InputError, OSError, RuntimeError):
        pass  # not built yet, or damaged: built anew
    built = _build(faiss, kind, np.ascontiguousarray(words.T), bits)
    partial = folder / f".{kind}.{os.getpid()}.partial"
    try:
        faiss.write_index_binary(built, str(partial))
        sha = digest(partial)
        partial.replace(file)
        write_facts(facts, {"sha256": sha})
    except (OSError, RuntimeError):  # a full disk, or a folder that may only be read: it serves from memory
        partial.unlink(missing_ok=True)
    return built


def _build(faiss, kind: str, codes: np.ndarray, bits: int):
    items, width = codes.shape
    if kind == "hash":
        # a bucket then holds about sixteen codes
        built = faiss.IndexBinaryHash(8 * width, max(1, min(bits, 24, round(math.log2(max(items, 2))) - 4)))
        built.nflip = FLIPS
    elif kind == "hnsw":
        built = faiss.IndexBinaryHNSW(8 * width, LINKS)
    else:
        lists = max(1, min(round(math.sqrt(items)), items // TRAINING))
        coarse = faiss.IndexBinaryFlat(8 * width)
        built = faiss.IndexBinaryIVF(coarse, 8 * width, lists)
        built.own_fields = True
        coarse.this.disown()
        built.cp.niter = ROUNDS
        built.nprobe = max(1, lists // SHARE)
        chosen = np.random.default_rng(0).permutation(items)[: lists * TRAINING]
        built.train(codes[np.sort(chosen)])
    built.add(codes)
    return built


def candidates(built: Any, queries: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """About the `count` nearest codes of packed queries uint8 [Q, W]: (distances, numbers), int64 [Q, count].

    A number is -1 where too few were found.
    """
    count = min(count, built.ntotal)
    if hasattr(built, "hnsw"):
        built.hnsw.efSearch = max(128, 2 * count)
    distances, numbers = built.search(np.ascontiguousarray(queries), count)
    return distances.astype(np.int64), numbers
