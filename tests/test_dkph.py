"""DKPH: its equations against plain loops, its fused loss against the plain network, its stages and its sampling."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from toys import ArrayTable

from jhash import codes, parallel
from jhash.encoders.cloze import apply_cloze, draw_cloze
from jhash.encoders.dual_stream import Products, reconstruction_loss_of_products
from jhash.losses import dkph as losses
from jhash.methods import dkph
from jhash.methods.dkph import Method
from jhash.types import InputError, Past, Stage

FRAMES, CHANNELS, ITEMS, BATCH = 3, 7, 23, 4
SIZES = {"bits": 5, "width": 6, "feedforward": 8, "teacher_bits": 4}
SMALL = {**SIZES, "batch": BATCH, "centres": 6, "nearest": 2, "pool": 4}


def stage(name="student", size=ITEMS):
    return Stage(name, "train", size, BATCH, 10, size // BATCH)


def normal(*shape, seed=0):
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(np.float32)


def signs(*shape, seed=0):
    return np.where(normal(*shape, seed=seed) > 0, 1, -1).astype(np.float32)


def tables(size=ITEMS):
    return {"train": ArrayTable(frames=normal(size, FRAMES, CHANNELS))}


@functools.cache
def started(method, name="student"):
    """Parameters of one stage, with no zero biases among them."""
    init = jax.jit(lambda key: method.init(stage(name), {}, {}, {"frames": jnp.zeros((2, FRAMES, CHANNELS))}, key)[0])
    return jax.tree.map(lambda p: np.asarray(p) + 0.1 * normal(*p.shape), init(jax.random.key(0)))


def graph(width=6):
    """By hand: item i has the positives i + 1, i + 2 and the negative i + 3; 0 has no positive, 1 no negative."""
    item = np.arange(ITEMS)[:, None]
    columns = {
        "nearest": np.arange(ITEMS, dtype=np.int32) % 6,
        "centres": normal(6, width, seed=5),
        "positive": ((item + [[1, 2]]) % ITEMS).astype(np.int32),
        "negative": ((item + [[3, 3]]) % ITEMS).astype(np.int32),
        "positive_count": np.where(item[:, 0] == 0, 0, 2).astype(np.int32),
        "negative_count": np.where(item[:, 0] == 1, 0, 1).astype(np.int32),
    }
    return {name: jnp.asarray(column) for name, column in columns.items()}


# --- the equations ------------------------------------------------------------------------------------------------

TARGET, CENTRE, PARTNER_CENTRE = signs(5), normal(5, 3, seed=2), normal(5, 3, seed=3)
EQUATIONS = {
    "reconstruction": (
        losses.reconstruction_loss,
        oracles.dkph_reconstruction,
        [normal(5, 2, 3), normal(5, 2, 3, seed=1)],
    ),
    "binary": (
        lambda b, c: losses.binary_similarity_loss(TARGET, np.abs(TARGET), b, c),
        lambda b, c: oracles.dkph_bsim(TARGET, b, c),
        [normal(5, 7), normal(5, 7, seed=1)],
    ),
    "embedding": (
        lambda t: losses.embedding_similarity_loss(
            t, CENTRE, PARTNER_CENTRE, TARGET, np.abs(TARGET), eta=0.1, margin=1.0
        ),
        lambda t: oracles.dkph_tsim_paper(t, CENTRE, PARTNER_CENTRE, TARGET),
        [normal(5, 3)],
    ),
    "embedding, released": (
        lambda t, u: losses.released_embedding_similarity_loss(
            t, u, CENTRE, PARTNER_CENTRE, TARGET, eta=0.1, margin=0.5
        ),
        lambda t, u: oracles.dkph_tsim_released(t, u, CENTRE, PARTNER_CENTRE, TARGET),
        [normal(5, 3), normal(5, 3, seed=1)],
    ),
}


@pytest.mark.parametrize("name", EQUATIONS)
def test_an_equation_is_its_plain_loop_with_and_without_jit(name):
    function, oracle, inputs = EQUATIONS[name]
    assert float(function(*inputs)) == pytest.approx(oracle(*inputs), rel=1e-5)
    assert float(jax.jit(function)(*inputs)) == pytest.approx(oracle(*inputs), rel=1e-5)


@pytest.mark.parametrize("name", EQUATIONS)
def test_an_equations_gradient_is_the_slope_of_its_plain_loop(name):
    function, oracle, inputs = EQUATIONS[name]
    gradients = jax.jit(jax.grad(function, argnums=tuple(range(len(inputs)))))(*inputs)
    for place, gradient in enumerate(gradients):
        along = normal(*inputs[place].shape, seed=9).astype(np.float64)

        def moved(by, place=place, along=along):
            return oracle(*(x + by * along if i == place else x for i, x in enumerate(np.float64(x) for x in inputs)))

        slope = (moved(1e-5) - moved(-1e-5)) / 2e-5
        assert float((np.asarray(gradient) * along).sum()) == pytest.approx(slope, rel=1e-3, abs=1e-6)


def test_total_of_the_student():
    total = losses.student_objective(0.5, 2.0, 3.0, weight=1.0, gamma1=0.11, gamma2=0.9)
    assert total == pytest.approx(oracles.dkph_total_student(0.5, 2.0, 3.0))


def test_binary_similarity_by_hand():
    b = signs(2, 8)
    target, weight = np.array([1.0, -1.0], "f"), np.array([1.0, 0.5], "f")
    assert float(losses.binary_similarity_loss(target, weight, b, b)) == pytest.approx((0 + 0.5 * 4) / 2)
    assert float(losses.binary_similarity_loss(target, weight, b, -b)) == pytest.approx(4 / 2)


def test_a_positive_pair_of_the_released_hinge_adds_a_constant_without_gradient():
    ones = np.ones(5, "f")
    run = jax.value_and_grad(
        lambda t, margin: losses.released_embedding_similarity_loss(
            t, CENTRE, CENTRE, CENTRE, ones, eta=0.1, margin=margin
        )
    )
    value, gradient = run(CENTRE, 0.5)
    assert float(value) == pytest.approx(0.05)
    np.testing.assert_array_equal(gradient, np.zeros((5, 3)))  # finite though both distances are 0


def test_reconstruction_from_products_is_the_plain_one_in_value_and_gradients():
    x, z, kernel, bias = normal(3, 4, 9), normal(3, 4, 5), normal(5, 9), normal(9)

    def fused(x, z, kernel, bias):
        products = Products(x @ kernel.T, x @ bias, (x**2).sum(-1))
        return reconstruction_loss_of_products(z, kernel, bias, products)

    def plain(x, z, kernel, bias):
        return losses.reconstruction_loss(x, z @ kernel + bias[None, None])

    each = range(4)
    value, gradients = jax.jit(jax.value_and_grad(fused, each))(x, z, kernel, bias)
    expected, slopes = jax.jit(jax.value_and_grad(plain, each))(x, z, kernel, bias)
    assert float(value) == pytest.approx(float(expected), rel=1e-5)
    for gradient, slope in zip(gradients, slopes, strict=True):
        np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-6)


# --- the loss of a step -------------------------------------------------------------------------------------------

STEPS = {
    "paper": (Method(**SMALL), "student"),
    "released": (Method(**SMALL, variant="released"), "student"),
    "one stream": (Method(**SMALL, dual_stream=False, encoder="convolution", reconstruct_partner=True), "student"),
    "whole clips": (Method(**SMALL, dual_stream=False, decoder="clip"), "student"),
    "whole clips, released": (Method(**SMALL, variant="released", dual_stream=False, decoder="clip"), "student"),
    "teacher": (Method(**SMALL, variant="released"), "teacher"),
}


@functools.cache
def drawn(name):
    """(rows, batch) of one step."""
    method, kind = STEPS[name]
    rows = method.rows(stage(kind), graph(), jnp.arange(ITEMS), jnp.int32(1), jax.random.key(7))
    frames = jnp.asarray(tables()["train"].arrays["frames"])
    read = {role: {"frames": frames[np.asarray(r)]} for role, r in rows.items() if r.dtype == jnp.int32}
    return rows, read


@functools.cache
def fused(name):
    """((loss, logs), gradients) of one step on one device."""
    method, kind = STEPS[name]

    def loss(params, batch, rows, key):
        total, (_, logs) = method.loss(stage(kind), graph(), params, {}, batch, rows, 0, key, parallel.ALONE)
        return total, logs

    rows, batch = drawn(name)
    return jax.jit(jax.value_and_grad(loss, has_aux=True))(started(method, kind), batch, rows, jax.random.key(3))


def plain_loss(method, kind, params, batch, rows, key):
    """The same step with masked frames, two passes and whole reconstructions."""
    network = method._network((FRAMES, CHANNELS), teacher=kind == "teacher")
    mask_key, noise_key = jax.random.split(key)
    seen = {}
    for place, role in enumerate(batch):
        places = place * BATCH + jnp.arange(BATCH)
        clean = batch[role]["frames"]
        cloze = draw_cloze(mask_key, places, FRAMES, BATCH)
        frames = apply_cloze(clean, batch["item"]["frames"], cloze)

        def apply(part, *inputs):
            return network.apply({"params": params}, *inputs, method=part)

        t = apply("encode", frames @ params["projection"].T, noise_key, places)
        b = None if kind == "teacher" else apply("code", t)
        if method.decoder == "clip" and kind == "student":
            kernel, bias = params["decoder"].reshape(-1, FRAMES, CHANNELS), params["decoder_bias"]
            rebuilt = jnp.einsum("bk,ktc->btc", b, kernel) + bias.reshape(FRAMES, CHANNELS)[None]
        else:
            rebuilt = apply("decode", apply("latent", t, b))
        target = frames if method.reconstruction_target == "masked" else clean
        seen[role] = t.mean(axis=1), b, losses.reconstruction_loss(target, rebuilt)
    item, code, reconstruction = seen["item"]
    if kind == "teacher":
        return reconstruction
    partner, partner_code, partner_reconstruction = seen["partner"]
    if method.reconstruct_partner:
        reconstruction = (reconstruction + partner_reconstruction) / 2
    near, far = (graph()["centres"][graph()["nearest"][rows[role]]] for role in ("item", "partner"))
    if method.embedding_loss == "paper":
        pull = losses.embedding_similarity_loss(item, near, far, rows["target"], rows["weight"], eta=0.1, margin=1.0)
    else:
        pull = losses.released_embedding_similarity_loss(item, partner, near, far, rows["target"], eta=0.1, margin=0.5)
    similar = losses.binary_similarity_loss(rows["target"], rows["weight"], code, partner_code)
    return reconstruction + 0.11 * similar + 0.9 * pull


def assert_near(found, expected, relative=1e-5):
    """Each leaf to `relative` of the whole gradient's norm."""
    norm = np.sqrt(sum((np.asarray(leaf) ** 2).sum() for leaf in jax.tree.leaves(expected)))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=relative * norm), found, expected)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if "clips" in name else name for name in STEPS]
)
def test_the_fused_step_is_the_plain_one(name):
    method, kind = STEPS[name]
    rows, batch = drawn(name)
    plain = jax.jit(jax.value_and_grad(lambda p, key: plain_loss(method, kind, p, batch, rows, key)))
    expected, slopes = plain(started(method, kind), jax.random.key(3))
    (loss, _), gradients = fused(name)
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert_near(gradients, slopes)


