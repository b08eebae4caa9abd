"""CMGCAH on Wikipedia's pairs of picture and text with the classic features (128 and 10 wide), shipped with jhash.

python -m jhash.launch --config configs/cmgcah_wikipedia.py --workdir runs/cmgcah_wikipedia

About 3 minutes on one core, without the baselines. Networks are narrower than the paper's 2048 and
4096, which are for 4096-d features. mAP over the ranking, 64 bits, 3 seeds, image → image / image → text / text →
image / text → text: .335/.312/.745/.692, CCA-ITQ .159/.257/.246/.512.
"""

from jhash.config import experiment


def get_config():
    config = experiment("cmgcah", "wikipedia", normalise="standard")
    config.baselines = ("dcmh", "cca_itq", "itq")
    config.hyper.bits = 64
    config.hyper.features = 512
    config.hyper.image_hidden = 1024  # without it ablations a and c and dcmh are linear in an image's vector
    config.hyper.text_hidden = 512
    config.hyper.width = 64
    config.hyper.generator_hidden = 512
    config.hyper.batch = 32
    config.hyper.iterations = 160
    config.hyper.learning_rate = 3e-4
    config.hyper.beta = 0.01  # the paper's 1e-4 lets the codes of a medium share an offset, opposite to the other's
    config.hyper.gamma = 0.1  # with the paper's .01 the mask switches bits off, whose signs then say nothing
    return config
