"""How scores were measured is said as the runs' results have it."""

import numpy as np
import pytest

from jhash import report
from jhash.metrics import Scores
from jhash.reproduce import measured, protocols
from jhash.reproduce.grid import Score


@pytest.fixture
def run(tmp_path):
    """Results of 5 queries, 4 of which count, by 'trec' with another rule for ties than its own."""
    scores = Scores("trec", "pessimistic", np.arange(4), {("map", None): np.full(4, 0.5)})
    names = {"method": "itq", "variant": None, "dataset": "d", "query": "image test", "database": "text train"}
    found = report.results(scores, **names, bits=8, seed=0, labels=(np.ones((5, 1)), np.ones((1200, 1))))
    report.write_results(tmp_path / "results.json", found)
    return tmp_path


def test_ties_and_queries_that_count_are_those_of_the_results(run):
    rules, searches = protocols.sentences(measured.of_score(run, Score("trec"), "itq", 0).how)
    assert rules.startswith("mAP of the whole ranking by protocol 'trec', ties 'pessimistic': relevant items last")
    assert searches == "Query → database: image test (5 items, 4 of them count) → text train (1,200)."


def test_scores_measured_alike_share_a_sentence_and_others_have_their_own():
    rows = [
        protocols.How("map", k, "video", ties, "test", "train", 9, 9, 9)
        for k, ties in ((20, "stable"), (5, "stable"), (5, "expected"))
    ]
    lines = protocols.sentences([*rows, *rows])
    assert [line.split(":")[0] for line in lines] == [
        "mAP@5, mAP@20 by protocol 'video', ties 'stable'",
        "mAP@5 by protocol 'video', ties 'expected'",
        "Query → database",
    ]


def test_seeds_keep_each_protocol_once(run):
    one = measured.of_score(run, Score("trec"), "itq", 0)
    assert measured.over_seeds([one, one]).how == one.how != ()
