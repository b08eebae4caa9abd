"""What DKPH's and MCMSH's tables share: mAP@k of video, its lengths and cut-offs, and the data sets."""

from jhash.reproduce import printed
from jhash.reproduce.data import Data
from jhash.reproduce.grid import ABSENT, Column, Row, Score, bits

DATASETS = ("fcvid", "activitynet", "yfcc")
STAND_INS = ("nmnist", "jhmdb")
CUTOFFS = (5, 20, 40, 60, 80, 100)
CROSS_SET = (
    "Whether the printed change is relative or in points, and which of two printed numbers is the reference, the paper "
    "does not say: ours is relative to training there, in percent."
)
FCVID = (("video", (25, 4096)),)  # frames and width of an item


def printed_columns(paper: str, table: str, data: Data) -> list[Column]:
    """mAP@k as the printed columns have it, on `data` in the place of the printed set."""
    return [
        Column(
            f"{c['bits']} bits, mAP@{c['k']}",
            data,
            bits(c["bits"]),
            Score("video", c["k"]),
            printed=place,
            group=f"{c['bits']} bits",
            x=c["k"],
        )
        for place, c in enumerate(printed.table(paper, table).columns)
        if "k" in c
    ]


def map_at(data: Data, lengths: tuple[int, ...] = (16, 32, 64)) -> list[Column]:
    """mAP@k at all cut-offs and lengths."""
    return [
        Column(f"{n} bits, mAP@{k}", data, bits(n), Score("video", k), group=f"{n} bits", x=k)
        for n in lengths
        for k in CUTOFFS
    ]


def competitors(*names: str) -> list[Row]:
    return [Row(name, None, why=ABSENT) for name in names]


def baselines(full: Row, *names: str) -> list[Row]:
    """Rows of jhash's own baselines, which the run of the method as it stands takes along."""
    return [Row(name.upper(), full.changes, method=name, baselines=True) for name in names]
