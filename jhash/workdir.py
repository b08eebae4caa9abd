"""The folder of one experiment: config.json says which; another experiment, or a second process, is refused."""

import contextlib
import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from jhash.types import InputError

# differences that don't make it another experiment: how it runs, and what is scored beside it or by which protocol
FREE = ("run", "seeds", "baselines", "against", "presets", "ties")


class Busy(InputError):
    """Another process is at work in the folder."""


def write_json(path: Path, content: Any) -> None:
    """Writes strict JSON, whole or not at all."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with written(path) as file:
        file.write(text.encode())


@contextlib.contextmanager
def written(path: Path) -> Iterator[BinaryIO]:
    """A file to write in, which becomes `path` when all of it is on the disk.

    Till then it has a name of this process's own, the machine's in it too: the tasks of one array may run on several,
    in one folder. What a killed process leaves of it is read by nobody.
    """
    partial = path.with_name(f".{path.name}.{platform.node()}-{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def claimed(workdir: Path, config: dict) -> Iterator[dict]:
    """Makes the folder this experiment's own, or finds that it is, and keeps other processes out meanwhile.

    Gives the config, with the residency that the folder was begun with: a resident and a streamed run differ in the
    last bits.

    Where it is refused before anything was trained, what was new is taken away again.

    Raises:
        InputError: the folder can't be written, or holds another experiment or other files.
        Busy: it is in use.
    """
    config, there = json.loads(json.dumps(config)), workdir.is_dir()
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        lock = open(workdir / ".lock", "w")
    except OSError as error:
        raise InputError(f"{workdir}: expected a folder that can be written ({error.strerror})") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"{workdir}: another process is at work in this folder") from error
        file = workdir / "config.json"
        begun = file.is_file()
        if begun:
            held = _read(file)
            _compare(workdir, config, held)
            config["run"]["resident_gb"] = held["run"]["resident_gb"]
        else:
            _check_empty(workdir)
        write_json(file, config)
        try:
            yield config
        except InputError:
            if not begun and not any(path.name in ("past", "checkpoints") for path in workdir.glob("seed-*/*/*/*")):
                folder = workdir.resolve()  # it may be a link, which stays
                shutil.rmtree(folder)
                if there:
                    folder.mkdir()
            raise


def _check_empty(workdir: Path) -> None:
    others = sorted(path.name for path in workdir.iterdir() if path.name != ".lock" and ".partial" not in path.name)
    if others:
        (workdir / ".lock").unlink()
        raise InputError(f"{workdir}: expected an empty folder or one with a config.json, found {others[0]!r}")


def _read(file: Path) -> dict:
    try:
        held = json.loads(file.read_text())
        held["run"]["resident_gb"]
        return held
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise InputError(f"{file}: expected the config of an experiment, found something unreadable") from error


def _compare(workdir: Path, config: dict, held: dict) -> None:
    given, before = (flat({k: v for k, v in c.items() if k not in FREE}) for c in (config, held))
    differing = [key for key in sorted(given | before) if given.get(key) != before.get(key)]
    if differing:
        key = differing[0]
        more = f" (and {len(differing) - 1} more fields)" if len(differing) > 1 else ""
        raise InputError(
            f"{workdir}: holds another experiment: config.{key}: expected {before.get(key)!r}, "
            f"found {given.get(key)!r}{more}; choose another --workdir"
        )


def flat(tree: dict, prefix: str = "") -> dict[str, Any]:
    """{'a': {'b': 1}} -> {'a.b': 1}."""
    leaves = {}
    for key, value in tree.items():
        leaves |= flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return leaves
