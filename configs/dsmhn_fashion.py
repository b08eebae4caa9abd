"""DSMHN on photographs of fashion and their names, from pixels and words, shipped with jhash.

python -m jhash.launch --config configs/dsmhn_fashion.py --workdir runs/dsmhn_fashion

Leaves search.html, a page of searches. 13 minutes on 2 idle cores. mAP over the ranking, 64 bits, 3
seeds, image → image / image → text / text → image / text → text: .839/.858/.951/.973, CCA-ITQ .465/.528/.548/.633.
The paper's data sets and figures are not at hand.
"""

from jhash.config import experiment


def get_config():
    config = experiment("dsmhn", "fashion", normalise="none")
    config.hyper.bits = 64
    config.hyper.backbones = ("cnn_small", "")
    config.hyper.hidden = (0, 512)
    config.hyper.augment = True
    config.hyper.inter = "logistic"
    config.hyper.epochs = 150
    return config
