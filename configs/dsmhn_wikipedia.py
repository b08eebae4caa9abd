"""DSMHN on Wikipedia's pairs of picture and text with the classic features (128 and 10 wide), shipped with jhash.

python -m jhash.launch --config configs/dsmhn_wikipedia.py --workdir runs/dsmhn_wikipedia

About a minute on 2 cores. mAP over the ranking, 64 bits, 3 seeds, image → image / image → text / text → image / text →
text: .312/.296/.705/.626, CCA-ITQ .159/.257/.246/.512.
"""

from jhash.config import experiment


def get_config():
    config = experiment("dsmhn", "wikipedia", normalise="standard")
    config.hyper.bits = 64
    config.hyper.epochs = 60
    return config
