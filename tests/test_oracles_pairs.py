"""CMGCAH's and DSMHN's oracles held to values worked out by hand; the library's losses held to the oracles."""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracles_pairs as oracles
import pytest

from jhash.losses import cmgcah, dsmhn, similarity

CLASSES, MARGIN, LOG2 = 4, 1.5, math.log(2)
SIZE = (7, 5, 9)  # items, items of the other modality, bits
NORMALISED = pytest.mark.parametrize("normalised", ["rows", "mean", "sum"])
KIND = pytest.mark.parametrize("kind", ["logistic", "contrastive", "squared", "triplet"])
ONES, ZEROS = np.ones((3, 8), np.float32), np.zeros((3, 8), np.float32)


# --- random inputs ------------------------------------------------------------------------------------------------


def classes(rng, rows):
    """Labels [rows, 4]: none, one or several classes an item."""
    return (rng.random((rows, CLASSES)) < 0.35).astype(np.float32)


def relaxed(rng, *shape):
    return np.tanh(rng.normal(size=shape)).astype(np.float32)


def code_pairs(rng, b, n, k):
    return relaxed(rng, b, k), relaxed(rng, n, k), oracles.shares_class(classes(rng, b), classes(rng, n))


def distance_pairs(rng, b, n, k):
    distance = (4 * rng.random((b, n))).astype(np.float32)
    return distance, oracles.shares_class(classes(rng, b), classes(rng, n))


def code_rows(rng, b, n, k):
    return (relaxed(rng, b, k),)


def signed_rows(rng, b, n, k):
    return relaxed(rng, b, k), np.sign(rng.normal(size=(b, k))).astype(np.float32)


def predictions(rng, b, n, k):
    return 3 * rng.normal(size=(b, CLASSES)).astype(np.float32), classes(rng, b)


def judged(single):
    return lambda rng, b, n, k: (*predictions(rng, b, n, k), np.bool_(single))


def verdicts(rng, b, n, k):
    return 3 * rng.normal(size=b).astype(np.float32), 3 * rng.normal(size=n).astype(np.float32)


def one_verdict(rng, b, n, k):
    return verdicts(rng, b, n, k)[:1]


class Case(NamedTuple):
    loss: Any
    oracle: Any
    inputs: Any
    places: tuple[int, ...]  # the inputs that are differentiated
    options: dict[str, Any] = {}


CASES = {
    "logistic": Case(similarity.logistic, oracles.logistic, code_pairs, (0, 1)),
    "critic": Case(cmgcah.critic, oracles.cmgcah_critic, verdicts, (0, 1)),
    "distances": Case(dsmhn.distances, oracles.dsmhn_distances, lambda *a: code_pairs(*a)[:2], (0, 1)),
    "contrastive": Case(dsmhn.contrastive, oracles.dsmhn_contrastive, distance_pairs, (0,), {"margin": MARGIN}),
    "triplet": Case(dsmhn.triplet, oracles.dsmhn_triplet, distance_pairs, (0,), {"margin": MARGIN}),
    "squared": Case(dsmhn.squared, oracles.dsmhn_squared, code_pairs, (0, 1)),
    "semantic single": Case(dsmhn.semantic, oracles.dsmhn_semantic, judged(True), (0,)),
    "semantic multi": Case(dsmhn.semantic, oracles.dsmhn_semantic, judged(False), (0,)),
    "dsmhn quantisation": Case(dsmhn.quantisation, oracles.dsmhn_quantisation, code_rows, (0,)),
    "balance": Case(dsmhn.balance, oracles.dsmhn_balance, code_rows, (0,)),
}
for form in ("bce", "softmax"):
    CASES[f"label {form}"] = Case(cmgcah.label, oracles.cmgcah_label, predictions, (0,), {"form": form})
for saturating in (False, True):
    options = {"saturating": saturating}
    CASES[f"generator {saturating}"] = Case(cmgcah.generator, oracles.cmgcah_generator, one_verdict, (0,), options)
for norm in ("rows", "mean", "sum"):
    options = {"normalised": norm}
    CASES[f"likelihood {norm}"] = Case(cmgcah.likelihood, oracles.cmgcah_likelihood, code_pairs, (0, 1), options)
    CASES[f"quantisation {norm}"] = Case(cmgcah.quantisation, oracles.cmgcah_quantisation, signed_rows, (0,), options)
