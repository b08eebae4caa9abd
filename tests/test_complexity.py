"""What encoding an item costs: known figures of the papers' networks, every method, a run's complexity.json."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import trained_runs
from jhash_configs import dkph_fcvid, dsmhn_mirflickr25k, mcmsh_activitynet, mcmsh_nmnist, she_nuswide, she_xmedianet

from jhash import complexity, cost, experiment
from jhash.complexity import as_shapes, find_shapes
from jhash.config import build, method_names
from jhash.evaluate import load_model
from jhash.types import InputError, Past

ROOT = Path(complexity.__file__).parent.parent
FCVID = as_shapes({"video": (25, 4096)})
CLIPS = as_shapes({"video": (4, 6)})
PAIRS = as_shapes({"image": (7,), "text": (5,), "labels": (3,)})


def counted(name, shapes, modality="video", **fields):
    return cost.measure(build(name, fields), None, shapes, modality, seconds=0)


# ---- known figures


@pytest.mark.parametrize("reduction, expected", [(2, 1_877_429), (8, 1_777_973), (16, 1_761_397), (32, 1_753_109)])
def test_parameters_of_mcmsh(reduction, expected):
    found = counted("mcmsh", FCVID, reduction=reduction)
    assert (found.parameters, found.parameters_encode) == (expected, expected)


def test_multiply_adds_of_mcmsh():
    """46.0 million as its layers are defined, and what pooling and grouped convolutions, whole products here, add."""
    found = counted("mcmsh", FCVID)
    frames, width, windows, reduced = 25, 256, (256 // 3, 25 // 3), 256 // 16
    pooled = [2 * frames * width] + [2 * frames * width * windows[0]]  # L and M of the unit that mixes frames
    pooled += 2 * [2 * frames * width, 2 * frames * width * windows[1]]  # and of the two that mix channels
    grouped = 2 * 2 * 3 * width * (reduced - 1) * (windows[1] + frames)  # M and S, to and fro, of the latter
    assert found.multiply_adds - sum(pooled) - grouped == pytest.approx(46.0e6, rel=1e-3)
    assert 2 * found.multiply_adds < found.flops < 2.02 * found.multiply_adds  # elementwise operations come to them


@pytest.mark.parametrize("bits, student", [(16, 2_014_752), (32, 2_186_816), (64, 2_530_944)])
@pytest.mark.parametrize("position", ["fixed", "trained"])
def test_parameters_of_dkph(bits, student, position):
    found = counted("dkph", FCVID, bits=bits, position=position)
    places = 6_400 if position == "trained" else 0
    assert found.parameters == student + 2_399_872 + 2 * places
    assert found.parameters_encode < student + places - 4096 * bits - 4096  # the decoder isn't read


def test_dkph_encodes_without_teacher_and_decoder():
    """The input projection, the transformer, the layer of the codes: counted by hand."""
    found = counted("dkph", FCVID, bits=64, position="fixed")
    method = build("dkph", {"bits": 64, "position": "fixed"})
    student = cost.untrained(method, FCVID)["student"].params
    kept = {name: tree for name, tree in student.items() if not name.startswith(("decoder", "temporal", "latent"))}
    assert set(student) - set(kept)
    assert found.parameters_encode == sum(leaf.size for leaf in jax.tree.leaves(kept))


def test_multiply_adds_of_an_lstm_count_every_turn():
    short, long = (counted("dkph", as_shapes({"video": (t, 64)}), encoder="lstm", width=16) for t in (5, 50))
    assert long.multiply_adds > 8 * short.multiply_adds
    assert long.flops < 2 * long.multiply_adds  # XLA counts one


# ---- by hand


class Two:
    """One product that encoding reads, [6, 8], and one that it doesn't."""

    inputs = ("frames",)

    def encode(self, past, inputs, modality):
        left = past["train"]
        scaled = inputs["frames"].mean(axis=1) * left.collections["scale"][None]
        return jnp.tanh(scaled @ left.params["used"] + left.kept["shift"][None])


def test_a_product_is_counted_by_hand():
    params = {"used": np.ones((6, 8), np.float32), "unused": np.ones((6, 9), np.float32)}
    past = {"train": Past(params, {"scale": np.ones(6, np.float32)}, {"shift": np.ones(8, np.float32)})}
    found = cost.measure(Two(), past, CLIPS, "video", seconds=0)
    assert (found.parameters, found.parameters_encode) == (48 + 54, 48 + 8)
    assert (found.multiply_adds, found.transcendentals) == (48, 8)
    assert found.flops == 2 * 48 + 8 + 3 * 6 + 6 + 6  # product, shift, sums of 4 frames, their mean, scale


