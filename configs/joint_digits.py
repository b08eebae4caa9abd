"""The joint baseline of SHE: all six media of the digits at once.

python -m jhash.launch --config configs/joint_digits.py --workdir runs/joint_digits
"""

from jhash.config import experiment


def get_config():
    config = experiment("joint", "digits", normalise="standard")
    config.modalities = ("image", "stroke", "audio", "event", "text")
    config.data.largest = 4000
    config.baselines = ()
    config.hyper.media = config.modalities
    config.hyper.bits = 64
    config.hyper.hidden = 1024
    config.hyper.epochs = 30
    config.hyper.discrimination = 1.0
    return config