for kind in ("logistic", "contrastive", "squared", "triplet"):
    for balanced in (False, True):
        options = {"kind": kind, "margin": MARGIN, "balanced": balanced}
        name = f"inter {kind}{' balanced' if balanced else ''}"
        CASES[name] = Case(dsmhn.inter, oracles.dsmhn_inter, code_pairs, (0, 1), options)
CASE = pytest.mark.parametrize("name", CASES)


# --- the library's losses against the oracles ---------------------------------------------------------------------


def agrees(found, expected):
    assert found.shape == np.shape(expected)
    np.testing.assert_allclose(found, expected, rtol=3e-6, atol=3e-6)


@CASE
def test_a_loss_is_the_oracle_s(name):
    case = CASES[name]
    inputs = case.inputs(np.random.default_rng(0), *SIZE)
    agrees(case.loss(*map(jnp.asarray, inputs), **case.options), case.oracle(*inputs, **case.options))


@CASE
@pytest.mark.parametrize("size", [(1, 1, 1), (3, 11, 17)], ids=str)
def test_a_compiled_loss_is_the_oracle_s(name, size):
    case = CASES[name]
    inputs = case.inputs(np.random.default_rng(0), *size)
    loss = jax.jit(functools.partial(case.loss, **case.options))
    agrees(loss(*map(jnp.asarray, inputs)), case.oracle(*inputs, **case.options))


def slopes(oracle, inputs, place):
    """Central differences of a float64 oracle in every entry of one input."""
    inputs = [np.asarray(x, np.float64 if x.dtype == np.float32 else x.dtype) for x in inputs]
    out, step = np.zeros_like(inputs[place]), 1e-5
    for entry in np.ndindex(out.shape):
        here = inputs[place][entry]
        ends = []
        for end in (here + step, here - step):
            inputs[place][entry] = end
            ends.append(float(oracle(*inputs)))
        inputs[place][entry] = here
        out[entry] = (ends[0] - ends[1]) / (2 * step)
    return out


@CASE
def test_a_loss_has_the_oracle_s_gradient(name):
    """Of losses that are arrays, the gradient of a random weighing of their entries."""
    case = CASES[name]
    inputs = case.inputs(np.random.default_rng(1), *SIZE)
    weights = np.random.default_rng(2).normal(size=np.shape(case.oracle(*inputs, **case.options)))

    def weighed(*inputs):
        return (case.loss(*inputs, **case.options) * jnp.asarray(weights, jnp.float32)).sum()

    def expected(*inputs):
        return np.sum(weights * case.oracle(*inputs, **case.options))

    found = jax.jit(jax.grad(weighed, argnums=case.places))(*map(jnp.asarray, inputs))
    for place, slope in zip(case.places, found, strict=True):
        np.testing.assert_allclose(slope, slopes(expected, inputs, place), rtol=2e-4, atol=5e-6)


@pytest.mark.parametrize("kind", [np.uint8, np.bool_, np.float32])
def test_shares_class_is_the_oracle_s(kind):
    rng = np.random.default_rng(3)
    labels, others = classes(rng, 9).astype(kind), classes(rng, 6).astype(kind)
    expected = oracles.shares_class(labels, others)
    assert {0, 1} == set(expected.ravel())
    np.testing.assert_array_equal(similarity.shares_class(labels, others), expected)


def test_shares_class_does_not_wrap_at_256_common_classes():
    labels = np.ones((2, 256), np.uint8)
    np.testing.assert_array_equal(similarity.shares_class(labels, labels), np.ones((2, 2)))


def test_shares_class_of_an_item_without_a_class_is_0_even_with_itself():
    labels = np.array([[0, 0], [0, 1]], np.uint8)
    np.testing.assert_array_equal(similarity.shares_class(labels, labels), [[0, 0], [0, 1]])


