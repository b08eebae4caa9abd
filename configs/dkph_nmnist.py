"""DKPH on N-MNIST event video, shipped with jhash: 1,000 clips to train on and search, 100 queries, 10 digits.

python -m jhash.launch --config configs/dkph_nmnist.py --workdir runs/dkph_nmnist

About 2 minutes on 2 cores.
Gives mAP@5/20 and mAP .739/.641/.521 (mean of 3 seeds); ITQ .733/.594/.448.
Settings were chosen on a fold of the training part (BUILD_NOTES.md); the paper has no figure of this set.
"""

from jhash.config import experiment


def get_config():
    config = experiment("dkph", "nmnist", normalise="centre_clip")
    config.hyper.bits = 64
    config.hyper.structure_features = config.baseline_view = "flatten"
    config.hyper.items_a_centre = 2.0
    config.hyper.nearest = 5
    config.hyper.over = "all"
    config.hyper.lambda1 = 1.0
    config.hyper.dual_stream = False
    config.hyper.decoder = "clip"
    config.hyper.gamma1 = 0.5
    config.hyper.width = 128
    config.hyper.feedforward = 256
    config.hyper.dropout = 0.02
    config.hyper.batch = 64
    config.hyper.teacher_steps = 150
    config.hyper.student_steps = 1000
    config.hyper.learning_rate = 3e-3
    return config
