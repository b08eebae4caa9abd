"""SHE on ten classes of NUS-WIDE, the paper's experiment.

python -m jhash.launch --config configs/she_nuswide.py --config.data.file=/data/nus_wide.h5 --workdir runs/she_nuswide

Needs an .h5 of train_imgs_deep [8000, 4096], train_texts [8000, 300], train_imgs_labels, and the same of valid and
test. `--plan` says what it will cost here; the features are not public, so it was not run by us.
Paper (Pu et al. 2025, Table 2, 128 bit): I→T .698, T→I .692.
"""

from jhash.config import experiment


def get_config():
    config = experiment("she", "nuswide")
    config.hyper.bits = 128
    config.hyper.discrimination = 5.0
    config.hyper.epochs = 300
    config.hyper.batch = 256
    return config
