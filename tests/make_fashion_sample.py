"""Makes the shipped fashion sample, jhash/data/samples/fashion, from the raw source; the same bytes each time.

    python tests/make_fashion_sample.py RAW [--output jhash/data/samples/fashion]
    python tests/make_fashion_sample.py RAW --whole --output DIR

RAW holds images_12k.zip and items_12k.csv. The LICENSE.md beside the sample says what the source is and what is done
to it here. --whole leaves the items.csv of all items alone, for configs/dsmhn_raw.py beside images_12k.zip.
"""

import argparse
import collections
import csv
import zipfile
from collections.abc import Collection
from pathlib import Path

import numpy as np

SAMPLE = Path(__file__).parents[1] / "jhash/data/samples/fashion"
ATTRIBUTES = ("gender", "masterCategory", "subCategory", "articleType", "baseColour", "season", "usage")
ITEMS = 3200
TEST = 0.2  # this share of each class
SMALLEST = 20  # items that a class has in the source, or else it is left out
ENOUGH = 60  # items that a class has in the sample, where the source has as many


def chosen(items: list[dict[str, str]]) -> list[dict[str, str]]:
    """ITEMS of the source's items in a drawn order: first up to ENOUGH of each class, then whatever comes."""
    sizes = collections.Counter(item["subCategory"] for item in items)
    drawn = [items[place] for place in np.random.default_rng(1).permutation(len(items))]
    drawn = [item for item in drawn if sizes[item["subCategory"]] >= SMALLEST]
    taken, first, rest = collections.Counter(), [], []
    for item in drawn:
        (first if taken[item["subCategory"]] < ENOUGH else rest).append(item)
        taken[item["subCategory"]] += 1
    return (first + rest)[:ITEMS]


def groups(items: list[dict[str, str]], checksums: dict[str, int]) -> list[list[dict[str, str]]]:
    """Items of one product name, or with the same picture, belong together, and what belongs to these."""
    of = {}  # name or checksum -> its group
    for item in items:
        keys = item["productDisplayName"].casefold(), checksums[item["id"]]
        found = [of[key] for key in keys if key in of]
        group = found[0] if found else []
        if len(found) == 2 and found[0] is not found[1]:
            group += found[1]
        group.append(item)
        for member in group:
            of[member["productDisplayName"].casefold()] = of[checksums[member["id"]]] = group
    return list({id(group): group for group in of.values()}.values())


def split(items: list[dict[str, str]], checksums: dict[str, int], known: Collection[str] = ()) -> dict[str, str]:
    """Item -> 'train' or 'test': about TEST of each class is tested, and no name or picture is in both parts.

    `known` items, on which settings were chosen, are not tested.
    """
    sizes = collections.Counter(item["subCategory"] for item in items)
    left = {name: round(TEST * size) for name, size in sizes.items()}
    parts = {}
    for group in groups(items, checksums):
        needed = collections.Counter(item["subCategory"] for item in group)
        tested = all(count <= left[name] for name, count in needed.items())
        tested = tested and not any(item["id"] in known for item in group)
        for item in group:
            parts[item["id"]] = "test" if tested else "train"
            left[item["subCategory"]] -= tested
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("raw", type=Path, metavar="RAW", help="the folder of the raw source")
    parser.add_argument("--output", type=Path, default=SAMPLE, metavar="DIR")
    parser.add_argument("--whole", action="store_true", help="all items' items.csv, which takes --output")
    options = parser.parse_args()
    if options.whole and options.output == SAMPLE:
        parser.error("--whole needs an --output of its own")
    with open(options.raw / "items_12k.csv", encoding="utf-8", newline="") as file:
        items = list(csv.DictReader(file))
    with zipfile.ZipFile(options.raw / "images_12k.zip") as archive:
        checksums = {member.filename.removesuffix(".jpg"): member.CRC for member in archive.infolist()}
        sample = chosen(items)
        parts = split(sample, checksums)
        if options.whole:
            sample, known = items, {name for name, part in parts.items() if part == "train"}
            drawn = [items[place] for place in np.random.default_rng(1).permutation(len(items))]
            parts = split(drawn, checksums, known)
        sample.sort(key=lambda item: int(item["id"]))
        options.output.mkdir(parents=True, exist_ok=True)
        write_items(options.output / "items.csv", sample, parts)
        if not options.whole:
            write_images(options.output / "images.zip", sample, archive)
    for file in sorted(options.output.glob("i*")):
        print(f"{file.name}: {file.stat().st_size} bytes")
    print(collections.Counter(parts.values()))


def write_images(path: Path, items: list[dict[str, str]], source: zipfile.ZipFile) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for item in items:
            member = zipfile.ZipInfo(f"{item['id']}.jpg", date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o644 << 16  # the same bytes on every system
            archive.writestr(member, source.read(member.filename))


def write_items(path: Path, items: list[dict[str, str]], parts: dict[str, str]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "image", "split", "name", *ATTRIBUTES])
        for item in items:
            attributes = [item[attribute] for attribute in ATTRIBUTES]
            number = item["id"]
            writer.writerow([number, f"{number}.jpg", parts[number], item["productDisplayName"], *attributes])


if __name__ == "__main__":
    main()
