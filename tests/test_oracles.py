"""The oracles themselves, held to values worked out by hand."""

import math
from pathlib import Path

import numpy as np
import oracles
import pytest

ONES, ZEROS = np.ones(2), np.zeros(2)


def gate_weights(p, q, width=None):
    """Random weights of one gate: dense where width is None, else a convolution without groups."""
    rng = np.random.default_rng(0)
    shape = () if width is None else (width,)
    return {
        "reduce": rng.normal(size=(*shape, p, q)),
        "expand": rng.normal(size=(*shape, q, p)),
        "reduce_scale": np.ones(q),
        "reduce_bias": np.zeros(q),
        "expand_scale": np.ones(p),
        "expand_bias": np.zeros(p),
    }


# --- building stones ----------------------------------------------------------------------------------------------


def test_dense_by_hand():
    np.testing.assert_array_equal(oracles.dense([[[1.0, 2.0]]], [[1.0, 0.0], [0.0, 10.0]], [5.0, 7.0]), [[[6.0, 27.0]]])


def test_squared_distance_of_3_4_is_25():
    assert oracles.squared_distance([0, 0], [3, 4]) == 25


def test_mean_over_frames():
    np.testing.assert_allclose(oracles.mean_over_frames([[[1.0, 4.0], [3.0, 8.0]]]), [[2.0, 6.0]])


def test_gelu_is_zero_at_zero_and_symmetric_difference_is_x():
    x = np.array([0.0, 0.5, 2.0])
    np.testing.assert_allclose(oracles.gelu(x) - oracles.gelu(-x), x)
    assert oracles.gelu([1.0])[0] == pytest.approx(0.841344746)  # Φ(1)


def test_gelu_tanh_is_near_but_not_the_exact_gelu():
    difference = abs(oracles.gelu_tanh([1.0]) - oracles.gelu([1.0]))[0]
    assert 1e-5 < difference < 1e-3


# --- MCMSH hash layer ---------------------------------------------------------------------------------------------


def test_mcmsh_sign_of_zero_is_plus_one():
    np.testing.assert_array_equal(oracles.mcmsh_sign([-0.1, 0.0, 0.1]), [-1, 1, 1])


def test_mcmsh_sign_gradient_clips_each_value():
    np.testing.assert_array_equal(oracles.mcmsh_sign_gradient([-3.0, -0.5, 0.0, 2.0]), [-1, -0.5, 0, 1])


def test_mcmsh_hash_paper_takes_tanh_of_the_mean():
    e = np.array([[[3.0], [-1.0]]])
    relaxed, binary = oracles.mcmsh_hash_paper(e, np.eye(1), np.zeros(1))
    np.testing.assert_allclose(relaxed, [[math.tanh(1)]])
    np.testing.assert_array_equal(binary, [[1]])


def test_mcmsh_hash_released_takes_the_mean_of_tanh():
    e = np.array([[[3.0], [-1.0]]])
    relaxed, binary = oracles.mcmsh_hash_released(e, -np.eye(1), np.zeros(1), epoch=3)
    np.testing.assert_allclose(relaxed, [[(math.tanh(-6) + math.tanh(2)) / 2]])
    np.testing.assert_array_equal(binary, [[-1]])


def test_mcmsh_hash_forms_agree_on_one_frame_in_the_first_epoch():
    e, kernel = np.random.default_rng(1).normal(size=(2, 1, 3)), np.random.default_rng(2).normal(size=(3, 4))
    paper = oracles.mcmsh_hash_paper(e, kernel, np.zeros(4))[0]
    np.testing.assert_allclose(oracles.mcmsh_hash_released(e, kernel, np.zeros(4), epoch=0)[0], paper)


# --- MCMSH losses -------------------------------------------------------------------------------------------------


def test_mcmsh_cluster_is_zero_at_the_centre():
    e = np.ones((3, 2, 4)) * np.array([0.5, 1.5])[None, :, None]
    assert oracles.mcmsh_cluster_paper(e, np.ones((3, 4))) == 0


def test_mcmsh_cluster_paper_divides_by_items_and_released_by_dimensions_too():
    e, u = np.ones((3, 2, 4)), np.zeros((3, 4))
    assert oracles.mcmsh_cluster_paper(e, u) == pytest.approx(4)
    assert oracles.mcmsh_cluster_released(e, u, 2 * e, u) == pytest.approx(1 + 4)


