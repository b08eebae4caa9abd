"""A file of codes that grows block by block, is read by nobody until it is whole, and goes on where it was stopped.

codes.npy.partial holds the rows so far, codes.npy.partial.json how many of them count, which items they leave out and
what made them. Blocks count when both are on disk, which is seen to every second or two: a kill at any moment loses no
more than that.
"""

import contextlib
import fcntl
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jhash.types import InputError
from jhash.workdir import write_json

VERSION = 2
CHUNK = 2**24  # bytes that are checked at once
SECONDS = 1.0  # between two times that all so far is made to count


class CodeFile:
    """Rows [W] of one dtype, one for each of `size` items but those left out; `growing` opens it."""

    def __init__(self, path: Path, size: int, width: int, dtype: np.dtype, made: dict[str, Any], skips: bool):
        self.path, self.size, self.skips = path, size, skips
        self.partial = path.with_name(f"{path.name}.partial")
        self.facts = path.with_name(f"{path.name}.partial.json")
        self.dtype, self.width = np.dtype(dtype), width
        self.made = json.loads(json.dumps(made | {"rows": size, "width": width, "dtype": self.dtype.str}))
        self.done, self.sum = 0, 0
        self.skipped: dict[int, str] = {}  # item -> why it has no row
        self.clock = time.monotonic()
        self.why = ""  # why it didn't go on, where something was there

    @property
    def taken(self) -> int:
        """How many items were seen to, with a row or without."""
        return self.done + len(self.skipped)

    @property
    def whole(self) -> bool:
        return self.taken == self.size

    def begin(self, file: BinaryIO) -> None:
        """Takes what is there and counts, or writes the beginning of an .npy [size, W]."""
        self.file = file
        held = self._held()
        if held is None:
            self.done, self.sum, self.skipped = 0, 0, {}
            file.truncate(0)
            self.start = self._write_header(self.size)
        else:
            self.done, self.sum, self.start = held["done"], held["sum"], held["start"]
            file.truncate(self._end())
            file.seek(self._end())

    def append(self, rows: np.ndarray, skipped: Mapping[int, str]) -> None:
        """Adds rows [b, W] of the next items but those skipped, item -> why.

        They count from the next `keep` on; the last ones do when it returns.
        """
        taken = self.taken + len(rows) + len(skipped)
        if rows.shape[1:] != (self.width,) or rows.dtype != self.dtype or taken > self.size:
            raise ValueError(f"{self.path}: rows {list(rows.shape)} {rows.dtype} don't fit behind {self.done}")
        data = np.ascontiguousarray(rows).tobytes()
        with _said(self.path):
            self.file.write(data)
        self.done, self.sum = self.done + len(rows), zlib.crc32(data, self.sum)
        self.skipped |= skipped
        if self.whole or time.monotonic() - self.clock >= SECONDS:
            self.keep()

    def keep(self) -> None:
        """Makes all rows so far count."""
        with _said(self.path):
            self.file.flush()
            os.fsync(self.file.fileno())
            facts = {"version": VERSION, "made": self.made, "done": self.done, "start": self.start, "sum": self.sum}
            write_json(self.facts, facts | {"skipped": list(self.skipped.items())})
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
            raise ValueError(f"{self.path}: {self.taken} of {self.size} items are there")
        with _said(self.path):
            if keep:
                if self._write_header(self.done) != self.start:
                    raise RuntimeError(f"{self.path}: the header of {self.done} rows has another length")
                self.file.flush()
                os.fsync(self.file.fileno())
                os.replace(self.partial, self.path)
            else:
                self.partial.unlink()
            self.facts.unlink(missing_ok=True)

    def _write_header(self, rows: int) -> int:
        """NumPy's header leaves room for a number of any length; where it ends."""
        header = {"descr": np.lib.format.dtype_to_descr(self.dtype), "fortran_order": False}
        self.file.seek(0)
        np.lib.format.write_array_header_1_0(self.file, header | {"shape": (rows, self.width)})
        return self.file.tell()

    def _held(self) -> dict[str, Any] | None:
        """The facts of what is there, where they are of the same making and the rows are as they were written."""
        if not self.facts.is_file() or not os.fstat(self.file.fileno()).st_size:
            return None
        try:
            held = json.loads(self.facts.read_text())
            same = held["version"] == VERSION and held["made"] == self.made
            if same:
                self.done, self.start = int(held["done"]), int(held["start"])
                self.skipped = {int(item): str(why) for item, why in held["skipped"]}
                if self._summed() != held["sum"]:
                    self.why = "its rows aren't as they were written"
                elif self.skipped and not self.skips:
                    self.why = "broken items are left out of it"
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
    path: Path,
    size: int,
    width: int,
    dtype: np.dtype,
    made: dict[str, Any],
    say: Callable[[str], None],
    *,
    skips: bool = False,
) -> Iterator[CodeFile]:
    """The file that becomes `path`, an .npy [rows, W], begun or taken up again; one process at a time.

    Args:
        path: its folder is made where it isn't there.
        size: items, each of which has a row in the end or is left out.
        width: W.
        dtype: of the rows.
        made: JSON's values; where they differ from those of what is there, it is begun again.
        say: gets a line where it goes on, or why it doesn't.
        skips: whether items may be left out; one that leaves some out is begun again where they may not.

    Raises:
        InputError: another process is at work on it, or the disk can't hold it.
    """
    codes = CodeFile(path, size, width, dtype, made, skips)
    with _said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(os.open(codes.partial, os.O_RDWR | os.O_CREAT, 0o666), "r+b")
    with file:
        with _said(path):
            _claim(file, codes.partial)
            codes.begin(file)
        if codes.why:
            say(f"{codes.partial}: begins again: {codes.why}.")
        elif codes.taken:
            say(f"{codes.partial}: goes on after {codes.taken:,} of {size:,} items.")
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
