"""Seconds and peak memory of one training step in PyTorch, at the papers' sizes: B 256, T 25, 4096-d, K 64; SHE, which
has no frames: B 256, 4096-d, K 128, 20 classes of 3 prototypes, a later modality's stage.

    python tests/benchmarks/torch_step.py --method mcmsh --device cpu --steps 5

Prints one JSON line: the median over the steps after warm-up, and the peak memory of the process (CPU) or of the
allocator (CUDA). The batch lies on the device already, so no loading is timed.
"""

import argparse
import json
import resource
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))
import reference_dkph as dkph
import reference_mcmsh as mcmsh
import reference_she as she
from torch.nn import functional

BATCH, FRAMES, CHANNELS, WIDTH, BITS = 256, 25, 4096, 256, 64


def mcmsh_step(device):
    model = mcmsh.McMlp(FRAMES, CHANNELS, WIDTH, BITS).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    frames = [torch.randn(BATCH, FRAMES, CHANNELS, device=device).relu() for _ in range(5)]
    u_i, u_j = torch.randn(BATCH, WIDTH, device=device), torch.randn(BATCH, WIDTH, device=device)
    s, has_negative = torch.randn(BATCH, device=device).sign(), torch.ones(BATCH, device=device)
    return model, lambda: mcmsh.train_step(model, optimizer, frames, u_i, u_j, s, has_negative, 0)


def teacher_step(device):
    model = dkph.Teacher(FRAMES, CHANNELS, WIDTH).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4)
    clean = torch.randn(BATCH, FRAMES, CHANNELS, device=device).relu()
    return model, lambda: dkph.train_step(model, optimizer, dkph.teacher_losses, clean, clean)


def student_step(device):
    model = dkph.Student(FRAMES, CHANNELS, WIDTH, bits=BITS).to(device).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-4)
    x_i, x_j = (torch.randn(BATCH, FRAMES, CHANNELS, device=device).relu() for _ in range(2))
    c_i, c_j = torch.randn(BATCH, WIDTH, device=device), torch.randn(BATCH, WIDTH, device=device)
    sign = torch.randn(BATCH, device=device).sign()
    arguments = ((x_i, x_j), (x_i, x_j), c_i, c_j, sign, sign.abs())
    return model, lambda: dkph.train_step(model, optimizer, dkph.student_losses, *arguments)


def she_step(variant):
    def step(device, bits=128, classes=20, prototypes=3):
        model = she.Modality(CHANNELS, she.noisy_rows(classes, prototypes), bits=bits).to(device).train()
        optimizer = she.optimizer(model)
        x = torch.randn(BATCH, CHANNELS, device=device).relu()
        labels = functional.one_hot(torch.randint(classes, (BATCH,), device=device), classes).float()
        anchor = functional.normalize(torch.randn(classes, prototypes, bits, device=device).tanh(), dim=-1)
        return model, lambda: she.train_step(model, optimizer, x, labels, anchor, variant)

    return step


STEPS = {
    "mcmsh": mcmsh_step,
    "dkph-teacher": teacher_step,
    "dkph-student": student_step,
    "she-paper": she_step("paper"),
    "she-released": she_step("released"),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", choices=STEPS, required=True)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--steps", type=int, default=5, help="timed steps")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the timed ones")
    parser.add_argument("--span", type=int, default=1, help="steps timed together, a GPU being waited for at the end")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tf32", action="store_true", help="let CUDA multiply in TF32")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = flags.tf32
    cuda = flags.device.startswith("cuda")

    model, step = STEPS[flags.method](flags.device)
    seconds = []
    for n in range(flags.warm_up + flags.steps):
        start = time.perf_counter()
        for _ in range(flags.span):
            loss = step()
        if cuda:
            torch.cuda.synchronize()
        if n >= flags.warm_up:
            seconds.append((time.perf_counter() - start) / flags.span)
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    report = {
        "method": flags.method,
        "device": torch.cuda.get_device_name() if cuda else f"cpu, {flags.threads} threads",
        "torch": torch.__version__,
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(statistics.median(seconds), 5),
        "fastest": round(min(seconds), 5),
        "peak_gb": round(peak / 1e9, 3),
        "loss": float(loss),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