@pytest.mark.parametrize("name", ["paper", "released"])
def test_four_devices_are_one(name):
    method, kind = STEPS[name]
    rows, batch = parallel.shard(drawn(name), 4)

    def share(params, batch, rows, key):
        def loss(params):
            return method.loss(stage(kind), graph(), params, {}, batch, rows, 0, key, parallel.TOGETHER)[0]

        return parallel.TOGETHER.mean(jax.value_and_grad(loss)(params))

    run = jax.pmap(share, parallel.AXIS, in_axes=(None, 0, 0, None))
    loss, gradients = run(started(method, kind), batch, rows, jax.random.key(3))
    (expected, _), slopes = fused(name)
    assert float(loss[0]) == pytest.approx(float(expected), rel=1e-5)
    assert_near(jax.tree.map(lambda leaf: leaf[0], gradients), slopes)


# --- sampling -----------------------------------------------------------------------------------------------------


def draws(context, fallback, times=400):
    """`times` draws of a partner for each item: [times, N] each."""
    one = functools.partial(losses.draw_pairs, context, jnp.arange(ITEMS), ITEMS, fallback=fallback)
    return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), times)))


def test_partners_are_positive_or_negative_by_halves():
    pairs = draws(graph(), "ignored")
    apart = (pairs["partner"] - np.arange(ITEMS)[None]) % ITEMS
    usual = slice(2, None)
    np.testing.assert_array_equal(pairs["target"][:, usual] == 1, np.isin(apart[:, usual], [1, 2]))
    np.testing.assert_array_equal(pairs["target"][:, usual] == -1, apart[:, usual] == 3)
    for step, share in ((1, 0.25), (2, 0.25), (3, 0.5)):
        assert (apart[:, usual] == step).mean() == pytest.approx(share, abs=0.025)
    assert (pairs["weight"][:, usual] == 1).all()


