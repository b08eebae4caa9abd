"""From plain text to bags of words: a tokeniser, a vocabulary from the training texts, and 0/1 rows over it."""

import collections
import functools
import json
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from jhash.types import InputError

VERSION = 1


def words(text: str) -> list[str]:
    """The runs of letters, marks and digits of a text in its order, spelt as NFKC and casefolding have them.

    There is no stemming, no list of words to leave out and no splitting of runs: where a script writes no spaces, a
    whole phrase is one word.
    """
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(letter if _in_word(letter) else " " for letter in plain).split()


@functools.lru_cache(4096)
def _in_word(letter: str) -> bool:
    return unicodedata.category(letter)[0] in "LMN"


def build_vocabulary(texts: Iterable[str], largest: int, least: int) -> tuple[str, ...]:
    """The words that most texts have, the most frequent first and ties in the order of their letters.

    Args:
        texts: the training texts alone: what only tested texts say is unknown when a model is trained.
        largest: at most so many words.
        least: texts that a word is in, or else it is left out.

    Raises:
        InputError: numbers below 1, or no word that often.
    """
    if largest < 1 or least < 1:
        raise InputError(f"vocabulary: expected a size and a least count of 1 or more, found {largest} and {least}.")
    counts = collections.Counter()
    for text in texts:
        counts.update(set(words(text)))
    frequent = sorted((word for word in counts if counts[word] >= least), key=lambda word: (-counts[word], word))
    if not frequent:
        raise InputError(f"vocabulary: expected a word that {least} training texts have, found none.")
    return tuple(frequent[:largest])


def bag_of_words(texts: Sequence[str], vocabulary: Sequence[str]) -> np.ndarray:
    """Which of the V words each of N texts has: float32 [N, V] of 0/1. Words outside the vocabulary don't count."""
    places = {word: place for place, word in enumerate(vocabulary)}
    bags = np.zeros((len(texts), len(vocabulary)), np.float32)
    for row, text in enumerate(texts):
        bags[row, [places[word] for word in words(text) if word in places]] = 1.0
    return bags


def save_vocabulary(path: Path, vocabulary: Sequence[str]) -> None:
    """Writes the words as JSON, whole or not at all."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        content = {"version": VERSION, "words": list(vocabulary)}
        part.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}.") from error
    finally:
        part.unlink(missing_ok=True)


def load_vocabulary(path: Path) -> tuple[str, ...]:
    """The words that `save_vocabulary` wrote, in their order.

    Raises:
        InputError: missing, damaged, of another version, or not a list of different words.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such file.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: expected a vocabulary as JSON, found something unreadable: {error}.") from error
    if not isinstance(content, dict) or content.get("version") != VERSION:
        found = content.get("version") if isinstance(content, dict) else type(content).__name__
        raise InputError(f"{path}: expected a vocabulary of version {VERSION}, found {found!r}.")
    found = content.get("words")
    if not isinstance(found, list) or not found:
        raise InputError(f"{path}: words: expected a list of words, found {type(found).__name__}.")
    for place, word in enumerate(found):
        if not isinstance(word, str) or not word or not all(map(_in_word, word)):
            raise InputError(f"{path}: words: expected a single word at place {place}, found {word!r}.")
    if len(set(found)) != len(found):
        twice = next(word for word, count in collections.Counter(found).items() if count > 1)
        raise InputError(f"{path}: words: expected different words, found {twice!r} twice.")
    return tuple(found)
