"""SHE on Wikipedia's image-text pairs with the classic features, shipped with jhash.

python -m jhash.launch --config configs/she_wikipedia.py --workdir runs/she_wikipedia
"""

from jhash.config import experiment


def get_config():
    config = experiment("she", "wikipedia", normalise="standard")
    config.data.largest = 0
    config.baselines = ()
    config.hyper.bits = 64
    config.hyper.hidden = 1024
    config.hyper.epochs = 60
    config.hyper.discrimination = 4.0
    return config
