"""The real data shipped inside the package: small, each in a folder with its licence, read one part at a time."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from jhash.data.raw import open_raw
from jhash.data.source import ArrayTable
from jhash.data.validate import load_npz, one_hot
from jhash.features import character_ngrams, normalise_pose, sqrt_counts

FOLDER = Path(__file__).parent / "samples"
TEXT_WIDTH = 2048


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


def digits(medium: str, part: str) -> ArrayTable:
    """One medium of the digits 0–9: features [N, d] float32, labels [N, 10]. No item of a medium belongs to another's.

    image 784 wide, 4,000 / 1,000 items: handwriting, 0 to 1. sign 784, 1,648 / 411: photographs of hands, 0 to 1.
    stroke 16, 7,494 / 1,000: eight places of a pen, in units of the digit's size around their mean. audio 1280,
    1,200 / 300: log-mel spectra less the recording's mean. event 2312, 1,000 / 100: an event camera's clips, mean over
    frames of the counts' square roots. text 2048, 4,000 / 1,000: hashed characters of numerals, unit length.
    """
    if medium == "event":
        clips = nmnist(part).arrays
        return ArrayTable(f"digits/event/{part}", {"features": clips["frames"].mean(axis=1), "labels": clips["labels"]})
    arrays = load_npz(FOLDER / "digits" / medium / f"{part}.npz")
    features = _digit_features(medium, arrays)
    return ArrayTable(
        f"digits/{medium}/{part}", {"features": features, "labels": one_hot(arrays["digit"], np.arange(10))}
    )


def _digit_features(medium: str, arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    if medium == "text":
        return character_ngrams(arrays["word"], width=TEXT_WIDTH)
    if medium == "audio":
        spectra = arrays["offset"] + arrays["scale"] * arrays["logmel"].astype(np.float32)
        spectra = spectra.reshape(len(spectra), -1)
        return spectra - spectra.mean(axis=1, keepdims=True)
    if medium == "stroke":
        points = arrays["points"].astype(np.float32) / 100
        return (points - points.mean(axis=1, keepdims=True)).reshape(len(points), -1)
    return arrays["image"].reshape(len(arrays["image"]), -1).astype(np.float32) / 255


def wikipedia(medium: str, part: str) -> ArrayTable:
    """Pairs of picture and text: features [N, 128] ('image') or [N, 10] ('text') float32, labels [N, 10].

    2,173 / 693 pairs; row i of both media is one pair, and the columns of labels are `wikipedia_names()`.
    """
    arrays = load_npz(FOLDER / "wikipedia" / f"{part}.npz", [medium, "category"])
    labels = one_hot(arrays["category"], np.arange(1, 11))
    return ArrayTable(f"wikipedia/{medium}/{part}", {"features": arrays[medium], "labels": labels})


def wikipedia_names() -> tuple[str, ...]:
    """The ten categories, in the order of their numbers."""
    return tuple(load_npz(FOLDER / "wikipedia" / "test.npz", ["names"])["names"].tolist())


def fashion(
    part: str, labels: str | tuple[str, ...]
) -> tuple[dict[str, ArrayTable], tuple[str, ...], tuple[str, ...], list[str]]:
    """Pairs of photograph and product name: image [N, 80, 60, 3] uint8, text [N, V] float32 of 0/1; 2,559 / 641 pairs.

    Args:
        part: 'train' or 'test'.
        labels: one attribute of items.csv, each of whose values is a class, such as 'subCategory' (30), or several,
            whose classes are all their values, such as 'season=Fall'.

    Returns:
        The tables of `features` and `labels` [N, C] by medium, the C classes and the V words, both those of training
        items, and the N names as they are written.
    """
    folder = FOLDER / "fashion"
    config = {"manifest": str(folder / "items.csv"), "root": str(folder / "images.zip"), "height": 80, "width": 60}
    config |= {"image_column": "image", "text_column": "name", "split_column": "split"}
    config["label_columns"] = (labels,) if isinstance(labels, str) else labels
    raw = open_raw(config, say=lambda line: None, parts=(part,))
    return raw.parts[part], raw.classes, raw.vocabulary, raw.texts[part]