def test_mcmsh_similarity_pairs_of_equal_codes():
    h = np.ones((2, 8))
    assert oracles.mcmsh_similarity_pairs(h, h, [1, 1]) == 0
    assert oracles.mcmsh_similarity_pairs(h, h, [-1, 0]) == (4 + 1) / 2
    assert oracles.mcmsh_similarity_pairs(h, -h, [-1, 1]) == (0 + 4) / 2


def test_mcmsh_similarity_all_pairs_counts_every_entry_and_divides_by_b():
    h = np.stack([np.ones(4), -np.ones(4), np.ones(4)])
    agreement = np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]])
    assert oracles.mcmsh_similarity_all_pairs(h, agreement) == 0
    assert oracles.mcmsh_similarity_all_pairs(h, np.zeros((3, 3))) == pytest.approx(9 / 3)


def test_mcmsh_quantisation_of_halves():
    h = np.full((3, 8), 0.5)
    assert oracles.mcmsh_quantisation_paper(h) == pytest.approx(8 * 0.25)
    assert oracles.mcmsh_quantisation_released(h, -np.ones((3, 8))) == pytest.approx(0.25)


def test_mcmsh_quantisation_gradient_points_away_from_the_sign():
    np.testing.assert_allclose(oracles.mcmsh_quantisation_gradient([[0.5, -0.25]], 2), [[-0.5, 0.75]])


def test_mcmsh_similarity_paper_holds_a_tenth_of_the_quantisation():
    h = np.full((2, 4), 0.5)
    expected = 4 * (0.25 - 1) ** 2 / 2 + 0.1 * 1.0
    assert oracles.mcmsh_similarity_paper(h, np.ones((2, 2))) == pytest.approx(expected)


@pytest.mark.parametrize(("bits", "margins"), [(16, (4, 0.25)), (32, (8, 0.5)), (64, (16, 1))])
def test_mcmsh_margins_are_the_printed_ones(bits, margins):
    assert oracles.mcmsh_margins(bits) == margins


def test_mcmsh_quadruplet_of_equal_codes_is_the_sum_of_the_margins():
    h = np.ones((2, 16))
    assert oracles.mcmsh_quadruplet(h, h, h, h, (4, 0.25)) == 4.25


def test_mcmsh_quadruplet_terms_are_separate():
    anchor = np.ones((1, 16))
    assert oracles.mcmsh_quadruplet(anchor, anchor, -anchor, -anchor, (4, 0.25)) == 0.25  # negatives coincide
    assert oracles.mcmsh_quadruplet(anchor, anchor, -anchor, anchor, (4, 0.25)) == 0
    assert oracles.mcmsh_quadruplet(anchor, -anchor, -anchor, anchor, (4, 0.25)) == 4.25  # 64 - 64 + both margins


def test_mcmsh_quadruplet_without_negatives_still_counts_in_b():
    h = np.ones((2, 16))
    assert oracles.mcmsh_quadruplet(h, h, h, h, (4, 0.25), has_negative=[1, 0]) == 4.25 / 2


def test_mcmsh_totals():
    assert oracles.mcmsh_total_paper(1, 10, 100) == pytest.approx(0.8 + 1 + 1)
    assert oracles.mcmsh_total_released(1, 10, 50, 100) == pytest.approx(0.8 + 1 + 0.5 + 1)


# --- MCMSH network ------------------------------------------------------------------------------------------------


def test_mcmsh_mlp_of_large_inputs_is_two_affine_maps():
    x = np.array([[30.0, 40.0]])
    out = oracles.mcmsh_mlp(x, np.eye(2, 4), np.zeros(4), np.ones((4, 2)), np.array([0.0, 1.0]))
    np.testing.assert_allclose(out, [[70.0, 71.0]])


def test_mcmsh_batch_norm_of_plus_and_minus_one():
    x = np.array([[[1.0, 5.0]], [[-1.0, 5.0]]])
    y = oracles.mcmsh_batch_norm(x, [2.0, 3.0], [0.0, 7.0])
    np.testing.assert_allclose(y, [[[2 / math.sqrt(1 + 1e-5), 7]], [[-2 / math.sqrt(1 + 1e-5), 7]]])


def test_mcmsh_batch_norm_takes_the_middle_axis_into_the_statistics():
    y = oracles.mcmsh_batch_norm(np.arange(6.0).reshape(2, 3, 1), [1.0], [0.0])
    assert y.mean() == pytest.approx(0, abs=1e-12) and y.var() == pytest.approx(1, rel=1e-4)


