"""A collection of codes: what is added is found, exactly, after opening again too; and nothing damaged is served."""

import json
import random
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lancedb", reason="an index needs LanceDB")

from jhash.index import Index
from jhash.index import fast as index_fast
from jhash.index import rows as index_rows
from jhash.index import search as index_search
from jhash.index import table as index_table
from jhash.index.command import main
from jhash.types import InputError

BITS, ITEMS = 60, 500
KINDS = {"year": "int", "title": "text", "share": "float", "sold": "bool"}
PLACES = ("memory", "files")


def codes_of(items: int, seed: int = 0, bits: int = BITS) -> np.ndarray:
    return np.random.default_rng(seed).choice(np.array([-1, 1], np.int8), (items, bits))


def metadata_of(items: int) -> dict[str, list]:
    return {
        "year": [1990 + row % 30 for row in range(items)],
        "title": [None if row % 5 == 0 else f"{'red' if row % 2 else 'blue'} dress é{row}" for row in range(items)],
        "share": [row / 8 for row in range(items)],
        "sold": [row % 3 == 0 for row in range(items)],
    }


@pytest.fixture(params=PLACES)
def tail(request, monkeypatch):
    """A small index is all in memory; with a short tail most of it is in files."""
    monkeypatch.setattr(index_fast, "TAIL", 20_000 if request.param == "memory" else 50)
    return request.param


@pytest.fixture
def filled(tmp_path, tail):
    """An index of 500 items in three adds, the last one short, with replaced and deleted ones."""
    index = Index.create(tmp_path / "index", bits=BITS, metadata=KINDS, fingerprint="abc")
    codes, metadata = codes_of(ITEMS), metadata_of(ITEMS)
    for rows in (slice(0, 300), slice(300, 470), slice(470, ITEMS)):
        part = {name: values[rows] for name, values in metadata.items()}
        media = ["image" if row % 2 else "text" for row in range(*rows.indices(ITEMS))]
        index.add(codes[rows], [f"item/{row}" for row in range(*rows.indices(ITEMS))], media, part)
    index.add(codes[:5], ["item/10", "item/20", "item/480", "new/0", "new/1"], "video")
    index.delete(["item/30", "item/490", "nobody"])
    return index


def contents() -> list[tuple]:
    """(id, code, modality, year, title) of the items of `filled`, in the order of addition."""
    codes, metadata = codes_of(ITEMS), metadata_of(ITEMS)
    gone = {10, 20, 480, 30, 490}
    items = [
        (f"item/{row}", codes[row], "image" if row % 2 else "text", metadata["year"][row], metadata["title"][row])
        for row in range(ITEMS)
        if row not in gone
    ]
    names = ("item/10", "item/20", "item/480", "new/0", "new/1")
    return items + [(name, code, "video", None, None) for name, code in zip(names, codes[:5], strict=True)]


def brute(items: list[tuple], queries: np.ndarray, k: int) -> list[list[tuple[str, int]]]:
    codes = np.stack([item[1] for item in items])
    distances = (queries[:, None, :] != codes[None, :, :]).sum(axis=2)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return [[(items[row][0], int(far[row])) for row in rows] for far, rows in zip(distances, order, strict=True)]


def pairs(found) -> list[list[tuple[str, int]]]:
    return [
        list(zip(ids.tolist(), far.tolist(), strict=True)) for ids, far in zip(found.ids, found.distances, strict=True)
    ]


# ---- searching


def test_a_search_finds_the_nearest_in_order_of_distance_and_addition(filled):
    queries = codes_of(7, seed=1)
    assert pairs(filled.search(queries, 20)) == brute(contents(), queries, 20)


def test_a_search_for_more_than_there_are_gives_all(filled):
    found = filled.search(codes_of(1, seed=1), 10_000)
    assert sorted(found.ids[0]) == sorted(item[0] for item in contents())


def test_within_finds_all_at_most_so_far_away(filled):
    queries = codes_of(5, seed=2)
    expected = [[hit for hit in hits if hit[1] <= 24] for hits in brute(contents(), queries, ITEMS)]
    assert any(expected) and pairs(filled.within(queries, 24)) == expected


def test_within_a_radius_of_nothing_finds_nothing(filled):
    found = filled.within(-np.ones((2, BITS), np.int8), 0)
    assert [len(ids) for ids in found.ids] == [0, 0]


