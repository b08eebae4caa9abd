"""MIRFLICKR-25K as a TFDS dataset: 20,015 pairs of an image and 1386 tags."""

from jhash.data.builders import pairs

CITATION = """@inproceedings{huiskes2008mir,
  title = {The {MIR} {F}lickr Retrieval Evaluation},
  author = {Huiskes, Mark J. and Lew, Michael S.},
  booktitle = {ACM International Conference on Multimedia Information Retrieval},
  year = {2008},
}"""


class Mirflickr25k(pairs.Builder):
    """See `pairs.Builder`; 24 classes."""

    described, citation = "MIRFLICKR-25K: images or their features, and tags, 24 classes.", CITATION
