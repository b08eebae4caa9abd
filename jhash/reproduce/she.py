"""SHE (Pu et al., ICML 2025): Tables 2 to 5 and 7, Figures 2 to 7."""

from jhash.reproduce import printed
from jhash.reproduce.data import Data
from jhash.reproduce.encoders import complexity
from jhash.reproduce.grid import ABSENT, Column, Exhibit, Grid, Row, Score, bits

PAPER = "she"
BIMODAL, MANY = ("wikipedia_deep", "nuswide"), ("xmedia", "xmedianet")
STAND_INS = ("digits", "wikipedia")
FULL = Row("SHE", {}, baselines=True)
MEAN = Score("she")  # over all directions between different media
ABLATIONS = {
    "SHE w/o KLM": {"hyper.mining": 0.0},
    "SHE w/o KLR": {"hyper.separation": 0.0},
    "SHE w/o KLT": {"hyper.transfer": 0.0},
    "SHE w/o DHL": {"hyper.discrimination": 0.0},
}
STARTS = "In jhash each medium's library starts by its own; in the released program all start alike, which hides KLT."


def competitors(table: str, dataset: str = "") -> list[Row]:
    rows = printed.table(PAPER, table, dataset).rows
    return [Row(label, None, why=ABSENT) for label in rows if not label.startswith("SHE")]


def directions(data: Data, table: str, number: int) -> list[Column]:
    """Every ordered pair of different media, and their mean; beside the printed column of the same names."""
    known = {c["task"]: place for place, c in enumerate(printed.table(PAPER, table).columns)}
    same = not data.stand_in or data.media == ("image", "text")
    columns = [
        Column(
            f"{asks} → {answers}",
            data,
            bits(number),
            Score("she", asks=asks, answers=answers),
            printed=known.get(f"{asks}->{answers}") if same else None,
        )
        for asks in data.media
        for answers in data.media
        if asks != answers
    ]
    mean = known.get("mean of all 20") if len(data.media) == 5 else None
    return [*columns, Column("mean of all", data, bits(number), MEAN, printed=mean)]


def lengths(data: Data) -> Grid:
    """Table 2: both directions at four lengths, and the mean over these."""
    known = printed.table(PAPER, "Table 2").columns
    columns: list[Column] = []
    pairs = (("image", "text"), ("text", "image")) if len(data.media) == 2 else (("", ""),)
    for asks, answers in pairs:
        first = len(columns)
        head = f"{asks} → {answers}" if asks else "mean of all directions"
        where = {
            c["bits"]: place
            for place, c in enumerate(known)
            if c["dataset"] == data.printed and c["task"] == f"{asks}->{answers}"
        }
        for number in (16, 32, 64, 128):
            score = Score("she", asks=asks, answers=answers)
            columns.append(Column(f"{head}, {number} bits", data, bits(number), score, where.get(number)))
        over = tuple(range(first, first + 4))
        columns.append(Column(f"{head}, mean", data, {}, None, where.get("avg"), over=over))
    beside = any(column.printed is not None for column in columns)
    return Grid([*(competitors("Table 2") if beside else ()), FULL], columns)


def ablation(data: Data) -> Grid:
    known = {c["dataset"]: place for place, c in enumerate(printed.table(PAPER, "Table 5").columns)}
    rows = [Row(label, changes) for label, changes in ABLATIONS.items()]
    column = Column(f"{data.name}, mean of all directions", data, bits(128), MEAN, known.get(data.printed))
    return Grid([*rows, FULL], [column], reference="SHE")


def first_medium(data: Data) -> list[Row]:
    """A row for each medium that may come first; the others follow in their order."""
    rows = []
    for first in data.media:
        order = (first, *(medium for medium in data.media if medium != first))
        changes = {} if order == data.media else {"modalities": order}
        rows.append(Row(f"SHE, {first} first", changes, baselines=not changes, at=(first, 0)))
    return rows


