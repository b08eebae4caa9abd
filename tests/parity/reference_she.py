"""SHE in PyTorch, written from Pu et al. 2025 and from what their program does: the other side of the parity tests.

Needs torch; nothing here is imported by the library or by tests that run without it.
"""

import torch
from torch import nn
from torch.nn import functional


def mlp(inputs, hidden, bits, bias, bound):
    """inputs-hidden-hidden-bits with ReLU; torch's own U(±1/√fan_in) but for the last weight, U(±bound)."""
    layers = nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, bits, bias=bias)
    )
    nn.init.uniform_(layers[-1].weight, -bound, bound)
    return layers


def noisy_rows(classes, prototypes, generator=None):
    """[P, C, C]: one-hot rows whose 1 is min(1 + .1·n, 1), n normal, drawn once for each prototype of each class."""
    noise = torch.randn(prototypes, classes, generator=generator)
    return torch.diag_embed((1 + 0.1 * noise).clamp(max=1))


class Modality(nn.Module):
    """Hash network of one modality and the network that makes its library: x [B, d] -> codes [B, K], [C, P, K]."""

    def __init__(self, inputs, rows, hidden=4096, bits=128):
        super().__init__()
        classes = rows.shape[1]
        self.hash = mlp(inputs, hidden, bits, bias=False, bound=inputs**-0.5)
        self.library = mlp(classes, hidden, bits, bias=True, bound=classes**-0.5)
        self.register_buffer("rows", rows)

    def forward(self, x):
        codes = functional.normalize(torch.tanh(self.hash(x)), dim=-1)
        library = functional.normalize(torch.tanh(self.library(self.rows)), dim=-1)
        return codes, library.transpose(0, 1)


def mining_loss(codes, labels, library):
    """Eq 5-6 for one label an item: labels [B, C] one-hot."""
    classes, prototypes, bits = library.shape
    cosine = (codes @ library.reshape(-1, bits).T).view(-1, classes, prototypes)
    s = (labels.unsqueeze(2) * (cosine + 1) / 2).sum(1)
    return -s.max(1).values.log().mean()


def masked_ratio(cosine, mask):
    """Eq 7 and 9 as released: the mask multiplies inside the exponent, so what it hides adds 1 to either sum."""
    positive, negative = torch.exp(cosine * mask).sum(1), torch.exp(cosine * (1 - mask)).sum(1)
    return -torch.log(positive / (positive + negative)).mean()


def separation_loss(library, variant):
    """Eq 7 over library [C, P, K]."""
    classes, prototypes, bits = library.shape
    rows = library.reshape(-1, bits)
    cosine = rows @ rows.T
    own = torch.eye(len(rows), dtype=rows.dtype, device=rows.device)
    owner = torch.arange(classes, device=rows.device).repeat_interleave(prototypes)
    same = (owner.unsqueeze(0) == owner.unsqueeze(1)).to(rows.dtype)
    if variant == "released":
        return masked_ratio(cosine * (1 - own), same)
    exponential = torch.exp(cosine) * (1 - own)
    return -torch.log((exponential * same).sum(1) / exponential.sum(1)).mean()


def transfer_loss(library, anchor, sigma=0.95):
    """Eq 8: library and anchor [C, P, K]."""
    return -((library * anchor).sum(-1) - sigma + 1).clamp(1e-10, 1).log().mean()


def discrimination_loss(codes, labels, variant):
    """Eq 9 over the batch: codes [B, K], labels [B, C]."""
    cosine, same = codes @ codes.T, (labels @ labels.T > 0).to(codes.dtype)
    if variant == "released":
        return masked_ratio(cosine, same)
    exponential = torch.exp(cosine)
    return -torch.log((exponential * same).sum(1) / exponential.sum(1)).mean()


def losses(codes, labels, library, anchor, variant, alpha=1.0, beta=4.0, sigma=0.95):
    """Eq 10: alpha weighs the library's terms, beta discrimination; `anchor` None is the first modality's stage."""
    terms = {
        "mining": mining_loss(codes, labels, library),
        "separation": separation_loss(library, variant),
        "discrimination": discrimination_loss(codes, labels, variant),
    }
    kept = terms["separation"]
    if anchor is not None:
        terms["transfer"] = transfer_loss(library, anchor, sigma)
        kept = kept + terms["transfer"]
    terms["total"] = terms["mining"] + alpha * kept + beta * terms["discrimination"]
    return terms


def optimizer(model, rate=1e-4):
    return torch.optim.Adam(model.parameters(), lr=rate, betas=(0.5, 0.999))


def train_step(model, optimizer, x, labels, anchor, variant, **weights):
    """One step of Adam over both networks; returns the total loss as a tensor."""
    optimizer.zero_grad()
    codes, library = model(x)
    loss = losses(codes, labels, library, anchor, variant, **weights)["total"]
    loss.backward()
    optimizer.step()
    return loss.detach()
