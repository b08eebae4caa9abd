"""Runs as an experiment leaves them, but with drawn codes in place of learned ones."""

import dataclasses
import json

import numpy as np

from jhash import report
from jhash.config import experiment
from jhash.curves import curve
from jhash.data.dataset import Dataset, Task
from jhash.data.source import ArrayTable
from jhash.evaluate import save_codes
from jhash.metrics import evaluate_codes, evaluate_vectors
from jhash.pages.run import Run


def signs(labels, bits, seed):
    """Codes ±1 [N, bits] that are alike where labels [N, C] are, with noise."""
    generator = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(labels.shape[1], bits))
    return np.where(labels @ centres + generator.normal(size=(len(labels), bits)) >= 0, 1, -1).astype(np.int8)


def finished(workdir, config, dataset, methods, seeds=(0,), bits=16):
    """A Run whose workdir holds codes of each method and seed; 'cosine' has real vectors."""
    config = json.loads(json.dumps(config.to_dict()))
    config["baselines"], config["seeds"] = list(methods[1:]), len(seeds)
    config["hyper"]["bits"] = bits
    found, curves = [], []
    for seed in seeds:
        for number, method in enumerate(methods):
            coded, real = {}, method == "cosine"
            for place, part in enumerate(dataset.parts):
                labels = dataset.tables[part].arrays["labels"]
                coded[part] = signs(labels, bits, 100 * seed + 10 * number + place)
                coded[part] = coded[part].astype(np.float32) if real else coded[part]
            (workdir / f"seed-{seed}" / method).mkdir(parents=True)
            save_codes(workdir / f"seed-{seed}" / method, coded)
            for task in dataset.tasks:
                arrays = arrays_of(dataset, task, coded)
                if task.drawn and not real:
                    names = {"dataset": dataset.name, "method": method, "seed": seed}
                    names |= {"query": task.names[0], "database": task.names[1]}
                    curves.append(names | curve(*arrays))
                own = np.arange(len(arrays[0])) if task.self_in_database else None
                for preset in task.presets or ("video", "trec"):
                    rank = evaluate_vectors if real else evaluate_codes
                    found += report.results(
                        rank(*arrays, preset, ties="stable", self_rows=own),
                        method=method,
                        variant="paper" if number == 0 else None,
                        dataset=dataset.name,
                        query=task.names[0],
                        database=task.names[1],
                        bits=None if real else bits,
                        seed=seed,
                        labels=arrays[2:],
                    )
    report.write_results(workdir / "results.json", found)
    tasks = dict.fromkeys(methods, dataset.tasks)
    return Run(workdir, config, dataset, tasks, found, methods[1:2], curves)


def arrays_of(dataset, task, coded):
    labels = [dataset.tables[part].arrays["labels"] for part in task.parts]
    return coded[task.query], np.concatenate([coded[p] for p in task.database]), labels[0], np.concatenate(labels[1:])


def table(name, column, shape, labels, seed=0):
    items = np.random.default_rng(seed).random((len(labels), *shape)).astype(np.float32)
    return ArrayTable(name, {column: items, "labels": labels})


def video(name="nmnist", width=2312, classes=10, sizes=(12, 30), self_in_database=False):
    labels = [np.eye(classes, dtype=np.uint8)[np.arange(size) % classes] for size in sizes]
    tables = {
        part: table(part, "frames", (5, width), one, place)
        for place, (part, one) in enumerate(zip(("query", "train"), labels, strict=True))
    }
    tables["database"] = tables["query" if self_in_database else "train"]
    names = ("test", "test" if self_in_database else "train")
    fitted = {"video": {"shift": np.zeros(width, np.float32), "scale": np.ones(width, np.float32)}}
    tasks = (Task("query", ("database",), names, self_in_database),)
    return Dataset(name, tables, tasks, dict.fromkeys(tables, "video"), fitted)


def streams(media=("image", "stroke", "text"), name="digits"):
    """Media of digits by their widths, each asking each by two protocols."""
    widths = {"image": 784, "stroke": 16, "text": 2048}
    labels = {"train": np.eye(10, dtype=np.uint8)[np.arange(20) % 10], "test": np.eye(10, dtype=np.uint8)}
    tables, tasks = {}, []
    for medium in media:
        for part, of_part in labels.items():
            tables[f"{medium}/{part}"] = table(medium, "features", (widths[medium],), of_part)
        tables[medium] = tables[f"{medium}/train"]
    for query in media:
        for other in media:
            if query != other:
                both = (f"{other}/train", f"{other}/test")
                names = (f"{query} test", f"{other} train + test"), (f"{query} test", f"{other} train")
                tasks.append(Task(f"{query}/test", both, names[0], presets=("she",), drawn=True))
                tasks.append(Task(f"{query}/test", both[:1], names[1], presets=("trec",)))
    fitted = {one: {"shift": np.zeros(widths[one]), "scale": np.ones(widths[one])} for one in media}
    return Dataset(name, tables, tuple(tasks), {}, fitted, tuple("0123456789"), kept=tuple(tables))


def pairs(names=("sea", "sky", "<i>town</i>")):
    """Two media without pictures whose items have several classes or none."""
    labels = (np.random.default_rng(0).random((24, len(names))) < 0.4).astype(np.uint8)
    parts = {"train": labels, "test": labels[:9]}
    tables = {
        f"{medium}/{part}": table(medium, "features", (4,), of_part)
        for medium in ("image", "text")
        for part, of_part in parts.items()
    }
    tasks = tuple(
        Task(f"{a}/test", (f"{b}/train",), (f"{a} test", f"{b} train"), presets=("trec",), drawn=a != b)
        for a in ("image", "text")
        for b in ("image", "text")
    )
    fitted = {medium: {"shift": np.zeros(4), "scale": np.ones(4)} for medium in ("image", "text")}
    dataset = Dataset("pair_files", tables, tasks, {}, fitted, names)
    return dataclasses.replace(dataset, shown={"text/test": ["<script>alert(1)</script>"] * 9})


def config_of(method, data):
    config = experiment(method, data)
    config.run.tensorboard = False
    return config
