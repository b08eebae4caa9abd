"""`python -m jhash.data.convert`: a published dataset's .h5 and .mat files into TFDS array_record shards.

    python -m jhash.data.convert --dataset fcvid --source DIR --output DIR --storage float16
    python -m jhash.data.convert --dataset xmedia --source FILE --output DIR --storage float16

Of video, memory stays under a gigabyte whatever the files' size; of pairs, at half of one beside their words; of other
media, it holds one or two whole. The three multi-label sets are all 'multilabel': each needs an output folder of its
own. The conversion grows in a hidden folder and gets its name when it is whole; a killed one is thrown away and begun
again by the same command.
"""

import argparse
import contextlib
import fcntl
import importlib
import io
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from jhash.data import published, published_media, published_pairs
from jhash.data.plan import conversion_bytes
from jhash.types import InputError


def convert(dataset: str, source: Path, output: Path, storage: str) -> Path:
    """Converts and returns the finished folder, <output>/<dataset>/<storage>/<version>; a finished one stays.

    Raises:
        InputError: missing or damaged files, values that cannot be stored, no room, or another conversion at work.
    """
    final = published.build_folder(dataset, str(output), storage)
    if (final / "dataset_info.json").is_file():
        return final
    needed = conversion_bytes(dataset, str(source), storage)
    growing = Path(output) / f".{dataset}-{storage}.part"
    try:
        Path(output).mkdir(parents=True, exist_ok=True)
        with _alone(growing.with_suffix(".lock")):
            shutil.rmtree(growing, ignore_errors=True)
            free = shutil.disk_usage(output).free
            if free < needed:
                raise InputError(f"{output}: the conversion needs {needed} bytes of disk, only {free} are free.")
            try:
                _build(dataset, source, growing, storage)
                final.parent.mkdir(parents=True, exist_ok=True)
                os.replace(published.build_folder(dataset, str(growing), storage), final)
            finally:
                shutil.rmtree(growing, ignore_errors=True)
    except OSError as error:
        raise InputError(f"{output}: the conversion cannot be written: {error.strerror or error}.") from error
    return final


def _build(dataset: str, source: Path, output: Path, storage: str) -> None:
    import tensorflow_datasets as tfds

    module = importlib.import_module(f"jhash.data.builders.{dataset}")
    name = "".join(word.capitalize() for word in dataset.split("_"))
    builder = getattr(module, name)(config=storage, data_dir=output, file_format="array_record")
    if dataset in published_media.FIELDS:
        builder.file = published_media.find(dataset, str(source))
    elif dataset in published_pairs.FIELDS:
        builder.file = source
    settings = tfds.download.DownloadConfig(manual_dir=Path(source), compute_stats="skip")
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS speaks of downloads, and of folders that are renamed after
        builder.download_and_prepare(download_dir=output / "downloads", download_config=settings)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Holds a lock file, so that no two conversions grow in one folder; a killed holder's lock is free again."""
    with open(path, "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise InputError(f"{path}: another conversion of this dataset is at work here.") from error
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _datasets() -> list[str]:
    return sorted([*published.DATASETS, *published_media.FIELDS, *published_pairs.FIELDS])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m jhash.data.convert", description=__doc__.split("\n")[0])
    parser.add_argument("--dataset", required=True, choices=_datasets())
    parser.add_argument("--source", required=True, type=Path, metavar="PATH", help="the published file or folder")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="becomes data.dir in a config")
    parser.add_argument("--storage", default="float16", choices=("float16", "float32"))
    options = parser.parse_args(arguments)
    try:
        folder = convert(options.dataset, options.source, options.output, options.storage)
    except InputError as error:
        print(f"jhash: error: {error}", file=sys.stderr)
        return 2
    print(f"{folder}: whole. In a config: data.dir = '{options.output}', data.format = 'array_record', ", end="")
    print(f"data.storage = '{options.storage}'.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
