"""DKPH on ActivityNet: 300 epochs of the teacher, 48 of the student, 1,000 centres.

python -m jhash.launch --config configs/dkph_activitynet.py --config.data.dir=/data/activitynet

Needs train_feats.h5, test_feats.h5, query_feats.h5, re_label.mat and q_label.mat. `--plan` says what it will cost here.
Published in digits by authors of a successor, 16 bit, mAP@5/20/40/60/80/100: .102/.048/.0285/.020/.016/.013. Not run by
us: the features are not public.
"""

from jhash.config import experiment


def get_config():
    config = experiment("dkph", "activitynet", dir="data/activitynet")
    config.hyper.bits = 16
    config.hyper.centres = 1000
    config.hyper.batch = 256
    config.hyper.teacher_epochs = 300
    return config
