"""The nouns of the house: tables of items, stages of training, the protocol that every method follows."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import flax.struct
import jax
import numpy as np

Array = jax.Array
Key = jax.Array
Tree = Any
Rows = Mapping[str, Array]  # role -> [B]: int32 are rows to read ('item', 'partner'), float or bool are facts ('sign')
Batch = Mapping[str, Mapping[str, Array]]  # role -> column -> [B, ...]


class Ended(Exception):
    """A run that ends early, with one sentence for the user."""

    exit_code = 1


class InputError(Ended):
    """Something the user gave is wrong. The sentence says where, which field, expected, found."""

    exit_code = 2


class Diverged(Ended):
    """A loss that is not a finite number; the last good state is on disk."""

    exit_code = 3


class Stopped(Ended):
    """The user asked to stop; the state is on disk and the same command goes on from it."""

    exit_code = 130


class Table(Protocol):
    """Items of one kind: named columns of equal length, in memory or on disk. Row numbers are 0-based.

    A video table has `frames` [N, T, C], one of other media `features` [N, C]; both, where known, `labels` [N, classes]
    of 0/1 in uint8.
    """

    name: str  # what an error message calls it: a file, or a sample's name
    columns: Mapping[str, jax.ShapeDtypeStruct]  # column -> shape and dtype of one item, without the leading axis

    def __len__(self) -> int: ...

    def read(self, rows: np.ndarray, columns: Sequence[str]) -> dict[str, np.ndarray]:
        """Returns column -> [R, ...] for any row numbers [R], in the order asked for, repeats allowed."""
        ...

    def map(
        self, function: Callable[[Mapping[str, Array]], Array], columns: Sequence[str], path: Path | None = None
    ) -> np.ndarray:
        """Streams the table through a function of blocks {column: [b, ...]} -> [b, ...], memory bounded by one block.

        The result [N, ...] is an array, or, where a path is given, a memory-mapped .npy file at that path.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Stage:
    """A span of training steps with one frozen context."""

    name: str  # 'teacher', 'student', 'audio': its folder is <index>_<name>
    table: str  # the table it reads; unpaired media have one each
    size: int  # rows in that table
    batch: int  # rows in a step
    steps: int  # 0 for a closed form: ITQ, LSH
    pass_steps: int  # an epoch, or an outer iteration; a compiled call does one, or a span of steps within it
    phases: tuple[int, ...] = ()  # steps of each phase of a pass, where optimisations alternate; (): there is one

    @property
    def bounds(self) -> tuple[tuple[int, int], ...]:
        """First step of each phase in a pass, and the one behind its last."""
        ends = tuple(itertools.accumulate(self.phases or (self.pass_steps,)))
        return tuple(zip((0, *ends[:-1]), ends, strict=True))

    def phase(self, step: int) -> int:
        """The phase that a step of the stage belongs to."""
        return next(number for number, (_, end) in enumerate(self.bounds) if step % self.pass_steps < end)

    @property
    def per_epoch(self) -> int:
        """Steps an epoch; the short last batch is dropped."""
        return self.size // self.batch


class Across(NamedTuple):
    """One device's rows against the whole batch; all identities on one device. `parallel.py` makes it."""

    gather: Callable[[Tree], Tree]  # [b, ...] -> [B, ...] in global order: pairwise losses, memory buffers
    mean: Callable[[Tree], Tree]  # of losses and gradients, taken in the update, never inside a loss
    places: Callable[[int], Array]  # b -> [b] places in the whole batch: fold_in(key, place) is a row's own noise
    axis: str | None  # for flax's BatchNorm(axis_name=...)


@flax.struct.dataclass
class TrainState:
    """All that changes in a stage, checkpointed whole. Random keys are functions of seed, stage and step."""

    step: Array
    params: Tree
    collections: Tree  # BatchNorm statistics, memory buffers, MCMSH's scale
    opt: Tree


class Past(NamedTuple):
    """What a finished stage leaves: read-only."""

    params: Tree
    collections: Tree
    kept: Tree


class Method(Protocol):
    """A frozen dataclass: fields are hyper-parameters, methods are pure functions."""

    bits: int
    columns: Sequence[str]  # what the training reads of an item: ('frames',), ('features', 'labels')
    inputs: Sequence[str]  # what encode reads of it: ('frames',), ('features',)
    real: bool = False  # True: encode gives vectors for cosine similarity, not for signs (the ceiling row)

    def stages(self, tables: Mapping[str, Table]) -> Sequence[Stage]:
        """The spans of training, in order. Raises InputError where the tables can't serve (too few items, ...)."""
        ...

    def prepare(
        self, stage: Stage, past: Mapping[str, Past], tables: Mapping[str, Table], key: Key, scratch: Path
    ) -> Tree:
        """On the host, once a stage: a flat dict name -> NumPy array, saved with a hash, never recomputed on resume.

        `scratch` is a folder for memory-mapped intermediates too large for memory; it is deleted afterwards.
        """
        ...

    def init(self, stage: Stage, past: Mapping[str, Past], context: Tree, example: Mapping[str, Array], key: Key):
        """Pure: (params, collections) from one example batch {column: [B, ...]}; eval_shape runs it."""
        ...

    def optimizer(self, stage: Stage) -> Tree:
        """An optax transformation, or a dict of them where `update` alternates."""
        ...

    def rows(self, stage: Stage, context: Tree, order: Array, step: Array, key: Key) -> Rows:
        """Pure, for the whole batch: which rows play which role. `order` [size] is this pass's random order."""
        ...

    def loss(
        self,
        stage: Stage,
        context: Tree,
        params: Tree,
        collections: Tree,
        batch: Batch,
        rows: Rows,
        step: Array,
        key: Key,
        across: Across,
    ) -> tuple[Array, tuple[Tree, Mapping[str, Array]]]:
        """This device's share: (loss, (collections, logs)).

        In its place a method may define `update(stage, context, state, batch, rows, key, across, phase) -> (state,
        logs)` where several optimisations alternate, `phase` being a number of stage.phases; it then averages its
        gradients by across.mean, and its logs have the same names in every phase.
        """
        ...

    def conclude(self, stage: Stage, context: Tree, state: TrainState) -> Tree:
        """What later stages and later days need of a finished stage: `Past.kept`."""
        ...

    def encode(self, past: Mapping[str, Past], inputs: Mapping[str, Array], modality: str) -> Array:
        """[B, bits] before the sign, from {column: [B, ...]} and the past alone: no labels, no context."""
        ...