# --- the logistic form, by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize("similar", [0.0, 1.0])
def test_logistic_of_zero_codes_is_log_2(similar):
    pairs = np.full((3, 3), similar, np.float32)
    np.testing.assert_allclose(similarity.logistic(ZEROS, ZEROS, pairs), LOG2 * np.ones((3, 3)), rtol=1e-6)
    np.testing.assert_allclose(oracles.logistic(ZEROS, ZEROS, pairs), LOG2 * np.ones((3, 3)))


def test_logistic_oracle_is_eq_11_as_printed():
    u, v, similar = code_pairs(np.random.default_rng(4), 4, 3, 6)
    theta = 0.5 * u.astype(np.float64) @ v.astype(np.float64).T
    np.testing.assert_allclose(oracles.logistic(u, v, similar), -(similar * theta - np.log(1 + np.exp(theta))))


def test_logistic_of_one_pair_is_eq_13():
    assert oracles.logistic([[1.0, 1.0]], [[2.0, 0.0]], [[1]])[0, 0] == pytest.approx(-math.log(1 / (1 + math.exp(-1))))
    assert oracles.logistic([[1.0, 1.0]], [[2.0, 0.0]], [[0]])[0, 0] == pytest.approx(-math.log(1 / (1 + math.exp(1))))


@pytest.mark.parametrize(("similar", "expected"), [(1.0, [0.0, 4e6]), (0.0, [4e6, 0.0])])
def test_logistic_of_large_products_stays_finite(similar, expected):
    """Θ is 4·10⁶ and −4·10⁶, where e^Θ has long overflowed: what is predicted costs 0, its opposite |Θ|."""
    u, v = 1000 * ONES[:1], np.stack([1000 * ONES[0], -1000 * ONES[0]])
    pairs = np.full((1, 2), similar, np.float32)
    np.testing.assert_allclose(similarity.logistic(u, v, pairs), [expected], atol=1e-6)
    np.testing.assert_allclose(oracles.logistic(u, v, pairs), [expected], atol=1e-6)
    assert np.isfinite(jax.jit(jax.grad(lambda u: similarity.logistic(u, v, pairs).sum()))(u)).all()


# --- CMGCAH, by hand ----------------------------------------------------------------------------------------------


def test_label_of_zero_logits_knows_nothing():
    logits, labels = np.zeros((2, 4), np.float32), np.array([[1, 0, 0, 1], [0, 1, 0, 0]], np.uint8)
    for loss in (cmgcah.label, oracles.cmgcah_label):
        assert loss(logits, labels, form="bce") == pytest.approx(4 * LOG2)  # of four classes
        assert loss(logits, labels, form="softmax") == pytest.approx(1.5 * math.log(4))  # three classes of two items


@pytest.mark.parametrize("form", ["bce", "softmax"])
def test_label_of_sure_and_wrong_logits_is_finite(form):
    logits, labels = np.array([[1000, -1000]], np.float32), np.array([[0, 1]], np.uint8)
    for loss in (cmgcah.label, oracles.cmgcah_label):
        assert loss(logits, labels, form=form) == pytest.approx(2000)
        assert loss(-logits, labels, form=form) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("critic", "generator"), [(cmgcah.critic, cmgcah.generator), (oracles.cmgcah_critic, oracles.cmgcah_generator)]
)
def test_adversaries_at_a_draw(critic, generator):
    undecided = np.zeros(5, np.float32)
    assert critic(undecided, undecided) == pytest.approx(2 * LOG2)
    assert generator(undecided, saturating=False) == pytest.approx(LOG2)
    assert generator(undecided, saturating=True) == pytest.approx(-LOG2)


def test_a_sure_critic_pays_nothing_where_it_is_right_and_its_logits_where_it_is_wrong():
    sure = np.full(3, 500, np.float32)
    assert cmgcah.critic(sure, -sure) == pytest.approx(0)
    assert cmgcah.critic(-sure, sure) == pytest.approx(1000)


def test_the_saturating_generator_alone_stops_learning_from_a_sure_critic():
    found_out = np.full(4, -50, np.float32)
    slope = {form: jax.grad(functools.partial(cmgcah.generator, saturating=form))(found_out) for form in (True, False)}
    np.testing.assert_allclose(slope[True], np.zeros(4), atol=1e-12)
    np.testing.assert_allclose(slope[False], np.full(4, -0.25), rtol=1e-6)  # −1/B


