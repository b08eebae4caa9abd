"""Runs in the cache that can't be read any more: each is named in a sentence and put out of the way."""

import fcntl
import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from jhash import report
from jhash.experiment import say
from jhash.reproduce.runs import DONE, FACTS, Run
from jhash.types import InputError

UNREADABLE = (InputError, OSError, ValueError, TypeError, KeyError, EOFError)


def clear(needed: Iterable[Run], cache: Path) -> None:
    """Looks at what is there of these runs. What another process has in hand is left to it."""
    for run in needed:
        folder = run.folder(cache)
        if folder.is_dir():
            with open(folder / ".lock", "w") as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                _clear(run, folder)


def _clear(run: Run, folder: Path) -> None:
    begun = [path for path in folder.iterdir() if path.name != ".lock" and ".partial" not in path.name]
    config = folder / "config.json"
    try:
        why = _reason(lambda: _facts(config, ("method",)), InputError) if begun else ""
    except OSError as error:  # a run that may be whole
        raise InputError(f"{config}: expected a file that can be read ({error.strerror})") from error
    if why:  # nothing says what the rest of it is of
        shutil.rmtree(folder)
    elif run.done(folder.parent):
        why = _reason(lambda: _check_finished(run, folder))
        if why:  # what it learnt has digests of its own, and is read again where they hold
            (folder / DONE).unlink()
    if why:
        say(f"{run.name}: damaged in the cache, and made again: {why}")


def _reason(check, damaged=UNREADABLE) -> str:
    try:
        check()
    except damaged as error:
        return (str(error).splitlines() or [type(error).__name__])[0]
    return ""


def _check_finished(run: Run, folder: Path) -> None:
    _facts(folder / DONE, FACTS)
    report.read_found(folder)
    held = json.loads(run.config)
    for name in (held["method"], *held["baselines"]):
        own = folder / f"seed-{held['seed']}" / name
        codes = sorted(own.glob("codes_*.npy"))
        if not codes:
            raise InputError(f"{own}: expected the codes of a finished run, found none")
        for file in codes:
            try:
                np.lib.format.open_memmap(file, mode="r")  # also where it is shorter than it says
            except (ValueError, EOFError) as error:
                raise InputError(f"{file}: expected codes, found a damaged file ({error})") from error


def _facts(file: Path, names: Iterable[str]) -> None:
    try:
        held = json.loads(file.read_text(encoding="utf-8"))
        for name in names:
            held[name]
    except (FileNotFoundError, ValueError, TypeError, KeyError) as error:
        raise InputError(f"{file}: expected JSON with {', '.join(names)}, found something else") from error
