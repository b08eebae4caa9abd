"""Published weights of the backbones: a file that the user has -> Flax variables, each entry checked before it is read.

python -m jhash.weights vgg16.safetensors --backbone vgg16 vgg16.npz
"""

import argparse
import contextlib
import functools
import os
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import flax.linen as nn
import h5py
import jax
import numpy as np
import scipy.io
from flax.traverse_util import flatten_dict, unflatten_dict

from jhash import command
from jhash.encoders.c3d import C3D
from jhash.encoders.cnn_f import CNNF
from jhash.encoders.resnet import ResNet
from jhash.encoders.vgg import BLOCKS, VGG
from jhash.types import InputError, Tree

PICKLES = {".pt", ".pth", ".pkl", ".pickle", ".bin", ".ckpt", ".tar"}
FLOATS = {"F16": "float16", "F32": "float32", "F64": "float64"}  # as safetensors calls them
TORCH = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
MATCONVNET = {"kernel": "filters", "bias": "biases"}
MAT_BYTES = 2**30  # of a .mat file when unpacked: the published CNN-F has 243 MB


class Backbone(NamedTuple):
    """A network and what its published weights were made for."""

    module: nn.Module
    items: tuple[int, ...]  # shape of one item
    grid: tuple[int, ...]  # places of the map that fc6 flattens
    classifier: str  # the layer that files may have and nobody needs


BACKBONES = {
    "vgg16": Backbone(VGG(16), (224, 224, 3), (7, 7), "classifier.6"),
    "vgg19": Backbone(VGG(19), (224, 224, 3), (7, 7), "classifier.6"),
    "resnet50": Backbone(ResNet(), (224, 224, 3), (), "fc"),
    "cnn_f": Backbone(CNNF(), (224, 224, 3), (6, 6), "fc8"),
    "c3d": Backbone(C3D(), (16, 112, 112, 3), (1, 4, 4), "fc8"),
}


class Entry(NamedTuple):
    """An array in a file, not read yet."""

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]


class Wanted(NamedTuple):
    """An array that the backbone needs."""

    path: tuple[str, ...]  # in the variables
    shape: tuple[int, ...]  # in the file
    arrange: Callable[[np.ndarray], np.ndarray]  # from the file's layout to flax's


def read_weights(path: Path, backbone: str) -> Tree:
    """Weights from a file -> {'params': ..., 'batch_stats': ...} in float32, for the module of `BACKBONES[backbone]`.

    Files: a state dict as .safetensors or .npz, with torchvision's names (VGG, ResNet), those of C3D's usual ports
    ('conv3a.weight') or CNN-F's ('conv3.weight', and its mean image as 'mean' [H, W, 3]); CNN-F's published MatConvNet
    .mat; an .npz that this module wrote. Names and shapes are checked before anything is read; the classifier is left.

    Args:
        path: the file.
        backbone: 'vgg16', 'vgg19', 'resnet50', 'cnn_f' or 'c3d'.

    Raises:
        InputError: no such file, cut short, a pickle, or an entry that is missing, unknown, of a wrong shape or type,
            or not finite.
    """
    path = Path(path)
    if backbone not in BACKBONES:
        raise InputError(f"{path}: expected a backbone among {', '.join(BACKBONES)}, found {backbone!r}.")
    if path.suffix.lower() in PICKLES:
        raise InputError(
            f"{path}: is a pickle, which is never loaded; where torch is, turn it into a .safetensors: python -c "
            f"\"import torch, safetensors.torch as s; s.save_file(torch.load('{path.name}', weights_only=True), "
            f"'{path.stem}.safetensors')\"."
        )
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    kinds = {".npz": _npz, ".safetensors": _safetensors} | ({".mat": _matconvnet} if backbone == "cnn_f" else {})
    if path.suffix.lower() not in kinds:
        raise InputError(f"{path}: expected {backbone} as {' or '.join(kinds)}, found {path.suffix or 'no ending'}.")
    return _read(path, kinds[path.suffix.lower()], backbone)


