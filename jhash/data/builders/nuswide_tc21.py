"""NUS-WIDE, the 21 largest of its concepts, as a TFDS dataset: 190,421 pairs of an image and 1,000 tags."""

from jhash.data.builders import pairs
from jhash.data.builders.nuswide import CITATION


class NuswideTc21(pairs.Builder):
    """See `pairs.Builder`; 21 classes."""

    described, citation = "NUS-WIDE: images or their features, and tags, 21 classes.", CITATION
