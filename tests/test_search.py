"""The command that searches: what a query may be, what is found against brute force, what is printed and refused."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trained_runs

from jhash import search, trained
from jhash.index import Index

ROOT = Path(search.__file__).parent.parent


class Shop:
    """A trained run, and an index of its photographs and their names: years count up, kinds are those of the names."""

    def __init__(self, folder):
        self.work, self.shop = trained_runs.photographs(folder)
        self.index, self.run = folder / "shop.index", trained.open_run(self.work)
        self.names = [line.split(",")[1] for line in (self.shop / "items.csv").read_text().splitlines()[1:]]
        coded = self.work / "seed-0" / "cca_itq"
        self.codes = {
            medium: np.concatenate([np.load(coded / f"codes_{medium}_{part}.npy") for part in ("test", "train")])
            for medium in ("image", "text")
        }
        self.ids = [f"{medium}/{i}" for medium in ("image", "text") for i in range(len(self.names))]
        self.years = np.arange(2 * len(self.names)) % len(self.names) + 1980
        columns = {"year": "int", "name": "text"}
        with Index.create(self.index, bits=8, fingerprint=self.run.fingerprint, metadata=columns) as index:
            for part, (medium, codes) in enumerate(self.codes.items()):
                rows = slice(part * len(codes), (part + 1) * len(codes))
                index.add(codes, self.ids[rows], medium, {"year": self.years[rows], "name": self.names})

    def nearest(self, code, chosen=lambda row: True):
        """(distance, id) of the chosen rows, nearest first and equals in the order in which they were added."""
        every = np.concatenate(list(self.codes.values()))
        found = [(int((every[row] != code).sum()), row) for row in range(len(every)) if chosen(row)]
        return [(distance, self.ids[row]) for distance, row in sorted(found)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return Shop(tmp_path_factory.mktemp("shop"))


def asked(capsys, shop, *options, index=None):
    """The exit code, stdout and the lines of stderr."""
    code = search.main(["--index", str(index or shop.index), *map(str, options)])
    out, err = capsys.readouterr()
    return code, out, err.splitlines()


def answered(capsys, shop, *options):
    """Of each query, (distance, id) of the hits."""
    code, out, errors = asked(capsys, shop, *options, "--json")
    assert (code, errors) == (0, [])
    queries = json.loads(out)["queries"]
    return [[(hit["distance"], hit["id"]) for hit in query["hits"]] for query in queries]


def model_of(shop, modality):
    return "--checkpoint", shop.work, "--modality", modality


# --- what a query may be ------------------------------------------------------------------------------------------

FORMS = {
    "signs": lambda codes: codes,
    "float signs": lambda codes: codes.astype(np.float32),
    "bits": lambda codes: (codes > 0).astype(np.uint8),
    "bool": lambda codes: codes > 0,
    "packed": lambda codes: np.packbits(codes > 0, axis=1),
}


@pytest.mark.parametrize("form", FORMS)
def test_codes_of_any_form_find_their_nearest(form, shop, tmp_path, capsys):
    codes = shop.codes["text"][:5]
    np.save(tmp_path / "q.npy", FORMS[form](codes))
    found = answered(capsys, shop, "--query", tmp_path / "q.npy", "--k", 7)
    assert found == [shop.nearest(code)[:7] for code in codes]


def test_packed_codes_may_have_their_lowest_bit_first(shop, tmp_path, capsys):
    codes = shop.codes["text"][:5]
    np.save(tmp_path / "q.npy", np.packbits(codes > 0, axis=1, bitorder="little"))
    found = answered(capsys, shop, "--query", tmp_path / "q.npy", "--bit-order", "little", "--k", 3)
    assert found == [shop.nearest(code)[:3] for code in codes]


def test_words_find_pictures(shop, capsys):
    found = answered(capsys, shop, *model_of(shop, "text"), "--query", "red shoe", "--in", "image", "--k", 4)
    code = shop.codes["text"][shop.names.index("red shoe")]
    assert found == [shop.nearest(code, lambda row: row < 48)[:4]]


def test_words_are_words_where_a_folder_is_called_so(shop, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shoe").mkdir()
    assert len(answered(capsys, shop, *model_of(shop, "text"), "--query", "shoe", "--k", 2)[0]) == 2


def test_a_picture_finds_itself_and_words(shop, capsys):
    for options, chosen in (((), lambda row: True), (("--in", "text"), lambda row: row >= 48)):
        found = answered(capsys, shop, *model_of(shop, "image"), "--query", shop.shop / "p20.png", *options)
        assert found == [shop.nearest(shop.codes["image"][20], chosen)[:10]]
        assert options or (0, "image/20") in shop.nearest(shop.codes["image"][20])[:10]


def test_items_of_a_dataset_ask_and_are_called_by_their_names(shop, capsys):
    code, out, _ = asked(capsys, shop, *model_of(shop, "text"), "--query", "raw/test", "--rows", "2:4", "--json")
    queries = json.loads(out)["queries"]
    assert code == 0 and [query["query"] for query in queries] == ["text/test/2", "text/test/3"]
    for query, row in zip(queries, (2, 3), strict=True):
        assert [(hit["distance"], hit["id"]) for hit in query["hits"]] == shop.nearest(shop.codes["text"][row])[:10]


@pytest.mark.parametrize(("rows", "kept"), [("0:3", [0, 1, 2]), ("10:", [10, 11]), (":1", [0]), ("4", [4]), (":", 12)])
def test_rows_choose_queries(rows, kept, shop, tmp_path, capsys):
    np.save(tmp_path / "q.npy", shop.codes["image"][:12])
    _, out, _ = asked(capsys, shop, "--query", tmp_path / "q.npy", "--rows", rows, "--k", 2, "--json")
    queries = json.loads(out)["queries"]
    kept = list(range(12)) if kept == 12 else kept
    assert [query["query"] for query in queries] == [str(row) for row in kept]
    for query, row in zip(queries, kept, strict=True):
        assert [hit["id"] for hit in query["hits"]] == [one for _, one in shop.nearest(shop.codes["image"][row])[:2]]


# --- what is searched ---------------------------------------------------------------------------------------------


def test_a_radius_finds_all_within(shop, tmp_path, capsys):
    codes = shop.codes["image"][:6]
    np.save(tmp_path / "q.npy", codes)
    found = answered(capsys, shop, "--query", tmp_path / "q.npy", "--radius", 1)
    assert found == [[hit for hit in shop.nearest(code) if hit[0] <= 1] for code in codes]


def test_a_radius_without_anything_is_said(shop, tmp_path, capsys):
    np.save(tmp_path / "q.npy", -shop.codes["image"][:1])
    options = ("--query", tmp_path / "q.npy", "--radius", 0, "--where", "year < 1981", "--in", "image")
    assert answered(capsys, shop, *options) == [[]]
    assert asked(capsys, shop, *options)[1].splitlines()[1].split() == ["0", "-", "nothing", "-", "-"]


def test_where_chooses_items(shop, tmp_path, capsys):
    np.save(tmp_path / "q.npy", shop.codes["image"][:3])
    options = ("--where", "year > 2000 AND name LIKE '%hat'", "--in", "text", "--k", 5)
    found = answered(capsys, shop, "--query", tmp_path / "q.npy", *options)

    def chosen(row):
        return row >= 48 and shop.years[row] > 2000 and shop.names[row - 48].endswith("hat")

    assert found == [shop.nearest(code, chosen)[:5] for code in shop.codes["image"][:3]]


@pytest.mark.parametrize("kind", search.APPROXIMATE)
def test_an_approximate_search_gives_true_distances_in_order(kind, shop, tmp_path, capsys):
    codes = shop.codes["image"][:4]
    np.save(tmp_path / "q.npy", codes)
    for hits, code in zip(
        answered(capsys, shop, "--query", tmp_path / "q.npy", "--approximate", kind, "--k", 3), codes, strict=True
    ):
        assert 0 < len(hits) <= 3 and hits == sorted(hits, key=lambda hit: hit[0])
        assert set(hits) <= set(shop.nearest(code))


# --- what is printed ----------------------------------------------------------------------------------------------


def test_the_document_has_everything(shop, capsys):
    options = (*model_of(shop, "text"), "--query", "blue hat", "--in", "image", "--where", "year > 1990", "--k", 1)
    _, out, _ = asked(capsys, shop, *options, "--json")
    document = json.loads(out)
    (query,) = document.pop("queries")
    assert document == {
        **{"index": str(shop.index), "bits": 8, "k": 1, "modality": "image", "where": "year > 1990"},
        "approximate": None,
    }
    row = int(query["hits"][0]["id"].split("/")[1])
    assert query["query"] == "blue hat"
    assert query["hits"][0] == {
        **{"rank": 1, "id": f"image/{row}", "distance": query["hits"][0]["distance"], "modality": "image"},
        "metadata": {"year": 1980 + row, "name": shop.names[row]},
    }


def test_the_table_has_a_line_a_hit(shop, capsys):
    code, out, errors = asked(capsys, shop, *model_of(shop, "text"), "--query", "red shoe", "--in", "image", "--k", 3)
    lines = out.splitlines()
    assert (code, errors, len(lines)) == (0, [], 4)
    assert lines[0].split() == ["query", "rank", "id", "distance", "modality", "year", "name"]
    near = shop.nearest(shop.codes["text"][shop.names.index("red shoe")], lambda row: row < 48)
    for rank, (line, (distance, one)) in enumerate(zip(lines[1:], near, strict=False), 1):
        row = int(one.split("/")[1])
        name = shop.names[row].split()
        assert line.split() == ["red", "shoe", str(rank), one, str(distance), "image", str(1980 + row), *name]
    assert len({line.index("image ") for line in lines[1:]}) == 1


def test_a_cell_is_short_and_has_nothing_that_a_terminal_obeys():
    assert search._cell("a\x1b[31mb\n") == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER}"
    assert len(search._cell("a" * 500)) == search.WIDEST
    assert [search._cell(value) for value in (None, 0.1 + 0.2, 7, True)] == ["-", "0.3", "7", "True"]


def test_unknown_words_are_said_beside_the_answer(shop, capsys):
    options = (*model_of(shop, "text"), "--k", 2, "--json")
    _, out, errors = asked(capsys, shop, *options, "--query", "crimson shoe")
    assert errors == ["jhash: without crimson: not among the 7 words that the model knows"]
    _, plain, _ = asked(capsys, shop, *options, "--query", "shoe")
    assert json.loads(out)["queries"][0]["hits"] == json.loads(plain)["queries"][0]["hits"]


def test_the_command_runs_from_another_folder(shop, tmp_path):
    np.save(tmp_path / "q.npy", shop.codes["image"][:2])
    command = [sys.executable, "-m", "jhash.search", "--index", str(shop.index), "--query", "q.npy", "--json"]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=True
    )
    assert len(json.loads(done.stdout)["queries"]) == 2


# --- refused ------------------------------------------------------------------------------------------------------

WORDS = ("--modality", "text", "--query", "red shoe")
REFUSED = {
    "no index": (("--index", "nowhere", "--query", "q.npy"), "nowhere: expected the folder of an index, found none."),
    "no query": (("--query", "no.npy"), "no.npy: --query: expected a file, found none of that name."),
    "words without a model": (("--query", "red shoe"), "red shoe: --query: expected a file, found none of that name."),
    "no codes": (("--query", "floats.npy"), "floats.npy: --query: expected codes of -1 and +1, of 0 and 1, or packed"),
    "another length": (("--query", "long.npy"), "long.npy: --query: expected codes of 8 bits, found 16 columns"),
    "k and radius": (("--query", "q.npy", "--k", "3", "--radius", "2"), "--radius: expected either it or --k, found b"),
    "approximate radius": (("--query", "q.npy", "--approximate", "hash", "--radius", "2"), "expected --k, found --rad"),
    "k 0": (("--query", "q.npy", "--k", "0"), "--k: expected 1 or more, found 0."),
    "a negative radius": (("--query", "q.npy", "--radius", "-1"), "--radius: expected 0 or more, found -1."),
    "rows": (("--query", "q.npy", "--rows", "a:b"), "--rows: expected numbers as in 0:5, found 'a:b'."),
    "no rows": (("--query", "q.npy", "--rows", "5:9"), "--rows: expected some of 2 queries, found none of them."),
    "another modality": (("--query", "q.npy", "--in", "imag"), "modality: expected one of image, text, found 'imag'."),
    "where": (("--query", "q.npy", "--where", "yeer > 3"), "where 'yeer > 3'"),
    "modality of codes": (("--query", "q.npy", "--modality", "text"), "--modality: expected a --checkpoint that"),
    "no workdir": (("--checkpoint", "no", *WORDS), "no: expected the workdir of an experiment"),
    "words that nobody knows": (
        ("--checkpoint", "WORK", "--modality", "text", "--query", "sho"),
        "--query: expected a file, or words that the model knows, found 'sho' (did you mean 'shoe'?).",
    ),
    "a picture among texts": (
        ("--checkpoint", "WORK", "--modality", "text", "--query", "a.png"),
        "a.png: --query: exp",
    ),
    "a missing picture": (("--checkpoint", "WORK", "--modality", "image", "--query", "a.png"), "a.png: no such file."),
    "another model": (("--index", "other.index", "--checkpoint", "WORK", *WORDS), "other.index: expected the codes of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_one_sentence(case, shop, tmp_path, monkeypatch, capsys):
    options, sentence = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    np.save("q.npy", shop.codes["image"][:2])
    np.save("long.npy", np.ones((2, 16), np.int8))
    np.save("floats.npy", np.full((2, 8), 0.5))
    if "other.index" in options:
        Index.create("other.index", bits=8, fingerprint="f" * 64).close()
    code, out, errors = asked(capsys, shop, *(shop.work if option == "WORK" else option for option in options))
    assert (code, out, len(errors)) == (2, "", 1)
    assert errors[0].startswith("jhash: error: ") and sentence in errors[0]
