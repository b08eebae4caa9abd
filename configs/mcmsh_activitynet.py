"""MCMSH on ActivityNet: 9,722 videos to train on, 1,000 queries against 3,758 others.

python -m jhash.launch --config configs/mcmsh_activitynet.py --config.data.dir=/data/activitynet

Needs train_feats.h5, test_feats.h5, query_feats.h5 (30 frames of 2048-d ResNet-50 features), re_label.mat and
q_label.mat. `--plan` says what it will cost here.
Published in digits by authors of a successor, 16 bit, mAP@5/20/40/60/80/100: .140/.068/.041/.028/.021/.018. Not run by
us: the features are not public.
"""

from jhash.config import experiment


def get_config():
    config = experiment("mcmsh", "activitynet", dir="data/activitynet")
    config.hyper.bits = 16
    config.hyper.centres = 2000
    config.hyper.batch = 256
    config.hyper.epochs = 55
    return config
