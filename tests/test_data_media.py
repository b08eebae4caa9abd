"""Media for streams: the shipped samples, small files in every published format and their conversions, bad input."""

import time

import h5py
import numpy as np
import pytest
import scipy.io

from jhash.data import convert, published, published_media, samples
from jhash.data.media import MEDIA, at_most, open_medium, symmetric_noise
from jhash.data.source import ArrayTable
from jhash.features import character_ngrams
from jhash.types import InputError

FIVE = ("image", "text", "audio", "3d", "video")
WIDTHS = {"image": 6, "text": 5, "audio": 3, "3d": 4, "video": 6}


def features(seed, items, width):
    return np.random.default_rng(seed).normal(size=(items, width)).astype(np.float32)


def numbers(seed, items, first=1):
    return np.random.default_rng(seed).permutation(np.arange(items) % 4) + first


def tags(seed, items):
    return np.random.default_rng(seed).integers(0, 2, (items, 5)).astype(np.uint8)


def wikipedia_deep(path):
    arrays = {}
    for seed, (part, items) in enumerate((("train", 9), ("test", 7))):
        arrays[f"{part}_imgs_deep"] = features(seed, items, 6)
        arrays[f"{part}_texts_doc"] = features(seed + 10, items, 5)
        arrays[f"{part}_imgs_labels"] = numbers(seed, items)[None].astype(np.float64)  # a row, as MATLAB may have it
    scipy.io.savemat(path, arrays, do_compression=True)


def nuswide(path):
    with h5py.File(path, "w") as file:
        for seed, (part, items) in enumerate((("train", 9), ("test", 7), ("valid", 5))):
            file[f"{part}_imgs_deep"], file[f"{part}_texts"] = features(seed, items, 6), features(seed + 10, items, 5)
            file[f"{part}_imgs_labels"] = numbers(seed, items, first=0)


def xmedia(path):
    names = {"image": "I_{}_CNN", "text": "T_{}_BOW", "audio": "A_{}", "3d": "d3_{}", "video": "V_{}_CNN"}
    labels = {"image": "Img", "text": "Txt", "audio": "Aud", "3d": "3d", "video": "Vid"}
    arrays = {}
    for seed, medium in enumerate(FIVE):
        for part, items in (("tr", 9 + seed), ("te", 4)):
            arrays[names[medium].format(part)] = features(seed + 10 * len(part + medium), items, WIDTHS[medium])
            arrays[f"{part}{labels[medium]}Cat"] = numbers(seed, items)[:, None]
    scipy.io.savemat(path, arrays)


def xmedianet_cells():
    arrays = {}
    for seed, (part, items) in enumerate((("train", 9), ("test", 7), ("valid", 5))):
        arrays[part] = [features(10 * seed + i, items + i, WIDTHS[medium]) for i, medium in enumerate(FIVE)]
        arrays[f"{part}_labels"] = [numbers(10 * seed + i, items + i)[None] for i in range(5)]
    return arrays


def xmedianet(path):
    cells = {}
    for name, arrays in xmedianet_cells().items():
        cells[name] = np.empty((1, 5), object)
        cells[name][0] = arrays
    scipy.io.savemat(path, cells)


