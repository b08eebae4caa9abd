"""Scores of codes that somebody else's program made, by the protocols and in the rows of an experiment.

    python -m jhash.evaluate --query q.npy --database d.npy --query-labels ql.npy --database-labels dl.npy \\
        --preset video --preset trec --name "their net" CIFAR-10 --workdir runs/theirs

Codes are -1 and +1, 0 and 1, bool, or packed uint8; labels class numbers or 0/1 with a column a class; files .npy,
.npz, .mat or .h5, with path:array where a file holds several that fit.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jhash import measures, metrics, report
from jhash.command import exit_code
from jhash.curves import curve
from jhash.data.given_codes import BIT_ORDERS, Given, read_given, read_rows
from jhash.data.given_files import Source
from jhash.data.validate import near
from jhash.pages import pictures
from jhash.types import InputError
from jhash.workdir import write_json

FILES = ("results.json", report.PER_QUERY, "curves.json", "precision_recall.svg")


class Evaluation(NamedTuple):
    """What `evaluate_arrays` found."""

    found: list[report.Result]  # rows of results.json and their per-query values
    scores: dict[str, metrics.Scores]  # preset -> per-query values
    given: Given  # codes ±1 and labels 0/1, as they were understood
    self_rows: np.ndarray | None  # [Q]

    @property
    def rows(self) -> list[dict]:
        """As in results.json."""
        return [result.row for result in self.found]


def evaluate_arrays(
    query: Source,
    database: Source,
    query_labels: Source,
    database_labels: Source,
    presets: str | Sequence[str],
    *,
    ties: str | None = None,
    cutoffs: Sequence[int | None] | None = None,
    precision_ranks: Sequence[int] = (),
    ndcg_ranks: Sequence[int] = (),
    radii: Sequence[int] = (),
    self_rows: Source | None = None,
    seed: int = 0,
    bits: int | None = None,
    packed: bool = False,
    bit_order: str = "big",
    method: str = "codes",
    dataset: str = "given",
    say: Callable[[str], None] | None = None,
) -> Evaluation:
    """Scores codes in any form that `jhash.data.given_codes.read_given` knows, in memory or in files.

    Args:
        query: codes of Q queries: an array, 'path' or 'path:array'.
        database: codes of N items.
        query_labels: class numbers [Q] or 0/1 [Q, L].
        database_labels: the same for the N items.
        presets: one or more names in `measures.PRESETS`.
        ties: another rule for ties than the presets'.
        cutoffs: other cut-offs than the presets'; None is the whole ranking.
        precision_ranks: ranks at which to give precision too.
        ndcg_ranks: ranks at which to give NDCG too; see `measures.ndcg`.
        radii: radii within which to give precision and recall of a hash look-up.
        self_rows: [Q], from 0, the database rows that are the queries themselves, as an array or a file; 'same' where
            query and database are the same codes in the same order; None where no query is in the database.
        seed: of the permutation where ties are 'shuffled'; other rows have no seed.
        bits: K; see `read_given`, as for the next two.
        packed: codes are packed bytes.
        bit_order: of packed bytes, 'big' or 'little'.
        method: what made the codes, for the rows and the table.
        dataset: what they are of.
        say: gets a line for each array on what it was taken for.

    Raises:
        InputError: one sentence on what is missing or wrong, where, what was expected and what was found.
    """
    presets = [presets] if isinstance(presets, str) else list(dict.fromkeys(presets))
    if seed < 0:
        raise InputError(f"seed: expected a number from 0 up, found {seed}.")
    for preset in presets or [""]:
        if preset not in measures.PRESETS:
            known = ", ".join(measures.PRESETS)
            raise InputError(f"preset: expected one of {known}, found {preset!r}{near(preset, measures.PRESETS)}.")
    form = {"bits": bits, "packed": packed, "bit_order": bit_order}
    given = read_given(query, database, query_labels, database_labels, **form, say=say)
    own = _own_rows(self_rows, given)
    removing = [preset for preset in presets if measures.PRESETS[preset].self_rule == "removed"]
    if say is not None and own is None and removing and np.array_equal(given.query, given.database):
        say(f"query and database are the same codes, and {removing[0]} keeps each query: self rows 'same' removes it")
    asked = {"precision_ranks": precision_ranks, "ndcg_ranks": ndcg_ranks, "radii": radii}
    tasks = [metrics.Task(preset, ties, cutoffs, **asked) for preset in presets]
    scores = dict(zip(presets, metrics.evaluate_tasks(*given, tasks, self_rows=own, seed=seed), strict=True))
    found = []
    for preset in presets:
        found += report.results(
            scores[preset],
            method=method,
            variant=None,
            dataset=dataset,
            query="query",
            database="database",
            bits=given.query.shape[1],
            seed=seed if scores[preset].ties == "shuffled" else None,
            labels=(given.query_labels, given.database_labels),
        )
    return Evaluation(found, scores, given, own)


def _own_rows(self_rows: Source | None, given: Given) -> np.ndarray | None:
    if self_rows is None:
        return None
    if isinstance(self_rows, str) and self_rows == "same":
        if not np.array_equal(given.query, given.database):
            found = f"{len(given.query):,} and {len(given.database):,} that differ"
            raise InputError(f"self rows 'same': expected query and database to be the same codes, found {found}.")
        return np.arange(len(given.query))
    return read_rows(self_rows, "self rows", len(given.query))


def write(workdir: Path, evaluation: Evaluation) -> list[str]:
    """Writes results.json, per_query.npz and, where anything was found, curves.json and its picture; their names.

    What an earlier evaluation left there goes first. Raises InputError: the folder can't be written.
    """
    given, row = evaluation.given, evaluation.rows[0]
    found = any(one["value"] for one in evaluation.rows)
    names = {field: row[field] for field in ("dataset", "method", "seed", "query", "database")}
    curves = [names | curve(*given, evaluation.self_rows)] if found else []
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            (workdir / name).unlink(missing_ok=True)
        if curves:
            write_json(workdir / "curves.json", curves)
            partial = workdir / ".precision_recall.partial"
            partial.write_text(pictures.precision_recall(curves))
            partial.replace(workdir / "precision_recall.svg")
        report.write_results(workdir / "results.json", evaluation.found)
    except OSError as error:
        raise InputError(f"{workdir}: cannot be written: {error.strerror or error}.") from error
    return list(FILES if curves else FILES[:2])


def _check_workdir(workdir: Path) -> None:
    """A folder with anything but an earlier evaluation, such as an experiment's, is left alone."""
    there = next(path for path in (workdir, *workdir.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise InputError(f"{workdir}: --workdir: expected a folder that can be written, found {there}, which can't.")
    names = sorted(path.name for path in workdir.iterdir()) if workdir.is_dir() else []
    others = [name for name in names if name not in FILES and not name.endswith((".part", ".partial"))]
    if others:
        raise InputError(f"{workdir}: --workdir: expected a new or empty folder, found {others[0]!r} in it.")


# ---- the command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jhash.evaluate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--query", required=True, metavar="FILE", help="codes of the queries")
    parser.add_argument("--database", required=True, metavar="FILE", help="codes of the items searched")
    parser.add_argument("--query-labels", required=True, metavar="FILE")
    parser.add_argument("--database-labels", required=True, metavar="FILE", help="class numbers are matched by value")
    known = f"{', '.join(measures.PRESETS)}; repeatable"
    parser.add_argument("--preset", required=True, action="append", metavar="NAME", help=known)
    parser.add_argument("--ties", metavar="RULE", help="stable, shuffled, expected, optimistic or pessimistic")
    parser.add_argument("--cutoffs", metavar="K,K,all", help="other cut-offs of mAP than the preset's")
    parser.add_argument("--precision-at", metavar="K,K", help="ranks at which to give precision")
    parser.add_argument("--ndcg-at", metavar="K,K", help="ranks at which to give NDCG by the number of labels shared")
    parser.add_argument("--radii", metavar="R,R", help="radii of hash look-ups")
    parser.add_argument("--self-rows", metavar="FILE", help="each query's own database row, from 0; or: same")
    parser.add_argument("--seed", type=int, default=0, help="of ties shuffled")
    parser.add_argument("--bits", type=int, metavar="K", help="length of the codes, where their files leave it open")
    parser.add_argument("--packed", action="store_true", help="codes are packed bytes")
    parser.add_argument(
        "--bit-order", default="big", choices=BIT_ORDERS, help="of packed bytes; numpy.packbits' is big"
    )
    parser.add_argument("--name", nargs="+", default=["codes"], metavar=("METHOD", "DATASET"), help="for the table")
    parser.add_argument("--workdir", type=Path, metavar="W", help="where results.json and the curve are written")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON and nothing else")
    return parser


def _numbers(option: str, text: str | None) -> list[int | None] | None:
    """'5,100,all' -> [5, 100, None]."""
    if text is None:
        return None
    words = list(dict.fromkeys(word.strip() for word in text.split(",")))
    for word in words:
        if not word.isdecimal() and not (word == "all" and option == "--cutoffs"):
            either = " or all" if option == "--cutoffs" else ""
            raise InputError(f"{option}: expected whole numbers{either}, with commas between, found {text!r}.")
    return [None if word == "all" else int(word) for word in words]


def _evaluate(options: argparse.Namespace, say: Callable[[str], None]) -> Evaluation:
    if len(options.name) > 2:
        raise InputError(f"--name: expected a method and a dataset, found {len(options.name)} names.")
    named = dict(zip(("method", "dataset"), options.name, strict=False))
    form: dict[str, Any] = {"bits": options.bits, "packed": options.packed, "bit_order": options.bit_order}
    return evaluate_arrays(
        *(options.query, options.database, options.query_labels, options.database_labels, options.preset),
        ties=options.ties,
        cutoffs=_numbers("--cutoffs", options.cutoffs),
        precision_ranks=_numbers("--precision-at", options.precision_at) or (),
        ndcg_ranks=_numbers("--ndcg-at", options.ndcg_at) or (),
        radii=_numbers("--radii", options.radii) or (),
        self_rows=options.self_rows,
        seed=options.seed,
        say=say,
        **form,
        **named,
    )


def _run(options: argparse.Namespace) -> None:
    say = (lambda line: None) if options.json else print
    if options.workdir is not None:
        _check_workdir(options.workdir)
    evaluation = _evaluate(options, say)
    written = [] if options.workdir is None else write(options.workdir, evaluation)
    if options.json:
        print(json.dumps(evaluation.rows, indent=1, allow_nan=False))
        return
    columns = sorted(dict.fromkeys((row["metric"], row["k"]) for row in evaluation.rows), key=lambda it: it[0] != "map")
    print("\n" + report.table(evaluation.rows, columns=columns))
    if written:
        without = "" if len(written) > 2 else " No curve: nothing was found."
        print(f"{options.workdir}: {', '.join(written)}.{without}")


def main(arguments: list[str] | None = None) -> int:
    """Scores and prints; 0, 2 behind one sentence on stderr, or 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    return exit_code(lambda: _run(options), "stopped; the same command begins again")


if __name__ == "__main__":
    sys.exit(main())
