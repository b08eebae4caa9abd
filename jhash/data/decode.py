"""Photographs and clips, in a folder or a .zip, decoded to uint8 arrays of one size."""

import collections
import io
import os
import re
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from jhash.features import frame_positions
from jhash.types import InputError

FILE_BYTES = 256 * 2**20  # of one picture as it is stored
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")  # Pillow runs other programs for some of the rest
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
# no playlists and no network: such a "video" would make FFmpeg read other files
CONTAINERS = {"format_whitelist": "mov,matroska,avi,mpegts,mpeg,flv,asf,ogg,gif", "protocol_whitelist": "file"}


class Broken(Exception):
    """A picture or clip that cannot be decoded; its text says why."""


class Look(NamedTuple):
    """How decoded media look.

    `fit` is 'whole' (all of the picture, its sides scaled each by itself) or 'crop' (the largest part in its middle
    that has the wanted proportions).
    """

    height: int
    width: int
    frames: int
    fit: str


class Folder:
    """Files by their paths inside a folder."""

    def __init__(self, root: Path):
        self.root = root

    def read(self, name: str) -> bytes:
        path = self.root / name
        if not path.is_file():
            raise Broken("no such file")
        if path.stat().st_size > FILE_BYTES:
            raise Broken(f"the file is larger than {FILE_BYTES} bytes")
        return path.read_bytes()

    def pictures(self, name: str) -> list[str] | None:
        """The pictures in that folder by name, numbers in them counted as numbers; None where it isn't a folder."""
        path = self.root / name
        if not path.is_dir():
            return None
        return _in_order(f"{name}/{entry.name}" for entry in os.scandir(path) if entry.is_file())

    def video(self, name: str) -> Path:
        if not (self.root / name).is_file():
            raise Broken("no such file")
        return self.root / name

    def stamp(self, name: str) -> str:
        """What changes with the file, its size and time; of a folder, the names, sizes and times of its pictures."""
        try:
            pictures = self.pictures(name)
            if pictures is None:
                return _size_and_time(self.root / name)
            return "\n".join(f"{one} {_size_and_time(self.root / one)}" for one in pictures)
        except (OSError, ValueError):
            return "missing"


class Archive:
    """Files by their names inside a .zip, read one by one and never unpacked."""

    def __init__(self, path: Path):
        try:
            self.zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise InputError(f"{path}: expected a .zip archive, found something unreadable: {error}.") from error
        self.path = path
        self.members = {_plain(member.filename): member for member in self.zip.infolist() if not member.is_dir()}
        self.folders = collections.defaultdict(list)
        for name in self.members:
            self.folders[str(PurePosixPath(name).parent)].append(name)

    def read(self, name: str) -> bytes:
        member = self.members.get(_plain(name))
        if member is None:
            raise Broken("no such file in the archive")
        if member.file_size > FILE_BYTES:
            raise Broken(f"the file is larger than {FILE_BYTES} bytes")
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # others may grow without a bound
            raise Broken(f"expected to be stored or deflated in the archive, found method {member.compress_type}")
        try:
            with self.zip.open(member) as file:
                return file.read(member.file_size + 1)  # a byte more, so that the checksum is looked at
        except Exception as error:  # a wrong checksum, a password, an unknown compression, a cut: each its own kind
            raise Broken(f"cannot be read from the archive: {error}") from error

    def pictures(self, name: str) -> list[str] | None:
        """The pictures of that folder in the archive, as `Folder.pictures`."""
        folder = _plain(name)
        return _in_order(self.folders[folder]) if folder in self.folders else None

    def video(self, name: str) -> Path:
        if _plain(name) not in self.members:
            raise Broken("no such file in the archive")
        raise InputError(f"{self.path}: {name}: a video file must lie in a folder, not in an archive: unpack it.")

    def stamp(self, name: str) -> str:
        """What changes with the file, its size and checksum; of a folder, the names, sizes and checksums in it."""
        names = sorted(self.folders.get(_plain(name), [_plain(name)]))
        found = [(one, self.members[one]) for one in names if one in self.members]
        return "\n".join(f"{one} {member.file_size} {member.CRC}" for one, member in found) or "missing"


def reason(error: Exception) -> str:
    """What is wrong with an item, without the path that an operating system's error repeats."""
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


def _plain(name: str) -> str:
    """'./a//b.jpg' as 'a/b.jpg', which is what a folder finds by it."""
    return str(PurePosixPath(name))


def _size_and_time(path: Path) -> str:
    found = os.stat(path)
    return f"{found.st_size} {found.st_mtime_ns}"


def open_root(path: Path) -> Folder | Archive:
    """A folder or a .zip of media. Raises InputError: neither."""
    if path.is_dir():
        return Folder(path)
    if path.is_file():
        return Archive(path)
    raise InputError(f"{path}: expected a folder or a .zip archive, found nothing.")


