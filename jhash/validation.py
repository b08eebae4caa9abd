"""How good a state of the training is, by a split of the training part alone."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

import jax
import numpy as np

from jhash.data.dataset import Dataset
from jhash.evaluate import encode, labels_of, score
from jhash.parallel import ALONE
from jhash.steps import keys_of_stage, order_of_step, rows_of_step
from jhash.types import InputError, Method, Past

BATCHES = 8  # of the held-out part, for the loss


class Validation:
    """Scores what a stage leaves, higher is better: mAP@20 of the held-out items in the rest, or minus their loss.

    Of pairs, the mean of both directions across the media.
    """

    def __init__(self, method: Method, dataset: Dataset):
        tables = dataset.tables
        media = [part.split("/")[0] for part in tables if part.endswith("/validation")]
        self.directions = [(f"{one}/validation", f"{other}/train") for one in media for other in media if one != other]
        if not media:
            self.directions = [("validation", "train")]
        if self.directions[0][0] not in tables:
            raise InputError("config.data.validation: expected a share above 0 for config.select='validation', found 0")
        self.method, self.dataset, self.losses = method, dataset, None

    def __call__(self, past: Mapping[str, Past]) -> float:
        if "labels" in self.dataset.tables[self.directions[0][0]].columns:
            return self.precision(past)
        if self.losses is None:
            self.losses = self._held_out_losses(past)
        return -float(np.mean([loss(past) for loss in self.losses]))

    def precision(self, past: Mapping[str, Past]) -> float:
        """mAP@20 with ties at their expectation, so that the order of rows does not choose the state."""
        parts = {part: self.dataset.tables[part] for direction in self.directions for part in direction}
        modalities = self.dataset.modalities
        codes = {part: encode(self.method, past, table, modalities[part]) for part, table in parts.items()}
        labels = {part: labels_of(table) for part, table in parts.items()}
        options = {"preset": "video", "ties": "expected", "cutoffs": (20,)}
        found = [
            score(self.method, codes[held], codes[rest], labels[held], labels[rest], **options).means()["map", 20]
            for held, rest in self.directions
        ]
        return float(np.mean(found))

    def _held_out_losses(self, past: Mapping[str, Past]) -> list:
        """The last stage's loss on held-out batches, with structures found among them and the same draws every time."""
        held = self.dataset.tables["validation"]
        tables = {**self.dataset.tables, "train": held}
        stage, keys = self.method.stages(tables)[-1], keys_of_stage(0, 0)
        with tempfile.TemporaryDirectory() as scratch:
            context = self.method.prepare(stage, past, tables, keys[0], Path(scratch))

        def at(step: int):
            order = order_of_step(stage, keys, np.int32(step))
            rows, noise = rows_of_step(self.method, stage, context, keys, order, np.int32(step))
            read = {role: np.asarray(chosen) for role, chosen in rows.items() if chosen.dtype == np.int32}
            batch = {role: held.read(chosen, self.method.columns) for role, chosen in read.items()}

            def loss(past: Mapping[str, Past]) -> float:
                left = past[stage.name]
                given = (stage, context, left.params, left.collections, batch, rows, np.int32(step), noise, ALONE)
                return float(jax.jit(self.method.loss, static_argnums=(0, 8))(*given)[0])

            return loss

        return [at(step) for step in range(min(BATCHES, stage.per_epoch))]
