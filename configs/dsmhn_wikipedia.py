"""DSMHN on Wikipedia's pairs of picture and text with the classic features (128 and 10 wide), shipped with jhash.

python -m jhash.launch --config configs/dsmhn_wikipedia.py --workdir runs/dsmhn_wikipedia
"""

from jhash.config import experiment


def get_config():
    config = experiment("dsmhn", "wikipedia", normalise="standard")
    config.hyper.bits = 64
    config.hyper.epochs = 60
    return config