@pytest.mark.parametrize(("fallback", "weight"), [("ignored", 0), ("negative", 1)])
def test_an_empty_pool_gives_another_item_ignored_or_called_negative(fallback, weight):
    pairs = draws(graph(), fallback)
    for item, usual in ((0, [3]), (1, [2, 3])):  # the half that its other pool serves
        stranger = ~np.isin(pairs["partner"][:, item], usual)
        assert 0.4 < stranger.mean() < 0.6
        assert (pairs["partner"][stranger, item] != item).all()
        assert (pairs["target"][stranger, item] == -1).all() and (pairs["weight"][stranger, item] == weight).all()


def test_the_anchor_graph_weighs_positives_and_leaves_negatives_without_weight():
    weights = {"positive_weight": jnp.tile(np.array([[1.0, 0.25]], "f"), (ITEMS, 1))}
    pairs = draws({**graph(), **weights}, "ignored")
    apart = (pairs["partner"] - np.arange(ITEMS)[None]) % ITEMS
    expected = np.select([apart == 1, apart == 2], [1.0, 0.25], 0.0)
    np.testing.assert_array_equal(pairs["weight"][:, 2:], expected[:, 2:])


# --- stages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("position", ["fixed", "trained"])
@pytest.mark.parametrize(("bits", "count"), [(16, 2_014_752), (32, 2_186_816), (64, 2_530_944)])
def test_parameters_of_the_student(bits, count, position):
    assert parameters(Method(bits=bits, position=position), "student") == count + 6_400 * (position == "trained")


