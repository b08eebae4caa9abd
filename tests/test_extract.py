"""From a manifest of pictures or clips to features in files: what is written, refused, and left when killed."""

import os
import shlex
import signal
import subprocess
import sys
import zipfile

import h5py
import jax
import numpy as np
import pytest
from PIL import Image

from jhash import extract, weights
from jhash.data import pairs, raw
from jhash.data.files import read_array
from jhash.data.load import complete
from jhash.data.source import ArrayTable
from jhash.encoders.c3d import C3D
from jhash.encoders.cnn_f import CNNF
from jhash.types import InputError
from jhash.weights import Backbone, write_weights

TINY = {
    "cnn_f": Backbone(CNNF(width=1), (103, 103, 3), (3, 3), "fc8"),
    "c3d": Backbone(C3D(width=1), (4, 32, 32, 3), (1, 1, 1), "fc8"),
}
PARTS = ("train", "test", "train", "database", "train", "test", "train", "database")
NAMES = ("red shoe", "blue hat", "blue shoe", "red hat", "red hat", "green shoe", "blue hat", "blue shoe")


@pytest.fixture(autouse=True)
def tiny_backbones(monkeypatch):
    for name, backbone in TINY.items():
        monkeypatch.setitem(weights.BACKBONES, name, backbone)


@pytest.fixture(scope="module")
def variables():
    shapes = {name: np.zeros((1, *backbone.items), np.uint8) for name, backbone in TINY.items()}
    return {name: jax.jit(TINY[name].module.init)(jax.random.key(0), items) for name, items in shapes.items()}


class Shop:
    """A folder with pictures p0.png to p7.png, folders c0 to c7 of frames, and manifests of them."""

    def __init__(self, folder, variables):
        self.folder, self.variables, self.said = folder, variables, []
        for i in range(8):
            Image.fromarray(self.picture(i)).save(folder / f"p{i}.png")

    @staticmethod
    def picture(i, side=103):
        return np.random.default_rng(i).integers(0, 256, (side, side, 3)).astype(np.uint8)

    def clips(self):
        for i in range(8):
            (self.folder / f"c{i}").mkdir()
            for t in range(4):
                Image.fromarray(self.picture(10 * i + t, 32)).save(self.folder / f"c{i}" / f"{t}.png")

    def manifest(self, database=True):
        lines = ["file,clip,name,kind,part"]
        for i, (part, name) in enumerate(zip(PARTS, NAMES, strict=True)):
            if database or part != "database":
                lines.append(f"p{i}.png,c{i},{name},{name.split()[1]},{part}")
        (self.folder / "items.csv").write_text("\n".join(lines) + "\n")
        return str(self.folder / "items.csv")

    def weights(self, backbone="cnn_f"):
        path = self.folder / f"{backbone}.npz"
        if not path.exists():
            write_weights(path, self.variables[backbone], backbone)
        return path

    def extract(self, output="out.npz", *, database=False, backbone="cnn_f", batch=3, **config):
        config = {
            "manifest": self.manifest(database),
            "image_column": "file",
            "text_column": "name",
            "label_columns": ["kind"],
            "split_column": "part",
        } | config
        path, given = self.folder / output, self.weights(backbone)
        return extract.extract(config, path, backbone, given, batch, self.said.append)

    def expected(self, rows, backbone="cnn_f"):
        """The network's features of pictures, all at once."""
        items = np.stack([self.picture(i) for i in rows])
        return np.asarray(TINY[backbone].module.apply(self.variables[backbone], items))


@pytest.fixture
def shop(tmp_path, variables):
    return Shop(tmp_path, variables)


TRAIN, TEST, DATABASE = ([i for i, found in enumerate(PARTS) if found == part] for part in raw.PARTS)


