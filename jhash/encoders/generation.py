"""CMGCAH's networks (Ou et al. 2022, III-B to III-D): features of both sides, generators, critics, alignment."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from jhash.encoders.backbone import backbone
from jhash.encoders.by_rows import by_rows
from jhash.encoders.cnn_small import patches, preprocess
from jhash.types import Array

GRID = 4  # a picture is cut into 4 x 4 patches, a vector into as many pieces


class Position(nn.Module):
    """f_att(f_trans(x)): a transformer over 16 patches, then self-guided attention, [B, ...] -> [B, features].

    Blocks normalise first. The attention is Yang et al. 2016's: Σ_t a_t h_t with a = softmax(tanh(G h_t + g)ᵀ w), where
    h_t = F x_t + f. No h_t is formed, which would be the two largest products: G h_t + g = (G F) x_t + (G f + g), and,
    the a_t adding up to 1, Σ_t a_t h_t = F Σ_t a_t x_t + f.
    """

    features: int = 2048
    width: int = 512
    heads: int = 8
    blocks: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, items: Array) -> Array:
        def dense(width, name, **more):
            return nn.Dense(width, dtype=self.dtype, dot_general=by_rows, name=name, **more)

        x = dense(self.width, "embed")(tokens(items))
        x = x + self.param("position", nn.initializers.normal(0.02), x.shape[1:]).astype(x.dtype)[None]
        for number in range(self.blocks):
            normal = nn.LayerNorm(dtype=self.dtype, name=f"norm_attention{number}")(x)
            x = x + self._attention(f"attention{number}")(normal, normal)
            hidden = nn.LayerNorm(dtype=self.dtype, name=f"norm_feedforward{number}")(x)
            hidden = nn.gelu(dense(4 * self.width, f"widen{number}")(hidden))
            x = x + dense(self.width, f"narrow{number}")(hidden)
        kernel, bias = Affine(self.width, self.features, name="features")(self.dtype)
        guide, shift = Affine(self.features, self.width, name="guide")(self.dtype)
        guided = jnp.tanh(by_rows(x, kernel @ guide, (((2,), (0,)), ((), ()))) + (bias @ guide + shift)[None, None])
        weights = nn.softmax(dense(1, "weigh", use_bias=False)(guided)[..., 0], axis=1)
        return (jnp.einsum("bt,btd->bd", weights, x) @ kernel + bias[None]).astype(jnp.float32)

    def _attention(self, name):
        return nn.MultiHeadDotProductAttention(
            self.heads, dtype=self.dtype, qkv_dot_general=by_rows, out_dot_general=by_rows, name=name
        )


class Affine(nn.Module):
    """Kernel [inputs, outputs] and bias [outputs] of a dense layer, which begin as nn.Dense's do."""

    inputs: int
    outputs: int

    @nn.compact
    def __call__(self, dtype: jnp.dtype) -> tuple[Array, Array]:
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.inputs, self.outputs))
        return kernel.astype(dtype), self.param("bias", nn.initializers.zeros, (self.outputs,)).astype(dtype)


def tokens(items: Array) -> Array:
    """Pictures [B, H, W, C] cut into 4 x 4 patches, vectors [B, F] into 16 pieces: [B, 16, width], zeros at the end."""
    chex.assert_rank(items, {2, 4})
    if items.ndim == 2:
        items = jnp.pad(items.astype(jnp.float32), [(0, 0), (0, -items.shape[1] % GRID**2)])
        return items.reshape(len(items), GRID**2, -1)
    sizes = tuple(-(-side // GRID) for side in items.shape[1:3])
    missing = [(0, GRID * size - side) for size, side in zip(sizes, items.shape[1:3], strict=True)]
    cut = patches(jnp.pad(preprocess(items), [(0, 0), *missing, (0, 0)]), sizes)
    return cut.reshape(len(cut), -1, cut.shape[-1])


class ImageFeatures(nn.Module):
    """x̂ = f_dnn(x) + λ f_att(f_trans(x)), Eq 1: [B, ...] -> [B, features]. λ = 0 leaves the transformer out.

    f_dnn is a backbone, where there is one, a hidden layer with ReLU, where it is wider than 0, and a dense layer.
    """

    features: int = 2048
    backbone: str = ""
    hidden: int = 0
    position: float = 0.01
    width: int = 512
    heads: int = 8
    blocks: int = 1
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, items: Array) -> Array:
        x = items.astype(jnp.float32)
        if self.backbone:
            x = backbone(self.backbone, dtype=self.dtype)(items, train=False)
        if self.hidden:
            x = nn.relu(nn.Dense(self.hidden, dtype=self.dtype, name="hidden")(x))
        x = nn.Dense(self.features, dtype=self.dtype, name="dense")(x).astype(jnp.float32)
        if self.position:
            position = Position(self.features, self.width, self.heads, self.blocks, self.dtype, name="position")
            x = x + self.position * position(items)
        return x


class Layers(nn.Module):
    """Dense layers with ReLU between them, [B, F] -> [B, widths[-1]] float32: f_proj, f_p, G and D."""

    widths: tuple[int, ...]
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        for number, width in enumerate(self.widths):
            x = nn.Dense(width, dtype=self.dtype, name=f"dense{number}")(nn.relu(x) if number else x)
        return x.astype(jnp.float32)


class Alignment(nn.Module):
    """u = f_c(x̃) ⊗ sigmoid(f_m(x̃)), Eq 8 to 10: [B, F] -> [B, bits]; without the mask u = f_c(x̃)."""

    bits: int
    masked: bool = True
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        u = nn.Dense(self.bits, dtype=self.dtype, name="codes")(x)
        if self.masked:
            u = u * jax.nn.sigmoid(nn.Dense(self.bits, dtype=self.dtype, name="mask")(x))
        return u.astype(jnp.float32)
