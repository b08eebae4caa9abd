"""A run and its place in the cache: named by a hash of its config, its data and the modules that it imports.

The commit is not in the hash, for a changed line of documentation would empty the cache; nor are the modules that only
show results. Each run is the workdir of an ordinary experiment, so a killed one goes on from its last checkpoint.
"""

import ast
import contextlib
import dataclasses
import fcntl
import functools
import gc
import hashlib
import json
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import jax
from ml_collections import ConfigDict

import jhash
from jhash import experiment
from jhash.checkpoint import BrokenCheckpoint
from jhash.types import Diverged, InputError
from jhash.workdir import Busy, flat, write_json

DONE = "done.json"
SHOWN_ONLY = ("pages", "given", "journal", "cost")  # rooms that change no number of a run
FAILURES = (InputError, Diverged, BrokenCheckpoint, MemoryError, jax.errors.JaxRuntimeError)  # of one run
PACKAGES = ("jax", "flax", "optax", "numpy")
FACTS = ("title", "key", "seconds", *PACKAGES, "python", "device", "jhash")  # what DONE says
LEFT_OUT = ("seed", "baselines", "hyper.bits")  # of a title, which has them elsewhere or not at all
WAIT = 5.0  # seconds between two looks at a run that another process has in hand


@dataclasses.dataclass(frozen=True)
class Run:
    """One experiment with one seed."""

    config: str  # JSON with sorted keys, without what makes no other experiment of it
    key: str
    title: str  # 'dkph nmnist 64 bits, gamma1=0.0, seed 0'

    @property
    def name(self) -> str:
        held = json.loads(self.config)
        return f"{held['method']}-{held['data']['name']}-{self.key}"

    @property
    def unseeded(self) -> str:
        """The config without its seed: runs of one such compile once."""
        return json.dumps(json.loads(self.config) | {"seed": 0})

    def folder(self, cache: Path) -> Path:
        return cache / self.name

    def done(self, cache: Path) -> bool:
        return (self.folder(cache) / DONE).is_file()


def run_of(config: ConfigDict, data_digest: str, title: str) -> Run:
    """The run of a config, whose data have that digest."""
    held = config.to_dict()
    held.pop("run")
    text = json.dumps(held, sort_keys=True)
    modules = module_digest((held["method"], *held["baselines"]))
    key = hashlib.sha256(json.dumps([text, data_digest, modules]).encode()).hexdigest()[:16]
    return Run(text, key, title)


@functools.cache
def module_digest(methods: tuple[str, ...]) -> str:
    """SHA-256 of the sources that a run of these methods imports."""
    found = hashlib.sha256()
    for path, source in sorted(modules(methods).items()):
        found.update(path.encode() + source)
    return found.hexdigest()


def modules(methods: Sequence[str]) -> dict[str, bytes]:
    """Path in the package -> source of all that a run imports, found by reading import statements."""
    root = Path(jhash.__path__[0])
    waiting = ["jhash.experiment", "jhash.data.load", *(f"jhash.methods.{name}" for name in methods)]
    sources: dict[str, bytes] = {}
    while waiting:
        name = waiting.pop()
        path = _file(root, name)
        if path is None or name.split(".")[1] in SHOWN_ONLY or str(path.relative_to(root)) in sources:
            continue
        source = sources[str(path.relative_to(root))] = path.read_bytes()
        waiting += _imported(source)
    return sources


def _imported(source: bytes) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return [name for name in names if name.startswith("jhash.")]


def _file(root: Path, name: str) -> Path | None:
    path = root.joinpath(*name.split(".")[1:])
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def carry_out(run: Run, cache: Path) -> None:
    """Trains and scores a run in its folder, or goes on with it; what it prints goes to a log beside the cache.

    Raises:
        Busy: another process is at work on it.
        FAILURES: it can't be done; logs/<name>.failed.json says why.
        Stopped: the user asked to stop.
    """
    if run.done(cache):
        return
    folder, logs = run.folder(cache), cache.with_name("logs")
    folder.parent.mkdir(parents=True, exist_ok=True)
    logs.mkdir(exist_ok=True)
    with _in_hand(logs / f"{run.name}.lock"):
        if not run.done(cache):  # it may be since it was looked at above
            _to_its_end(run, folder, logs)


