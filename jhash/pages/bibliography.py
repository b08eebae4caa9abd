"""BibTeX of what a run used: the papers of its methods and of its baselines."""

from collections.abc import Sequence

ENTRIES = {
    "she": {
        "type": "inproceedings",
        "key": "pu2025she",
        "author": "Pu, Ruitao and Qin, Yang and Song, Xiaomin and Peng, Dezhong and Ren, Zhenwen and Sun, Yuan",
        "title": "{SHE}: Streaming-media Hashing Retrieval",
        "booktitle": "Proceedings of the 42nd International Conference on Machine Learning",
        "series": "Proceedings of Machine Learning Research",
        "volume": "267",
        "year": "2025",
    },
    "dkph": {
        "type": "inproceedings",
        "key": "li2022dkph",
        "author": "Li, Pandeng and Xie, Hongtao and Ge, Jiannan and Zhang, Lei and Min, Shaobo and Zhang, Yongdong",
        "title": "Dual-Stream Knowledge-Preserving Hashing for Unsupervised Video Retrieval",
        "booktitle": "European Conference on Computer Vision (ECCV)",
        "year": "2022",
    },
    "mcmsh": {
        "type": "inproceedings",
        "key": "hao2022mcmsh",
        "author": "Hao, Yanbin and Duan, Jingru and Zhang, Hao and Zhu, Bin and Zhou, Pengyuan and He, Xiangnan",
        "title": "Unsupervised Video Hashing with Multi-granularity Contextualization and Multi-structure Preservation",
        "booktitle": "Proceedings of the 30th ACM International Conference on Multimedia",
        "year": "2022",
        "doi": "10.1145/3503161.3547836",
    },
    "cmgcah": {
        "type": "article",
        "key": "ou2022cmgcah",
        "author": "Ou, Weihua and Deng, Jiaxin and Zhang, Lei and Gou, Jianping and Zhou, Quan",
        "title": "Cross-Modal Generation and Pair Correlation Alignment Hashing",
        "journal": "IEEE Transactions on Intelligent Transportation Systems",
        "year": "2022",
        "doi": "10.1109/TITS.2022.3221787",
    },
    "dsmhn": {
        "type": "article",
        "key": "jin2023dsmhn",
        "author": "Jin, Lu and Li, Zechao and Tang, Jinhui",
        "title": "Deep Semantic Multimodal Hashing Network for Scalable Image-Text and Video-Text Retrievals",
        "journal": "IEEE Transactions on Neural Networks and Learning Systems",
        "volume": "34",
        "number": "4",
        "year": "2023",
        "eprint": "1901.02662",
        "archiveprefix": "arXiv",
    },
    "itq": {
        "type": "inproceedings",
        "key": "gong2011itq",
        "author": "Gong, Yunchao and Lazebnik, Svetlana",
        "title": "Iterative Quantization: A Procrustean Approach to Learning Binary Codes",
        "booktitle": "IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
        "year": "2011",
    },
    "lsh": {
        "type": "inproceedings",
        "key": "charikar2002lsh",
        "author": "Charikar, Moses S.",
        "title": "Similarity Estimation Techniques from Rounding Algorithms",
        "booktitle": "Proceedings of the 34th Annual ACM Symposium on Theory of Computing (STOC)",
        "year": "2002",
    },
    "cca_itq": {
        "type": "article",
        "key": "gong2013ccaitq",
        "author": "Gong, Yunchao and Lazebnik, Svetlana and Gordo, Albert and Perronnin, Florent",
        "title": "Iterative Quantization: A Procrustean Approach to Learning Binary Codes for Large-Scale Image "
        "Retrieval",
        "journal": "IEEE Transactions on Pattern Analysis and Machine Intelligence",
        "volume": "35",
        "number": "12",
        "year": "2013",
    },
    "dcmh": {
        "type": "inproceedings",
        "key": "jiang2017dcmh",
        "author": "Jiang, Qing-Yuan and Li, Wu-Jun",
        "title": "Deep Cross-Modal Hashing",
        "booktitle": "IEEE Conference on Computer Vision and Pattern Recognition (CVPR)",
        "year": "2017",
    },
}


def bibtex(methods: Sequence[str]) -> str:
    """The entries of those of the methods that come from a paper, each once, in their order; '' where there is none."""
    return "\n".join(_entry(ENTRIES[name]) for name in dict.fromkeys(methods) if name in ENTRIES)


def _entry(fields: dict[str, str]) -> str:
    named = [f"  {name} = {{{value}}}," for name, value in fields.items() if name not in ("type", "key")]
    return "\n".join([f"@{fields['type']}{{{fields['key']},", *named, "}"]) + "\n"
