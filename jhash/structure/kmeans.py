"""k-means over more rows than memory holds, the nearest centres of every row, and the centres' principal components."""

import mmap
from collections.abc import Callable, Iterator
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jhash.types import InputError, Key

# A float32 product may swap near neighbours: so many more candidates than asked for are measured exactly.
SPARE_CANDIDATES = 4
EXACT_ELEMENTS = 2**21  # differences held at a time while distances are recomputed


class KMeans(NamedTuple):
    """A clustering of N rows."""

    centres: np.ndarray  # [M, F] float32
    nearest: np.ndarray  # [N] int32, each row's nearest centre
    inertia: float  # sum over rows of the squared distance to the nearest centre
    reseeded: int  # how often an empty cluster was given a far row
    empty: int  # clusters without a row at the end: fewer distinct rows than centres, or emptied by the last update


def kmeans(
    x: np.ndarray,
    centres: int,
    *,
    key: Key,
    iterations: int = 16,
    block: int = 4096,
    start: np.ndarray | None = None,
    log: Callable[[str], None] | None = None,
) -> KMeans:
    """Lloyd's k-means, x read in blocks of rows: memory is one block of scores [block, M] beside the centres.

    The first centres are `start` [M, F] or distinct rows of x drawn from the key. A cluster that comes out empty takes
    the row farthest from its own centre out of that row's cluster (the next farthest for the next empty cluster; never
    a cluster's only row, never a row that lies on its centre). It ends after `iterations` updates, or when no row
    changes its centre. Equal calls give equal bits, whether x [N, F] is an array or a memory-mapped file.

    Raises InputError for fewer rows than centres, NaN or infinite values, a start of another shape.
    """
    _check_rows(x)
    items, width = x.shape
    if not 1 <= centres <= items:
        raise InputError(f"k-means: expected between 1 and {items} centres for {items} items, found {centres}.")
    if start is None:
        rows = np.sort(generator(key).choice(items, centres, replace=False))
        position = np.concatenate([_read(x, row, row + 1) for row in rows.tolist()]).astype(np.float32)
    else:
        position = np.array(start, np.float32)
        if position.shape != (centres, width):
            raise InputError(f"k-means: expected start of shape {(centres, width)}, found {position.shape}.")

    nearest = np.full(items, -1, np.int32)
    reseeded = 0
    for update in range(iterations + 1):
        previous = nearest
        nearest, squared, sums = _assign(x, position, block, check=update == 0)
        counts = np.bincount(nearest, minlength=centres)
        moved = int(np.count_nonzero(nearest != previous))
        if log is not None:
            inertia = squared.sum(dtype=np.float64)
            log(f"k-means {update}/{iterations}: inertia {inertia:.6g}, {moved} items moved, {reseeded} reseeded")
        if update == iterations:
            break
        far = _farthest_rows(nearest, squared, counts)
        if moved == 0 and not len(far):
            break
        for empty, row in zip(np.flatnonzero(counts == 0), far, strict=False):
            value = _read(x, row, row + 1)[0].astype(np.float64)
            sums[nearest[row]] -= value
            counts[nearest[row]] -= 1
            sums[empty] = value
            counts[empty] = 1
            reseeded += 1
        filled = counts > 0
        position[filled] = sums[filled] / counts[filled, None]
    return KMeans(position, nearest, float(squared.sum(dtype=np.float64)), reseeded, int((counts == 0).sum()))


def nearest_centres(x: np.ndarray, centres: np.ndarray, p: int, *, block: int = 4096) -> tuple[np.ndarray, np.ndarray]:
    """The p nearest of centres [M, F] to each row of x [N, F]: (index [N, p] int32, distance [N, p] float32).

    Euclidean, nearest first, equal distances by the smaller index. One matrix product names candidates; distances are
    then taken from the differences themselves, since |x|^2 - 2xc + |c|^2 cancels in float32.

    Raises InputError for fewer than p centres, another width, NaN or infinite values.
    """
    _check_rows(x)
    if centres.ndim != 2 or centres.shape[1] != x.shape[1]:
        raise InputError(f"nearest centres: expected centres [M, {x.shape[1]}], found {list(centres.shape)}.")
    count = len(centres)
    if not 1 <= p <= count:
        raise InputError(f"nearest centres: expected p between 1 and the {count} centres, found {p}.")
    centres = np.asarray(centres, np.float32)
    about = _centred(centres)
    candidates = min(count, p + SPARE_CANDIDATES)
    index = np.empty((len(x), p), np.int32)
    distance = np.empty((len(x), p), np.float32)
    for first, rows in _blocks(x, block, check=True):
        scores = np.asarray(_scores(rows, *about))
        if candidates < count:
            near = np.sort(np.argpartition(scores, candidates - 1, axis=1)[:, :candidates], axis=1)
        else:
            near = np.broadcast_to(np.arange(count), (len(rows), count))
        squared = _squared_distances(rows, centres, near)
        order = np.argsort(squared, axis=1, kind="stable")[:, :p]
        index[first : first + len(rows)] = np.take_along_axis(near, order, axis=1)
        distance[first : first + len(rows)] = np.sqrt(np.take_along_axis(squared, order, axis=1))
    return index, distance


