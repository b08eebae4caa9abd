"""DSMHN on photographs of fashion and their names, from pixels and words, shipped with jhash.

python -m jhash.launch --config configs/dsmhn_fashion.py --workdir runs/dsmhn_fashion
"""

from jhash.config import experiment


def get_config():
    config = experiment("dsmhn", "fashion", normalise="none")
    config.hyper.bits = 64
    config.hyper.backbones = ("cnn_small", "")
    config.hyper.hidden = (0, 512)
    config.hyper.augment = True
    config.hyper.inter = "logistic"
    config.hyper.epochs = 60
    return config
