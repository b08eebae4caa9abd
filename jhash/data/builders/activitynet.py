"""ActivityNet as a TFDS dataset: 14,482 videos of 200 activities, 30 frames of 2048-d ResNet-50 features each."""

import tensorflow_datasets as tfds

from jhash.data.builders import records

CITATION = """@inproceedings{heilbron2015activitynet,
  title = {ActivityNet: A Large-Scale Video Benchmark for Human Activity Understanding},
  author = {Caba Heilbron, Fabian and Escorcia, Victor and Ghanem, Bernard and Niebles, Juan Carlos},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition},
  year = {2015},
}"""


class Activitynet(tfds.core.ShardBasedBuilder):
    """Parts 'train', 'query' and 'test' (the database); configs name the frames' precision."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = records.CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = records.INSTRUCTIONS
    code_path = None  # nothing is downloaded: TFDS need not look for checksums (by a package it doesn't declare)

    def _info(self) -> tfds.core.DatasetInfo:
        return records.info(self, "ActivityNet: ResNet-50 features of 30 frames a video.", CITATION)

    def _shard_iterators_per_split(self, dl_manager):
        return records.shards(self, dl_manager.manual_dir)

    def _example_writer(self):
        return records.Uncompressed(self.info.file_format)
