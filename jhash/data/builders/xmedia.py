"""XMedia as a TFDS dataset: five media that are no pairs, 12,443 items of 20 classes."""

import tensorflow_datasets as tfds

from jhash.data.builders import media, records

CITATION = """@article{zhai2014learning,
  title = {Learning Cross-Media Joint Representation with Sparse and Semisupervised Regularization},
  author = {Zhai, Xiaohua and Peng, Yuxin and Xiao, Jianguo},
  journal = {IEEE Transactions on Circuits and Systems for Video Technology},
  volume = {24},
  number = {6},
  year = {2014},
}"""


class Xmedia(tfds.core.ShardBasedBuilder):
    """A split for each part of each medium, 'train_image'; configs name the features' precision."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = records.CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = media.INSTRUCTIONS
    code_path = None  # nothing is downloaded: TFDS need not look for checksums (by a package it doesn't declare)
    file = None  # the published file, where it isn't the only one in the folder

    def _info(self) -> tfds.core.DatasetInfo:
        return media.info(self, "XMedia: features of images, text, audio, 3D models and video.", CITATION)

    def _shard_iterators_per_split(self, dl_manager):
        return media.shards(self, self.file or dl_manager.manual_dir)

    def _example_writer(self):
        return records.Uncompressed(self.info.file_format)
