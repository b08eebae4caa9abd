"""The command line of `python -m jhash.reproduce`."""

import argparse
import importlib
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from jhash.reproduce import data as datasets
from jhash.reproduce.data import SHAPES
from jhash.reproduce.grid import Exhibit
from jhash.types import Ended, InputError

PAPERS = ("she", "dkph", "mcmsh", "cmgcah", "dsmhn")
ROMAN = {"1": "I", "2": "II", "3": "III", "4": "IV"}
SEEDS = {"quick": 1, "full": 3}


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="python -m jhash.reproduce",
        description="Runs what a table or a figure of a paper needs and sets ours beside the print.",
    )
    found.add_argument("--list", action="store_true", help="every table and figure, what it needs, what can run here")
    found.add_argument("--paper", choices=PAPERS)
    found.add_argument("--table", help="a number as printed, 'complexity', or 'all'")
    found.add_argument("--figure", help="a number")
    found.add_argument(
        "--dataset", action="append", default=[], help="a data set, or one that stands in (nmnist); may be repeated"
    )
    found.add_argument("--seeds", type=int, help="runs of each cell; quick: 1, full: 3")
    found.add_argument("--budget", choices=tuple(SEEDS), default="full", help="quick: shorter training, less certain")
    found.add_argument("--data", type=Path, default=Path("data"), help="the folder of published data sets (data)")
    found.add_argument("--workdir", type=Path, default=Path("runs/reproduce"), help="cache and pages (runs/reproduce)")
    found.add_argument("--count", action="store_true", help="print how many runs it takes, and end")
    found.add_argument("--only", type=int, metavar="I", help="carry out run I (from 0) and write no page")
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0, 2 for wrong input, 3 where some runs could not be done, 130 where it was stopped."""
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        asked = parser().parse_args(argv)
    except SystemExit as ended:
        return int(ended.code or 0)
    try:
        return _list(asked) if asked.list else _reproduce(asked, argv)
    except (Ended, OSError, KeyboardInterrupt) as error:
        stopped = "stopped; the same command goes on where it was"
        print(f"jhash: error: {stopped if isinstance(error, KeyboardInterrupt) else error}", file=sys.stderr)
        return getattr(error, "exit_code", 130 if isinstance(error, KeyboardInterrupt) else 1)


def exhibits(paper: str) -> tuple[Exhibit, ...]:
    """All tables and figures of a paper."""
    return importlib.import_module(f"jhash.reproduce.{paper}").EXHIBITS


def chosen(asked: argparse.Namespace) -> list[Exhibit]:
    """The tables and figures that the command line names. Raises InputError."""
    if asked.paper is None:
        raise InputError(
            f"--paper: expected one of {', '.join(PAPERS)}, found none; --list shows every table and figure"
        )
    if (asked.table is None) == (asked.figure is None):
        raise InputError("--table, --figure: expected one of them; --list shows every table and figure")
    kind, number = ("Table", asked.table) if asked.table is not None else ("Figure", asked.figure)
    known = exhibits(asked.paper)
    if number == "all":
        return [one for one in known if one.name.startswith(kind)]
    names = (f"{kind} {number}", f"{kind} {ROMAN.get(number, number)}", number)
    found = [one for one in known if one.name in names]
    if not found:
        raise InputError(f"--{kind.lower()}: expected one of {', '.join(e.name for e in known)}, found {number!r}")
    return found


def everything(asked: argparse.Namespace) -> bool:
    return "all" in (asked.table, asked.figure)


def names_for(exhibit: Exhibit, asked: argparse.Namespace) -> list[str]:
    """Of the data sets on the command line those that a table can have; all where it was asked for by its number."""
    if not everything(asked):
        return asked.dataset
    return [name for name in asked.dataset if name in (*exhibit.datasets, *exhibit.stand_ins)]


def split(asked: argparse.Namespace) -> tuple[list[Exhibit], dict[str, str]]:
    """The tables that can be made of the data asked for, and name → reason of those that can't. Raises InputError."""
    found = chosen(asked)
    if not everything(asked):
        return found, {}
    known = list(dict.fromkeys(name for one in found for name in (*one.datasets, *one.stand_ins)))
    for name in asked.dataset:
        if name not in known:
            raise InputError(f"--dataset: expected one of {', '.join(known)}, found {name!r}")
    skipped = {
        one.name: f"{' and '.join(asked.dataset)} cannot take the place of {' or '.join(one.datasets)}"
        for one in found
        if asked.dataset and not names_for(one, asked) and one.datasets != (SHAPES.name,)
    }
    return [one for one in found if one.name not in skipped], skipped


