"""MIRFlickr, MS-COCO or IAPR TC-12 as a TFDS dataset: pairs of image and text features with several labels each."""

from jhash.data.builders import media

CITATION = """@inproceedings{huiskes2008mir,
  title = {The {MIR} {F}lickr Retrieval Evaluation},
  author = {Huiskes, Mark J. and Lew, Michael S.},
  booktitle = {ACM International Conference on Multimedia Information Retrieval},
  year = {2008},
}
@inproceedings{lin2014microsoft,
  title = {Microsoft {COCO}: Common Objects in Context},
  author = {Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and Perona, Pietro and
    Ramanan, Deva and Doll{\\'a}r, Piotr and Zitnick, C. Lawrence},
  booktitle = {European Conference on Computer Vision},
  year = {2014},
}
@article{escalante2010segmented,
  title = {The Segmented and Annotated {IAPR} {TC-12} Benchmark},
  author = {Escalante, Hugo Jair and others},
  journal = {Computer Vision and Image Understanding},
  volume = {114},
  number = {4},
  year = {2010},
}"""


class Multilabel(media.Builder):
    """A split for each part of each medium, 'database_text'; configs name the features' precision."""

    described, citation = "MIRFlickr, MS-COCO or IAPR TC-12: features of images and their words.", CITATION
