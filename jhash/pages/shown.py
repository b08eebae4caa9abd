"""How an item of each dataset is shown: a picture, a strip of frames, a stick figure, a pen's path, words or a number.

Tables hold items as models see them, so what was shifted and scaled is taken back first.
"""

import base64
import io
from collections.abc import Sequence

import chex
import numpy as np
from PIL import Image

from jhash.data import samples
from jhash.data.dataset import Dataset
from jhash.data.source import Transformed
from jhash.data.validate import load_npz
from jhash.features import frame_positions
from jhash.pages.html import escaped

SIDE = 128  # pixels of a photograph's longer side, at most: about 120 of them then stay under 2 MB
LETTERS = 300  # of a text, at most
FRAMES = 4  # of a strip
EVENTS = (2, 34, 34)  # polarity, height, width of a frame of the event camera
BONES = (
    (2, 0),
    (0, 1),
    (0, 3),
    (3, 7),
    (7, 11),
    (0, 4),
    (4, 8),
    (8, 12),
    (1, 5),
    (5, 9),
    (9, 13),
    (1, 6),
    (6, 10),
    (10, 14),
)


def medium_of(part: str) -> str:
    """The medium of 'image/test'; parts of video have names without one."""
    return part.split("/")[0] if "/" in part else "video"


def is_pixels(dataset: Dataset, part: str) -> bool:
    return "pixels" in dataset.normalisation[medium_of(part)]


def class_names(dataset: Dataset, width: int) -> list[str]:
    """Names of the labels' columns; numbers where the data have no names."""
    if dataset.classes:
        return list(dataset.classes)
    if dataset.name == "nmnist":
        return [str(digit) for digit in range(width)]
    if dataset.name == "jhmdb":
        return load_npz(samples.FOLDER / "jhmdb" / "test.npz", ["actions"])["actions"].tolist()
    return [f"class {number}" for number in range(width)]


def classes_of(dataset: Dataset, part: str, rows: np.ndarray) -> list[str]:
    """The classes of items in words."""
    labels = dataset.tables[part].read(rows, ["labels"])["labels"]
    names = class_names(dataset, labels.shape[1])
    return [", ".join(names[i] for i in np.flatnonzero(one)) or "no class" for one in labels]


def looks(dataset: Dataset, part: str, rows: np.ndarray) -> list[str]:
    """HTML of each item of a part that has a table; of those without a picture, their words or their row's number."""
    rows, medium = np.asarray(rows), medium_of(part)
    if is_pixels(dataset, part):
        table = dataset.tables[part]
        stored = table.table if isinstance(table, Transformed) else table
        pixels = stored.read(rows, ["features"])["features"]
        return [image(jpeg(one), name) for one, name in zip(pixels, classes_of(dataset, part, rows), strict=True)]
    texts = words_of(dataset, part)
    if len(texts):
        return [words(texts[row]) for row in rows]
    drawn = DRAWN.get((dataset.name, medium))
    if drawn is None:
        return [f'<p class="words">row {row:,}</p>' for row in rows]
    return [drawn(item) for item in _stored(dataset, part, rows)]


def has_look(dataset: Dataset, part: str) -> bool:
    """Whether a person sees more of the part's items than a row's number."""
    known = (dataset.name, medium_of(part)) in DRAWN
    return known or is_pixels(dataset, part) or len(words_of(dataset, part)) > 0


def words_of(dataset: Dataset, part: str) -> Sequence[str]:
    """The part's items in words, or () where there are none."""
    if part in dataset.shown:
        return dataset.shown[part]
    if dataset.name == "digits" and part in ("text/train", "text/test"):
        found = load_npz(samples.FOLDER / "digits" / f"{part}.npz", ["word"])["word"]
        if len(found) == len(dataset.tables[part]):  # a fold or a draw has fewer, and its own rows
            return found.tolist()
    return ()


def _stored(dataset: Dataset, part: str, rows: np.ndarray) -> np.ndarray:
    """Items [R, ...] before they were shifted and scaled; those scaled one by one keep a scale of their own."""
    table, fitted = dataset.tables[part], dataset.normalisation[medium_of(part)]
    column = "frames" if "frames" in table.columns else "features"
    values = table.read(rows, [column])[column].astype(np.float32)
    shape = (1,) * (values.ndim - 1) + (-1,)
    return values / fitted["scale"].reshape(shape) + fitted["shift"].reshape(shape)


def words(text: str) -> str:
    kept = text if len(text) <= LETTERS else text[:LETTERS] + "…"
    return f'<p class="words">{escaped(kept) or "(no words)"}</p>'


def image(address: str, name: str, kind: str = "plain") -> str:
    return f'<img class="{kind}" alt="{escaped(name)}" src="{address}">'


