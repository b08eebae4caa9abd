"""The command that encodes: every kind of input, files that grow and go on, and what is refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.io
import trained_runs
from test_evaluate_files import save_mat73

from jhash import code_file, encode, trained
from jhash.data import convert, decode, given_codes, inputs, listed
from jhash.evaluate import load_model
from jhash.index import Index
from jhash.index.files import read_ids

ROOT = Path(encode.__file__).parent.parent


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """(workdir, frames [60, 4, 6], their codes [60, 16])."""
    work, frames = trained_runs.clips(tmp_path_factory.mktemp("clips"))
    return work, frames, load_model(work).encode(frames)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """(workdir, folder of p00.png, ..., codes [48, 8] of them, codes [48, 8] of their names)."""
    work, shop = trained_runs.photographs(tmp_path_factory.mktemp("photographs"))
    codes = [
        [np.load(work / "seed-0" / "cca_itq" / f"codes_{medium}_{part}.npy") for part in ("test", "train")]
        for medium in ("image", "text")
    ]
    return work, shop, *map(np.concatenate, codes)


def said_by(capsys, work, *options):
    """The exit code, and the lines of stdout and of stderr without the progress."""
    code = encode.main(["--checkpoint", str(work), *map(str, options)])
    out, err = capsys.readouterr()
    return code, out.splitlines(), [line for line in err.splitlines() if line.startswith("jhash:")]


def encoded(capsys, work, given, folder, *options):
    """The array that the command wrote."""
    path = folder / "codes.npy"
    code, _, errors = said_by(capsys, work, "--input", given, "--output", path, *options)
    assert (code, errors) == (0, [])
    return np.load(path, allow_pickle=False)


def names_of(shop):
    return [line.split(",")[1] for line in (shop / "items.csv").read_text().splitlines()[1:]]


# --- what a user has ----------------------------------------------------------------------------------------------


def save_npz(path, frames):
    np.savez(path, frames=frames, labels=np.zeros(60))


def save_compressed(path, frames):
    np.savez_compressed(path, frames=frames, labels=np.zeros(60))


def save_h5(path, frames):
    with h5py.File(path, "w") as file:
        file["some/frames"], file["labels"] = frames, np.zeros(60)


FILES = {
    "npy": (".npy", np.save),
    "npy, columns first": (".npy", lambda path, frames: np.save(path, np.asfortranarray(frames))),
    "npy, other bytes first": (".npy", lambda path, frames: np.save(path, frames.astype(">f8"))),
    "npz": (".npz", save_npz),
    "npz, compressed": (".npz", save_compressed),
    "npz, columns first": (".npz", lambda path, frames: save_npz(path, np.asfortranarray(frames))),
    "h5": (".h5", save_h5),
    "mat 5": (".mat", lambda path, frames: scipy.io.savemat(path, {"x": frames, "y": np.zeros(60)})),
    "mat 7.3": (".mat", save_mat73),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_any_kind_gives_the_codes_of_its_rows(kind, clips, tmp_path, monkeypatch, capsys):
    work, frames, expected = clips
    ending, save = FILES[kind]
    save(tmp_path / f"clips{ending}", frames)
    monkeypatch.setitem(inputs.BLOCK_ITEMS, "frames", 7)
    found = encoded(capsys, work, tmp_path / f"clips{ending}", tmp_path)
    assert found.dtype == np.int8
    np.testing.assert_array_equal(found, expected)


def test_an_array_is_named_where_several_fit(clips, tmp_path, capsys):
    work, frames, expected = clips
    np.savez(tmp_path / "two.npz", a=frames + 1, b=frames)
    code, _, (error,) = said_by(capsys, work, "--input", tmp_path / "two.npz", "--output", tmp_path / "codes.npy")
    assert code == 2 and "expected one array of a shape that fits, found a [60, 4, 6], b [60, 4, 6]; name it" in error
    np.testing.assert_array_equal(encoded(capsys, work, f"{tmp_path}/two.npz:b", tmp_path), expected)


def test_packed_codes_are_those_that_evaluate_reads(clips, tmp_path, capsys):
    work, frames, expected = clips
    np.save(tmp_path / "clips.npy", frames)
    found = encoded(capsys, work, tmp_path / "clips.npy", tmp_path, "--packed")
    assert (found.dtype, found.shape) == (np.uint8, (60, 2))
    labels = np.arange(60) % 3
    read = given_codes.read_given(found, expected, labels, labels, packed=False, bits=16)
    np.testing.assert_array_equal(read.query, expected)


def test_a_part_of_a_dataset_is_read_by_its_own_loader(photographs, capsys, tmp_path):
    work, _, image, text = photographs
    np.testing.assert_array_equal(encoded(capsys, work, "raw/test", tmp_path, "--modality", "image"), image[:12])
    np.testing.assert_array_equal(encoded(capsys, work, "raw/train", tmp_path, "--modality", "text"), text[12:])


def test_a_video_dataset_is_read_by_its_own_loader(clips, capsys, tmp_path):
    work, _, expected = clips
    np.testing.assert_array_equal(encoded(capsys, work, "files/query", tmp_path), expected[48:])


def test_a_split_of_a_conversion_is_read(clips, capsys, tmp_path):
    work, frames, expected = clips
    for part in ("train", "test"):
        with h5py.File(tmp_path / f"fcv_{part}_feats.h5", "w") as file:
            file["feats"] = frames[:40] if part == "train" else frames[40:]
    scipy.io.savemat(tmp_path / "fcv_test_labels.mat", {"labels": np.eye(20, 239, dtype=np.uint8)})
    folder = convert.convert("fcvid", tmp_path, tmp_path / "out", "float32")
    capsys.readouterr()
    np.testing.assert_array_equal(encoded(capsys, work, f"{folder}:test", tmp_path), expected[40:])
    code, _, (error,) = said_by(capsys, work, "--input", folder, "--output", tmp_path / "codes.npy")
    assert code == 2 and "expected a split, one of test, train, found none named" in error


def zipped(shop, path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in shop.iterdir():
            archive.write(file, f"all/{file.name}")
        archive.writestr("__MACOSX/all/._p00.png", b"not a picture")
    return path


def test_pictures_are_read_from_a_folder_and_from_an_archive(photographs, tmp_path, monkeypatch, capsys):
    work, shop, expected, _ = photographs
    monkeypatch.setitem(inputs.BLOCK_ITEMS, "pixels", 20)
    for place in (shop, zipped(shop, tmp_path / "shop.zip")):
        np.testing.assert_array_equal(encoded(capsys, work, place, tmp_path, "--modality", "image"), expected)


def test_texts_are_lines(photographs, tmp_path, monkeypatch, capsys):
    work, shop, _, expected = photographs
    monkeypatch.setitem(inputs.BLOCK_ITEMS, "features", 20)
    (tmp_path / "names.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(names_of(shop)).encode())
    lines = [json.dumps(name if i % 2 else {"text": name}) for i, name in enumerate(names_of(shop))]
    (tmp_path / "names.jsonl").write_text("\n".join(lines) + "\n")
    for name in ("names.txt", "names.jsonl"):
        found = encoded(capsys, work, tmp_path / name, tmp_path, "--modality", "text")
        np.testing.assert_array_equal(found, expected)


def test_lines_are_read_once_from_block_to_block(tmp_path, monkeypatch):
    (tmp_path / "names.txt").write_text("".join(f"name {i}\n" for i in range(30)))
    texts = listed.Texts(tmp_path / "names.txt")
    first = texts.texts(0, 10)
    monkeypatch.setattr(texts, "_lines", lambda: pytest.fail("begun again"))
    assert first + texts.texts(10, 30) == [f"name {i}" for i in range(30)]


def test_clips_of_pixels_are_folders_of_pictures_and_video_files(photographs, tmp_path):
    _, shop, *_ = photographs
    for name in ("b/0.png", "b/1.png", "a/deep/0.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes((shop / "p00.png").read_bytes())
    for name in ("film.mp4", "a/one.gif", "two.gif"):  # of which a folder of frames makes none
        (tmp_path / name).touch()
    found = listed.Pictures(tmp_path, (2, 12, 12, 3), "whole")
    assert found.names(0, 9) == ["a/deep", "a/one.gif", "b", "film.mp4", "two.gif"]
    assert found.read(0, 1).shape == found.read(2, 3).shape == (1, 2, 12, 12, 3)


def test_the_last_line_says_what_was_done(clips, tmp_path, capsys):
    work, frames, _ = clips
    np.save(tmp_path / "clips.npy", frames)
    output = tmp_path / "new" / "codes.npy"
    code, (line,), _ = said_by(capsys, work, "--input", tmp_path / "clips.npy", "--output", output)
    assert code == 0 and line.startswith("60 items of 16 bits, ") and line.endswith(f" items a second: {output}, int8")
    assert os.listdir(output.parent) == ["codes.npy"]


# --- blocks -------------------------------------------------------------------------------------------------------


def test_no_more_than_a_block_is_read_at_once(clips, tmp_path, monkeypatch, capsys):
    work, frames, _ = clips
    with h5py.File(tmp_path / "clips.h5", "w") as file:
        file["frames"] = frames
    monkeypatch.setitem(inputs.BLOCK_ITEMS, "frames", 8)
    seen, whole = [], h5py.Dataset.__getitem__
    monkeypatch.setattr(h5py.Dataset, "__getitem__", lambda self, rows: seen.append(rows) or whole(self, rows))
    encoded(capsys, work, tmp_path / "clips.h5", tmp_path)
    assert seen == [slice(start, min(start + 8, 60)) for start in range(0, 60, 8)]


def test_a_block_of_wide_items_is_bounded_by_its_bytes(clips, tmp_path, monkeypatch):
    work, frames, _ = clips
    np.save(tmp_path / "clips.npy", frames)
    monkeypatch.setattr(inputs, "BLOCK_BYTES", 5 * 4 * 4 * 6)
    run = trained.open_run(work)
    assert inputs.open_items(str(tmp_path / "clips.npy"), trained.wanted(run, None)).block == 5


def test_the_network_sees_one_size_of_block(clips, tmp_path, monkeypatch):
    work, frames, expected = clips
    np.save(tmp_path / "clips.npy", frames)
    monkeypatch.setitem(inputs.BLOCK_ITEMS, "frames", 32)
    run = trained.open_run(work)
    seen, whole = [], run.model.encode
    monkeypatch.setattr(run.model, "encode", lambda items, modality: seen.append(len(items)) or whole(items, modality))
    found = list(
        trained.encoded(run, inputs.open_items(str(tmp_path / "clips.npy"), trained.wanted(run, None)), "video")
    )
    assert seen == [32, 32]
    np.testing.assert_array_equal(np.concatenate(found), expected)


# --- stopped and gone on ------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(clips, tmp_path, monkeypatch, capsys):
    """Encodes in blocks of 8 and is stopped in the fourth; the options of the command."""
    work, frames, _ = clips
    np.save(tmp_path / "clips.npy", frames)
    monkeypatch.setitem(inputs.BLOCK_ITEMS, "frames", 8)
    options = ("--input", tmp_path / "clips.npy", "--output", tmp_path / "codes.npy")
    with pytest.MonkeyPatch.context() as patch:
        whole, blocks = trained.encoded, []

        def stops(*given):
            for codes in whole(*given):
                if len(blocks) == 3:
                    raise KeyboardInterrupt
                blocks.append(codes)
                yield codes

        patch.setattr(encode, "encoded", stops)
        code, _, errors = said_by(capsys, work, *options)
    assert code == 130 and errors == ["jhash: error: stopped; the same command goes on from here."]
    assert sorted(os.listdir(tmp_path)) == ["clips.npy", "codes.npy.partial", "codes.npy.partial.json"]
    return options


def again(capsys, work, options, expected, *more):
    """Gives the command again; its lines."""
    code, lines, errors = said_by(capsys, work, *options, *more)
    assert (code, errors) == (0, [])
    np.testing.assert_array_equal(np.load(options[3]), expected)
    assert sorted(os.listdir(options[3].parent)) == ["clips.npy", "codes.npy"]
    return lines


def test_the_same_command_goes_on(clips, stopped, capsys):
    lines = again(capsys, clips[0], stopped, clips[2])
    assert "goes on after 24 of 60 items" in lines[0] and "60 items of 16 bits, 24 of them before" in lines[1]


def test_a_block_that_was_torn_is_encoded_again(clips, stopped, tmp_path, capsys):
    with open(tmp_path / "codes.npy.partial", "ab") as file:
        file.write(b"\x05" * 50)
    assert "goes on after 24 of 60 items" in again(capsys, clips[0], stopped, clips[2])[0]


def test_what_is_there_counts_every_second(tmp_path, monkeypatch):
    now, counted = [0.0], []
    monkeypatch.setattr(code_file.time, "monotonic", lambda: now[0])
    with code_file.growing(tmp_path / "a.npy", 50, 3, np.uint8, {}, print) as codes:
        for now[0] in (0.5, 0.9, 1.0, 1.5, 2.1):
            codes.append(np.zeros((10, 3), np.uint8), {})
            held = tmp_path / "a.npy.partial.json"
            counted.append(json.loads(held.read_text())["done"] if held.exists() else 0)
        codes.finish(keep=True)
    assert counted == [0, 0, 30, 30, 50]


def test_changed_rows_begin_again(clips, stopped, tmp_path, capsys):
    content = bytearray((tmp_path / "codes.npy.partial").read_bytes())
    content[200] ^= 1
    (tmp_path / "codes.npy.partial").write_bytes(content)
    lines = again(capsys, clips[0], stopped, clips[2])
    assert "begins again: its rows aren't as they were written" in lines[0] and "of them before" not in lines[1]


def test_rows_cut_short_begin_again(clips, stopped, tmp_path, capsys):
    os.truncate(tmp_path / "codes.npy.partial", 300)
    assert "begins again" in again(capsys, clips[0], stopped, clips[2])[0]


def test_a_damaged_count_begins_again(clips, stopped, tmp_path, capsys):
    (tmp_path / "codes.npy.partial.json").write_text("{")
    assert "begins again: its .json is damaged" in again(capsys, clips[0], stopped, clips[2])[0]


def test_another_input_begins_again(clips, stopped, tmp_path, capsys):
    work, frames, expected = clips
    np.save(tmp_path / "clips.npy", frames[::-1])
    lines = again(capsys, work, stopped, expected[::-1])
    assert "begins again: it is of another input, model or option" in lines[0]


def test_another_option_begins_again(clips, stopped, capsys):
    lines = again(capsys, clips[0], stopped, np.packbits(clips[2] > 0, axis=1), "--packed")
    assert "begins again: it is of another input, model or option" in lines[0]


def test_another_model_has_another_fingerprint(clips, photographs):
    work, frames, _ = clips
    first, second = (trained.open_run(place).fingerprint for place in (work, photographs[0]))
    assert first == trained.open_run(work).fingerprint != second


def test_two_processes_do_not_write_one_file(clips, tmp_path, capsys):
    work, frames, _ = clips
    np.save(tmp_path / "clips.npy", frames)
    options = ("--input", tmp_path / "clips.npy", "--output", tmp_path / "codes.npy")
    with code_file.growing(tmp_path / "codes.npy", 60, 16, np.int8, {}, print):
        code, _, (error,) = said_by(capsys, work, *options)
    assert code == 2 and error.endswith("codes.npy.partial: another process writes this file.")


SLOW = """
import sys, time
from jhash import code_file, encode, trained
from jhash.data import inputs
inputs.BLOCK_ITEMS["frames"], code_file.SECONDS = 2, 0.0
whole = trained.encoded
def slowly(*given):
    for codes in whole(*given):
        print("block", flush=True)
        yield codes
        time.sleep(0.003)
