"""MCMSH in PyTorch, written from Hao et al. 2022 and from what their program does: the other side of the parity tests.

Needs torch; nothing here is imported by the library or by tests that run without it.
"""

import torch
from torch import nn
from torch.nn import functional


class Sign(torch.autograd.Function):
    """sgn with +1 at 0; backward clips each value of the gradient to [-1, 1]."""

    @staticmethod
    def forward(ctx, h):
        return torch.where(h >= 0, 1.0, -1.0).to(h.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clamp(-1, 1)


class Mlp(nn.Module):
    def __init__(self, n, dropout):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n, 2 * n), nn.GELU(), nn.Dropout(dropout), nn.Linear(2 * n, n), nn.Dropout(dropout)
        )

    def forward(self, x):
        return self.layers(x)


class LongGate(nn.Module):
    """L-RD on [B, a, p]: one mask for all a."""

    def __init__(self, p, q):
        super().__init__()
        self.reduce, self.reduce_norm = nn.Linear(p, q, bias=False), nn.BatchNorm1d(q)
        self.expand, self.expand_norm = nn.Linear(q, p, bias=False), nn.BatchNorm1d(p)
        nn.init.normal_(self.reduce.weight, 0, 0.001)
        nn.init.normal_(self.expand.weight, 0, 0.001)

    def mask(self, x):
        y = functional.relu(self.reduce_norm(self.reduce(x.mean(1))))
        return torch.sigmoid(self.expand_norm(self.expand(y))).unsqueeze(1)


class ShortGate(nn.Module):
    """S-RD on [B, a, p]: two convolutions of width 3 along a."""

    def __init__(self, p, q, groups):
        super().__init__()
        self.reduce = nn.Conv1d(p, q, 3, padding=1, groups=groups, bias=False)
        self.expand = nn.Conv1d(q, p, 3, padding=1, groups=groups, bias=False)
        self.reduce_norm, self.expand_norm = nn.BatchNorm1d(q), nn.BatchNorm1d(p)
        nn.init.kaiming_normal_(self.reduce.weight, mode="fan_out", nonlinearity="relu")
        nn.init.xavier_normal_(self.expand.weight)

    def along(self, x):
        y = functional.relu(self.reduce_norm(self.reduce(x)))
        return torch.sigmoid(self.expand_norm(self.expand(y)))

    def mask(self, x):
        return self.along(x.transpose(1, 2)).transpose(1, 2)


