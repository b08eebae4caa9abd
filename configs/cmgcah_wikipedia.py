"""CMGCAH on Wikipedia's pairs of picture and text with the classic features (128 and 10 wide), shipped with jhash.

python -m jhash.launch --config configs/cmgcah_wikipedia.py --workdir runs/cmgcah_wikipedia
"""

from jhash.config import experiment


def get_config():
    config = experiment("cmgcah", "wikipedia", normalise="standard")
    config.baselines = ("dcmh", "cca_itq", "itq")
    config.hyper.bits = 64
    config.hyper.features = 512
    config.hyper.text_hidden = 512
    config.hyper.width = 64
    config.hyper.generator_hidden = 512
    config.hyper.batch = 32
    config.hyper.iterations = 40
    config.hyper.learning_rate = 3e-4
    return config
