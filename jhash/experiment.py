"""One experiment from its config to its report: build → train → codes → scores → results.json. Names no method."""

import signal
import sys
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jhash import plot, report, train
from jhash.config import baseline, build
from jhash.data.load import Dataset, load_dataset
from jhash.evaluate import encode, labels_of, require_labels, save_codes, save_normalisation, score
from jhash.journal import Journal
from jhash.metrics import Scores
from jhash.parallel import memory_gb
from jhash.types import Method
from jhash.validation import Validation
from jhash.workdir import claimed


def say(sentence: str) -> None:
    print(f"jhash: {sentence}", file=sys.stderr, flush=True)


class Interrupt:
    """The first Ctrl-C asks the training to stop at the next good place; the second stops at once."""

    def __init__(self):
        self.asked = False

    def __enter__(self):
        self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, self.before)

    def _ask(self, *_):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        say("stopping after the current steps (Ctrl-C again: at once)")


def run(config: ConfigDict, workdir: Path) -> list[dict]:
    """Trains and scores the config's method and its baselines; results.json and the table are written as rows arrive.

    Returns the rows of results.json. Raises InputError, Diverged, Stopped, OSError (disk full).
    """
    method = build(config.method, config.hyper.to_dict())
    dataset = load_dataset(config.data, config.seed)
    for part in ("query", "database"):
        require_labels(dataset.tables[part])
    validation = Validation(method, dataset) if config.select == "validation" else None
    decided = config.to_dict()
    if decided["run"]["resident_gb"] < 0:
        decided["run"]["resident_gb"] = memory_gb()
    found: list[report.Result] = []
    with claimed(workdir, decided) as decided, Interrupt() as interrupt:
        config = ConfigDict(decided)
        save_normalisation(workdir, dataset.normalisation)
        contenders = {config.method: method} | {name: baseline(name, config) for name in config.baselines}
        for seed in range(config.seed, config.seed + config.seeds):
            for name, contender in contenders.items():
                scores = _one(config, contender, name, seed, dataset, workdir, interrupt, validation)
                found += [row for score in scores for row in _rows(score, contender, name, dataset, config, seed)]
                report.write_results(workdir / "results.json", [result.row for result in found])
    rows = [result.row for result in found]
    (workdir / "map_at_k.svg").write_text(plot.map_at_k(rows))
    against = config.against if config.against in contenders else None
    print(report.table(rows, compared=report.comparisons(found, against) if against else None, baseline=against))
    return rows


def _rows(scores: Scores, method: Method, name: str, dataset: Dataset, config, seed: int) -> list[report.Result]:
    query = f"fold {config.data.fold}" if config.data.fold else "test"
    database = "train" if dataset.tables["database"] is dataset.tables["train"] else "test"
    return report.results(
        scores,
        method=name,
        variant=getattr(method, "variant", None),
        dataset=dataset.name,
        query=query,
        database="rest of train" if config.data.fold else database,
        bits=None if method.real else method.bits,
        seed=seed,
    )


def _one(config, method: Method, name: str, seed: int, dataset, workdir: Path, interrupt, validation) -> list[Scores]:
    """One method with one seed: trained (or read, where it was), its codes saved and scored by each preset."""
    folder = workdir / f"seed-{seed}" / name
    journal = Journal(workdir, seed, name, every=config.run.log_every, tensorboard=config.run.tensorboard)
    past = train.train(
        method,
        dataset.tables,
        train.Run(
            folder=folder,
            seed=seed,
            devices=config.run.devices,
            resident_gb=config.run.resident_gb,
            save_every=config.run.save_every,
            score=validation if name == config.method else None,
            score_every=config.select_every,
            watch=journal.watch,
            warn=say,
            stopping=lambda: interrupt.asked,
        ),
    )
    journal.close()
    codes = {part: encode(method, past, dataset.tables[part], dataset.modality) for part in ("query", "database")}
    save_codes(folder, codes)
    labels = [labels_of(dataset.tables[part]) for part in ("query", "database")]
    selves = np.arange(len(codes["query"])) if dataset.self_in_database else None
    return [
        score(method, codes["query"], codes["database"], *labels, preset=preset, ties=config.ties, self_rows=selves)
        for preset in config.presets
    ]
