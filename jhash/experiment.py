"""One experiment from its config to its report: build → train → codes → scores → results.json. Names no method."""

import signal
import sys
from pathlib import Path

import numpy as np
from ml_collections import ConfigDict

from jhash import cost, library, metrics, report, scan, train
from jhash.config import baseline, is_paired, method_names, method_of
from jhash.curves import curve
from jhash.data.dataset import Dataset, Task
from jhash.data.load import complete, load_dataset
from jhash.data.pairs import PAIRS, load_pairs
from jhash.data.streams import Known, load_streams
from jhash.data.validate import near
from jhash.evaluate import encode, labels_of, require_labels, save_codes, save_preparation, score
from jhash.journal import Journal
from jhash.library import Library
from jhash.pages import pictures, searches
from jhash.pages import run as page
from jhash.parallel import count, memory_gb
from jhash.types import InputError, Method
from jhash.validation import Validation
from jhash.workdir import claimed, write_json, written


def say(sentence: str) -> None:
    print(f"jhash: {sentence}", file=sys.stderr, flush=True)


class Interrupt:
    """The first Ctrl-C asks the training to stop at the next good place; the second stops at once.

    Whoever listened before is told at the end: one that runs many experiments then begins no other.
    """

    def __init__(self):
        self.asked = False

    def __enter__(self):
        self.before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_):
        signal.signal(signal.SIGINT, self.before)
        if self.asked and callable(self.before) and self.before is not signal.default_int_handler:
            self.before(signal.SIGINT, None)

    def _ask(self, *_):
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
        words = "jhash: stopping after the current steps (Ctrl-C again: at once)"
        print(words, file=sys.__stderr__, flush=True)  # also where what is printed goes to a file


def run(config: ConfigDict, workdir: Path) -> list[dict]:
    """Trains and scores the config's method and its baselines; results.json and the table are written as rows arrive.

    Returns the rows of results.json. Raises InputError, Diverged, Stopped, OSError (disk full).
    """
    _check_choices(config)
    method = method_of(config)
    if config.get("stages", "fold") != "fold" and not isinstance(method, scan.Method):
        raise InputError(f"config.stages: expected 'fold' for {config.method}, found {config.stages!r}")
    earlier = {seed: _earlier(config, workdir, seed) for seed in _seeds(config)}
    dataset = dataset_of(config, earlier[config.seed])
    for part in dataset.parts:
        require_labels(dataset.tables[part])
    contenders = {config.method: method} | {name: baseline(name, config) for name in config.baselines}
    for name, contender in contenders.items():
        _check_reads(config, name, contender, dataset)
        _check_stages(config, name, contender, dataset)
    if not config.presets and not all(task.presets for task in dataset.tasks):
        raise InputError("config.presets: expected at least one protocol, found none")
    for preset in {preset for task in dataset.tasks for preset in task.presets or config.presets}:
        metrics.protocol_of(metrics.Task(preset, config.ties))
    validation = Validation(method, dataset) if config.select == "validation" else None
    decided = config.to_dict()
    if decided["run"]["resident_gb"] < 0:
        decided["run"]["resident_gb"] = memory_gb()
    found, curves, costs = [], [], {}
    with claimed(workdir, decided) as decided, Interrupt() as interrupt:
        config = ConfigDict(decided)
        save_preparation(workdir, dataset.normalisation, dataset.words)
        for medium, backbone in getattr(method, "from_scratch", {}).items():
            say(f"{medium}: {backbone} begins without pretrained weights and is trained from scratch")
        for seed in _seeds(config):
            for name, contender in contenders.items():
                folder = workdir / f"seed-{seed}" / name
                given = earlier[seed] if name == config.method else None
                past = _trained(config, contender, name, seed, dataset, workdir, given, interrupt, validation)
                coded = _coded(contender, past, dataset, folder)
                _hand_on(folder, config, contender, past, dataset, coded, given)
                if seed == config.seed:
                    costs |= _cost(name, contender, past, dataset)
                if (name, seed) == (config.method, config.seed) and searches.has_pictures(dataset):
                    facts = f"{name}, {contender.bits} bits, seed {seed}"
                    searches.write(workdir / "search.html", dataset, tasks_of(contender, dataset), coded, facts)
                for task in tasks_of(contender, dataset):
                    arrays = arrays_of(task, coded, dataset, given)
                    found += _rows(contender, name, task, arrays, dataset, config, seed)
                    if task.drawn:
                        names = {"dataset": dataset.name, "method": name, "seed": seed, "query": task.names[0]}
                        curves.append(names | {"database": task.names[1]} | curve(*arrays))
                report.write_results(workdir / "results.json", found)
    write_json(workdir / "complexity.json", costs)
    rows, tasks = [result.row for result in found], {n: tasks_of(one, dataset) for n, one in contenders.items()}
    page.write(page.Run(workdir, decided, dataset, tasks, found, _against(config), curves))
    if not rows:
        say("no second medium yet: codes and library are kept, and the next one is compared with them")
        return rows
    if curves:
        write_json(workdir / "curves.json", curves)
        drawn, name = pictures.precision_recall(curves), "precision_recall.svg"
    else:
        drawn, name = pictures.map_at_k(rows), "map_at_k.svg"
    with written(workdir / name) as file:
        file.write(drawn.encode())
    print(_text(config, found, rows))
    return rows