def jpeg(pixels: np.ndarray) -> str:
    """A picture as the address of a JPEG, its longer side at most SIDE.

    Args:
        pixels: uint8 [H, W], [H, W, C], or a clip [T, H, W, C], of which the middle frame is taken. Three channels are
            red, green and blue; of other numbers the mean is shown in grey.
    """
    chex.assert_rank(pixels, {2, 3, 4})
    frame = pixels[len(pixels) // 2] if pixels.ndim == 4 else pixels
    if frame.ndim == 3 and frame.shape[-1] != 3:
        frame = frame.mean(axis=-1).astype(np.uint8)
    picture = Image.fromarray(np.ascontiguousarray(frame))
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def png(pixels: np.ndarray) -> str:
    """The address of a PNG of uint8 [H, W] or [H, W, 3], whose pixels stay as they are."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")


def events(frames: np.ndarray) -> str:
    """A strip of frames [T, 2312] of an event camera: one polarity blue, the other orange, both together dark."""
    chex.assert_shape(frames, (None, int(np.prod(EVENTS))))
    chosen = frames[frame_positions(len(frames), min(FRAMES, len(frames)))].reshape(-1, *EVENTS).clip(0)
    share = (chosen / max(float(chosen.max()), 1e-9)) ** 0.6
    away = np.array([[255, 141, 77], [38, 128, 255]], np.float32)  # white less blue, white less orange
    colours = (250 - np.einsum("tphw,pc->thwc", share, away)).clip(0, 250)
    gap = np.full((EVENTS[1], 2, 3), 120)
    parts = [part for frame in colours for part in (gap, frame)][1:]
    return image(png(np.concatenate(parts, axis=1).astype(np.uint8)), "event camera", "strip crisp")


def sticks(frames: np.ndarray) -> str:
    """A strip of stick figures from joints [T, 30], 15 points of x and y a frame."""
    chex.assert_shape(frames, (None, 30))
    chosen = frames[frame_positions(len(frames), min(FRAMES, len(frames)))].reshape(-1, 15, 2)
    chosen = chosen - (chosen.min(axis=1, keepdims=True) + chosen.max(axis=1, keepdims=True)) / 2  # who moves far, too
    low, high = chosen.min(axis=(0, 1)), chosen.max(axis=(0, 1))
    scale = 92 / max(float((high - low).max()), 1e-9)
    across, down = (high - low) * scale
    parts = []
    for number, points in enumerate((chosen - low) * scale):
        points = points + [4 + number * (across + 10), 4]
        bones = "".join(f"M{_xy(points[a])}L{_xy(points[b])}" for a, b in BONES)
        dots = "".join(f"M{_xy(point)}h0" for point in points)
        parts.append(f'<path class="axis" fill="none" stroke-width="2" d="{bones}"/>')
        parts.append(f'<path class="s0" fill="none" stroke-width="6" stroke-linecap="round" d="{dots}"/>')
        head = points[2]
        parts.append(f'<circle class="s0 rest" cx="{head[0]:.1f}" cy="{head[1]:.1f}" r="5"/>')
    return _drawing(len(chosen) * (across + 10), down + 8, "joints of a moving body", parts, "strip")


def pen(points: np.ndarray) -> str:
    """A pen's path from 8 places [16], x and y each, y upwards; a ring where it begins."""
    chex.assert_shape(points, (16,))
    path = points.reshape(8, 2) * [1, -1]
    path = 6 + 88 * (path - path.min(axis=0)) / max(float(np.ptp(path, axis=0).max()), 1e-9)
    line = f'<path class="s0" fill="none" stroke-width="4" stroke-linejoin="round" d="M{"L".join(map(_xy, path))}"/>'
    start = f'<circle class="axis ground" stroke-width="2" cx="{path[0][0]:.1f}" cy="{path[0][1]:.1f}" r="5"/>'
    return _drawing(max(30.0, path[:, 0].max() + 6), path[:, 1].max() + 6, "path of a pen", [line, start])


def _drawing(width: float, height: float, name: str, parts: Sequence[str], kind: str = "") -> str:
    named = f'class="{kind}" role="img" aria-label="{name}"'
    return f'<svg {named} viewBox="0 0 {width:.0f} {height:.0f}">{"".join(parts)}</svg>'


def _xy(point: np.ndarray) -> str:
    return f"{point[0]:.1f} {point[1]:.1f}"


def grey(values: np.ndarray, shape: tuple[int, int], name: str, *, inverted: bool = False) -> str:
    """A grey picture of values [H * W], the least black, the largest white, or inverted."""
    share = (values - values.min()) / max(float(np.ptp(values)), 1e-9)
    pixels = (255 * (1 - share if inverted else share)).round().astype(np.uint8).reshape(shape)
    return image(png(pixels), name, "crisp")


DRAWN = {
    ("nmnist", "video"): events,
    ("jhmdb", "video"): sticks,
    ("digits", "image"): lambda item: grey(item, (28, 28), "handwriting", inverted=True),
    ("digits", "sign"): lambda item: grey(item, (28, 28), "photograph of a hand"),
    ("digits", "stroke"): pen,
    ("digits", "event"): lambda item: events(item[None]),
    ("digits", "audio"): lambda item: grey(item.reshape(32, 40).T[::-1].ravel(), (40, 32), "spectrogram"),
}