@pytest.mark.parametrize(
    "modality, where, keeps",
    [
        ("image", None, lambda item: item[2] == "image"),
        (["text", "video"], None, lambda item: item[2] in ("text", "video")),
        (None, "year >= 2010", lambda item: item[3] is not None and item[3] >= 2010),
        ("image", "title LIKE '%red%' AND year < 2000", lambda item: item[4] and "red" in item[4] and item[3] < 2000),
        (None, "id LIKE 'new/%'", lambda item: item[0].startswith("new/")),
        (None, "year IS NULL", lambda item: item[3] is None),
        (None, "year < 0", lambda item: False),
    ],
)
def test_filters_are_those_of_brute_force(filled, modality, where, keeps):
    queries = codes_of(3, seed=3)
    kept = [item for item in contents() if keeps(item) and (modality is None or item[2] in modality)]
    expected = brute(kept, queries, 8) if kept else [[], [], []]
    assert pairs(filled.search(queries, 8, modality=modality, where=where)) == expected


def test_a_hit_brings_its_modality_and_metadata(filled):
    found = filled.search(codes_of(ITEMS)[123:124], 1, metadata=["title", "share", "sold", "year"])
    assert found.ids[0].tolist() == ["item/123"] and found.modality[0].tolist() == ["image"]
    assert found.metadata == [{"title": ["red dress é123"], "share": [123 / 8], "sold": [True], "year": [1993]}]


def test_one_filter_after_another_gives_each_its_own(filled):
    query = codes_of(1, seed=3)
    first = pairs(filled.search(query, ITEMS, where="year < 2000"))
    assert len(first[0]) < len(filled.search(query, ITEMS).ids[0]) and first != pairs(filled.search(query, ITEMS))
    filled.delete([first[0][0][0]])
    assert pairs(filled.search(query, ITEMS, where="year < 2000")) == [first[0][1:]]


def test_an_empty_index_finds_nothing(tmp_path):
    index = Index.create(tmp_path / "index", bits=8)
    found = index.search(codes_of(2, bits=8), 3)
    assert [len(ids) for ids in found.ids] == [0, 0] and index.within(codes_of(1, bits=8), 8).ids[0].size == 0


def test_codes_longer_than_255_bits_are_told_apart(tmp_path):
    index = Index.create(tmp_path / "index", bits=300)
    codes = codes_of(20, bits=300)
    index.add(codes, [str(row) for row in range(20)], "image")
    assert pairs(index.search(-codes[:1], 20))[0][-1] == ("0", 300)


@pytest.mark.parametrize("kind", ["hash", "hnsw", "ivf"])
def test_approximate_hits_have_right_distances_and_pass_the_filter(filled, kind):
    pytest.importorskip("faiss", reason="approximate search needs FAISS")
    queries = codes_of(ITEMS)[100:110]
    exact = dict(pair for hits in brute(contents(), queries[:1], ITEMS) for pair in hits)
    found = filled.search(queries, 5, approximate=kind, where="year < 2005")
    years = {item[0]: item[3] for item in contents()}
    assert all(years[name] is not None and years[name] < 2005 for ids in found.ids for name in ids)
    assert pairs(found)[0] == [(name, exact[name]) for name, _ in pairs(found)[0]]
    assert [len(ids) for ids in found.ids] == [5] * 10
    assert found.ids[0][0] == "item/100"


@pytest.mark.parametrize("kind", ["hash", "hnsw", "ivf"])
def test_approximate_search_finds_what_was_added_after_its_structure_was_built(tmp_path, monkeypatch, kind):
    pytest.importorskip("faiss", reason="approximate search needs FAISS")
    monkeypatch.setattr(index_fast, "TAIL", 50)
    index, codes = Index.create(tmp_path / "index", bits=BITS), codes_of(300)
    index.add(codes[:290], [str(row) for row in range(290)], "image")
    index.search(codes[:1], 1, approximate=kind)
    index.add(codes[290:], [str(row) for row in range(290, 300)], "image")
    index.delete(["5"])
    assert index.search(codes[295:296], 1, approximate=kind).ids[0].tolist() == ["295"]
    assert "5" not in index.search(codes[5:6], 50, approximate=kind).ids[0]


