"""Many items in one pass: threads work ahead of the reader, and an .npy grows as the results come."""

import collections
import concurrent.futures
import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from jhash.types import InputError

THREADS = min(8, os.cpu_count() or 1)
AHEAD = 4 * THREADS  # items that are decoded, or being so, before the first of them is taken


def ahead(function: Callable, items: Iterable) -> Iterator[tuple]:
    """(item, function(item)) in the order of the items; threads work on those to come, never more than AHEAD."""
    pool = concurrent.futures.ThreadPoolExecutor(THREADS)
    waiting = collections.deque()
    try:
        for item in items:
            waiting.append((item, pool.submit(function, item)))
            if len(waiting) == AHEAD:
                first, future = waiting.popleft()
                yield first, future.result()
        while waiting:
            first, future = waiting.popleft()
            yield first, future.result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def growing(path: Path, shape: tuple[int, ...]) -> Iterator[Callable[[np.ndarray], None]]:
    """An .npy of uint8 items of that shape, appended one by one; how many they were is written when all are there.

    NumPy's header leaves room for a longer first axis, so that it can be written again over itself.

    Raises:
        InputError: the disk cannot hold it.
    """
    rows = 0
    try:
        with open(path, "wb") as file:
            start = _write_header(file, (0, *shape))

            def append(values: np.ndarray) -> None:
                nonlocal rows
                if values.shape != shape or values.dtype != np.uint8:
                    raise ValueError(f"{path}: expected {list(shape)} uint8, found {list(values.shape)} {values.dtype}")
                file.write(np.ascontiguousarray(values).data)
                rows += 1

            yield append
            if _write_header(file, (rows, *shape)) != start:
                raise RuntimeError(f"{path}: the header of {rows} rows has another length")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}.") from error


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> int:
    file.seek(0)
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.tell()