def test_mcmsh_adaptive_average_pool_down_overlaps_where_it_must():
    x = np.arange(7.0).reshape(1, 7, 1)  # windows 0-3 and 3-6
    np.testing.assert_allclose(oracles.mcmsh_adaptive_average_pool(x, 2)[0, :, 0], [1.5, 4.5])


def test_mcmsh_adaptive_average_pool_up_repeats_and_averages():
    x = np.array([2.0, 6.0]).reshape(1, 2, 1)
    np.testing.assert_allclose(oracles.mcmsh_adaptive_average_pool(x, 5)[0, :, 0], [2, 2, 4, 6, 6])


def test_mcmsh_conv1d_by_hand():
    x = np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1)
    kernel = np.array([100.0, 10.0, 1.0]).reshape(3, 1, 1)  # left neighbour, itself, right neighbour
    np.testing.assert_array_equal(oracles.mcmsh_conv1d(x, kernel, 1)[0, :, 0], [12, 123, 230])


def test_mcmsh_conv1d_groups_see_only_their_channels():
    x = np.array([[[1.0, 10.0, 100.0, 1000.0]]])
    kernel = np.zeros((3, 2, 2))
    kernel[1] = 1
    np.testing.assert_array_equal(oracles.mcmsh_conv1d(x, kernel, 2), [[[11, 1100]]])
    spread = np.zeros((3, 1, 4))
    spread[1] = 1
    np.testing.assert_array_equal(oracles.mcmsh_conv1d([[[1.0, 5.0]]], spread, 2), [[[1, 1, 5, 5]]])


def test_mcmsh_masks_of_a_silent_batch_norm_are_one_half():
    x = np.random.default_rng(3).normal(size=(2, 7, 4))
    for mask, width in [(oracles.mcmsh_mask_long, None), (oracles.mcmsh_mask_middle, 3), (oracles.mcmsh_mask_short, 3)]:
        w = gate_weights(4, 2, width) | {"expand_scale": np.zeros(4)}
        np.testing.assert_array_equal(mask(x, w), np.full((2, 7, 4), 0.5))


def test_mcmsh_mask_long_is_the_same_at_every_place():
    mask = oracles.mcmsh_mask_long(np.random.default_rng(4).normal(size=(3, 5, 4)), gate_weights(4, 2))
    np.testing.assert_array_equal(mask, np.broadcast_to(mask[:, :1], mask.shape))
    assert not np.allclose(mask[0], mask[1])


def test_mcmsh_mask_middle_is_piecewise_where_thirds_divide_evenly():
    mask = oracles.mcmsh_mask_middle(np.random.default_rng(5).normal(size=(3, 6, 4)), gate_weights(4, 2, 3))
    np.testing.assert_array_equal(mask[:, :3], np.broadcast_to(mask[:, :1], (3, 3, 4)))
    np.testing.assert_array_equal(mask[:, 3:], np.broadcast_to(mask[:, 5:], (3, 3, 4)))


def test_mcmsh_mask_short_sees_two_places_each_side():
    """Two convolutions of width 3 reach two places, and no further."""
    x = np.zeros((1, 9, 1))
    w = gate_weights(1, 1, 3) | {"reduce": np.ones((3, 1, 1)), "expand": np.ones((3, 1, 1))}
    x[0, 4] = 1.0
    mask = oracles.mcmsh_mask_short(x, w)[0, :, 0]
    np.testing.assert_allclose(mask, mask[::-1])
    assert mask[4] > mask[3] > mask[2] > mask[1] and mask[0] == pytest.approx(mask[1])


def test_mcmsh_mix_works_on_the_middle_axis():
    x = np.array([[[1.0, 2.0], [10.0, 20.0]]])
    np.testing.assert_array_equal(oracles.mcmsh_mix(x, [[0, 1], [1, 0]], [5.0, 0]), [[[15, 25], [1, 2]]])


def test_mcmsh_gate_unit_sums_masks_once_or_outputs_thrice():
    x, same = np.random.default_rng(6).normal(size=(2, 3, 4)), (np.eye(3), np.zeros(3))
    masks = [lambda v, f=f: np.full(v.shape, f) for f in (0.1, 0.2, 0.3)]
    np.testing.assert_allclose(oracles.mcmsh_gate_unit(x, same, masks, same), 0.6 * x)
    released = sum(oracles.mcmsh_gate_unit(x, same, [m], (np.eye(3), np.ones(3))) for m in masks)
    np.testing.assert_allclose(released, 0.6 * x + 3)  # the bias of the mix after enters once a gate


