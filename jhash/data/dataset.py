"""What a run reads: tables to train on, and tasks, each a query part against a database."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from jhash.types import Table


@dataclasses.dataclass(frozen=True)
class Task:
    """One direction of retrieval."""

    query: str  # the name of a part
    database: tuple[str, ...]  # the names of parts, searched as one, in this order
    names: tuple[str, str]  # of both, as results have them: ('test', 'train'), ('image test', 'text train')
    self_in_database: bool = False  # the queries stand in the database, row by row
    presets: tuple[str, ...] = ()  # the protocols that it is scored by; none: those of the config

    drawn: bool = False  # whether a picture of precision and recall shows it

    @property
    def parts(self) -> tuple[str, ...]:
        return (self.query, *self.database)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """Tables and tasks. A part of a task that has no table is one whose codes an earlier run stored.

    Of video, tables are 'train', 'query', 'database' and, where asked for, 'validation'. Of media that arrive one after
    another, 'image' is trained on, 'image/test' asks, and so on; of pairs, 'pairs' is trained on.
    """

    name: str
    tables: Mapping[str, Table]
    tasks: tuple[Task, ...]
    modalities: Mapping[str, str]  # table -> modality
    normalisation: Mapping[str, Mapping[str, np.ndarray]]  # modality -> shift, scale, ..., already applied
    classes: tuple[str, ...] = ()  # names of the labels' columns, where they have names
    kept: tuple[str, ...] = ()  # parts whose codes are handed on, whether a task needs them or not
    words: tuple[str, ...] = ()  # what the columns of 'text' count, where it is a bag of words
    shown: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)  # part -> its items in words

    @property
    def parts(self) -> tuple[str, ...]:
        """The tables that are encoded, each once: those that tasks need, and those kept."""
        needed = dict.fromkeys([part for task in self.tasks for part in task.parts] + list(self.kept))
        return tuple(part for part in needed if part in self.tables)
