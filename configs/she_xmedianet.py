"""SHE on XMediaNet, five media, the paper's experiment.

python -m jhash.launch --config configs/she_xmedianet.py --config.data.file=/data/XMediaNet.mat

Needs a .mat of train, train_labels, valid, valid_labels, test, test_labels, a cell for each medium. `--plan` says
what it will cost here; the features are not public, so it was not run by us.
Paper (Pu et al. 2025, Table 4, 128 bit): mean mAP over 20 tasks .510.
"""

from jhash.config import experiment


def get_config():
    config = experiment("she", "xmedianet")
    config.hyper.bits = 128
    config.hyper.discrimination = 6.0
    config.hyper.epochs = 300
    config.hyper.batch = 256
    config.hyper.learning_rates = (("audio", 3e-4),)
    return config
