"""NUS-WIDE as a TFDS dataset: 10,000 pairs of 4096-d image and 300-d text features, ten classes."""

from jhash.data.builders import media

CITATION = """@inproceedings{chua2009nuswide,
  title = {{NUS-WIDE}: A Real-World Web Image Database from National University of Singapore},
  author = {Chua, Tat-Seng and Tang, Jinhui and Hong, Richang and Li, Haojie and Luo, Zhiping and Zheng, Yantao},
  booktitle = {ACM International Conference on Image and Video Retrieval},
  year = {2009},
}"""


class Nuswide(media.Builder):
    """A split for each part of each medium, 'train_image'; configs name the features' precision."""

    described, citation = "NUS-WIDE, ten classes: deep features of images and tags.", CITATION
