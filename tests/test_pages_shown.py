"""What a person sees of each dataset's items, with what models need taken back."""

import base64
import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from PIL import Image

from jhash.data import samples
from jhash.data.dataset import Dataset
from jhash.data.load import complete, load_dataset
from jhash.data.source import ArrayTable
from jhash.data.streams import Known, load_streams
from jhash.pages import shown

SVG = "{http://www.w3.org/2000/svg}"


def pixels(look):
    address = look.split('src="data:image/png;base64,')[1].split('"')[0]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address))).convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def digits():
    config = complete({"name": "digits", "normalise": "standard"})
    return load_streams(config, 0, ("image", "stroke", "text"), Known())


def test_handwriting_is_dark_on_light_as_it_was_stored(digits):
    look = shown.looks(digits, "image/test", np.array([3]))[0]
    stored = samples.load_npz(samples.FOLDER / "digits" / "image" / "test.npz", ["image"])["image"][3].astype(int)
    np.testing.assert_allclose(pixels(look)[..., 0], 255 - 255 * stored / stored.max(), atol=2)


def test_a_pens_path_is_the_one_that_was_written(digits):
    look = shown.looks(digits, "stroke/test", np.array([0]))[0]
    drawn = ElementTree.fromstring(look).find("path").get("d").lstrip("M").split("L")
    drawn = np.array([point.split() for point in drawn], float)
    stored = samples.load_npz(samples.FOLDER / "digits" / "stroke" / "test.npz", ["points"])["points"][0].astype(float)
    stored *= [1, -1]
    scale = np.ptp(stored, axis=0).max() / np.ptp(drawn, axis=0).max()
    np.testing.assert_allclose((drawn - drawn.mean(axis=0)) * scale, stored - stored.mean(axis=0), atol=1.0)


def test_words_are_those_of_the_rows(digits):
    stored = samples.load_npz(samples.FOLDER / "digits" / "text" / "test.npz", ["word"])["word"]
    assert shown.looks(digits, "text/test", np.array([7, 2])) == [shown.words(stored[row]) for row in (7, 2)]


def test_words_of_a_draw_are_not_guessed():
    few = load_streams(complete({"name": "digits", "largest": 50}), 0, ("text", "stroke"), Known())
    assert not len(shown.words_of(few, "text/train"))
    assert shown.looks(few, "text/train", np.array([3])) == ['<p class="words">row 3</p>']


@pytest.mark.parametrize("medium", ["sign", "audio", "event"])
def test_other_media_have_pictures(medium):
    dataset = load_streams(complete({"name": "digits", "largest": 20}), 0, (medium,), Known())
    look = shown.looks(dataset, f"{medium}/test", np.array([0]))[0]
    assert np.ptp(pixels(look)) > 100 and shown.has_look(dataset, f"{medium}/test")


def test_events_of_the_two_polarities_have_colours_of_their_own():
    frames = np.zeros((10, 2, 34, 34), np.float32)
    frames[:, 0, 5, 5], frames[:, 1, 20, 20] = 2.0, 2.0
    strip = pixels(shown.events(frames.reshape(10, -1)))
    assert strip.shape == (34, 4 * 34 + 3 * 2, 3)
    blue, orange, empty = strip[5, 5], strip[20, 20], strip[30, 30]
    assert blue[2] > blue[0] + 100 and orange[0] > orange[2] + 100 and empty.min() == 250


def test_a_clip_of_joints_is_four_figures_in_one_scale():
    dataset = load_dataset({"name": "jhmdb", "normalise": "clip_centre"}, 0)
    look = ElementTree.fromstring(shown.looks(dataset, "query", np.array([0]))[0])
    assert len(look.findall("path")) == 2 * shown.FRAMES and len(look.findall("circle")) == shown.FRAMES
    assert shown.classes_of(dataset, "query", np.array([0])) == ["clap"]
    heads = [float(one.get("cx")) for one in look.findall("circle")]
    assert np.diff(heads).min() > 0


def toy(labels, classes=(), name="files"):
    table = ArrayTable("toy", {"frames": np.zeros((len(labels), 2, 3), np.float32), "labels": labels})
    normalisation = {"video": {"shift": np.zeros(3), "scale": np.ones(3)}}
    return Dataset(name, {"query": table}, (), {}, normalisation, classes)


def test_items_without_a_picture_are_a_row_and_classes_by_number():
    dataset = toy(np.array([[1, 0], [1, 1], [0, 0]], np.uint8))
    assert shown.looks(dataset, "query", np.array([0, 2]))[1] == '<p class="words">row 2</p>'
    assert shown.classes_of(dataset, "query", np.arange(3)) == ["class 0", "class 0, class 1", "no class"]
    assert not shown.has_look(dataset, "query")


def test_an_empty_clip_is_drawn_all_the_same():
    assert "NaN" not in shown.sticks(np.zeros((1, 30))) and "nan" not in shown.sticks(np.zeros((1, 30)))
    assert pixels(shown.events(np.zeros((2, 2312)))).min() >= 120


def test_hostile_words_and_names_are_escaped():
    dataset = toy(np.eye(2, dtype=np.uint8), ("<b>", "&"))
    assert shown.words("<script>") == '<p class="words">&lt;script&gt;</p>'
    assert shown.class_names(dataset, 2) == ["<b>", "&"]
    assert "<b>" not in shown.image("data:", '<b>"')
