"""XMediaNet as a TFDS dataset: five media that are no pairs, 102,000 items of 200 classes."""

from jhash.data.builders import media

CITATION = """@article{peng2018overview,
  title = {An Overview of Cross-Media Retrieval: Concepts, Methodologies, Benchmarks, and Challenges},
  author = {Peng, Yuxin and Huang, Xin and Zhao, Yunzhen},
  journal = {IEEE Transactions on Circuits and Systems for Video Technology},
  volume = {28},
  number = {9},
  year = {2018},
}"""


class Xmedianet(media.Builder):
    """A split for each part of each medium, 'train_image'; configs name the features' precision."""

    described, citation = "XMediaNet: features of images, text, audio, 3D models and video.", CITATION