# --- DKPH binarisation --------------------------------------------------------------------------------------------


def test_dkph_signs_differ_only_at_zero():
    x = [-2.0, -0.1, 0.0, 0.1, 2.0]
    np.testing.assert_array_equal(oracles.dkph_sign_paper(x), [-1, -1, 1, 1, 1])
    np.testing.assert_array_equal(oracles.dkph_sign_released(x), [-1, -1, -1, 1, 1])


def test_dkph_sign_paper_gradient_is_that_of_tanh():
    np.testing.assert_allclose(oracles.dkph_sign_paper_gradient([0.0, 1.0], [3.0, 2.0]), [3, 2 / math.cosh(1) ** 2])


def test_dkph_sign_released_gradient_is_open_below_and_closed_above():
    x = [-1.5, -1.0, -0.99, 0.0, 1.0, 1.01]
    np.testing.assert_array_equal(oracles.dkph_sign_released_gradient(x, np.full(6, 7.0)), [0, 0, 7, 7, 7, 0])


# --- DKPH network -------------------------------------------------------------------------------------------------


def test_dkph_layer_norm_uses_the_unbiased_deviation():
    y = oracles.dkph_layer_norm([[-1.0, 1.0]], ONES, ZEROS)
    np.testing.assert_allclose(y, [[-1 / (math.sqrt(2) + 1e-6), 1 / (math.sqrt(2) + 1e-6)]])


def test_dkph_layer_norm_of_a_constant_row_is_its_bias():
    np.testing.assert_array_equal(oracles.dkph_layer_norm([[4.0, 4.0]], ONES, [1.0, 2.0]), [[1, 2]])


def test_dkph_positions():
    p = oracles.dkph_positions(2, 4)
    np.testing.assert_allclose(p, [[0, 1, 0, 1], [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)]])


def test_dkph_attention_without_queries_averages_the_values():
    x, identity, nothing = (
        np.random.default_rng(7).normal(size=(2, 3, 2)),
        (np.eye(2), ZEROS),
        (np.zeros((2, 2)), ZEROS),
    )
    out = oracles.dkph_attention(x, nothing, identity, identity, identity)
    np.testing.assert_allclose(out, np.broadcast_to(x.mean(1, keepdims=True), x.shape))


def test_dkph_attention_scales_by_the_root_of_the_width():
    x = np.array([[[1.0, 0.0], [0.0, 1.0]]])
    identity = (np.eye(2), ZEROS)
    near = math.exp(1 / math.sqrt(2)) / (math.exp(1 / math.sqrt(2)) + 1)
    out = oracles.dkph_attention(x, identity, identity, identity, identity)
    np.testing.assert_allclose(out, [[[near, 1 - near], [1 - near, near]]])


def test_dkph_block_with_silent_sublayers_is_the_identity():
    x, norm, nothing = np.random.default_rng(8).normal(size=(2, 3, 2)), (ONES, ZEROS), (np.zeros((2, 2)), ZEROS)
    np.testing.assert_array_equal(oracles.dkph_block(x, norm, [nothing] * 4, norm, nothing, nothing), x)


def test_dkph_hash_layer_concatenates_frame_after_frame():
    t = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    kernel = np.array([[1000.0], [100.0], [10.0], [1.0]])
    np.testing.assert_array_equal(oracles.dkph_hash_layer(t, kernel, [0.0]), [[1234]])


def test_dkph_decoder_adds_the_code_to_every_frame():
    latent = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    np.testing.assert_array_equal(
        oracles.dkph_decoder(latent, [[1.0, -1.0]], np.eye(2), [0.0, 10.0]), [[[2, 11], [4, 13]]]
    )


# --- DKPH losses --------------------------------------------------------------------------------------------------


def test_dkph_reconstruction_is_a_mean_of_squares():
    assert oracles.dkph_reconstruction(np.full((2, 3, 4), 2.0), np.zeros((2, 3, 4))) == 4


def test_dkph_bsim_of_equal_codes_and_its_weights():
    b = np.ones((3, 8))
    assert oracles.dkph_bsim([1, -1, 0], b, b) == pytest.approx((0 + 4 + 0) / 3)
    assert oracles.dkph_bsim([1, -1, -1], b, b, weight=[1, 1, 0.5]) == pytest.approx((4 + 2) / 3)


