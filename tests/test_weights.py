"""Weights by way of files: what is read, and the sentence for every file that is wrong."""

import io
import pickle
import struct
import subprocess
import sys
import zipfile
import zlib

import h5py
import jax
import numpy as np
import pytest
import safetensors.numpy
import scipy.io
from parity import make_backbones

from jhash import weights
from jhash.encoders.cnn_f import CNNF
from jhash.encoders.resnet import ResNet
from jhash.encoders.vgg import VGG
from jhash.types import InputError
from jhash.weights import Backbone, read_weights

VGG_STATE = make_backbones.state_dict("vgg16_small")
CNN_F_STATE = make_backbones.state_dict("cnn_f_small")


@pytest.fixture(autouse=True)
def small_backbones(monkeypatch):
    monkeypatch.setitem(weights.BACKBONES, "vgg16", Backbone(VGG(16, width=4), (64, 64, 3), (2, 2), "classifier.6"))
    monkeypatch.setitem(weights.BACKBONES, "vgg19", Backbone(VGG(19, width=4), (64, 64, 3), (2, 2), "classifier.6"))
    monkeypatch.setitem(weights.BACKBONES, "cnn_f", Backbone(CNNF(width=4), (103, 103, 3), (3, 3), "fc8"))


def npz(folder, **changes):
    """A small VGG-16's state dict with some entries changed, or taken out by None."""
    state = {name: array for name, array in (VGG_STATE | changes).items() if array is not None}
    np.savez(folder / "vgg.npz", **state)
    return folder / "vgg.npz"


def mat(folder, **changes):
    scipy.io.savemat(folder / "cnn.mat", make_backbones.matconvnet(CNN_F_STATE | changes, 3), do_compression=True)
    return folder / "cnn.mat"


def assert_same(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_a_state_dict_is_turned_to_channels_last(tmp_path):
    params = read_weights(npz(tmp_path), "vgg16")["params"]
    torch = VGG_STATE["features.2.weight"]
    assert params["conv1_2"]["kernel"][0, 2, 1, 3] == torch[3, 1, 0, 2]
    flattened = VGG_STATE["classifier.0.weight"].reshape(256, 32, 2, 2)  # out, channel, row, column
    place = (1 * 2 + 0) * 32 + 5  # row 1, column 0, channel 5
    assert params["fc6"]["kernel"][place, 7] == flattened[7, 5, 1, 0]
    assert params["fc7"]["kernel"][3, 7] == VGG_STATE["classifier.3.weight"][7, 3]


def test_everything_is_float32_and_the_classifier_is_left(tmp_path):
    half = {name: array.astype(np.float16) for name, array in VGG_STATE.items()}
    variables = read_weights(npz(tmp_path, **half), "vgg16")
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype(np.float32)}
    assert "fc8" not in variables["params"]
    assert variables["batch_stats"] == {}


def test_a_file_without_the_classifier_is_whole(tmp_path):
    path = npz(tmp_path, **{"classifier.6.weight": None, "classifier.6.bias": None})
    assert_same(read_weights(path, "vgg16"), read_weights(npz(tmp_path), "vgg16"))


def test_resnets_counters_are_passed_over(tmp_path, monkeypatch):
    small = weights.BACKBONES["resnet50"]._replace(module=ResNet((2, 1, 2, 1), width=4), items=(64, 64, 3))
    monkeypatch.setitem(weights.BACKBONES, "resnet50", small)
    state = make_backbones.state_dict("resnet50_small")
    np.savez(tmp_path / "resnet.npz", **state, **{"layer1.0.bn2.num_batches_tracked": np.array(7)})
    variables = read_weights(tmp_path / "resnet.npz", "resnet50")
    found = variables["batch_stats"]["layer3_1"]["bn2"]["var"]
    np.testing.assert_array_equal(found, state["layer3.1.bn2.running_var"])
    np.testing.assert_array_equal(
        variables["params"]["layer2_0"]["downsample_1"]["scale"], state["layer2.0.downsample.1.weight"]
    )


def test_safetensors_gives_what_npz_gives(tmp_path):
    safetensors.numpy.save_file(VGG_STATE, tmp_path / "vgg.safetensors")
    assert_same(read_weights(tmp_path / "vgg.safetensors", "vgg16"), read_weights(npz(tmp_path), "vgg16"))


