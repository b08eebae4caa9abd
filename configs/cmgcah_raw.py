"""CMGCAH on a user's own photographs and words, from pixels: a .csv names files, texts, labels and who asks.

python -m jhash.launch --config configs/cmgcah_raw.py --workdir runs/shop --config.data.manifest=shop/items.csv \\
    --config.data.root=shop/pictures --config.data.image_column=file --config.data.text_column=name \\
    --config.data.label_columns="('kind',)" --config.data.split_column=split --config.data.cache=shop/cache

The .csv and the root are those of dsmhn_raw.py. An iteration passes over the pairs four times: 200 of them suit some
thousands of pairs, 50 ten thousand.
"""

from jhash.config import experiment


def get_config():
    config = experiment("cmgcah", "raw", normalise="clip", height=80, width=80)  # each text to root mean square 1
    config.modalities = ("image", "text")
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
    config.hyper.bias_correction = True
    # Means over pairs, for the printed sums over all items outgrow an item's own quantisation where these are many. The
    # weights are those of cmgcah_fashion.py for 2,000 pairs, whose reasons hold here too.
    config.hyper.normalised = "mean"
    config.hyper.alpha = 20.0
    config.hyper.beta = 20.0
    config.hyper.gamma = 6.4
    return config
