"""A user's own photographs, clips and texts, named by a .csv: decoded once into a cache, then read like any table.

config.data = {'name': 'raw', 'manifest': 'shop/items.csv', 'root': 'shop/pictures.zip', 'image_column': 'file',
               'text_column': 'name', 'label_columns': ('kind',), 'split_column': 'split', 'cache': 'shop/cache'}
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jhash.data.decode import Archive, Broken, Folder, Look, clip, open_root, picture, reason
from jhash.data.manifest import PARTS, Item, label_rows, read_manifest
from jhash.data.one_pass import ahead, growing
from jhash.data.source import ArrayTable, write_array
from jhash.data.text import bag_of_words, build_vocabulary, load_vocabulary, save_vocabulary
from jhash.data.validate import load_npy
from jhash.types import InputError

FIELDS = {
    "manifest": "",  # a .csv in UTF-8 with a header, an item a line
    "root": "",  # the folder or .zip that its paths start from; '': the manifest's folder
    "image_column": "",  # paths of photographs
    "video_column": "",  # paths of video files, or of folders of pictures
    "text_column": "",  # texts; several columns, such as 'name;caption', are joined
    "label_columns": (),  # each of one value, or of several between ';'; of two columns, classes are 'column=value'
    "split_column": "",  # 'train', 'test' or 'database'; '': all items are for training
    "height": 64,
    "width": 64,
    "fit": "whole",  # 'whole' | 'crop': see decode.Look
    "frames": 8,  # of a clip
    "words": 1000,  # of the vocabulary, at most
    "broken": "refuse",  # 'skip': items that cannot be decoded are left out, and named
    "cache": "",  # a folder for what is decoded; '': it stays in memory
}
LEAST = 2  # training texts that have a word of the vocabulary: one text's own word finds no other
BLOCK = 4096  # items whose texts and labels are turned into numbers at once
NAMED = 3  # broken items that a printed line names
VERSION = 4  # of what lies in a cache


class Raw(NamedTuple):
    """Tables of `features` and `labels` by part and medium; row i of all media of a part is one item."""

    parts: dict[str, dict[str, ArrayTable]]
    classes: tuple[str, ...]  # names of the columns of labels
    vocabulary: tuple[str, ...]  # words of the columns of texts
    texts: dict[str, list[str]]  # part -> what its items say, row by row; {} without a text column
    paths: dict[str, dict[str, list[str]]]  # part -> image and video -> the files of its items, row by row


def open_raw(config: Mapping[str, Any], say: Callable[[str], None] = print, parts: Sequence[str] = PARTS) -> Raw:
    """The media of a manifest: image [N, H, W, 3] and video [N, T, H, W, 3] uint8, text [N, V] float32 of 0/1.

    Words and classes are those of all training items: a fold or a validation share is held out of them afterwards, by
    `pairs.py`, and its words, never its labels, have then been looked at.

    Labels are [N, C] uint8 of 0/1; C are the sorted values that training items have. Values that only other items have
    get no column, and a line says so. Without label columns there are no labels. With a cache the arrays are
    memory-mapped files, which a later call uses again as long as the manifest, the settings and the media's sizes and
    times are the same.

    Args:
        config: the fields of FIELDS; others are not looked at.
        say: gets a line on items skipped, on classes left out and on waiting for another process.
        parts: those to decode, of those that the manifest has.

    Raises:
        InputError: one sentence on the field, the line of the manifest or the item that is wrong.
    """
    config = _checked({field: config.get(field, default) for field, default in FIELDS.items()})
    manifest = Path(config["manifest"])
    items, content = read_manifest(manifest, config)
    files = open_root(Path(config["root"]) if config["root"] else manifest.parent)
    held = {item.part for item in items}
    job = Job(config, manifest, files, items, tuple(part for part in PARTS if part in parts and part in held))
    digest = job.digest(content)
    if config["cache"]:
        facts, arrays = read_folder(cached(Path(config["cache"]), job, digest, say), digest)
    else:
        with tempfile.TemporaryDirectory() as folder:
            job.write(Path(folder), digest)
            facts, arrays = read_folder(Path(folder), digest)
            arrays = {name: np.array(array) for name, array in arrays.items()}
    for line in facts["said"]:
        say(line)
    tables, texts, paths = _divided(manifest, facts, arrays)
    return Raw(tables, tuple(facts["classes"]), facts["vocabulary"], texts, paths)


def _divided(manifest: Path, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> tuple[dict, dict, dict]:
    """The tables, the texts and the paths of each part: rows of one part follow those of another."""
    tables, texts, paths, start = {}, {}, {}, 0
    for part, size in facts["parts"].items():
        rows = {name: array[start : start + size] for name, array in arrays.items()}
        labels = {"labels": rows.pop("labels")} if "labels" in rows else {}
        tables[part] = {
            medium: ArrayTable(f"{manifest}/{part}/{medium}", {"features": values, **labels})
            for medium, values in rows.items()
        }
        paths[part] = {medium: strings[start : start + size] for medium, strings in facts["strings"].items()}
        if "text" in paths[part]:
            texts[part] = paths[part].pop("text")
        start += size
    return tables, texts, paths


def _checked(config: dict[str, Any]) -> dict[str, Any]:
    for field, known in (("fit", ("whole", "crop")), ("broken", ("refuse", "skip"))):
        if config[field] not in known:
            raise InputError(f"data.{field}: expected one of {', '.join(known)}, found {config[field]!r}.")
    for field in ("height", "width", "frames", "words"):
        if config[field] < 1:
            raise InputError(f"data.{field}: expected 1 or more, found {config[field]}.")
    if not any(config[f"{medium}_column"] for medium in ("image", "video", "text")):
        raise InputError("data: expected an image_column, a video_column or a text_column, found none.")
    return config | {"label_columns": tuple(config["label_columns"])}


class Job(NamedTuple):
    """All that a decoding depends on."""

    config: dict[str, Any]
    manifest: Path
    files: Folder | Archive
    items: list[Item]  # of all parts
    parts: tuple[str, ...]  # those to decode

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Medium -> what an item's pixels are like."""
        size = self.config["height"], self.config["width"], 3
        shapes = {"image": size, "video": (self.config["frames"], *size)}
        return {medium: shapes[medium] for medium in self.items[0].paths}

    def bytes(self) -> int:
        """What the result needs on disk, at most."""
        item = sum(int(np.prod(shape)) for shape in self.shapes().values()) + len(self.classes())
        words = (word for item in self.items for word in (item.text, *item.paths.values()))
        written = sum(6 * len(word) + 4 for word in words)  # a control character is six bytes of JSON
        return len(self.items) * (item + 4 * self.config["words"] * bool(self.config["text_column"])) + written

    def classes(self) -> list[str]:
        return sorted({label for item in self.items if item.part == "train" for label in item.labels})

    def digest(self, manifest: bytes) -> str:
        """SHA-256 over the manifest, the settings, and what changes with every file or folder of frames."""
        settings = {field: value for field, value in self.config.items() if field not in ("manifest", "root", "cache")}
        sha = hashlib.sha256(json.dumps([VERSION, settings, self.parts]).encode())
        sha.update(hashlib.sha256(manifest).digest())
        for item in self.items:
            for name in item.paths.values():
                # an empty path would stamp the whole root
                stamp = self.files.stamp(name) if name else ""
                sha.update(stamp.encode("utf-8", "surrogateescape") + b"\n")
        return sha.hexdigest()

    def decode(self, item: Item) -> dict[str, np.ndarray] | Broken:
        """Medium -> pixels, or why one of them is broken."""
        look = Look(*(self.config[field] for field in Look._fields))
        decoded = {}
        for medium, name in item.paths.items():
            try:
                if not name:
                    raise Broken("expected a path, found nothing")
                decoded[medium] = (
                    picture(self.files.read(name), look) if medium == "image" else clip(self.files, name, look)
                )
            except (Broken, OSError) as error:
                said = f"{name or medium}: {reason(error)}"
                return Broken(said.encode("utf-8", "replace").decode())  # a frame's name may be no text at all
        return decoded

    def write(self, folder: Path, digest: str) -> None:
        """Decodes all items into <medium>.npy, writes labels.npy beside them and says so in facts.json.

        Raises:
            InputError: a broken item, unless they are skipped; a part with broken items alone; no words; no labels.
        """
        classes = self.classes()
        if self.config["label_columns"] and not classes:
            raise InputError(f"{self.manifest}: expected labels of training items in data.label_columns, found none.")
        vocabulary = ()
        if self.config["text_column"]:
            texts = (item.text for item in self.items if item.part == "train")
            vocabulary = build_vocabulary(texts, self.config["words"], LEAST)
            save_vocabulary(folder / "vocabulary.json", vocabulary)
        chosen = [item for part in self.parts for item in self.items if item.part == part]
        kept, skipped = self._write_pixels(folder, chosen)
        sizes = {part: sum(item.part == part for item in kept) for part in self.parts}
        for part, size in sizes.items():
            if not size:
                lines = {item.line for item in chosen if item.part == part}
                own = [one for one in skipped if one[0] in lines]
                raise InputError(f"{self.manifest}: every {part} item is broken, such as {_named(own)}.")
        if vocabulary:
            bags = (bag_of_words([item.text for item in block], vocabulary) for block in _blocks(kept))
            write_array(folder / "text.npy", (len(kept), len(vocabulary)), np.float32, bags)
        strings = {medium: [item.paths[medium] for item in kept] for medium in self.shapes()}
        strings |= {"text": [item.text for item in kept]} if vocabulary else {}
        (folder / "strings.json").write_text(json.dumps(strings, ensure_ascii=False) + "\n", encoding="utf-8")
        if classes:
            labels = (label_rows([item.labels for item in block], classes) for block in _blocks(kept))
            write_array(folder / "labels.npy", (len(kept), len(classes)), np.uint8, labels)
        arrays = {path.stem: load_npy(path) for path in sorted(folder.glob("*.npy"))}
        facts = {
            "version": VERSION,
            "digest": digest,
            "manifest": str(self.manifest),
            "settings": self.config,
            "arrays": {name: [list(array.shape), str(array.dtype)] for name, array in arrays.items()},
            "parts": sizes,
            "classes": classes,
            "skipped": {"number": len(skipped), "items": skipped},
            "said": [f"{self.manifest}: {line}" for line in (*_skipped(skipped, chosen), *_unlabelled(kept, classes))],
        }
        (folder / "facts.json").write_text(json.dumps(facts, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")

    def _write_pixels(self, folder: Path, chosen: Sequence[Item]) -> tuple[list[Item], list[tuple[int, str]]]:
        """The items that are whole, in order, and of the others their lines and why."""
        kept, skipped = [], []
        with contextlib.ExitStack() as stack:
            append = {
                medium: stack.enter_context(growing(folder / f"{medium}.npy", shape))
                for medium, shape in self.shapes().items()
            }
            for item, found in stack.enter_context(contextlib.closing(ahead(self.decode, chosen))):
                if isinstance(found, Broken):
                    skipped.append((item.line, str(found)))
                    if self.config["broken"] == "refuse":
                        raise InputError(f"{self.manifest}, line {item.line}: {found}.")
                    continue
                kept.append(item)
                for medium, values in found.items():
                    append[medium](values)
        return kept, skipped


def _named(skipped: Sequence[tuple[int, str]]) -> str:
    """'line 4 (a.jpg: no such file), line 9 (...)', the first few."""
    return ", ".join(f"line {line} ({why})" for line, why in skipped[:NAMED])


def _skipped(skipped: Sequence[tuple[int, str]], chosen: Sequence[Item]) -> Iterator[str]:
    if skipped:
        yield f"{len(skipped)} of {len(chosen)} items are broken and left out, such as {_named(skipped)}."


def _unlabelled(kept: Sequence[Item], classes: Sequence[str]) -> Iterator[str]:
    known, bare = set(classes), [item.line for item in kept if item.part == "train" and not item.labels]
    if classes and bare:
        yield f"{len(bare)} training items have no label, such as line {bare[0]}: to losses they are like nothing else."
    unknown = [label for item in kept for label in item.labels if label not in known]
    if unknown:
        yield f"{len(unknown)} labels are classes that no training item has, and left out, such as {unknown[0]!r}."


def _blocks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), BLOCK):
        yield items[start : start + BLOCK]


