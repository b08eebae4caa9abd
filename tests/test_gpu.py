"""On an accelerator everything comes out as it does on the CPU, which the other tests hold to oracles.

    JAX_PLATFORMS=cuda,cpu python -m pytest -m gpu

Products are taken in full float32 here: by default XLA rounds their factors to TF32 on a GPU.
"""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import optax
import pytest

from jhash import cost, train
from jhash.data.source import ArrayTable, SideBySide
from jhash.evaluate import encoder
from jhash.methods import cmgcah, dkph, dsmhn, mcmsh, she

pytestmark = pytest.mark.gpu
PROGRAM = Path(__file__).with_name("evaluation_shares.py")
RANDOM = np.random.default_rng(0)
LABELS = np.eye(3, dtype=np.uint8)[np.arange(48) % 3]
CENTRES = {name: RANDOM.normal(size=(3, 20)).astype(np.float32) for name in ("image", "text")}


@pytest.fixture(scope="module", autouse=True)
def accelerator():
    if jax.default_backend() == "cpu":
        pytest.skip("no accelerator; JAX_PLATFORMS=cuda,cpu asks for one")


def features(name):
    return (LABELS @ CENTRES[name] + 0.3 * RANDOM.normal(size=(48, 20))).astype(np.float32)


MEDIA = {name: ArrayTable(name, {"features": features(name), "labels": LABELS}) for name in CENTRES}
PICTURES = ArrayTable("image", {"features": RANDOM.integers(0, 256, (48, 12, 9, 3), np.uint8), "labels": LABELS})
MOVING = features("image")[:, None] + RANDOM.normal(size=(48, 6, 20))
VIDEO = {"train": ArrayTable("video", {"frames": MOVING.astype(np.float32)})}
SMALL = {"bits": 8, "batch": 16}
GRAPH = {"width": 16, "centres": 12, "pool": 4, "dropout": 0.1}


@dataclasses.dataclass(frozen=True)
class Mcmsh(mcmsh.Method):
    """Like all that is compared here by plain SGD: Adam and RMSprop make much of rounding."""

    def optimizer(self, stage):
        return optax.sgd(0.01)


@dataclasses.dataclass(frozen=True)
class Dkph(dkph.Method):
    def optimizer(self, stage):
        return optax.sgd(0.01)


@dataclasses.dataclass(frozen=True)
class She(she.Method):
    def optimizer(self, stage):
        return optax.sgd(0.01)


@dataclasses.dataclass(frozen=True)
class Dsmhn(dsmhn.Method):
    def optimizer(self, stage):
        return optax.sgd(0.01)


@dataclasses.dataclass(frozen=True)
class Cmgcah(cmgcah.Method):
    def _rmsprop(self, steps, names):
        sgd = optax.sgd(0.01)
        return optax.GradientTransformation(lambda params: sgd.init({name: params[name] for name in names}), sgd.update)


def cases():
    """Name -> method, tables."""
    streams = {"backbones": ("cnn_small", ""), "hidden": (16, 16), "augment": True, "dropout": 0.2, "epochs": 2}
    sizes = {"features": 16, "text_hidden": 12, "generator_hidden": 12, "width": 16, "iterations": 2}
    return {
        "mcmsh": (Mcmsh(**SMALL, **GRAPH, reduction=4, steps=6), VIDEO),
        "dkph": (Dkph(**SMALL, **GRAPH, teacher_steps=4, student_steps=4), VIDEO),
        "she": (She(**SMALL, hidden=16, epochs=2), MEDIA),
        "dsmhn": (Dsmhn(**SMALL, **streams), {"pairs": SideBySide({**MEDIA, "image": PICTURES}, "pairs")}),
        "cmgcah": (Cmgcah(**SMALL, **sizes), {"pairs": SideBySide(MEDIA, "pairs")}),
    }


def trained(name, folder, device, **options):
    method, tables = cases()[name]
    with jax.default_device(device), jax.default_matmul_precision("highest"):
        return train.train(method, tables, train.Run(folder=folder, devices=1, warn=pytest.fail, **options))


@pytest.mark.parametrize("resident_gb", [1.0, 0.0], ids=["resident", "streamed"])
@pytest.mark.parametrize("name", cases())
def test_training_is_as_on_the_cpu(name, resident_gb, tmp_path):
    here = trained(name, tmp_path / "here", jax.devices()[0], resident_gb=resident_gb)
    there = trained(name, tmp_path / "there", jax.devices("cpu")[0], resident_gb=resident_gb)
    assert here.keys() == there.keys()
    for stage, left in there.items():
        for part in ("params", "collections"):
            flat, _ = jax.flatten_util.ravel_pytree(getattr(left, part))
            found, _ = jax.flatten_util.ravel_pytree(getattr(here[stage], part))
            assert np.linalg.norm(found - flat) <= 1e-4 * np.linalg.norm(flat), (stage, part)


def test_scores_and_searches_are_those_of_the_cpu(tmp_path):
    found = {}
    for platform in ("cpu", os.environ["JAX_PLATFORMS"]):
        path = tmp_path / f"{platform}.npz"
        environment = os.environ | {"JAX_PLATFORMS": platform}
        subprocess.run([sys.executable, str(PROGRAM), str(path), "1"], check=True, env=environment)
        found[platform] = dict(np.load(path))
    cpu, gpu = found.values()
    assert cpu.keys() == gpu.keys() and len(cpu) > 10
    for name, values in cpu.items():
        assert values.tobytes() == gpu[name].tobytes(), name


@pytest.mark.parametrize("name", cases())
def test_codes_of_a_trained_model_are_those_of_the_cpu(name, tmp_path):
    method, tables = cases()[name]
    past = train.train(method, tables, train.Run(folder=tmp_path, devices=1, warn=pytest.fail))  # by TF32
    medium = "video" if tables is VIDEO else "text"
    table = MEDIA["text"] if medium == "text" else VIDEO["train"]
    call, inputs = encoder(method, medium), {name: table.arrays[name] for name in method.inputs}
    relaxed = {}
    for device in (jax.devices("cpu")[0], jax.devices()[0]):
        with jax.default_device(device):
            relaxed[device.platform] = np.asarray(jax.jit(call)(past, inputs))
    cpu, gpu = relaxed.values()
    np.testing.assert_allclose(gpu, cpu, rtol=1e-4, atol=1e-5 * np.abs(cpu).max())


def test_operations_are_counted_as_on_the_cpu():
    shapes, found = {"video": jax.ShapeDtypeStruct((6, 20), np.float32)}, {}
    for device in (jax.devices("cpu")[0], jax.devices()[0]):
        with jax.default_device(device):
            found[device.platform] = cost.measure(cases()["mcmsh"][0], None, shapes, "video", seconds=0).flops
    cpu, gpu = found.values()
    assert cpu == gpu > 0
