"""What encoding an item costs: parameters, operations, and time."""

import dataclasses
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jhash.data.dataset import Dataset
from jhash.data.source import ArrayTable, SideBySide, block_rows
from jhash.evaluate import encode, encoder
from jhash.types import InputError, Method, Past, Stage, Table, TrainState, Tree

Shapes = Mapping[str, jax.ShapeDtypeStruct]  # modality -> one item; 'labels' -> [classes], where a method wants them
BATCH = 256
SECONDS = 0.5  # of one timing
QUICKER = 4  # so many times as an item by itself, about, is one among many encoded
IN_RUN = 4e10  # operations that a run spends on one: a second or two of a few cores
ITEMS, FEW = 65_536, 64  # of the tables that an untrained method is given: to count, and to compute with


class Timing(NamedTuple):
    """Milliseconds an item: the median of some repeats, and their quartiles."""

    median: float
    low: float
    high: float
    batch: int  # items encoded at once


@dataclasses.dataclass(frozen=True)
class Complexity:
    """Of one method and one medium.

    `flops` are XLA's count for the program before it is compiled, so that they don't depend on the machine: products
    and elementwise operations alike, one turn of a loop whose length it can't see (an LSTM's). `multiply_adds` are
    those of products and convolutions alone, every turn of a loop counted, as papers print them. They are of what is
    computed here: MCMSH's pooling and grouped convolutions are whole products, so it has 48.9 million for the 46.0
    million that its layers need.
    """

    parameters: int  # trained in all stages, for all media; of a closed form those that it found
    parameters_encode: int  # that the encoding of this medium reads; running statistics aren't parameters
    flops: float  # of one item
    multiply_adds: int  # of one item
    transcendentals: float  # of one item: exp, tanh, ..., which `flops` leave out
    single: Timing | None = None  # at batch 1; None: not timed
    batched: Timing | None = None  # at batch 256, or fewer where so many would take too long


def measure(
    method: Method, past: Mapping[str, Past] | None, shapes: Shapes, modality: str, *, seconds: float = SECONDS
) -> Complexity:
    """Counts and times the encoding of one medium.

    Args:
        method: any method.
        past: what its stages left; None: parameters are drawn, which have the same shapes.
        shapes: of one item of each medium, `modality` among them.
        modality: 'video', or a medium.
        seconds: of each of two timings, about so many, the second up to four times; 0 times nothing.

    Raises:
        InputError: shapes that the method can't take.
    """
    past = untrained(method, shapes) if past is None else past
    found = _counts(past, _traces(method, past, shapes))[modality]
    if seconds <= 0:
        return found
    single = _timed(method, past, shapes, modality, 1, seconds)
    batch = int(np.clip(QUICKER * 1000 * seconds / single.median, 1, BATCH))
    return dataclasses.replace(found, single=single, batched=_timed(method, past, shapes, modality, batch, seconds))


# ---- counts


def _traces(method: Method, past: Mapping[str, Past], shapes: Shapes) -> dict[str, jax.stages.Traced]:
    """The encoding of one item, by medium."""
    given = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), dict(past))
    media = [one for one in shapes if one != "labels"]
    return {one: jax.jit(encoder(method, one)).trace(given, _inputs(method, shapes, one, 1)) for one in media}


def _inputs(method: Method, shapes: Shapes, modality: str, batch: int) -> dict[str, jax.ShapeDtypeStruct]:
    (column,), item = method.inputs, shapes[modality]
    return {column: jax.ShapeDtypeStruct((batch, *item.shape), item.dtype)}


def _counts(past: Mapping[str, Past], traces: Mapping[str, jax.stages.Traced]) -> dict[str, Complexity]:
    """All but the times, by medium."""
    read = {modality: _read(past, traced) for modality, traced in traces.items()}
    found = {}
    for modality, traced in traces.items():
        with jax.default_device(_counting_device()):
            said = traced.lower().cost_analysis() or {}
        found[modality] = Complexity(
            parameters=_trained(past, {name for paths in read.values() for name in paths}),
            parameters_encode=sum(read[modality].values()),
            flops=float(said.get("flops", 0.0)),
            multiply_adds=_products(traced.jaxpr.jaxpr),
            transcendentals=float(said.get("transcendentals", 0.0)),
        )
    return found


def _counting_device() -> jax.Device | None:
    """The CPU, for a GPU's compiler doesn't say what it counts; None where JAX was told to do without one."""
    try:
        return jax.devices("cpu")[0]
    except RuntimeError:
        return None