def test_safetensors_cut_short(tmp_path):
    whole = safetensors.numpy.save(VGG_STATE)
    (tmp_path / "vgg.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"vgg.safetensors: not a whole .safetensors file"):
        read_weights(tmp_path / "vgg.safetensors", "vgg16")


def test_without_safetensors_the_package_is_named(tmp_path, monkeypatch):
    (tmp_path / "vgg.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(InputError, match=r"needs the package safetensors: pip install 'jhash\[weights\]'"):
        read_weights(tmp_path / "vgg.safetensors", "vgg16")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"features.0.weight": None}, r"vgg16 expects 'features.0.weight' of shape \[4, 3, 3, 3\], found 31 others"),
        (
            {"features.1.weight": np.ones(3)},
            r"vgg16 expects its 30 entries and a classifier, found 'features.1.weight'",
        ),
        ({"features.2.bias": np.ones(5)}, r"'features.2.bias' must have shape \[4\], found \[5\]"),
        ({"features.2.bias": np.ones(4, int)}, "'features.2.bias' must be float16, float32, float64, found int64"),
        ({"features.2.bias": np.array([1, 2, np.nan, 4])}, r"'features.2.bias' must be finite, found nan at \[2\]"),
        ({"features.2.bias": np.array([1, 1e39, 3, 4])}, r"'features.2.bias' must be finite, found inf at \[1\]"),
        ({"features.2.bias": np.array([{}] * 4)}, "'features.2.bias.npy' is a pickle, which is never loaded"),
    ],
    ids=["missing", "unknown", "shape", "type", "nan", "beyond float32", "object"],
)
def test_a_wrong_entry_is_named(changes, sentence, tmp_path):
    with pytest.raises(InputError, match=f"vgg.npz: {sentence}"):
        read_weights(npz(tmp_path, **changes), "vgg16")


def test_another_network_is_told_apart(tmp_path):
    with pytest.raises(InputError, match=r"vgg19 expects 'features.16.bias' of shape \[16\], found 32 others"):
        read_weights(npz(tmp_path), "vgg19")


@pytest.mark.parametrize("name", ["vgg16.pth", "vgg16.pt", "vgg16.pkl"])
def test_a_pickle_is_refused_before_it_is_opened(name, tmp_path):
    (tmp_path / name).write_bytes(pickle.dumps({"features.0.weight": [1.0]}))
    with pytest.raises(InputError, match=r"is a pickle, which is never loaded; .*s.save_file\(torch.load\('vgg16.p"):
        read_weights(tmp_path / name, "vgg16")


def test_a_torch_archive_under_another_name_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "vgg.npz", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(InputError, match=r"vgg.npz: not a whole .npz file"):
        read_weights(tmp_path / "vgg.npz", "vgg16")


def test_an_array_that_claims_to_be_huge_is_never_unpacked(tmp_path):
    path = npz(tmp_path, **{"features.2.bias": None})
    header = io.BytesIO()
    head = {"descr": "<f4", "fortran_order": False, "shape": (2**40,)}
    np.lib.format.write_array_header_1_0(header, head)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.2.bias.npy", header.getvalue())
    with pytest.raises(InputError, match=r"'features.2.bias' must have shape \[4\], found \[1099511627776\]"):
        read_weights(path, "vgg16")


@pytest.mark.parametrize(
    ("name", "backbone", "sentence"),
    [
        ("gone.npz", "vgg16", "gone.npz: no such file"),
        ("here.onnx", "vgg16", "here.onnx: expected vgg16 as .npz or .safetensors, found .onnx"),
        ("here.mat", "vgg16", "here.mat: expected vgg16 as .npz or .safetensors, found .mat"),
        ("here.npz", "alexnet", "here.npz: expected a backbone among vgg16, .*, found 'alexnet'"),
        ("here.npz", "vgg16", "here.npz: not a whole .npz file"),
    ],
)
def test_a_file_of_no_use_is_named(name, backbone, sentence, tmp_path):
    for here in ("here.onnx", "here.mat", "here.npz"):
        (tmp_path / here).write_bytes(b"PK\3\4 but not much more")
    with pytest.raises(InputError, match=sentence):
        read_weights(tmp_path / name, backbone)


def test_a_mat_file_gives_kernels_and_the_mean_image(tmp_path):
    variables = read_weights(mat(tmp_path), "cnn_f")
    assert variables["params"]["conv1"]["kernel"][2, 9, 1, 3] == CNN_F_STATE["conv1.weight"][3, 1, 2, 9]
    flattened = CNN_F_STATE["fc6.weight"].reshape(256, 16, 3, 3)
    assert variables["params"]["fc6"]["kernel"][(2 * 3 + 1) * 16 + 5, 7] == flattened[7, 5, 2, 1]
    np.testing.assert_array_equal(variables["batch_stats"]["mean"], CNN_F_STATE["mean"])


