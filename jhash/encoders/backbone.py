"""Backbones by name: the networks that give one vector for an item of a medium, before any hash layer."""

from collections.abc import Sequence

import flax.linen as nn
import jax.numpy as jnp

from jhash.encoders.c3d import C3D
from jhash.encoders.cnn_f import CNNF
from jhash.encoders.cnn_small import CnnSmall
from jhash.encoders.resnet import ResNet
from jhash.encoders.vgg import VGG
from jhash.types import InputError

ITEMS = {  # name -> the shape of an item that it takes, None for any side
    "cnn_small": ((None, None, None), (None, None, None, None)),
    "vgg16": ((224, 224, 3),),
    "vgg19": ((224, 224, 3),),
    "cnn_f": ((224, 224, 3),),
    "resnet50": ((None, None, 3),),
    "c3d": ((16, 112, 112, 3),),
}


PICTURES = tuple(name for name, items in ITEMS.items() if any(len(shape) == 3 for shape in items))


def check_items(
    field: str, medium: str, name: str, shape: tuple[int, ...], known: Sequence[str] = tuple(ITEMS)
) -> None:
    """Raises InputError where a backbone can't take items of that shape; '' is no backbone, for vectors.

    Args:
        field: of the method, for the sentence.
        medium: for the sentence.
        name: of the backbone, or ''.
        shape: of one item.
        known: names to choose from.
    """
    if name == "":
        if len(shape) != 1:
            raise InputError(
                f"config.hyper.{field}: {medium} has items {list(shape)}; expected one of {', '.join(known)} for it, "
                "found ''"
            )
        return
    if name not in known:
        raise InputError(f"config.hyper.{field}: expected one of {', '.join(known)} or '', found {name!r}")
    fits = (
        len(shape) == len(wanted) and all(w in (None, s) for w, s in zip(wanted, shape, strict=True))
        for wanted in ITEMS[name]
    )
    if not any(fits):
        said = " or ".join(str([side or "any" for side in wanted]) for wanted in ITEMS[name])
        raise InputError(f"config.hyper.{field}: {name} takes items {said}, but {medium} has {list(shape)}")


def backbone(name: str, *, dtype: jnp.dtype = jnp.float32, axis_name: str | None = None) -> nn.Module:
    """The named network, `module(items, train=...)` from items [B, ...] to features [B, F].

    Args:
        name: of ITEMS.
        dtype: of the products.
        axis_name: the devices whose rows are one batch, for the one that keeps batch statistics.
    """
    if name == "resnet50":
        return ResNet(axis_name=axis_name, dtype=dtype, name="backbone")
    if name in ("vgg16", "vgg19"):
        return VGG(depth=int(name.removeprefix("vgg")), dtype=dtype, name="backbone")
    return {"cnn_small": CnnSmall, "cnn_f": CNNF, "c3d": C3D}[name](dtype=dtype, name="backbone")