def test_what_faiss_finds_too_little_of_is_searched_exactly(filled, monkeypatch):
    def blind(built, queries, count):
        return np.zeros((len(queries), count), np.int64), np.full((len(queries), count), -1)

    pytest.importorskip("faiss", reason="approximate search needs FAISS")
    monkeypatch.setattr(index_search, "candidates", blind)
    queries = codes_of(4, seed=5)
    assert pairs(filled.search(queries, 9, approximate="hnsw")) == brute(contents(), queries, 9)


# ---- changing


def test_an_upsert_says_what_it_added_and_replaced(filled):
    assert filled.add(codes_of(3), ["item/30", "item/31", "item/32"], "image") == (1, 2)


def test_an_upsert_takes_the_earlier_ones_place(filled):
    filled.add(codes_of(1), ["item/7"], "image")
    found = filled.search(codes_of(ITEMS)[7:8], ITEMS)
    assert found.ids[0].tolist().count("item/7") == 1 and found.ids[0][0] != "item/7"


def test_a_deleted_item_is_not_found_and_its_number_is_told(filled):
    assert filled.delete(["item/1", "item/2", "item/30"]) == 2
    assert not {"item/1", "item/2"} & set(filled.search(codes_of(1), ITEMS).ids[0])


def test_a_deleted_item_can_come_back(filled):
    filled.add(codes_of(ITEMS)[30:31], ["item/30"], "image")
    assert filled.search(codes_of(ITEMS)[30:31], 1).ids[0].tolist() == ["item/30"]


def test_a_search_after_opening_equals_the_search_before(filled, tmp_path):
    queries = codes_of(6, seed=4)
    before = pairs(filled.search(queries, 30))
    assert pairs(Index.open(tmp_path / "index").search(queries, 30)) == before


def test_compacting_changes_no_search_and_removes_what_waits(filled, tmp_path):
    queries = codes_of(6, seed=4)
    before, waiting = pairs(filled.search(queries, 30, where="year > 0")), filled.stats().waiting
    assert waiting == 3 + 2 + 2 and filled.compact() == waiting and filled.stats().waiting == 0
    assert pairs(filled.search(queries, 30, where="year > 0")) == before
    assert pairs(Index.open(tmp_path / "index").search(queries, 30, where="year > 0")) == before


def test_a_compacted_index_grows_on(filled):
    filled.compact()
    filled.add(codes_of(1, seed=8), ["later"], "image")
    assert filled.search(codes_of(1, seed=8), 1).ids[0].tolist() == ["later"] and filled.verify() == 501


def test_small_files_are_merged_while_it_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(index_table, "FRAGMENTS", 4)
    index = Index.create(tmp_path / "index", bits=8)
    for row in range(40):
        index.add(codes_of(1, row, 8), [str(row)], "image")
    assert index._table._fragments() < 25
    assert index.search(codes_of(1, 7, 8), 40).ids[0].size == 40 and Index.open(tmp_path / "index").verify() == 40


def test_stats_count_what_is_there(filled):
    stats = filled.stats()
    assert (stats.items, stats.bits, stats.fingerprint, stats.metadata) == (500, BITS, "abc", KINDS)
    assert stats.modalities == {"text": 245, "image": 250, "video": 5} and stats.bytes > 10_000


def test_a_reader_sees_its_version_until_it_refreshes(filled, tmp_path):
    reader, query = Index.open(tmp_path / "index"), codes_of(1, seed=9)
    before = pairs(reader.search(query, 9, where="year > 1995"))
    filled.add(query, ["newest"], "image", {"year": [2001]})
    filled.compact()
    assert pairs(reader.search(query, 9, where="year > 1995")) == before
    reader.refresh()
    assert pairs(reader.search(query, 9, where="year > 1995"))[0][0] == ("newest", 0)


def test_another_writer_waits_for_the_first_to_close(filled, tmp_path):
    second = Index.open(tmp_path / "index")
    with pytest.raises(InputError, match="another Index, is writing"):
        second.delete(["item/1"])
    filled.close()
    assert second.delete(["item/1"]) == 1


