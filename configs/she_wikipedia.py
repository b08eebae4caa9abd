"""SHE on Wikipedia's pairs of picture and text with the classic features (128 and 10 wide), shipped with jhash.

python -m jhash.launch --config configs/she_wikipedia.py --workdir runs/she_wikipedia

About 1 minute on 2 cores. Hidden layers are 1024 wide, the paper's are 4096.
mAP image → text, text → image, 64 bits, 3 seeds: .271, .628 by 'she', .275, .728 by 'trec'; features as they are
(--config.data.normalise=none): .256, .258 by 'she'. The paper's features are others: configs/she_wikipedia_deep.py.
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
