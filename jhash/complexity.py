"""Parameters, operations and time of encoding an item, by a config's method and its baselines.

    python -m jhash.complexity --config configs/dkph_fcvid.py --config.hyper.bits=32
    python -m jhash.complexity --config mcmsh_fcvid --shape 25,4096
    python -m jhash.complexity --config cmgcah_files --shape image=4096 --shape text=1386 --shape labels=24
    python -m jhash.complexity --workdir runs/dkph

No data are needed: without --shape the shapes of items are those of the data where they are on this machine, or else
those that were published. Parameters are drawn at random, or with --workdir those of a trained run. FLOPs are XLA's
count of one item, multiply-adds those of products alone; times are medians in milliseconds, with quartiles.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from ml_collections import ConfigDict

from jhash.checkpoint import BrokenCheckpoint
from jhash.command import exit_code
from jhash.config import baseline, is_paired, method_of
from jhash.cost import Complexity as Complexity
from jhash.cost import Shapes, Timing
from jhash.cost import measure as measure
from jhash.data import published
from jhash.data.load import complete, open_parts
from jhash.data.media import open_medium
from jhash.data.pairs import open_pairs
from jhash.evaluate import load_model
from jhash.launch import CONFIG, read_flags
from jhash.types import InputError, Method, Past

VECTORS = {  # shapes of published items that aren't clips; pictures, where a backbone takes them, are PICTURE
    "wikipedia_deep": {"image": (4096,), "text": (300,), "labels": (10,)},
    "nuswide": {"image": (4096,), "text": (300,), "labels": (10,)},
    "xmedia": {"image": (4096,), "text": (3000,), "audio": (29,), "3d": (4700,), "video": (4096,), "labels": (20,)},
    "mirflickr25k": {"image": (4096,), "text": (1386,), "labels": (24,)},
    "nuswide_tc21": {"image": (4096,), "text": (1000,), "labels": (21,)},
    "mscoco": {"image": (4096,), "text": (2000,), "labels": (80,)},
}
PICTURE = (224, 224, 3)
HEADER = ("method", "medium", "parameters", "of encoding", "FLOPs", "multiply-adds", "exp, tanh, ...", "ms, one")


class Line(NamedTuple):
    """One method and one medium."""

    method: str  # 'dkph (paper), 64 bits'
    modality: str
    found: Complexity


def as_shapes(given: Mapping[str, Sequence[int]]) -> Shapes:
    """Medium -> shape of an item, float32; of three numbers and more it is pixels, uint8, as 'labels' are."""
    return {
        name: jax.ShapeDtypeStruct(tuple(shape), np.uint8 if name == "labels" or len(shape) > 2 else np.float32)
        for name, shape in given.items()
    }


def find_shapes(config: ConfigDict) -> tuple[Shapes, str]:
    """Shapes of a config's items, and where they are from: the data, or what was published of them.

    Raises:
        InputError: neither is there.
    """
    try:
        return _stored(config), "shapes of the data"
    except InputError as error:
        data, found = config.data, {}
        if data.name in published.DATASETS:
            _, frames, channels = published.DATASETS[data.name]["train"].shape
            found = {"video": (data.get("frames") or frames, channels)}
        elif data.name in VECTORS:
            found = {name: VECTORS[data.name][name] for name in (*config.modalities, "labels")}
            if config.hyper.get("backbone") or any(config.hyper.get("backbones") or ()):
                found["image"] = PICTURE
        if not found:
            raise InputError(f"{str(error).rstrip('.')}; without the data, expected --shape.") from error
        return as_shapes(found), "published shapes"


def _stored(config: ConfigDict) -> Shapes:
    """From the tables themselves. Raises InputError: they aren't at hand."""
    data = complete(config.data)
    if "modalities" not in config:
        frames = open_parts(data, config.seed)["train"].columns["frames"]
        return as_shapes({"video": (data["frames"] or frames.shape[0], *frames.shape[1:])})
    if is_paired(config.method):
        tables = open_pairs(data, config.seed, config.modalities).parts["train"]
        classes = next(iter(tables.values())).columns["labels"].shape
    else:
        opened = {medium: open_medium(data, medium) for medium in config.modalities}
        tables = {medium: one.train for medium, one in opened.items()}
        classes = (len({name for one in opened.values() for name in one.classes}),)
    return as_shapes(
        {medium: table.columns["features"].shape for medium, table in tables.items()} | {"labels": classes}
    )


def lines(config: ConfigDict, shapes: Shapes, workdir: Path | None, seed: int) -> list[Line]:
    """The method and its baselines on each medium.

    Args:
        config: of an experiment.
        shapes: of its items.
        workdir: of its run; None: parameters are drawn.
        seed: which of its runs.

    Raises:
        InputError: shapes that a method can't take, or a run that isn't finished.
    """
    found = []
    for name in (config.method, *config.baselines):
        method = method_of(config) if name == config.method else baseline(name, config)
        past = None if workdir is None else _past(workdir, seed, name)
        variant = getattr(method, "described", None)
        named = f"{name if variant is None else f'{name} ({variant})'}, {_length(method)}"
        for modality in shapes:
            if modality != "labels":
                found.append(Line(named, modality, _measured(method, past, shapes, modality, name)))
    return found


