"""XMedia as a TFDS dataset: five media that are no pairs, 12,443 items of 20 classes."""

from jhash.data.builders import media

CITATION = """@article{zhai2014learning,
  title = {Learning Cross-Media Joint Representation with Sparse and Semisupervised Regularization},
  author = {Zhai, Xiaohua and Peng, Yuxin and Xiao, Jianguo},
  journal = {IEEE Transactions on Circuits and Systems for Video Technology},
  volume = {24},
  number = {6},
  year = {2014},
}"""


class Xmedia(media.Builder):
    """A split for each part of each medium, 'train_image'; configs name the features' precision."""

    described, citation = "XMedia: features of images, text, audio, 3D models and video.", CITATION
