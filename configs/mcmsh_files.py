"""MCMSH on files of your own, with the settings that folds of small sets chose (hundreds to thousands of clips).

python -m jhash.launch --config configs/mcmsh_files.py --config.data.train=a.npz --config.data.query=b.npz

Each file holds frames [N, T, C] and labels ([N] class numbers or [N, L] of 0/1). One file with a split field works too:
--config.data.split_array=subject --config.data.query_values="(2, 4)". Choose settings by folds of the training part
(--config.data.fold=1/4, 2/4, ...), never by the queries. --config.data.normalise=centre or centre_clip is worth a fold.
"""

from jhash.config import experiment


def get_config():
    config = experiment("mcmsh", "files", train="clips.npz", normalise="clip_centre")
    config.hyper.bits = 64
    config.hyper.structure_features = config.baseline_view = "flatten"
    config.hyper.items_a_centre = 2.0
    config.hyper.neighbours = (3, 6, 20)
    config.hyper.width = 64
    config.hyper.dropout = 0.1
    config.hyper.batch = 64
    config.hyper.steps = 1500
    config.hyper.learning_rate = 1e-3
    return config
