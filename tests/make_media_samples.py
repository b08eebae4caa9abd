"""Makes the shipped media samples, jhash/data/samples/{digits,wikipedia}, from raw sources; the same bytes each time.

    python tests/make_media_samples.py RAW [--output jhash/data/samples]

RAW holds digits/*.npz, digits/numerals_text.csv.gz and wikipedia/. The LICENSE.md beside each sample says what its
sources are and what is done to them here.
"""

import argparse
import collections
import csv
import gzip
import unicodedata
from pathlib import Path

import numpy as np
import scipy.io

SAMPLES = Path(__file__).parents[1] / "jhash/data/samples"
LONGEST = 32  # characters of a numeral; what is longer is a gloss or a note rather than a word
ALIKE = 4  # numerals that two languages spell alike before they count as one


def image(raw: Path) -> dict[str, dict[str, np.ndarray]]:
    arrays = np.load(raw / "digits/mnist_t10k_image28.npz")
    train, test = balanced(arrays["y"], (400, 100), np.random.default_rng(1))
    return {
        part: {"image": arrays["x"][rows], "digit": arrays["y"][rows]}
        for part, rows in (("train", train), ("test", test))
    }


def stroke(raw: Path) -> dict[str, dict[str, np.ndarray]]:
    arrays = np.load(raw / "digits/pendigits_stroke8x2.npz")
    (test,) = balanced(arrays["y_test"], (100,), np.random.default_rng(2))
    return {
        "train": {"points": arrays["x_train"], "digit": arrays["y_train"]},
        "test": {"points": arrays["x_test"][test], "digit": arrays["y_test"][test]},
    }


def audio(raw: Path) -> dict[str, dict[str, np.ndarray]]:
    arrays = np.load(raw / "digits/fsdd_logmel32x40.npz")
    values = arrays["x"].astype(np.float32)
    offset = values.min()
    scale = np.float32((values.max() - offset) / 255)
    steps = np.rint((values - offset) / scale).astype(np.uint8)
    index = arrays["index"]
    parts = {}
    for part, chosen in (("train", (index >= 5) & (index < 25)), ("test", index < 5)):
        parts[part] = {"logmel": steps[chosen], "offset": offset, "scale": scale, "digit": arrays["y"][chosen]}
        parts[part] |= {"speaker": arrays["speaker"][chosen], "index": index[chosen]}
    return parts


def sign(raw: Path) -> dict[str, dict[str, np.ndarray]]:
    arrays = np.load(raw / "digits/signdigits_image48.npz")
    area = overlaps(48, 28)
    smaller = np.rint(area @ arrays["x"].astype(np.float64) @ area.T).astype(np.uint8)
    generator = np.random.default_rng(3)
    train = []
    for digit in range(10):
        rows = generator.permutation(np.flatnonzero(arrays["y"] == digit))
        train.append(rows[: round(0.8 * len(rows))])
    train = np.sort(np.concatenate(train))
    test = np.setdiff1d(np.arange(len(smaller)), train)
    return {
        part: {"image": smaller[rows], "digit": arrays["y"][rows]} for part, rows in (("train", train), ("test", test))
    }


def text(raw: Path) -> dict[str, dict[str, np.ndarray]]:
    languages = numerals(raw / "digits/numerals_text.csv.gz")
    generator = np.random.default_rng(4)
    order = [sorted(languages)[place] for place in generator.permutation(len(languages))]
    test = draw(languages, order, {"chan2019": 800, "uninum": 200})
    tested = {row[0] for row in test}
    spelt = collections.defaultdict(set)  # a plain spelling -> the test languages that have it
    for language in tested:
        for spelling in plain(languages[language]):
            spelt[spelling].add(language)
    apart = [name for name in order if name not in tested and nearest(languages[name], spelt) < ALIKE]
    train = draw(languages, apart, {"chan2019": 3200, "uninum": 800})
    return {
        part: {
            "word": np.array([row[2] for row in rows]),
            "digit": np.array([row[1] for row in rows], np.uint8),
            "language": np.array([row[0][1] for row in rows]),
            "source": np.array([row[0][0] for row in rows]),
        }
        for part, rows in (("train", train), ("test", test))
    }