def _list(asked: argparse.Namespace) -> int:
    reasons: dict[str, str] = {}
    for paper in PAPERS if asked.paper is None else (asked.paper,):
        print(paper)
        for exhibit in exhibits(paper):
            names = (*exhibit.datasets, *exhibit.also)
            for name in names:
                found = datasets.find(name)
                reasons[name] = datasets.missing(found, asked.data) if found else "jhash knows no such public data set"
            used = [f"{name} ({'not here' if reasons[name] else 'here'})" for name in names]
            needs = f"{', '.join(used)}; {_can_run(exhibit)}" if exhibit.datasets != (SHAPES.name,) else "needs no data"
            print(f"  {exhibit.name:<10}  {exhibit.title}\n              {needs}")
    print("\nNot here:")
    for name, why in reasons.items():
        if why:
            print(f"  {name}: {why}")
    return 0


def _can_run(exhibit: Exhibit) -> str:
    if not exhibit.stand_ins:
        return "nothing stands in"
    return f"{' or '.join(exhibit.stand_ins)} can stand in (--dataset)"


def _reproduce(asked: argparse.Namespace, argv: list[str]) -> int:
    if asked.seeds is not None and asked.seeds < 1:
        raise InputError(f"--seeds: expected at least 1, found {asked.seeds}")
    from jhash.reproduce import cells, runs

    wanted = cells.Asked(asked.data, asked.seeds or SEEDS[asked.budget], asked.budget)
    can, skipped = split(asked)
    blocks = {exhibit: cells.blocks(exhibit, names_for(exhibit, asked), wanted) for exhibit in can}
    needed = cells.runs_needed([block for found in blocks.values() for block in found])
    if asked.count:
        print(len(needed))
        return 0
    cache = asked.workdir / "runs"
    runs.compile_cache(cache)
    if asked.only is not None:
        return _only(asked.only, needed, cache)
    for name, why in skipped.items():
        print(f"jhash: {name}: skipped: {why}", file=sys.stderr)
    failed = _all(needed, cache)
    from jhash.reproduce import page

    command = f"python -m jhash.reproduce {shlex.join(argv)}"
    made = []
    for exhibit, found in blocks.items():
        names = names_for(exhibit, asked)
        folder = asked.workdir / page.folder_name(exhibit, names, asked.budget, asked.seeds)
        try:
            print(page.write(folder, exhibit, found, wanted, cache, failed, command))
            made.append(_made(exhibit, found, folder))
        except InputError as error:
            if not everything(asked):
                raise
            skipped[exhibit.name] = str(error)
    if everything(asked):
        print("\n".join(["Made:", *made, *(["Skipped:"] if skipped else [])]))
        print("\n".join(f"  {name}: {why}" for name, why in skipped.items()))
    return 3 if failed or len(made) < len(blocks) else 0


def _made(exhibit: Exhibit, blocks, folder: Path) -> str:
    """'  Table 2: runs/reproduce/…/report.html', with what its cells are without where data are missing."""
    missing = [block.data.name for block in blocks if block.missing]
    without = f", without numbers on {', '.join(missing)}, which --list says more of" if missing else ""
    return f"  {exhibit.name}: {folder / 'report.html'}{without}"


def _only(number: int, needed, cache: Path) -> int:
    from jhash.reproduce import damage, runs

    if not 0 <= number < len(needed):
        raise InputError(f"--only: expected the number, from 0, of one of {len(needed)} runs, found {number}")
    damage.clear([needed[number]], cache)
    runs.carry_out(needed[number], cache)
    return 0


def _all(needed, cache: Path) -> dict[str, str]:
    """Carries out what is not in the cache, with a bar that knows how many are left."""
    from jhash.reproduce import damage, runs

    damage.clear(needed, cache)
    begun = sum(run.done(cache) for run in needed)
    print(f"jhash: {len(needed)} runs, {begun} of them in the cache {cache}", file=sys.stderr, flush=True)
    terminal = sys.stderr
    with tqdm(total=len(needed), initial=begun, unit="run", file=terminal, disable=not terminal.isatty()) as bar:
        clock = time.monotonic()

        def watch(finished: int, run) -> None:
            bar.n = finished
            bar.set_postfix_str(run.title if run else "")
            if run and not terminal.isatty():
                passed = time.monotonic() - clock
                rest = (len(needed) - finished) * passed / max(1, finished - begun)
                guess = f", about {rest / 60:.0f} min left" if finished > begun else ""
                print(f"run {finished + 1} of {len(needed)}{guess}: {run.title}", file=terminal, flush=True)

        failed = runs.carry_out_all(needed, cache, watch)
    for reason in dict.fromkeys(failed.values()):
        print(f"jhash: a run could not be done: {reason}", file=sys.stderr)
    return dict(failed)
