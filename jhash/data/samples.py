"""The real data shipped inside the package: small, each in a folder with its licence, read one part at a time."""

from pathlib import Path

import numpy as np

from jhash.data.source import ArrayTable
from jhash.data.validate import load_npz, one_hot
from jhash.features import normalise_pose, sqrt_counts

FOLDER = Path(__file__).parent / "samples"


def nmnist(part: str) -> ArrayTable:
    """Event video: frames [N, 10, 2312] float32, square roots of event counts; labels [N, 10]. 1,000 / 100 clips."""
    arrays = load_npz(FOLDER / "nmnist" / f"{part}.npz")
    counts = arrays["counts"]
    frames = sqrt_counts(counts.reshape(*counts.shape[:2], -1))
    return ArrayTable(f"nmnist/{part}", {"frames": frames, "labels": one_hot(arrays["digit"], np.arange(10))})


def jhmdb(part: str) -> ArrayTable:
    """Body joints: frames [N, 16, 30] float32, centred and scaled a clip; labels [N, 14]. 433 / 176 clips."""
    arrays = load_npz(FOLDER / "jhmdb" / f"{part}.npz")
    frames = normalise_pose(arrays["joints"])
    return ArrayTable(f"jhmdb/{part}", {"frames": frames, "labels": one_hot(arrays["action"], np.arange(14))})
