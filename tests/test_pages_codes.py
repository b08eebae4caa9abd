"""Pictures of codes: groups that lie apart stay apart, the same points each time; how bits are used, by hand."""

import importlib.util
import re

import numpy as np
import pytest
from page_reader import Page

from jhash.pages import bits, charts, embedding
from jhash.types import InputError


def groups(size=60, width=32):
    generator = np.random.default_rng(0)
    centres = generator.choice([-1, 1], (3, width))
    flips = np.where(generator.random((size, width)) < 0.05, -1, 1)
    return (centres[np.arange(size) % 3] * flips).astype(np.int8), np.arange(size) % 3


def apart(points, classes):
    """The share of points whose nearest other point is of their class."""
    distances = ((points[:, None] - points[None]) ** 2).sum(-1) + 1e9 * np.eye(len(points))
    return (classes[distances.argmin(axis=1)] == classes).mean()


@pytest.mark.parametrize("installed", [True, False])
def test_groups_of_codes_stay_apart(installed, monkeypatch):
    monkeypatch.setattr(embedding, "ROUNDS", 500)  # as users have it
    if not installed:
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    elif importlib.util.find_spec("sklearn") is None:
        pytest.skip("scikit-learn is not installed (jhash[report])")
    codes, classes = groups()
    found = embedding.embed(codes)
    assert ("t-SNE of Hamming distances" == found.how) == installed
    assert apart(found.points, classes) == 1.0
    np.testing.assert_array_equal(found.points, embedding.embed(codes).points)


def test_so_many_at_most_are_drawn_evenly():
    found = embedding.embed(groups(101)[0], most=5)
    assert found.rows.tolist() == [0, 25, 50, 75, 100] and found.points.shape == (5, 2)


@pytest.mark.parametrize("codes", [np.ones((50, 8), np.int8), np.array([[1, -1]], np.int8), np.ones((30, 1), np.int8)])
def test_codes_that_do_not_differ_or_are_few_have_points_too(codes):
    found = embedding.embed(codes)
    assert np.isfinite(found.points).all() and "principal" in found.how


def test_two_different_codes_repeated_are_drawn():
    codes = np.repeat(np.array([[1, 1, 1, -1], [-1, -1, 1, 1]], np.int8), 20, axis=0)
    assert np.isfinite(embedding.embed(codes).points).all()


def test_groups_that_lie_apart_are_not_mixed_and_equal_codes_are_mixed_evenly():
    codes, classes = groups()
    assert embedding.mixed(codes, classes) == (0.0, pytest.approx(40 / 59))
    share, even = embedding.mixed(np.ones((60, 8)), classes)
    assert share == pytest.approx(even)


def test_items_at_the_same_distance_share_the_last_places():
    codes = np.array([[1, 1, 1], [1, 1, -1], [1, -1, 1], [-1, -1, -1]])
    assert embedding.mixed(codes, np.array([0, 0, 1, 1]), nearest=1)[0] == pytest.approx((0.5 + 0 + 1 + 0.5) / 4)


def test_as_many_neighbours_as_items_are_refused():
    with pytest.raises(InputError, match="more than 3 codes, found 3"):
        embedding.mixed(np.ones((3, 2)), np.zeros(3), nearest=3)


def test_the_first_component_is_the_widest_direction():
    plane = embedding.principal(np.array([[-2, 0, 0], [2, 0, 0], [0, 1, 0], [0, -1, 0]], np.float32))
    np.testing.assert_allclose(plane, [[-2, 0], [2, 0], [0, 1], [0, -1]], atol=1e-6)


CODES = np.array([[1, 1, -1, 1], [1, -1, 1, 1], [1, 1, 1, 1], [-1, -1, 1, 1], [1, 1, -1, 1]], np.int8)


def test_shares_and_correlations_are_those_of_numpy():
    found = bits.use(CODES)
    np.testing.assert_allclose(found.share, [0.8, 0.6, 0.6, 1.0])
    np.testing.assert_allclose(found.correlation[:3, :3], np.corrcoef(CODES[:, :3].T), atol=1e-12)
    assert np.isnan(found.correlation[3]).all()


def test_the_summary_names_the_worst_bit_and_the_mean_correlation():
    between = np.abs(np.corrcoef(CODES[:, :3].T)[np.triu_indices(3, 1)]).mean()
    words = bits.summary(bits.use(CODES))
    assert (
        "|mean| of a bit 1.000" in words and f"two bits {between:.3f}" in words and "1 of 4 bits never change" in words
    )


def test_codes_that_never_change_have_a_picture():
    text = bits.pictures("test", np.ones((5, 20), np.int8))
    Page(text)
    assert "no two bits that change" in text and "nan" not in text.lower()


def test_the_sign_of_a_correlation_is_told_by_its_place_and_its_size_by_one_colour():
    found = bits.use(CODES)
    pixels = bits.triangles(found)
    side = len(pixels) // 4
    shade = {(i, j): tuple(pixels[i * side + side // 2, j * side + side // 2]) for i in range(4) for j in range(4)}
    pale = tuple(charts.shade(0.0, 0.0, 1.0))
    for i, j in ((0, 1), (0, 2), (1, 2)):
        value = found.correlation[i, j]
        place, other = ((i, j), (j, i)) if value > 0 else ((j, i), (i, j))
        assert shade[place] == tuple(charts.shade(abs(value), 0.0, 1.0)) and shade[other] == pale


def test_a_bit_that_never_changes_is_hatched():
    pixels = bits.triangles(bits.use(CODES))
    side = len(pixels) // 4
    assert {tuple(one) for one in pixels[3 * side :].reshape(-1, 3)} == {(255, 255, 255), (86, 86, 86)}
    assert (pixels[3 * side :] == pixels[:, 3 * side :].swapaxes(0, 1)).all()


def test_a_picture_of_correlations_has_a_scale():
    words = Page(bits.pictures("test", groups()[0])).words
    assert {"r > 0", "r < 0", "|r|", ".000", ".250", ".500", ".750", "1"} <= set(words)


def test_few_bits_carry_their_correlations_and_many_are_a_picture():
    few, many = bits.pictures("test", CODES), bits.pictures("test", groups()[0])
    first = np.corrcoef(CODES[:, 0], CODES[:, 1])[0, 1]
    assert f">{first:.3f}<".replace("0.", ".") in few
    assert "data:image/png" in many and "data:image" not in few
    for text in (few, many):
        Page(re.sub(r"\n", "", text))
