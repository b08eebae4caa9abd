"""Texts, a line an item, and pictures or clips, a file an item: as many as there are, a block in memory."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from jhash.data.decode import SUFFIXES, Broken, Folder, Look, clip, open_root, picture, reason
from jhash.data.one_pass import ahead
from jhash.data.text import bag_of_words
from jhash.types import InputError

LINE_BYTES = 2**20  # of one text
CLIPS = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".asf", ".ogv", ".mpg", ".mpeg", ".ts", ".gif")


def stamp(path: Path) -> dict[str, Any]:
    """What changes with a file: its place, size and time."""
    found = os.stat(path)
    return {"file": str(path.resolve()), "size": found.st_size, "time": found.st_mtime_ns}


def bags_of(texts: Sequence[str], vocabulary: Sequence[str]) -> Callable[[int, int], np.ndarray]:
    """(start, stop) -> bags of words [stop - start, V] of texts in memory."""
    return lambda start, stop: bag_of_words(texts[start:stop], vocabulary)


class Texts:
    """The lines of a .txt, or of a .jsonl: texts in quotes, or objects with a 'text' and, if the first has it, an 'id'.

    An empty line of a .txt is an item without words. The file is read twice: to count its lines, and for what they say.
    """

    def __init__(self, path: Path, vocabulary: Sequence[str] = ()):
        self.path, self.vocabulary = path, vocabulary
        if not path.is_file():
            raise InputError(f"{path}: no such file.")
        self.size = sum(1 for _ in self._lines())
        self.named = path.suffix == ".jsonl" and self.size > 0 and self._item(0, next(self._lines()))[1] is not None
        self.waiting = {}  # what is read next -> its first line, and the lines from there on

    def texts(self, start: int, stop: int) -> list[str]:
        return [self._item(row, line)[0] for row, line in self._block("texts", start, stop)]

    def bags(self, start: int, stop: int) -> np.ndarray:
        """Bags of words, float32 [stop - start, V]."""
        return bag_of_words(self.texts(start, stop), self.vocabulary)

    def names(self, start: int, stop: int) -> list[str]:
        """Their ids."""
        names = []
        for row, line in self._block("names", start, stop):
            name = self._item(row, line)[1]
            if name is None:
                raise self._wrong(row, "an 'id' as on line 1", "none")
            names.append(name)
        return names

    def _block(self, what: str, start: int, stop: int) -> Iterator[tuple[int, bytes]]:
        """Rows and lines; the file is passed over from its beginning only where the last block ended elsewhere."""
        row, lines = self.waiting.pop(what, (None, None))
        if row != start:
            row, lines = 0, self._lines()
        for line in lines:
            row += 1
            if row > start:
                yield row - 1, line
            if row == stop:
                break
        self.waiting[what] = (row, lines)

    def _lines(self) -> Iterator[bytes]:
        row = 0
        with open(self.path, "rb") as file:
            while line := file.readline(LINE_BYTES + 1):
                if len(line) > LINE_BYTES:
                    raise self._wrong(row, f"at most {LINE_BYTES:,} bytes", "more")
                yield line
                row += 1

    def _item(self, row: int, line: bytes) -> tuple[str, str | None]:
        """The text and, where it has one, its id."""
        try:
            text = line.decode("utf-8-sig" if row == 0 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise self._wrong(row, "text in UTF-8", f"byte {line[error.start]:#x}") from error
        if self.path.suffix != ".jsonl":
            return text, None
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._wrong(row, "JSON", f"something else ({error})") from error
        if isinstance(value, str):
            return value, None
        if not isinstance(value, dict) or not isinstance(value.get("text"), str):
            raise self._wrong(row, 'a text in quotes or {"text": ...}', text[:60])
        name = value.get("id")
        if name is not None and (not isinstance(name, (str, int)) or isinstance(name, bool)):
            raise self._wrong(row, "an 'id' that is a text or a whole number", repr(name))
        return value["text"], None if name is None else str(name)

    def _wrong(self, row: int, expected: str, found: str) -> InputError:
        return InputError(f"{self.path}, line {row + 1}: expected {expected}, found {found}.")


class Pictures:
    """The pictures in a folder, in the folders in it, or in a .zip, in the order of their names; or a single file.

    Where items are clips [T, H, W, 3], an item is a video file, or a folder in which pictures lie.
    """

    def __init__(self, path: Path, shape: Sequence[int], fit: str, skip: bool = False):
        """Opens a folder, .zip or picture. Raises InputError: there is none, or it holds no pictures."""
        if path.is_dir() or path.suffix.lower() == ".zip":
            self.root, self.files = path, open_root(path)
            inside = _in_folder(path) if isinstance(self.files, Folder) else self.files.members
            self.paths = _items(sorted(name for name in inside if not _hidden(name)), clips=len(shape) == 4)
        else:
            if not path.is_file():
                raise InputError(f"{path}: no such file.")
            self.root, self.files, self.paths = path.parent, Folder(path.parent), [path.name]
        if not self.paths:
            kinds = f"folders of pictures or {', '.join(CLIPS)}" if len(shape) == 4 else ", ".join(SUFFIXES)
            raise InputError(f"{path}: expected {kinds}, found none.")
        self.shape, self.skip = tuple(shape), skip
        self.broken: dict[int, str] = {}  # of what was read: row -> its name and what is wrong, where these are skipped
        self.look = Look(shape[-3], shape[-2], shape[0] if len(shape) == 4 else 1, fit)
        self.decode = clip if len(shape) == 4 else lambda files, name, look: picture(files.read(name), look)

    def read(self, start: int, stop: int) -> np.ndarray:
        """uint8 [stop - start, H, W, 3], of clips [stop - start, T, H, W, 3]; threads decode beside each other.

        What is broken and skipped is black and in `broken`, so that a block has its length whatever is in it.

        Raises:
            InputError: something broken, unless it is skipped.
        """
        read = np.zeros((len(self.paths[start:stop]), *self.shape), np.uint8)
        with contextlib.closing(ahead(self._decoded, self.paths[start:stop])) as decoded:
            for place, (name, values) in enumerate(decoded):
                if not isinstance(values, Broken):
                    read[place] = values
                elif self.skip:
                    self.broken[start + place] = f"{name}: {values}"
                else:
                    raise InputError(f"{self.root}: {name}: {values}.") from values
        return read

    def names(self, start: int, stop: int) -> list[str]:
        """Their paths inside the folder or archive."""
        return self.paths[start:stop]

    def identity(self) -> dict[str, Any]:
        """A digest of the names, sizes and times of all files."""
        sha = hashlib.sha256()
        for name in self.paths:
            sha.update(json.dumps([name, self.files.stamp(name)]).encode())
        return {"root": str(self.root.resolve()), "files": len(self.paths), "digest": sha.hexdigest()}

    def _decoded(self, name: str) -> np.ndarray | Broken:
        try:
            return self.decode(self.files, name, self.look)
        except (Broken, OSError) as error:
            return Broken(reason(error))


def _in_folder(root: Path) -> Iterator[str]:
    for folder, _, files in os.walk(root):
        for name in files:
            yield (Path(folder) / name).relative_to(root).as_posix()


def _hidden(name: str) -> bool:
    """What file managers and archivers leave beside the pictures."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def _items(names: Sequence[str], clips: bool) -> list[str]:
    if not clips:
        return [name for name in names if name.lower().endswith(SUFFIXES)]
    alone = {name for name in names if name.lower().endswith(CLIPS)}  # a .gif too, which elsewhere is a picture
    folders = {
        str(PurePosixPath(name).parent) for name in names if name.lower().endswith(SUFFIXES) and name not in alone
    }
    return sorted(folders | alone)
