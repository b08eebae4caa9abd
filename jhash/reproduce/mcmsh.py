"""MCMSH (Hao et al., ACM MM 2022): Tables 1 to 5, Figures 3 to 7."""

from jhash.reproduce import video
from jhash.reproduce.data import Data
from jhash.reproduce.grid import Column, Cost, CrossScore, Exhibit, Grid, Row, Score, bits

PAPER = "mcmsh"
FULL_GATES = ("L", "M", "S")
GATES = {
    "MLP-Mixer": (),
    "MLP-Mixer+L-RD": ("L",),
    "MLP-Mixer+M-RD": ("M",),
    "MLP-Mixer+S-RD": ("S",),
    "MC-MLP": FULL_GATES,
}
WEIGHTS = {  # of the cluster, similarity and quadruplet losses
    "cluster": (1.0, 0.0, 0.0),
    "sim": (0.0, 1.0, 0.0),
    "quad": (0.0, 0.0, 1.0),
    "0.8 cluster + 0.1 sim": (0.8, 0.1, 0.0),
    "0.8 cluster + 0.01 quad": (0.8, 0.0, 0.01),
    "0.1 sim + 0.01 quad": (0.0, 0.1, 0.01),
}
FULL = Row("MCMSH", {}, baselines=True)
QUANTISED = (
    "All rows keep the quantisation loss at its weight of .01, which the paper writes inside the similarity loss: "
    "without it codes of rows without similarity would not be trained towards signs at all."
)
SMALL = "Small sets: settings are those of the shipped config but for the row's own; structures from flattened frames."


def weighted(cluster: float, similarity: float, quadruplet: float) -> dict:
    return {
        "hyper.cluster_weight": cluster,
        "hyper.similarity_weight": similarity,
        "hyper.quadruplet_weight": quadruplet,
    }


def gate_rows() -> list[Row]:
    return [
        Row(label, {} if gates == FULL_GATES else {"hyper.gates": gates}, baselines=gates == FULL_GATES)
        for label, gates in GATES.items()
    ]


def reductions(data: Data) -> Grid:
    rows = [Row(f"MCMSH r={r}", {} if r == 16 else {"hyper.reduction": r}, baselines=r == 16) for r in (2, 8, 16, 32)]
    size = Cost("parameters", "mcmsh_fcvid", video.FCVID)
    label = "parameters, millions, at FCVID's shapes"
    parameters = Column(label, data, bits(64), size, printed=5)
    return Grid(rows, [*video.printed_columns(PAPER, "Table 2", data), parameters], reference="MCMSH r=16")


def losses(data: Data) -> Grid:
    rows = [Row(label, weighted(*values)) for label, values in WEIGHTS.items()]
    full = Row("MCMSH (all three)", {}, baselines=True)
    return Grid([*rows, full], video.printed_columns(PAPER, "Table 3", data), reference=full.label)


def across_sets(data: Data) -> Grid:
    change = CrossScore("video", 20, "yfcc", "change")
    column = Column("change of mAP@20 against training on YFCC, percent", data, bits(64), change, printed=0)
    return Grid([*video.competitors("SSTH", "SSVH", "BTH"), FULL], [column])


def cost(data: Data) -> Grid:
    columns = [
        Column(label, data, bits(64), Cost(what, "mcmsh_fcvid", video.FCVID), printed=place)
        for place, (label, what) in enumerate(
            (
                ("parameters, millions", "parameters"),
                ("multiply-adds, 10⁹", "multiply_adds"),
                ("encoding an item, ms", "milliseconds"),
            )
        )
    ]
    return Grid([*video.competitors("BTH"), Row("MCMSH", {})], columns)


def balance(data: Data) -> Grid:
    """One of the three weights moved at a time, around (.8, .1, .01)."""
    rows = []
    for place, (name, values) in enumerate((("α", (1.0, 0.8, 0.6)), ("β", (0.05, 0.1, 0.2)), ("γ", (0.01, 0.05, 0.1)))):
        for value in values:
            chosen = [0.8, 0.1, 0.01]
            chosen[place] = value
            standard = chosen == [0.8, 0.1, 0.01]
            changes = {} if standard else weighted(*chosen)
            rows.append(Row(f"{name} = {value:g}", changes, baselines=standard, at=(name,)))
    columns = [
        Column(f"64 bits, mAP@{k}", data, bits(64), Score("video", k), group="64 bits", x=k) for k in video.CUTOFFS
    ]
    return Grid(rows, columns, reference="α = 0.8")


def with_baselines(columns):
    return lambda data: Grid([FULL, *video.baselines(FULL, "itq", "lsh")], columns(data), reference="MCMSH")


def by_length(data: Data) -> list[Column]:
    return [
        Column(f"mAP@{k}, {n} bits", data, bits(n), Score("video", k), group=f"mAP@{k}", x=n)
        for k in (5, 20, 100)
        for n in (16, 32, 64)
    ]


def one_column(data: Data) -> list[Column]:
    return [Column("64 bits, mAP", data, bits(64), Score("trec"), group="64 bits")]


def exhibit(name: str, title: str, grid, datasets=("fcvid",), **more) -> Exhibit:
    return Exhibit(PAPER, name, title, grid, datasets, video.STAND_INS, notes=more.pop("notes", (SMALL,)), **more)


EXHIBITS = (
    exhibit(
        "Table 1",
        "the backbone, each gate alone, and all three",
        lambda data: Grid(gate_rows(), video.printed_columns(PAPER, "Table 1", data), reference="MC-MLP"),
        printed="Table 1",
    ),
    exhibit("Table 2", "the reduction r of the channel mixer, 64 bits", reductions, printed="Table 2"),
    exhibit(
        "Table 3",
        "single losses, pairs of them and all three, 64 bits",
        losses,
        printed="Table 3",
        notes=(SMALL, QUANTISED),
    ),
    Exhibit(
        PAPER,
        "Table 4",
        "trained on FCVID, searched in YFCC, 64 bits",
        across_sets,
        ("fcvid",),
        printed="Table 4",
        notes=(video.CROSS_SET,),
        also=("yfcc",),
    ),
    Exhibit(PAPER, "Table 5", "size and time of the encoder, 64 bits, 25 frames", cost, ("shapes",), printed="Table 5"),
    exhibit("Figure 3", "the weights α, β, γ of the losses, 64 bits", balance, picture="lines", x="k"),
    exhibit("Figure 4", "mAP@k at three lengths", with_baselines(video.map_at), video.DATASETS, picture="lines", x="k"),
    exhibit(
        "Figure 5", "mAP@k against the code length", with_baselines(by_length), picture="lines", x="bits", log=True
    ),
    exhibit(
        "Figure 6",
        "codes of the backbone, each gate and all three, in two dimensions",
        lambda data: Grid(gate_rows(), one_column(data)),
        picture="codes",
    ),
    exhibit(
        "Figure 7",
        "the five nearest items of some queries",
        with_baselines(one_column),
        ("activitynet",),
        picture="found",
    ),
)
