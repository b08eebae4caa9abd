"""SHE's oracles held to values worked out by hand and to the PyTorch program; the library's losses held to them."""

import functools
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import oracles_she as oracles
import pytest

from jhash.losses import she

FORMS = ["paper", "released"]
SEPARATION = {"paper": oracles.separation_paper, "released": oracles.separation_released}
DISCRIMINATION = {"paper": oracles.discrimination_paper, "released": oracles.discrimination_released}
E = math.e


def units(rng, *shape):
    """Rows on the sphere, as tanh and normalisation leave them, in float32."""
    rows = np.tanh(rng.normal(size=shape))
    return (rows / np.linalg.norm(rows, axis=-1, keepdims=True)).astype(np.float32)


def orthogonal(classes, prototypes):
    """Library [C, P, C·P] of prototypes orthogonal to one another."""
    return np.eye(classes * prototypes).reshape(classes, prototypes, -1)


def one_prototype_repeated(classes, prototypes):
    """Library [C, P, C]: equal within a class, orthogonal between classes."""
    return np.repeat(np.eye(classes)[:, None], prototypes, axis=1)


# --- mining, by hand ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "s"), [([1.0, 0.0], 1), ([0.0, 1.0], 1 / 2), ([3.0, 4.0], 0.8)])
def test_mining_of_one_code_and_one_prototype(code, s):
    assert oracles.mining([code], [[1]], [[[1.0, 0.0]]]) == pytest.approx(-math.log(s), abs=1e-15)


def test_mining_of_codes_upon_their_prototypes_is_0():
    library = orthogonal(3, 2)
    assert oracles.mining(library[:, 1], np.eye(3), library) == 0
    assert oracles.robust_mining(library[:, 0], np.eye(3), library, 0.5) == 0


def test_mining_against_the_prototype_is_infinite_and_robust_mining_at_most_1_over_q():
    code, library = [[-1.0, 0.0]], [[[1.0, 0.0]]]
    assert oracles.mining(code, [[1]], library) == math.inf
    assert oracles.robust_mining(code, [[1]], library, 0.5) == 2


def test_mining_looks_at_the_nearest_prototype_of_the_own_class_alone():
    library = [[[0.0, 1.0], [0.6, 0.8]], [[1.0, 0.0], [1.0, 0.0]]]
    assert oracles.nearest_similarity([[1.0, 0.0]], [[1, 0]], library) == [pytest.approx(0.8)]


def test_mining_with_several_labels_takes_the_nearest_of_all_their_prototypes():
    library = [[[0.0, 1.0], [0.6, 0.8]], [[1.0, 0.0], [0.0, 1.0]], [[-1.0, 0.0], [0.0, 1.0]]]
    assert oracles.nearest_similarity([[1.0, 0.0]], [[1, 1, 1]], library) == [1]
    assert oracles.nearest_similarity([[1.0, 0.0]], [[1, 0, 1]], library) == [pytest.approx(0.8)]


def test_mining_averages_over_the_batch():
    library = [[[1.0, 0.0]]]
    assert oracles.mining([[1.0, 0.0], [0.0, 1.0]], [[1], [1]], library) == pytest.approx(math.log(2) / 2)


def test_mining_of_one_label_is_eq_5_as_printed():
    rng = np.random.default_rng(0)
    codes, library, labels = units(rng, 4, 6), units(rng, 3, 2, 6), np.eye(3)[[0, 2, 1, 2]]
    total = 0.0
    for i in range(4):
        s = [sum(labels[i, c] * (oracles.cosine(codes[i], library[c, k]) + 1) / 2 for c in range(3)) for k in range(2)]
        total -= math.log(max(s)) / 4
    assert oracles.mining(codes, labels, library) == pytest.approx(total)


def test_mining_needs_a_class():
    with pytest.raises(ValueError):
        oracles.mining([[1.0, 0.0]], [[0]], [[[1.0, 0.0]]])