def _text(config, found, rows) -> str:
    """A matrix where media came one by one, else a table that says who won."""
    if "library" in config:
        return report.matrix(rows)
    against = _against(config)
    return report.table(rows, compared=report.comparisons(found, against), baselines=against)


def _against(config) -> list[str]:
    """The baselines that others are compared with."""
    asked = (config.against,) if isinstance(config.against, str) else tuple(config.against)
    return [name for name in asked if name in config.baselines]


def _check_choices(config) -> None:
    """Raises InputError for a field of the experiment itself that says nothing it could."""
    if config.seeds < 1:
        raise InputError(f"config.seeds: expected at least 1, found {config.seeds}")
    if config.select not in ("last", "validation"):
        raise InputError(f"config.select: expected 'last' or 'validation', found {config.select!r}")
    for field, least in (("seed", 0), ("select_every", 1), ("run.log_every", 1), ("run.devices", 0)):
        found = config.run[field.removeprefix("run.")] if field.startswith("run.") else config[field]
        if found < least:
            raise InputError(f"config.{field}: expected at least {least}, found {found}")
    for name in [config.against] if isinstance(config.against, str) else config.against:
        if name not in method_names():
            known = ", ".join(method_names())
            raise InputError(f"config.against: expected among {known}, found {name!r}{near(name, method_names())}")


def _check_stages(config, name: str, method: Method, dataset: Dataset) -> None:
    try:
        for stage in method.stages(dataset.tables):
            if stage.steps:
                count(config.run.devices, stage.batch)
    except InputError as error:
        if name == config.method:
            raise
        raise InputError(f"config.baselines: {name} can't be trained here: {error}") from error


def _check_reads(config, name: str, method: Method, dataset: Dataset) -> None:
    column = "features" if "modalities" in config else "frames"
    field = "method" if name == config.method else "baselines"
    if column not in method.inputs:
        raise InputError(
            f"config.{field}: expected a method of {column}, which {config.data.name} has, found {name!r} "
            f"of {', '.join(method.inputs)}"
        )
    if getattr(method, "paired", False) and "pairs" not in dataset.tables:
        raise InputError(
            f"config.{field}: expected a method of media one by one, found {name!r}, which learns from pairs"
        )
    if dataset.tasks and not tasks_of(method, dataset):
        raise InputError(f"config.{field}: expected codes that can be compared across media, found {name!r}")


def tasks_of(method: Method, dataset: Dataset) -> list[Task]:
    """Those that the method's codes can do: within a medium alone where each medium is hashed by itself."""
    if getattr(method, "across_media", True):
        return list(dataset.tasks)
    return [task for task in dataset.tasks if len({part.split("/")[0] for part in task.parts if "/" in part}) < 2]


def _seeds(config) -> range:
    return range(config.seed, config.seed + config.seeds)


def _earlier(config, workdir: Path, seed: int) -> Library | None:
    """The library that the run begins with; from the second start on the workdir's own copy of it."""
    if not config.get("library"):
        return None
    copy = workdir / f"seed-{seed}" / config.method / library.EARLIER
    found = library.read(library.find(config.library, seed, config.method, copy))
    if found.method != config.method or found.bits != config.hyper.bits:
        raise InputError(
            f"config.library {config.library!r}: expected codes of {config.method} with {config.hyper.bits} bits, "
            f"found {found.method} with {found.bits}"
        )
    for field, expected in (("dataset", config.data.name), ("fold", config.data.fold)):
        if getattr(found, field) != expected:
            raise InputError(
                f"config.library {config.library!r}: expected the {field} {expected!r}, found {getattr(found, field)!r}"
            )
    asked, given = config.hyper.get("prototypes"), found.kept["library"].shape[1]
    if asked != given:
        raise InputError(
            f"config.library {config.library!r}: expected {asked} prototypes a class "
            f"(config.hyper.prototypes), found {given}"
        )
    return found


