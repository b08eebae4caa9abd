"""A collection of binary codes on disk that grows, is searched, and forgets nothing: `Index`.

    index = Index.create("photos.index", bits=64, metadata={"year": "int"})
    index.add(codes, ids, "image", {"year": years})
    found = index.search(queries, 10, modality="image", where="year > 2010")

As a command: python -m jhash.index create|add|delete|compact|stats|verify|export PLACE ...
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jhash import hamming
from jhash.index import approximate as index_approximate
from jhash.index import fast as index_fast
from jhash.index import rows as index_rows
from jhash.index import search as index_search
from jhash.index.export import export, read_export
from jhash.index.found import Found, Stats, found, named, stats
from jhash.index.search import Choice
from jhash.index.table import Table
from jhash.types import InputError


class Added(NamedTuple):
    """How many items an `add` brought."""

    added: int
    replaced: int  # whose ids were there before


class Index:
    """Codes with ids, modalities and metadata; `create` or `open` gives one.

    A reader sees the version that was the latest when it was opened or last refreshed, whatever is written meanwhile.
    An hour after that version was replaced its files may go: `where` and metadata then need a `refresh`. One process
    writes at a time: the first change makes an Index the writer, until `close` or the end of a with block. What `add`
    and `delete` did is on disk when they return. In a bucket the lock holds for one machine alone: a second machine
    that writes at the same time is noticed, but the index is then damaged.
    """

    def __init__(self, table: Table):
        self._table = table
        self._held = index_fast.held(table)
        self._behind = False  # whether the table may have gone on, as after a write that failed
        self._choice: tuple = (None, None)  # the last choice of rows, behind what it was made of
        self._built: tuple = (None, None)  # the last structure of FAISS's, behind what it was made of

    # ---- opening

    @classmethod
    def create(
        cls, place: str | Path, *, bits: int, fingerprint: str = "", metadata: Mapping[str, str] | None = None
    ) -> "Index":
        """An empty index.

        Args:
            place: a folder, or a URI such as s3://bucket/name, whose credentials are in the environment.
            bits: K, the length of its codes.
            fingerprint: of the model that makes them (`jhash.trained.fingerprint`); '' where it isn't known.
            metadata: column -> 'int', 'float', 'text' or 'bool'.

        Raises:
            InputError: something is there already, or the place can't be written.
        """
        if isinstance(bits, bool) or not isinstance(bits, int) or not 1 <= bits <= 2**16:
            raise InputError(f"bits: expected a number from 1 to {2**16}, found {bits!r}.")
        return cls(Table.create(place, bits, fingerprint, index_rows.check_columns(metadata or {})))

    @classmethod
    def open(cls, place: str | Path, *, fingerprint: str | None = None) -> "Index":
        """An index as it is now.

        Args:
            place: as for `create`.
            fingerprint: of the model whose codes will be searched or added; None doesn't ask.

        Raises:
            InputError: no index is there, a damaged one, or one of another model's codes.
        """
        table = Table.open(place)
        held = table.description.fingerprint
        if fingerprint is not None and fingerprint != held:
            raise InputError(
                f"{place}: expected the codes of the model {fingerprint or 'without a fingerprint'}, found those of "
                f"{held or 'an unknown one'}."
            )
        return cls(table)

    @classmethod
    def load_export(cls, place: str | Path, folder: str | Path) -> "Index":
        """A new index of what `export` wrote, which finds the same. Raises InputError: a damaged export."""
        given = read_export(Path(folder))
        with cls.create(place, bits=given.bits, fingerprint=given.fingerprint, metadata=given.metadata) as index:
            index._append(given.ids, given.codes, given.modality, given.values)
            return index

    def refresh(self) -> None:
        """Goes on to the latest version. Raises InputError: a damaged index."""
        generation = self._table.description.generation
        self._table.refresh()
        same = self._table.description.generation == generation and self._table.rows >= len(self._held)
        self._held = index_fast.further(self._table, self._held) if same else index_fast.held(self._table)
        self._behind = False

    def close(self) -> None:
        """Lets another process write. The index can still be searched."""
        self._table.finish()

    def __enter__(self) -> "Index":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    # ---- changing

    def add(
        self,
        codes: np.ndarray,
        ids: Sequence[str],
        modality: str | Sequence[str],
        metadata: Mapping[str, Sequence] | None = None,
    ) -> Added:
        """Adds items; one whose id is there takes the earlier one's place, and comes last in the order of addition.

        All of them or none, and on disk when it returns.

        Args:
            codes: ±1 [n, K].
            ids: [n], each once.
            modality: of all items, or of each.
            metadata: column -> a value for each item, None where it has none; columns left out have none at all.

        Raises:
            InputError: any of them is wrong, another process writes, or the disk can't hold them.
        """
        bits, kinds = self._table.description.bits, self._table.description.metadata
        words = index_rows.packed(index_rows.check_signs("codes", codes, bits))
        names = index_rows.check_ids(ids)
        if len(names) != len(words):
            raise InputError(f"ids: expected one for each of {len(words)} codes, found {len(names)}.")
        media = index_rows.check_modality(modality, len(names))
        return self._append(names, words, media, index_rows.check_metadata(metadata, kinds, len(names)))

    def delete(self, ids: Sequence[str]) -> int:
        """Deletes the items of those ids that are there, on disk when it returns; how many there were."""
        names = index_rows.check_ids(ids)
        self._begin()
        rows = self._held.rows_of(names)
        if len(rows):
            there, media = named(self._held, rows)
            self._commit(index_rows.make(self._table.description, there, None, media, {}))
        return len(rows)

    def compact(self) -> int:
        """Rewrites the table without what waits to be removed, and removes old versions; how many rows went.

        Searches find the same before and after. Meanwhile the disk holds the table twice.
        """
        self._begin()
        before, description = len(self._held), self._table.description
        if not self._held.live.all():
            self._behind = True
            following = description._replace(generation=description.generation + 1)
            self._table.rewrite(following, self._renumbered(following))
            self._held, self._behind = index_fast.held(self._table), False
        self._table.tidy()
        return before - len(self._held)

    def _append(self, ids: list[str], words: np.ndarray, modality: list[str], metadata: Mapping[str, list]) -> Added:
        if not ids:
            return Added(0, 0)
        self._begin()
        before = int(self._held.live.sum())
        self._commit(index_rows.make(self._table.description, ids, words, modality, metadata))
        added = int(self._held.live.sum()) - before
        return Added(added, len(ids) - added)

    def _begin(self) -> None:
        if not self._table.writing:
            self._table.begin()
            self._behind = True
        if self._behind:
            self.refresh()

    def _commit(self, rows) -> None:
        rows = index_rows.placed(self._table.description, rows, len(self._held))
        self._behind = True
        self._table.append(rows)
        held = self._held.followed(rows)
        if self._table.rows != len(held):
            raise InputError(f"{self._table.spot.name}: another machine wrote to it at the same time.")
        self._held, self._behind = index_fast.settled(self._table, held), False

    def _live(self) -> Iterator:
        """Arrow tables of the live rows, in order, each row checked."""
        start = 0
        for rows in self._table.read():
            yield rows.filter(index_rows.arrow().array(self._held.live[start : start + rows.num_rows]))
            start += rows.num_rows

    def _renumbered(self, description: index_rows.Description) -> Iterator:
        first = 0
        for rows in self._live():
            yield index_rows.placed(description, rows, first)
            first += rows.num_rows

    # ---- searching

    def search(
        self,
        queries: np.ndarray,
        k: int,
        *,
        modality: str | Sequence[str] | None = None,
        where: str | None = None,
        approximate: str | None = None,
        metadata: Sequence[str] = (),
    ) -> Found:
        """The k nearest items of each query, or all that may be found where there are fewer.

        Args:
            queries: codes ±1 [Q, K].
            k: how many.
            modality: the items searched are of this one, or of one of these.
            where: they fulfil this SQL expression over the metadata, `id` and `modality`: "year >= 2010 AND title
                LIKE '%red%'". Nothing that a column lacks is true of it.
            approximate: None is exact. 'hash', 'hnsw' or 'ivf': by FAISS, which looks at some of the items alone and
                so may miss some of the nearest; distances are right, and so is every filter. Filters are applied to
                what FAISS found: it is asked for as many more as the filter takes away, so recall stays about what it
                is without. Where a filter leaves few, where FAISS finds fewer than k, and among items added lately,
                the search is exact.
            metadata: columns whose values are given with what is found.

        Raises:
            InputError: queries of another length or not ±1, an unknown modality, column or structure, a wrong
                expression, or a damaged table.
        """
        words = self._words(queries)
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise InputError(f"k: expected a number from 1 up, found {k!r}.")
        choice, bits = self._chosen(modality, where), self._table.description.bits
        built = None if approximate is None else self._structure(approximate)
        if built is None:
            hits = index_search.nearest(choice, words, bits, int(k))
        else:
            hits = index_search.approximate(choice, words, bits, int(k), built)
        return found(self._table, self._held, hits, metadata)

    def within(
        self,
        queries: np.ndarray,
        radius: int,
        *,
        modality: str | Sequence[str] | None = None,
        where: str | None = None,
        metadata: Sequence[str] = (),
    ) -> Found:
        """All items at most `radius` bits away from each query ±1 [Q, K]; the rest as in `search`."""
        words = self._words(queries)
        if isinstance(radius, bool) or not isinstance(radius, (int, np.integer)) or radius < 0:
            raise InputError(f"radius: expected a number from 0 up, found {radius!r}.")
        choice, bits = self._chosen(modality, where), self._table.description.bits
        hits = index_search.within(choice, words, bits, int(radius))
        return found(self._table, self._held, hits, metadata)

    def _words(self, queries: np.ndarray) -> np.ndarray:
        signs = index_rows.check_signs("queries", queries, self._table.description.bits)
        if not len(signs):
            raise InputError("queries: expected at least one, found none.")
        return hamming.lay_out(signs)

    def _chosen(self, modality: str | Sequence[str] | None, where: str | None) -> Choice:
        """The rows that may be found; the last choice is kept, for searches often come in rows."""
        if self._behind:
            self.refresh()
        held = self._held
        wanted = None if modality is None else ((modality,) if isinstance(modality, str) else tuple(modality))
        for name in wanted or ():
            if name not in held.names:
                raise InputError(f"modality: expected one of {', '.join(held.names) or 'none yet'}, found {name!r}.")
        before, choice = self._choice
        if before is None or before[0] is not held or before[1:] != (wanted, where):
            allowed = np.ones(len(held), bool)
            if wanted is not None:
                allowed &= np.isin(held.modality, [held.names.index(name) for name in wanted])
            if where is not None:
                fulfilling = np.zeros(len(held), bool)
                fulfilling[self._table.select(where)] = True
                allowed &= fulfilling
            choice = Choice(held, allowed)
            self._choice = (held, wanted, where), choice
        return choice

    def _structure(self, kind: str) -> Any:
        """FAISS's structure over the files, deleted rows too, so that later deletions leave it right; None without."""
        if kind not in index_approximate.KINDS:
            raise InputError(f"approximate: expected one of {', '.join(index_approximate.KINDS)}, found {kind!r}.")
        held = self._held
        if held.folder is None:
            return None
        if self._built[0] != (held.folder, kind):
            built = index_approximate.structure(held.folder, kind, held.base, self._table.description.bits)
            self._built = (held.folder, kind), built
        return self._built[1]

    # ---- the whole

    def stats(self) -> Stats:
        """What it holds."""
        return stats(self._table, self._held)

    def verify(self) -> int:
        """Reads every row and every file that a search needs; how many rows are right.

        Raises:
            InputError: naming what is damaged.
        """
        index_fast.check_files(self._table)
        fresh = index_fast.read_all(self._table)
        same = np.array_equal(fresh.live, self._held.live) and fresh.ids.equals(self._held.ids)
        if not same or not np.array_equal(fresh.tail, np.concatenate([self._held.base, self._held.tail], axis=1)):
            raise InputError(f"{self._table.spot.name}: expected the codes that the table holds, found others.")
        return len(fresh)

    def export(self, folder: str | Path) -> None:
        """Writes all items, in the order of addition, as plain files that any program reads; nothing is a pickle.

        codes.npy is uint8 [N, ceil(K / 8)], bit j of byte w being bit 8w + j (numpy's bit order 'little'); items.jsonl
        has id, modality and metadata of an item a line; index.json the rest, with both files' SHA-256.

        Raises:
            InputError: the folder has something in it, or can't be written.
        """
        export(Path(folder), self._table.description, self._live(), int(self._held.live.sum()))
