"""MS-COCO as a TFDS dataset: pairs of an image and the words of its captions, 80 or 91 classes."""

from jhash.data.builders import pairs

CITATION = """@inproceedings{lin2014microsoft,
  title = {Microsoft {COCO}: Common Objects in Context},
  author = {Lin, Tsung-Yi and Maire, Michael and Belongie, Serge and Hays, James and Perona, Pietro and
    Ramanan, Deva and Doll{\\'a}r, Piotr and Zitnick, C. Lawrence},
  booktitle = {European Conference on Computer Vision},
  year = {2014},
}"""


class Mscoco(pairs.Builder):
    """See `pairs.Builder`; 80 or 91 classes."""

    described, citation = "MS-COCO: images or their features, and words of captions, 80 or 91 classes.", CITATION