def dataset_of(config, earlier: Library | None) -> Dataset:
    if "modalities" not in config:
        if config.data.name in PAIRS:
            raise InputError(
                f"config.method: expected a method of pairs for {config.data.name}, found {config.method!r}"
            )
        return load_dataset(config.data, config.seed)
    if is_paired(config.method):
        return load_pairs(complete(config.data), config.seed, config.modalities)
    if config.select != "last":
        raise InputError(f"config.select: expected 'last' for media one by one, found {config.select!r}")
    if config.stages not in ("fold", "scan", "side_by_side"):
        raise InputError(f"config.stages: expected 'fold', 'scan' or 'side_by_side', found {config.stages!r}")
    known = Known(earlier.classes, tuple(earlier.parts)) if earlier else Known()
    return load_streams(complete(config.data), config.seed, config.modalities, known)


def _trained(config, method: Method, name, seed: int, dataset, workdir: Path, earlier, interrupt, validation):
    """What the method's stages left: trained now, or read where they were finished before."""
    folder = workdir / f"seed-{seed}" / name
    if earlier is not None and not (folder / library.EARLIER).is_file():
        library.copy(library.find(config.library, seed, name, folder / library.EARLIER), folder)
    journal = Journal(workdir, seed, name, every=config.run.log_every, tensorboard=config.run.tensorboard)
    how = train.Run(
        folder=folder,
        seed=seed,
        devices=config.run.devices,
        resident_gb=config.run.resident_gb,
        save_every=config.run.save_every,
        score=validation if name == config.method else None,
        score_every=config.select_every,
        past=earlier.past if earlier else {},
        finished=len(earlier.media) if earlier else 0,
        watch=journal.watch,
        warn=say,
        stopping=lambda: interrupt.asked,
    )
    if config.get("stages", "fold") != "fold" and not train.is_finished(method, dataset.tables, how):
        together = scan.scan_stages if config.stages == "scan" else scan.side_by_side
        train.keep(method, dataset.tables, together(method, dataset.tables, how), how)
    past = train.train(method, dataset.tables, how)
    journal.close()
    return past


def _coded(method: Method, past, dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
    """part -> codes [N, K], or vectors of a real method; written to the folder."""
    coded = {part: encode(method, past, dataset.tables[part], dataset.modalities[part]) for part in dataset.parts}
    save_codes(folder, coded)
    return coded


def _cost(name: str, method: Method, past, dataset: Dataset) -> dict[str, dict]:
    try:
        return {name: cost.of_run(method, past, dataset)}
    except Exception as error:  # whatever it is, the results don't depend on it
        say(f"{name}: what encoding costs was not found ({error})")
        return {}


def _hand_on(folder: Path, config, method: Method, past, dataset: Dataset, coded, earlier: Library | None) -> None:
    """Where stages kept a library, writes what later media need of this run and of those before it."""
    kept = list(past.values())[-1].kept
    if "library" not in kept:
        return
    trained = [medium for medium in past if medium != "library"]
    parts = {part: (codes, labels_of(dataset.tables[part])) for part, codes in coded.items()}
    if earlier is not None:
        stored = {
            part: (codes, earlier.labels(part, len(dataset.classes))) for part, (codes, _) in earlier.parts.items()
        }
        parts, trained = stored | parts, [*earlier.media, *trained]
    given = (config.method, method.bits, tuple(trained), dataset.classes, kept, parts)
    handed = Library(*given, dataset=config.data.name, fold=config.data.fold)
    library.write(folder / library.FILE, handed)


def arrays_of(task: Task, coded, dataset: Dataset, earlier: Library | None) -> list[np.ndarray]:
    """A task's codes and labels: of the queries [Q, K], of the database [N, K], [Q, C], [N, C].

    A part that has no table is one of the library's.
    """

    def part(name: str):
        if name in dataset.tables:
            return coded[name], labels_of(dataset.tables[name])
        return earlier.parts[name][0], earlier.labels(name, len(dataset.classes))

    codes, labels = part(task.query)
    searched, searched_labels = (np.concatenate(arrays) for arrays in zip(*map(part, task.database), strict=True))
    return [codes, searched, labels, searched_labels]


def _rows(method: Method, name: str, task: Task, arrays, dataset: Dataset, config, seed: int) -> list[report.Result]:
    """One task by each of its protocols."""
    queries, rows = len(arrays[0]), []
    for preset in task.presets or config.presets:
        rows += report.results(
            score(
                *(method, *arrays),
                preset=preset,
                ties=config.ties,
                self_rows=np.arange(queries) if task.self_in_database else None,
            ),
            method=name,
            variant=getattr(method, "described", None),
            dataset=dataset.name,
            query=task.names[0],
            database=task.names[1],
            bits=None if method.real else method.bits,
            seed=seed,
            labels=tuple(arrays[2:]),
        )
    return rows
