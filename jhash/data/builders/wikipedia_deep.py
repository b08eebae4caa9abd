"""Wikipedia as a TFDS dataset: 2,866 pairs of 4096-d VGG-19 and 300-d doc2vec features, 10 categories."""

from jhash.data.builders import media

CITATION = """@inproceedings{rasiwasia2010new,
  title = {A New Approach to Cross-Modal Multimedia Retrieval},
  author = {Rasiwasia, Nikhil and Costa Pereira, Jose and Coviello, Emanuele and Doyle, Gabriel and
    Lanckriet, Gert R. G. and Levy, Roger and Vasconcelos, Nuno},
  booktitle = {ACM International Conference on Multimedia},
  year = {2010},
}"""


class WikipediaDeep(media.Builder):
    """A split for each part of each medium, 'train_image'; configs name the features' precision."""

    described, citation = "Wikipedia: VGG-19 features of images, doc2vec features of text.", CITATION