def test_both_generators_want_the_critic_to_say_real():
    logits = np.array([-1, 0, 2], np.float32)
    for saturating in (True, False):
        assert (jax.grad(functools.partial(cmgcah.generator, saturating=saturating))(logits) < 0).all()


def test_the_three_normalisers_of_the_likelihood_differ_by_the_sizes():
    u, v, similar = code_pairs(np.random.default_rng(5), 4, 6, 3)
    total, rows, mean = (cmgcah.likelihood(u, v, similar, normalised=form) for form in ("sum", "rows", "mean"))
    np.testing.assert_allclose([total / 4, total / 24], [rows, mean], rtol=1e-6)


def test_eq_11_at_zero_codes_has_the_three_known_terms():
    """α n log 2, β n log 2 and γ K: 69, .7 and .64 with the paper's weights, n 10,000 and 64 bits."""
    u, everything = np.zeros((2, 64), np.float32), np.zeros((100, 64), np.float32)
    similar, codes = np.zeros((2, 100), np.float32), np.ones((2, 64), np.float32)
    between = cmgcah.likelihood(u, everything, similar, normalised="rows")
    quantised = cmgcah.quantisation(u, codes, normalised="rows")
    found = [100 * 0.01 * between, 100 * 0.0001 * between, 0.01 * quantised]
    np.testing.assert_allclose(found, [69.3147, 0.693147, 0.64], rtol=1e-5)
    weights = (0.01, 0.0001, 0.01)
    whole = oracles.cmgcah_hashing(u, everything, everything, similar, codes, weights, "rows")
    assert whole == pytest.approx(0.693147 + 0.00693147 + 0.64)


@NORMALISED
def test_quantisation_of_codes_themselves_is_0(normalised):
    assert cmgcah.quantisation(ONES, ONES, normalised=normalised) == 0
    assert oracles.cmgcah_quantisation(ONES, ONES, normalised) == 0


@pytest.mark.parametrize(("normalised", "expected"), [("sum", 96), ("rows", 32), ("mean", 4)])
def test_quantisation_of_opposite_codes_is_4_a_bit(normalised, expected):
    assert cmgcah.quantisation(ONES, -ONES, normalised=normalised) == expected
    assert oracles.cmgcah_quantisation(ONES, -ONES, normalised) == expected


@pytest.mark.parametrize(
    "call",
    [
        lambda: cmgcah.label(ZEROS, ZEROS, form="hinge"),
        lambda: cmgcah.likelihood(ZEROS, ZEROS, np.zeros((3, 3), np.float32), normalised="hinge"),
        lambda: cmgcah.quantisation(ZEROS, ZEROS, normalised="hinge"),
        lambda: dsmhn.inter(ZEROS, ZEROS, np.zeros((3, 3)), kind="hinge", margin=1.0, balanced=False),
    ],
    ids=["label", "likelihood", "quantisation", "inter"],
)
def test_an_unknown_form_is_named(call):
    with pytest.raises(ValueError, match="'hinge': expected one of"):
        call()


# --- CMGCAH's networks, by hand -----------------------------------------------------------------------------------


def test_attention_of_equal_scores_is_the_mean_of_the_tokens():
    tokens = np.arange(6.0).reshape(1, 3, 2)
    np.testing.assert_allclose(oracles.cmgcah_attention(tokens, np.eye(2), np.zeros(2), np.zeros(2)), [[2, 3]])


def test_attention_weighs_tokens_by_their_tanh():
    tokens, steep = np.array([[[9.0], [-9.0]]]), 100.0
    a = 1 / (1 + math.exp(-2))  # tanh is 1 and −1
    np.testing.assert_allclose(oracles.cmgcah_attention(tokens, [[steep]], [0.0], [1.0]), [[9 * a - 9 * (1 - a)]])


def test_the_mask_of_the_alignment_is_a_sigmoid_of_its_own():
    fused = oracles.cmgcah_fused([[2.0]], [[3.0]])
    np.testing.assert_array_equal(fused, [[2, 3]])
    masking, coding = (np.array([[0.0], [1.0]]), np.array([-3.0])), (np.array([[1.0], [1.0]]), np.array([1.0]))
    np.testing.assert_allclose(oracles.cmgcah_aligned(fused, masking, coding), [[6 / 2]])


