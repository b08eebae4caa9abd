"""Learning curves (metrics.jsonl and TensorBoard) and what a person sees while it runs."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter
from tqdm import tqdm

from jhash.types import Stage

LINE_SECONDS = 10.0  # between two plain lines where there is no terminal


class Journal:
    """One method's curves in one run. A point is {'seed', 'method', 'stage', 'step', <name>: value}.

    Points lie at fixed steps, so that a resumed run's file equals an unbroken run's.
    """

    def __init__(self, workdir: Path, seed: int, method: str, *, every: int, tensorboard: bool):
        self.file, self.every = workdir / "metrics.jsonl", every
        self.base = {"seed": seed, "method": method}
        self.boards = workdir / "tensorboard" / f"seed-{seed}" / method if tensorboard else None
        self.stage, self.board, self.bar, self.clock = None, None, None, 0.0

    def watch(self, stage: Stage, first: int, logs: Mapping[str, np.ndarray]) -> None:
        """Takes the logs [n] of the steps first .. first + n - 1."""
        if stage.name != self.stage:
            self._begin(stage, first)
        count = len(next(iter(logs.values())))
        with self.file.open("a") as lines:
            for i in range(count):
                step = first + i + 1
                if step % self.every == 0 or step == stage.steps or "validation" in logs:
                    point = {name: float(log[i]) for name, log in logs.items()}
                    lines.write(json.dumps(self.base | {"stage": stage.name, "step": step} | point) + "\n")
                    for name, value in point.items() if self.board else ():
                        self.board.add_scalar(name, value, step)
        if "loss" in logs:
            self._show(stage, first + count, float(logs["loss"][-1]))

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()
        if self.board is not None:
            self.board.close()
        self.stage = self.bar = self.board = None

    def _begin(self, stage: Stage, first: int) -> None:
        self.close()
        self.stage, self.clock = stage.name, time.monotonic()
        self._forget(stage.name, first)
        if self.boards is not None:
            self.board = SummaryWriter(str(self.boards / stage.name), purge_step=first)
        if sys.stderr.isatty():
            name = f"{self.base['method']} {stage.name}"
            self.bar = tqdm(total=stage.steps, initial=first, desc=name, unit="step", file=sys.stderr)

    def _forget(self, stage: str, first: int) -> None:
        """Drops the points behind the checkpoint that a run goes on from, and a line that a kill tore."""
        if not self.file.is_file():
            return
        here, kept = self.base | {"stage": stage}, []
        for line in self.file.read_text().splitlines():
            try:
                point = json.loads(line)
            except ValueError:
                continue
            if not (here.items() <= point.items() and point["step"] > first):
                kept.append(line + "\n")
        partial = self.file.with_name(".metrics.jsonl.partial")
        partial.write_text("".join(kept))
        partial.replace(self.file)

    def _show(self, stage: Stage, step: int, loss: float) -> None:
        if self.bar is not None:
            self.bar.n = step
            self.bar.set_postfix(loss=f"{loss:.4g}")
        elif time.monotonic() - self.clock > LINE_SECONDS or step == stage.steps:
            self.clock = time.monotonic()
            who = f"{self.base['method']} {stage.name} (seed {self.base['seed']})"
            print(f"{who}: step {step} of {stage.steps}, loss {loss:.4g}", file=sys.stderr, flush=True)
