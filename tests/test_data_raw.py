"""Photographs, clips and texts from files that the tests write: decoding, manifests, caches, bad input; the sample."""

import collections
import csv
import io
import json
import os
import signal
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from jhash.data import decode, one_pass, raw, samples
from jhash.data.decode import Archive, Broken, Folder, Look, clip, picture
from jhash.data.one_pass import ahead, growing
from jhash.data.raw import open_raw
from jhash.features import frame_positions
from jhash.types import InputError

LOOK = Look(height=8, width=6, frames=3, fit="whole")


def noise(seed=0, height=8, width=6):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def encoded(array, kind="PNG", mode=None, **options):
    """A picture's bytes; `mode` is Pillow's."""
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    file = io.BytesIO()
    (image.convert(mode) if mode else image).save(file, kind, **options)
    return file.getvalue()


def smooth(height, width):
    """A picture that JPEG hardly changes."""
    down, right = np.linspace(0, 200, height)[:, None], np.linspace(0, 50, width)[None]
    return np.repeat((down + right)[:, :, None], 3, axis=2).astype(np.uint8)


# pictures


def test_a_picture_of_the_wanted_size_stays_as_it_is():
    np.testing.assert_array_equal(picture(encoded(noise()), LOOK), noise())


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "RGB"])
def test_every_kind_of_pixel_becomes_red_green_blue(mode):
    stored = Image.fromarray(noise()).convert(mode)
    np.testing.assert_array_equal(picture(encoded(stored), LOOK), np.asarray(stored.convert("RGB")))


def test_a_cmyk_photograph_keeps_its_colours():
    red = np.full((8, 6, 3), (200, 30, 40), np.uint8)
    decoded = picture(encoded(red, "JPEG", "CMYK", quality=95), LOOK)
    assert np.abs(decoded.astype(int) - red).max() < 12


def test_transparent_pixels_are_white():
    pixels = np.zeros((8, 6, 4), np.uint8)
    pixels[:4, :, 3] = 255
    decoded = picture(encoded(pixels), LOOK)
    assert (decoded[:4] == 0).all() and (decoded[4:] == 255).all()


def test_sixteen_bits_become_eight():
    deep = np.arange(48, dtype=np.uint16).reshape(8, 6) * 1300
    decoded = picture(encoded(Image.fromarray(deep)), LOOK)
    np.testing.assert_array_equal(decoded, np.repeat((deep >> 8).astype(np.uint8)[:, :, None], 3, axis=2))


def test_pixels_without_a_range_are_broken():
    with pytest.raises(Broken, match="mode 'F' have no known range"):
        picture(encoded(Image.fromarray(np.ones((8, 6), np.float32)), "TIFF"), LOOK)


def test_a_photograph_stands_upright_as_its_exif_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    upright = noise()
    np.testing.assert_array_equal(picture(encoded(np.rot90(upright), exif=exif), LOOK), upright)


def test_whole_scales_the_sides_and_crop_cuts_the_middle():
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 9:15] = 255  # the middle 6 columns
    assert (picture(encoded(wide), LOOK._replace(fit="crop")) == 255).all()
    whole = picture(encoded(wide), LOOK)
    assert (whole[:, [0, -1]] == 0).all() and (whole[:, 2:4] > 100).all()


def test_crop_takes_the_middle_of_a_high_picture():
    high = np.zeros((24, 6, 3), np.uint8)
    high[8:16] = 255
    assert (picture(encoded(high), LOOK._replace(fit="crop")) == 255).all()


def test_smaller_pixels_are_means_of_what_they_cover():
    stripes = np.zeros((80, 60, 3), np.uint8)
    stripes[::2] = 200
    assert np.abs(picture(encoded(stripes), LOOK).astype(int) - 100).max() <= 4


def test_a_large_photograph_is_decoded_smaller_and_looks_the_same(monkeypatch):
    full, resize = [], decode._resized
    monkeypatch.setattr(decode, "_resized", lambda image, look: full.append(image.size) or resize(image, look))
    large = smooth(800, 600)
    photograph, exact = (picture(encoded(large, kind), LOOK).astype(int) for kind in ("JPEG", "PNG"))
    assert full == [(75, 100), (600, 800)]
    assert np.abs(photograph - exact).max() <= 3


def test_a_photograph_cut_short_anywhere_is_broken():
    whole = encoded(noise(0, 80, 60), "JPEG")
    picture(whole, LOOK)
    for length in range(0, len(whole) - 2, 101):
        with pytest.raises(Broken):
            picture(whole[:length], LOOK)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP"])
