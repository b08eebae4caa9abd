"""NUS-WIDE as a TFDS dataset: 10,000 pairs of 4096-d image and 300-d text features, ten classes."""

import tensorflow_datasets as tfds

from jhash.data.builders import media, records

CITATION = """@inproceedings{chua2009nuswide,
  title = {{NUS-WIDE}: A Real-World Web Image Database from National University of Singapore},
  author = {Chua, Tat-Seng and Tang, Jinhui and Hong, Richang and Li, Haojie and Luo, Zhiping and Zheng, Yantao},
  booktitle = {ACM International Conference on Image and Video Retrieval},
  year = {2009},
}"""


class Nuswide(tfds.core.ShardBasedBuilder):
    """A split for each part of each medium, 'train_image'; configs name the features' precision."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = records.CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = media.INSTRUCTIONS
    code_path = None  # nothing is downloaded: TFDS need not look for checksums (by a package it doesn't declare)
    file = None  # the published file, where it isn't the only one in the folder

    def _info(self) -> tfds.core.DatasetInfo:
        return media.info(self, "NUS-WIDE, ten classes: deep features of images and tags.", CITATION)

    def _shard_iterators_per_split(self, dl_manager):
        return media.shards(self, self.file or dl_manager.manual_dir)

    def _example_writer(self):
        return records.Uncompressed(self.info.file_format)
