"""The page of a run: its numbers are those of results.json, each kind of data has its pictures, nothing is lost."""

import json
import time

import numpy as np
import pytest
from page_reader import assert_stands_alone
from page_runs import config_of, finished, pairs, streams, video

from jhash.data.source import ArrayTable
from jhash.pages import run as page

HEADINGS = ["What was run", "Results", "Curves", "How it learned", "What lies near what", "How the bits are used"]
HEADINGS += ["The nearest 5 items", "What it costs", "To paste"]


def journal(workdir, method="mcmsh", seeds=(0,)):
    points = [
        {"seed": seed, "method": method, "stage": "train", "step": step, "loss": 1 / step, "balance": 0.1}
        for seed in seeds
        for step in range(1, 1001)
    ]
    (workdir / "metrics.jsonl").write_text("\n".join(map(json.dumps, points)) + '\n{"torn')


def read(run):
    page.write(run)
    return (run.workdir / page.PAGE).read_text(encoding="utf-8")


def headings(text):
    return [part.split("</h2>")[0] for part in text.split("<h2>")[1:]]


@pytest.fixture
def full(tmp_path):
    run = finished(tmp_path, config_of("mcmsh", "nmnist"), video(), ("mcmsh", "itq", "cosine"), seeds=(0, 1))
    journal(tmp_path, seeds=(0, 1))
    costs = {"mcmsh": {"parameters": 1234567, "parameters_encode": 1200000, "flops": 2.5e9, "milliseconds": 0.25}}
    (tmp_path / "complexity.json").write_text(json.dumps(costs))
    return run


def test_a_whole_page_has_its_parts_in_their_order(full):
    text = read(full)
    page_read = assert_stands_alone(text)
    assert headings(text) == HEADINGS
    assert "mcmsh (paper)" in page_read.cells and "0 to 1" in page_read.cells
    assert {"1,234,567", "2,500,000,000", "0.25"} <= set(page_read.cells)
    assert "@inproceedings{hao2022mcmsh" in text and "gong2011itq" in text and r"\toprule" in text
    assert text.count('<div class="search">') == 8 and len(text) < 1_500_000


def test_the_numbers_are_those_of_results_json(full):
    cells = assert_stands_alone(read(full)).cells
    rows = json.loads((full.workdir / "results.json").read_text())
    for row in rows:
        values = [f"{value:.4f}" for value in (row["value"], *row["ci95"])]
        place = next(i for i in range(len(cells)) if cells[i : i + 3] == values)
        assert cells[place - 4] == str(row["seed"])
    means = [
        np.mean([r["value"] for r in rows if (r["method"], r["metric"], r["k"]) == ("itq", "map", k)]) for k in (5,)
    ]
    assert any(cell.startswith(f"{means[0]:.3f}".removeprefix("0")) for cell in cells)
    assert any(cell.endswith((" won", " tied", " lost")) for cell in cells)


def test_the_same_run_gives_the_same_bytes(full):
    assert read(full) == read(full)
    assert not [path.name for path in full.workdir.iterdir() if "partial" in path.name]


def test_settings_that_differ_are_named_with_their_default(full):
    full.config["hyper"]["dropout"] = 0.125
    cells = assert_stands_alone(read(full)).cells
    place = cells.index("hyper.dropout")
    assert cells[place + 1] == "0.125" and cells[place + 2] == "0.5"
    assert "hyper.width" not in cells


def test_a_line_of_learning_has_at_most_four_hundred_points(full):
    text = read(full)
    loss = text.split('aria-label="mcmsh, train: loss"')[1].split("</svg>")[0]
    lines = [part.split('points="')[1].split('"')[0] for part in loss.split("<polyline")[1:]]
    assert [len(line.split()) for line in lines] == [400, 400]


def test_queries_that_are_searched_themselves_do_not_find_themselves(tmp_path):
    dataset = video(self_in_database=True)
    text = read(finished(tmp_path, config_of("mcmsh", "nmnist"), dataset, ("mcmsh",)))
    assert_stands_alone(text)
    assert "<b>asks</b>" in text and '<b class="right">✓ 0</b>' not in text


def test_real_vectors_have_results_but_no_pictures_of_codes(tmp_path):
    text = read(finished(tmp_path, config_of("cosine", "nmnist"), video(), ("cosine",)))
    assert_stands_alone(text)
    assert headings(text) == ["What was run", "Results", "Curves", "To paste"]


def test_media_one_after_another_fill_squares(tmp_path):
    run = finished(tmp_path, config_of("she", "digits"), streams(), ("she",))
    text = read(run)
    page_read = assert_stands_alone(text)
    values = {(r["query"], r["database"]): r["value"] for r in run.rows if r["metric"] == "map" and r["k"] is None}
    for value in values.values():
        assert f"{value:.3f}".removeprefix("0") in page_read.words
    assert text.count("mAP (she, stable), test → train + test</title>") == 1
    assert "path of a pen" in text and "The same codes by medium" in text


def fact(text, name):
    cells = assert_stands_alone(text).cells
    return cells[cells.index(name) + 1]


