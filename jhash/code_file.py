"""A file of codes that grows block by block, is read by nobody until it is whole, and goes on where it was stopped.

codes.npy.partial holds the rows so far, codes.npy.partial.json how many of them count and what made them. Blocks count
when both are on disk, which is seen to every second or two: a kill at any moment loses no more than that.
"""

import contextlib
import fcntl
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jhash.types import InputError
from jhash.workdir import write_json

VERSION = 1
CHUNK = 2**24  # bytes that are checked at once
SECONDS = 1.0  # between two times that all so far is made to count


class CodeFile:
    """Rows [W] of one dtype, `size` of them in the end; `growing` opens it."""

    def __init__(self, path: Path, size: int, width: int, dtype: np.dtype, made: dict[str, Any]):
        self.path, self.size = path, size
        self.partial = path.with_name(f"{path.name}.partial")
        self.facts = path.with_name(f"{path.name}.partial.json")
        self.dtype, self.width = np.dtype(dtype), width
        self.made = json.loads(json.dumps(made | {"rows": size, "width": width, "dtype": self.dtype.str}))
        self.done, self.sum = 0, 0
        self.clock = time.monotonic()
        self.why = ""  # why it didn't go on, where something was there

    @property
    def whole(self) -> bool:
        return self.done == self.size

    def begin(self, file: BinaryIO) -> None:
        """Takes what is there and counts, or writes the beginning of an .npy [size, W]."""
        self.file = file
        held = self._held()
        if held is None:
            self.done, self.sum = 0, 0
            file.seek(0)
            file.truncate()
            header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
            np.lib.format.write_array_header_1_0(file, header | {"shape": (self.size, self.width)})
            self.start = file.tell()
        else:
            self.done, self.sum, self.start = held["done"], held["sum"], held["start"]
            file.truncate(self._end())
            file.seek(self._end())

    def append(self, rows: np.ndarray) -> None:
        """Adds rows [b, W], which count from the next `keep` on; the last ones do when it returns."""
        if rows.shape[1:] != (self.width,) or rows.dtype != self.dtype or self.done + len(rows) > self.size:
            raise ValueError(f"{self.path}: rows {list(rows.shape)} {rows.dtype} don't fit behind {self.done}")
        data = np.ascontiguousarray(rows).tobytes()
        with _said(self.path):
            self.file.write(data)
        self.done, self.sum = self.done + len(rows), zlib.crc32(data, self.sum)
        if self.whole or time.monotonic() - self.clock >= SECONDS:
            self.keep()

    def keep(self) -> None:
        """Makes all rows so far count."""
        with _said(self.path):
            self.file.flush()
            os.fsync(self.file.fileno())
            facts = {"version": VERSION, "made": self.made, "done": self.done, "start": self.start, "sum": self.sum}
            write_json(self.facts, facts)
        self.clock = time.monotonic()

    def rows(self) -> np.ndarray:
        """What is there so far, memory-mapped, [done, W]."""
        shape = (self.done, self.width)
        return np.memmap(self.partial, self.dtype, "r", self.start, shape)

    def leave(self) -> None:
        """Keeps what is there for another time; of nothing, nothing is left."""
        if self.done:
            self.keep()
        else:
            self.partial.unlink(missing_ok=True)
            self.facts.unlink(missing_ok=True)

    def finish(self, keep: bool) -> None:
        """Gives the whole file its name, or deletes it."""
        if not self.whole:
            raise ValueError(f"{self.path}: {self.done} of {self.size} rows are there")
        with _said(self.path):
            if keep:
                os.replace(self.partial, self.path)
            else:
                self.partial.unlink()
            self.facts.unlink(missing_ok=True)

    def _held(self) -> dict[str, Any] | None:
        """The facts of what is there, where they are of the same making and the rows are as they were written."""
        if not self.facts.is_file() or not os.fstat(self.file.fileno()).st_size:
            return None
        try:
            held = json.loads(self.facts.read_text())
            same = held["version"] == VERSION and held["made"] == self.made
            self.done, self.start = int(held["done"]), int(held["start"])
            if same and self._summed() != held["sum"]:
                self.why = "its rows aren't as they were written"
        except (ValueError, KeyError, TypeError, OSError):
            same, self.why = False, "its .json is damaged"
        if not same and not self.why:
            self.why = "it is of another input, model or option"
        return None if self.why else held

    def _end(self) -> int:
        return self.start + self.done * self.width * self.dtype.itemsize

    def _summed(self) -> int | None:
        """The CRC-32 of the rows that count; None where the file is shorter."""
        self.file.seek(self.start)
        left, total = self._end() - self.start, 0
        while left:
            data = self.file.read(min(CHUNK, left))
            if not data:
                return None
            left, total = left - len(data), zlib.crc32(data, total)
        return total


@contextlib.contextmanager
def growing(
    path: Path, size: int, width: int, dtype: np.dtype, made: dict[str, Any], say: Callable[[str], None]
) -> Iterator[CodeFile]:
    """The file that becomes `path`, an .npy [size, W], begun or taken up again; one process at a time.

    Args:
        path: its folder is made where it isn't there.
        size: rows in the end.
        width: W.
        dtype: of the rows.
        made: JSON's values; where they differ from those of what is there, it is begun again.
        say: gets a line where it goes on, or why it doesn't.

    Raises:
        InputError: another process is at work on it, or the disk can't hold it.
    """
    codes = CodeFile(path, size, width, dtype, made)
    with _said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(os.open(codes.partial, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    with file:
        with _said(path):
            _claim(file, codes.partial)
            codes.begin(file)
        if codes.why:
            say(f"{codes.partial}: begins again: {codes.why}.")
        elif codes.done:
            say(f"{codes.partial}: goes on after {codes.done:,} of {size:,} items.")
        try:
            yield codes
        except BaseException:
            with contextlib.suppress(InputError):  # of a full disk that is on its way already
                codes.leave()
            raise


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}.") from error


def _claim(file: BinaryIO, partial: Path) -> None:
    """Another process may hold the file, or have given it its name since it was opened."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        mine = os.fstat(file.fileno()).st_ino == os.stat(partial).st_ino
    except (BlockingIOError, FileNotFoundError):
        mine = False
    if not mine:
        raise InputError(f"{partial}: another process writes this file.")