def check_name(name: str) -> None:
    """Raises Broken for a path that leaves its root: an absolute one, or one with '..'."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise Broken("a path must stay inside the folder or archive")


def _in_order(names: Iterable[str]) -> list[str]:
    def key(name: str) -> list[tuple[int, str]]:
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]

    return sorted((name for name in names if name.lower().endswith(SUFFIXES)), key=key)


def picture(data: bytes, look: Look) -> np.ndarray:
    """A stored picture as uint8 [H, W, 3], red, green, blue, upright as its EXIF says, over white where transparent.

    Sizes change by averaging over what a pixel covers (Pillow's bilinear filter). A JPEG of four times the wanted size
    or more is decoded at a half, a quarter or an eighth, and never below twice the wanted size.

    Raises:
        Broken: not a picture of a known format, cut short, damaged, or too large to be decoded safely.
    """
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as stored:
            _check_size(*stored.size)
            side = 2 * max(look.height, look.width)
            stored.draft(None, (side, side))
            return _resized(_rgb(ImageOps.exif_transpose(stored)), look)
    except Broken:
        raise
    except Image.UnidentifiedImageError as error:
        raise Broken(f"not a picture ({', '.join(FORMATS)})") from error
    except Exception as error:  # Pillow's readers fail in a dozen ways on damaged files
        raise Broken(f"damaged: {error or type(error).__name__}") from error


def _check_size(width: int, height: int) -> None:
    if Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS:
        raise Broken(f"{width} x {height} pixels are more than {Image.MAX_IMAGE_PIXELS}")


def _rgb(stored: Image.Image) -> Image.Image:
    if stored.mode.startswith("I;16"):
        stored = Image.fromarray((np.asarray(stored) >> 8).astype(np.uint8))
    if stored.mode in ("I", "F"):
        raise Broken(f"pixels of Pillow's mode {stored.mode!r} have no known range")
    if stored.has_transparency_data:
        over = Image.new("RGBA", stored.size, "white")
        over.alpha_composite(stored.convert("RGBA"))
        stored = over
    return stored.convert("RGB")


def _resized(full: Image.Image, look: Look) -> np.ndarray:
    box = None
    if look.fit == "crop":
        scale = min(full.width / look.width, full.height / look.height)
        left, top = (full.width - scale * look.width) / 2, (full.height - scale * look.height) / 2
        box = (max(left, 0.0), max(top, 0.0), min(full.width - left, full.width), min(full.height - top, full.height))
    return np.asarray(full.resize((look.width, look.height), Image.Resampling.BILINEAR, box=box))


def clip(files: Folder | Archive, name: str, look: Look) -> np.ndarray:
    """A video file, or a folder of pictures, as uint8 [T, H, W, 3]: frames at `jhash.features.frame_positions`.

    Of a folder, only the frames that are kept are read. A video is decoded from its beginning, one frame in memory at a
    time; it is read once before to count them. Of an .mp4, .mov, .avi or .flv it is known that it was cut short; other
    containers have no table of their frames, and a shorter film may be all that is seen.

    Raises:
        Broken: missing, empty, cut short or damaged.
        InputError: a video file, and no PyAV to read it; a video file inside an archive.
    """
    names = files.pictures(name)
    if names is None:
        return _video(files.video(name), look)
    if not names:
        raise Broken("the folder has no pictures")
    kept = [names[place] for place in frame_positions(len(names), look.frames)]
    decoded = {one: _frame(files, one, look) for one in dict.fromkeys(kept)}
    return np.stack([decoded[one] for one in kept])


def _frame(files: Folder | Archive, name: str, look: Look) -> np.ndarray:
    try:
        return picture(files.read(name), look)
    except Broken as error:
        raise Broken(f"{PurePosixPath(name).name}: {error}") from error


def _video(path: Path, look: Look) -> np.ndarray:
    try:
        import av  # an extra: pictures and text need no video library
    except ImportError as error:
        raise InputError(f"{path}: video files need PyAV: pip install 'jhash[media]'.") from error
    try:
        with av.open(str(path), options=CONTAINERS) as container:
            count = _count(container)
        decoded, found = _frames(av, path, count, look)
        if len(decoded) < look.frames or 1 < look.frames and found != count:  # some packets hold no frame, or two
            decoded, found = _frames(av, path, found, look)
        return np.stack(decoded)
    except Broken:
        raise
    except Exception as error:  # FFmpeg's errors, and what a reader does with damaged numbers
        raise Broken(f"damaged or not a video: {reason(error)}") from error


def _count(container) -> int:
    """Frames of the first video stream, by its packets: what a header says may be more, or nothing."""
    stream = next(iter(container.streams.video), None)
    if stream is None or stream.codec_context is None:
        raise Broken("holds no video")
    _check_size(stream.codec_context.width, stream.codec_context.height)
    if any(entry.pos + entry.size > container.size for entry in stream.index_entries):
        raise Broken("cut short")
    count = 0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise Broken(f"cut short or damaged after {count} frames")
        count += packet.size > 0
    if container.format.name == "avi" and count < stream.frames:  # an .mp4 may well show fewer than it holds
        raise Broken(f"cut short after {count} of {stream.frames} frames")
    return count


def _frames(av, path: Path, count: int, look: Look) -> tuple[list[np.ndarray], int]:
    """The wanted frames of a video of `count`, resized, and how many it was decoded to have."""
    if count < 1:
        raise Broken("holds no frames")
    wanted = collections.Counter(frame_positions(count, look.frames).tolist())
    kept, found = [], 0
    with av.open(str(path), options=CONTAINERS) as container:
        container.streams.video[0].codec_context.thread_count = 1  # the items beside it have threads of their own
        for frame in container.decode(video=0):
            if wanted[found]:
                if frame.is_corrupt:
                    raise Broken(f"frame {found} is damaged")
                upright = frame.to_image().rotate(frame.rotation, expand=True)
                kept += [_resized(upright.convert("RGB"), look)] * wanted[found]
            found += 1
            if look.frames == 1:
                break
    return kept, found
