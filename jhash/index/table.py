"""The table of an index, its one source of truth, in LanceDB: rows are added at the end, and read only when right.

A deletion is a row as well, so every change is one commit at the end of the table, which is there whole or not at all.
This module alone calls LanceDB.
"""

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np

from jhash.index.place import HEAD, NAME, Spot, files, read_head, spot, sync, write_head
from jhash.index.rows import MISSING, Description, arrow, described, row_checks
from jhash.types import InputError

KEEP = timedelta(hours=1)  # how long versions of the past stay on disk, for readers that still look at them
FRAGMENTS = 64  # small files that may gather: a commit writes the list of them all
BATCH = 65536  # rows read at a time


def _lancedb():
    arrow()
    try:
        import lancedb
    except ImportError as error:
        raise InputError(MISSING) from error
    return lancedb


@contextlib.contextmanager
def _named(name: str, what: str) -> Iterator[None]:
    """Whatever LanceDB makes of a damaged file, as one sentence; its panics aren't Exceptions."""
    try:
        yield
    except (InputError, KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except BaseException as error:
        raise InputError(f"{name}: {what}: {_line(error)}") from error


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return re.sub(r",? ?\S+\.rs:\d+:\d+", "", lines[0])[:300]


class Table:
    """One version of the table of an index; `refresh` goes on to the latest."""

    def __init__(self, where: Spot, table):
        self.spot, self._table = where, table
        self._written: set[str] | None = None  # files that are on disk for sure; None: not the writer
        self._appended = 0  # commits of this writer
        self._checked = (0, 0)  # generation, and how many of its first rows were read and are right
        self._look()

    @classmethod
    def create(cls, place: str | Path, bits: int, fingerprint: str, metadata: dict[str, str]) -> "Table":
        """An empty table, whole or not there. Raises InputError where there is something already."""
        lancedb, where = _lancedb(), spot(place)
        description = Description(bits, fingerprint, metadata, uuid.uuid4().hex, 0)
        if where.folder is None:
            with _named(where.name, "cannot be made"):
                return cls(where, lancedb.connect(where.uri).create_table(NAME, schema=description.schema()))
        folder = where.folder
        if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
            raise InputError(f"{folder}: expected a new or empty folder for an index, found one with something in it.")
        partial = folder.with_name(f".{folder.name}.partial-{os.getpid()}")
        try:
            with _named(where.name, "cannot be made"):
                partial.mkdir(parents=True)
                lancedb.connect(str(partial)).create_table(NAME, schema=description.schema())
                write_head(partial, description, 0)
                sync(partial / f"{NAME}.lance", set())
                partial.replace(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return cls.open(place)

    @classmethod
    def open(cls, place: str | Path) -> "Table":
        """The latest version. Raises InputError: no index there, or a damaged one."""
        lancedb, where = _lancedb(), spot(place)
        head = read_head(where)
        with _named(where.name, "expected an index, found none or a damaged one"):
            table = cls(where, lancedb.connect(where.uri).open_table(NAME))
        table._check_head(head)
        return table

    def refresh(self) -> None:
        """Goes on to the latest version."""
        head = read_head(self.spot)
        with _named(self.spot.name, "the table cannot be read"):
            self._table.checkout_latest()
            self._look()
        self._check_head(head)

    def _look(self) -> None:
        with _named(self.spot.name, "the table cannot be read"):
            self.description = described(self.spot.name, self._table.schema)
            self.rows = self._table.count_rows()
            self.version = self._table.version

    def _check_head(self, head: tuple[int, int]) -> None:
        """The table may be a commit further than its head, for that is written after it, but never behind it."""
        if (self.description.generation, self.rows) < head:
            raise InputError(
                f"{self.spot.name}: expected {head[1]} rows (compaction {head[0]}) as {HEAD} says, found {self.rows} "
                f"(compaction {self.description.generation}): files of the table are missing or damaged."
            )

    # ---- reading

    def read(self, first: int = 0) -> Iterator:
        """Arrow tables of all columns from place `first` on, each row checked.

        Raises:
            InputError: a file that is missing or damaged, a row that isn't what was written, or one that is missing.
        """
        pa = arrow()
        expected = first
        with _named(self.spot.name, "the table is damaged or cut short"):
            query = self._table.search().offset(first) if first else self._table.search()
            batches = iter(query.to_batches(BATCH) if first < self.rows else ())
        while True:
            with _named(self.spot.name, "the table is damaged or cut short"):
                batch = next(batches, None)
                if batch is None:
                    break
                rows = pa.Table.from_batches([batch]).cast(self.description.schema())
                wrong = self._first_wrong(rows, np.arange(expected, expected + rows.num_rows))
            if wrong is not None:
                raise self._damaged(wrong)
            expected += rows.num_rows
            yield rows
        if expected != self.rows:
            raise InputError(f"{self.spot.name}: expected {self.rows} rows in the table, found {expected}.")
        if first <= self._right():
            self._checked = self.description.generation, self.rows

    def _right(self) -> int:
        generation, rows = self._checked
        return rows if generation == self.description.generation else 0

    def take(self, places: np.ndarray):
        """The rows at increasing `places` [n], as an Arrow table, each checked. Raises InputError as `read`."""
        with _named(self.spot.name, "the table is damaged, or older than what is kept (refresh helps then)"):
            rows = self._table.take_offsets(places.tolist()).to_arrow().select(self.description.schema().names)
            rows = rows.cast(self.description.schema())
            wrong = self._first_wrong(rows, places) if rows.num_rows == len(places) else int(places[0])
        if wrong is not None:
            raise self._damaged(wrong)
        return rows

    def _first_wrong(self, rows, places: np.ndarray) -> int | None:
        right = rows["_check"].to_numpy() == row_checks(rows, self.description)
        right &= rows["_place"].to_numpy() == places
        return None if right.all() else int(places[np.argmin(right)])

    def _damaged(self, place: int) -> InputError:
        where = self.spot.data or self.spot.name
        return InputError(f"{where}: row {place} isn't what was written: a file of the table is damaged.")

    def select(self, where: str) -> np.ndarray:
        """The places [n] where an SQL expression over the columns is true, of rows that were read and are right.

        Raises:
            InputError: a wrong expression; or as `read`, the first time.
        """
        for _ in self.read(self._right()):
            pass
        with _named(self.spot.name, f"where {where!r}"):
            found = self._table.search().where(f"({where})").select(["_place"]).to_arrow()
            return np.sort(found["_place"].to_numpy())

    @property
    def bytes(self) -> int:
        """Bytes on disk, of versions of the past too; on object storage those of the latest one."""
        if self.spot.folder is None:
            return int(self._table.stats()["total_bytes"])
        total = 0
        for path in self.spot.folder.rglob("*"):
            with contextlib.suppress(FileNotFoundError):  # a writer may be tidying
                total += path.stat().st_size if path.is_file() else 0
        return total

    # ---- writing

    @property
    def writing(self) -> bool:
        """Whether this is the one writer."""
        return self._written is not None

    def begin(self) -> None:
        """Becomes the one writer, until `finish`. Raises InputError where another is at work, or it can't write."""
        try:
            self.spot.beside.mkdir(parents=True, exist_ok=True)
            lock = os.open(self.spot.beside / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise InputError(f"{self.spot.name}: expected an index that can be written ({error.strerror}).") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise InputError(f"{self.spot.name}: another process, or another Index, is writing to it.") from error
        self._unlock = weakref.finalize(self, os.close, lock)
        self._written = set() if self.spot.data is None else files(self.spot.data)

    def finish(self) -> None:
        """Lets others write."""
        if self.writing:
            self._written = None
            self._unlock()

    def append(self, rows) -> None:
        """Adds rows that `rows.placed` gave their places. They are on disk when it returns.

        Raises:
            InputError: they can't be written; a later `refresh` says whether they were.
        """
        with _named(self.spot.name, "the table cannot be written"):
            if self._appended % 16 == 0 and self._fragments() >= FRAGMENTS:
                self._table.optimize(cleanup_older_than=KEEP)
            self._appended += 1
            self._table.add(rows)
            self._commit()

    def _fragments(self) -> int:
        return self._table.stats()["fragment_stats"]["num_small_fragments"]

    def rewrite(self, description: Description, parts: Iterable) -> None:
        """Puts other rows in place of all, as one commit. Raises InputError: they can't be written, or as `parts`."""
        pa, schema = arrow(), description.schema()
        with (
            _named(self.spot.name, "the table cannot be written"),
            tempfile.TemporaryFile(dir=self.spot.beside) as file,
        ):
            # the parts come from this very table: they are all read before it changes
            with pa.ipc.new_file(file, schema) as writer:
                for part in parts:
                    writer.write_table(part)
            file.flush()
            stored = pa.ipc.open_file(file)
            batches = (stored.get_batch(number) for number in range(stored.num_record_batches))
            self._table.add(pa.RecordBatchReader.from_batches(schema, batches), mode="overwrite")
            self._commit()

    def tidy(self) -> None:
        """Merges small files, and removes versions older than an hour and what writers that were killed left."""
        with _named(self.spot.name, "the table cannot be tidied"):
            # no other writer can be in the middle of something while we hold the lock; of a bucket it's this machine's
            self._table.optimize(cleanup_older_than=KEEP, delete_unverified=self.spot.folder is not None)
            self._commit()

    def _commit(self) -> None:
        if self.spot.folder is not None:
            sync(self.spot.data, self._written)
        self._look()
        if self.spot.folder is not None:
            write_head(self.spot.folder, self.description, self.rows)
