"""Whole experiments on pairs from a user's own file: all four directions, the picture, trained models, refusals."""

import json
import shutil

import numpy as np
import pytest

from jhash import evaluate, experiment, report
from jhash.config import baseline as baseline_of
from jhash.config import experiment as describe
from jhash.data.load import complete
from jhash.data.pairs import load_pairs
from jhash.encoders import cnn_small
from jhash.types import InputError
from jhash.validation import Validation

ITEMS = 60
SMALL = {
    "dsmhn": {"bits": 8, "hidden": (0, 16), "backbones": ("cnn_small", ""), "augment": True, "dropout": 0.25}
    | {"batch": 16, "epochs": 2},
    "cmgcah": {"bits": 8, "features": 16, "text_hidden": 16, "generator_hidden": 16, "critic_hidden": 8}
    | {"batch": 16, "iterations": 2, "position": 0.0},
}
DIRECTIONS = [(a, b) for a in ("image", "text") for b in ("image", "text")]


@pytest.fixture(scope="module", autouse=True)
def one_narrow_convolution():
    """Compiling all layers of the small network would take most of the time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cnn_small, "WIDTHS", {2: (4, 6), 3: (4, 6)})
        yield


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """48 pairs to train on and 12 that ask: pictures, the same as vectors, and text, of three classes."""
    random, path = np.random.default_rng(0), tmp_path_factory.mktemp("data") / "pairs.npz"
    labels = np.arange(ITEMS) % 3
    pictures = random.integers(0, 120, (ITEMS, 6, 6, 3)) + 60 * labels[:, None, None, None]
    text = random.normal(size=(3, 8))[labels] + 0.3 * random.normal(size=(ITEMS, 8))
    vectors = random.normal(size=(3, 10))[labels] + 0.3 * random.normal(size=(ITEMS, 10))
    arrays = {"image": pictures.astype(np.uint8), "vectors": vectors, "text": text.astype(np.float32)}
    np.savez(path, **arrays, labels=labels, fold=np.arange(ITEMS) // 12)
    return path


def asked(file, method, baselines=(), **data):
    config = describe(method, "pair_files", train=str(file), split_array="fold", query_values=(4,), **data)
    config.hyper.update(SMALL.get(method, {}))
    config.update({"modalities": ("image", "text"), "baselines": baselines})
    config.run.tensorboard, config.run.devices = False, 1
    return config


@pytest.fixture(scope="module")
def pixels(file, tmp_path_factory):
    """(workdir, rows) of DSMHN on pixels and text beside both baselines."""
    work = tmp_path_factory.mktemp("pixels") / "w"
    return work, experiment.run(asked(file, "dsmhn", ("cca_itq", "itq")), work)


@pytest.fixture(scope="module")
def vectors(file, tmp_path_factory):
    """The same of CMGCAH on vectors beside DCMH."""
    work = tmp_path_factory.mktemp("vectors") / "w"
    return work, experiment.run(of_vectors(file), work)


def of_vectors(file):
    return asked(file, "cmgcah", ("dcmh",), arrays=(("image", "vectors"),), normalise="standard")


def directions(rows, method):
    return [tuple(row[side].split()[0] for side in ("query", "database")) for row in rows if row["method"] == method]


RUNS = [("pixels", "dsmhn", "cca_itq"), ("vectors", "cmgcah", "dcmh")]


@pytest.mark.parametrize(("run", "method", "baseline"), RUNS)
def test_results_have_all_four_directions_and_a_number_in_each(run, method, baseline, request):
    work, rows = request.getfixturevalue(run)
    assert report.read_results(work / "results.json") == rows
    assert sorted(set(directions(rows, method))) == sorted(set(directions(rows, baseline))) == DIRECTIONS
    for row in rows:
        assert 0 <= row["value"] <= 1 and row["ci95"] is not None
        assert (row["query"].split()[1], row["database"].split()[1]) == ("test", "train")
        assert (row["query_items"], row["database_items"], row["bits"]) == (12, 48, 8)


def test_itq_is_scored_within_each_medium_alone(pixels):
    assert set(directions(pixels[1], "itq")) == {("image", "image"), ("text", "text")}


@pytest.mark.parametrize(("run", "method", "baseline"), RUNS)
def test_the_picture_shows_precision_and_recall_between_media(run, method, baseline, request):
    work, _ = request.getfixturevalue(run)
    assert (work / "precision_recall.svg").read_text().startswith("<svg")
    assert not (work / "map_at_k.svg").exists()
    curves = json.loads((work / "curves.json").read_text())
    found = {(c["method"], c["query"].split()[0], c["database"].split()[0]) for c in curves}
    assert found == {(m, a, b) for m in (method, baseline) for a, b in DIRECTIONS if a != b}


@pytest.mark.parametrize(
    ("run", "name", "method", "media"),
    [
        ("pixels", None, "dsmhn", {"image": "image", "text": "text"}),
        ("pixels", "cca_itq", "cca_itq", {"image": "image", "text": "text"}),
        ("pixels", "itq", "itq", {"image": "image", "text": "text"}),
        ("vectors", None, "cmgcah", {"image": "vectors", "text": "text"}),
        ("vectors", "dcmh", "dcmh", {"image": "vectors", "text": "text"}),
    ],
)
def test_a_restored_model_encodes_new_items_as_the_run_did(run, name, method, media, file, request):
    work, _ = request.getfixturevalue(run)
    model = evaluate.load_model(work, method=name)
    with np.load(file) as held:
        asks = held["fold"] == 4
        for medium, array in media.items():
            stored = np.load(work / "seed-0" / method / f"codes_{medium}_test.npy")
            assert stored.shape == (12, 8) and set(np.unique(stored)) <= {-1, 1}
            np.testing.assert_array_equal(model.encode(held[array][asks], medium), stored)


def test_a_baseline_that_is_the_method_with_parts_left_out_has_its_other_settings(vectors):
    method = evaluate.load_model(vectors[0], method="dcmh").method
    assert (method.ablation, method.features, method.iterations, method.batch) == ("a", 16, 2, 16)


def test_the_same_experiment_again_reads_its_results(pixels, file):
    assert experiment.run(asked(file, "dsmhn", ("cca_itq", "itq")), pixels[0]) == pixels[1]


# --- one sentence, and nothing written ----------------------------------------------------------------------------


def streams(*baselines):
    config = describe("she", "digits", largest=40)
    config.update({"modalities": ("image", "audio"), "baselines": baselines})
    return config


def of_pairs(method, baselines=(), **fields):
    def config(file):
        asked_for = asked(file, method, baselines)
        hyper = fields.pop("hyper", {})
        asked_for.update(fields)
        asked_for.hyper.update(hyper)
        return asked_for

    return config


def test_normalised_pixels_are_those_a_model_makes_of_new_ones_and_the_page_shows_the_stored(file, tmp_path):
    asked_for = asked(file, "dsmhn", pixels="centre_clip")
    experiment.run(asked_for, tmp_path / "w")
    dataset = load_pairs(complete(asked_for.data), 0, ("image", "text"))
    with np.load(file) as arrays:
        pictures, fold = arrays["image"], arrays["fold"]
    centred = pictures - pictures[fold < 4].mean(0)
    expected = centred / np.sqrt((centred**2).mean((1, 2, 3), keepdims=True))
    given = dataset.tables["image/test"].read(np.arange(12), ["features"])["features"]
    np.testing.assert_allclose(given, expected[fold == 4], rtol=2e-4, atol=2e-4)
    codes = np.load(tmp_path / "w" / "seed-0" / "dsmhn" / "codes_image_test.npy")
    assert (evaluate.load_model(tmp_path / "w").encode(pictures[fold == 4], "image") == codes).all()
    assert (tmp_path / "w" / "search.html").is_file()


def test_held_out_pairs_choose_the_state_by_both_directions(file, tmp_path):
    asked_for = asked(file, "cmgcah", arrays=(("image", "vectors"),), validation=0.25, normalise="standard")
    asked_for.select, asked_for.select_every = "validation", 4
    experiment.run(asked_for, tmp_path / "w")
    lines = [json.loads(line) for line in (tmp_path / "w" / "metrics.jsonl").read_text().splitlines()]
    seen = {line["step"]: line["validation"] for line in lines if "validation" in line}
    dataset = load_pairs(complete(asked_for.data), 0, ("image", "text"))
    sizes = {part: len(table) for part, table in dataset.tables.items()}
    model = evaluate.load_model(tmp_path / "w")
    kept = Validation(model.method, dataset)(model.past)
    assert (sizes["image/train"], sizes["image/validation"], sizes["pairs"], sizes["text/database"]) == (36, 12, 36, 48)
    assert len(seen) >= 2 and kept == pytest.approx(max(seen.values()))


def test_pairs_are_held_out_once_and_together(file):
    first, second = (
        load_pairs(complete(asked(file, "dsmhn", validation=0.25).data), 0, names)
        for names in (("image", "text"), ("vectors", "text"))
    )
    labels = {
        part: table.read(np.arange(len(table)), ["labels"])["labels"]
        for part, table in first.tables.items()
        if part != "pairs"
    }
    texts = [each.tables["text/validation"].read(np.arange(12), ["features"])["features"] for each in (first, second)]
    assert (labels["image/validation"] == labels["text/validation"]).all()
    assert (texts[0] == texts[1]).all()


REFUSED = {
    "itq across media": (lambda file: streams("itq"), "codes that can be compared across media, found 'itq'"),
    "cca_itq without pairs": (lambda file: streams("cca_itq"), "found 'cca_itq', which learns from pairs"),
    "a method of video": (lambda file: describe("mcmsh", "fashion"), "a method of pairs for fashion, found 'mcmsh'"),
    "a method of streams": (lambda file: describe("she", "fashion"), "a method of pairs for fashion, found 'she'"),
    "three media": (of_pairs("dsmhn", modalities=("image", "text", "vectors")), "two different media, found"),
    "validation": (of_pairs("dsmhn", select="validation"), "config.data.validation: expected a share above 0"),
    "a kind of pixels": (lambda file: asked(file, "dsmhn", pixels="center"), "data.pixels: expected one of none"),
    "a large batch": (of_pairs("cmgcah", modalities=("vectors", "text"), hyper={"batch": 64}), "there are only 48"),
    "pixels without a backbone": (of_pairs("cmgcah"), r"image has items \[6, 6, 3\]; expected one of"),
    "a baseline that can't take the data": (
        of_pairs("dsmhn", ("dcmh",), modalities=("text", "image"), hyper={"backbones": ("", "cnn_small")}),
        r"config.baselines: dcmh can't be trained here: .* the second, image, to be vectors, found items \[6, 6, 3\]",
    ),
    "no seeds": (of_pairs("dsmhn", seeds=0), "config.seeds: expected at least 1, found 0"),
    "a kind of selection": (of_pairs("dsmhn", select="best"), "config.select: expected 'last' or 'validation'"),
    "a protocol": (of_pairs("dsmhn", presets=("map",)), "preset 'map': expected one of video, she, dcmh"),
    "a rule for ties": (of_pairs("dsmhn", ties="foo"), "protocol field 'ties': expected one of .*, found 'foo'"),
    "whom to compare with": (
        of_pairs("dsmhn", against=("dcnh",)),
        "config.against: expected among .*, found 'dcnh' .did",
    ),
    "weights of nothing": (of_pairs("dsmhn", hyper={"weights": ("no.npz", "")}), "no.npz: expected a backbone among"),
    "an unknown baseline": (of_pairs("dsmhn", ("itc",)), "found 'itc' .did you mean 'itq'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_before_anything_is_written(case, file, tmp_path):
    config, words = REFUSED[case]
    with pytest.raises(InputError, match=words) as caught:
        experiment.run(config(file), tmp_path / "w")
    assert "\n" not in str(caught.value) and not (tmp_path / "w").exists()


def test_a_folder_that_was_there_stays_when_its_experiment_is_refused(file, tmp_path):
    with pytest.raises(InputError, match="expected a backbone among"):
        experiment.run(of_pairs("dsmhn", hyper={"weights": ("no.npz", "")})(file), tmp_path)
    assert tmp_path.is_dir() and not list(tmp_path.iterdir())


def test_other_baselines_and_protocols_are_the_same_experiment(file, vectors, tmp_path):
    work = tmp_path / "w"
    shutil.copytree(vectors[0], work)
    config = of_vectors(file)
    config.update({"baselines": ("cca_itq",), "presets": ("trec", "dcmh")})
    rows = experiment.run(config, work)
    assert {(row["method"], row["preset"]) for row in rows} == {
        (method, preset) for method in ("cmgcah", "cca_itq") for preset in ("trec", "dcmh")
    }
    trained = [row["value"] for row in vectors[1] if row["method"] == "cmgcah"]
    assert [row["value"] for row in rows if (row["method"], row["preset"]) == ("cmgcah", "trec")] == trained


def test_dcmh_beside_dsmhn_sees_the_same_pictures_as_often(file):
    method = baseline_of("dcmh", asked(file, "dsmhn"))
    assert (method.backbone, method.batch, method.iterations, method.position) == ("cnn_small", 16, 2, 0.0)


def test_a_model_refuses_items_of_another_shape_and_media_it_has_not_seen(pixels):
    model = evaluate.load_model(pixels[0])
    with pytest.raises(InputError, match="modality: expected one of image, text, found 'video'"):
        model.encode(np.zeros((2, 8), np.float32), "video")
    with pytest.raises(InputError, match=r"items: expected uint8 \[items, 6, 6, 3\], found"):
        model.encode(np.zeros((2, 6, 5, 3), np.uint8), "image")
    with pytest.raises(InputError, match=r"items: expected \[items, 8\], found \[., 5\]"):
        model.encode(np.zeros((2, 5), np.float32), "text")


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (np.full((3, 8), [[0.0], [np.nan], [0.0]]), "items: expected finite numbers, found others in item 1"),
        (np.full((3, 8), 1e300), "items: expected finite numbers, found others in item 0"),
        ("red shoe", "items: expected a list of texts, found a single one, 'red shoe'"),
        (["red shoe"], "text: expected arrays of numbers, found texts, and the model has no words"),
        (None, "items: expected an array of numbers or a list of texts, found NoneType"),
        ([[1.0], [1.0, 2.0]], "items: expected one array, found list"),
    ],
    ids=str,
)
def test_a_model_refuses_what_are_no_items(items, words, pixels):
    with pytest.raises(InputError, match=words):
        evaluate.load_model(pixels[0]).encode(items, "text")


def test_no_items_have_no_codes(pixels):
    model = evaluate.load_model(pixels[0])
    assert model.encode([], "text").shape == (0, model.method.bits)


def test_what_is_asked_is_what_the_data_say(file):
    config = asked(file, "dsmhn")
    dataset = load_pairs(config.data, 0, config.modalities)
    assert [task.names for task in dataset.tasks] == [(f"{a} test", f"{b} train") for a, b in DIRECTIONS]
