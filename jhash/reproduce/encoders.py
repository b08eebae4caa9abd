"""What encoding costs with each medium's network: for the papers that print nothing of it."""

import dataclasses

from jhash.reproduce.data import Data
from jhash.reproduce.grid import Column, Cost, Exhibit, Grid, Row

WHAT = (
    ("parameters that encode, millions", "parameters", 2),
    ("multiply-adds, 10⁹", "multiply_adds", 3),
    ("encoding an item, ms", "milliseconds", 2),
)


def complexity(paper: str, title: str, config: str, shapes: tuple, bits: int) -> Exhibit:
    """A row for each medium of a config at the shapes of its items: ((medium, shape), ...)."""

    def grid(data: Data) -> Grid:
        rows = [
            Row(
                f"{medium}, {' × '.join(map(str, shape))}",
                {},
                measure=lambda cost, m=medium: dataclasses.replace(cost, medium=m),
            )
            for medium, shape in shapes
            if medium != "labels"
        ]
        columns = [
            Column(label, data, {"hyper.bits": bits}, Cost(what, config, shapes), digits=digits)
            for label, what, digits in WHAT
        ]
        return Grid(rows, columns)

    return Exhibit(paper, "complexity", title, grid, ("shapes",))
