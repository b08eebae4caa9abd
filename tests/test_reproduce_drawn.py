"""Pictures of codes in a reproduced figure: classes by their names, and what is not drawn."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from jhash.reproduce import cells, command, drawn, outcome


@pytest.fixture
def picture(monkeypatch, tmp_path):
    """Of a run on JHMDB with 40 queries, the first of no class, 10 of which are drawn."""
    (exhibit,) = [one for one in command.exhibits("dkph") if one.name == "Figure 8"]
    (block,) = cells.blocks(exhibit, ["jhmdb"], cells.Asked(tmp_path, 1, "quick"))
    labels = np.eye(14, dtype=np.uint8)[np.arange(40) % 14]
    labels[0] = 0
    run = SimpleNamespace(
        tasks=[SimpleNamespace(parts=("query",))],
        codes={"query": np.where(np.random.default_rng(0).random((40, 16)) > 0.5, 1, -1)},
        dataset=SimpleNamespace(name="jhmdb", classes=(), tables={"query": None}),
    )
    monkeypatch.setattr(drawn.again, "open_run", lambda *_: run)
    monkeypatch.setattr(drawn, "labels_of", lambda table: labels)
    monkeypatch.setattr(drawn, "_finished", lambda *_: [("DKPH", None, SimpleNamespace(method="dkph"), Path())])
    monkeypatch.setattr(drawn, "ITEMS", 10)
    return drawn._codes(block, outcome.part(exhibit, block, tmp_path, {}), tmp_path)[0]


def test_classes_of_codes_have_the_names_that_the_data_have(picture):
    assert len(picture["names"]) == 14 and "jump" in picture["names"]


def test_an_item_without_a_label_is_of_no_class(picture):
    assert picture["classes"][0] == -1 and min(picture["classes"][1:]) >= 0


def test_items_that_are_not_drawn_are_counted(picture):
    assert picture["caption"].startswith("10 of 40 items, drawn evenly, of query;")


def test_classes_that_are_not_told_apart_are_counted():
    assert "The 20 most frequent of 25 classes" in drawn._left_out(np.eye(25), 25, ["query"])
    assert "most frequent" not in drawn._left_out(np.eye(20), 20, ["query"])
