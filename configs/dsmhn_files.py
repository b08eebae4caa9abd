"""DSMHN on a user's own pairs in .npz, .mat or .h5 files: UTD-MHAD's skeleton and inertial signals, or any other two.

python -m jhash.launch --config configs/dsmhn_files.py --config.data.train=utd_mhad.npz \\
    --config.modalities="('skeleton','inertial')" --config.data.labels_array=action \\
    --config.data.split_array=subject --config.data.query_values="(2,4,6,8)"

Arrays are named by the medium, or as config.data.arrays says. Pictures and clips in uint8 need a backbone:
--config.hyper.backbones="('cnn_small','')". Clips of one camera gain by
--config.data.pixels=centre_clip, which takes the mean clip away; small data by means over blocks of pixels, given as
vectors (BUILD_NOTES.md, Pairs).

That one, with the joints less joint 0 and --config.data.normalise=clip_centre: a minute on 2 cores; mAP over the
ranking, 64 bits, 3 seeds: .856/.839/.742/.748, CCA-ITQ .491/.432/.350/.338.
"""

from jhash.config import experiment


def get_config():
    config = experiment("dsmhn", "pair_files", normalise="standard")
    config.hyper.bits = 64
    config.hyper.epochs = 60
    config.hyper.batch = 32
    config.hyper.dropout = 0.2
    return config
