"""DKPH on files of your own, with the settings that folds of small sets chose (hundreds to thousands of clips).

python -m jhash.launch --config configs/dkph_files.py --config.data.train=a.npz --config.data.query=b.npz

Each file holds frames [N, T, C] and labels ([N] class numbers or [N, L] of 0/1). One file with a split field works too:
--config.data.split_array=subject --config.data.query_values="(2, 4)". Choose settings by folds of the training part
(--config.data.fold=1/4, 2/4, ...), never by the queries. --config.data.normalise=centre or centre_clip is worth a fold.
"""

from jhash.config import experiment


def get_config():
    config = experiment("dkph", "files", train="clips.npz", normalise="clip_centre")
    config.hyper.bits = 64
    config.hyper.structure_features = config.baseline_view = "flatten"
    config.hyper.items_a_centre = 2.0
    config.hyper.nearest = 5
    config.hyper.over = "all"
    config.hyper.lambda1 = 1.0
    config.hyper.dual_stream = False
    config.hyper.decoder = "clip"
    config.hyper.width = 64
    config.hyper.feedforward = 128
    config.hyper.dropout = 0.1
    config.hyper.gamma1 = 0.2
    config.hyper.batch = 32
    config.hyper.teacher_steps = 200
    config.hyper.student_steps = 1500
    config.hyper.learning_rate = 3e-3
    return config
