"""YFCC videos as a TFDS dataset: 511,044 videos of YFCC100M, 25 frames of 4096-d VGG-16 features each."""

import tensorflow_datasets as tfds

from jhash.data.builders import records

CITATION = """@article{thomee2016yfcc100m,
  title = {YFCC100M: The New Data in Multimedia Research},
  author = {Thomee, Bart and Shamma, David A. and Friedland, Gerald and Elizalde, Benjamin and Ni, Karl and Poland,
    Douglas and Borth, Damian and Li, Li-Jia},
  journal = {Communications of the ACM},
  volume = {59},
  number = {2},
  year = {2016},
}"""


class Yfcc(tfds.core.ShardBasedBuilder):
    """Parts 'train' and 'test' (101,256 labelled); configs name the frames' precision."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = records.CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = records.INSTRUCTIONS
    code_path = None  # nothing is downloaded: TFDS need not look for checksums (by a package it doesn't declare)

    def _info(self) -> tfds.core.DatasetInfo:
        return records.info(self, "YFCC100M videos: VGG-16 features of 25 frames a video.", CITATION)

    def _shard_iterators_per_split(self, dl_manager):
        return records.shards(self, dl_manager.manual_dir)

    def _example_writer(self):
        return records.Uncompressed(self.info.file_format)
