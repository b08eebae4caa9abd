"""DKPH on FCVID, the paper's experiment: 60 epochs of the teacher, 48 of the student.

python -m jhash.launch --config configs/dkph_fcvid.py --config.data.dir=/data/fcvid --workdir runs/dkph_fcvid

Needs fcv_train_feats.h5 (18 GB), fcv_test_feats.h5 (18 GB) and fcv_test_labels.mat. `--plan` says what it will
cost here.
Paper (Li et al. 2022), mAP@5/20/60/100: 16 bit .297/.174/.120/.097, 32 bit .441/.275/.203/.171, 64 bit
.494/.331/.255/.228. Not run by us: the features are not public.
"""

from jhash.config import experiment


def get_config():
    config = experiment("dkph", "fcvid", dir="data/fcvid")
    config.hyper.bits = 64
    config.hyper.centres = 2000
    config.hyper.batch = 256
    return config
