"""A program that writes to indexes, for the tests that kill it: it imports what it needs once, and then forks a writer
for each line that it is told, so that a kill costs a fraction of a second.
"""

import json
import os
import random
import sys

import numpy as np

BITS, POOL = 64, 300
MEDIA = ("image", "text")


def operation(seed: int, number: int) -> tuple[str, list[str]]:
    """What a writer does at its `number`th step: ('add', ids), ('delete', ids) or ('compact', [])."""
    chance = random.Random(f"{seed} {number}")
    kind = chance.choices(("add", "delete", "compact"), (6, 3, 1))[0]
    ids = chance.sample(range(POOL), chance.randint(1, 40)) if kind != "compact" else []
    return kind, [f"item/{one}" for one in ids]


def content(seed: int, number: int, ids: list[str]) -> tuple[np.ndarray, list[str], list[int]]:
    """Codes, modalities and years of the items that are added."""
    rng = np.random.default_rng([seed, number])
    codes = rng.choice(np.array([-1, 1], np.int8), (len(ids), BITS))
    return codes, [MEDIA[one] for one in rng.integers(0, 2, len(ids))], rng.integers(1990, 2020, len(ids)).tolist()


# ---- the writer


def write(place: str, seed: int, steps: int) -> None:
    from jhash.index import Index

    with Index.open(place) as index:
        for number in range(steps):
            kind, ids = operation(seed, number)
            os.write(1, b"begun\n")
            if kind == "add":
                codes, media, years = content(seed, number, ids)
                index.add(codes, ids, media, {"year": years})
            elif kind == "delete":
                index.delete(ids)
            else:
                index.compact()
            os.write(1, b"done\n")


def serve() -> None:
    """Forks a writer for each line {"place", "seed", "steps"}, says its process id, and when it has ended."""
    import lancedb  # noqa: F401  imported once, here

    from jhash.index import fast as index_fast

    index_fast.TAIL = 60  # so that a small index has files too
    os.write(1, b"ready\n")
    for line in iter(sys.stdin.readline, ""):
        process = os.fork()
        if not process:
            write(**json.loads(line))
            os._exit(0)
        os.write(1, f"{process}\n".encode())
        os.waitpid(process, 0)
        os.write(1, b"ended\n")


if __name__ == "__main__":
    serve()