def test_other_pictures_cut_short_are_broken(kind):
    whole = encoded(noise(0, 80, 60), kind)
    with pytest.raises(Broken):
        picture(whole[: len(whole) * 2 // 3], LOOK)


@pytest.mark.parametrize("data", [b"", b"no picture at all", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_what_is_no_picture_is_broken(data):
    with pytest.raises(Broken, match="not a picture"):
        picture(data, LOOK)


@pytest.mark.parametrize(
    "limit", [100, 60, 47]
)  # below the limit Pillow is silent, above it warns, from twice it fails
def test_too_many_pixels_are_broken(monkeypatch, limit):
    data = encoded(noise(0, 10, 9))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    if limit == 100:
        assert picture(data, LOOK).shape == (8, 6, 3)
        return
    with warnings.catch_warnings(), pytest.raises(Broken):
        warnings.simplefilter("ignore")
        picture(data, LOOK)


# folders and archives


def zipped(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_an_archive_reads_what_a_folder_reads(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.png").write_bytes(b"content")
    archive = Archive(zipped(tmp_path / "x.zip", {"a/b.png": b"content"}, zipfile.ZIP_DEFLATED))
    assert archive.read("a/b.png") == Folder(tmp_path).read("a/b.png") == b"content"
    assert archive.read("./a//b.png") == Folder(tmp_path).read("./a//b.png") == b"content"
    assert archive.pictures("a") == Folder(tmp_path).pictures("a") == ["a/b.png"]
    assert archive.pictures("a/b.png") is Folder(tmp_path).pictures("a/b.png") is None


def test_missing_files_are_broken(tmp_path):
    archive = Archive(zipped(tmp_path / "x.zip", {"a": b""}))
    for files in (archive, Folder(tmp_path)):
        with pytest.raises(Broken, match="no such file"):
            files.read("b")


def test_files_above_the_limit_are_not_read(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(bytes(1001))
    archive = Archive(zipped(tmp_path / "x.zip", {"a": bytes(1001)}, zipfile.ZIP_DEFLATED))
    monkeypatch.setattr(decode, "FILE_BYTES", 1000)
    for files in (archive, Folder(tmp_path)):
        with pytest.raises(Broken, match="larger than 1000 bytes"):
            files.read("a")


def test_a_member_that_is_larger_than_it_says_is_broken(tmp_path):
    path = zipped(tmp_path / "x.zip", {"a": bytes(100_000)}, zipfile.ZIP_DEFLATED)
    archive = Archive(path)
    archive.members["a"].file_size = 10
    with pytest.raises(Broken, match="cannot be read from the archive"):
        archive.read("a")


def test_a_member_with_a_wrong_checksum_is_broken(tmp_path):
    path = zipped(tmp_path / "x.zip", {"a": b"some content"})
    path.write_bytes(path.read_bytes().replace(b"some content", b"some_content"))
    with pytest.raises(Broken, match="CRC"):
        Archive(path).read("a")


def test_a_member_that_may_grow_without_a_bound_is_broken(tmp_path):
    with pytest.raises(Broken, match="stored or deflated"):
        Archive(zipped(tmp_path / "x.zip", {"a": b"content"}, zipfile.ZIP_LZMA)).read("a")


# clips


def video(path, frames=10, container=None, codec="mpeg4"):
    """A film of grey frames, each 20 brighter than the one before; returns their means as a reader must find them."""
    with av.open(str(path), "w", options=container or {}) as file:
        stream = file.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = 48, 32, "yuv420p", 4
        for i in range(frames):
            pixels = np.full((32, 48, 3), (20 * i + 20) % 256, np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                file.mux(packet)
        for packet in stream.encode():
            file.mux(packet)
    return path


@pytest.mark.parametrize("name", ["film.mp4", "film.avi", "film.mkv"])
@pytest.mark.parametrize("frames", [1, 4, 10, 25])
def test_a_video_gives_frames_evenly_spread(tmp_path, name, frames):
    video(tmp_path / name)
    frames_ = clip(Folder(tmp_path), name, LOOK._replace(frames=frames))
    assert frames_.shape == (frames, 8, 6, 3) and frames_.dtype == np.uint8
    expected = 20 * frame_positions(10, frames) + 20
    assert np.abs(frames_.mean(axis=(1, 2, 3)) - expected).max() < 6


def test_a_video_is_decoded_again_where_its_packets_were_not_its_frames(tmp_path, monkeypatch):
    video(tmp_path / "film.mp4")
    monkeypatch.setattr(decode, "_count", lambda container: 13)
    means = clip(Folder(tmp_path), "film.mp4", LOOK).mean(axis=(1, 2, 3))
    assert np.abs(means - (20 * frame_positions(10, 3) + 20)).max() < 6


def test_a_turned_video_stands_upright(tmp_path):
    with av.open(str(tmp_path / "film.mp4"), "w") as file:
        stream = file.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        pixels = np.zeros((32, 48, 3), np.uint8)
        pixels[:, :24] = 255  # the left half; a quarter turn to the right brings it up
        for packet in [*stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")), *stream.encode()]:
            file.mux(packet)
    data = bytearray((tmp_path / "film.mp4").read_bytes())
    matrix = data.index(b"tkhd") + 44
    turned = [0, 1 << 16, 0, -(1 << 16), 0, 0, 32 << 16, 0, 1 << 30]
    data[matrix : matrix + 36] = b"".join(number.to_bytes(4, "big", signed=True) for number in turned)
    (tmp_path / "film.mp4").write_bytes(data)
    frame = clip(Folder(tmp_path), "film.mp4", LOOK._replace(frames=1))[0]
    assert (frame[:3] > 200).all() and (frame[-3:] < 50).all()


@pytest.mark.parametrize(
    ("name", "container"), [("film.mp4", {}), ("film.mp4", {"movflags": "faststart"}), ("film.avi", {})]
)
def test_a_video_cut_short_is_broken(tmp_path, name, container):
    data = video(tmp_path / name, 30, container).read_bytes()
    last = b"idx1" if name == "film.avi" else b"udta"  # without it, an index or who encoded it, all frames are there
    end = len(data) if container else data.index(last) - 4
    for length in [*range(0, 60, 7), *range(60, end, len(data) // 40)]:
        (tmp_path / name).write_bytes(data[:length])
        with pytest.raises(Broken):
            clip(Folder(tmp_path), name, LOOK)


def test_a_packet_cut_short_is_broken(tmp_path):
    data = video(tmp_path / "film.mpg", 12, codec="mpeg1video").read_bytes()
    (tmp_path / "film.mpg").write_bytes(data[:600])
    with pytest.raises(Broken, match="cut short or damaged after"):
        clip(Folder(tmp_path), "film.mpg", LOOK)


@pytest.mark.parametrize("data", [b"no film", b"ffconcat version 1.0\nfile other.mp4\n"])
def test_what_is_no_video_is_broken(tmp_path, data):
    video(tmp_path / "other.mp4")
    (tmp_path / "film.mpg").write_bytes(data)
    with pytest.raises(Broken, match="not a video"):
        clip(Folder(tmp_path), "film.mpg", LOOK)


def test_without_pyav_a_video_says_what_to_install(tmp_path, monkeypatch):
    (tmp_path / "film.mp4").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install 'jhash\[media\]'"):
        clip(Folder(tmp_path), "film.mp4", LOOK)


def frame_files(frames=12):
    return {f"walk/frame{i}.png": encoded(np.full((8, 6, 3), i, np.uint8)) for i in range(frames)}


def test_frames_in_a_folder_come_in_the_order_of_their_numbers(tmp_path):
    (tmp_path / "walk").mkdir()
    for name, data in frame_files().items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "walk" / "notes.txt").write_text("not a picture")
    archive = Archive(zipped(tmp_path / "x.zip", frame_files() | {"walk/notes.txt": b""}))
    for files in (Folder(tmp_path), archive):
        np.testing.assert_array_equal(clip(files, "walk", LOOK)[:, 0, 0, 0], frame_positions(12, 3))


def test_frames_that_are_not_kept_are_not_read(tmp_path):
    kept = {f"walk/frame{i}.png" for i in frame_positions(12, 3)}
    members = {name: data if name in kept else b"damaged" for name, data in frame_files().items()}
    assert clip(Archive(zipped(tmp_path / "x.zip", members)), "walk", LOOK).shape == (3, 8, 6, 3)


def test_a_broken_frame_is_named(tmp_path):
    members = frame_files() | {"walk/frame11.png": b"damaged"}
    with pytest.raises(Broken, match="frame11.png: not a picture"):
        clip(Archive(zipped(tmp_path / "x.zip", members)), "walk", LOOK)


def test_the_stamp_of_a_folder_changes_with_a_frame_inside(tmp_path):
    (tmp_path / "walk").mkdir()
    for name, data in frame_files().items():
        (tmp_path / name).write_bytes(data)
    before, folder = Folder(tmp_path).stamp("walk"), (tmp_path / "walk").stat().st_mtime_ns
    (tmp_path / "walk" / "frame3.png").write_bytes(b"other content")
    assert (tmp_path / "walk").stat().st_mtime_ns == folder
    assert Folder(tmp_path).stamp("walk") != before


def test_the_stamp_of_an_archive_s_folder_changes_with_the_order_of_its_frames(tmp_path):
    one, other = encoded(noise(1)), encoded(noise(2))
    first = Archive(zipped(tmp_path / "a.zip", {"walk/1.png": one, "walk/2.png": other}))
    turned = Archive(zipped(tmp_path / "b.zip", {"walk/2.png": one, "walk/1.png": other}))
    assert not np.array_equal(clip(first, "walk", LOOK), clip(turned, "walk", LOOK))
    assert first.stamp("walk") != turned.stamp("walk")


def test_a_folder_without_pictures_is_broken(tmp_path):
    (tmp_path / "walk").mkdir()
    with pytest.raises(Broken, match="has no pictures"):
        clip(Folder(tmp_path), "walk", LOOK)


def test_a_video_inside_an_archive_is_refused(tmp_path):
    with pytest.raises(InputError, match="unpack it"):
        clip(Archive(zipped(tmp_path / "x.zip", {"film.mp4": b""})), "film.mp4", LOOK)


# one pass


def test_no_more_items_are_decoded_than_wait_to_be_written():
    started = []

    def items():
        for i in range(200):
            started.append(i)
            yield i

    for place, (item, result) in enumerate(ahead(lambda i: -i, items())):
        assert (item, result) == (place, -place)
        assert len(started) - place <= one_pass.AHEAD
    assert place == 199


def test_an_error_in_a_thread_arrives():
    with pytest.raises(ZeroDivisionError):
        list(ahead(lambda i: 1 // i, [2, 1, 0]))


@pytest.mark.parametrize("rows", [0, 1, 12345])
def test_a_growing_array_has_as_many_rows_as_were_appended(tmp_path, rows):
    with growing(tmp_path / "a.npy", (2, 3)) as append:
        for row in range(rows):
            append(np.full((2, 3), row % 256, np.uint8))
    array = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert array.shape == (rows, 2, 3)
    np.testing.assert_array_equal(array[:, 1, 2], np.arange(rows) % 256)


# manifests


class Shop:
    """A folder with photographs 0.png to 5.png, the last two of them tested, and a manifest of them."""

    def __init__(self, folder):
        self.folder = folder
        self.manifest = folder / "items.csv"
        for i in range(6):
            (folder / f"{i}.png").write_bytes(encoded(noise(i)))
        self.rows = [
            ["file", "name", "kind", "colours", "part"],
            ["0.png", "red shoe", "shoe", "red; white", "train"],
            ["1.png", "blue shoe", "shoe", "blue", "train"],
            ["2.png", "red hat", "hat", "red", "train"],
            ["3.png", "blue hat", "hat", "", "train"],
            ["4.png", "green shoe", "shoe", "red;green", "test"],
            ["5.png", "blue hat", "hat", "blue", "test"],
        ]
        self.config = {
            "manifest": str(self.manifest),
            "image_column": "file",
            "text_column": "name",
            "label_columns": ("kind",),
            "split_column": "part",
            "height": 8,
            "width": 6,
        }
        self.said = []

    def open(self, **config):
        self.manifest.write_text("".join(",".join(row) + "\n" for row in self.rows), encoding="utf-8")
        return open_raw(self.config | config, self.said.append)


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def pixels(opened, part, medium="image"):
    return opened.parts[part][medium].arrays["features"]


def labels(opened, part, medium="image"):
    return opened.parts[part][medium].arrays["labels"]


def test_a_manifest_becomes_tables_of_pictures_texts_and_labels(shop):
    opened = shop.open()
    assert {part: list(media) for part, media in opened.parts.items()} == dict.fromkeys(
        ("train", "test"), ["image", "text"]
    )
    np.testing.assert_array_equal(pixels(opened, "train"), [noise(i) for i in range(4)])
    np.testing.assert_array_equal(pixels(opened, "test"), [noise(4), noise(5)])
    assert opened.vocabulary == ("blue", "hat", "red", "shoe")
    np.testing.assert_array_equal(pixels(opened, "test", "text"), [[0, 0, 0, 1], [1, 1, 0, 0]])
    assert opened.classes == ("hat", "shoe")
    assert opened.texts["test"] == ["green shoe", "blue hat"]
    assert opened.paths == {"train": {"image": [f"{i}.png" for i in range(4)]}, "test": {"image": ["4.png", "5.png"]}}
    np.testing.assert_array_equal(labels(opened, "train", "text"), [[0, 1], [0, 1], [1, 0], [1, 0]])
    assert pixels(opened, "train").dtype == labels(opened, "train").dtype == np.uint8
    assert not shop.said


def test_parts_in_any_order_are_put_apart(shop):
    shop.rows[1:] = shop.rows[:0:-1]
    shop.rows[1][4] = "database"
    opened = shop.open()
    assert list(opened.parts) == ["train", "test", "database"]
    np.testing.assert_array_equal(pixels(opened, "train"), [noise(i) for i in (3, 2, 1, 0)])
    np.testing.assert_array_equal(pixels(opened, "database"), [noise(5)])


def test_several_values_are_several_classes(shop):
    opened = shop.open(label_columns=("colours",))
    assert opened.classes == ("blue", "red", "white")
    np.testing.assert_array_equal(labels(opened, "train"), [[0, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]])


def test_several_columns_are_classes_of_column_and_value(shop):
    opened = shop.open(label_columns=("kind", "colours"))
    assert opened.classes == ("colours=blue", "colours=red", "colours=white", "kind=hat", "kind=shoe")
    assert labels(opened, "train")[0].tolist() == [0, 1, 1, 0, 1]


def test_a_class_that_no_training_item_has_is_left_out_and_said(shop):
    np.testing.assert_array_equal(labels(shop.open(label_columns=("colours",)), "test"), [[0, 1, 0], [1, 0, 0]])
    assert shop.said[-1:] == [
        f"{shop.manifest}: 1 labels are classes that no training item has, and left out, such as 'green'."
    ]


def test_training_items_without_a_label_are_counted(shop):
    shop.open(label_columns=("colours",))
    assert f"{shop.manifest}: 1 training items have no label, such as line 5: " in shop.said[0]


def test_several_text_columns_are_joined(shop):
    assert "red" in shop.open(text_column="kind;colours").vocabulary


def test_words_of_test_items_are_not_in_the_vocabulary(shop):
    shop.rows[5][1] = shop.rows[6][1] = "secret"
    assert "secret" not in shop.open().vocabulary


def test_without_label_columns_there_are_no_labels(shop):
    opened = shop.open(label_columns=())
    assert opened.classes == () and list(opened.parts["train"]["image"].columns) == ["features"]


def test_without_a_split_column_all_items_are_for_training(shop):
    assert {part: len(media["image"]) for part, media in shop.open(split_column="").parts.items()} == {"train": 6}


def test_an_archive_gives_what_its_folder_gives(shop, tmp_path):
    members = {f"{i}.png": encoded(noise(i)) for i in range(6)}
    path = zipped(tmp_path / "pictures.zip", members)
    np.testing.assert_array_equal(pixels(shop.open(root=str(path)), "train"), pixels(shop.open(), "train"))


def test_clips_and_pictures_of_one_item_are_one_row(shop, tmp_path):
    (tmp_path / "walk").mkdir()
    for name, data in frame_files().items():
        (tmp_path / name).write_bytes(data)
    for row in shop.rows:
        row.append("film" if row is shop.rows[0] else "walk")
    opened = shop.open(video_column="film", frames=3)
    assert pixels(opened, "train", "video").shape == (4, 3, 8, 6, 3)
    np.testing.assert_array_equal(pixels(opened, "test", "video")[1, :, 0, 0, 0], frame_positions(12, 3))


def test_a_byte_order_mark_and_quoted_line_breaks_are_read(shop):
    shop.rows[1][1] = '"red\nshoe, new"'
    shop.open()
    shop.manifest.write_bytes(b"\xef\xbb\xbf" + shop.manifest.read_bytes())
    assert len(open_raw(shop.config).parts["train"]["text"]) == 4


def replaced(row, column, value):
    def change(rows):
        rows[row][column] = value

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (replaced(0, 0, "path"), "line 1: expected the column 'file' of data.image_column, found path, name"),
        (replaced(0, 2, "kinds"), r"column 'kind' of data.label_columns.*\(did you mean 'kinds'\?\)"),
        (replaced(0, 2, "file"), "line 1: expected different columns, found 'file' twice"),
        (replaced(2, 4, "trian"), r"line 3: part: expected one of .* found 'trian' \(did you mean 'train'\?\)"),
        (replaced(2, 4, ""), "line 3: part: expected one of train, test, database, found ''"),
        (replaced(3, 1, "red,hat"), "line 4: expected 5 columns like the first line, found 6"),
        (replaced(3, 1, '"red hat'), "line 7: not a line of a .csv: unexpected end of data"),
        (replaced(4, 0, "../3.png"), "line 5: a path must stay inside the folder or archive, found '../3.png'"),
        (replaced(4, 0, "a/../../3.png"), "line 5: a path must stay inside"),
        (replaced(4, 0, "..\\3.png"), "line 5: a path must stay inside"),
        (replaced(4, 0, "C:3.png"), "line 5: a path must stay inside"),
        (replaced(4, 0, "/etc/3.png"), "line 5: a path must stay inside"),
        (lambda rows: rows.clear(), "expected the column 'file' of data.image_column, found nothing"),
        (lambda rows: rows.__delitem__(slice(1, 5)), "expected training items, found none among 2 items"),
        (lambda rows: [row.__setitem__(2, "") for row in rows[1:]], "expected labels of training items"),
        (lambda rows: [row.__setitem__(1, "") for row in rows[1:]], "a word that 2 training texts have, found none"),
    ],
)
def test_a_wrong_manifest_is_refused(shop, change, sentence):
    change(shop.rows)
    with pytest.raises(InputError, match=sentence):
        shop.open()


def test_a_manifest_that_is_not_utf8_is_refused(shop):
    shop.manifest.write_bytes("file,name\n0.png,ok\n1.png,gr\xfcn\n".encode("latin-1"))
    with pytest.raises(InputError, match="line 3: expected text in UTF-8, found byte 0xfc"):
        open_raw(shop.config)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"fit": "squeeze"}, "data.fit: expected one of whole, crop, found 'squeeze'"),
        ({"broken": "ignore"}, "data.broken: expected one of refuse, skip, found 'ignore'"),
        ({"height": 0}, "data.height: expected 1 or more, found 0"),
        ({"image_column": "", "text_column": ""}, "expected an image_column"),
        ({"root": "nowhere"}, "nowhere: expected a folder or a .zip archive, found nothing"),
        ({"manifest": "nowhere.csv"}, "nowhere.csv: no such file"),
    ],
)
def test_a_wrong_config_is_refused(shop, config, sentence):
    with pytest.raises(InputError, match=sentence):
        shop.open(**config)


def test_an_archive_that_is_none_is_refused(shop):
    with pytest.raises(InputError, match="items.csv: expected a .zip archive"):
        shop.open(root=str(shop.manifest))


# broken items

BREAK = {
    "missing": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-40]),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("how", BREAK)
def test_a_broken_item_is_refused_by_name_and_line(shop, tmp_path, how):
    BREAK[how](tmp_path / "2.png")
    with pytest.raises(InputError, match=r"items.csv, line 4: 2.png: \w+"):
        shop.open()


@pytest.mark.parametrize("how", BREAK)
def test_broken_items_are_skipped_in_all_media(shop, tmp_path, how):
    BREAK[how](tmp_path / "1.png")
    opened = shop.open(broken="skip")
    np.testing.assert_array_equal(pixels(opened, "train"), [noise(i) for i in (0, 2, 3)])
    np.testing.assert_array_equal(labels(opened, "train", "text"), [[0, 1], [1, 0], [1, 0]])
    np.testing.assert_array_equal(pixels(opened, "train", "text")[1], [0, 1, 1, 0])
    assert opened.texts["train"] == ["red shoe", "red hat", "blue hat"]
    assert opened.paths["train"]["image"] == ["0.png", "2.png", "3.png"]
    assert len(opened.parts["test"]["image"]) == 2
    assert len(shop.said) == 1 and "1 of 6 items are broken and left out, such as line 3 (1.png: " in shop.said[0]


def test_a_frame_whose_name_is_no_text_is_skipped_like_any_other(shop, tmp_path):
    for name in ("walk", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(encoded(noise()))
    with open(os.fsencode(tmp_path / "run") + b"/2\xe9.png", "wb") as file:
        file.write(b"no picture")
    for row in shop.rows:
        row.append("film" if row is shop.rows[0] else "run" if row is shop.rows[1] else "walk")
    opened = shop.open(video_column="film", frames=2, broken="skip", cache=str(tmp_path / "cache"))
    assert len(pixels(opened, "train", "video")) == 3
    assert "1 of 6 items are broken and left out, such as line 2 (run: " in shop.said[0]
    assert shop.said[0].encode()


def test_an_item_without_a_path_is_broken(shop):
    shop.rows[2][0] = ""
    with pytest.raises(InputError, match="line 3: image: expected a path, found nothing"):
        shop.open()


def test_a_path_that_no_file_system_takes_is_broken(shop):
    shop.rows[2][0] = 300 * "a"
    shop.open(broken="skip")
    assert "line 3" in shop.said[0]


def test_a_part_of_broken_items_alone_is_refused(shop, tmp_path):
    for i in (2, 4, 5):  # the first is for training
        (tmp_path / f"{i}.png").unlink()
    with pytest.raises(InputError, match="every test item is broken, such as line 6 .*, line 7 "):
        shop.open(broken="skip")


# the cache


@pytest.fixture
def no_decoding(monkeypatch):
    def forbid():
        monkeypatch.setattr(raw, "picture", lambda data, look: pytest.fail("decoded again"))

    return forbid


def test_a_second_run_reads_the_cache(shop, tmp_path, no_decoding):
    first = shop.open(cache=str(tmp_path / "cache"))
    no_decoding()
    second = shop.open(cache=str(tmp_path / "cache"))
    assert isinstance(pixels(second, "test"), np.memmap)
    assert first.classes == second.classes and first.vocabulary == second.vocabulary
    assert (
        first.texts
        == second.texts
        == {"train": ["red shoe", "blue shoe", "red hat", "blue hat"], "test": ["green shoe", "blue hat"]}
    )
    assert first.paths == second.paths
    for part in ("train", "test"):
        for medium in ("image", "text"):
            np.testing.assert_array_equal(pixels(first, part, medium), pixels(second, part, medium))
            np.testing.assert_array_equal(labels(first, part, medium), labels(second, part, medium))


def test_a_cache_gives_what_memory_gives(shop, tmp_path):
    with_cache, without = shop.open(cache=str(tmp_path / "cache")), shop.open()
    assert not isinstance(pixels(without, "test"), np.memmap)
    np.testing.assert_array_equal(pixels(with_cache, "test"), pixels(without, "test"))


def test_the_cache_says_what_is_in_it(shop, tmp_path):
    (tmp_path / "2.png").write_bytes(b"")
    shop.open(cache=str(tmp_path / "cache"), broken="skip")
    (folder,) = (tmp_path / "cache").glob("[!.]*")
    facts = json.loads((folder / "facts.json").read_text())
    assert facts["parts"] == {"train": 3, "test": 2}
    assert facts["arrays"]["image"] == [[5, 8, 6, 3], "uint8"]
    assert facts["skipped"]["number"] == 1 and facts["skipped"]["items"][0][0] == 4
    shop.said.clear()
    shop.open(cache=str(tmp_path / "cache"), broken="skip")
    assert "line 4" in shop.said[0]


@pytest.mark.parametrize(
    "change",
    [
        lambda shop: shop.config.update(height=4),
        lambda shop: shop.config.update(fit="crop"),
        lambda shop: shop.rows[1].__setitem__(1, "red shoe 2"),
        lambda shop: (shop.folder / "0.png").write_bytes(encoded(noise(9, 16, 12))),
    ],
    ids=["height", "fit", "manifest", "file"],
)
def test_a_change_decodes_again(shop, tmp_path, no_decoding, change):
    shop.open(cache=str(tmp_path / "cache"))
    no_decoding()
    change(shop)
    with pytest.raises(pytest.fail.Exception, match="decoded again"):
        shop.open(cache=str(tmp_path / "cache"))


def test_a_refused_item_leaves_nothing_behind(shop, tmp_path):
    (tmp_path / "5.png").unlink()
    with pytest.raises(InputError):
        shop.open(cache=str(tmp_path / "cache"))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_what_a_killed_conversion_leaves_is_not_read(shop, tmp_path):
    shop.config["cache"] = str(tmp_path / "cache")
    shop.open(cache="")
    code = f"""
import os, signal
from jhash.data import raw
whole, count = raw.bag_of_words, []
def killed(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)
raw.bag_of_words = killed
raw.open_raw({shop.config!r})
"""
    ended = subprocess.run([sys.executable, "-c", code], env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=False)
    assert ended.returncode == -signal.SIGKILL
    (left,) = (tmp_path / "cache").glob(".raw-*.part")
    (left / "facts.json").write_text("{}")
    opened = shop.open()
    np.testing.assert_array_equal(pixels(opened, "train"), [noise(i) for i in range(4)])
    assert not left.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "image.npy").unlink(),
        lambda folder: (folder / "image.npy").write_bytes((folder / "image.npy").read_bytes()[:-9]),
        lambda folder: np.save(folder / "labels.npy", np.zeros((5, 2), np.uint8)),
        lambda folder: np.save(folder / "labels.npy", np.array([[{}]]), allow_pickle=True),
        lambda folder: (folder / "facts.json").write_text("{"),
        lambda folder: (folder / "facts.json").write_text("[]"),
        lambda folder: (folder / "facts.json").unlink(),
        lambda folder: (folder / "vocabulary.json").write_text("{}"),
        lambda folder: (folder / "strings.json").unlink(),
        lambda folder: (folder / "strings.json").write_text('{"text": ["red shoe"], "image": ["a.png"]}'),
        lambda folder: (folder / "strings.json").write_text('{"text": ["red shoe"]}'),
    ],
    ids=["missing", "cut", "shape", "pickle", "half", "other", "facts", "vocabulary", "strings", "fewer", "no paths"],
)
def test_a_damaged_cache_is_refused(shop, tmp_path, damage):
    shop.open(cache=str(tmp_path / "cache"))
    (folder,) = (tmp_path / "cache").glob("[!.]*")
    damage(folder)
    with pytest.raises(InputError, match="damaged, delete this folder to decode again"):
        shop.open(cache=str(tmp_path / "cache"))


def test_a_full_disk_is_said_before_decoding(shop, tmp_path, monkeypatch, no_decoding):
    no_decoding()
    monkeypatch.setattr(raw.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100}))
    with pytest.raises(InputError, match="bytes are needed, only 100 are free"):
        shop.open(cache=str(tmp_path / "cache"))


def test_a_disk_that_fills_up_leaves_nothing_behind(shop, tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(one_pass.os, "fsync", full)
    with pytest.raises(InputError, match="image.npy: cannot be written: No space left on device"):
        shop.open(cache=str(tmp_path / "cache"))
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_cache_that_cannot_be_made_is_one_sentence(shop):
    shop.open()
    with pytest.raises(InputError, match="items.csv: cannot be written"):
        shop.open(cache=str(shop.manifest))


# the shipped sample


def test_the_fashion_sample_pairs_photographs_with_names():
    media, classes, vocabulary, names = samples.fashion("test", "subCategory")
    assert media["image"].columns["features"].shape == (80, 60, 3) and len(media["image"]) == 641
    assert media["text"].columns["features"].shape == (895,) and media["text"].columns["features"].dtype == np.float32
    assert len(classes) == 30 and len(vocabulary) == 895
    assert len(names) == 641 and names[0] == "Reebok Track Pants Women Blue"
    found = media["image"].arrays["labels"]
    assert (found.sum(axis=1) == 1).all() and (found.sum(axis=0) >= 4).all()
    dresses = media["text"].arrays["features"][:, vocabulary.index("dress")] > 0
    assert found[dresses, classes.index("Dress")].mean() > 0.8


def test_the_fashion_sample_has_classes_of_all_attributes():
    media, classes, _, _ = samples.fashion("test", ("season", "gender"))
    assert len(classes) == 9 and classes[0] == "gender=Boys"
    assert (media["image"].arrays["labels"].sum(axis=1) == 2).all()


@pytest.fixture
def make_fashion(tmp_path, monkeypatch):
    source = Path(__file__).parents[2] / "shared/data/fashion"
    if not source.is_dir():
        pytest.skip("needs ../shared/data/fashion, the source of the sample")
    import make_fashion_sample

    def make(*flags):
        command = ["make_fashion_sample.py", str(source), "--output", str(tmp_path), *flags]
        monkeypatch.setattr(sys, "argv", command)
        make_fashion_sample.main()
        return tmp_path

    return make


def test_the_fashion_sample_is_made_the_same_again(make_fashion):
    made = make_fashion()
    for name in ("images.zip", "items.csv"):
        assert (made / name).read_bytes() == (samples.FOLDER / "fashion" / name).read_bytes()


def test_all_of_fashion_is_split_by_name_and_tests_nothing_that_the_sample_trains_on(make_fashion):
    def read(folder):
        with open(folder / "items.csv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))

    items = read(make_fashion("--whole"))
    part_of = {item["id"]: item["split"] for item in items}
    of_name = {(item["name"].casefold(), item["split"]) for item in items}
    assert collections.Counter(part_of.values()) == {"train": 9591, "test": 2397}
    assert len(of_name) == len({name for name, _ in of_name})
    assert {part_of[item["id"]] for item in read(samples.FOLDER / "fashion") if item["split"] == "train"} == {"train"}