def test_dkph_tsim_paper_has_no_hinge_for_positives_and_doubles_it_for_negatives():
    t, c = np.zeros((1, 2)), np.array([[1.0, 0.0]])
    assert oracles.dkph_tsim_paper(t, c, c, [1]) == 1
    assert oracles.dkph_tsim_paper(t, c, c, [0]) == 1
    assert oracles.dkph_tsim_paper(t, c, c, [-1]) == pytest.approx(1 + 0.2)
    assert oracles.dkph_tsim_paper(t, c, [[1.2, 0.0]], [-1]) == pytest.approx(1 + 0.2 * (1 - 1.44 + 1))
    assert oracles.dkph_tsim_paper(t, c, [[3.0, 0.0]], [-1]) == 1


def test_dkph_tsim_released_keeps_a_constant_for_positives():
    t, c = np.zeros((1, 2)), np.array([[1.0, 0.0]])
    assert oracles.dkph_tsim_released(t, t, c, c, [1]) == pytest.approx(2 / 2 + 0.05)
    assert oracles.dkph_tsim_released(t, c, c, 1.2 * c, [-1]) == pytest.approx((1 + 0.04) / 2 + 0.1 * (1 - 1.2 + 0.5))
    assert oracles.dkph_tsim_released(t, c, c, 3 * c, [-1]) == pytest.approx((1 + 4) / 2)


def test_dkph_totals():
    assert oracles.dkph_total_teacher(3.0) == 3
    assert oracles.dkph_total_student(1, 1, 1) == pytest.approx(1 + 0.11 + 0.9)


# --- both hands together ------------------------------------------------------------------------------------------


def torch_gates(arrays, name, x, a, groups, units):
    """The oracles' gates with the weights of the PyTorch program: x [B, a, p] -> [B, a, p]."""

    def weight(key, turn=None):
        value = arrays[f"weight/{name}.units.{key}"].astype(np.float64)
        return value if turn is None else value.transpose(turn)

    def mask(key, kind):
        turn = (1, 0) if kind is oracles.mcmsh_mask_long else (2, 1, 0)
        w = {
            "reduce": weight(f"{key}.reduce.weight", turn),
            "expand": weight(f"{key}.expand.weight", turn),
            "reduce_scale": weight(f"{key}.reduce_norm.weight"),
            "reduce_bias": weight(f"{key}.reduce_norm.bias"),
            "expand_scale": weight(f"{key}.expand_norm.weight"),
            "expand_bias": weight(f"{key}.expand_norm.bias"),
        }
        return (lambda v: kind(v, w)) if kind is oracles.mcmsh_mask_long else (lambda v: kind(v, w, groups))

    kinds = [oracles.mcmsh_mask_long, oracles.mcmsh_mask_middle, oracles.mcmsh_mask_short]
    total = 0
    for u in range(units):
        before, after = (
            (weight(f"{u}.{place}.weight", (1, 0)), weight(f"{u}.{place}.bias")) for place in ("before", "after")
        )
        masks = [mask(f"{u}.gates.{g}", kind) for g, kind in enumerate(kinds if units == 1 else kinds[u : u + 1])]
        total = total + oracles.mcmsh_gate_unit(x, before, masks, after)
    return total


@pytest.mark.parametrize(("variant", "units"), [("released", 3), ("paper", 1)])
def test_mcmsh_oracles_rebuild_the_torch_network(variant, units):
    arrays = np.load(Path(__file__).parent / "parity" / f"mcmsh_{variant}.npz", allow_pickle=False)

    def layer(name):
        return arrays[f"weight/{name}.weight"].T.astype(np.float64), arrays[f"weight/{name}.bias"].astype(np.float64)

    seen = arrays["input/masked" if variant == "released" else "input/clean"]

    def mlp(name, x):
        return oracles.mcmsh_mlp(x, *layer(f"{name}.layers.0"), *layer(f"{name}.layers.3"))

    x = oracles.relu(oracles.dense(seen[0], *layer("project")))
    _, frames, width = x.shape
    z = mlp("token_mlp", x.transpose(0, 2, 1))
    x = x + torch_gates(arrays, "token_gates", z, width, 1, units).transpose(0, 2, 1)
    x = x + torch_gates(arrays, "channel_gates", mlp("channel_mlp", x), frames, 4, units)
    e = torch_gates(arrays, "last_gates", x, frames, 4, units)
    np.testing.assert_allclose(e, arrays["train/anchor/e"], rtol=1e-9, atol=1e-10)
    if variant == "paper":
        h = oracles.mcmsh_hash_paper(e, *layer("hash"))[0]
    else:
        h = oracles.mcmsh_hash_released(e, *layer("hash"), epoch=int(arrays["input/epoch"]))[0]
    np.testing.assert_allclose(h, arrays["train/anchor/h"], rtol=1e-9, atol=1e-10)


