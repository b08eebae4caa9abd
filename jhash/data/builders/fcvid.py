"""FCVID as a TFDS dataset: 91,185 web videos of 239 categories, 25 frames of 4096-d VGG-16 features each."""

import tensorflow_datasets as tfds

from jhash.data.builders import records

CITATION = """@article{jiang2018fcvid,
  title = {Exploiting Feature and Class Relationships in Video Categorization with Regularized Deep Neural Networks},
  author = {Jiang, Yu-Gang and Wu, Zuxuan and Wang, Jun and Xue, Xiangyang and Chang, Shih-Fu},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  volume = {40},
  number = {2},
  year = {2018},
}"""


class Fcvid(tfds.core.ShardBasedBuilder):
    """Parts 'train' and 'test'; configs name the frames' precision."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = records.CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = records.INSTRUCTIONS
    code_path = None  # nothing is downloaded: TFDS need not look for checksums (by a package it doesn't declare)

    def _info(self) -> tfds.core.DatasetInfo:
        return records.info(self, "FCVID: VGG-16 features of 25 frames a video.", CITATION)

    def _shard_iterators_per_split(self, dl_manager):
        return records.shards(self, dl_manager.manual_dir)

    def _example_writer(self):
        return records.Uncompressed(self.info.file_format)