def _to_its_end(run: Run, folder: Path, logs: Path) -> None:
    config, clock = ConfigDict(json.loads(run.config, object_hook=_tuples)), time.monotonic()
    config.run = experiment_run_fields()
    log, reason = logs / f"{run.name}.log", logs / f"{run.name}.failed.json"
    with open(log, "a", encoding="utf-8") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        try:
            experiment.run(config, folder)
        except Busy:
            raise
        except FAILURES as error:
            write_json(reason, {"title": run.title, "why": str(error)})
            raise
    reason.unlink(missing_ok=True)
    facts = {"title": run.title, "key": run.key, "seconds": round(time.monotonic() - clock, 1)}  # of the last start
    facts |= {name: version(name) for name in PACKAGES} | {"python": platform.python_version()}
    write_json(folder / DONE, facts | {"device": machine(), "jhash": jhash.__version__})


@contextlib.contextmanager
def _in_hand(lock: Path) -> Iterator[None]:
    """Keeps others from a run until it is whole and said to be: what is done is written by nobody.

    The folder's own lock, which the experiment holds, ends before that.
    """
    with open(lock, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Busy(f"{lock.stem}: another process is at work on this run") from error
        yield


def machine() -> str:
    """'cpu, Intel(R) Xeon(R) Processor @ 2.50GHz, 2 cores': what a time is of."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    named = model or platform.processor() or platform.machine()
    return f"{jax.devices()[0].device_kind}, {named}, {cores} core{'s' if cores != 1 else ''}"


def _tuples(held: dict) -> dict:
    return {name: _tuple(value) for name, value in held.items()}


def _tuple(value):
    return tuple(_tuple(one) for one in value) if isinstance(value, list) else value


def experiment_run_fields() -> ConfigDict:
    """How a run is carried out: as an experiment's default, without TensorBoard's files."""
    from jhash.config import experiment as described

    fields = described("lsh", "nmnist").run
    fields.tensorboard = False
    return fields


def carry_out_all(runs: Sequence[Run], cache: Path, watch: Callable[[int, Run | None], None]) -> Mapping[str, str]:
    """Does what is not done yet, one after another; gives key → reason of those that can't be done.

    A run that another process has in hand is left to it and looked at again at the end.

    Args:
        runs: in any order; those of one config with several seeds stand side by side, for they compile once.
        cache: the folder of all runs.
        watch: told how many are finished, and which comes next.
    """
    signal.signal(signal.SIGINT, _stop)
    failed: dict[str, str] = {}
    seen: set[str] = set()  # a run that is in other hands is named once
    waiting = [run for run in runs if not run.done(cache)]
    finished = len(runs) - len(waiting)
    while waiting:
        busy, before = [], ""
        for run in waiting:
            if run.key not in seen:
                watch(finished, run)
            seen.add(run.key)
            if run.unseeded != before:  # programs of another config are of no more use, and there may be hundreds
                jax.clear_caches()
            before = run.unseeded
            try:
                carry_out(run, cache)
            except Busy:
                busy.append(run)
                continue
            except FAILURES as error:
                failed[run.key] = str(error).splitlines()[0] or type(error).__name__
            finished += 1
            gc.collect()
        if len(busy) == len(waiting):
            time.sleep(WAIT)
        waiting = busy
    watch(finished, None)
    return failed


def _stop(*_) -> None:
    """Of Ctrl-C; an experiment that it falls into calls this at its end, where it came too late for its training."""
    raise KeyboardInterrupt


def compile_cache(cache: Path) -> None:
    """Keeps compiled programs on disk, beside the cache: variants share most of theirs."""
    jax.config.update("jax_compilation_cache_dir", str(cache.with_name("compiled")))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


def differing(config: ConfigDict, base: ConfigDict) -> str:
    """'gamma1=0.0, graph=anchor': what a config changes in another beside the length, for a title."""
    now, before = flat(config.to_dict()), flat(base.to_dict())
    changed = [name for name in now if name in before and now[name] != before[name] and not name.startswith("run.")]
    return ", ".join(f"{name.split('.')[-1]}={now[name]}" for name in changed if name not in LEFT_OUT)
