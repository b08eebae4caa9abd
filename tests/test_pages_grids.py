"""Searches on a page: ranks of hand-made codes, escaped words, nothing from outside, the same bytes each time."""

import base64
import dataclasses
import io

import numpy as np
import pytest
from page_reader import assert_stands_alone
from PIL import Image

from jhash import experiment
from jhash.config import experiment as describe
from jhash.data.dataset import Dataset, Task
from jhash.data.load import complete
from jhash.data.pairs import load_pairs
from jhash.data.source import ArrayTable, SideBySide
from jhash.pages import embedding, grids, searches, shown
from jhash.types import Past


def table(medium, features, labels):
    return ArrayTable(medium, {"features": features, "labels": labels})


@pytest.fixture
def pairs():
    """Ten pairs that are searched and three that ask; row r of the searched pictures is grey 20 r."""
    labels = np.eye(2, dtype=np.uint8)
    searched, asking = labels[np.arange(10) % 2], labels[[0, 1, 0]]
    grey = np.repeat(20 * np.arange(10, dtype=np.uint8), 8 * 6 * 3).reshape(10, 8, 6, 3)
    tables = {
        "image/train": table("image/train", grey, searched),
        "image/test": table("image/test", 255 - grey[:3], asking),
        "text/train": table("text/train", np.ones((10, 4), np.float32), searched),
        "text/test": table("text/test", np.ones((3, 4), np.float32), asking),
    }
    tables["pairs"] = SideBySide({"image": tables["image/train"], "text": tables["text/train"]}, "pairs")
    tasks = tuple(
        Task(f"{query}/test", (f"{other}/train",), (f"{query} test", f"{other} train"))
        for query in ("image", "text")
        for other in ("image", "text")
    )
    return Dataset(
        name="toys & <co>",
        tables=tables,
        tasks=tasks,
        modalities={},
        normalisation={"image": {"pixels": np.array([8, 6, 3])}, "text": {"shift": np.zeros(4)}},
        classes=("hat", "shoe"),
        shown={"text/train": [f"text {r}" for r in range(10)], "text/test": ["<b>&\"'", "red shoe", "hat"]},
    )


def bits(counts, width=12):
    """Codes [N, 12] with that many bits other than those of a code of -1 alone."""
    return np.where(np.arange(width)[None, :] < np.asarray(counts)[:, None], 1, -1).astype(np.int8)


@pytest.fixture
def codes():
    away = bits([5, 1, 3, 1, 9, 0, 12, 2, 7, 4])
    asking = bits([0, 0, 12])
    return {"image/train": away, "text/train": away[::-1], "image/test": asking, "text/test": asking}


def written(tmp_path, pairs, codes):
    searches.write(tmp_path / "search.html", pairs, pairs.tasks, codes, "toy, 12 bits, seed 0")
    return (tmp_path / "search.html").read_text(encoding="utf-8")


def test_the_nearest_come_first_and_equal_ones_by_their_row(codes):
    labels = np.eye(2, dtype=np.uint8)[np.arange(10) % 2]
    distances, rows, alike = grids.nearest(codes["image/test"], codes["image/train"], labels[[0, 1, 0]], labels, 8)
    np.testing.assert_array_equal(rows[0], [5, 1, 3, 7, 2, 9, 0, 8])
    np.testing.assert_array_equal(distances[0], [0, 1, 1, 2, 3, 4, 5, 7])
    np.testing.assert_array_equal(rows[2], [6, 4, 8, 0, 9, 2, 7, 1])
    np.testing.assert_array_equal(alike[0], rows[0] % 2 == 0)
    np.testing.assert_array_equal(alike[1], rows[0] % 2 == 1)


def test_one_common_class_of_several_is_enough():
    database = np.array([[1, 1, 0], [0, 0, 1], [0, 0, 0]], np.uint8)
    _, _, alike = grids.nearest(bits([0]), bits([0, 1, 2]), np.array([[0, 1, 0]], np.uint8), database, 8)
    np.testing.assert_array_equal(alike, [[True, False, False]])


@pytest.mark.parametrize(("size", "number", "rows"), [(641, 3, [0, 320, 640]), (2, 8, [0, 1]), (1, 8, [0])])
def test_queries_are_spread_evenly(size, number, rows):
    np.testing.assert_array_equal(embedding.evenly(size, number), rows)


def found(pairs, task, codes, asking=(0, 1, 2), k=8):
    return grids.searches(pairs, pairs.tasks[task], codes, np.array(asking), k)


