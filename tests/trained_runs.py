"""Two small trained runs for the commands: clips by LSH, photographs and names by CCA-ITQ from pixels and words."""

import numpy as np
from PIL import Image

from jhash import experiment
from jhash.config import experiment as describe

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220), "green": (30, 200, 30)}
KINDS = ("shoe", "hat", "bag", "coat")
CLASSES = np.arange(60) % 3  # of clips
PICTURES, QUERIES, SIDE = 48, 12, 12


def clips(folder, seed=0, labels=CLASSES):
    """A run of LSH, 16 bits, on 60 clips of 4 frames, 6 wide, drawn by the seed; (workdir, frames [60, 4, 6])."""
    random = np.random.default_rng(seed)
    frames = random.normal(size=(60, 4, 6)).astype(np.float32)
    np.savez(folder / "clips.npz", frames=frames, labels=labels, fold=np.arange(60) // 12)
    config = describe("lsh", "files", train=str(folder / "clips.npz"), split_array="fold", query_values=(4,))
    config.data.normalise = "centre"
    config.hyper.bits, config.baselines, config.run.tensorboard = 16, ("cosine",), False
    experiment.run(config, folder / "clips")
    return folder / "clips", frames


def photographs(folder):
    """A run of CCA-ITQ, 8 bits, on photographs of one colour each and their names: (workdir, the folder of them)."""
    shop, random = folder / "shop", np.random.default_rng(1)
    shop.mkdir()
    lines = ["file,name,kind,part"]
    for i in range(PICTURES):
        colour, kind = list(COLOURS)[i % 3], KINDS[i // 3 % 4]
        noise = random.integers(-20, 20, (SIDE, SIDE, 3))
        Image.fromarray((np.array(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8)).save(shop / f"p{i:02}.png")
        lines.append(f"p{i:02}.png,{colour} {kind},{colour},{'test' if i < QUERIES else 'train'}")
    (shop / "items.csv").write_text("\n".join(lines) + "\n")
    config = describe("cca_itq", "raw", manifest=str(shop / "items.csv"), height=SIDE, width=SIDE, split_column="part")
    config.data.update({"image_column": "file", "text_column": "name", "label_columns": ("kind",)})
    config.modalities = ("image", "text")
    config.hyper.bits = 8
    config.baselines, config.run.tensorboard, config.run.devices = (), False, 1
    experiment.run(config, folder / "photographs")
    return folder / "photographs", shop
