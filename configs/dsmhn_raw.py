"""DSMHN on a user's own photographs and words, from pixels: a .csv names files, texts, labels and who asks.

python -m jhash.launch --config configs/dsmhn_raw.py --workdir runs/shop --config.data.manifest=shop/items.csv \\
    --config.data.root=shop/pictures --config.data.image_column=file --config.data.text_column=name \\
    --config.data.label_columns="('kind',)" --config.data.split_column=split --config.data.cache=shop/cache

A line of the .csv is an item; its split is train, test or database. The root may be a .zip, '' is the .csv's folder.
Photographs are decoded once into the cache. Without a split column, --config.data.fold=1/5 asks by a fifth of all.
Where a pretrained network's weights are at hand, see jhash/extract.py and dsmhn_files.py.
"""

from jhash.config import experiment


def get_config():
    config = experiment("dsmhn", "raw", normalise="none", height=80, width=80)
    config.modalities = ("image", "text")
    config.hyper.bits = 64
    config.hyper.backbones = ("cnn_small", "")
    config.hyper.hidden = (0, 512)
    config.hyper.augment = True
    config.hyper.epochs = 60
    config.hyper.batch = 32
    return config