def test_adding_a_few_to_many_reads_the_few(tmp_path, monkeypatch):
    monkeypatch.setattr(index_fast, "TAIL", 50)
    with Index.create(tmp_path / "index", bits=BITS) as index:
        index.add(codes_of(400), [str(row) for row in range(400)], "image")
        index.add(codes_of(10, 1), [f"new/{row}" for row in range(10)], "image")
    read = []
    original = index_table.Table.read
    monkeypatch.setattr(index_table.Table, "read", lambda self, first=0: read.append(first) or original(self, first))
    Index.open(tmp_path / "index").search(codes_of(1), 3)
    assert read == [399]


@pytest.mark.parametrize("written", [False, True])
def test_after_a_write_that_failed_the_index_knows_what_is_there(filled, monkeypatch, written):
    original = index_table.Table._commit

    def failing(table):
        if written:
            original(table)
        raise OSError("no space left")

    def append(table, rows):
        with index_table._named("index", "the table cannot be written"):
            table._table.add(rows) if written else None
            failing(table)

    with monkeypatch.context() as patch:
        patch.setattr(index_table.Table, "append", append)
        with pytest.raises(InputError, match="no space left"):
            filled.add(codes_of(1, seed=8), ["later"], "image")
    found = filled.search(codes_of(1, seed=8), 1).ids[0].tolist()
    assert (found == ["later"]) == written
    assert filled.add(codes_of(1, seed=8), ["later"], "image") == ((0, 1) if written else (1, 0))


# ---- elsewhere


def test_a_place_that_is_a_uri_keeps_its_fast_structures_in_the_cache(tmp_path, tail, monkeypatch):
    monkeypatch.setenv("JHASH_CACHE", str(tmp_path / "cache"))
    place = f"file://{tmp_path}/bucket"
    with Index.create(place, bits=BITS, metadata={"year": "int"}) as index:
        index.add(codes_of(100), [str(row) for row in range(100)], "image", {"year": range(100)})
        index.delete(["3"])
    again = Index.open(place)
    assert again.search(codes_of(100)[3:5], 1, where="year < 50").ids[1].tolist() == ["4"]
    assert sorted(path.name for path in (tmp_path / "bucket").iterdir()) == ["codes.lance"]
    assert bool(list((tmp_path / "cache").rglob("codes.npy"))) == (tail == "files")


def test_files_in_the_cache_of_another_index_at_the_same_uri_are_not_served(tmp_path, monkeypatch):
    monkeypatch.setattr(index_fast, "TAIL", 50)
    monkeypatch.setenv("JHASH_CACHE", str(tmp_path / "cache"))
    for seed in (0, 1):
        shutil.rmtree(tmp_path / "bucket", ignore_errors=True)
        with Index.create(f"file://{tmp_path}/bucket", bits=BITS) as index:
            index.add(codes_of(100, seed), [f"{seed}/{row}" for row in range(100)], "image")
            assert index.search(codes_of(100, seed)[:1], 1).ids[0].tolist() == [f"{seed}/0"]
        assert Index.open(f"file://{tmp_path}/bucket").search(codes_of(1), 1).ids[0][0].startswith(f"{seed}/")