def wikipedia(raw: Path) -> dict[str, dict[str, np.ndarray]]:
    arrays = scipy.io.loadmat(raw / "wikipedia/raw_features.mat")
    names = np.array((raw / "wikipedia/categories.list").read_text().split())
    parts = {}
    for part, short in (("train", "tr"), ("test", "te")):
        lines = (raw / f"wikipedia/{part}set_txt_img_cat.list").read_text().splitlines()
        parts[part] = {
            "image": arrays[f"I_{short}"].astype(np.float32),
            "text": arrays[f"T_{short}"].astype(np.float32),
            "category": np.array([line.split("\t")[2] for line in lines], np.uint8),
            "names": names,
        }
    return parts


def balanced(classes: np.ndarray, each: tuple[int, ...], generator: np.random.Generator) -> list[np.ndarray]:
    """Sorted rows of one set for every entry of `each`: that many of each class, none in two sets."""
    sets = [[] for _ in each]
    for value in np.unique(classes):
        rows = generator.permutation(np.flatnonzero(classes == value))
        for chosen, part in zip(sets, np.split(rows, np.cumsum(each)), strict=False):
            chosen.append(part)
    return [np.sort(np.concatenate(chosen)) for chosen in sets]


def overlaps(before: int, after: int) -> np.ndarray:
    """[after, before]: how much of each pixel, as a share, falls into each of fewer and larger ones."""
    edges = np.linspace(0, before, after + 1)
    low, high = edges[:-1, None], edges[1:, None]
    pixels = np.arange(before)[None]
    return np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, None) / (before / after)


def numerals(path: Path) -> dict[tuple[str, str], list[tuple[int, str]]]:
    """(source, language) -> its (digit, form); dialects and spellings of one code are one language."""
    languages = collections.defaultdict(list)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            form = row["form"].strip()
            code = row["language"].split("-" if row["source"] == "chan2019" else "_")[0]
            if 0 < len(form) <= LONGEST:
                languages[row["source"], code].append((int(row["digit"]), form))
    return dict(languages)


def draw(languages, order, wanted: dict[str, int]) -> list[tuple[tuple[str, str], int, str]]:
    """(language, digit, form) of the first languages in that order, so many forms of each source."""
    rows, left = [], dict(wanted)
    for language in order:
        taken = languages[language][: left[language[0]]]
        left[language[0]] -= len(taken)
        rows += [(language, *form) for form in taken]
    return rows


def plain(forms: list[tuple[int, str]]) -> set[tuple[int, str]]:
    """Digits with their spellings without accents, tones and case."""
    letters = [
        (digit, "".join(letter for letter in unicodedata.normalize("NFKD", form.casefold()) if letter.isalpha()))
        for digit, form in forms
    ]
    return {(digit, spelling) for digit, spelling in letters if spelling}


def nearest(forms: list[tuple[int, str]], spelt: dict[tuple[int, str], set]) -> int:
    """How many numerals these forms share with the test language that has most of them."""
    digits = collections.defaultdict(set)
    for spelling in plain(forms):
        for language in spelt.get(spelling, ()):
            digits[language].add(spelling[0])
    return max(map(len, digits.values()), default=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("raw", type=Path, metavar="RAW", help="the folder of raw sources")
    parser.add_argument("--output", type=Path, default=SAMPLES, metavar="DIR")
    options = parser.parse_args()
    for medium in (image, stroke, audio, sign, text):
        write(options.output / "digits" / medium.__name__, medium(options.raw))
    write(options.output / "wikipedia", wikipedia(options.raw))


def write(folder: Path, parts: dict[str, dict[str, np.ndarray]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, arrays in parts.items():
        np.savez_compressed(folder / f"{part}.npz", **arrays)
        size = (folder / f"{part}.npz").stat().st_size
        print(f"{folder.name}/{part}: {len(next(iter(arrays.values())))} items, {size} bytes")


if __name__ == "__main__":
    main()