def test_robust_mining_lies_between_the_logarithm_and_the_distance():
    code, library = [[0.0, 1.0]], [[[1.0, 0.0]]]
    assert oracles.robust_mining(code, [[1]], library, 1) == pytest.approx(1 / 2)
    assert oracles.robust_mining(code, [[1]], library, 0.5) == pytest.approx(2 - math.sqrt(2))
    assert oracles.robust_mining(code, [[1]], library, 1e-9) == pytest.approx(math.log(2))


# --- separation, by hand ------------------------------------------------------------------------------------------


def test_separation_paper_of_orthogonal_prototypes_counts_them():
    assert oracles.separation_paper(orthogonal(4, 3)) == pytest.approx(math.log(11 / 2))


def test_separation_paper_of_tight_classes():
    expected = math.log((2 * E + 9) / (2 * E))
    assert oracles.separation_paper(one_prototype_repeated(4, 3)) == pytest.approx(expected)


def test_separation_paper_of_a_single_class_is_0():
    assert oracles.separation_paper(units(np.random.default_rng(0), 1, 3, 6)) == pytest.approx(0)


def test_separation_paper_of_single_prototypes_is_infinite():
    assert oracles.separation_paper(orthogonal(4, 1)) == math.inf


@pytest.mark.parametrize(("classes", "prototypes"), [(1, 1), (4, 1), (2, 3)])
def test_separation_released_of_orthogonal_prototypes_is_log_2(classes, prototypes):
    assert oracles.separation_released(orthogonal(classes, prototypes)) == pytest.approx(math.log(2))


def test_separation_released_of_tight_classes():
    positive = 2 * E + 1 + 9  # two others, the diagonal, nine of other classes
    expected = math.log((positive + 3 + 9) / positive)
    assert oracles.separation_released(one_prototype_repeated(4, 3)) == pytest.approx(expected)


def test_separation_released_of_two_opposite_prototypes():
    expected = math.log((2 + 1 + 1 / E) / 2)
    assert oracles.separation_released([[[1.0, 0.0]], [[-1.0, 0.0]]]) == pytest.approx(expected)


