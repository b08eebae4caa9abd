"""An index whose writer is killed at any moment, and one that is read while it is written."""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from index_writer import BITS, POOL, content, operation

from jhash.index import Index
from jhash.index import fast as index_fast
from jhash.types import InputError

pytest.importorskip("lancedb", reason="an index needs LanceDB")


class Writer:
    """The program, in another process."""

    def __init__(self):
        command = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("index_writer.py"))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.text = b""
        assert self.line() == "ready"

    def line(self, seconds: float = 120) -> str:
        """The next line; AssertionError where none comes."""
        while b"\n" not in self.text:
            ready, _, _ = select.select([self.process.stdout], [], [], seconds)
            assert ready, "the writer says nothing"
            self.text += os.read(self.process.stdout.fileno(), 4096)
        line, self.text = self.text.split(b"\n", 1)
        return line.decode()

    def begin(self, place, seed: int, steps: int) -> int:
        """Starts a writer; its process id."""
        self.process.stdin.write(json.dumps({"place": str(place), "seed": seed, "steps": steps}).encode() + b"\n")
        self.process.stdin.flush()
        lines = [self.line()]
        while not lines[-1].isdecimal():  # the child may speak before its parent
            lines.append(self.line())
        self.text = "".join(f"{line}\n" for line in lines[:-1]).encode() + self.text
        return int(lines[-1])

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture(scope="module")
def writer():
    program = Writer()
    yield program
    program.close()


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(index_fast, "TAIL", 60)
    Index.create(tmp_path / "index", bits=BITS, metadata={"year": "int"})
    return tmp_path / "index"


def applied(items: dict, seed: int, number: int) -> dict:
    """id -> (code, modality, year), in the order of addition, after one more step."""
    kind, ids = operation(seed, number)
    items = dict(items) if kind == "compact" else {name: item for name, item in items.items() if name not in ids}
    if kind == "add":
        items |= dict(zip(ids, zip(*content(seed, number, ids), strict=True), strict=True))
    return items


def expected(items: dict, queries: np.ndarray, k: int) -> list[list[tuple]]:
    """(id, distance, modality, year) of the k nearest by brute force."""
    if not items:
        return [[] for _ in queries]
    codes = np.stack([item[0] for item in items.values()])
    distances = (queries[:, None, :] != codes[None, :, :]).sum(axis=2)
    named = list(items.items())
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return [
        [(named[row][0], int(far[row]), *named[row][1][1:]) for row in rows]
        for far, rows in zip(distances, order, strict=True)
    ]


def seen(index: Index, queries: np.ndarray, k: int) -> list[list[tuple]]:
    found = index.search(queries, k, metadata=["year"])
    parts = zip(found.ids, found.distances, found.modality, found.metadata, strict=True)
    return [
        list(zip(ids.tolist(), far.tolist(), media.tolist(), values.get("year", []), strict=True))
        for ids, far, media, values in parts
    ]


def kill_often(writer, place, kills: int) -> int:
    """Kills writers one after another and looks at what each leaves; how many died in the middle of a step."""
    items, broken = {}, 0
    queries = content(0, 0, ["a", "b", "c"])[0]
    for seed in range(kills):
        process = writer.begin(place, seed, 10_000)
        lines = [writer.line()]
        assert lines == ["begun"]
        time.sleep(random.Random(seed).uniform(0, 0.12))
        os.kill(process, signal.SIGKILL)
        while lines[-1] != "ended":
            lines.append(writer.line())
        done, begun = lines.count("done"), lines.count("begun")
        for number in range(done):
            items = applied(items, seed, number)
        possible = [items] if done == begun else [items, applied(items, seed, done)]
        broken += done != begun
        found = seen(Index.open(place), queries, POOL)
        fitting = [one for one in possible if expected(one, queries, POOL) == found]
        assert fitting, f"kill {seed} after {done} steps, in {operation(seed, done)[0]}"
        items = fitting[0]
    assert Index.open(place).verify() >= len(items)
    return broken


def test_what_was_acknowledged_is_there_after_kills(writer, place):
    assert kill_often(writer, place, 12) > 6


@pytest.mark.slow
def test_what_was_acknowledged_is_there_after_a_thousand_kills(writer, place):
    assert kill_often(writer, place, 1000) > 700


def test_a_reader_sees_whole_steps_in_their_order(writer, place):
    seed, steps = 7, 60
    states, queries = [{}], content(0, 0, ["a", "b"])[0]
    for number in range(steps):
        states.append(applied(states[-1], seed, number))
    wanted = [expected(state, queries, POOL) for state in states]
    reader, at, looks = Index.open(place), 0, set()
    writer.begin(place, seed, steps)
    said = [writer.line()]
    while at < steps:
        reader.refresh()
        found = seen(reader, queries, POOL)
        at = next((number for number in range(at, steps + 1) if wanted[number] == found), None)
        assert at is not None, "a state that never was, or one of the past"
        looks.add(at)
    while said[-1] != "ended":
        said.append(writer.line())
    assert len(looks) > 3 and said.count("done") == steps


def test_a_second_writer_is_refused_and_a_reader_keeps_what_it_saw(writer, place):
    queries = content(0, 0, ["a"])[0]
    process = writer.begin(place, 3, 10_000)
    while writer.line() != "done":
        pass
    reader = Index.open(place)
    before = seen(reader, queries, 20)
    with pytest.raises(InputError, match="another process, or another Index, is writing to it"):
        reader.delete(["item/1"])
    for _ in range(20):
        writer.line()
    assert seen(reader, queries, 20) == before
    os.kill(process, signal.SIGKILL)
    while writer.line() != "ended":
        pass
    reader.delete(["item/1"])  # the lock went with its holder
    reader.close()