def test_mcmsh_oracles_give_the_torch_losses():
    arrays = np.load(Path(__file__).parent / "parity" / "mcmsh_released.npz", allow_pickle=False)
    roles = ["anchor", "partner", "positive", "negative1", "negative2"]
    h = [arrays[f"train/{role}/h"] for role in roles]
    e_i, e_j = arrays["train/anchor/e"], arrays["train/partner/e"]
    u_i, u_j = arrays["input/targets"][arrays["input/nearest"][:, 0]].reshape(2, *e_i.shape[::2])
    terms = {
        "cluster": oracles.mcmsh_cluster_released(e_i, u_i, e_j, u_j),
        "similarity": oracles.mcmsh_similarity_pairs(h[0], h[1], arrays["input/signs"]),
        "quantisation": oracles.mcmsh_quantisation_released(h[0], h[1]),
        "quadruplet": oracles.mcmsh_quadruplet(h[0], *h[2:], oracles.mcmsh_margins(8), arrays["input/has_negative"]),
    }
    terms["total"] = oracles.mcmsh_total_released(**terms)
    for name, value in terms.items():
        assert value == pytest.approx(float(arrays[f"loss/held/{name}"]), rel=1e-9), name


def test_mcmsh_oracles_give_the_torch_losses_as_printed():
    arrays = np.load(Path(__file__).parent / "parity" / "mcmsh_paper.npz", allow_pickle=False)
    h = [arrays[f"train/{role}/h"] for role in ("anchor", "positive", "negative1", "negative2")]
    u = arrays["input/targets"][arrays["input/nearest"][:6, 0]]
    terms = {
        "cluster": oracles.mcmsh_cluster_paper(arrays["train/anchor/e"], u),
        "similarity": oracles.mcmsh_similarity_paper(h[0], arrays["input/matrix"]),
        "quadruplet": oracles.mcmsh_quadruplet(*h, oracles.mcmsh_margins(8), arrays["input/has_negative"]),
    }
    terms["total"] = oracles.mcmsh_total_paper(**terms)
    for name, value in terms.items():
        assert value == pytest.approx(float(arrays[f"loss/held/{name}"]), rel=1e-9), name


def test_dkph_oracles_rebuild_the_torch_student():
    arrays = np.load(Path(__file__).parent / "parity" / "dkph_student_released.npz", allow_pickle=False)

    def layer(name):
        return arrays[f"weight/{name}.weight"].T.astype(np.float64), arrays[f"weight/{name}.bias"].astype(np.float64)

    def norm(name):
        return arrays[f"weight/encoder.{name}.a"], arrays[f"weight/encoder.{name}.b"]

    attention = [layer(f"encoder.attention.{name}") for name in ("query", "key", "value", "output")]
    feed_forward = layer("encoder.dense1"), layer("encoder.dense2")
    embeddings, codes, rebuilt = [], [], []
    for masked in arrays["input/masked"]:
        x = oracles.dense(masked, *layer("encoder.project")) + oracles.dkph_positions(masked.shape[1], 16)
        t = oracles.dkph_block(x, norm("norm1"), attention, norm("norm2"), *feed_forward)
        b = oracles.dkph_sign_released(oracles.dkph_hash_layer(t, *layer("hash")))
        embeddings.append(oracles.mean_over_frames(t))
        codes.append(b)
        rebuilt.append(oracles.dkph_decoder(oracles.dense(t, *layer("temporal")), b, *layer("decoder")))
    np.testing.assert_array_equal(codes[0], arrays["output/b"])
    np.testing.assert_allclose(rebuilt[0], arrays["output/rebuilt"], rtol=1e-6, atol=1e-6)

    terms = {
        "reconstruction": oracles.dkph_reconstruction(np.concatenate(arrays["input/masked"]), np.concatenate(rebuilt)),
        "bsim": oracles.dkph_bsim(arrays["input/sign"], *codes),
        "tsim": oracles.dkph_tsim_released(*embeddings, arrays["input/c_i"], arrays["input/c_j"], arrays["input/sign"]),
    }
    terms["total"] = oracles.dkph_total_student(**terms)
    for name, value in terms.items():
        assert value == pytest.approx(float(arrays[f"loss/step/{name}"]), rel=1e-6), name