def test_parameters_of_the_teacher():
    assert parameters(Method(position="fixed"), "teacher") == 2_399_872


def parameters(method, name):
    example = {"frames": jax.ShapeDtypeStruct((2, 25, 4096), jnp.float32)}
    shapes = jax.eval_shape(lambda x, key: method.init(stage(name), {}, {}, x, key)[0], example, jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_without_anything_to_teach_there_is_no_teacher():
    def names(**fields):
        return [s.name for s in Method(**{**SMALL, **fields}).stages(tables())]

    assert names() == names(gamma1=0) == names(gamma2=0) == ["teacher", "student"]
    assert names(gamma1=0, gamma2=0) == ["student"]
    assert names(gamma2=0, structure_features="mean") == ["student"]


def test_stages_count_epochs_or_steps():
    teacher, student = Method(**SMALL, teacher_epochs=2, student_steps=7).stages(tables())
    assert (teacher.steps, student.steps, student.pass_steps) == (2 * (ITEMS // BATCH), 7, ITEMS // BATCH)


def test_the_learning_rate_falls_by_a_tenth_each_twenty_epochs_down_to_its_floor():
    method = Method(**SMALL)
    span = method.decay_epochs * stage().per_epoch
    optimizer = method.optimizer(stage())
    adam, schedule = optimizer.init(jnp.zeros(()))

    def rate(step):  # Adam's first step is as long as the rate, whatever the gradient
        return -float(optimizer.update(jnp.ones(()), (adam, schedule._replace(count=jnp.int32(step))))[0])

    assert [rate(s) for s in (0, span - 1, span, 99 * span)] == pytest.approx([5e-4, 5e-4, 4.5e-4, 1e-4], rel=1e-3)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"graph": "anchor"},
        {"graph": "matrices"},
        {"structure_features": "flatten"},
        {"gamma2": 0, "kernel": "laplace"},
    ],
    ids=lambda fields: "+".join(map(str, fields.values())) or "plain",
)
def test_the_students_graph(fields, tmp_path):
    method = Method(**{**SMALL, **fields})
    past = {"teacher": Past(started(method, "teacher"), {}, {})}
    context = method.prepare(stage(), past, tables(), jax.random.key(0), tmp_path)
    assert context["nearest"].shape == (ITEMS,) and context["nearest"].max() < 6
    assert context["positive"].shape == context["negative"].shape == (ITEMS, 4)
    assert ("centres" in context) == (method.gamma2 > 0)
    assert ("positive_weight" in context) == (method.graph == "anchor")
    assert all(isinstance(leaf, np.ndarray) for leaf in context.values())
    if "centres" in context:  # in the teacher's space, whatever the clusters were found in: the mean of their items
        embed = functools.partial(method._network((FRAMES, CHANNELS), teacher=True).apply, method="embed")
        t = np.asarray(jax.jit(embed)({"params": past["teacher"].params}, tables()["train"].arrays["frames"])).mean(1)
        means = np.stack([t[context["nearest"] == c].mean(0) for c in np.unique(context["nearest"])])
        np.testing.assert_allclose(context["centres"][np.unique(context["nearest"])], means, rtol=1e-3, atol=1e-4)


