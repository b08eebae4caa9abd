"""DSMHN on NUS-WIDE with its 21 most frequent classes: 190,421 pairs, words 1000 in the circulating files.

python -m jhash.launch --config configs/dsmhn_nuswide_tc21.py --config.data.file=NUS-WIDE-TC21.mat \\
    --config.hyper.weights="('vgg16.safetensors','')"

Pictures go through VGG-16, whose weights are a file of yours; without them it trains from scratch. A file with features
[N, 4096] in place of pictures needs --config.hyper.backbones="('','')". Days on a CPU: meant for a GPU. --plan says
what it will need. There is no figure of the paper at hand to compare with. Not run here: no such file is at hand.
"""

from jhash.config import experiment


def get_config():
    config = experiment("dsmhn", "nuswide_tc21")
    config.hyper.backbones = ("vgg16", "")
    config.hyper.hidden = (0, 4096)
    config.hyper.bits = 64
    config.hyper.backbone_learning_rate = 1e-5
    config.hyper.learning_rate = 1e-4
    return config