def test_conditions_are_probabilities_behind_the_features():
    np.testing.assert_allclose(oracles.cmgcah_conditioned([[7.0, 8.0]], [[0.0, math.log(3)]]), [[7, 8, 0.5, 0.75]])


def test_features_and_codes_of_both_modalities_add_up():
    np.testing.assert_allclose(oracles.cmgcah_image_features([[1.0]], [[100.0]]), [[2]])
    np.testing.assert_array_equal(oracles.cmgcah_codes([[1.0, -1.0, 2.0]], [[-1.0, 0.5, -3.0]]), [[1, -1, -1]])


# --- DSMHN, by hand -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distances", [dsmhn.distances, oracles.dsmhn_distances])
def test_distances_count_4_for_every_bit_that_differs(distances):
    code = np.array([[1, -1, 1, 1, -1]], np.float32)
    one_off = code * np.array([[-1, 1, 1, 1, 1]], np.float32)
    np.testing.assert_allclose(distances(code, np.concatenate([code, one_off, -code])), [[0, 4 / 5, 4]], atol=1e-7)


def test_distances_of_equal_codes_have_no_gradient_that_is_not_a_number():
    h = relaxed(np.random.default_rng(6), 5, 64)
    found = dsmhn.distances(h, h)
    assert (np.diag(found) >= 0).all() and np.diag(found).max() < 1e-5
    assert np.isfinite(jax.jit(jax.grad(lambda h: dsmhn.distances(h, h).sum()))(h)).all()


def inter_of(h, others, similar, **options):
    """The library's inter loss; the oracle must say the same."""
    settings = {"margin": MARGIN, "balanced": False} | options
    found = dsmhn.inter(h, others, np.asarray(similar, np.float32), **settings)
    assert found == pytest.approx(oracles.dsmhn_inter(h, others, similar, **settings), rel=1e-6, abs=1e-6)
    return float(found)


@pytest.mark.parametrize(
    ("kind", "at_codes", "at_opposites"),
    [("logistic", math.log1p(math.exp(-4)), math.log1p(math.exp(4))), ("contrastive", 0, 4), ("squared", 0, 4)],
)
def test_inter_of_alike_items_by_hand(kind, at_codes, at_opposites):
    similar = np.ones((3, 3))
    assert inter_of(ONES, ONES, similar, kind=kind) == pytest.approx(at_codes, abs=1e-6)
    assert inter_of(ONES, -ONES, similar, kind=kind) == pytest.approx(at_opposites, abs=1e-6)


@pytest.mark.parametrize(
    ("kind", "at_codes", "at_opposites"),
    [("logistic", math.log1p(math.exp(4)), math.log1p(math.exp(-4))), ("contrastive", MARGIN, 0), ("squared", 4, 0)],
)
def test_inter_of_unlike_items_by_hand(kind, at_codes, at_opposites):
    similar = np.zeros((3, 3))
    assert inter_of(ONES, ONES, similar, kind=kind) == pytest.approx(at_codes, abs=1e-6)
    assert inter_of(ONES, -ONES, similar, kind=kind) == pytest.approx(at_opposites, abs=1e-6)


def test_triplet_by_hand():
    others = np.stack([ONES[0], -ONES[0], ZEROS[0]])  # at distance 0, 4 and 1 from the code of ones
    assert inter_of(ONES[:1], others, [[1, 0, 0]], kind="triplet") == pytest.approx((0 + (1.5 - 1)) / 2)
    assert inter_of(ONES[:1], others, [[0, 1, 0]], kind="triplet") == pytest.approx(((1.5 + 4) + (1.5 + 3)) / 2)


def test_triplets_count_item_by_item():
    """An item with two triplets weighs as much as one with four, and one without any adds 0 to the same mean."""
    others = np.stack([ONES[0], ONES[0], -ONES[0], -ONES[0]])
    similar = [[0, 0, 1, 0], [0, 0, 1, 1], [1, 1, 1, 1]]
    per_item = [(5.5 + 5.5 + 1.5) / 3, 5.5, 0]
    assert inter_of(ONES, others, similar, kind="triplet") == pytest.approx(sum(per_item) / 3)