def _past(workdir: Path, seed: int, name: str) -> Mapping[str, Past]:
    try:
        return load_model(workdir, seed, name).past
    except BrokenCheckpoint as error:
        raise InputError(f"{workdir}: expected a whole checkpoint, found a damaged one: {error}.") from error


def _length(method: Method) -> str:
    return "real" if method.real else f"{method.bits} bits"


def _measured(method: Method, past, shapes: Shapes, modality: str, name: str) -> Complexity:
    try:
        return measure(method, past, shapes, modality)
    except (TypeError, ValueError, KeyError) as error:  # what networks say of items of other shapes
        said = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        found = {one: list(struct.shape) for one, struct in shapes.items()}
        raise InputError(f"--shape: expected shapes that {name} takes, found {found} ({said}).") from error


def table(found: Sequence[Line]) -> str:
    """Plain text, a line for each method and medium."""
    batched = max((line.found.batched.batch for line in found if line.found.batched), default=1)
    rows = [(*HEADER, f"ms, of {batched}")]
    for line in found:
        one = line.found
        numbers = (one.parameters, one.parameters_encode, one.flops, one.multiply_adds, one.transcendentals)
        times = (_time(one.single), _time(one.batched, batched))
        rows.append((line.method, line.modality, *(f"{number:,.0f}" for number in numbers), *times))
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < 2 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _time(timing: Timing | None, batch: int = 1) -> str:
    if timing is None:
        return "-"
    fewer = "" if timing.batch == batch else f", of {timing.batch}"
    return f"{timing.median:.3g} ({timing.low:.3g} to {timing.high:.3g}{fewer})"


def _fields(line: Line) -> dict[str, Any]:
    one = dataclasses.asdict(line.found)
    times = {name: None if one[name] is None else one[name]._asdict() for name in ("single", "batched")}
    return {"method": line.method, "modality": line.modality} | one | times


# ---- the command


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m jhash.complexity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--config", metavar="C", help="an experiment; --config.x=y changes a field of it")
    parser.add_argument("--workdir", type=Path, metavar="W", help="a finished run, in place of --config")
    parser.add_argument("--seed", type=int, metavar="S", help="which of its runs; the first by default")
    parser.add_argument(
        "--shape", action="append", metavar="[MEDIUM=]N,N", help="of an item, without the batch; labels=C: classes"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON and nothing else")
    return parser


def _config(options: argparse.Namespace, changes: Sequence[str]) -> ConfigDict:
    if (options.config is None) == (options.workdir is None):
        raise InputError("--config: expected either it or --workdir, found " + ("both." if options.config else "none."))
    if options.workdir is None:
        read_flags(["complexity", f"--config={options.config}", *changes])
        return CONFIG.value
    if changes:
        raise InputError(f"command line: expected nothing more beside --workdir, found {changes[0]!r}.")
    try:
        return ConfigDict(json.loads((options.workdir / "config.json").read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise InputError(f"{options.workdir}: expected the workdir of an experiment ({error}).") from error


def _given_shapes(words: Sequence[str], config: ConfigDict) -> Shapes:
    """['image=224,224,3', 'text=1386'], or ['25,4096'] of clips."""
    found = {}
    for word in words:
        name, equals, numbers = word.rpartition("=")
        sizes = numbers.split(",")
        if not all(size.strip().isdecimal() and int(size) > 0 for size in sizes):
            raise InputError(f"--shape: expected whole numbers above 0, with commas between, found {word!r}.")
        found[name if equals else "video"] = tuple(map(int, sizes))
    media = tuple(config.get("modalities", ("video",)))
    missing = [name for name in media if name not in found]
    others = [name for name in found if name not in (*media, "labels")]
    if missing or others:
        raise InputError(f"--shape: expected one for each of {', '.join(media)}, found {', '.join(found)}.")
    if "modalities" not in config and len(found["video"]) != 2:
        raise InputError(f"--shape: expected frames and width of a clip, as in 25,4096, found {found['video']}.")
    return as_shapes(found)


def _run(options: argparse.Namespace, changes: list[str]) -> None:
    config = _config(options, changes)
    given = options.shape is not None
    shapes, source = (_given_shapes(options.shape, config), "given shapes") if given else find_shapes(config)
    found = lines(config, shapes, options.workdir, config.seed if options.seed is None else options.seed)
    if options.json:
        print(json.dumps([_fields(line) for line in found], indent=1, allow_nan=False))
        return
    items = ", ".join(f"{name} {list(struct.shape)} {struct.dtype}" for name, struct in shapes.items())
    weights = "drawn parameters" if options.workdir is None else "trained parameters"
    print(f"{items} ({source}, {weights}), on {jax.default_backend()}\n{table(found)}")


def main(arguments: list[str] | None = None) -> int:
    """Measures and prints; 0, 2 behind one sentence on stderr, or 130 after Ctrl-C."""
    options, changes = _parser().parse_known_args(arguments)
    return exit_code(lambda: _run(options, changes))


if __name__ == "__main__":
    sys.exit(main())
