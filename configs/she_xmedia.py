"""SHE on XMedia, five media, the paper's experiment.

python -m jhash.launch --config configs/she_xmedia.py --config.data.file=/data/XMedia.mat --workdir runs/she_xmedia

Needs a .mat of I_tr_CNN, T_tr_BOW, A_tr, d3_tr, V_tr_CNN, the same of te, and their labels. `--plan` says what it
will cost here; the features are not public, so it was not run by us.
Paper (Pu et al. 2025, Table 3, 128 bit): mean mAP over 20 tasks .750.
"""

from jhash.config import experiment


def get_config():
    config = experiment("she", "xmedia")
    config.hyper.bits = 128
    config.hyper.discrimination = 1.0
    config.hyper.epochs = 300
    config.hyper.batch = 256
    config.hyper.learning_rates = (("audio", 1e-3), ("video", 2e-4))
    return config
