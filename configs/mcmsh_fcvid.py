"""MCMSH on FCVID, the paper's experiment.

python -m jhash.launch --config configs/mcmsh_fcvid.py --config.data.dir=/data/fcvid --workdir runs/mcmsh_fcvid

Needs fcv_train_feats.h5 (18 GB), fcv_test_feats.h5 (18 GB) and fcv_test_labels.mat. `--plan` says what it will
cost here.
Paper (Hao et al. 2022, 64 bit): mAP@5/20/40/60/80/100 .494/.335/.288/.263/.245/.230. Not run by us: the features are
not public.
"""

from jhash.config import experiment


def get_config():
    config = experiment("mcmsh", "fcvid", dir="data/fcvid")
    config.hyper.bits = 64
    config.hyper.centres = 2000
    config.hyper.batch = 256
    config.hyper.epochs = 55
    return config
