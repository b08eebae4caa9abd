"""CMGCAH on photographs of fashion and their names, from pixels and words, shipped with jhash.

python -m jhash.launch --config configs/cmgcah_fashion.py --workdir runs/cmgcah_fashion

Most of an hour on 2 cores, and not run to its end yet: after 12 iterations mAP was .251/.218/.175/.278, below CCA-ITQ's
.465/.527/.547/.631 (BUILD_NOTES.md).
"""

from jhash.config import experiment


def get_config():
    config = experiment("cmgcah", "fashion", normalise="none")
    config.baselines = ("dcmh", "cca_itq", "itq")
    config.hyper.bits = 64
    config.hyper.backbone = "cnn_small"
    config.hyper.features = 512
    config.hyper.text_hidden = 1024
    config.hyper.generator_hidden = 1024
    config.hyper.width = 64
    config.hyper.batch = 64
    config.hyper.iterations = 60
    config.hyper.learning_rate = 3e-4
    return config
