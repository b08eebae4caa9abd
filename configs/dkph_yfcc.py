"""DKPH on YFCC: 200 epochs of the teacher, 48 of the student.

python -m jhash.launch --config configs/dkph_yfcc.py --config.data.dir=/data/yfcc

Needs the nine training shards, the two test shards and their labels (an error names the patterns that are looked for).
`--plan` says what it will cost here. The paper prints figures of this data set in a plot only. Not run by us: the
features are not public.
"""

from jhash.config import experiment


def get_config():
    config = experiment("dkph", "yfcc", dir="data/yfcc")
    config.hyper.bits = 64
    config.hyper.centres = 2000
    config.hyper.batch = 256
    config.hyper.teacher_epochs = 200
    return config