def xmedianet_73(path):
    """As MATLAB writes version 7.3: a cell array is an HDF5 dataset of references, and every array is transposed."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, arrays in xmedianet_cells().items():
            references = []
            for i, array in enumerate(arrays):
                file[f"#refs#/{name}{i}"] = array.T
                references.append(file[f"#refs#/{name}{i}"].ref)
            file.create_dataset(name, data=np.array(references, h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype)


def multilabel(path):
    with h5py.File(path, "w") as file:
        for seed, (role, items) in enumerate((("Train", 9), ("Query", 3), ("DataBase", 12))):
            file[f"Img{role}"], file[f"Tag{role}"] = features(seed, items, 6), features(seed + 10, items, 5)
            file[f"Lab{role}"] = tags(seed, items)


WRITERS = {
    "wikipedia_deep": (wikipedia_deep, "wiki.mat"),
    "nuswide": (nuswide, "nus.h5"),
    "xmedia": (xmedia, "xmedia.mat"),
    "xmedianet": (xmedianet, "xmedianet.mat"),
    "multilabel": (multilabel, "flickr.h5"),
}


@pytest.fixture
def written(tmp_path):
    """dataset -> the config that reads a small file of it."""

    def write(name, writer=None):
        given, file = WRITERS[name]
        (writer or given)(tmp_path / file)
        return {"name": name, "file": str(tmp_path / file)}

    return write


def arrays(table):
    return table.arrays["features"], table.arrays["labels"]


def test_wikipedia_deep_has_pairs_of_two_media(written):
    config = written("wikipedia_deep")
    image, text = (open_medium(config, medium) for medium in MEDIA["wikipedia_deep"])
    np.testing.assert_array_equal(arrays(image.train)[0], features(0, 9, 6))
    np.testing.assert_array_equal(arrays(text.test)[0], features(11, 7, 5))
    np.testing.assert_array_equal(arrays(text.test)[1], np.eye(4, dtype=np.uint8)[numbers(1, 7, first=0)])
    np.testing.assert_array_equal(arrays(image.test)[1], arrays(text.test)[1])
    assert (image.name, image.classes, image.database) == ("image", ("1", "2", "3", "4"), None)
    assert image.train.columns["features"].dtype == np.float32 and image.train.columns["labels"].dtype == np.uint8


def test_nuswide_joins_its_validation_items_behind_the_test_items(written):
    text = open_medium(written("nuswide"), "text")
    assert (len(text.train), len(text.test), text.classes) == (9, 12, ("0", "1", "2", "3"))
    np.testing.assert_array_equal(arrays(text.test)[0], np.concatenate([features(11, 7, 5), features(12, 5, 5)]))
    expected = np.concatenate([numbers(1, 7, first=0), numbers(2, 5, first=0)])
    np.testing.assert_array_equal(arrays(text.test)[1].argmax(axis=1), expected)


def test_xmedia_has_five_media_of_their_own_sizes(written):
    config = written("xmedia")
    for seed, name in enumerate(FIVE):
        medium = open_medium(config, name)
        assert medium.train.columns["features"].shape == (WIDTHS[name],)
        assert (len(medium.train), len(medium.test), medium.classes) == (9 + seed, 4, ("1", "2", "3", "4"))
        np.testing.assert_array_equal(
            arrays(medium.train)[0], features(seed + 10 * len("tr" + name), 9 + seed, WIDTHS[name])
        )


@pytest.mark.parametrize("writer", [xmedianet, xmedianet_73])
def test_xmedianet_reads_cells_of_both_versions(writer, written):
    config, cells = written("xmedianet", writer), xmedianet_cells()
    for i, name in enumerate(FIVE):
        medium = open_medium(config, name)
        np.testing.assert_array_equal(arrays(medium.train)[0], cells["train"][i])
        np.testing.assert_array_equal(arrays(medium.test)[0], np.concatenate([cells["test"][i], cells["valid"][i]]))
        np.testing.assert_array_equal(arrays(medium.train)[1].argmax(axis=1) + 1, cells["train_labels"][i][0])


def test_multilabel_files_have_a_database_of_their_own(written):
    medium = open_medium(written("multilabel"), "text")
    assert (len(medium.train), len(medium.test), len(medium.database)) == (9, 3, 12)
    np.testing.assert_array_equal(arrays(medium.database)[0], features(12, 12, 5))
    np.testing.assert_array_equal(arrays(medium.database)[1], tags(2, 12))
    assert medium.classes == ("0", "1", "2", "3", "4")


def test_fields_of_other_media_are_not_looked_for(written):
    config = written("multilabel")
    with h5py.File(config["file"], "a") as file:
        del file["ImgTrain"], file["ImgQuery"], file["ImgDataBase"]
    assert len(open_medium(config, "text").train) == 9
    with pytest.raises(InputError, match=r"flickr.h5: expected a dataset 'ImgTrain', found LabDataBase, .*TagTrain"):
        open_medium(config, "image")


def test_a_class_that_only_the_test_part_has_gets_a_column(written):
    config = written("nuswide")
    rewrite(
        config, train_imgs_labels=np.repeat([7, 40, 40], 3), test_imgs_labels=np.full(7, -1), valid_imgs_labels=[7] * 5
    )
    medium = open_medium(config, "image")
    assert medium.classes == ("-1", "7", "40")
    np.testing.assert_array_equal(arrays(medium.train)[1].sum(axis=0), [0, 3, 6])


def test_one_hot_labels_are_taken_as_they_are(written):
    config = written("wikipedia_deep")
    rewrite(config, train_imgs_labels=np.eye(6)[numbers(0, 9)], test_imgs_labels=np.eye(6)[numbers(1, 7)])
    medium = open_medium(config, "image")
    assert medium.classes == ("0", "1", "2", "3", "4", "5")
    np.testing.assert_array_equal(arrays(medium.test)[1], np.eye(6)[numbers(1, 7)])


def test_an_h5_that_matlab_wrote_is_turned(written):
    config = written("multilabel")
    with h5py.File(config["file"], "a") as file:
        for name in list(file):
            array = file[name][()]
            del file[name]
            file[name] = array.T
            file[name].attrs["MATLAB_class"] = np.bytes_("double")
    np.testing.assert_array_equal(arrays(open_medium(config, "image").test)[0], features(1, 3, 6))


def rewrite(config, **changed):
    """Other values in the fields of a written file; None takes the field away."""
    path = config["file"]
    if path.endswith(".mat"):
        given = {name: array for name, array in scipy.io.loadmat(path).items() if not name.startswith("__")}
        scipy.io.savemat(path, {name: array for name, array in (given | changed).items() if array is not None})
        return
    with h5py.File(path, "a") as file:
        for name, array in changed.items():
            del file[name]
            if array is not None:
                file[name] = array


def with_value(value):
    array = features(0, 9, 6)
    array[5, 2] = value
    return array


BAD = {
    "a field that is missing": ({"train_imgs_deep": None}, "expected an? .* 'train_imgs_deep', found .*test_imgs_deep"),
    "labels that are missing": ({"test_imgs_labels": None}, "expected an? .* 'test_imgs_labels', found"),
    "features too few": (
        {"train_imgs_deep": features(0, 8, 6)},
        "'train_imgs_labels' must have a row for each of the 8 items of 'train_imgs_deep', found .*9",
    ),
    "a NaN": (
        {"train_imgs_deep": with_value(np.nan)},
        "'train_imgs_deep' must be finite, found nan in item 5, dim.* 2",
    ),
    "an infinity": ({"train_imgs_deep": with_value(np.inf)}, "must be finite, found inf in item 5, dimension 2"),
    "no items": (
        {"train_imgs_deep": np.zeros((0, 6)), "train_imgs_labels": np.zeros((0, 1))},
        r"'train_imgs_deep' \(image\) must be \[items, width\], neither of them 0, found \[0, 6\]",
    ),
    "three axes": ({"train_imgs_deep": np.ones((9, 2, 3))}, r"must be \[items, width\], .* found \[9, 2, 3\]"),
    "words": ({"train_imgs_deep": np.array([b"ab", b"cd"])}, "'train_imgs_deep' must be an array of numbers, found"),
    "class numbers that are broken": (
        {"train_imgs_labels": np.array([1, 2, 1.5, 1, 2, 1, 2, 1, 2])},
        "'train_imgs_labels' must be whole class numbers, found 1.5 for item 2",
    ),
    "class numbers that are NaN": (
        {"train_imgs_labels": np.full(9, np.nan)},
        "'train_imgs_labels' must be whole class numbers, found nan for item 0",
    ),
    "columns that are not 0 or 1": (
        {"train_imgs_labels": np.eye(9)[:, :4] * 2},
        "'train_imgs_labels': labels must be 0 or 1, found 2.0 at row 0, column 0",
    ),
    "class numbers here and columns there": (
        {"train_imgs_labels": np.eye(9)[:, :4]},
        "labels must have one column a class, .* train_imgs_labels 4, test_imgs_labels class numbers",
    ),
    "test items of another width": (
        {"test_imgs_deep": features(1, 7, 3)},
        "image items must be 6 wide in 'test_imgs_deep' as in 'train_imgs_deep', found 3",
    ),
}


@pytest.mark.parametrize("name", ["wikipedia_deep", "nuswide"])
@pytest.mark.parametrize("case", BAD)
def test_a_file_that_is_wrong(case, name, written):
    config = written(name)
    changed, message = BAD[case]
    if name == "nuswide" and case == "test items of another width":
        message = "'valid_imgs_deep' must be 3 wide like 'test_imgs_deep', found 6"
    rewrite(config, **changed)
    with pytest.raises(InputError, match=message) as error:
        open_medium(config, "image")
    assert str(error.value).startswith(config["file"]) and "\n" not in str(error.value)


def test_a_cell_that_is_missing(written):
    config = written("xmedianet")
    rewrite(config, train=scipy.io.loadmat(config["file"])["train"][:, :2])
    assert len(open_medium(config, "text").train) == 10
    with pytest.raises(InputError, match="xmedianet.mat: 'train' must be a cell array of at least 3 cells"):
        open_medium(config, "audio")


def test_a_cell_of_nan_is_named_with_its_medium(written):
    config = written("xmedianet")
    cells = scipy.io.loadmat(config["file"])["test"]
    cells[0, 2][1, 0] = np.nan
    rewrite(config, test=cells)
    with pytest.raises(InputError, match="'test', cell 3 must be finite, found nan in item 1, dimension 0"):
        open_medium(config, "audio")


@pytest.mark.parametrize("name", ["wikipedia_deep", "nuswide"])
def test_a_file_cut_short(name, written, tmp_path):
    config = written(name)
    whole = (tmp_path / WRITERS[name][1]).read_bytes()
    (tmp_path / WRITERS[name][1]).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="not a whole .* file"):
        open_medium(config, "image")


@pytest.mark.parametrize(
    ("config", "medium", "message"),
    [
        ({"name": "digit"}, "image", r"data.name: expected one of digits, .*, found 'digit' \(did you mean 'digits'"),
        ({"name": "digits"}, "imagе", "digits: expected a medium among image, stroke, .*, found 'imagе' .*'image'"),
        ({"name": "xmedia"}, "event", "xmedia: expected a medium among image, text, audio, 3d, video, found 'event'"),
        (
            {"name": "xmedia", "file": ""},
            "image",
            "data.file: expected the file of xmedia, which holds I_tr_CNN, trImg",
        ),
        ({"name": "xmedianet"}, "image", r"holds train, train_labels, test, .*valid_labels \(cell arrays of image, te"),
        (
            {"name": "nuswide", "file": "gone.h5"},
            "text",
            "data.file: no file of nuswide at 'gone.h5'; it holds train_im",
        ),
        (
            {"name": "nuswide", "format": "h5"},
            "text",
            "data.format: expected 'published' or 'array_record', found 'h5'",
        ),
        ({"name": "nuswide", "format": "array_record"}, "text", "data.dir: expected the folder that holds the conver"),
        (
            {"name": "nuswide", "format": "array_record", "dir": "gone"},
            "text",
            "no finished array_record conversion of nuswide; make it by `python -m jhash.data.convert --dataset nus",
        ),
        (
            {"name": "nuswide", "format": "array_record", "dir": "gone", "storage": "int8"},
            "text",
            "data.storage: expected 'float32' or 'float16', found 'int8'",
        ),
    ],
)
def test_a_config_that_is_wrong(config, medium, message):
    with pytest.raises(InputError, match=message):
        open_medium(config, medium)


def test_the_only_file_of_a_folder_is_found(written, tmp_path):
    config = written("nuswide")
    assert len(open_medium(config | {"file": str(tmp_path)}, "image").train) == 9
    (tmp_path / "other.mat").touch()
    with pytest.raises(InputError, match="expected one file of nuswide, found nus.h5, other.mat in .*: name one"):
        open_medium(config | {"file": str(tmp_path)}, "image")


@pytest.mark.parametrize("name", WRITERS)
def test_a_conversion_reads_back_as_the_file(name, written, tmp_path, monkeypatch):
    from jhash.data.builders import records

    monkeypatch.setattr(records, "SHARD_BYTES", 4 * 6 * 2)  # several shards even here
    config = written(name)
    folder = convert.convert(name, config["file"], tmp_path / "out", "float16")
    assert len(list(folder.glob(f"{name}-train_text.array_record-*"))) > 1
    stored = {"name": name, "format": "array_record", "dir": str(tmp_path / "out"), "storage": "float16"}
    for medium in MEDIA[name]:
        direct, back = open_medium(config, medium), open_medium(stored, medium)
        assert back.classes == direct.classes
        for part in ("train", "test", "database"):
            if getattr(direct, part) is None:
                assert getattr(back, part) is None
                continue
            expected, got = arrays(getattr(direct, part)), arrays(getattr(back, part))
            assert got[0].dtype == np.float32
            np.testing.assert_array_equal(got[0], expected[0].astype(np.float16).astype(np.float32))
            np.testing.assert_array_equal(got[1], expected[1])


def test_the_command_takes_a_folder_and_keeps_float32(written, tmp_path, capsys):
    config = written("wikipedia_deep")
    command = ["--dataset", "wikipedia_deep", "--source", str(tmp_path), "--output", str(tmp_path / "out")]
    assert convert.main([*command, "--storage", "float32"]) == 0
    assert "data.storage = 'float32'" in capsys.readouterr().out
    back = open_medium({"name": "wikipedia_deep", "format": "array_record", "dir": str(tmp_path / "out")}, "image")
    np.testing.assert_array_equal(arrays(back.test)[0], arrays(open_medium(config, "image").test)[0])


def test_what_float16_cannot_hold_stops_a_conversion(written, tmp_path):
    config = written("wikipedia_deep")
    rewrite(config, train_imgs_deep=with_value(7e4))
    with pytest.raises(
        InputError, match="wiki.mat .image, train.: item 5, dimension 2 is 70000.0, which cannot be stor"
    ):
        convert.convert("wikipedia_deep", config["file"], tmp_path / "out", "float16")
    assert not published.build_folder("wikipedia_deep", str(tmp_path / "out"), "float16").exists()


def test_a_disk_too_small_for_a_conversion(written, tmp_path, monkeypatch):
    config = written("multilabel")
    assert published_media.conversion_bytes("multilabel", config["file"], "float16") > 24 * (6 + 5) * 2 + 2 * 24 * 5
    monkeypatch.setattr(convert.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(InputError, match="the conversion needs [0-9]+ bytes of disk, only 1000 are free"):
        convert.convert("multilabel", config["file"], tmp_path / "out", "float16")


DIGITS = {  # width, training items, test items
    "image": (784, 4000, 1000),
    "stroke": (16, 7494, 1000),
    "audio": (1280, 1200, 300),
    "event": (2312, 1000, 100),
    "text": (2048, 4000, 1000),
    "sign": (784, 1648, 411),
}


@pytest.mark.parametrize("name", DIGITS)
def test_a_medium_of_the_digits(name):
    width, train, test = DIGITS[name]
    medium = open_medium({"name": "digits"}, name)
    assert (len(medium.train), len(medium.test), medium.database) == (train, test, None)
    assert medium.classes == tuple("0123456789")
    for table in (medium.train, medium.test):
        values, labels = arrays(table)
        assert (values.shape[1], values.dtype, labels.dtype) == (width, np.float32, np.uint8)
        assert np.isfinite(values).all() and (labels.sum(axis=1) == 1).all()
        assert len({row.tobytes() for row in values}) > 0.85 * len(values)
        assert (labels.mean(axis=0) > 0.015).all()
    assert not shared_rows(medium.train, medium.test) or name == "text"  # a word may mean the same in two languages


def shared_rows(one, other):
    rows = {row.tobytes() for row in one.arrays["features"]}
    return sum(row.tobytes() in rows for row in other.arrays["features"])


def test_images_are_balanced_and_signs_split_in_each_class():
    for part, number in (("train", 400), ("test", 100)):
        assert (samples.digits("image", part).arrays["labels"].sum(axis=0) == number).all()
    each = [samples.digits("sign", part).arrays["labels"].sum(axis=0, dtype=int) for part in ("train", "test")]
    np.testing.assert_allclose(each[0] / (each[0] + each[1]), 0.8, atol=0.004)


def test_no_language_is_in_both_parts_of_the_text():
    parts = [np.load(samples.FOLDER / "digits/text" / f"{part}.npz", allow_pickle=False) for part in ("train", "test")]
    train, test = (set(part["language"].tolist()) for part in parts)
    assert (len(train), len(test)) == (368, 92)
    assert not train & test
    assert max(len(word) for part in parts for word in part["word"]) <= 32


def test_spoken_test_digits_are_the_source_s_and_every_speaker_says_every_digit():
    for part, indices in (("train", range(5, 25)), ("test", range(5))):
        arrays = np.load(samples.FOLDER / "digits/audio" / f"{part}.npz", allow_pickle=False)
        triples = set(zip(arrays["speaker"].tolist(), arrays["digit"].tolist(), arrays["index"].tolist(), strict=True))
        speakers = np.unique(arrays["speaker"]).tolist()
        assert len(speakers) == 6
        assert triples == {(name, digit, index) for name in speakers for digit in range(10) for index in indices}


def test_digits_come_as_their_notes_say():
    assert (
        0.0 == arrays(samples.digits("image", "test"))[0].min() < arrays(samples.digits("image", "test"))[0].max() == 1
    )
    spoken = arrays(samples.digits("audio", "test"))[0]
    np.testing.assert_allclose(spoken.mean(axis=1), 0.0, atol=1e-4)
    strokes = arrays(samples.digits("stroke", "test"))[0].reshape(-1, 8, 2)
    np.testing.assert_allclose(strokes.mean(axis=1), 0.0, atol=1e-6)
    np.testing.assert_allclose(np.ptp(strokes, axis=1).max(axis=1), 1.0, atol=0.11)
    np.testing.assert_allclose(np.linalg.norm(arrays(samples.digits("text", "test"))[0], axis=1), 1.0, rtol=1e-5)


def mean_average_precision(queries, database, query_labels, database_labels):
    """Cosine similarity, ties in row order, over all: an independent few lines."""
    unit = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in (queries.astype(float), database.astype(float))]
    precisions = []
    for similarity, label in zip(unit[0] @ unit[1].T, query_labels.astype(int), strict=True):
        hits = (database_labels @ label > 0)[np.argsort(-similarity, kind="stable")]
        precisions.append(np.mean((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits]))
    return np.mean(precisions)


@pytest.mark.parametrize(("name", "width", "expected"), [("text", 10, 0.539), ("image", 128, 0.128)])
def test_wikipedia_gives_the_figure_of_an_independent_program(name, width, expected):
    """Real-valued cosine, mAP over all, as measured by another program."""
    medium = open_medium({"name": "wikipedia"}, name)
    (train, train_labels), (test, test_labels) = arrays(medium.train), arrays(medium.test)
    assert (train.shape, test.shape, medium.database) == ((2173, width), (693, width), None)
    found = mean_average_precision(test, train, test_labels, train_labels)
    assert round(found, 3) == expected


def test_wikipedia_is_paired_and_its_classes_have_names():
    image, text = (open_medium({"name": "wikipedia"}, name) for name in MEDIA["wikipedia"])
    for part in ("train", "test"):
        np.testing.assert_array_equal(arrays(getattr(image, part))[1], arrays(getattr(text, part))[1])
    assert image.classes[:2] == ("art", "biology") and image.classes[-1] == "warfare"
    np.testing.assert_array_equal(arrays(text.train)[1].sum(axis=0)[[0, 9]], [138, 347])


def test_every_sample_says_where_it_is_from_and_all_stay_small():
    folders = sorted({path.parent for path in samples.FOLDER.rglob("*.*") if path.suffix in (".npz", ".zip")})
    assert len(folders) == 9
    for folder in folders:
        words = (folder / "LICENSE.md").read_text()
        assert all(f"- {part}" in words for part in ("Content:", "Source", "Licence:", "Changes:"))
    assert sum(path.stat().st_size for path in samples.FOLDER.rglob("*.*")) < 15 * 2**20  # the wheel's limit is 16 MB


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 1.0])
def test_noise_moves_exactly_that_share_evenly(share):
    clean = np.eye(5, dtype=np.uint8)[np.random.default_rng(0).integers(0, 5, 2001)]
    noisy = symmetric_noise(clean, share, 3)
    moved = (noisy != clean).any(axis=1)
    assert moved.sum() == round(share * 2001)
    assert noisy.dtype == np.uint8 and (noisy.sum(axis=1) == 1).all()
    np.testing.assert_array_equal(noisy, symmetric_noise(clean, share, 3))
    if share > 0.3:
        to = np.bincount((noisy[moved].argmax(axis=1) - clean[moved].argmax(axis=1)) % 5, minlength=5) / moved.sum()
        np.testing.assert_allclose(to, [0, 0.25, 0.25, 0.25, 0.25], atol=0.05)
        assert (noisy != symmetric_noise(clean, share, 4)).any()


def test_noise_exchanges_all_classes_of_an_item_that_has_several():
    clean = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0, 1], [1, 1, 1, 1, 0], [0] * 5, [1] * 5], np.uint8)
    noisy = symmetric_noise(clean, 1.0, 0)
    np.testing.assert_array_equal(noisy.sum(axis=1), clean.sum(axis=1))
    assert (clean[:2] & noisy[:2]).sum() == 0
    assert noisy[2, 4] == 1


@pytest.mark.parametrize(
    ("labels", "share", "message"),
    [
        (np.ones((4, 1)), 0.5, r"labels must be \[N, C\] of two classes or more, found \[4, 1\]"),
        (np.ones(4), 0.5, r"labels must be \[N, C\]"),
        (np.eye(4), 1.5, "expected a share of the items between 0 and 1, found 1.5"),
        (np.eye(4), np.nan, "expected a share of the items between 0 and 1, found nan"),
    ],
)
def test_noise_that_cannot_be(labels, share, message):
    with pytest.raises(InputError, match=message):
        symmetric_noise(labels, share, 0)


def test_at_most_draws_rows_in_their_order():
    table = ArrayTable("toy", {"features": np.arange(20.0)[:, None], "labels": np.eye(20, dtype=np.uint8)})
    drawn = at_most(table, 7, 0)
    values, labels = arrays(drawn)
    assert (np.diff(values[:, 0]) > 0).all() and len(drawn) == 7
    np.testing.assert_array_equal(labels.argmax(axis=1), values[:, 0])
    np.testing.assert_array_equal(values, arrays(at_most(table, 7, 0))[0])
    assert (values != arrays(at_most(table, 7, 1))[0]).any()
    assert at_most(table, 0, 0) is at_most(table, 20, 0) is at_most(table, 99, 0) is table
    with pytest.raises(InputError, match="toy: expected a number of items, or 0 for all, found -1"):
        at_most(table, -1, 0)


def test_ngrams_by_hand():
    got = character_ngrams(["ab", "", "aab"], width=10007)
    places = {run: zlib_place(run, 10007) for run in ("a", "b", "aa", "ab", "\x02a", "b\x03", "\x02ab", "ab\x03")}
    assert len(set(places.values())) == 8
    expected = np.zeros(10007)
    for run in ("a", "b", "ab", "\x02a", "b\x03", "\x02ab", "ab\x03"):
        expected[places[run]] = 1 / np.sqrt(7)
    np.testing.assert_allclose(got[0], expected, rtol=1e-6)
    assert got[1].sum() == 1.0 and got[1, zlib_place("\x02\x03", 10007)] == 1.0
    assert got[2, places["a"]] == pytest.approx(2 * got[2, places["aa"]])
    assert got.dtype == np.float32


def zlib_place(run, width):
    import binascii

    return binascii.crc32(run.encode("utf-8")) % width


def test_ngrams_count_spellings_of_one_word_as_one():
    got = character_ngrams(["Ünï", "u\u0308ni\u0308", "uni", "STRASSE", "straße"], width=512)
    np.testing.assert_array_equal(got[0], got[1])
    assert (got[0] != got[2]).any()
    np.testing.assert_array_equal(got[3], got[4])


def test_ngrams_of_one_size_and_of_narrow_width():
    np.testing.assert_array_equal(character_ngrams(["", "x"], width=1, sizes=(1,)), [[0.0], [1.0]])
    got = character_ngrams(np.array(["ab", "ba"]), width=64, sizes=(1,))
    np.testing.assert_array_equal(got[0], got[1])
    assert character_ngrams([], width=8).shape == (0, 8)


def test_ngrams_of_thousands_are_quick():
    words = np.load(samples.FOLDER / "digits/text/train.npz", allow_pickle=False)["word"]
    start = time.process_time()
    character_ngrams(words, width=2048)
    assert time.process_time() - start < 5.0  # a fifth of a second on an idle core