def test_separation_released_is_the_form_written_out():
    library = units(np.random.default_rng(1), 3, 2, 5)
    s, total = oracles.cosines(library.reshape(6, 5), library.reshape(6, 5)), 0.0
    for i in range(6):
        near = sum(math.exp(s[i, j]) for j in range(6) if j // 2 == i // 2 and j != i)
        far = sum(math.exp(s[i, j]) for j in range(6) if j // 2 != i // 2)
        total -= math.log((near + 1 + 4) / (near + 1 + 4 + 2 + far)) / 6
    assert oracles.separation_released(library) == pytest.approx(total)


# --- transfer, by hand --------------------------------------------------------------------------------------------


def test_transfer_of_an_equal_library_is_0():
    library = orthogonal(3, 2)
    assert oracles.transfer(library, library, [True] * 3, 0.95) == 0
    assert oracles.transfer(library, library, [True] * 3, 1.0) == 0


def test_transfer_between_the_cuts():
    library, anchor = [[[1.0, 0.0]]], [[[3.0, 4.0]]]
    assert oracles.transfer(library, anchor, [True], 0.95) == pytest.approx(-math.log(0.65))
    assert oracles.transfer(library, anchor, [True], 0.6) == pytest.approx(0)
    assert oracles.transfer(library, anchor, [True], 0.5) == 0


def test_transfer_is_cut_at_the_floor():
    assert oracles.transfer([[[1.0, 0.0]]], [[[-1.0, 0.0]]], [True], 0.95) == pytest.approx(10 * math.log(10))
    assert oracles.transfer([[[1.0, 0.0]]], [[[0.0, 1.0]]], [True], 0.95) == pytest.approx(-math.log(0.05))


def test_transfer_pairs_by_class_and_index():
    library = orthogonal(2, 2)
    assert oracles.transfer(library, library[:, ::-1], [True, True], 0.5) == pytest.approx(math.log(2))
    assert oracles.transfer(library, library[::-1], [True, True], 0.5) == pytest.approx(math.log(2))


def test_transfer_averages_over_the_classes_the_anchor_has():
    library, anchor = [[[1.0, 0.0]], [[1.0, 0.0]], [[1.0, 0.0]]], [[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]]
    assert oracles.transfer(library, anchor, [True, True, False], 0.5) == pytest.approx(math.log(2) / 2)
    assert oracles.transfer(library, anchor, [False, True, False], 0.5) == pytest.approx(math.log(2))
    assert oracles.transfer(library, anchor, [False] * 3, 0.5) == 0


# --- discrimination, by hand --------------------------------------------------------------------------------------


def two_classes(n):
    """2n codes of two orthogonal classes, equal within a class, and their labels."""
    codes = np.repeat(np.eye(2), n, axis=0)
    return codes, codes


def test_discrimination_paper_of_a_single_class_is_0():
    assert oracles.discrimination_paper(units(np.random.default_rng(0), 4, 6), np.ones((4, 1))) == pytest.approx(0)


@pytest.mark.parametrize("n", [1, 3])
def test_discrimination_of_two_orthogonal_classes(n):
    assert oracles.discrimination_paper(*two_classes(n)) == pytest.approx(math.log((E + 1) / E))
    assert oracles.discrimination_released(*two_classes(n)) == pytest.approx(math.log((E + 3) / (E + 1)))


def test_discrimination_released_of_a_single_code_keeps_its_diagonal():
    assert oracles.discrimination_released([[1.0, 0.0]], [[1]]) == pytest.approx(math.log((E + 1) / E))


def test_discrimination_by_any_common_class():
    codes, several = np.eye(2), [[1, 1, 0], [0, 1, 1]]
    assert oracles.discrimination_paper(codes, several) == pytest.approx(0)
    assert oracles.discrimination_released(codes, several) == pytest.approx(math.log((E + 3) / (E + 1)))


def test_discrimination_released_is_the_form_written_out():
    rng = np.random.default_rng(2)
    codes, owner = units(rng, 5, 6), [0, 1, 0, 2, 0]
    s, total = oracles.cosines(codes, codes), 0.0
    for i in range(5):
        near = [math.exp(s[i, j]) for j in range(5) if owner[j] == owner[i]]
        far = [math.exp(s[i, j]) for j in range(5) if owner[j] != owner[i]]
        positive = sum(near) + len(far)
        total -= math.log(positive / (positive + len(near) + sum(far))) / 5
    assert oracles.discrimination_released(codes, np.eye(3)[owner]) == pytest.approx(total)


# --- networks, by hand --------------------------------------------------------------------------------------------


def test_hash_network_of_one_layer_is_a_normalised_tanh():
    a, b = math.tanh(3), math.tanh(-4)
    expected = [[a / math.hypot(a, b), b / math.hypot(a, b)]]
    np.testing.assert_allclose(oracles.hash_network([(np.eye(2), None)], [[3.0, -4.0]]), expected)


def test_hash_network_has_relu_between_the_layers_and_none_at_the_end():
    first, last = (np.eye(2), np.array([0.0, 1.0])), (np.array([[1.0, -1.0], [1.0, 1.0]]), None)
    out = oracles.hash_network([first, (np.eye(2), np.zeros(2)), last], [[-5.0, 1.0], [2.0, -9.0]])
    a = math.tanh(2)
    np.testing.assert_allclose(out, [[math.sqrt(0.5)] * 2, [a / math.hypot(a, a), -a / math.hypot(a, a)]])


def test_hash_network_leaves_a_row_of_zeros():
    np.testing.assert_array_equal(oracles.hash_network([(np.zeros((2, 3)), None)], np.ones((1, 2))), [[0, 0, 0]])


def test_library_network_turns_rows_into_classes_of_prototypes():
    rows = np.stack([np.eye(3), 0.5 * np.eye(3)])
    kernel, bias = np.diag([1.0, 2.0, 3.0]), np.array([0.0, 0.0, 0.1])
    library = oracles.library_network([(kernel, bias)], rows)
    assert library.shape == (3, 2, 3)
    for c, slope in enumerate((1.0, 2.0, 3.0)):
        for p, entry in enumerate((1.0, 0.5)):
            expected = np.tanh(np.where(np.arange(3) == c, slope * entry, 0) + bias)
            np.testing.assert_allclose(library[c, p], expected / np.linalg.norm(expected))


# --- both hands together ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", FORMS)
def test_oracles_rebuild_the_torch_step(variant):
    arrays = np.load(Path(__file__).parent / "parity" / f"she_{variant}.npz", allow_pickle=False)

    def weights(name):
        layers = [(arrays[f"weight/{name}.{n}.weight"].T, arrays.get(f"weight/{name}.{n}.bias")) for n in (0, 2, 4)]
        return [
            (kernel.astype(np.float64), None if bias is None else bias.astype(np.float64)) for kernel, bias in layers
        ]

    codes, labels = oracles.hash_network(weights("hash"), arrays["input/x"]), arrays["input/labels"]
    library = oracles.library_network(weights("library"), arrays["buffer/rows"])
    np.testing.assert_allclose(codes, arrays["output/codes"], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(library, arrays["output/library"], rtol=1e-9, atol=1e-12)
    terms = {
        "mining": oracles.mining(codes, labels, library),
        "separation": SEPARATION[variant](library),
        "discrimination": DISCRIMINATION[variant](codes, labels),
    }
    first = terms["mining"] + terms["separation"] + 4 * terms["discrimination"]
    terms["transfer"] = oracles.transfer(library, arrays["input/anchor"], [True] * 4, 0.95)
    for name, value in terms.items():
        # the anchor is normalised but to float32, which shows in the cosine and not in the program's inner product
        assert value == pytest.approx(float(arrays[f"loss/later/{name}"]), rel=1e-6 if name == "transfer" else 1e-9)
    assert first == pytest.approx(float(arrays["loss/first/total"]), rel=1e-9)
    assert first + terms["transfer"] == pytest.approx(float(arrays["loss/later/total"]), rel=1e-6)


# --- the library's losses -----------------------------------------------------------------------------------------

MULTI = pytest.mark.parametrize("multi", [False, True], ids=["single", "multi"])
PROTOTYPES = pytest.mark.parametrize("prototypes", [1, 3])
FORM = pytest.mark.parametrize("form", FORMS)
CLASSES, BITS, BATCH = 5, 6, 7


def batch_of(multi, prototypes=3, seed=3):
    """Codes [7, 6], labels [7, 5] and library [5, P, 6] in float32; the last class has no item."""
    rng = np.random.default_rng(seed)
    owner = rng.permutation([0, 0, 0, 1, 1, 2, 3])
    labels = np.eye(CLASSES)[owner]
    if multi:
        labels = np.maximum(labels, rng.random((BATCH, CLASSES)) < 0.2)
        labels[:, -1] = 0
        assert {1, 2} <= set(labels.sum(1)) and 0 < oracles.share_a_class(labels).sum() < BATCH**2
    arrays = units(rng, BATCH, BITS), labels.astype(np.float32), units(rng, CLASSES, prototypes, BITS)
    return tuple(jnp.asarray(a) for a in arrays)


def transfer_pair(prototypes=3):
    """Library and anchor [5, P, 6] of given cosines, none of them near a cut of Eq 8 at σ .5, .95 or 1."""
    rng = np.random.default_rng(4)
    library, aside = units(rng, 2, CLASSES, prototypes, BITS).astype(np.float64)
    table = [[0.99, 0.97, 0.9], [0.8, 0.7, 0.6], [0.45, 0.3, 0.2], [0.1, -0.1, -0.3], [-0.45, -0.7, -0.95]]
    cosine = np.array(table)[:, :prototypes, None]
    aside -= (aside * library).sum(-1, keepdims=True) * library
    aside /= np.linalg.norm(aside, axis=-1, keepdims=True)
    anchor = cosine * library + np.sqrt(1 - cosine**2) * aside
    return jnp.asarray(library, jnp.float32), jnp.asarray(anchor, jnp.float32)


@functools.cache
def jitted(function, **options):
    """Each loss compiled once for all its tests: an operation at a time, a compiler would be at work in each."""
    return jax.jit(functools.partial(function, **options))


@functools.cache
def sloped(function, places, **options):
    return jax.jit(jax.value_and_grad(functools.partial(function, **options), argnums=places))


def graded(function, inputs, places, **options):
    """Gradients in the inputs at `places` against differences, along three directions."""
    run, step, rng = jitted(function, **options), 1e-3, np.random.default_rng(5)
    value, slopes = sloped(function, places, **options)(*inputs)
    assert np.isfinite(value)
    for _ in range(3):
        ways = {place: rng.normal(size=inputs[place].shape).astype(np.float32) for place in places}
        ahead, behind = (
            run(*(x + sign * step * ways[n] if n in ways else x for n, x in enumerate(inputs))) for sign in (1, -1)
        )
        along = sum(float((slope * ways[place]).sum()) for place, slope in zip(places, slopes, strict=True))
        assert float(ahead - behind) / (2 * step) == pytest.approx(along, rel=5e-3, abs=5e-4)


def agrees(found, expected):
    assert jnp.shape(found) == ()
    np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-6)


@MULTI
@PROTOTYPES
def test_mining_is_the_oracle_s(multi, prototypes):
    codes, labels, library = batch_of(multi, prototypes)
    agrees(jitted(she.mining)(codes, labels, library), oracles.mining(codes, labels, library))


@MULTI
@PROTOTYPES
@pytest.mark.parametrize("q", [0.1, 0.5, 1.0])
def test_robust_mining_is_the_oracle_s(multi, prototypes, q):
    codes, labels, library = batch_of(multi, prototypes)
    expected = oracles.robust_mining(codes, labels, library, q)
    agrees(jitted(she.mining, q=q)(codes, labels, library), expected)


@MULTI
@pytest.mark.parametrize("q", [0.0, 0.5])
def test_mining_has_its_value_s_gradient(multi, q):
    graded(she.mining, batch_of(multi), (0, 2), q=q)


def test_mining_moves_the_nearest_prototypes_alone():
    codes, labels, library = batch_of(multi=False)
    moved = np.abs(sloped(she.mining, (0, 2), q=0.0)(codes, labels, library)[1][1]).sum(-1) > 0
    expected = np.zeros((CLASSES, 3), bool)
    for code, label in zip(codes, labels, strict=True):
        c = int(np.argmax(label))
        expected[c, np.argmax([oracles.cosine(code, p) for p in library[c]])] = True
    np.testing.assert_array_equal(moved, expected)


@FORM
def test_separation_is_the_oracle_s(form):
    library = batch_of(multi=False)[2]
    agrees(jitted(she.separation, form=form)(library), SEPARATION[form](library))


def test_separation_released_is_the_oracle_s_for_single_prototypes():
    library = batch_of(multi=False, prototypes=1)[2]
    agrees(jitted(she.separation, form="released")(library), oracles.separation_released(library))


def test_separation_paper_gives_no_number_for_single_prototypes():
    library = batch_of(multi=False, prototypes=1)[2]
    with pytest.raises(ValueError, match="expected at least 2 prototypes a class"):
        she.separation(library, form="paper")


@FORM
def test_separation_of_equal_prototypes_within_classes(form):
    """How a released library starts: rows that are equal in all their bits, self-similarity 1 up to rounding."""
    library = jnp.repeat(batch_of(multi=False, prototypes=1)[2], 3, axis=1)
    value, (slope,) = sloped(she.separation, (0,), form=form)(library)
    agrees(value, SEPARATION[form](library))
    assert np.isfinite(slope).all()


@pytest.mark.parametrize(("form", "prototypes"), [("paper", 3), ("released", 3), ("released", 1)])
def test_separation_has_its_value_s_gradient(form, prototypes):
    graded(she.separation, batch_of(multi=False, prototypes=prototypes)[2:], (0,), form=form)


@PROTOTYPES
@pytest.mark.parametrize("filled", [(1, 1, 1, 1, 1), (1, 0, 1, 0, 1), (0, 0, 0, 1, 0), (0, 0, 0, 0, 0)])
@pytest.mark.parametrize("sigma", [0.5, 0.95, 1.0])
def test_transfer_is_the_oracle_s(prototypes, filled, sigma):
    library, anchor = transfer_pair(prototypes)
    filled = jnp.asarray(filled, bool)
    expected = oracles.transfer(library, anchor, filled, sigma)
    agrees(jitted(she.transfer, sigma=sigma)(library, anchor, filled), expected)


@PROTOTYPES
@pytest.mark.parametrize("filled", [(1, 1, 1, 1, 1), (1, 0, 1, 0, 1)])
def test_transfer_has_its_value_s_gradient(prototypes, filled):
    library, anchor = transfer_pair(prototypes)
    graded(she.transfer, (library, anchor, jnp.asarray(filled, bool)), (0,), sigma=0.95)


def test_transfer_pulls_only_what_lies_between_the_cuts():
    library, anchor = transfer_pair()
    filled = jnp.asarray([True, True, False, True, True])
    _, (pull,) = sloped(she.transfer, (0,), sigma=0.95)(library, anchor, filled)
    reach = np.sum(np.asarray(library) * np.asarray(anchor), axis=-1) - 0.95 + 1
    expected = (reach > 0) & (reach < 1) & np.asarray(filled)[:, None]
    np.testing.assert_array_equal(np.abs(pull).sum(-1) > 0, expected)


@pytest.mark.parametrize("filled", [(1, 1, 0, 0, 1), (0, 0, 0, 0, 0)])
def test_transfer_looks_at_no_row_the_anchor_lacks(filled):
    """A class not yet seen is a row of zeros, which has no cosine: neither value nor gradient may be NaN."""
    library, anchor = transfer_pair()
    filled = jnp.asarray(filled, bool)
    anchor = jnp.where(filled[:, None, None], anchor, 0)
    value, (pull,) = sloped(she.transfer, (0,), sigma=0.95)(library, anchor, filled)
    agrees(value, oracles.transfer(library, anchor, filled, 0.95))
    assert np.isfinite(pull).all()
    np.testing.assert_array_equal(np.asarray(pull)[~np.asarray(filled)], 0)


@MULTI
@FORM
def test_discrimination_is_the_oracle_s(multi, form):
    codes, labels, _ = batch_of(multi)
    found = jitted(she.discrimination, form=form)(codes, labels, codes, labels)
    agrees(found, DISCRIMINATION[form](codes, labels))


@MULTI
@FORM
def test_discrimination_of_parts_against_all_is_the_whole(multi, form):
    codes, labels, _ = batch_of(multi)
    run = jitted(she.discrimination, form=form)
    first, rest = (run(codes[part], labels[part], codes, labels) for part in (slice(3), slice(3, None)))
    agrees((3 * first + 4 * rest) / 7, DISCRIMINATION[form](codes, labels))


@MULTI
@FORM
def test_discrimination_has_its_value_s_gradient(multi, form):
    """Both places a code appears in are differentiated: given and among all."""
    codes, labels, _ = batch_of(multi)
    graded(she.discrimination, (codes[:3], labels[:3], codes, labels), (0, 2), form=form)
