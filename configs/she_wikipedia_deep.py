"""SHE on Wikipedia with VGG-19 and doc2vec features, the paper's experiment.

python -m jhash.launch --config configs/she_wikipedia_deep.py --config.data.file=/data/wikipedia.mat

Needs a .mat of train_imgs_deep [2173, 4096], train_texts_doc [2173, 300], train_imgs_labels, and the same of test.
`--plan` says what it will cost here; the features are not public, so it was not run by us.
Paper (Pu et al. 2025, Table 2, 128 bit): I→T .594, T→I .779.
"""

from jhash.config import experiment


def get_config():
    config = experiment("she", "wikipedia_deep")
    config.hyper.bits = 128
    config.hyper.discrimination = 4.0
    config.hyper.epochs = 300
    config.hyper.batch = 256
    return config
