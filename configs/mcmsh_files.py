"""MCMSH on files of your own, with settings for small sets (hundreds to thousands of clips).

python -m jhash.launch --config configs/mcmsh_files.py --config.data.train=a.npz --config.data.query=b.npz

Each file holds frames [N, T, C] and labels ([N] class numbers or [N, L] of 0/1). One file with a split field works too:
--config.data.split_array=subject --config.data.query_values="(2, 4)". Choose settings by folds of the training part
(--config.data.fold=1/4, 2/4, ...), never by the queries.
"""

from jhash.config import experiment


def get_config():
    config = experiment("mcmsh", "files", train="clips.npz")
    config.hyper.bits = 64
    return config