def greys(search):
    """The pictures that a search found, by their grey."""
    return [decoded(item.look.split('src="')[1].split('"')[0]).getpixel((0, 0))[0] // 20 for item in search.found]


def test_a_search_shows_its_query_and_what_was_found(pairs, codes):
    words, pictures = found(pairs, 2, codes), found(pairs, 1, codes)  # text → image, image → text
    assert "&lt;b&gt;&amp;" in words[0].query.look and words[0].query.classes == "hat"
    assert greys(words[0]) == [5, 1, 3, 7, 2, 9, 0, 8]
    assert [item.look for item in pictures[0].found][:3] == [shown.words(f"text {r}") for r in (4, 6, 8)]


def test_the_queries_themselves_are_left_out_where_they_are_searched(codes):
    labels = np.ones((10, 1), np.uint8)
    away = codes["image/train"]
    rows = grids.nearest(away, away, labels, labels, 8, own=np.arange(10))[1]
    assert rows.shape == (10, 8) and not (rows == np.arange(10)[:, None]).any()
    rows = grids.nearest(away, away, labels, labels, 20, own=np.arange(10))[1]
    assert rows.shape == (10, 9) and not (rows == np.arange(10)[:, None]).any()


def test_several_parts_are_searched_as_one(pairs, codes):
    both = Task("text/test", ("image/train", "image/test"), ("text test", "image train + test"))
    codes["image/test"] = bits([12, 12, 0])
    first = grids.searches(pairs, both, codes, np.array([0]), 3)[0]
    assert first.distances.tolist() == [0, 0, 1]
    assert greys(first) == [5, (255 - 40) // 20, 1]  # row 2 of the second part lies behind all of the first


def test_the_mean_is_over_all_queries_and_each_search_has_its_own(tmp_path, pairs, codes):
    # the text queries find 3, 5 and 5 of 8 alike pictures
    text = written(tmp_path, pairs, codes)
    part = text[text.index("<h2>text") : text.index("<h2>image")]
    assert "Mean precision@8 of all 3 queries: 0.54" in part and "rows 0, 1, 2" in part and "10 items" in part
    assert [part.count(f"precision@8: {share}") for share in ("0.375", "0.625")] == [1, 2]
    assert part.count('<figure class="item right">') == part.count("✓") == 13
    assert part.count('<figure class="item wrong">') == part.count("✗") == 11


def headings(pairs, tasks, codes):
    return [one.split("</h2>")[0].split("<h2>")[1] for one in searches.sections(pairs, tasks, codes)]


def test_each_direction_has_a_section(pairs, codes):
    assert headings(pairs, pairs.tasks, codes) == ["text → image", "image → text", "image → image"]


def test_a_direction_that_the_codes_cannot_do_is_not_shown(pairs, codes):
    within = [task for task in pairs.tasks if task.names == ("image test", "image train")]
    assert headings(pairs, within, codes) == ["image → image"]


def test_many_queries_are_cut_to_eight_and_four(pairs, codes):
    tables, rows = dict(pairs.tables), np.arange(30) % 3
    for part in ("image/test", "text/test"):
        tables[part] = ArrayTable(part, tables[part].read(rows, ["features", "labels"]))
        codes[part] = codes[part][rows]
    many = dataclasses.replace(pairs, tables=tables, shown={"text/test": [str(row) for row in range(30)]})
    sections = searches.sections(many, many.tasks, codes)
    assert [one.count('class="search"') for one in sections] == [8, 8, 4]
    assert "Shown: rows 0, 4, 8, 12, 17, 21, 25, 29." in sections[0]


def test_words_are_escaped(tmp_path, pairs, codes):
    text = written(tmp_path, pairs, codes)
    assert "<b>&" not in text and "<co>" not in text
    page = assert_stands_alone(text)
    assert "<b>&\"'" in page.words and "toys & <co>: toy, 12 bits, seed 0" in page.words


def test_nothing_comes_from_outside_and_nothing_runs(tmp_path, pairs, codes):
    page = assert_stands_alone(written(tmp_path, pairs, codes))
    assert len(page.addresses) == 3 + 3 * 8 + 3 + 3 * 8  # answers to texts, asking pictures, both among pictures
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.addresses)


def test_the_same_input_gives_the_same_bytes_and_no_other_file(tmp_path, pairs, codes):
    assert written(tmp_path, pairs, codes) == written(tmp_path, pairs, codes)
    assert [path.name for path in tmp_path.iterdir()] == ["search.html"]


def test_without_words_the_row_stands_for_them_and_the_page_says_so(tmp_path, pairs, codes):
    bare = dataclasses.replace(pairs, shown={})
    text = written(tmp_path, bare, codes)
    assert "nothing to show of text" in text and "nothing to show" not in written(tmp_path, pairs, codes)
    first = found(bare, 2, codes)[0].query
    assert "row 0" in first.look and first.classes == "hat"


def test_a_long_text_is_cut(tmp_path, pairs, codes):
    long = dataclasses.replace(pairs, shown=pairs.shown | {"text/test": ["x" * 5000] * 3})
    text = written(tmp_path, long, codes)
    assert "x" * 300 + "…" in text and "x" * 301 not in text


def decoded(address):
    return Image.open(io.BytesIO(base64.b64decode(address.split("base64,")[1])))


def test_a_clip_shows_its_middle_frame():
    clip = np.stack([np.full((8, 6, 3), 60 * t, np.uint8) for t in range(4)])
    assert np.abs(np.asarray(decoded(shown.jpeg(clip))).astype(int) - 120).max() <= 2


@pytest.mark.parametrize("shape", [(8, 6), (8, 6, 1), (8, 6, 2), (3, 8, 6, 1)])
def test_pixels_without_colours_are_grey(shape):
    image = decoded(shown.jpeg(np.full(shape, 90, np.uint8)))
    assert image.mode == "L" and image.size == (6, 8) and abs(image.getpixel((0, 0)) - 90) <= 2


def test_a_large_picture_is_made_smaller():
    assert decoded(shown.jpeg(np.zeros((600, 300, 3), np.uint8))).size == (64, 128)


def test_data_without_pairs_or_pixels_have_no_page(pairs):
    assert searches.has_pictures(pairs)
    without = {name: one for name, one in pairs.tables.items() if name != "pairs"}
    assert not searches.has_pictures(dataclasses.replace(pairs, tables=without))
    vectors = {"image": {"shift": np.zeros(4)}, "text": {"shift": np.zeros(4)}}
    assert not searches.has_pictures(dataclasses.replace(pairs, normalisation=vectors))


# the data's own words


def shop(folder):
    """Photographs and names of 20 items, the last four of them tested; each is grey, ten times its number."""
    lines = ["file,name,kind,part"]
    for i in range(20):
        pixels = np.full((40, 40, 3), 10 * i, np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        kind, part = ("shoe", "hat")[i % 2], "train" if i < 16 else "test"
        lines.append(f"{i}.png,item {i} <{kind}>,{kind},{part}")
    (folder / "items.csv").write_text("\n".join(lines) + "\n")
    columns = {"image_column": "file", "text_column": "name", "label_columns": ("kind",), "split_column": "part"}
    return {"manifest": str(folder / "items.csv"), "height": 32, "width": 32, **columns}


def numbers(dataset, part):
    """The items of a part by their pictures and by their words."""
    pixels = dataset.tables[f"image/{part}"].read(np.arange(len(dataset.tables[f"image/{part}"])), ["features"])
    named = [int(text.split()[1]) for text in dataset.shown[f"text/{part}"]]
    return (pixels["features"][:, 0, 0, 0] // 10).tolist(), named


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({}, {"train": 16, "test": 4}),
        ({"largest": 6}, {"database": 16, "test": 4}),
        ({"fold": "1/4"}, {"train": 12, "test": 4}),
        ({"fold": "2/4", "largest": 5}, {"train": 5, "test": 4}),
    ],
)
def test_the_words_of_a_part_are_those_of_its_rows(tmp_path, fields, parts):
    config = complete({"name": "raw"} | shop(tmp_path) | fields)
    dataset = load_pairs(config, 0, ("image", "text"))
    assert set(dataset.shown) == {f"text/{part}" for part in parts}
    for part, size in parts.items():
        by_picture, by_words = numbers(dataset, part)
        assert by_picture == by_words and len(by_words) == size


def asked(tmp_path):
    (tmp_path / "shop").mkdir()
    config = describe("dsmhn", "raw", **shop(tmp_path / "shop"))
    config.hyper.update({"bits": 8, "backbones": ("cnn_small", ""), "hidden": (0, 8), "batch": 8, "epochs": 1})
    config.modalities, config.baselines, config.run.tensorboard = ("image", "text"), ("itq",), False
    return config


def assert_whole(path):
    text = path.read_text(encoding="utf-8")
    assert "<h1>raw: dsmhn, 8 bits, seed 0</h1>" in text
    assert "item 16 &lt;shoe&gt;" in text and text.count('<div class="search">') == 4 + 4 + 4
    assert len(text) < 200_000


def test_the_page_is_of_the_experiments_own_method_and_first_seed(tmp_path, monkeypatch):
    config, generator = asked(tmp_path), np.random.default_rng(0)
    config.seeds = 2

    def trained(config, method, name, seed, dataset, workdir, *_):
        (workdir / f"seed-{seed}" / name).mkdir(parents=True)
        return {"streams": Past({}, {}, {})}

    def drawn(method, past, table, modality):
        return generator.choice(np.array([-1, 1], np.int8), (len(table), 8))

    monkeypatch.setattr(experiment, "_trained", trained)
    monkeypatch.setattr(experiment, "encode", drawn)
    experiment.run(config, tmp_path / "work")
    assert_whole(tmp_path / "work" / "search.html")
    text = (tmp_path / "work" / "report.html").read_text(encoding="utf-8")
    assert_stands_alone(text)
    assert "dsmhn on raw" in text and "won, tied, lost: against itq" in text and "0 to 1" in text


@pytest.mark.slow
def test_a_trained_experiment_on_photographs_and_texts_leaves_a_page(tmp_path):
    experiment.run(asked(tmp_path), tmp_path / "work")
    assert_whole(tmp_path / "work" / "search.html")