def _read(past: Mapping[str, Past], traced: jax.stages.Traced) -> dict[tuple, int]:
    """(stage, 'params' | 'kept', ...) -> size of each array that an equation of the encoding uses."""
    jaxpr = traced.jaxpr.jaxpr
    used = {id(variable) for equation in jaxpr.eqns for variable in equation.invars}
    arrays = jax.tree_util.tree_leaves_with_path(dict(past))
    return {
        (path[0].key, path[1].name, *path[2:]): math.prod(np.shape(array))
        for (path, array), variable in zip(arrays, jaxpr.invars, strict=False)  # the inputs come behind the arrays
        if id(variable) in used and path[1].name != "collections"
    }


def _trained(past: Mapping[str, Past], read: set[tuple]) -> int:
    """Parameters of all stages; of those that train none, what they found, where an encoding reads of it."""
    found = {name for name, field, *_ in read if field == "kept" and not jax.tree.leaves(past[name].params)}
    trees = [left.params for left in past.values()] + [past[name].kept for name in found]
    return sum(math.prod(np.shape(leaf)) for leaf in jax.tree.leaves(trees))


def _products(jaxpr: Any) -> int:
    """Multiply-adds of all products and convolutions of a jaxpr and of those inside it."""
    total = 0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "dot_general":
            (contracted, _), _ = params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            total += equation.outvars[0].aval.size * math.prod(left[axis] for axis in contracted)
        elif name == "conv_general_dilated":
            kernel, outputs = equation.invars[1].aval.shape, params["dimension_numbers"].rhs_spec[0]
            total += equation.outvars[0].aval.size * math.prod(kernel) // kernel[outputs]
        else:
            turns = params["length"] if name == "scan" else 1
            total += turns * sum(_products(inner) for inner in _inside(params))
    return total


def _inside(params: Mapping[str, Any]) -> Iterator[Any]:
    for value in params.values():
        for one in value if isinstance(value, (tuple, list)) else (value,):
            inner = getattr(one, "jaxpr", one)
            if hasattr(inner, "eqns"):
                yield inner


# ---- time


def _timed(method: Method, past, shapes: Shapes, modality: str, batch: int, seconds: float) -> Timing:
    """Of items that lie on the device already, by a program that is compiled and warm."""
    past = jax.device_put(dict(past))
    inputs = {
        column: jax.device_put(_drawn(struct, np.random.default_rng(0)))
        for column, struct in _inputs(method, shapes, modality, batch).items()
    }
    compiled = jax.jit(encoder(method, modality)).lower(past, inputs).compile()
    compiled(past, inputs).block_until_ready()
    return _repeated(lambda: compiled(past, inputs).block_until_ready(), batch, seconds)


def _repeated(work: Callable[[], Any], batch: int, seconds: float) -> Timing:
    """Does it over and over for about so many seconds, once at least."""
    taken, end = [], time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        clock = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - clock) / batch)
    low, median, high = np.percentile(taken, [25, 50, 75]).tolist()
    return Timing(median, low, high, batch)


def of_run(method: Method, past: Mapping[str, Past], dataset: Dataset) -> dict[str, Any]:
    """What complexity.json says of a method that has just encoded a dataset: in a second or two, nothing compiled anew.

    Returns `parameters`, `parameters_encode`, `flops` and `milliseconds` of an item, and `batch`, how many were encoded
    at once: a block as the run encodes them, lying in memory, codes coming back to it. Of several media also `media`,
    the same for each; the figures above are then means, but `parameters_encode`, which is what any of them reads.
    """
    tables = {}
    for part in dataset.parts:
        table, modality = dataset.tables[part], dataset.modalities[part]
        if modality not in tables or len(table) > len(tables[modality]):
            tables[modality] = table
    (column,) = method.inputs
    traces = _traces(method, past, {modality: table.columns[column] for modality, table in tables.items()})
    placed, by_medium = jax.device_put(dict(past)), {}
    for modality, found in _counts(past, traces).items():
        table = tables[modality]
        rows = int(np.clip(IN_RUN / max(found.flops, 1.0), 1, block_rows(table, [column])))
        items = ArrayTable(table.name, table.read(np.arange(rows), [column]))
        timing = _repeated(lambda some=items, one=modality: encode(method, placed, some, one), rows, 0.1)
        fields = {name: getattr(found, name) for name in ("parameters", "parameters_encode", "flops")}
        by_medium[modality] = fields | {"milliseconds": timing.median, "batch": rows}
    if len(by_medium) == 1:
        return next(iter(by_medium.values()))
    read = {path: size for traced in traces.values() for path, size in _read(past, traced).items()}
    means = {name: float(np.mean([one[name] for one in by_medium.values()])) for name in ("flops", "milliseconds")}
    whole = {"parameters": next(iter(by_medium.values()))["parameters"], "parameters_encode": sum(read.values())}
    return whole | means | {"media": by_medium}