encode.encoded = slowly
sys.exit(encode.main(sys.argv[1:]))
"""


@pytest.mark.parametrize("kills", [1, pytest.param(25, marks=pytest.mark.slow)])
def test_a_killed_command_goes_on(kills, clips, tmp_path, monkeypatch, capsys):
    work, frames, expected = clips
    np.save(tmp_path / "clips.npy", frames)
    options = [
        "--checkpoint",
        str(work),
        "--input",
        str(tmp_path / "clips.npy"),
        "--output",
        str(tmp_path / "codes.npy"),
    ]
    waits, before = np.random.default_rng(kills).uniform(0, 0.006, kills), 0
    for wait in waits:
        command = [sys.executable, "-c", SLOW, *options]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)
        next(line for line in child.stdout if line == "block\n")
        time.sleep(wait)
        child.send_signal(signal.SIGKILL)
        child.communicate()
        assert not (tmp_path / "codes.npy").exists()
        held = tmp_path / "codes.npy.partial.json"
        done = json.loads(held.read_text())["done"] if held.exists() else 0
        assert done >= before and done % 2 == 0
        before = done
    monkeypatch.setitem(inputs.BLOCK_ITEMS, "frames", 2)
    lines = said_by(capsys, work, *options[2:])[1]
    assert f"goes on after {done} of 60 items" in lines[0] or not done
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), expected)


# --- one sentence, and nothing left -------------------------------------------------------------------------------


def wrong_frames(folder, name, **change):
    frames = np.zeros((5, 4, 6), np.float32)
    for place, value in change.get("values", {}).items():
        frames[place] = value
    np.save(folder / name, frames.astype(change.get("dtype", np.float32))[..., : change.get("width", 6)])
    return folder / name


REFUSED = {
    "no such file": (lambda f: f / "no.npy", "no.npy: --input: expected a file, found none of that name."),
    "another ending": (lambda f: (f / "a.csv").write_text("a") and f / "a.csv", "expected a file ending in .npy, .npz"),
    "another width": (
        lambda f: wrong_frames(f, "a.npy", width=5),
        "a.npy: --input: expected video [items, frames, 6], found [5, 4, 5].",
    ),
    "nan": (
        lambda f: wrong_frames(f, "a.npy", values={(3, 1, 2): np.nan}),
        "a.npy: expected finite numbers in float32, found nan in item 3, place [1, 2].",
    ),
    "too large": (
        lambda f: (
            wrong_frames(f, "a.npy", values={(0, 0, 0): 1e30}, dtype=np.float64)
            and np.save(f / "a.npy", np.full((2, 4, 6), 1e300))
            or f / "a.npy"
        ),
        "a.npy: expected finite numbers in float32, found 1e+300 in item 0",
    ),
    "no numbers": (
        lambda f: np.save(f / "a.npy", np.full((2, 4, 6), "x")) or f / "a.npy",
        "a.npy: --input: expected an array of numbers, found <U1.",
    ),
    "a pickle": (
        lambda f: np.save(f / "a.npy", np.array([{}, {}]), allow_pickle=True) or f / "a.npy",
        "a.npy: holds pickled Python objects, which are never loaded",
    ),
    "no items": (
        lambda f: np.save(f / "a.npy", np.zeros((0, 4, 6))) or f / "a.npy",
        "a.npy: --input: expected at least one item, found none.",
    ),
    "texts": (lambda f: (f / "a.txt").write_text("a") and f / "a.txt", "for the model has no words, found texts."),
    "pictures": (lambda f: f, "expected video [items, frames, 6], which no pictures are"),
    "no part": (lambda f: "jhmdb/tset", "jhmdb/tset: --input: expected one of jhmdb/train, jhmdb/query, found 'tset'"),
    "a dataset of other items": (lambda f: "jhmdb/query", "expected video [items, frames, 6], found [176, 16, 30]."),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_input_is_one_sentence_and_nothing_left(case, clips, tmp_path, capsys):
    make, sentence = REFUSED[case]
    given, output = make(tmp_path), tmp_path / "out" / "codes.npy"
    code, lines, errors = said_by(capsys, clips[0], "--input", given, "--output", output)
    assert (code, lines, len(errors)) == (2, [], 1)
    assert sentence in errors[0]
    assert not output.parent.exists() or os.listdir(output.parent) == []


@pytest.mark.parametrize(
    "options, sentence",
    [
        ((), "--output: expected a file, or --index a collection, found neither."),
        (("--output", "codes.npz"), "codes.npz: --output: expected a name that ends in .npy, found .npz."),
        (("--output", "clips.npy"), "clips.npy: --output: expected another place than the input or a folder."),
        (("--output", "a.npy", "--ids", "b"), "--ids: expected an --index whose items they name, found none."),
        (("--output", "a.npy", "--modality", "image"), "--modality: expected one of video, found 'image'."),
        (("--output", "a.npy", "--method", "cosine"), "expected one that makes codes, found 'cosine', which makes"),
        (("--output", "a.npy", "--seed", "3"), "expected a finished run of lsh with seed 3, found none"),
        (("--index", "s3://bucket/i"), "--output: expected a file too, for codes on their way to an index on object"),
    ],
)
def test_a_wrong_option_is_one_sentence(options, sentence, clips, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("clips.npy", clips[1])
    code, _, errors = said_by(capsys, clips[0], "--input", "clips.npy", *options)
    assert code == 2 and sentence in errors[0] and os.listdir() == ["clips.npy"]


def test_a_damaged_checkpoint_is_one_sentence(clips, tmp_path, capsys):
    work = tmp_path / "copy"
    subprocess.run(["cp", "-r", clips[0], work], check=True)
    for file in (work / "seed-0" / "lsh").glob("*/past/**/*"):
        if file.is_file() and file.stat().st_size > 200:
            file.write_bytes(file.read_bytes()[:100])
    code, _, errors = said_by(capsys, work, "--input", "files/query", "--output", tmp_path / "codes.npy")
    assert code == 2 and "expected a whole checkpoint, found a damaged one" in errors[0]


def test_a_damaged_normalisation_is_one_sentence(clips, tmp_path, capsys):
    work = tmp_path / "copy"
    subprocess.run(["cp", "-r", clips[0], work], check=True)
    os.truncate(work / "normalisation.npz", 60)
    code, _, errors = said_by(capsys, work, "--input", "files/query", "--output", tmp_path / "codes.npy")
    assert code == 2 and f"{work}: expected the workdir of an experiment (" in errors[0]


PICTURES = {
    "cut short": (lambda shop: os.truncate(shop / "p07.png", 60), "p07.png: damaged"),
    "none": (lambda shop: [file.unlink() for file in shop.glob("*.png")], "expected .jpg, .jpeg, .png"),
}


@pytest.mark.parametrize("case", PICTURES)
def test_a_wrong_folder_of_pictures_is_one_sentence(case, photographs, tmp_path, capsys):
    shop = tmp_path / "shop"
    subprocess.run(["cp", "-r", photographs[1], shop], check=True)
    change, sentence = PICTURES[case]
    change(shop)
    options = ("--input", shop, "--modality", "image", "--output", tmp_path / "codes.npy")
    code, _, errors = said_by(capsys, photographs[0], *options)
    assert code == 2 and sentence in errors[0] and os.listdir(tmp_path) == ["shop"]


# --- broken pictures that are left out ----------------------------------------------------------------------------

LEFT_OUT = [7, 20, 21, 47]


@pytest.fixture
def damaged(photographs, tmp_path, monkeypatch):
    """The folder of pictures, some of them broken, read in blocks of 10."""
    shop = tmp_path / "shop"
    shutil.copytree(photographs[1], shop)
    os.truncate(shop / "p07.png", 60)
    for row in LEFT_OUT[1:]:
        (shop / f"p{row}.png").write_bytes(b"not a picture")
    monkeypatch.setitem(inputs.BLOCK_ITEMS, "pixels", 10)
    return shop


def skipping(shop, output, *more):
    return ("--input", shop, "--modality", "image", "--output", output, "--broken", "skip", *more)


def whole_of(image):
    return np.delete(image, LEFT_OUT, axis=0)


WHOLE = [f"p{i:02}.png" for i in range(48) if i not in LEFT_OUT]


@pytest.mark.parametrize("archive", [False, True])
def test_broken_pictures_have_no_row_are_named_and_counted(archive, damaged, photographs, tmp_path, capsys):
    work, _, image, _ = photographs
    place, inside = (zipped(damaged, tmp_path / "shop.zip"), "all/") if archive else (damaged, "")
    output = tmp_path / "codes.npy"
    code, (line,), errors = said_by(capsys, work, *skipping(place, output))
    assert code == 0 and line.startswith("44 items of 8 bits, ") and ", 4 broken left out: " in line
    np.testing.assert_array_equal(np.load(output), whole_of(image))
    assert (tmp_path / "codes.npy.ids.txt").read_text().splitlines() == [f"{inside}{name}" for name in WHOLE]
    for error, row in zip(errors, LEFT_OUT, strict=False):
        assert error.startswith(f"jhash: {place}: left out: {inside}p{row:02}.png: ")
    assert len(errors) == 5 and f"4 of 48 items are broken and left out, such as {inside}p07.png: " in errors[-1]
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]


def test_without_broken_pictures_all_rows_have_ids_too(photographs, tmp_path, capsys):
    work, shop, image, _ = photographs
    code, (line,), errors = said_by(capsys, work, *skipping(shop, tmp_path / "codes.npy", "--packed"))
    assert (code, errors) == (0, []) and line.endswith(f"packed uint8; ids of its rows in {tmp_path}/codes.npy.ids.txt")
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), np.packbits(image > 0, axis=1))
    assert read_ids(tmp_path / "codes.npy.ids.txt") == [f"p{i:02}.png" for i in range(48)]


@pytest.mark.parametrize("given", [False, True])
def test_an_index_gets_the_ids_of_whole_pictures(given, damaged, photographs, tmp_path, monkeypatch, capsys):
    work, _, image, _ = photographs
    monkeypatch.setattr(encode, "ADDED", 9)
    (tmp_path / "ids.txt").write_text("".join(f"sku-{i}\n" for i in range(48)))
    ids = [f"sku-{i}" for i in range(48) if i not in LEFT_OUT] if given else WHOLE
    more = ("--index", tmp_path / "i.index", *(("--ids", tmp_path / "ids.txt") if given else ()))
    assert said_by(capsys, work, *skipping(damaged, tmp_path / "codes.npy", *more))[0] == 0
    np.testing.assert_array_equal(held_by(tmp_path / "i.index", work, ids)[0], whole_of(image))
    assert read_ids(tmp_path / "codes.npy.ids.txt") == ids


def killed_after(blocks, work, options, monkeypatch, capsys):
    """Gives the command, which ends behind some blocks and leaves what a kill leaves: what counted before."""
    whole = trained.encoded

    def ends(*given):
        for number, codes in enumerate(whole(*given)):
            if number == blocks:
                raise KeyboardInterrupt
            yield codes

    with monkeypatch.context() as patch:
        patch.setattr(encode, "encoded", ends)
        patch.setattr(code_file, "SECONDS", 0.0)
        patch.setattr(code_file.CodeFile, "leave", lambda self: None)
        assert said_by(capsys, work, *options)[0] == 130


@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_rows_and_ids_are_the_same_after_a_kill(blocks, damaged, photographs, tmp_path, monkeypatch, capsys):
    work, _, image, _ = photographs
    options = skipping(damaged, tmp_path / "codes.npy")
    killed_after(blocks, work, options, monkeypatch, capsys)
    code, lines, errors = said_by(capsys, work, *options)
    assert code == 0 and f"goes on after {10 * blocks} of 48 items" in lines[0]
    before = sum(row < 10 * blocks for row in LEFT_OUT)
    assert f"44 items of 8 bits, {10 * blocks - before} of them before" in lines[1]
    assert len(errors) == 5 - before and "4 of 48 items are broken and left out, such as p07.png" in errors[-1]
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), whole_of(image))
    assert read_ids(tmp_path / "codes.npy.ids.txt") == WHOLE


def test_a_block_of_broken_pictures_alone_counts_after_a_kill(photographs, tmp_path, monkeypatch, capsys):
    work, shop, image, _ = photographs
    shutil.copytree(shop, tmp_path / "shop")
    for row in range(10):
        (tmp_path / "shop" / f"p{row:02}.png").write_bytes(b"")
    monkeypatch.setitem(inputs.BLOCK_ITEMS, "pixels", 10)
    options = skipping(tmp_path / "shop", tmp_path / "codes.npy")
    killed_after(1, work, options, monkeypatch, capsys)
    assert "goes on after 10 of 48 items" in said_by(capsys, work, *options)[1][0]
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy"), image[10:])


def test_what_was_refused_goes_on_with_skip_and_not_the_other_way(damaged, photographs, tmp_path, monkeypatch, capsys):
    work, _, image, _ = photographs
    (damaged / "p07.png").write_bytes((damaged / "p10.png").read_bytes())
    options = skipping(damaged, tmp_path / "codes.npy")
    code, _, (error,) = said_by(capsys, work, *options[:-2])
    assert code == 2 and error == f"jhash: error: {damaged}: p20.png: not a picture ({', '.join(decode.FORMATS)})."
    killed_after(1, work, options, monkeypatch, capsys)
    code, lines, (error,) = said_by(capsys, work, *options[:-2])
    assert code == 2 and "begins again: broken items are left out of it." in lines[0] and "p20.png" in error
    assert "goes on after 20 of 48 items" in said_by(capsys, work, *options)[1][0]
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npy")[8:], np.delete(image, LEFT_OUT[1:], axis=0)[8:])


def test_ids_beside_codes_are_those_of_the_codes_whatever_the_option(damaged, photographs, tmp_path, capsys):
    work, shop, *_ = photographs
    options = skipping(damaged, tmp_path / "codes.npy")
    said_by(capsys, work, *options)
    assert said_by(capsys, work, "--input", shop, *options[2:-2])[0] == 0
    assert read_ids(tmp_path / "codes.npy.ids.txt") == [f"p{i:02}.png" for i in range(48)]


def test_broken_pictures_alone_are_one_sentence_and_nothing_left(photographs, tmp_path, capsys):
    (tmp_path / "shop").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "shop" / name).write_bytes(b"")
    code, lines, errors = said_by(capsys, photographs[0], *skipping(tmp_path / "shop", tmp_path / "codes.npy"))
    assert code == 2 and lines == []
    assert "--input: every one of 2 items is broken, such as a.png: not a picture" in errors[-1]
    assert os.listdir(tmp_path) == ["shop"]


@pytest.mark.parametrize(
    "name, content, more, sentence",
    [
        (
            "a.txt",
            b"red",
            (),
            "a.txt: --broken: expected a folder or .zip of pictures or clips to skip in, found neither",
        ),
        ("shop/a\nb.png", b"", (), "codes.npy.ids.txt: expected ids of one line each, found 'a\\nb.png'."),
        (
            "shop/a.png",
            b"",
            ("--index", "i", "--ids", "codes.npy.ids.txt"),
            "codes.npy.ids.txt: --ids: expected another file than the one of the ids beside --output.",
        ),
    ],
)
def test_where_nothing_can_be_left_out_is_one_sentence(
    name, content, more, sentence, photographs, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content)
    given = name if name.endswith(".txt") else "shop"
    options = ("--input", given, "--modality", "text" if given == name else "image", "--output", "codes.npy", *more)
    code, _, errors = said_by(capsys, photographs[0], *options, "--broken", "skip")
    assert code == 2 and sentence in errors[0] and os.listdir() == [given]


# --- texts --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, sentence",
    [
        (b'"a"\n{"txt": "b"}\n', 'line 2: expected a text in quotes or {"text": ...}, found {"txt": "b"}.'),
        (b'"a"\nb\n', "line 2: expected JSON, found something else"),
        (b'"a"\n"\xff"\n', "line 2: expected text in UTF-8, found byte 0xff."),
        (b'{"text": "a", "id": [1]}', "line 1: expected an 'id' that is a text or a whole number, found [1]."),
        (b'"' + b"a" * 2**20 + b'"', "line 1: expected at most 1,048,576 bytes, found more."),
    ],
)
def test_a_wrong_line_is_one_sentence(content, sentence, photographs, tmp_path, capsys):
    (tmp_path / "a.jsonl").write_bytes(content)
    options = ("--input", tmp_path / "a.jsonl", "--modality", "text", "--output", tmp_path / "codes.npy")
    code, _, errors = said_by(capsys, photographs[0], *options)
    assert code == 2 and sentence in errors[0] and os.listdir(tmp_path) == ["a.jsonl"]


def test_a_table_of_texts_is_told_what_texts_come_in(photographs, tmp_path, capsys):
    (tmp_path / "a.csv").write_text("name\nred shoe\n")
    options = ("--input", tmp_path / "a.csv", "--modality", "text", "--output", tmp_path / "codes.npy")
    code, _, errors = said_by(capsys, photographs[0], *options)
    assert code == 2 and "a.csv: --input: expected texts in .txt or .jsonl, or an array in .npy, .npz" in errors[0]


def test_texts_of_two_files_are_no_replacements(photographs, tmp_path, capsys):
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("name 1\nname 2\n")
        options = ("--input", tmp_path / name, "--modality", "text", "--index", tmp_path / "i.index")
        assert said_by(capsys, photographs[0], *options)[0] == 0
    with Index.open(tmp_path / "i.index", fingerprint=trained.open_run(photographs[0]).fingerprint) as index:
        assert index.stats().items == 4


def test_of_several_media_one_must_be_named(photographs, tmp_path, capsys):
    code, _, errors = said_by(capsys, photographs[0], "--input", "raw/test", "--output", tmp_path / "codes.npy")
    assert code == 2 and errors == ["jhash: error: --modality: expected one of image, text, found none."]


# --- into an index ------------------------------------------------------------------------------------------------


def held_by(place, work, ids):
    """What an index of the run holds under ids, nearest first to each one's own code: all at distance 0."""
    index = Index.open(place, fingerprint=trained.open_run(work).fingerprint)
    index.export(Path(place).parent / "export")
    export = Index.load_export(Path(place).parent / "copy.index", Path(place).parent / "export")
    assert export.stats().items == len(ids)
    lines = (Path(place).parent / "export" / "items.jsonl").read_text().splitlines()
    packed = np.load(Path(place).parent / "export" / "codes.npy", allow_pickle=False)
    assert [json.loads(line)["id"] for line in lines] == ids
    bits = np.unpackbits(packed, axis=1, bitorder="little", count=index.stats().bits)
    return np.where(bits > 0, 1, -1), [json.loads(line)["modality"] for line in lines]