@pytest.mark.parametrize("similar", [0.0, 1.0])
def test_triplet_without_positives_or_negatives_is_0_and_pulls_nothing(similar):
    h, others, _ = code_pairs(np.random.default_rng(7), 3, 3, 8)
    pairs = np.full((3, 3), similar, np.float32)
    assert inter_of(h, others, pairs, kind="triplet") == 0
    loss = functools.partial(dsmhn.inter, kind="triplet", margin=MARGIN, balanced=False)
    slope = jax.jit(jax.grad(loss))(h, others, pairs)
    np.testing.assert_array_equal(slope, np.zeros((3, 8)))


def test_balancing_gives_alike_and_unlike_pairs_half_the_weight_each():
    others = np.stack([ONES[0], -ONES[0], -ONES[0], -ONES[0]])
    similar = [[0, 0, 0, 1]]  # alike: 4; unlike: 4, 0, 0
    assert inter_of(ONES[:1], others, similar, kind="squared") == pytest.approx((4 + 4) / 4)
    assert inter_of(ONES[:1], others, similar, kind="squared", balanced=True) == pytest.approx((4 / 3 + 4) / 2)


@pytest.mark.parametrize(("similar", "expected"), [(0.0, 4 / 2), (1.0, 0)])
def test_a_balanced_item_without_one_kind_of_pair_counts_the_other_half_alone(similar, expected):
    pairs = np.full((3, 3), similar)
    assert inter_of(ONES, ONES, pairs, kind="squared", balanced=True) == pytest.approx(expected, abs=1e-6)


@KIND
@pytest.mark.parametrize("similar", [0.0, 1.0])
def test_inter_has_a_finite_gradient_at_codes_all_alike(kind, similar):
    pairs = np.full((3, 3), similar, np.float32)
    loss = functools.partial(dsmhn.inter, kind=kind, margin=MARGIN, balanced=True)
    assert np.isfinite(jax.jit(jax.grad(loss))(ONES, ONES, pairs)).all()


def test_semantic_of_zero_logits_knows_nothing():
    logits, labels = np.zeros((3, 4), np.float32), np.eye(4, dtype=np.uint8)[:3]
    for loss in (dsmhn.semantic, oracles.dsmhn_semantic):
        assert loss(logits, labels, np.bool_(True)) == pytest.approx(math.log(4))
        assert loss(logits, labels, np.bool_(False)) == pytest.approx(LOG2)


@pytest.mark.parametrize("single", [True, False])
def test_semantic_of_large_logits_is_finite_with_its_gradient(single):
    logits, labels = np.array([[1e4, -1e4]], np.float32), np.array([[0, 1]], np.uint8)
    value, slope = jax.jit(jax.value_and_grad(dsmhn.semantic))(logits, labels, np.bool_(single))
    assert value == pytest.approx(2e4 if single else 1e4)
    assert np.isfinite(slope).all()


def test_quantisation_is_0_at_codes_and_1_at_zeros():
    for loss in (dsmhn.quantisation, oracles.dsmhn_quantisation):
        assert loss(np.concatenate([ONES, -ONES])) == 0
        assert loss(ZEROS) == 1


def test_quantisation_pushes_zeros_up_since_the_sign_of_0_is_1():
    np.testing.assert_allclose(jax.grad(dsmhn.quantisation)(ZEROS), np.full((3, 8), -2 / 24), rtol=1e-6)


def test_balance_is_0_for_bits_split_in_half_and_1_for_bits_that_say_nothing():
    halves = np.array([[1, -1, 1], [1, 1, -1], [-1, 1, -1], [-1, -1, 1]], np.float32)
    one_stuck = halves * np.array([[1, 0, 1]], np.float32) + np.array([[0, 1, 0]], np.float32)
    for loss in (dsmhn.balance, oracles.dsmhn_balance):
        assert loss(halves) == 0
        assert loss(ONES) == 1
        assert loss(one_stuck) == pytest.approx(1 / 3)


def test_the_total_weighs_its_terms_in_order():
    assert oracles.dsmhn_total((1.0, 10.0, 100.0, 1000.0), (1, 2, 3, 4)) == 4321