def weights(data: Data) -> Grid:
    rows = [
        Row(f"α = {value}", {"hyper.separation": float(value), "hyper.transfer": float(value)}, at=("α", value))
        for value in (0, 1, 2, 4, 6, 8, 10)
    ] + [
        Row(f"β = {value}", {"hyper.discrimination": float(value)}, at=("β", value)) for value in (0, 1, 2, 4, 6, 8, 10)
    ]
    return Grid(rows, [Column("mean of all directions", data, bits(128), MEAN)])


def boundary(data: Data) -> Grid:
    sigmas = [
        Row(f"σ = {value}", {"hyper.sigma": value}, at=("σ", value)) for value in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
    ]
    numbers = [
        Row(
            f"K = {value}",
            {"hyper.prototypes": value} | ({"hyper.losses": "released"} if value == 1 else {}),
            at=("K", value),
        )
        for value in (1, 3, 5, 7, 9)
    ]
    return Grid([*sigmas, *numbers], [Column("mean of all directions", data, bits(128), MEAN)])


def all_lengths(data: Data) -> Grid:
    columns = [
        Column(f"{number} bits", data, bits(number), MEAN, group="mean of all directions", x=number)
        for number in (16, 32, 64, 128, 256, 512, 1024)
    ]
    return Grid([FULL], columns)


def curves(*numbers: int):
    """Of a figure with these code lengths: its grid on a data set."""

    def grid(data: Data) -> Grid:
        columns = [Column(f"{n} bits", data, bits(n), MEAN, group=f"{n} bits") for n in numbers]
        return Grid([FULL], columns)

    return grid


XMEDIA = (
    ("image", (4096,)),
    ("text", (3000,)),
    ("audio", (29,)),
    ("3d", (4700,)),
    ("video", (4096,)),
    ("labels", (20,)),
)


def exhibit(name: str, title: str, grid, datasets, stand_ins=STAND_INS, **more) -> Exhibit:
    return Exhibit(PAPER, name, title, grid, datasets, stand_ins, **more)


EXHIBITS = (
    exhibit("Table 2", "two bimodal sets at four code lengths", lengths, BIMODAL, printed="Table 2"),
    exhibit(
        "Table 3",
        "every direction between five media, XMedia, 128 bits",
        lambda data: Grid([*competitors("Table 3"), FULL], directions(data, "Table 3", 128)),
        ("xmedia",),
        printed="Table 3",
    ),
    exhibit(
        "Table 4",
        "every direction between five media, XMediaNet, 128 bits",
        lambda data: Grid([*competitors("Table 4"), FULL], directions(data, "Table 4", 128)),
        ("xmedianet",),
        printed="Table 4",
    ),
    exhibit("Table 5", "one loss left out, 128 bits", ablation, BIMODAL + MANY, printed="Table 5", notes=(STARTS,)),
    exhibit(
        "Table 7",
        "each medium in turn comes first, 128 bits",
        lambda data: Grid(first_medium(data), directions(data, "Table 7", 128), reference="SHE, image first"),
        MANY,
        printed="Table 7",
    ),
    exhibit("Figure 2", "precision against recall, 128 bits", curves(128), BIMODAL, picture="precision_recall"),
    exhibit("Figure 3", "the weights α and β, 128 bits", weights, MANY, picture="lines", x="weight"),
    exhibit(
        "Figure 4",
        "mean mAP by the medium that comes first, 128 bits",
        lambda data: Grid(first_medium(data), [directions(data, "Table 7", 128)[-1]], reference="SHE, image first"),
        MANY,
        printed="Table 7",
        picture="bars",
    ),
    exhibit(
        "Figure 5",
        "the boundary σ, and K prototypes a class, 128 bits",
        boundary,
        ("xmedia",),
        picture="lines",
        x="σ or K",
        notes=("Eq 7 as printed is undefined for K = 1: that point has the released program's losses.",),
    ),
    exhibit("Figure 6", "code lengths from 16 to 1024", all_lengths, MANY, picture="lines", x="bits", log=True),
    exhibit(
        "Figure 7",
        "precision against recall at 16, 32 and 64 bits",
        curves(16, 32, 64),
        BIMODAL,
        picture="precision_recall",
    ),
    complexity(PAPER, "size and time of the encoders at XMedia's shapes", "she_xmedia", XMEDIA, 128),
)