@pytest.mark.parametrize("output", [True, False])
def test_codes_are_added_to_an_index_that_is_made_for_them(output, clips, tmp_path, monkeypatch, capsys):
    work, frames, expected = clips
    monkeypatch.setattr(encode, "ADDED", 25)
    np.save(tmp_path / "clips.npy", frames)
    options = ("--output", tmp_path / "codes.npy") if output else ()
    code, lines, errors = said_by(
        capsys, work, "--input", tmp_path / "clips.npy", "--index", tmp_path / "i.index", *options
    )
    assert (code, errors) == (0, []) and lines[-1].endswith("i.index")
    assert sorted(os.listdir(tmp_path)) == sorted(["clips.npy", "i.index"] + ["codes.npy"] * output)
    codes, modality = held_by(tmp_path / "i.index", work, [f"video/clips.npy/{row}" for row in range(60)])
    np.testing.assert_array_equal(codes, expected)
    assert set(modality) == {"video"}
    assert not output or (np.load(tmp_path / "codes.npy") == expected).all()


def test_ids_are_given_or_names_of_pictures_or_of_lines(photographs, tmp_path, capsys):
    work, shop, image, text = photographs
    given = [f"sku-{i}" for i in range(48)]
    (tmp_path / "ids.txt").write_text("\n".join(given) + "\n")
    lines = [json.dumps({"id": 1000 + i, "text": name}) for i, name in enumerate(names_of(shop))]
    (tmp_path / "names.jsonl").write_text("\n".join(lines))
    places = {
        "given": (("--input", shop, "--modality", "image", "--ids", tmp_path / "ids.txt"), given, image),
        "names": (("--input", shop, "--modality", "image"), [f"p{i:02}.png" for i in range(48)], image),
        "lines": (
            ("--input", tmp_path / "names.jsonl", "--modality", "text"),
            [str(1000 + i) for i in range(48)],
            text,
        ),
        "parts": (("--input", "raw/test", "--modality", "text"), [f"text/test/{i}" for i in range(12)], text[:12]),
    }
    for name, (options, ids, expected) in places.items():
        (tmp_path / name).mkdir()
        code, _, errors = said_by(capsys, work, *options, "--index", tmp_path / name / "i.index")
        assert (code, errors) == (0, [])
        np.testing.assert_array_equal(held_by(tmp_path / name / "i.index", work, ids)[0], expected)


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_ids_beside_an_array_are_those_of_its_rows(ending, clips, tmp_path, capsys):
    work, frames, expected = clips
    ids = [f"day/{i}.mp4" for i in range(60)]
    arrays = {"video": frames, "video_ids": np.array(ids), "text_ids": np.array([f"text/{i}" for i in range(60)])}
    if ending == ".npz":
        np.savez(tmp_path / "clips.npz", **arrays)
    else:
        with h5py.File(tmp_path / "clips.h5", "w") as file:
            for name, array in arrays.items():
                file[name] = array.astype(object) if array.dtype.kind == "U" else array
    code, _, errors = said_by(capsys, work, "--input", tmp_path / f"clips{ending}", "--index", tmp_path / "i.index")
    assert (code, errors) == (0, [])
    np.testing.assert_array_equal(held_by(tmp_path / "i.index", work, ids)[0], expected)