def test_an_export_holds_no_pickle_and_searches_alike(filled, tmp_path):
    queries = codes_of(4, seed=6)
    filled.export(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["codes.npy", "index.json", "items.jsonl"]
    bits = np.unpackbits(np.load(tmp_path / "out/codes.npy", allow_pickle=False), axis=1, bitorder="little")[:, :BITS]
    assert (np.where(bits, 1, -1) == np.stack([item[1] for item in contents()])).all()
    other = Index.load_export(tmp_path / "again", tmp_path / "out")
    assert pairs(other.search(queries, 9, where="sold")) == pairs(filled.search(queries, 9, where="sold"))
    assert other.stats().fingerprint == "abc"


def test_an_export_that_was_changed_is_refused(filled, tmp_path):
    filled.export(tmp_path / "out")
    items = tmp_path / "out/items.jsonl"
    items.write_text(items.read_text().replace("item/3", "item/x", 1))
    with pytest.raises(InputError, match="items.jsonl: expected what was written"):
        Index.load_export(tmp_path / "again", tmp_path / "out")
    assert not (tmp_path / "again").exists()


# ---- what is wrong


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"codes": np.full((2, BITS), 0.5)}, "expected codes of -1 and \\+1, found float64 0.5 at row 0, column 0"),
        ({"codes": np.zeros((2, BITS), np.uint8)}, "expected codes of -1 and \\+1, found uint8 0"),
        ({"codes": codes_of(2, bits=64)}, "codes: expected codes \\[items, 60\\], found shape \\[2, 64\\]"),
        ({"ids": ["a"]}, "ids: expected one for each of 2 codes, found 1"),
        ({"ids": ["a", "a"]}, "ids: expected each once, found 'a' in rows 0 and 1"),
        ({"ids": ["a", ""]}, "ids: expected text, found '' in row 1"),
        ({"ids": ["a", 7]}, "ids: expected text, found 7 in row 1"),
        ({"ids": ["a", "\ud800"]}, "ids: expected text in UTF-8"),
        ({"modality": ["image"]}, "modality: expected one, or one for each of 2 codes, found 1"),
        ({"metadata": {"month": [1, 2]}}, "metadata: expected columns among year, title, share, sold, found 'month'"),
        ({"metadata": {"year": [1]}}, "metadata: year: expected 2 values, one a code, found 1"),
        ({"metadata": {"year": [1, "x"]}}, "metadata: year: expected int, found 'x' in row 1"),
        ({"metadata": {"year": [1, True]}}, "metadata: year: expected int, found True in row 1"),
        ({"metadata": {"share": [1, float("nan")]}}, "metadata: share: expected float, found nan in row 1"),
        ({"metadata": {"title": ["a", 5]}}, "metadata: title: expected text, found 5 in row 1"),
    ],
)
def test_wrong_items_are_refused_and_none_is_added(filled, change, sentence):
    given = {"codes": codes_of(2), "ids": ["a", "b"], "modality": "image", "metadata": None} | change
    with pytest.raises(InputError, match=sentence):
        filled.add(**given)
    assert filled.stats().items == 500


@pytest.mark.parametrize(
    "asked, sentence",
    [
        ({"queries": codes_of(1, bits=64)}, "queries: expected codes \\[items, 60\\], found shape \\[1, 64\\]"),
        ({"queries": np.full((1, BITS), 0.1)}, "queries: expected codes of -1 and \\+1"),
        ({"queries": codes_of(0)}, "queries: expected at least one, found none"),
        ({"k": 0}, "k: expected a number from 1 up, found 0"),
        ({"modality": "sound"}, "modality: expected one of text, image, video, found 'sound'"),
        ({"where": "years > 3"}, "where 'years > 3': .*No field named years"),
        ({"where": "year >"}, "where 'year >': .*"),
        ({"where": "year > 3; DROP TABLE x"}, "where .*DROP TABLE"),
        ({"where": "year / 0 > 1"}, "where .*Divide by zero"),
        ({"where": ""}, "where ''"),
        ({"approximate": "tree"}, "approximate: expected one of hash, hnsw, ivf, found 'tree'"),
        ({"metadata": ["month"]}, "metadata: expected columns among year, title, share, sold, found 'month'"),
    ],
)
def test_wrong_searches_get_a_sentence(filled, asked, sentence):
    given = {"queries": codes_of(1), "k": 3} | asked
    with pytest.raises(InputError, match=sentence) as caught:
        filled.search(given.pop("queries"), given.pop("k"), **given)
    assert "\n" not in str(caught.value) and ".rs:" not in str(caught.value)


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"bits": 0}, "bits: expected a number from 1"),
        ({"metadata": {"a b": "int"}}, "expected a column of letters, digits and _, found 'a b'"),
        ({"metadata": {"year": "date"}}, "year: expected one of int, float, text, bool, found 'date'"),
        ({"metadata": {"ID": "text"}}, "expected another name than id, modality, found 'ID'"),
    ],
)
def test_wrong_descriptions_are_refused_before_anything_is_made(tmp_path, given, sentence):
    with pytest.raises(InputError, match=sentence):
        Index.create(tmp_path / "index", **{"bits": 8} | given)
    assert not list(tmp_path.iterdir())


def test_another_models_codes_are_refused_with_both_names(filled, tmp_path):
    with pytest.raises(InputError, match="expected the codes of the model xyz, found those of abc"):
        Index.open(tmp_path / "index", fingerprint="xyz")


def test_a_place_with_something_in_it_is_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(InputError, match="expected a new or empty folder"):
        Index.create(tmp_path, bits=8)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_place_without_an_index_is_named(tmp_path):
    with pytest.raises(InputError, match="nowhere: expected the folder of an index, found none"):
        Index.open(tmp_path / "nowhere")


