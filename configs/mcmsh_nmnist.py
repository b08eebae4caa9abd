"""MCMSH on N-MNIST event video, shipped with jhash: 1,000 clips to train on and search, 100 queries, 10 digits.

python -m jhash.launch --config configs/mcmsh_nmnist.py --workdir runs/mcmsh_nmnist

About 4 minutes on 2 cores.
Gives mAP@5/20 and mAP .714/.615/.486 (mean of 3 seeds); ITQ .733/.594/.448.
Settings were chosen on a fold of the training part (BUILD_NOTES.md); the paper has no figure of this set.
"""

from jhash.config import experiment


def get_config():
    config = experiment("mcmsh", "nmnist", normalise="centre_clip")
    config.hyper.bits = 64
    config.hyper.structure_features = config.baseline_view = "flatten"
    config.hyper.items_a_centre = 2.0
    config.hyper.neighbours = (5, 10, 40)
    config.hyper.dropout = 0.1
    config.hyper.batch = 64
    config.hyper.steps = 500
    return config
