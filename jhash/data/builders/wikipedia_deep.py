"""Wikipedia as a TFDS dataset: 2,866 pairs of 4096-d VGG-19 and 300-d doc2vec features, 10 categories."""

import tensorflow_datasets as tfds

from jhash.data.builders import media, records

CITATION = """@inproceedings{rasiwasia2010new,
  title = {A New Approach to Cross-Modal Multimedia Retrieval},
  author = {Rasiwasia, Nikhil and Costa Pereira, Jose and Coviello, Emanuele and Doyle, Gabriel and
    Lanckriet, Gert R. G. and Levy, Roger and Vasconcelos, Nuno},
  booktitle = {ACM International Conference on Multimedia},
  year = {2010},
}"""


class WikipediaDeep(tfds.core.ShardBasedBuilder):
    """A split for each part of each medium, 'train_image'; configs name the features' precision."""

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS = records.CONFIGS
    MANUAL_DOWNLOAD_INSTRUCTIONS = media.INSTRUCTIONS
    code_path = None  # nothing is downloaded: TFDS need not look for checksums (by a package it doesn't declare)
    file = None  # the published file, where it isn't the only one in the folder

    def _info(self) -> tfds.core.DatasetInfo:
        return media.info(self, "Wikipedia: VGG-19 features of images, doc2vec features of text.", CITATION)

    def _shard_iterators_per_split(self, dl_manager):
        return media.shards(self, self.file or dl_manager.manual_dir)

    def _example_writer(self):
        return records.Uncompressed(self.info.file_format)
