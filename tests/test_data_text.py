"""Texts to words, vocabularies and bags."""

import json

import numpy as np
import pytest

from jhash.data.text import bag_of_words, build_vocabulary, load_vocabulary, save_vocabulary, words
from jhash.types import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Puma Men's T-Shirt, 2nd (blue)", ["puma", "men", "s", "t", "shirt", "2nd", "blue"]),
        ("STRASSE Straße", ["strasse", "strasse"]),
        ("\ufb01ne \uff21\uff22", ["fine", "ab"]),  # a ligature, and letters of full width
        ("e\u0301t\u00e9", ["\u00e9t\u00e9"]),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", ["\u0939\u093f\u0928\u094d\u0926\u0940"]),  # vowel signs are marks
        ("snake_case", ["snake", "case"]),
        ("  ...  ", []),
    ],
)
def test_words_are_runs_of_letters_and_digits(text, expected):
    assert words(text) == expected


def test_a_vocabulary_counts_texts_and_not_words():
    assert build_vocabulary(["b b b b", "a c", "a c"], largest=9, least=1) == ("a", "c", "b")


def test_a_vocabulary_has_the_most_frequent_words_and_ties_by_letters():
    assert build_vocabulary(["z y x", "z y x", "z w w"], largest=2, least=1) == ("z", "x")


def test_a_vocabulary_leaves_rare_words_out():
    assert build_vocabulary(["a b", "a c"], largest=9, least=2) == ("a",)


@pytest.mark.parametrize(
    ("texts", "largest", "least", "sentence"),
    [
        (["a", "b"], 5, 2, "a word that 2 training texts have, found none"),
        (["a"], 0, 1, "found 0 and 1"),
        (["a"], 1, 0, "found 1 and 0"),
    ],
)
def test_a_vocabulary_without_words_is_refused(texts, largest, least, sentence):
    with pytest.raises(InputError, match=sentence):
        build_vocabulary(texts, largest, least)


def test_a_bag_says_which_words_a_text_has():
    bags = bag_of_words(["Red red shoe", "", "unknown blue"], ("shoe", "red", "blue"))
    assert bags.dtype == np.float32
    np.testing.assert_array_equal(bags, [[1, 1, 0], [0, 0, 0], [0, 0, 1]])


def test_a_vocabulary_comes_back_from_its_file(tmp_path):
    vocabulary = build_vocabulary(["Straße \u00e9t\u00e9 2nd"], 9, 1)
    save_vocabulary(tmp_path / "words.json", vocabulary)
    assert load_vocabulary(tmp_path / "words.json") == vocabulary
    assert [path.name for path in tmp_path.iterdir()] == ["words.json"]


def test_a_vocabulary_that_cannot_be_written_is_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be written"):
        save_vocabulary(tmp_path / "missing" / "words.json", ("a",))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", "found something unreadable"),
        ("[" * 100_000, "found something unreadable"),
        ('["a"]', "of version 1, found 'list'"),
        (json.dumps({"version": 2, "words": ["a"]}), "of version 1, found 2"),
        (json.dumps({"version": 1, "words": "ab"}), "expected a list of words, found str"),
        (json.dumps({"version": 1, "words": ["a", 3]}), "a single word at place 1, found 3"),
        (json.dumps({"version": 1, "words": ["a b"]}), "a single word at place 0, found 'a b'"),
        (json.dumps({"version": 1, "words": ["a", "b", "a"]}), "found 'a' twice"),
    ],
)
def test_a_damaged_vocabulary_is_refused(tmp_path, content, sentence):
    (tmp_path / "words.json").write_text(content)
    with pytest.raises(InputError, match=sentence):
        load_vocabulary(tmp_path / "words.json")


def test_a_missing_vocabulary_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_vocabulary(tmp_path / "words.json")
