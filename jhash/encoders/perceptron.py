"""Three dense layers with ReLU between them: SHE's hash networks, and the network that its prototypes come from."""

import chex
import jax
import jax.numpy as jnp

from jhash.types import Array, Key, Tree


def init_layers(key: Key, widths: tuple[int, ...], *, last_bias: bool, inputs: Array | None = None) -> Tree:
    """[{'kernel' [in, out], 'bias' [out]}, ...], uniform within ±1/√in; the last layer's 'in' is the first's.

    A row's draw depends on its number alone: a kernel that is padded with rows for wider media begins with the same
    ones.

    Args:
        key: of all draws.
        widths: input, hidden and output widths.
        last_bias: whether the last layer has one.
        inputs: [], the input width without padding; None is widths[0].
    """
    first = jnp.float32(widths[0] if inputs is None else inputs) ** -0.5
    layers = []
    for number, (wide, outputs) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
        kernel_key, bias_key = jax.random.split(jax.random.fold_in(key, number))
        last = number == len(widths) - 2
        bound = first if number == 0 or last else wide**-0.5
        layer = {"kernel": bound * _rows(kernel_key, wide, outputs)}
        if last_bias or not last:
            layer["bias"] = bound * jax.random.uniform(bias_key, (outputs,), minval=-1, maxval=1)
        layers.append(layer)
    return layers


def _rows(key, rows, width):
    draw = lambda row: jax.random.uniform(jax.random.fold_in(key, row), (width,), minval=-1, maxval=1)  # noqa: E731
    return jax.vmap(draw)(jnp.arange(rows))


def apply_layers(layers: Tree, x: Array, dtype: str = "float32") -> Array:
    """[..., in] -> [..., out] float32, ReLU between the layers, the products in `dtype`."""
    chex.assert_equal(x.shape[-1], layers[0]["kernel"].shape[0])
    x = x.astype(dtype)
    for number, layer in enumerate(layers):
        x = x @ layer["kernel"].astype(dtype)
        if "bias" in layer:
            x = x + layer["bias"].astype(dtype)[(None,) * (x.ndim - 1)]
        if number < len(layers) - 1:
            x = jax.nn.relu(x)
    return x.astype(jnp.float32)