def test_convolutions_and_batches_of_products_are_counted():
    def work(x, kernel, left, right):
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", feature_group_count=2)
        return y.sum() + jnp.einsum("bij,bjk->bik", left, right).sum()

    shapes = [(1, 4, 9, 9), (6, 2, 3, 3), (5, 3, 7), (5, 7, 2)]
    jaxpr = jax.make_jaxpr(work)(*(jnp.ones(shape) for shape in shapes)).jaxpr
    assert cost._products(jaxpr) == 6 * 81 * 2 * 9 + 5 * 3 * 7 * 2


# ---- every method

SMALL = {
    "mcmsh": {"bits": 8, "width": 16, "batch": 16, "gates": ("L",), "reduction": 4},
    "dkph": {"bits": 8, "width": 16, "feedforward": 16, "batch": 16, "teacher_bits": 8},
    "she": {"bits": 8, "hidden": 16},
    "joint": {"bits": 8, "hidden": 16, "media": ("image", "text")},
    "dsmhn": {"bits": 8, "hidden": (8, 8)},
    **dict.fromkeys(("cmgcah", "dcmh"), {"bits": 8, "features": 16, "text_hidden": 16, "width": 8}),
    **dict.fromkeys(("itq", "lsh", "cca_itq"), {"bits": 8}),
    "cosine": {},
}


@pytest.mark.parametrize("name", method_names())
def test_every_method_is_counted_without_data(name):
    video = name in ("mcmsh", "dkph", "itq", "lsh", "cosine")
    shapes = CLIPS if video else PAIRS
    for modality in shapes:
        if modality != "labels":
            found = counted(name, shapes, modality, **SMALL[name])
            assert found.parameters >= found.parameters_encode >= 0
            assert (found.parameters_encode > 0) == (name != "cosine") and (found.flops > 0)


@pytest.mark.parametrize("name", ["itq", "lsh"])
def test_a_closed_form_has_a_mean_and_a_projection_a_medium(name):
    found = counted(name, PAIRS, "image", bits=8, column="features")
    assert (found.parameters, found.parameters_encode) == (7 + 7 * 8 + 5 + 5 * 8, 7 + 7 * 8)
    assert found.multiply_adds == 7 * 8


def test_parameters_of_all_media_are_trained_and_those_of_one_are_read():
    image, text = (counted("she", PAIRS, medium, **SMALL["she"]) for medium in ("image", "text"))
    assert image.parameters == text.parameters > image.parameters_encode + text.parameters_encode
    layers = [16 * 16 + 16 + 16 * 8 + width * 16 + 16 for width in (7, 5)]
    assert [image.parameters_encode, text.parameters_encode] == layers


def test_pretrained_weights_are_not_looked_for():
    shapes = as_shapes({"image": (64, 64, 3), "text": (5,), "labels": (3,)})
    found = [
        counted("cmgcah", shapes, "image", **SMALL["cmgcah"], backbone="cnn_small", weights=file)
        for file in ("nowhere.mat", "")
    ]
    assert found[0] == found[1]


def test_shapes_that_are_missing_are_a_sentence():
    with pytest.raises(InputError, match="none of 'text'"):
        counted("dsmhn", as_shapes({"image": (7,), "labels": (3,)}), "image")
    with pytest.raises(InputError, match="expected 'labels', the number of classes"):
        counted("she", as_shapes({"image": (7,)}), "image")


def test_times_are_of_as_many_items_as_they_say():
    found = cost.measure(build("lsh", {"bits": 8}), None, CLIPS, "video", seconds=0.05)
    assert found.single.batch == 1 and found.batched.batch == 256
    for timing in (found.single, found.batched):
        assert 0 < timing.low <= timing.median <= timing.high
    assert found.batched.median < found.single.median


# ---- shapes


def test_shapes_come_from_the_data_where_they_are_at_hand():
    config = mcmsh_nmnist.get_config()
    shapes, source = find_shapes(config)
    assert source == "shapes of the data" and len(shapes["video"].shape) == 2
    config.data.frames = 3
    assert find_shapes(config)[0]["video"].shape == (3, shapes["video"].shape[1])