@pytest.mark.parametrize("output", ["out.npz", "out.h5"])
def test_features_words_labels_and_split_are_row_by_row_one_item(shop, output):
    (path,) = shop.extract(output)
    np.testing.assert_allclose(read_array(path, "image"), shop.expected(TRAIN + TEST), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(read_array(path, "split"), [0, 0, 0, 0, 1, 1])
    # kinds hat, shoe; words of two training texts or more, by their number and letters: blue, hat, red, shoe
    np.testing.assert_array_equal(read_array(path, "labels"), [[0, 1], [0, 1], [1, 0], [1, 0], [1, 0], [0, 1]])
    words = [[0, 0, 1, 1], [1, 0, 0, 1], [0, 1, 1, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_array_equal(read_array(path, "text"), words)
    assert read_array(path, "image_ids").tolist() == [f"p{i}.png" for i in TRAIN + TEST]
    types = {name: read_array(path, name).dtype for name in ("image", "text", "labels")}
    assert types == {"image": np.float32, "text": np.float32, "labels": np.uint8}


@pytest.mark.parametrize("output", ["out.npz", "out.h5"])
def test_pictures_alone_are_for_a_trained_model(output, shop):
    (path,) = shop.extract(output, text_column="", label_columns=[], split_column="")
    rows = [i for i in range(len(PARTS)) if i not in DATABASE]
    np.testing.assert_allclose(read_array(path, "image"), shop.expected(rows), rtol=1e-4, atol=1e-4)
    names = zipfile.ZipFile(path).namelist() if output == "out.npz" else list(h5py.File(path))
    assert [name.removesuffix(".npy") for name in names] == ["image", "image_ids"]


def test_an_npz_names_its_columns_and_is_not_compressed(shop):
    (path,) = shop.extract()
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["classes"].tolist() == ["hat", "shoe"]
        assert arrays["words"].tolist() == ["blue", "hat", "red", "shoe"]
    with zipfile.ZipFile(path) as archive:
        assert {member.compress_type for member in archive.infolist()} == {zipfile.ZIP_STORED}


def test_an_h5_names_its_columns(shop):
    (path,) = shop.extract("out.h5")
    with h5py.File(path) as file:
        assert [name.decode() for name in file["classes"]] == ["hat", "shoe"]
        assert [name.decode() for name in file["words"]] == ["blue", "hat", "red", "shoe"]


@pytest.mark.parametrize("batch", [1, 4, 6, 16])
def test_the_batch_changes_nothing(shop, batch):
    (path,) = shop.extract(batch=batch)
    np.testing.assert_allclose(read_array(path, "image"), shop.expected(TRAIN + TEST), rtol=1e-4, atol=1e-4)


def test_the_network_sees_one_size_of_batch():
    seen = []

    def apply(items):
        seen.append(items[:, 0].tolist())
        return items

    table = ArrayTable("five", {"features": np.arange(10).reshape(5, 2)})
    found = list(extract.features(table, extract.Network(apply, 2, 2)))
    assert seen == [[0, 2], [4, 6], [8, 8]]
    np.testing.assert_array_equal(np.concatenate(found), table.arrays["features"])


def test_a_database_part_makes_a_file_of_each_part(shop):
    files = shop.extract(database=True)
    assert [path.name for path in files] == ["out_train.npz", "out_test.npz", "out_database.npz"]
    assert not (shop.folder / "out.npz").exists()
    for path, rows in zip(files, (TRAIN, TEST, DATABASE), strict=True):
        np.testing.assert_allclose(read_array(path, "image"), shop.expected(rows), rtol=1e-4, atol=1e-4)
        assert read_array(path, "image_ids").tolist() == [f"p{i}.png" for i in rows]
        with pytest.raises(InputError, match="expected an array 'split'"):
            read_array(path, "split")


def test_clips_go_through_a_network_of_clips(shop, variables):
    shop.clips()
    (path,) = shop.extract(backbone="c3d", image_column="", video_column="clip")
    clips = np.stack([[shop.picture(10 * i + t, 32) for t in range(4)] for i in TRAIN + TEST])
    expected = np.asarray(TINY["c3d"].module.apply(variables["c3d"], clips))
    np.testing.assert_allclose(read_array(path, "video"), expected, rtol=1e-4, atol=1e-4)
    assert read_array(path, "video_ids").tolist() == [f"c{i}" for i in TRAIN + TEST]


# what is printed at the end trains on it


def data_of(command):
    """The `config.data` and the media of a printed command."""
    fields = dict(word.split("=", 1) for word in shlex.split(command) if word.startswith("--config."))
    literal = {"query_values": eval, "modalities": eval}
    fields = {name.split(".")[-1]: literal.get(name.split(".")[-1], str)(text) for name, text in fields.items()}
    media = fields.pop("modalities")
    return complete({"name": "pair_files", "normalise": "none", **fields}), media


def test_the_printed_command_asks_by_the_test_part(shop):
    data, media = data_of(extract.command(shop.extract(), "image"))
    opened = pairs.load_pairs(data, 0, media)
    assert {part: len(opened.tables[part]) for part in ("image/train", "text/test")} == {
        "image/train": 4,
        "text/test": 2,
    }
    features = opened.tables["image/test"].read(np.arange(2), ["features"])["features"]
    np.testing.assert_allclose(features, shop.expected(TEST), rtol=1e-4, atol=1e-4)
    assert (opened.words, opened.classes) == (("blue", "hat", "red", "shoe"), ("hat", "shoe"))


def test_the_printed_command_searches_the_database_part(shop):
    data, media = data_of(extract.command(shop.extract(database=True), "image"))
    opened = pairs.load_pairs(data, 0, media)
    assert all(task.database[0].endswith("/database") for task in opened.tasks)
    features = opened.tables["image/database"].read(np.arange(2), ["features"])["features"]
    np.testing.assert_allclose(features, shop.expected(DATABASE), rtol=1e-4, atol=1e-4)


def words_of(shop, *more, output="out.npz"):
    return [
        *(shop.manifest(False), str(shop.folder / output)),
        *("--image-column", "file", "--text-column", "name", "--label-columns", "kind", "--split-column", "part"),
        *("--backbone", "cnn_f", *more),
    ]


def test_the_command_line_writes_and_says_what_to_type_next(shop, capsys):
    assert extract.main(words_of(shop, "--weights", str(shop.weights()), "--batch", "4")) == 0
    said = capsys.readouterr().out
    assert "image: 6 of 6 items" in said
    assert said.endswith(extract.command([shop.folder / "out.npz"], "image") + "\n")


def test_the_command_line_says_how_pictures_alone_are_encoded(shop, capsys):
    words = (shop.manifest(False), str(shop.folder / "out.npz"), "--image-column", "file", "--backbone", "cnn_f")
    assert extract.main([*words, "--weights", str(shop.weights())]) == 0
    expected = f"jhash.encode --checkpoint WORKDIR --input {shop.folder / 'out.npz'} --modality image"
    assert expected in capsys.readouterr().out


def test_without_weights_one_sentence_and_2(shop, capsys):
    assert extract.main(words_of(shop)) == 2
    said = capsys.readouterr().err
    assert said == "jhash: error: --weights: expected a file, found none: features of an untrained network are noise.\n"
    assert os.listdir(shop.folder).count("out.npz") == 0


def test_a_path_with_a_space_is_quoted(shop):
    data, _ = data_of(extract.command([shop.folder / "my shop.npz"], "image"))
    assert data["train"].endswith("my shop.npz")


# what is refused


@pytest.mark.parametrize(
    "changes, sentence",
    [
        ({"output": "out.csv"}, "out.csv: expected a file ending in .npz or .h5, found .csv"),
        ({"output": "cnn_f.npz"}, "expected another file than the weights"),
        ({"batch": 0}, "--batch: expected 1 or more, found 0"),
        ({"image_column": ""}, "--image-column: expected a column of the manifest, found none"),
        ({"label_columns": []}, "--label-columns: expected a column of the manifest, found none"),
        ({"video_column": "clip"}, "--video-column: cnn_f takes a column of images alone, found 'clip'"),
        ({"image_column": "fil"}, "line 1: expected the column 'fil' .*did you mean 'file'"),
        ({"manifest": "nowhere.csv"}, "nowhere.csv: no such file"),
    ],
)
def test_a_wrong_wish_is_refused_and_nothing_left(shop, changes, sentence):
    before = {"cnn_f.npz", "items.csv", *(f"p{i}.png" for i in range(8))}
    with pytest.raises(InputError, match=sentence):
        shop.extract(**changes)
    assert set(os.listdir(shop.folder)) == before


def test_cnn_small_has_no_weights_and_is_not_offered(shop):
    with pytest.raises(InputError, match="--backbone: expected one of .*, found 'cnn_small'"):
        extract.extract({}, shop.folder / "out.npz", "cnn_small", None)


def test_weights_of_another_network_are_refused_before_decoding(shop):
    with pytest.raises(InputError, match="c3d.npz: cnn_f expects"):
        extract.extract(
            {"manifest": shop.manifest(), "image_column": "file", "text_column": "name", "label_columns": ["kind"]}
            | {"split_column": "part"},
            *(shop.folder / "out.npz", "cnn_f", shop.weights("c3d"), 3, shop.said.append),
        )
    assert shop.said == []


def test_a_manifest_without_test_items_is_refused_before_decoding(shop):
    path = shop.folder / "other.csv"
    path.write_text("file,name,kind,part\np0.png,red shoe,shoe,train\n")
    with pytest.raises(InputError, match="other.csv: expected items whose part is test, found 1 items"):
        shop.extract(manifest=str(path))
    assert shop.said == []


def test_a_broken_picture_is_refused_and_nothing_left(shop):
    (shop.folder / "p2.png").write_bytes((shop.folder / "p2.png").read_bytes()[:900])
    with pytest.raises(InputError, match="items.csv, line 4: p2.png: damaged"):
        shop.extract()
    assert not [name for name in os.listdir(shop.folder) if "out" in name]


def test_a_broken_picture_is_skipped_in_all_arrays(shop):
    (shop.folder / "p2.png").write_bytes((shop.folder / "p2.png").read_bytes()[:900])
    (path,) = shop.extract(broken="skip")
    kept = [i for i in TRAIN + TEST if i != 2]
    np.testing.assert_allclose(read_array(path, "image"), shop.expected(kept), rtol=1e-4, atol=1e-4)
    assert {len(read_array(path, name)) for name in ("text", "labels", "split")} == {5}
    assert read_array(path, "image_ids").tolist() == [f"p{i}.png" for i in kept]
    assert any("1 of 6 items are broken" in line for line in shop.said)


def test_a_full_disk_is_said_before_the_network_runs(shop, monkeypatch):
    shop.extract(cache=str(shop.folder / "cache"))
    usage = extract.shutil.disk_usage(shop.folder)
    monkeypatch.setattr(extract.shutil, "disk_usage", lambda path: usage._replace(free=1835))
    monkeypatch.setattr(extract, "features", lambda *_: pytest.fail("the network ran"))
    # six items of 64 features, 4 words and 6 letters of a path in four bytes each, 2 labels in one, the split in eight
    with pytest.raises(InputError, match="the features need 1836 bytes of disk, only 1835 are free"):
        shop.extract(cache=str(shop.folder / "cache"))


# what is written, kept and left


def test_a_second_extraction_reads_the_cache_of_the_first(shop, monkeypatch):
    (path,) = shop.extract(cache=str(shop.folder / "cache"))
    before = read_array(path, "image")
    monkeypatch.setattr(raw, "picture", lambda *_: pytest.fail("decoded again"))
    shop.extract(cache=str(shop.folder / "cache"))
    np.testing.assert_array_equal(read_array(path, "image"), before)


def test_without_a_cache_pixels_stay_on_disk(shop, monkeypatch):
    seen, whole = [], extract.features
    monkeypatch.setattr(extract, "features", lambda table, network: seen.append(table) or whole(table, network))
    shop.extract()
    assert [type(table.arrays["features"]) for table in seen] == [np.memmap, np.memmap]


def test_without_a_cache_nothing_but_the_file_is_left(shop):
    before = {*os.listdir(shop.folder), "items.csv", "cnn_f.npz"}
    shop.extract()
    assert set(os.listdir(shop.folder)) == before | {"out.npz"}


def test_a_failure_leaves_the_file_of_before(shop, monkeypatch):
    (path,) = shop.extract()
    before = path.read_bytes()

    def fails(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(extract, "features", fails)
    with pytest.raises(InputError, match="out.npz: cannot be written: No space left on device"):
        shop.extract()
    assert path.read_bytes() == before


def test_two_extractions_into_one_file_are_refused(shop):
    with extract._workshop(shop.folder / "out.npz"):
        with pytest.raises(InputError, match="out.npz: another extraction into this file is at work"):
            shop.extract()


def test_what_a_killed_extraction_leaves_is_not_read(shop):
    code = f"""
import os, signal
from jhash import extract, weights
from jhash.encoders.cnn_f import CNNF
weights.BACKBONES["cnn_f"] = weights.Backbone(CNNF(width=1), (103, 103, 3), (3, 3), "fc8")
whole, batches = extract.features, []
def killed(table, network):
    for values in whole(table, network):
        yield values
        os.kill(os.getpid(), signal.SIGKILL)
extract.features = killed
extract.main({words_of(shop, "--weights", str(shop.weights()))!r})
"""
    ended = subprocess.run([sys.executable, "-c", code], env=os.environ | {"JAX_PLATFORMS": "cpu"}, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not (shop.folder / "out.npz").exists() and (shop.folder / ".out.npz.part" / "out.npz").is_file()
    (path,) = shop.extract()
    np.testing.assert_allclose(read_array(path, "image"), shop.expected(TRAIN + TEST), rtol=1e-4, atol=1e-4)
    assert not (shop.folder / ".out.npz.part").exists()


@pytest.mark.slow
def test_the_published_size_gives_4096_features(tmp_path, monkeypatch):
    real = Backbone(CNNF(), (224, 224, 3), (6, 6), "fc8")
    monkeypatch.setitem(weights.BACKBONES, "cnn_f", real)
    items = np.zeros((1, 224, 224, 3), np.uint8)
    given = {"cnn_f": jax.jit(real.module.init)(jax.random.key(0), items)}
    shop = Shop(tmp_path, given)
    (path,) = shop.extract(batch=4)
    found = read_array(path, "image")
    assert found.shape == (6, 4096) and np.isfinite(found).all() and found.std() > 0