class MiddleGate(ShortGate):
    """M-RD on [B, a, p]: as S-RD between two adaptive poolings, a -> a // 3 -> a."""

    def mask(self, x):
        a = x.shape[1]
        pooled = functional.adaptive_avg_pool1d(x.transpose(1, 2), a // 3)
        return functional.adaptive_avg_pool1d(self.along(pooled), a).transpose(1, 2)


class GateUnit(nn.Module):
    """Dense over a, gate, dense over a. The released program has one for each gate and sums their outputs."""

    def __init__(self, gates, a):
        super().__init__()
        self.before, self.gates, self.after = nn.Linear(a, a), nn.ModuleList(gates), nn.Linear(a, a)

    def forward(self, x):
        x = self.before(x.transpose(1, 2)).transpose(1, 2)
        masks = [gate.mask(x) for gate in self.gates]
        return self.after((sum(masks) * x).transpose(1, 2)).transpose(1, 2)


class Gates(nn.Module):
    """L(·) + M(·) + S(·) on [B, a, p]: three units as released, one with summed masks as printed, none at all."""

    def __init__(self, a, p, q, groups, variant):
        super().__init__()
        gates = [LongGate(p, q), MiddleGate(p, q, groups), ShortGate(p, q, groups)]
        if variant == "released":
            self.units = nn.ModuleList([GateUnit([gate], a) for gate in gates])
        elif variant == "paper":
            self.units = nn.ModuleList([GateUnit(gates, a)])
        else:
            self.units = nn.ModuleList()

    def forward(self, x):
        return sum(unit(x) for unit in self.units) if len(self.units) else x


class McMlp(nn.Module):
    """Frames [B, T, C] -> embeddings [B, T, D] and frame codes [B, T, K]."""

    def __init__(self, frames=25, channels=4096, width=256, bits=64, reduction=16, dropout=0.5, variant="released"):
        super().__init__()
        self.variant = variant
        self.project = nn.Linear(channels, width)
        self.token_mlp, self.channel_mlp = Mlp(frames, dropout), Mlp(width, dropout)
        q, groups = width // reduction, width // reduction
        self.token_gates = Gates(width, frames, frames // 4, 1, variant)
        self.channel_gates = Gates(frames, width, q, groups, variant)
        self.last_gates = Gates(frames, width, q, groups, variant)
        self.hash = nn.Linear(width, bits)

    def forward(self, x):
        x = functional.relu(self.project(x))
        x = x + self.token_gates(self.token_mlp(x.transpose(1, 2))).transpose(1, 2)
        x = x + self.channel_gates(self.channel_mlp(x))
        e = self.last_gates(x)
        return e, self.hash(e)

    def relaxed(self, y, epoch):
        """[B, T, K] -> [B, K]: mean of tanh(a·y) as released, tanh of the mean as printed."""
        if self.variant == "paper":
            return torch.tanh(y.mean(1))
        return torch.tanh((epoch + 1) ** 0.5 * y).mean(1)


def cluster_loss(e_i, u_i, e_j, u_j):
    """Eq 7 as released, over anchors and partners, divided by D·B."""
    b, d = u_i.shape
    return (((e_i.mean(1) - u_i) ** 2).sum() + ((e_j.mean(1) - u_j) ** 2).sum()) / (d * b)


def similarity_loss(h_i, h_j, s):
    """Eq 10's first term, one pair an anchor."""
    return ((s - (h_i * h_j).sum(1) / h_i.shape[1]) ** 2).mean()


def quantisation_loss(h_i, h_j, gradient="held"):
    """Σ(‖h_i − b_i‖² + ‖h_j − b_j‖²)/(B·K); with b differentiated as released the two gradients cancel."""
    b_i, b_j = Sign.apply(h_i), Sign.apply(h_j)
    if gradient == "held":
        b_i, b_j = b_i.detach(), b_j.detach()
    return (((h_i - b_i) ** 2).sum() + ((h_j - b_j) ** 2).sum()) / h_i.numel()


def quadruplet_loss(h_i, h_p, h_n1, h_n2, has_negative):
    """Eq 11 with margins K/4 and K/64; an anchor without negatives adds 0."""
    k = h_i.shape[1]
    positive = ((h_i - h_p) ** 2).sum(1)
    first = functional.relu(k / 4 + positive - ((h_i - h_n1) ** 2).sum(1))
    second = functional.relu(k / 64 + positive - ((h_n1 - h_n2) ** 2).sum(1))
    return ((first + second) * has_negative).mean()


def losses(model, frames, u_i, u_j, s, has_negative, epoch, quantisation_gradient="held"):
    """Five separate forward passes (anchor, partner, positive, two negatives) and Eq 12 as released.

    frames: five tensors [B, T, C] in that order; u [B, D]; s and has_negative [B].
    """
    embeddings, codes = [], []
    for x in frames:
        e, y = model(x)
        embeddings.append(e)
        codes.append(model.relaxed(y, epoch))
    h_i, h_j, h_p, h_n1, h_n2 = codes
    terms = {
        "cluster": cluster_loss(embeddings[0], u_i, embeddings[1], u_j),
        "similarity": similarity_loss(h_i, h_j, s),
        "quantisation": quantisation_loss(h_i, h_j, quantisation_gradient),
        "quadruplet": quadruplet_loss(h_i, h_p, h_n1, h_n2, has_negative),
    }
    weights = {"cluster": 0.8, "similarity": 0.1, "quantisation": 0.01, "quadruplet": 0.01}
    terms["total"] = sum(weights[name] * terms[name] for name in weights)
    return terms


def paper_losses(model, frames, u_i, s, has_negative):
    """Eq 12 as printed: cluster over anchors divided by B, Eq 10 over all pairs of the batch with .1 of the
    quantisation (b held) inside, Eq 11.

    frames: anchor, positive and two negatives, [B, T, C] each; u_i [B, D]; s [B, B]; has_negative [B].
    """
    embeddings, codes = [], []
    for x in frames:
        e, y = model(x)
        embeddings.append(e)
        codes.append(model.relaxed(y, 0))
    h_i, h_p, h_n1, h_n2 = codes
    b, k = h_i.shape
    pairs = ((h_i @ h_i.T / k - s) ** 2).sum() / b
    quantisation = ((Sign.apply(h_i).detach() - h_i) ** 2).sum() / b
    terms = {
        "cluster": ((embeddings[0].mean(1) - u_i) ** 2).sum() / b,
        "similarity": pairs + 0.1 * quantisation,
        "quadruplet": quadruplet_loss(h_i, h_p, h_n1, h_n2, has_negative),
    }
    terms["total"] = 0.8 * terms["cluster"] + 0.1 * terms["similarity"] + 0.01 * terms["quadruplet"]
    return terms


def train_step(model, optimizer, frames, u_i, u_j, s, has_negative, epoch):
    """One step of Adam; returns the total loss as a tensor."""
    optimizer.zero_grad()
    loss = losses(model, frames, u_i, u_j, s, has_negative, epoch)["total"]
    loss.backward()
    optimizer.step()
    return loss.detach()