def test_the_older_mat_file_is_read_alike(tmp_path):
    content = make_backbones.matconvnet(CNN_F_STATE, 3)
    for cell in content["layers"].ravel():
        if "weights" in cell:
            cell["filters"], cell["biases"] = cell.pop("weights").ravel()
    content["normalization"] = content.pop("meta")["normalization"]
    scipy.io.savemat(tmp_path / "old.mat", content)
    assert_same(read_weights(tmp_path / "old.mat", "cnn_f"), read_weights(mat(tmp_path), "cnn_f"))


def test_cnn_f_by_its_state_dict_is_the_same(tmp_path):
    np.savez(tmp_path / "cnn.npz", **CNN_F_STATE)
    assert_same(read_weights(tmp_path / "cnn.npz", "cnn_f"), read_weights(mat(tmp_path), "cnn_f"))


def test_a_mat_file_of_another_network(tmp_path):
    path = mat(tmp_path, **{"conv2.weight": np.ones((16, 4, 3, 3), np.float32)})
    with pytest.raises(
        InputError, match=r"cnn.mat: 'conv2.filters' must have shape \[5, 5, 4, 16\], found \[3, 3, 4, 16\]"
    ):
        read_weights(path, "cnn_f")


def test_a_mat_file_without_layers(tmp_path):
    scipy.io.savemat(tmp_path / "other.mat", {"x": np.ones(3)})
    with pytest.raises(
        InputError, match="other.mat: expected MatConvNet's CNN-F, whole, with layers and a mean: no 'layers'"
    ):
        read_weights(tmp_path / "other.mat", "cnn_f")


def test_a_mat_file_cut_short(tmp_path):
    path = mat(tmp_path)
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(InputError, match="cnn.mat: "):
        read_weights(path, "cnn_f")


def test_a_mat_file_of_version_7_3_says_what_to_do(tmp_path):
    with h5py.File(tmp_path / "new.mat", "w") as file:
        file["layers"] = np.ones(3)
    with pytest.raises(InputError, match="expected a .mat file of version 5, found 7.3"):
        read_weights(tmp_path / "new.mat", "cnn_f")


def test_a_mat_file_that_unpacks_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "MAT_BYTES", 2**20)
    bomb = zlib.compress(bytes(2**21))
    content = bytes(126) + b"IM" + struct.pack("<II", 15, len(bomb)) + bomb
    (tmp_path / "bomb.mat").write_bytes(content)
    with pytest.raises(InputError, match="bomb.mat: expected at most 1048576 bytes when unpacked, found more"):
        read_weights(tmp_path / "bomb.mat", "cnn_f")


def test_the_command_converts_and_the_result_is_read_alike(tmp_path, capsys):
    path, out = mat(tmp_path), tmp_path / "cnn.npz"
    assert weights.main([str(path), "--backbone", "cnn_f", str(out)]) == 0
    assert "cnn_f with 112944 parameters" in capsys.readouterr().out
    assert_same(read_weights(out, "cnn_f"), read_weights(path, "cnn_f"))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["cnn.mat", "cnn.npz"]


def test_the_command_leaves_nothing_behind_a_wrong_file(tmp_path, capsys):
    path = npz(tmp_path, **{"features.2.bias": np.ones(5)})
    assert weights.main([str(path), "--backbone", "vgg16", str(tmp_path / "out.npz")]) == 2
    assert capsys.readouterr().err.startswith(f"jhash: error: {path}: 'features.2.bias' must have shape")
    assert [file.name for file in tmp_path.iterdir()] == ["vgg.npz"]


def test_the_command_never_writes_over_its_input(tmp_path, capsys):
    path = npz(tmp_path)
    before = path.read_bytes()
    assert weights.main([str(path), "--backbone", "vgg16", str(path)]) == 2
    assert "expected another .npz than the input" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_a_folder_that_is_not_there_is_named(tmp_path, capsys):
    out = tmp_path / "nowhere" / "out.npz"
    assert weights.main([str(npz(tmp_path)), "--backbone", "vgg16", str(out)]) == 2
    assert f"{out}: cannot be written: No such file or directory." in capsys.readouterr().err


def test_a_converted_file_of_another_backbone_is_refused(tmp_path):
    weights.write_weights(tmp_path / "ours.npz", read_weights(npz(tmp_path), "vgg16"), "vgg16")
    with pytest.raises(InputError, match="cnn_f expects 'batch_stats/mean'|cnn_f expects 'params/"):
        read_weights(tmp_path / "ours.npz", "cnn_f")


def test_importing_weights_brings_no_safetensors():
    code = "import sys, jhash.weights; print('safetensors' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