def pca(centres: np.ndarray, dimensions: int) -> np.ndarray:
    """Centres [M, F] on their own principal components: targets [M, dimensions] float32, largest variance first.

    M centres have at most M - 1 components: columns beyond those, or beyond F, are zero. A component's sign is the one
    that makes its largest entry positive.
    """
    chex.assert_rank(centres, 2)
    count, width = centres.shape
    centred = np.asarray(centres, np.float64)
    centred = centred - centred.mean(0)
    if width <= count:
        _, directions = np.linalg.eigh(centred.T @ centred)
        projected = centred @ directions
    else:
        variances, directions = np.linalg.eigh(centred @ centred.T)
        projected = directions * np.sqrt(np.maximum(variances, 0))
    projected = projected[:, ::-1][:, : min(dimensions, count - 1)]
    largest = np.take_along_axis(projected, np.abs(projected).argmax(0)[None], axis=0)
    projected = projected * np.where(largest < 0, -1, 1)
    targets = np.zeros((count, dimensions), np.float32)
    targets[:, : projected.shape[1]] = projected
    return targets


def generator(key: Key) -> np.random.Generator:
    """NumPy's generator, seeded by all the bits of a JAX key."""
    return np.random.default_rng(np.asarray(jax.random.key_data(key)).ravel().tolist())


def _check_rows(x: np.ndarray) -> None:
    if x.ndim != 2:
        raise InputError(f"structures: expected features of rank 2, [items, width], found shape {list(x.shape)}.")


def _blocks(x: np.ndarray, block: int, *, check: bool) -> Iterator[tuple[int, np.ndarray]]:
    """(first row, rows [block, F] float32) in order."""
    for first in range(0, len(x), block):
        rows = np.asarray(_read(x, first, min(first + block, len(x))), np.float32)
        if check and not np.isfinite(rows).all():
            bad = first + int(np.flatnonzero(~np.isfinite(rows).all(1))[0])
            raise InputError(f"structures: expected finite features, found NaN or infinity in item {bad}.")
        yield first, rows


def _read(x: np.ndarray, first: int, last: int) -> np.ndarray:
    """Rows first ... last - 1. Of a mapped file by a plain read: pages once touched would count as this process's."""
    whole_file = isinstance(x, np.memmap) and isinstance(x.base, mmap.mmap) and x.flags.c_contiguous and x.mode != "c"
    if not whole_file or x.filename is None:
        return x[first:last]
    count, start = (last - first) * x.shape[1], x.offset + first * x.strides[0]
    return np.fromfile(x.filename, x.dtype, count=count, offset=start).reshape(last - first, x.shape[1])


def _centred(centres: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(centres about their mean, half their squared norms [M], the mean [F]): a common offset would cost digits."""
    mean = centres.mean(0, dtype=np.float64).astype(np.float32)
    about = centres - mean
    return about, 0.5 * np.einsum("mf,mf->m", about, about), mean


@jax.jit
def _scores(x, centres, half_squares, mean):
    """Half the squared distance less half the row's own square: [b, M], smallest for the nearest centre."""
    product = jax.lax.dot_general(
        x - mean[None, :], centres, (((1,), (1,)), ((), ())), precision=jax.lax.Precision.HIGHEST
    )
    return half_squares[None, :] - product.astype(jnp.float32)


def _assign(x: np.ndarray, centres: np.ndarray, block: int, *, check: bool):
    """One pass: (nearest [N] int32, squared distance to it [N] float32, sums of each cluster's rows [M, F] float64)."""
    nearest = np.empty(len(x), np.int32)
    squared = np.empty(len(x), np.float32)
    sums = np.zeros(centres.shape, np.float64)
    about = _centred(centres)
    for first, rows in _blocks(x, block, check=check):
        chosen = np.asarray(_scores(rows, *about)).argmin(1)
        nearest[first : first + len(rows)] = chosen
        squared[first : first + len(rows)] = _squared_distances(rows, centres, chosen[:, None])[:, 0]
        _add_rows(sums, rows, chosen)
    return nearest, squared, sums


def _add_rows(sums: np.ndarray, rows: np.ndarray, cluster: np.ndarray) -> None:
    """Adds rows [b, F] into sums [M, F] at cluster [b], in the order of the rows."""
    order = np.argsort(cluster, kind="stable")
    clusters, starts = np.unique(cluster[order], return_index=True)
    ends = np.append(starts[1:], len(order))
    for number, start, end in zip(clusters, starts, ends, strict=True):
        sums[number] += rows[order[start:end]].sum(0, dtype=np.float64)


def _squared_distances(rows: np.ndarray, centres: np.ndarray, index: np.ndarray) -> np.ndarray:
    """[b, q] float32: from the differences, the squared distance of each row [b, F] to its centres index [b, q]."""
    squared = np.empty(index.shape, np.float32)
    step = max(1, EXACT_ELEMENTS // (index.shape[1] * rows.shape[1]))
    for first in range(0, len(rows), step):
        part = slice(first, first + step)
        difference = rows[part, None, :] - centres[index[part]]
        squared[part] = np.einsum("bqf,bqf->bq", difference, difference)
    return squared


def _farthest_rows(nearest: np.ndarray, squared: np.ndarray, counts: np.ndarray) -> list[int]:
    """A row for each empty cluster, farthest from its centre first: no cluster's last row, none lying on its centre."""
    wanted = int((counts == 0).sum())
    if not wanted:
        return []
    left = counts.copy()
    taken = []
    for row in np.argsort(-squared, kind="stable"):
        if len(taken) == wanted or squared[row] == 0:
            break
        if left[nearest[row]] > 1:
            left[nearest[row]] -= 1
            taken.append(int(row))
    return taken