def _drawn(struct: jax.ShapeDtypeStruct, random: np.random.Generator) -> np.ndarray:
    """Numbers that are large enough to be no denormals, which some machines are slow at."""
    if np.issubdtype(struct.dtype, np.floating) or struct.dtype == jax.numpy.bfloat16:
        return random.uniform(0.001, 0.02, struct.shape).astype(struct.dtype)
    return random.integers(0, 2 if struct.dtype == bool else 100, struct.shape).astype(struct.dtype)


# ---- an untrained method


def untrained(method: Method, shapes: Shapes) -> dict[str, Past]:
    """What the method's stages would leave after training on items of these shapes, with drawn numbers.

    Pretrained weights are drawn too: their file isn't read.

    Raises:
        InputError: shapes that the method can't take; no 'labels' where it wants them.
    """
    random = np.random.default_rng(0)
    drawn = [field for field in dataclasses.fields(method) if field.name == "weights"]
    method = dataclasses.replace(method, **{field.name: field.default for field in drawn})
    media = [name for name in shapes if name != "labels"]
    missing = sorted({column.split(":")[0] for column in method.columns if ":" in column} - set(media))
    if missing:
        raise InputError(f"shapes: expected one of each of the method's media, found none of {missing[0]!r}.")
    if "labels" not in shapes and any(column.split(":")[-1] == "labels" for column in method.columns):
        raise InputError("shapes: expected 'labels', the number of classes, which the method learns from, found none.")
    some = _tables(method, shapes, media, FEW, lambda struct: _drawn(struct, random))
    many = _tables(
        method, shapes, media, ITEMS, lambda struct: np.broadcast_to(np.zeros((), struct.dtype), struct.shape)
    )
    past: dict[str, Past] = {}
    for stage in method.stages(many):
        context, (params, collections) = _begun(method, stage, past, some, many)
        state = TrainState(jax.ShapeDtypeStruct((), np.int32), params, collections, {})
        kept = jax.eval_shape(lambda given, s=stage: method.conclude(s, *given), (context, state))
        past[stage.name] = jax.tree.map(lambda struct: _drawn(struct, random), Past(params, collections, kept))
    return past


def _tables(method: Method, shapes: Shapes, media, number: int, make: Callable) -> dict[str, Table]:
    """The tables of a run, as `jhash.data` names them."""

    def table(modality: str, column: str) -> Table:
        structs = {column: shapes[modality]} | ({"labels": shapes["labels"]} if "labels" in shapes else {})
        batches = {name: jax.ShapeDtypeStruct((number, *one.shape), one.dtype) for name, one in structs.items()}
        return ArrayTable(modality, {name: make(struct) for name, struct in batches.items()})

    if "frames" in method.inputs:
        return {"train": table(media[0], "frames")}
    own = {medium: table(medium, "features") for medium in media}
    tables: dict[str, Table] = {f"{medium}/train": one for medium, one in own.items()}
    if getattr(method, "paired", False):
        return tables | {"pairs": SideBySide(own, "pairs")}
    return own | tables | {"all/together": SideBySide(own, "all media")}


def _begun(method: Method, stage: Stage, past, some, many) -> tuple[Tree, tuple[Tree, Tree]]:
    """The context of a stage, and shapes of its parameters and collections.

    Few networks ask for their context, and structures of thousands of centres can't be found in a few items: only a
    closed form, and a network that does ask, is given one.
    """
    example = {
        name: np.zeros((1, *many[stage.table].columns[name].shape), many[stage.table].columns[name].dtype)
        for name in method.columns
        if name in many[stage.table].columns
    }
    key = jax.random.key(0)

    def begun(context):
        return jax.eval_shape(lambda given, k: method.init(stage, past, context, given, k), example, key)

    try:
        if stage.steps:
            return {}, begun({})
    except KeyError:
        pass
    with tempfile.TemporaryDirectory() as scratch:
        context = method.prepare(stage, past, some, key, Path(scratch))
    return context, begun(context)
