"""CMGCAH on photographs of fashion and their names, from pixels and words, shipped with jhash.

python -m jhash.launch --config configs/cmgcah_fashion.py --workdir runs/cmgcah_fashion

About 40 minutes on 2 cores for CMGCAH itself. mAP over the ranking, 64 bits, seed 0, image → image /
image → text / text → image / text → text: .737/.685/.768/.947, CCA-ITQ .478/.534/.553/.635. After 60 iterations
.576/.541/.555/.794, where ablation a, which is DCMH, has .762/.774/.881/.964 (BUILD_NOTES.md).
"""

from jhash.config import experiment


def get_config():
    config = experiment("cmgcah", "fashion", normalise="none")
    config.data.pixels = "centre_clip"
    config.baselines = ("dcmh", "cca_itq", "itq")
    config.hyper.bits = 64
    config.hyper.backbone = "cnn_small"
    config.hyper.features = 512
    config.hyper.text_hidden = 1024
    config.hyper.generator_hidden = 1024
    config.hyper.width = 64
    config.hyper.batch = 64
    config.hyper.iterations = 200
    config.hyper.learning_rate = 3e-4
    return config
