"""The loop, driven by toys with the shapes of the five papers: resume, spans, streaming, devices, broken files."""

import dataclasses
import itertools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from jhash import checkpoint, parallel, steps, train
from jhash.types import Diverged, InputError, Stopped, TrainState


def run(folder, **options):
    return train.Run(folder=folder, devices=options.pop("devices", 1), warn=options.pop("warn", pytest.fail), **options)


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def stop_after(calls):
    """A `stopping` that says so after that many compiled calls."""
    counter = itertools.count(1)
    return lambda: next(counter) >= calls


@pytest.mark.parametrize("toy", toys.ALL)
def test_a_stopped_run_ends_bit_for_bit_where_an_unbroken_one_ends(toy, tmp_path):
    unbroken = train.train(toy(), toys.tables(), run(tmp_path / "a"))
    for _ in range(20):
        try:
            broken = train.train(toy(), toys.tables(), run(tmp_path / "b", stopping=stop_after(2)))
            break
        except Stopped:
            continue
    assert_same_bits(broken, unbroken)


@pytest.mark.parametrize("toy", toys.ALL)
def test_streamed_rows_train_like_resident_ones(toy, tmp_path):
    resident = train.train(toy(), toys.tables(), run(tmp_path / "a"))
    streamed = train.train(toy(), toys.tables(), run(tmp_path / "b", resident_gb=0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), resident, streamed)


@pytest.mark.parametrize("toy", toys.ALL)
def test_four_devices_train_like_one(toy, tmp_path):
    alone = train.train(toy(steps=16), toys.tables(), run(tmp_path / "a"))
    together = train.train(toy(steps=16), toys.tables(), run(tmp_path / "b", devices=4))

    def close(a, b):
        assert np.linalg.norm(a - b) <= 1e-5 * max(1e-3, np.linalg.norm(a))

    jax.tree.map(close, alone, together)


@pytest.mark.parametrize("toy", toys.ALL)
def test_streaming_to_four_devices_trains_like_one(toy, tmp_path):
    alone = train.train(toy(), toys.tables(), run(tmp_path / "a"))
    together = train.train(toy(), toys.tables(), run(tmp_path / "b", devices=4, resident_gb=0))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), alone, together)


@pytest.mark.parametrize("toy", toys.ALL)
def test_replicas_stay_equal_to_each_other(toy):
    method, tables = toy(), toys.tables()
    stage = method.stages(tables)[0]
    context, keys = method.prepare(stage, {}, tables, None, None), steps.keys_of_stage(0, 0)
    table = tables[stage.table]
    state = train.initial_state(method, stage, {}, context, train.example_of(table, method, stage), keys[1])
    spans = steps.resident_spans(method, stage, table, context, keys, state, 4, stage.steps)
    *_, (state, _) = spans
    for leaf in jax.tree.leaves(state):
        np.testing.assert_array_equal(np.asarray(leaf), np.broadcast_to(np.asarray(leaf)[:1], leaf.shape))


@pytest.mark.parametrize("toy", [toys.Mcmsh, toys.Dkph, toys.Dsmhn])
def test_loss_and_gradients_of_four_devices_are_those_of_one(toy):
    method, tables = toy(), toys.tables()
    stage = method.stages(tables)[0]
    table = tables[stage.table]
    context, keys = method.prepare(stage, {}, tables, None, None), steps.keys_of_stage(0, 0)
    state = train.initial_state(method, stage, {}, context, train.example_of(table, method, stage), keys[1])
    order = steps.order_of_step(stage, keys, jnp.int32(0))
    rows, noise = steps.rows_of_step(method, stage, context, keys, order, jnp.int32(0))
    batch = {r: table.read(np.asarray(n), method.columns) for r, n in rows.items() if n.dtype == jnp.int32}

    def gradients(params, batch, rows, across):
        def loss(params):
            return method.loss(stage, context, params, state.collections, batch, rows, state.step, noise, across)[0]

        return across.mean(jax.value_and_grad(loss)(params))

    alone = gradients(state.params, batch, rows, parallel.ALONE)
    spread = jax.pmap(lambda b, r: gradients(state.params, b, r, parallel.TOGETHER), parallel.AXIS)
    together = spread(*parallel.shard((batch, jax.tree.map(np.asarray, rows)), 4))
    for a, b in zip(jax.tree.leaves(alone), jax.tree.leaves(together), strict=True):
        assert np.linalg.norm(a - b[0]) <= 1e-5 * np.linalg.norm(a)