def test_retrieval_by_either_stream():
    method = Method(**SMALL)
    past, x = {"student": Past(started(method), {}, {})}, jnp.asarray(normal(3, FRAMES, CHANNELS))
    network, variables = method._network((FRAMES, CHANNELS), teacher=False), {"params": past["student"].params}

    @jax.jit
    def streams(x):
        t = network.apply(variables, x, method="embed")
        both = [network.apply(variables, t, method=part) for part in ("code", "temporal_features")]
        return *both, method.encode(past, {"frames": x}, "video")

    b, latent, by_b = streams(x)
    np.testing.assert_array_equal(codes.sign(by_b), b)
    by_l = jax.jit(lambda x: Method(**SMALL, encode_with="l").encode(past, {"frames": x}, "video"))(x)
    np.testing.assert_allclose(by_l, latent.mean(1), rtol=1e-5)


def test_reconstruction_errors_of_each_stream():
    method, x = Method(**SMALL), jnp.asarray(normal(3, FRAMES, CHANNELS))
    params = started(method)
    network = method._network((FRAMES, CHANNELS), teacher=False)
    rebuilt = jax.jit(network.apply)({"params": params}, x)
    error = jax.jit(functools.partial(dkph.reconstruction_error, method, params, x), static_argnames="use")
    np.testing.assert_allclose(error(), ((rebuilt - x) ** 2).mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(error(use="fixed", latent_mean=jnp.zeros(5)), error(use="b"), rtol=1e-6)
    assert not np.allclose(error(use="fixed"), error(use="b")) and not np.allclose(error(use="l"), error())


def test_a_variant_fills_what_is_not_set_alone():
    method = Method(variant="released", sign="tanh")
    assert (method.sign, method.position, method.margin, method.learning_rate) == ("tanh", "fixed", 0.5, 3e-4)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"variant": "papper"}, "config.hyper.variant: expected one of paper, released, found 'papper'"),
        ({"encoder": "gru"}, "config.hyper.encoder: expected one of transformer, lstm, convolution"),
        ({"encode_with": "l", "dual_stream": False}, "needs the dual stream"),
        ({"reconstruction": 0, "gamma1": 0, "gamma2": 0}, "reconstruction, gamma1, gamma2 above 0, found none"),
    ],
)
def test_a_field_that_makes_no_sense_is_a_sentence(fields, sentence):
    with pytest.raises(InputError, match=sentence):
        Method(**fields)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [({"batch": 24}, "toy: expected at least a batch of 24 items, found 23"), ({"centres": 24}, "found 24")],
)
def test_a_table_too_small_is_a_sentence(fields, sentence):
    with pytest.raises(InputError, match=sentence):
        Method(**{**SMALL, **fields}).stages(tables())
