"""What a paired run's codes are like: bit balance, and how well a linear classifier tells their classes apart.

    PYTHONPATH=. python tests/benchmarks/codes.py runs/dsmhn_wikipedia --method dsmhn

Of each medium: the mean over bits of |mean of the bit over the training part| (0 is balanced, 1 constant), the accuracy
on the test part of a logistic regression that saw the training part's codes (scikit-learn's, its defaults), and that of
always saying the commonest class. Items of several classes count by their first. Of both media's test codes together:
how many of an item's 10 nearest are of the other medium, and the bits in which a pair's two codes agree. Last, the mAP
('trec') of random codes, mean of three draws.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

import jhash
from jhash.data.pairs import load_pairs
from jhash.pages.embedding import mixed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workdir", type=Path)
    parser.add_argument("--method", required=True)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    config = json.loads((flags.workdir / "config.json").read_text())
    dataset = load_pairs(config["data"], config["seed"], config["modalities"])
    print(f"{'medium':>10}{'|mean bit|':>12}{'accuracy':>10}{'commonest':>11}")
    tests = []
    for medium in config["modalities"]:
        codes, classes, labels = {}, {}, {}
        for part in ("train", "test"):
            table = dataset.tables[f"{medium}/{part}"]
            file = flags.workdir / f"seed-{flags.seed}" / flags.method / f"codes_{medium}_{part}.npy"
            codes[part] = np.load(file, allow_pickle=False).astype(np.float32)
            labels[part] = table.read(np.arange(len(table)), ["labels"])["labels"]
            classes[part] = labels[part].argmax(1)
        fitted = LogisticRegression(max_iter=1000).fit(codes["train"], classes["train"])
        balance = np.abs(codes["train"].mean(0)).mean()
        commonest = (classes["test"] == np.bincount(classes["train"]).argmax()).mean()
        accuracy = fitted.score(codes["test"], classes["test"])
        print(f"{medium:>10}{balance:12.3f}{accuracy:10.3f}{commonest:11.3f}")
        tests.append(codes["test"])
    share, even = mixed(np.concatenate(tests), np.repeat([0, 1], [len(one) for one in tests]))
    print(f"of the 10 nearest {share:.3f} are of the other medium, mixed evenly {even:.3f}")
    print(f"the codes of a pair agree in {(tests[0] == tests[1]).mean():.3f} of their bits")
    random, chance = np.random.default_rng(0), []
    for _ in range(3):
        drawn = [random.choice([-1, 1], (len(labels[part]), codes[part].shape[1])) for part in ("test", "train")]
        scores = jhash.evaluate_arrays(*drawn, labels["test"], labels["train"], ["trec"])
        chance += [row["value"] for row in scores.rows if row["metric"] == "map" and row["k"] is None]
    print(f"random codes have mAP {np.mean(chance):.3f}")


if __name__ == "__main__":
    main()