def test_the_same_ids_again_take_the_place_of_the_earlier_ones(clips, tmp_path, capsys):
    work, frames, expected = clips
    for turn in (frames, frames[::-1]):
        np.save(tmp_path / "clips.npy", turn)
        _, lines, _ = said_by(capsys, work, "--input", tmp_path / "clips.npy", "--index", tmp_path / "i.index")
    assert lines[-1].endswith("i.index, 60 in place of others")
    codes, _ = held_by(tmp_path / "i.index", work, [f"video/clips.npy/{row}" for row in range(60)])
    np.testing.assert_array_equal(codes, expected[::-1])


def test_what_an_index_did_not_get_is_added_without_encoding_again(clips, tmp_path, monkeypatch, capsys):
    work, frames, expected = clips
    np.save(tmp_path / "clips.npy", frames)
    options = ("--input", tmp_path / "clips.npy", "--index", tmp_path / "i.index")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Index, "add", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert said_by(capsys, work, *options)[0] == 130
    assert "i.index.video.npy.partial" in os.listdir(tmp_path)
    monkeypatch.setattr(trained, "_codes", lambda *_: pytest.fail("encoded again"))
    code, lines, _ = said_by(capsys, work, *options)
    assert code == 0 and "60 items of 16 bits, 60 of them before: " in lines[-1]
    assert sorted(os.listdir(tmp_path)) == ["clips.npy", "i.index"]
    np.testing.assert_array_equal(
        held_by(tmp_path / "i.index", work, [f"video/clips.npy/{row}" for row in range(60)])[0], expected
    )