def test_the_span_of_a_call_does_not_change_the_result(monkeypatch, tmp_path):
    whole = train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "a"))
    monkeypatch.setattr(steps, "CALL_SECONDS", 0.0)
    single = train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "b"))
    assert_same_bits(single, whole)


def test_every_row_appears_once_in_an_epoch():
    order = steps.order_of_pass(jax.random.key(0), 37)
    assert sorted(order.tolist()) == list(range(37)) and order.tolist() != list(range(37))


def test_the_order_of_rows_does_not_depend_on_rows_behind_them():
    short, long = (steps.order_of_pass(jax.random.key(0), size).tolist() for size in (20, 30))
    assert [row for row in long if row < 20] == short


def test_a_finished_run_is_read_and_not_trained_again(tmp_path):
    once = train.train(toys.Dkph(), toys.tables(), run(tmp_path))
    again = train.train(toys.Dkph(), toys.tables(), run(tmp_path, watch=lambda *_: pytest.fail("trained again")))
    assert_same_bits(again, once)


def test_a_loss_that_is_not_finite_ends_with_a_sentence_and_keeps_the_last_checkpoint(tmp_path):
    @dataclasses.dataclass(frozen=True)
    class Diverging(toys.Dkph):
        def loss(self, stage, context, params, collections, batch, rows, step, key, across):
            loss, rest = super().loss(stage, context, params, collections, batch, rows, step, key, across)
            return loss + jnp.where(step == 3, jnp.nan, 0.0), rest

    with pytest.raises(Diverged, match="teacher: loss became nan at step 3"):
        train.train(Diverging(), toys.tables(), run(tmp_path, save_every=0, resident_gb=0))
    assert checkpoint.Checkpoints(tmp_path / "00_teacher" / "checkpoints").steps() == [2, 3]


def damage(folder):
    largest = max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 0xFF
    largest.write_bytes(bytes(content))


def truncate(folder):
    for file in folder.rglob("*"):
        if file.is_file():
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(folder):
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize("harm", [damage, truncate, empty])
def test_a_broken_newest_checkpoint_is_reported_and_the_one_before_is_used(harm, tmp_path):
    unbroken = train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "a"))
    with pytest.raises(Stopped):
        train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "b", save_every=0, stopping=stop_after(4)))
    saved = checkpoint.Checkpoints(tmp_path / "b" / "00_train" / "checkpoints")
    harm(saved.folder / str(saved.steps()[-1]))
    told = []
    mended = train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "b", warn=told.append))
    assert len(told) == 1 and "the one before it is used" in told[0]
    assert_same_bits(mended, unbroken)


def test_damaged_structures_are_reported_and_computed_again(tmp_path):
    unbroken = train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "a"))
    with pytest.raises(Stopped):
        train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "b", stopping=stop_after(1)))
    file = tmp_path / "b" / "00_train" / "context.npz"
    file.write_bytes(file.read_bytes()[:-60])
    told = []
    assert_same_bits(train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "b", warn=told.append)), unbroken)
    assert "computed again" in told[0]


def test_the_best_state_by_validation_is_kept_and_survives_a_stop(tmp_path):
    def score(past):  # highest in the middle of the training, wherever that is
        return -abs(float(past["train"].collections["scale"]) - 1.5)

    options = {"score": score, "score_every": 3}
    unbroken = train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "a", **options))
    with pytest.raises(Stopped):
        train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "b", stopping=stop_after(3), **options))
    resumed = train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "b", **options))
    assert_same_bits(resumed, unbroken)
    assert float(unbroken["train"].collections["scale"]) == pytest.approx(2**0.5)


