"""Orbax, alone: trees of arrays on disk, whole or not at all, each with a digest that is checked when it is read."""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import flax.serialization
import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from jhash.types import Tree

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
logging.getLogger("absl").setLevel(logging.ERROR)  # orbax narrates every save at INFO and WARNING


class BrokenCheckpoint(Exception):
    """A checkpoint on disk can't be read, or its content isn't what was written."""


def digest(tree: Tree) -> str:
    """SHA-256 over every leaf's path, dtype, shape and bytes."""
    total = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        leaf = np.ascontiguousarray(leaf)
        total.update(f"{jax.tree_util.keystr(path)} {leaf.dtype} {leaf.shape};".encode())
        total.update(leaf.tobytes())
    return total.hexdigest()


def save(folder: Path, tree: Tree) -> None:
    """Writes a tree of arrays as an Orbax checkpoint at `folder`; a reader sees nothing or the whole.

    Raises OSError where the disk is full or the folder can't be written.
    """
    folder = folder.absolute()
    tree = jax.tree.map(np.asarray, flax.serialization.to_state_dict(tree))
    try:
        ocp.save(folder, {"tree": tree}, custom_metadata={"digest": digest(tree)}, overwrite=True)
    except ValueError as error:  # tensorstore reports a full disk as ValueError
        raise OSError(f"{folder}: the checkpoint could not be written ({_line(error)})") from error


def load(folder: Path) -> Tree:
    """Reads what `save` wrote, as nested dicts of NumPy arrays, lists too (see `lists`). Raises BrokenCheckpoint."""
    folder = folder.absolute()
    try:
        metadata = ocp.metadata(folder)
        tree = ocp.load(folder, jax.tree.map(_as_numpy, metadata.metadata)).get("tree", {})
    except Exception as error:  # whatever tensorstore, zarr or json make of damaged files
        raise BrokenCheckpoint(f"{folder}: unreadable checkpoint ({_line(error)})") from error
    if digest(tree) != (metadata.custom_metadata or {}).get("digest"):
        raise BrokenCheckpoint(f"{folder}: the checkpoint's content differs from what was written")
    return tree


def lists(tree: Tree) -> Tree:
    """What `load` gives with its lists back: of a dict with the keys '0', '1', ... one is made."""
    if not isinstance(tree, dict):
        return tree
    whole = {name: lists(value) for name, value in tree.items()}
    numbers = [str(number) for number in range(len(whole))]
    return [whole[number] for number in numbers] if whole and whole.keys() == set(numbers) else whole


def _as_numpy(leaf) -> np.ndarray:
    return np.empty(leaf.shape, leaf.dtype)


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class Checkpoints:
    """The last states of one stage: folders named by step, the newest `keep` of them kept."""

    def __init__(self, folder: Path, keep: int = 2):
        self.folder, self.keep = folder, keep

    def steps(self) -> list[int]:
        """Steps on disk, oldest first."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdigit())

    def save(self, state: Tree) -> None:
        """Saves under the state's own step, then drops the oldest. Raises OSError, earlier ones kept."""
        self._sweep()
        save(self.folder / str(int(state.step)), state)
        for step in self.steps()[: -self.keep]:
            shutil.rmtree(self.folder / str(step))

    def newest(self, template: Tree, warn: Callable[[str], None]) -> Tree | None:
        """The newest state that reads whole, in the template's structure; each broken one is reported and removed."""
        for step in reversed(self.steps()):
            try:
                return restore(template, load(self.folder / str(step)), str(self.folder / str(step)))
            except BrokenCheckpoint as broken:
                warn(f"{broken}; the one before it is used")
                shutil.rmtree(self.folder / str(step))
        return None

    def _sweep(self) -> None:
        """Removes what a killed save left behind."""
        if self.folder.is_dir():
            for path in self.folder.iterdir():
                if not path.name.isdigit():
                    shutil.rmtree(path) if path.is_dir() else path.unlink()


def restore(template: Tree, saved: Tree, name: str) -> Tree:
    """Pours nested dicts into the template's structure. Raises BrokenCheckpoint where the two don't fit."""
    try:
        tree = flax.serialization.from_state_dict(template, saved)
    except (ValueError, KeyError) as error:
        raise BrokenCheckpoint(f"{name}: another structure than expected ({_line(error)})") from error
    for (path, want), have in zip(jax.tree_util.tree_leaves_with_path(template), jax.tree.leaves(tree), strict=True):
        if np.shape(want) != np.shape(have) or want.dtype != have.dtype:
            where = jax.tree_util.keystr(path)
            raise BrokenCheckpoint(
                f"{name}: {where}: expected {want.dtype}{list(want.shape)}, found {have.dtype}{list(np.shape(have))}"
            )
    return tree
