"""The visual cloze: its shares, its independence of the devices, and masking products in place of frames."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jhash.encoders.cloze import Cloze, apply_cloze, draw_cloze

KEY = jax.random.key(0)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def test_it_zeroes_twelve_and_replaces_one_and_a_half_percent():
    cloze = jax.jit(lambda key: draw_cloze(key, jnp.arange(4000), 25, 50))(KEY)
    assert float(cloze.zeroed.mean()) == pytest.approx(0.12, abs=0.004)  # four deviations of 100,000 draws
    assert float(cloze.replaced.mean()) == pytest.approx(0.015, abs=0.0016)
    assert not (cloze.zeroed & cloze.replaced).any()


def test_any_frame_of_the_batch_stands_in_alike_often():
    source = np.asarray(draw_cloze(KEY, jnp.arange(4000), 25, 2).source)
    counts = np.bincount(source.ravel(), minlength=50)
    assert len(counts) == 50
    assert np.abs(counts - 2000).max() < 5 * np.sqrt(2000)


def test_a_row_s_mask_depends_on_its_place_alone():
    whole, part = draw_cloze(KEY, jnp.arange(40), 25, 40), draw_cloze(KEY, jnp.arange(10, 20), 25, 40)
    assert whole.zeroed[10:20].any() and whole.replaced[10:20].any()
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[10:20], b), whole, part)


def test_masking_products_is_masking_frames():
    x, kernel = normal(6, 5, 8), normal(8, 3)
    cloze = Cloze(normal(6, 5) > 1, normal(6, 5, seed=1) > 0, np.arange(30).reshape(6, 5)[::-1])
    cloze = cloze._replace(replaced=cloze.replaced & ~cloze.zeroed)
    frames = apply_cloze(x, x, cloze)
    kept = ~(cloze.zeroed | cloze.replaced)
    assert cloze.zeroed.any() and cloze.replaced.any() and kept.any()
    np.testing.assert_array_equal(frames[cloze.zeroed], 0)
    np.testing.assert_array_equal(frames[cloze.replaced], x.reshape(30, 8)[cloze.source[cloze.replaced]])
    np.testing.assert_array_equal(frames[kept], x[kept])
    np.testing.assert_allclose(apply_cloze(x @ kernel, x @ kernel, cloze), frames @ kernel, rtol=1e-5, atol=1e-6)