def cached(cache: Path, job: Job, digest: str, say: Callable[[str], None]) -> Path:
    """The folder of that digest in the cache, decoded first where it isn't there yet.

    The arrays grow in a hidden folder, which gets its name when all is whole; what a killed process left of one is
    deleted. One process at a time decodes into a cache; others wait for it.

    Raises:
        InputError: no room, or no right to write there.
    """
    final, part = cache / digest[:16], cache / f".raw-{digest[:16]}.part"
    if final.is_dir():
        return final
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with open(cache / ".lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say(f"{cache}: another process decodes into this folder, waiting for it.")
                fcntl.flock(lock, fcntl.LOCK_EX)
            for left in cache.glob(f".raw-{16 * '?'}.part"):
                shutil.rmtree(left)
            if not final.is_dir():
                free = shutil.disk_usage(cache).free
                if free < job.bytes():
                    raise InputError(f"{cache}: up to {job.bytes()} bytes are needed, only {free} are free.")
                try:
                    part.mkdir()
                    job.write(part, digest)
                    os.replace(part, final)
                finally:
                    shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{cache}: cannot be written: {error.strerror or error}.") from error
    return final


def read_folder(folder: Path, digest: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `Job.write` left: its facts with the vocabulary and the strings, and name -> memory-mapped array.

    Raises:
        InputError: a file is missing, damaged, or not as the facts have it.
    """
    file = folder / "facts.json"
    try:
        facts = json.loads(file.read_text(encoding="utf-8"))
        if (facts["version"], facts["digest"]) != (VERSION, digest):
            raise ValueError("it is of other media or settings")
        arrays = {name: load_npy(folder / f"{name}.npy") for name in facts["arrays"]}
        for name, array in arrays.items():
            if [list(array.shape), str(array.dtype)] != facts["arrays"][name]:
                raise ValueError(f"{name}.npy is {list(array.shape)} {array.dtype}, not as it was written")
        facts["vocabulary"] = load_vocabulary(folder / "vocabulary.json") if "text" in arrays else ()
        media, rows = set(arrays) - {"labels"}, sum(facts["parts"].values())
        facts["strings"] = _read_strings(folder / "strings.json", media, rows)
    except (OSError, ValueError, KeyError, TypeError, InputError) as error:
        raise InputError(f"{folder}: damaged, delete this folder to decode again: {error}") from error
    return facts, arrays


def _read_strings(path: Path, media: Collection[str], rows: int) -> dict[str, list[str]]:
    strings = json.loads(path.read_text(encoding="utf-8"))
    for medium in media:
        if len(strings[medium]) != rows or not all(isinstance(string, str) for string in strings[medium]):
            raise ValueError(f"{path.name} has no {rows} texts as {medium}")
    return strings
