"""Seconds of one step in PyTorch of the methods that learn from pairs, beside a product of matrices of the same run.

    python tests/benchmarks/torch_pairs.py --method cmgcah --device cpu --steps 10
    python tests/benchmarks/torch_pairs.py --method dsmhn
    python tests/benchmarks/torch_pairs.py --method dsmhn --device cuda --span 50

Batch 128, 10,000 items, 24 classes, 64 bits, images as 4096-d features, texts as bags of 1386 words. CMGCAH has a step
for each phase of an outer iteration; its last row is one whole iteration, steps times batches. The yardstick is one
float32 product 256×4096×4096, timed between the steps; `products` is fastest step over fastest product. The batch lies
on the device already, so no loading is timed. With --span a GPU is waited for once in so many steps.
"""

import argparse
import functools
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))
import reference_pairs as pairs

BATCH, ITEMS, CLASSES, BITS, IMAGE, TEXT = 128, 10_000, 24, 64, 4096, 1386


def draw(device):
    """One batch {'image': [B, 4096], 'text': [B, 1386]}, its rows [B], and labels [n, 24] of all items."""
    batch = {
        "image": torch.randn(BATCH, IMAGE, device=device).relu(),
        "text": (torch.rand(BATCH, TEXT, device=device) < 0.01).float(),
    }
    labels = (torch.rand(ITEMS, CLASSES, device=device) < 0.15).float()
    return batch, torch.randperm(ITEMS, device=device)[:BATCH], labels


def cmgcah_steps(device):
    model = pairs.Cmgcah(ITEMS, classes=CLASSES, bits=BITS, text=TEXT)
    model = model.to(device).train()
    batch, rows, labels = draw(device)
    steps = {}
    for name, other in pairs.OTHER.items():
        given = (model, name, batch[name])
        steps[name] = functools.partial(pairs.side_step, *given, labels[rows], rows, labels)
        steps[f"critic of {name}"] = functools.partial(pairs.critic_step, *given, batch[other])
    return model, steps


def dsmhn_steps(device):
    model = pairs.Dsmhn({"image": IMAGE, "text": TEXT}, classes=CLASSES, bits=BITS).to(device).train()
    batch, rows, labels = draw(device)
    return model, {"step": functools.partial(pairs.dsmhn_step, model, batch, labels[rows])}


def product_of(device):
    left, right = torch.randn(256, 4096, device=device), torch.randn(4096, 4096, device=device)
    return lambda: left @ right


def timed(call, span, cuda):
    """Seconds a call of `span` calls in a row, and what the last one gave."""
    start = time.perf_counter()
    for _ in range(span):
        result = call()
    if cuda:
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / span, result


def measure(steps, product, repeats, warm_up, span, cuda):
    """Seconds of every step and of the product, [repeats] each in turn, and every step's last loss."""
    calls = steps | {"product": product}
    seconds, losses = {name: [] for name in calls}, {}
    for n in range(warm_up + repeats):
        for name, call in calls.items():
            taken, losses[name] = timed(call, span, cuda)
            if n >= warm_up:
                seconds[name].append(taken)
    return seconds, {name: float(losses[name]) for name in steps}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=("cmgcah", "dsmhn"), required=True)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--steps", type=int, default=10, help="timed steps of each phase")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the timed ones")
    parser.add_argument("--span", type=int, default=1, help="steps timed together")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tf32", action="store_true", help="let CUDA multiply in TF32")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = flags.tf32
    cuda = flags.device.startswith("cuda")

    model, steps = {"cmgcah": cmgcah_steps, "dsmhn": dsmhn_steps}[flags.method](flags.device)
    seconds, losses = measure(steps, product_of(flags.device), flags.steps, flags.warm_up, flags.span, cuda)
    product = min(seconds["product"])
    place = torch.cuda.get_device_name() if cuda else f"cpu, {flags.threads} threads"
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    print(f"{flags.method}: torch {torch.__version__} on {place}, {millions:.1f} million parameters")
    print("".join(f"{title:>18}" for title in ("what", "median s", "fastest s", "products", "loss")))
    for name, times in seconds.items():
        row(name, statistics.median(times), min(times), product, losses.get(name))
    if flags.method == "cmgcah":
        batches = ITEMS // BATCH
        median = batches * sum(statistics.median(seconds[name]) for name in steps)
        row(f"{batches} of each", median, batches * sum(min(seconds[name]) for name in steps), product, None)


def row(name, median, fastest, product, loss):
    last = "" if loss is None else f"{loss:.4f}"
    print(f"{name:>18}{median:18.5f}{fastest:18.5f}{fastest / product:18.2f}{last:>18}")


if __name__ == "__main__":
    main()