def test_an_index_of_another_model_or_length_is_refused_before_encoding(clips, tmp_path, monkeypatch, capsys):
    work, frames, _ = clips
    np.save(tmp_path / "clips.npy", frames)
    Index.create(tmp_path / "other.index", bits=16, fingerprint="f" * 64).close()
    Index.create(tmp_path / "short.index", bits=8, fingerprint=trained.open_run(work).fingerprint).close()
    monkeypatch.setattr(trained, "_codes", lambda *_: pytest.fail("encoded"))
    for name, sentence in (("other", "expected the codes of the model"), ("short", "expected codes of 16 bits, as")):
        options = ("--input", tmp_path / "clips.npy", "--index", tmp_path / f"{name}.index")
        code, _, errors = said_by(capsys, work, *options)
        assert code == 2 and sentence in errors[0]
    assert sorted(os.listdir(tmp_path)) == ["clips.npy", "other.index", "short.index"]


@pytest.mark.parametrize(
    "content, sentence",
    [
        ("".join(f"{i}\n" for i in range(59)), "ids.txt: --ids: expected 60 lines, an id an item, found 59."),
        ("a\n" * 60, "ids: expected each once, found 'a' in rows 0 and 1."),
        ("a\n\n" + "b\n" * 58, "ids.txt, line 2: --ids: expected an id, found an empty line."),
    ],
)
def test_wrong_ids_are_refused_before_an_index_is_made(content, sentence, clips, tmp_path, capsys):
    work, frames, _ = clips
    np.save(tmp_path / "clips.npy", frames)
    (tmp_path / "ids.txt").write_text(content)
    options = ("--index", tmp_path / "i.index", "--ids", tmp_path / "ids.txt")
    code, _, errors = said_by(capsys, work, "--input", tmp_path / "clips.npy", *options)
    assert code == 2 and sentence in errors[0]
    assert sorted(os.listdir(tmp_path)) == ["clips.npy", "ids.txt"]