# ---- damage


def test_a_row_check_notices_any_changed_bit(tmp_path):
    description = index_rows.Description(16, "", {"year": "int", "title": "text"}, "x", 0)
    rows = index_rows.make(
        description, ["a", "b"], np.zeros((2, 2), np.uint8), ["x", "y"], {"year": [1, None], "title": ["é", ""]}
    )
    right = index_rows.placed(description, rows, 0)
    others = [
        right.set_column(
            right.schema.get_field_index(name),
            right.schema.field(name),
            index_rows.arrow().array(values, right.schema.field(name).type),
        )
        for name, values in [
            *(("id", [name, "b"]) for name in ("`", "aa", "", "A")),
            *(("year", [year, None]) for year in (0, 3, None)),
            *(("title", [title, ""]) for title in ("è", None, "é ")),
            *(("_code", [[1 << bit, 0], [0, 0]]) for bit in range(8)),
            ("_deleted", [True, False]),
            ("_place", [1, 1]),
            ("modality", ["y", "y"]),
        ]
    ]
    sound = right["_check"].to_numpy()
    for changed in others:
        assert (index_rows.row_checks(changed, description) != sound).tolist() == [True, False]
    assert (index_rows.row_checks(right, description._replace(fingerprint="other")) != sound).all()


def damaged(path: Path, chance: random.Random) -> str:
    """Flips a bit of a file, cuts it off, or empties it."""
    content = bytearray(path.read_bytes())
    kind = chance.choice(["flip"] * 6 + ["cut", "empty"])
    place = chance.randrange(max(1, len(content)))
    if kind == "flip" and content:
        content[place] ^= 1 << chance.randrange(8)
    path.write_bytes(content if kind == "flip" else content[: place if kind == "cut" else 0])
    return f"{kind} at {place} of {path.name}"


@pytest.mark.parametrize("trials", [60, pytest.param(1500, marks=pytest.mark.slow)])
def test_a_damaged_file_is_named_or_made_again_and_never_served(filled, tmp_path, trials):
    expected = answers(filled)
    filled.close()
    sound, chance, refused = tmp_path / "index", random.Random(0), 0
    files = sorted(path.relative_to(sound) for path in sound.rglob("*") if path.is_file() and path.name != ".lock")
    files = [file for file in files if "_transactions" not in file.parts]
    for _ in range(trials):
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        shutil.copytree(sound, tmp_path / "copy")
        what = damaged(tmp_path / "copy" / chance.choice(files), chance)
        try:
            found = answers(Index.open(tmp_path / "copy"))
        except InputError as error:
            assert str(tmp_path / "copy") in str(error) and "\n" not in str(error), what
            refused += 1
        else:
            assert found == expected, what
    assert refused > trials // 10


def answers(index: Index) -> tuple:
    """All that an index can say, and some of it by a filter."""
    found = index.search(codes_of(3, seed=7), ITEMS, metadata=list(KINDS))
    media = [names.tolist() for names in found.modality]
    return pairs(found), media, found.metadata, pairs(index.within(codes_of(3, seed=7), 30, where="year < 2005"))


@pytest.mark.parametrize("name", ["codes.npy", "ids.arrow", "live.npy", "modality.npy", "manifest.json"])
def test_damaged_fast_structures_are_made_again_and_named_by_verify(tmp_path, monkeypatch, name):
    monkeypatch.setattr(index_fast, "TAIL", 50)
    with Index.create(tmp_path / "index", bits=BITS) as index:
        index.add(codes_of(100), [str(row) for row in range(100)], "image")
        before = pairs(index.search(codes_of(2), 9))
        file = next((tmp_path / "index/fast").rglob(name))
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.unlink()  # the index has it mapped
        file.write_bytes(content)
        with pytest.raises(InputError, match=re.escape(str(file.parent))):
            index.verify()
    again = Index.open(tmp_path / "index")
    assert pairs(again.search(codes_of(2), 9)) == before and again.verify() == 100


def test_a_lost_file_of_the_latest_version_is_named(filled, tmp_path):
    filled.close()
    newest = min((tmp_path / "index/codes.lance/_versions").glob("*.manifest"))
    newest.unlink()
    with pytest.raises(InputError, match="files of the table are missing or damaged"):
        Index.open(tmp_path / "index")