def test_the_protocols_are_those_of_the_rows_and_items_are_counted_once(tmp_path):
    run = finished(tmp_path, config_of("she", "digits"), streams(("image", "text")), ("she",))
    assert run.config["presets"] == ["video", "trec"]
    text = read(run)
    assert fact(text, "protocols") == "she, trec (equal distances: stable)"
    assert fact(text, "items") == "image/train 20, image/test 10, text/train 20, text/test 10"


def test_training_items_whose_labels_are_others_are_counted_beside_the_right_ones(tmp_path):
    dataset = streams(("image", "text"))
    dataset.tables["image"] = ArrayTable("noisy", dataset.tables["image/train"].arrays)
    text = read(finished(tmp_path, config_of("she", "digits"), dataset, ("she",)))
    assert fact(text, "items") == "image/train 20, image/test 10, image 20, text/train 20, text/test 10"


@pytest.mark.parametrize(
    ("method", "hyper", "name", "expected"),
    [
        (
            "dsmhn",
            {"backbones": ["vgg16", ""], "weights": ["", ""]},
            "backbone",
            "image: vgg16, trained from scratch, no pretrained weights",
        ),
        (
            "dsmhn",
            {"backbones": ["vgg16", "cnn_small"], "weights": ["/data/vgg16.safetensors", ""]},
            "backbones",
            "image: vgg16, vgg16.safetensors; text: cnn_small, trained from scratch, no pretrained weights",
        ),
        (
            "cmgcah",
            {"backbone": "cnn_f", "weights": ""},
            "backbone",
            "image: cnn_f, trained from scratch, no pretrained weights",
        ),
        ("cmgcah", {"backbone": "cnn_f", "weights": "/data/vgg-f.mat"}, "backbone", "image: cnn_f, vgg-f.mat"),
    ],
)
def test_what_a_backbone_began_with_is_said(tmp_path, method, hyper, name, expected):
    run = finished(tmp_path, config_of(method, "pair_files"), pairs(), (method,))
    run.config["hyper"] |= hyper
    run.config["modalities"] = ["image", "text"]
    assert fact(read(run), name) == expected


@pytest.mark.parametrize(("method", "data", "dataset"), [("mcmsh", "nmnist", video), ("dsmhn", "pair_files", pairs)])
def test_without_a_backbone_none_is_named(tmp_path, method, data, dataset):
    text = read(finished(tmp_path, config_of(method, data), dataset(), (method,)))
    assert "backbone" not in assert_stands_alone(text).cells


def test_two_media_have_squares_too(tmp_path):
    text = read(finished(tmp_path, config_of("she", "digits"), streams(("image", "text")), ("she",)))
    assert text.count("mAP (she, stable), test → train + test</title>") == 1
    assert text.count("mAP (trec, stable), test → train</title>") == 1


def test_one_medium_alone_has_a_page_without_results(tmp_path):
    text = read(finished(tmp_path, config_of("she", "digits"), streams(("image",)), ("she",)))
    assert_stands_alone(text)
    assert headings(text) == ["What was run", "Results", "What lies near what", "How the bits are used", "To paste"]
    assert "No second medium yet" in text


def test_a_part_whose_codes_alone_are_known_is_not_searched(tmp_path):
    dataset = streams(("image", "stroke"))
    run = finished(tmp_path, config_of("she", "digits"), dataset, ("she",))
    for part in ("stroke/train", "stroke/test"):
        del dataset.tables[part]
    text = read(run)
    assert "Results" in headings(text) and "The nearest 5 items" not in headings(text)


def test_items_of_several_classes_and_hostile_names(tmp_path):
    text = read(finished(tmp_path, config_of("dsmhn", "pair_files"), pairs(), ("dsmhn", "cca_itq")))
    page_read = assert_stands_alone(text)
    assert "An item of several classes has the colour of its first." in text and "no class" in text
    assert "<script>alert(1)</script>" in page_read.words and "<i>town</i>" in text.replace("&lt;", "<").replace(
        "&gt;", ">"
    )


def test_a_damaged_complexity_is_left_out(full):
    (full.workdir / "complexity.json").write_text("[1, 2")
    assert "What it costs" not in headings(read(full))


@pytest.mark.slow
def test_a_page_of_45_600_items_takes_seconds(tmp_path):
    dataset = video("fcvid", width=4, classes=239, sizes=(45_600, 20), self_in_database=True)
    codes = finished(tmp_path, config_of("mcmsh", "nmnist"), video(sizes=(12, 30)), ("mcmsh",))
    np.save(
        tmp_path / "seed-0/mcmsh/codes_query.npy",
        np.random.default_rng(0).choice([-1, 1], (45_600, 64)).astype(np.int8),
    )
    np.save(tmp_path / "seed-0/mcmsh/codes_database.npy", np.load(tmp_path / "seed-0/mcmsh/codes_query.npy"))
    run = codes._replace(dataset=dataset, tasks={"mcmsh": dataset.tasks})
    begun = time.monotonic()
    text = read(run)
    assert time.monotonic() - begun < 60 and len(text) < 2_000_000
    assert "1,000 of 45,600 items" in text and "means over 1,000 of 45,600 queries" in text