def test_a_damaged_best_state_is_a_sentence_that_says_what_to_delete(tmp_path):
    options = {"score": lambda past: 1.0, "score_every": 3}
    with pytest.raises(Stopped):
        train.train(toys.Mcmsh(), toys.tables(), run(tmp_path, stopping=stop_after(3), **options))
    truncate(tmp_path / "00_train" / "best")
    with pytest.raises(InputError, match="the best step is lost: delete .*00_train to train it again"):
        train.train(toys.Mcmsh(), toys.tables(), run(tmp_path, **options))


def test_a_method_without_steps_has_no_best_one(tmp_path):
    options = {"score": lambda past: pytest.fail("scored"), "score_every": 3}
    assert train.train(toys.Mcmsh(steps=0), toys.tables(), run(tmp_path, **options))["train"].params


def test_a_checkpoint_of_four_devices_goes_on_on_one(tmp_path):
    alone = train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "a"))
    with pytest.raises(Stopped):
        train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "b", devices=4, stopping=stop_after(2)))
    resumed = train.train(toys.Mcmsh(), toys.tables(), run(tmp_path / "b", devices=1))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), resumed, alone)


def test_devices_that_do_not_divide_the_batch_are_refused(tmp_path):
    with pytest.raises(InputError, match="divides the batch of 8, found 3"):
        train.train(toys.Dsmhn(), toys.tables(), run(tmp_path, devices=3))


def test_a_checkpoint_of_another_structure_is_named(tmp_path):
    checkpoint.save(tmp_path / "1", TrainState(jnp.int32(1), {"w": jnp.zeros(3)}, {}, {}))
    template = TrainState(jnp.int32(1), {"w": jnp.zeros(4)}, {}, {})
    with pytest.raises(checkpoint.BrokenCheckpoint, match=r"\['w'\]: expected float32\[4\], found float32\[3\]"):
        checkpoint.restore(template, checkpoint.load(tmp_path / "1"), "here")


def test_lists_come_back_as_lists(tmp_path):
    layers = [{"kernel": np.full(2, number)} for number in range(12)]
    checkpoint.save(tmp_path / "past", {"params": {"layers": layers, "10": np.ones(1)}, "kept": {}})
    past = train.read_past(tmp_path / "past")
    assert_same_bits(past.params, {"layers": layers, "10": np.ones(1)})
    assert past.collections == past.kept == {}


def test_a_replicated_state_lies_as_a_step_leaves_it():
    """Else the second call of a step would compile it again."""
    call = parallel.compile_step(lambda state, shared, batch: (state + shared + batch, batch), 4, sharded=False)
    after, _ = call(parallel.replicate(np.zeros(3), 4), np.float32(1), np.float32(2))
    again = parallel.replicate(np.zeros(3), 4)
    assert after.sharding == again.sharding and after.shape == again.shape == (4, 3)


def test_a_full_disk_ends_with_the_name_of_the_checkpoint_and_keeps_the_one_before(monkeypatch, tmp_path):
    with pytest.raises(Stopped):
        train.train(toys.Mcmsh(), toys.tables(), run(tmp_path, save_every=0, stopping=stop_after(2)))
    saved = checkpoint.Checkpoints(tmp_path / "00_train" / "checkpoints")
    before = saved.steps()

    def full(*args, **options):
        raise ValueError("RESOURCE_EXHAUSTED: No space left on device")

    monkeypatch.setattr(checkpoint.ocp, "save", full)
    with pytest.raises(OSError, match="could not be written .RESOURCE_EXHAUSTED: No space left"):
        train.train(toys.Mcmsh(), toys.tables(), run(tmp_path, save_every=0))
    assert saved.steps() == before
