"""Makes backbone_*.npz beside it: the backbones' outputs in PyTorch, against which the library is held without torch.

    python tests/parity/make_backbones.py

Weights are not stored: `seeded` draws each entry of a state dict from its own name and shape, here and in the tests.
A file holds `entries` (the state dict's names and shapes), `features`, and of the small ResNet what a pass in training
mode gives and leaves in the first running statistics. torch computes in float64, from values exact in float32.
"""

import sys
import zlib
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent
SHAPES = {  # case -> items: small ones for every day, whole ones as published
    "vgg16_small": (2, 64, 64, 3),
    "vgg19_small": (2, 64, 64, 3),
    "cnn_f_small": (2, 103, 103, 3),
    "resnet50_small": (3, 64, 64, 3),
    "c3d_small": (2, 16, 48, 48, 3),
    "vgg16_whole": (1, 224, 224, 3),
    "cnn_f_whole": (1, 224, 224, 3),
    "resnet50_whole": (1, 224, 224, 3),
    "c3d_whole": (1, 16, 112, 112, 3),
}


def pixels(case):
    """The case's items, uint8."""
    return np.random.default_rng(zlib.crc32(case.encode())).integers(0, 256, SHAPES[case], np.uint8)


def seeded(name, shape):
    """The values of one entry of a state dict, float32: kernels keep the size of what passes (He et al. 2015)."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name == "mean":
        return random.uniform(100, 140, shape).astype(np.float32)
    noise = random.standard_normal(shape, np.float32)
    if name.endswith("running_var"):
        return 1 + np.float32(0.3) * np.abs(noise)
    if len(shape) > 1:
        into_clips = len(shape) == 5 and shape[1] == 3  # C3D's first kernel meets pixels of up to 255
        return noise * np.float32((2 / np.prod(shape[1:])) ** 0.5 / (64 if into_clips else 1))
    if name.endswith("weight"):  # of a normalisation: smaller before a shortcut's sum, or sixteen of them would explode
        return (1 + np.float32(0.2) * noise) * np.float32(0.3 if name.endswith("bn3.weight") else 1)
    return np.float32(0.1) * noise


def state_dict(case):
    """The case's state dict by the names and shapes in its file."""
    with np.load(FOLDER / f"backbone_{case}.npz", allow_pickle=False) as arrays:
        entries = dict(entry.split(" ") for entry in arrays["entries"])
    return {name: seeded(name, tuple(map(int, shape.split("x")))) for name, shape in entries.items()}


def matconvnet(state, grid):
    """CNN-F's state dict as the variables of its published .mat file: fc6 and fc7 are convolutions there."""

    def layer(name):
        kernel, places = state[f"{name}.weight"], (grid, grid) if name == "fc6" else (1, 1)
        if kernel.ndim == 2:
            kernel = kernel.reshape(len(kernel), -1, *places)
        weights = np.empty((1, 2), object)
        weights[0] = [kernel.transpose(2, 3, 1, 0), state[f"{name}.bias"][None]]
        return {"name": name, "type": "conv", "weights": weights}

    names = [name.removesuffix(".weight") for name in state if name.endswith(".weight")]
    cells = np.empty((1, 2 * len(names)), object)
    cells[0] = [cell for name in names for cell in (layer(name), {"name": f"relu_{name}", "type": "relu"})]
    return {"layers": cells, "meta": {"normalization": {"averageImage": state["mean"]}}}


def models():
    """Case -> a function that builds its reference."""
    import reference_backbones as reference

    return {
        "vgg16_small": lambda: reference.VGG(16, 4, 2, 10),
        "vgg19_small": lambda: reference.VGG(19, 4, 2, 10),
        "cnn_f_small": lambda: reference.CNNF(4, 103, 3, 10),
        "resnet50_small": lambda: reference.ResNet((2, 1, 2, 1), 4, 10),
        "c3d_small": lambda: reference.C3D(4, 4, 10),
        "vgg16_whole": lambda: reference.VGG(16, 64, 7, 1000),
        "cnn_f_whole": lambda: reference.CNNF(64, 224, 6, 1000),
        "resnet50_whole": lambda: reference.ResNet((3, 4, 6, 3), 64, 1000),
        "c3d_whole": lambda: reference.C3D(64, 16, 487),
    }


def main(cases):
    import torch

    build = models()
    for case in cases or build:
        model = build[case]().eval()
        state = {k: tuple(v.shape) for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
        for name, shape in state.items():
            model.state_dict()[name].copy_(torch.as_tensor(seeded(name, shape)))
        model, items = model.double(), torch.as_tensor(pixels(case)).double()
        arrays = {"entries": np.array([f"{name} {'x'.join(map(str, shape))}" for name, shape in state.items()])}
        with torch.no_grad():
            arrays["features"] = model(items).float().numpy()
            if case == "resnet50_small":
                arrays["train_features"] = model.train()(items).float().numpy()
                arrays["train_mean"] = model.bn1.running_mean.float().numpy()
                arrays["train_var"] = model.bn1.running_var.float().numpy()
        np.savez_compressed(FOLDER / f"backbone_{case}.npz", **arrays)
        print(case, arrays["features"].shape, f"root mean square {(arrays['features'] ** 2).mean() ** 0.5:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
