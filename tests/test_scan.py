"""SHE's media in one compiled program, or side by side on four devices, against the fold over its stages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import toys

from jhash import steps, train
from jhash.methods.she import Method
from jhash.scan import scan_stages, side_by_side
from jhash.types import Diverged, InputError

CLASSES = 3


def she(losses, library, **fields):
    small = {"bits": 8, "hidden": 12, "prototypes": 2, "batch": 8, "epochs": 2, "learning_rate": 1e-2}
    start = "anchor" if library == "free" else "shared"
    return Method(**{**small, "losses": losses, "library": library, "start": start, **fields})


def medium(size, width, seed=0, lacking=None):
    """Items of all classes but one that is `lacking`: features [N, width], labels [N, 3]."""
    random = np.random.default_rng(seed)
    labels = np.eye(CLASSES, dtype=np.uint8)[np.resize([c for c in range(CLASSES) if c != lacking], size)]
    features = labels @ random.normal(size=(CLASSES, width)) + 0.3 * random.normal(size=(size, width))
    return toys.ArrayTable(features=features.astype(np.float32), labels=labels)


def media():
    return {"image": medium(24, 5, seed=1), "text": medium(17, 9, seed=2), "audio": medium(40, 7, seed=3)}


def run(folder, **options):
    return train.Run(**{"folder": folder, "devices": 1, "warn": pytest.fail, **options})


def assert_same_bits(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def assert_close(one, other):
    """A padded feature lets the compiler sum the others in another order: not the same bits, but the last ones."""
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-6), one, other)


FREE = she("paper", "free", learning_rates=(("text", 3e-3),))


@pytest.fixture(scope="module")
def fold(tmp_path_factory):
    """What the fold leaves of three media of different widths and sizes, and the losses of its steps."""
    losses = {}
    watch = lambda stage, step, logs: losses.setdefault(stage.name, []).extend(logs["loss"])  # noqa: E731
    return train.train(FREE, media(), run(tmp_path_factory.mktemp("fold"), watch=watch)), losses


def test_one_scan_over_media_of_different_widths_gives_what_the_fold_gives(fold, tmp_path):
    past, losses = fold
    logs = {}
    scanned = scan_stages(FREE, media(), run(tmp_path, watch=lambda stage, step, log: logs.update({stage.name: log})))
    assert list(scanned) == list(past)
    assert_close(scanned, past)
    assert_close({name: log["loss"] for name, log in logs.items()}, {n: np.array(loss) for n, loss in losses.items()})
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_media_side_by_side_on_four_devices_give_what_the_fold_gives(fold, tmp_path):
    assert_close(side_by_side(FREE, media(), run(tmp_path, devices=0)), fold[0])


@pytest.mark.slow
def test_media_of_one_width_give_the_bits_of_the_fold_and_classes_may_come_later(tmp_path):
    method = she("released", "mlp")
    tables = {"image": medium(24, 5, lacking=2), "text": medium(17, 5, seed=1)}
    past = train.train(method, tables, run(tmp_path))
    scanned = scan_stages(method, tables, run(tmp_path))
    assert_same_bits(scanned, past)
    assert scanned["image"].kept["filled"].tolist() == [True, True, False]
    np.testing.assert_array_equal(scanned["text"].kept["library"][:2], scanned["image"].kept["own"][:2])
    np.testing.assert_array_equal(scanned["text"].kept["library"][2], scanned["text"].kept["own"][2])


@pytest.mark.slow
def test_a_scan_goes_on_from_an_earlier_library_and_a_larger_medium_changes_nothing(fold, tmp_path):
    earlier, tables = fold[0]["image"], {"text": media()["text"], "video": medium(60, 13)}
    scanned = scan_stages(FREE, tables, run(tmp_path, past={"image": earlier}, finished=1))
    assert scanned["image"] is earlier
    assert_close(scanned["text"], fold[0]["text"])


def test_padding_comes_last_in_an_order_and_changes_nothing_before():
    key = jax.random.key(0)
    padded = jax.jit(lambda size: steps.order_of_pass(key, size, 30))(jnp.int32(20)).tolist()
    assert padded[:20] == steps.order_of_pass(key, 20).tolist()
    assert padded[20:] == list(range(20, 30))


def test_a_loss_that_is_not_finite_is_named(tmp_path):
    table = medium(24, 5)
    table.arrays["features"][3] = np.nan
    with pytest.raises(Diverged, match="image: .* became infinite or no number"):
        side_by_side(FREE, {"image": table}, run(tmp_path))


@pytest.mark.parametrize("train_media", [scan_stages, side_by_side])
@pytest.mark.parametrize(
    ("tables", "options", "sentence"),
    [
        ({}, {}, "media: expected at least one, found none"),
        ({"image": medium(24, 5), "text": medium(7, 9)}, {}, "expected at least 8 items, .* found 7"),
        ({"image": medium(24, 5)}, {"score": lambda past: 0.0}, "run.score: expected none"),
        ({"image": medium(24, 5)}, {"resident_gb": 1e-9}, "expected at most 1e-09 GB on the device, .* found 7.68e-07"),
    ],
)
def test_what_one_program_does_not_take_is_refused(train_media, tables, options, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        train_media(FREE, tables, run(tmp_path, **options))


def test_media_of_different_classes_are_refused(tmp_path):
    other = medium(24, 5)
    other.arrays["labels"] = other.arrays["labels"][:, :2]
    tables = {"image": medium(24, 5), "text": toys.ArrayTable(**other.arrays)}
    with pytest.raises(InputError, match="expected 3 classes, as image has, found 2"):
        scan_stages(FREE, tables, run(tmp_path))


def test_side_by_side_wants_all_classes_in_the_first_medium_and_no_more_devices_than_there_are(tmp_path):
    with pytest.raises(InputError, match="expected items of every class in the first .* found none of class 1"):
        side_by_side(FREE, {"image": medium(24, 5, lacking=1), "text": medium(24, 5)}, run(tmp_path))
    with pytest.raises(InputError, match="expected at most the 4 devices here, found 5"):
        side_by_side(FREE, media(), run(tmp_path, devices=5))