def write_weights(path: Path, variables: Tree, backbone: str) -> None:
    """Writes variables as an .npz ('params/fc6/kernel'), reads it again, and only then gives it its name.

    Raises:
        InputError: it cannot be written, or is not what was written.
    """
    path = Path(path)
    part = path.with_name(path.name + ".part")
    arrays = flatten_dict(variables, sep="/")
    try:
        with open(part, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        written = flatten_dict(_read(part, _npz, backbone), sep="/")
        if any(not np.array_equal(written[name], array) for name, array in arrays.items()):
            raise InputError(f"{path}: expected what was written, found other values: the disk may be damaged.")
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path, opened: Callable, backbone: str) -> Tree:
    try:
        with opened(path) as found:
            ours = all(name.startswith(("params/", "batch_stats/")) for name in found)
            layout = _ours if ours else _as_matconvnet if opened is _matconvnet else _as_torch
            wanted, leave = layout(BACKBONES[backbone])
            _check_entries(path, found, wanted, leave, backbone)
            arrays = {want.path: _take(path, name, found[name], want) for name, want in wanted.items()}
    except (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{path}: not a whole {path.suffix} file (cut short or damaged): {error}") from error
    return {"params": {}, "batch_stats": {}} | unflatten_dict(arrays)


def _check_entries(path: Path, found: dict[str, Entry], wanted: dict[str, Wanted], leave: Callable, backbone: str):
    for name, want in wanted.items():
        if name not in found:
            first = f"{len(found)} others, the first {next(iter(found))!r}" if found else "nothing"
            raise InputError(f"{path}: {backbone} expects {name!r} of shape {list(want.shape)}, found {first}.")
        entry = found[name]
        if entry.shape != want.shape:
            raise InputError(f"{path}: {name!r} must have shape {list(want.shape)}, found {list(entry.shape)}.")
        if entry.dtype not in FLOATS.values():
            raise InputError(f"{path}: {name!r} must be {', '.join(FLOATS.values())}, found {entry.dtype}.")
    for name in found:
        if name not in wanted and not leave(name):
            raise InputError(f"{path}: {backbone} expects its {len(wanted)} entries and a classifier, found {name!r}.")


def _take(path: Path, name: str, entry: Entry, want: Wanted) -> np.ndarray:
    with np.errstate(over="ignore"):  # what float32 cannot hold is found below
        array = entry.read().astype(np.float32)
    if not np.isfinite(array).all():
        place = np.argwhere(~np.isfinite(array))[0]
        raise InputError(f"{path}: {name!r} must be finite, found {array[tuple(place)]} at {place.tolist()}.")
    return np.ascontiguousarray(want.arrange(array))


# What the backbones want, in each layout: name in the file -> Wanted, and which other names may be left.


def _leaves(backbone: Backbone) -> dict[tuple[str, ...], tuple[int, ...]]:
    """Path in the variables -> shape, without allocating any."""
    items = jax.ShapeDtypeStruct((1, *backbone.items), np.uint8)
    variables = jax.eval_shape(backbone.module.init, jax.random.key(0), items)
    return {path: leaf.shape for path, leaf in flatten_dict(variables).items()}


def _ours(backbone: Backbone) -> tuple[dict[str, Wanted], Callable]:
    wanted = {"/".join(path): Wanted(path, shape, lambda a: a) for path, shape in _leaves(backbone).items()}
    return wanted, lambda name: False


def _as_torch(backbone: Backbone) -> tuple[dict[str, Wanted], Callable]:
    prefixes, wanted = _torch_prefixes(backbone.module), {}
    for path, shape in _leaves(backbone).items():
        layer, leaf = "_".join(path[1:-1]), path[-1]
        name = f"{prefixes.get(layer, layer.replace('_', '.'))}.{TORCH[leaf]}" if layer else leaf
        if leaf == "kernel":
            grid = backbone.grid if layer == "fc6" else shape[:-2]
            stored = (shape[-1], shape[-2], *shape[:-2])
            wanted[name] = Wanted(path, stored, functools.partial(_kernel_from_torch, shape=shape, grid=grid))
        else:
            wanted[name] = Wanted(path, shape, lambda a: a)
    spare = (f"{backbone.classifier}.weight", f"{backbone.classifier}.bias")
    return wanted, lambda name: name in spare or name.endswith(".num_batches_tracked")


def _kernel_from_torch(array: np.ndarray, shape: tuple[int, ...], grid: tuple[int, ...]) -> np.ndarray:
    """[out, in, *grid], of fc6 flattened as [out, in · grid] -> [*grid, in, out] in flax's shape."""
    array = array.reshape(shape[-1], -1, *grid)
    return array.transpose(*range(2, array.ndim), 1, 0).reshape(shape)


def _torch_prefixes(module: nn.Module) -> dict[str, str]:
    """VGG's layer -> its name in torchvision, where convolutions, ReLUs and poolings are counted in one row.

    In the other backbones a layer's name is the state dict's, with _ for the dots.
    """
    if not isinstance(module, VGG):
        return {}
    prefixes, place = {"fc6": "classifier.0", "fc7": "classifier.3"}, 0
    for block, convolutions in enumerate(BLOCKS[module.depth]):
        for i in range(convolutions):
            prefixes[f"conv{block + 1}_{i + 1}"] = f"features.{place}"
            place += 2
        place += 1
    return prefixes


def _as_matconvnet(backbone: Backbone) -> tuple[dict[str, Wanted], Callable]:
    wanted = {}
    for path, shape in _leaves(backbone).items():
        layer, leaf = path[-2], path[-1]
        if path == ("batch_stats", "mean"):
            wanted["averageImage"] = Wanted(path, shape, lambda a: a)
            continue
        stored = shape
        if leaf == "kernel" and layer.startswith("fc"):  # a convolution over the whole map
            grid = backbone.grid if layer == "fc6" else (1, 1)
            stored = (*grid, shape[0] // int(np.prod(grid)), shape[1])
        wanted[f"{layer}.{MATCONVNET[leaf]}"] = Wanted(path, stored, functools.partial(np.reshape, shape=shape))
    spare = (f"{backbone.classifier}.filters", f"{backbone.classifier}.biases")
    return wanted, lambda name: name in spare


# How each kind of file is opened: name -> Entry.


@contextlib.contextmanager
def _npz(path: Path) -> Iterator[dict[str, Entry]]:
    with zipfile.ZipFile(path) as archive:
        yield {member.filename.removesuffix(".npy"): _npy(path, archive, member) for member in archive.infolist()}


def _npy(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Entry:
    """One array by its header alone: a file that unpacks to more than its header says is never unpacked further."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(file)
    if dtype.hasobject:
        raise InputError(f"{path}: {member.filename!r} is a pickle, which is never loaded: save arrays of numbers.")

    def read():
        with archive.open(member) as file:
            return np.lib.format.read_array(file, allow_pickle=False)

    return Entry(shape, dtype.name, read)


@contextlib.contextmanager
def _safetensors(path: Path) -> Iterator[dict[str, Entry]]:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise InputError(f"{path}: needs the package safetensors: pip install 'jhash[weights]'.") from error
    try:
        with safe_open(path, framework="numpy") as file:
            heads = {name: file.get_slice(name) for name in file.keys()}
            yield {
                name: Entry(
                    tuple(head.get_shape()),
                    FLOATS.get(head.get_dtype(), head.get_dtype()),
                    functools.partial(file.get_tensor, name),
                )
                for name, head in heads.items()
            }
    except SafetensorError as error:
        raise InputError(f"{path}: not a whole .safetensors file (cut short or damaged): {error}") from error


@contextlib.contextmanager
def _matconvnet(path: Path) -> Iterator[dict[str, Entry]]:
    """CNN-F as published: `layers`, a cell array of structs, and `averageImage` in `meta` or, older, beside it."""
    if h5py.is_hdf5(path):
        raise InputError(f"{path}: expected a .mat file of version 5, found 7.3: in MATLAB, save(..., '-v7') it again.")
    _check_unpacked_size(path)
    try:
        file = scipy.io.loadmat(path, variable_names=["layers", "meta", "normalization"])
        arrays = _layers(file["layers"]) | {"averageImage": _average_image(file)}
    except Exception as error:  # SciPy's reader fails in a dozen ways on a file that was cut short
        reason = f"no {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__
        raise InputError(f"{path}: expected MatConvNet's CNN-F, whole, with layers and a mean: {reason}.") from error
    yield {name: Entry(array.shape, array.dtype.name, lambda a=array: a) for name, array in arrays.items()}


def _layers(cells: np.ndarray) -> dict[str, np.ndarray]:
    arrays = {}
    for cell in cells.ravel():
        layer = cell.ravel()[0]
        fields = layer.dtype.names
        if "weights" in fields and layer["weights"].size == 2:
            filters, biases = layer["weights"].ravel()
        elif "filters" in fields:
            filters, biases = layer["filters"], layer["biases"]
        else:
            continue
        name = str(layer["name"].item())
        arrays |= {f"{name}.filters": filters, f"{name}.biases": biases.ravel()}
    return arrays


def _average_image(file: dict) -> np.ndarray:
    owner = file["meta"].ravel()[0] if "meta" in file else file
    return owner["normalization"].ravel()[0]["averageImage"]


def _check_unpacked_size(path: Path) -> None:
    """Unpacks a version 5 .mat file part by part without keeping it. Raises InputError: larger than 1 GB."""
    total = 0
    with open(path, "rb") as file:
        order = "<" if file.read(128)[126:] == b"IM" else ">"
        while len(tag := file.read(8)) == 8:
            kind, left = struct.unpack(f"{order}II", tag)
            if kind != 15:  # not compressed
                file.seek(left, os.SEEK_CUR)
                continue
            stream = zlib.decompressobj()
            while left and (chunk := file.read(min(left, 2**16))):
                left -= len(chunk)
                total += len(stream.decompress(chunk))
                if total > MAT_BYTES:
                    raise InputError(f"{path}: expected at most {MAT_BYTES} bytes when unpacked, found more.")


def main(arguments: list[str] | None = None) -> int:
    """Converts and verifies; 0, or 2 behind one sentence on stderr."""
    parser = argparse.ArgumentParser(prog="python -m jhash.weights", description=__doc__.split("\n")[0])
    parser.add_argument("input", type=Path, metavar="IN", help="a .safetensors, .npz or (CNN-F) .mat file")
    parser.add_argument("--backbone", required=True, choices=sorted(BACKBONES))
    parser.add_argument("output", type=Path, metavar="OUT.npz", help="what read_weights then reads without further ado")
    options = parser.parse_args(arguments)

    def work() -> None:
        if options.output.suffix != ".npz" or options.output.resolve() == options.input.resolve():
            raise InputError(f"{options.output}: expected another .npz than the input.")
        variables = read_weights(options.input, options.backbone)
        write_weights(options.output, variables, options.backbone)
        count = sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
        print(f"{options.output}: whole, {options.backbone} with {count} parameters up to its features.")

    return command.exit_code(work, "stopped, nothing was written")


if __name__ == "__main__":
    sys.exit(main())