# ---- the command


@pytest.fixture
def shop(tmp_path):
    """An index made and filled by commands."""
    np.save(tmp_path / "codes.npy", codes_of(4, bits=16))
    (tmp_path / "items.csv").write_text(
        "id,modality,year,title\na,image,1999,red\nb,text,,\nc,image,2005,\nd,text,7,x\n"
    )
    place = str(tmp_path / "shop")
    assert main(["create", place, "--bits", "16", "--metadata", "year:int", "--metadata", "title:text"]) == 0
    assert main(["add", place, "--codes", f"{tmp_path}/codes.npy", "--metadata", f"{tmp_path}/items.csv"]) == 0
    return place


def test_the_command_adds_what_files_say(shop):
    found = Index.open(shop).search(codes_of(4, bits=16)[:1], 1, metadata=["year", "title"])
    assert (found.ids[0][0], found.metadata[0]) == ("a", {"year": [1999], "title": ["red"]})


def test_the_command_tells_what_it_holds(shop, capsys):
    capsys.readouterr()
    assert main(["stats", shop, "--json"]) == 0
    held = json.loads(capsys.readouterr().out)
    assert (held["items"], held["modalities"]) == (4, {"image": 2, "text": 2})


def test_the_command_deletes_compacts_verifies_exports_and_imports(shop, tmp_path, capsys):
    (tmp_path / "old.txt").write_text("b\nnobody\n")
    assert main(["delete", shop, "--ids", f"{tmp_path}/old.txt"]) == 0
    assert "1 of 2 items deleted" in capsys.readouterr().out
    assert main(["compact", shop]) == main(["verify", shop]) == 0
    assert main(["export", shop, f"{tmp_path}/out"]) == main(["import", f"{tmp_path}/again", f"{tmp_path}/out"]) == 0
    assert Index.open(tmp_path / "again").stats().items == 3


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        (["add", "{shop}", "--codes", "{tmp}/none.npy", "--modality", "x"], "expected a file, found none"),
        (["add", "{shop}", "--codes", "{tmp}/wide.npy", "--modality", "x"], "expected codes of 16 bits"),
        (["add", "{shop}", "--codes", "{tmp}/half.npy", "--modality", "x"], "expected codes of -1 and +1"),
        (["add", "{shop}", "--codes", "{tmp}/codes.npy", "--modality", "x"], "ids: expected --ids"),
        (["add", "{shop}", "--codes", "{tmp}/codes.npy", "--ids", "{tmp}/two.txt"], "modality: expected --modality"),
        (
            ["add", "{shop}", "--codes", "{tmp}/codes.npy", "--ids", "{tmp}/two.txt", "--modality", "x"],
            "two.txt: expected 4 ids, one a code, found 2",
        ),
        (
            ["add", "{shop}", "--codes", "{tmp}/codes.npy", "--metadata", "{tmp}/bad.csv"],
            "bad.csv, line 3: year: expected int, found 'soon'",
        ),
        (["stats", "{tmp}/nowhere"], "expected the folder of an index, found none"),
        (["create", "{shop}", "--bits", "8"], "expected a new or empty folder"),
        (["create", "{tmp}/more"], "--bits: expected the length of the codes"),
    ],
)
def test_the_command_ends_with_one_sentence_and_code_2(shop, tmp_path, capsys, arguments, sentence):
    np.save(tmp_path / "wide.npy", codes_of(4, bits=24))
    np.save(tmp_path / "half.npy", np.full((4, 16), 0.5))
    (tmp_path / "two.txt").write_text("a\nb\n")
    (tmp_path / "bad.csv").write_text("id,modality,year\na,x,1\nb,x,soon\nc,x,1\nd,x,1\n")
    assert main([one.format(shop=shop, tmp=tmp_path) for one in arguments]) == 2
    said = capsys.readouterr().err
    assert sentence in said and said.count("\n") == 1 and said.startswith("jhash: error: ")


def test_without_lancedb_the_sentence_says_what_to_install(tmp_path):
    code = (
        "import sys; sys.modules['pyarrow'] = None; from jhash.index.command import main; "
        f"sys.exit(main(['create', {str(tmp_path / 'index')!r}, '--bits', '8']))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 2 and "pip install jhash[index]" in out.stderr
