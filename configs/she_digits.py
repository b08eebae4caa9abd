"""SHE on six media of handwritten and spoken digits, shipped with jhash, one after another.

python -m jhash.launch --config configs/she_digits.py --workdir runs/she_digits
"""

from jhash.config import experiment


def get_config():
    config = experiment("she", "digits", normalise="standard")
    config.modalities = ("image", "stroke", "audio", "event", "text")
    config.data.largest = 4000
    config.baselines = ()
    config.hyper.bits = 64
    config.hyper.hidden = 1024
    config.hyper.epochs = 30
    config.hyper.discrimination = 1.0
    return config
