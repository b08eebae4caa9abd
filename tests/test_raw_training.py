"""A user's own photographs and words, from files on disk to a report: the configs of raw data as a stranger does."""

import csv
import json
import shutil
import zipfile

import numpy as np
import pytest
from PIL import Image
from test_configs import CONFIGS, config_of

from jhash import experiment, plan
from jhash.data import raw, samples
from jhash.data.load import complete
from jhash.data.pairs import load_pairs
from jhash.types import InputError

ITEMS, QUERIES = 96, 16
SHORT = {
    "dsmhn_raw": {"epochs": 1, "hidden": (0, 16)},
    "cmgcah_raw": {"iterations": 1, "features": 16, "text_hidden": 16, "generator_hidden": 16, "width": 8},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A folder of real photographs and a manifest of them, each item in one of two kinds."""
    folder = tmp_path_factory.mktemp("shop")
    source = samples.FOLDER / "fashion"
    with open(source / "items.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["subCategory"] in ("Topwear", "Shoes")][:ITEMS]
    with zipfile.ZipFile(source / "images.zip") as archive:
        for row in rows:
            (folder / row["image"]).write_bytes(archive.read(row["image"]))
    with open(folder / "items.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "name", "kind", "split"])
        for place, row in enumerate(rows):
            writer.writerow([row["image"], row["name"], row["subCategory"], "test" if place < QUERIES else "train"])
    return folder


def small(shop, name="dsmhn_raw", **data):
    """The shipped config on that folder, with small pictures and a short training."""
    config, _ = config_of(next(path for path in CONFIGS if path.stem == name))
    fields = {"manifest": str(shop / "items.csv"), "image_column": "file", "text_column": "name"}
    fields |= {"label_columns": ("kind",), "split_column": "split", "height": 16, "width": 16}
    config.data.update(fields | data)
    config.hyper.update({"bits": 8, "batch": 16} | SHORT[name])
    config.baselines = ()
    config.run.tensorboard = False
    config.run.devices = 1
    return config


def load(shop, **data):
    config = small(shop, **data)
    return load_pairs(complete(config.data), config.seed, config.modalities)


def truncated(shop, tmp_path):
    """The same folder, the photograph of the manifest's last line cut short."""
    for path in shop.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    last = (shop / "items.csv").read_text().split("\n")[-2].split(",")[0]
    (tmp_path / last).write_bytes((shop / last).read_bytes()[:700])
    return tmp_path, last


@pytest.mark.slow
@pytest.mark.parametrize("name", SHORT)
def test_photographs_and_words_are_trained_on_and_searched(name, shop, tmp_path, capsys):
    config = small(shop, name, cache=str(tmp_path / "cache"))
    rows = experiment.run(config, tmp_path / "work")
    asked = {(row["query"], row["database"]) for row in rows if row["method"] == config.method}
    assert asked == {(f"{one} test", f"{other} train") for one in ("image", "text") for other in ("image", "text")}
    assert config.method in capsys.readouterr().out
    assert json.loads((tmp_path / "work" / "results.json").read_text())
    assert (tmp_path / "work" / "seed-0" / config.method).is_dir()


def test_the_plan_speaks_of_pictures_and_words(shop, tmp_path):
    _, lines = plan._opened(small(shop, cache=str(tmp_path / "cache")))
    assert f"  image/train: [{ITEMS - QUERIES}, 16, 16, 3] uint8, 2 classes" in lines
    assert any(line.startswith(f"  text/test: [{QUERIES}, ") and "float32" in line for line in lines)


def test_pixels_stay_in_the_cache_on_disk(shop, tmp_path):
    opened = load(shop, cache=str(tmp_path / "cache"))
    features = opened.tables["image/train"].arrays["features"]
    assert isinstance(features, np.memmap) and features.dtype == np.uint8


def test_a_second_run_decodes_nothing(shop, tmp_path, monkeypatch):
    first = load(shop, cache=str(tmp_path / "cache"))
    monkeypatch.setattr(raw, "picture", lambda *_: pytest.fail("decoded again"))
    second = load(shop, cache=str(tmp_path / "cache"))
    for part, table in first.tables.items():
        rows, columns = np.arange(len(table)), list(table.columns)
        for column, values in table.read(rows, columns).items():
            np.testing.assert_array_equal(second.tables[part].read(rows, columns)[column], values)


def test_a_picture_and_its_words_are_one_row(shop):
    opened = load(shop, height=80, width=60)
    line = (shop / "items.csv").read_text().split("\n")[1 + QUERIES + 3].split(",")
    item = opened.tables["pairs"].read(np.array([3]), ["image:features", "text:features"])
    with Image.open(shop / line[0]) as picture:
        np.testing.assert_array_equal(item["image:features"][0], np.asarray(picture.convert("RGB").resize((60, 80), 2)))
    said = {opened.words[place] for place in np.flatnonzero(item["text:features"][0])}
    assert said and said <= set(line[1].lower().replace("-", " ").split())
    assert opened.shown["text/train"][3] == line[1]


def test_a_fold_does_not_open_what_is_tested(shop, tmp_path):
    shutil.copytree(shop, tmp_path, dirs_exist_ok=True)
    tested = (shop / "items.csv").read_text().split("\n")[1].split(",")[0]
    (tmp_path / tested).write_bytes(b"no picture")
    assert len(load(tmp_path, fold="1/4").tables["image/train"]) == (ITEMS - QUERIES) * 3 // 4
    with pytest.raises(InputError, match=f"line 2: {tested}: not a picture"):
        load(tmp_path)


def test_a_fold_needs_no_split_column(shop):
    opened = load(shop, split_column="", fold="1/4")
    assert {part: len(opened.tables[part]) for part in ("image/train", "image/test")} == {
        "image/train": ITEMS * 3 // 4,
        "image/test": ITEMS // 4,
    }


def test_a_photograph_cut_short_is_refused_by_name_and_line(shop, tmp_path):
    folder, last = truncated(shop, tmp_path)
    with pytest.raises(InputError, match=f"line {ITEMS + 1}: {last}: damaged"):
        load(folder)


def test_a_photograph_cut_short_is_skipped_with_its_words(shop, tmp_path, capsys):
    folder, last = truncated(shop, tmp_path)
    opened = load(folder, broken="skip")
    assert len(opened.tables["image/train"]) == len(opened.tables["text/train"]) == ITEMS - QUERIES - 1
    assert f"1 of {ITEMS} items are broken" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"image_column": ""}, "data.image_column: expected a column of the manifest, found none"),
        ({"text_column": ""}, "data.text_column: expected a column of the manifest, found none"),
        ({"label_columns": ()}, "data.label_columns: expected a column of the manifest, found none"),
        ({"split_column": ""}, "items.csv: expected items whose split is test, or data.fold, found neither"),
        ({"manifest": "nowhere.csv"}, "nowhere.csv: no such file"),
        ({"image_column": "pile"}, "expected the column 'pile' of data.image_column.*did you mean 'file'"),
    ],
)
def test_a_wrong_wish_is_one_sentence(shop, change, sentence):
    with pytest.raises(InputError, match=sentence):
        load(shop, **change)