def test_published_shapes_stand_in_for_data():
    assert find_shapes(dkph_fcvid.get_config()) == (FCVID, "published shapes")
    assert find_shapes(mcmsh_activitynet.get_config())[0]["video"].shape == (30, 2048)
    words = {"text": (1386,), "labels": (24,)}
    assert find_shapes(dsmhn_mirflickr25k.get_config())[0] == as_shapes({"image": (224, 224, 3), **words})
    plain = dsmhn_mirflickr25k.get_config()
    plain.hyper.backbones = ("", "")
    assert find_shapes(plain)[0] == as_shapes({"image": (4096,), **words})
    assert find_shapes(she_nuswide.get_config())[0]["text"].shape == (300,)
    with pytest.raises(InputError, match="without the data, expected --shape"):
        find_shapes(she_xmedianet.get_config())


# ---- runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return [trained_runs.clips(folder)[0], trained_runs.photographs(folder)[0]]


def test_a_run_writes_what_its_methods_cost(runs):
    found = json.loads((runs[0] / "complexity.json").read_text())
    assert set(found) == {"lsh", "cosine"}
    lsh = found["lsh"]
    assert (lsh["parameters"], lsh["parameters_encode"]) == (6 + 6 * 16, 6 + 6 * 16)
    model = load_model(runs[0])
    counts = cost.measure(model.method, model.past, CLIPS, "video", seconds=0)
    assert lsh["flops"] == counts.flops and lsh["batch"] == 48 and 0 < lsh["milliseconds"] < 1000


def test_a_run_of_several_media_has_a_level_more(runs):
    found = json.loads((runs[1] / "complexity.json").read_text())["cca_itq"]
    media = found["media"]
    assert set(media) == {"image", "text"}
    assert found["parameters_encode"] == sum(one["parameters_encode"] for one in media.values())
    assert found["parameters"] == media["image"]["parameters"] == found["parameters_encode"]
    for name in ("flops", "milliseconds"):
        assert found[name] == pytest.approx(np.mean([one[name] for one in media.values()]))


def test_a_run_goes_on_where_the_cost_is_not_found(tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(experiment.cost, "of_run", fail)
    work, _ = trained_runs.clips(tmp_path)
    assert json.loads((work / "complexity.json").read_text()) == {}
    assert (work / "results.json").is_file() and "no such luck" in capsys.readouterr().err


# ---- the command


def asked(capsys, *words):
    code = complexity.main([str(word) for word in words])
    return code, *capsys.readouterr()


def test_the_command_measures_a_trained_run(runs, capsys):
    code, out, _ = asked(capsys, "--workdir", runs[0], "--json")
    assert code == 0
    lsh, cosine = json.loads(out)
    assert (lsh["method"], lsh["modality"], lsh["parameters"]) == ("lsh, 16 bits", "video", 6 + 6 * 16)
    assert cosine["method"] == "cosine, real" and lsh["single"]["median"] > 0


WRONG = {
    "neither": ([], "expected either it or --workdir, found none"),
    "both": (["--config", "mcmsh_fcvid", "--workdir", "w"], "expected either it or --workdir, found both"),
    "no run": (["--workdir", "nowhere"], "nowhere: expected the workdir of an experiment"),
    "more": (["--workdir", "w", "--config.hyper.bits=3"], "expected nothing more beside --workdir"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_command_is_a_sentence(case, capsys):
    words, sentence = WRONG[case]
    code, out, err = asked(capsys, *words)
    assert (code, out) == (2, "") and sentence in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "shape, sentence",
    [
        ("4,x", "expected whole numbers above 0"),
        ("4", "expected frames and width of a clip"),
        ("image=7", "expected one for each of video, found image"),
        ("4,9", "expected shapes that lsh takes"),
    ],
)
def test_a_wrong_shape_is_a_sentence(runs, capsys, shape, sentence):
    code, _, err = asked(capsys, "--workdir", runs[0], "--shape", shape)
    assert code == 2 and sentence in err


def test_the_command_needs_no_data(tmp_path):
    words = ["--config", "dkph_fcvid", "--config.hyper.bits=16", "--config.baselines=('lsh',)"]
    done = subprocess.run(
        [sys.executable, "-m", "jhash.complexity", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    title, _, dkph, lsh = done.stdout.splitlines()
    assert title == "video [25, 4096] float32 (published shapes, drawn parameters), on cpu"
    assert dkph.startswith("dkph (paper), 16 bits") and "4,427,424" in dkph
    assert lsh.startswith("lsh, 16 bits")
