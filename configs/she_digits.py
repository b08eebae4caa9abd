"""SHE on five media of digits, shipped with jhash, one after another: image, stroke, audio, event video, text.

python -m jhash.launch --config configs/she_digits.py --workdir runs/she_digits

A sixth medium, on another day:

python -m jhash.launch --config configs/she_digits.py --config.modalities=sign --config.library=runs/she_digits

About 2 minutes on 2 cores. At most 4,000 training items a medium and hidden layers 1024 wide, the paper's are 4096.
Mean mAP of the 20 tasks, 64 bits, 3 seeds: .806 by 'she', .827 by 'trec'; all media at once (configs/joint_digits.py)
.819 and .839. The paper has no figure of this set.
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
