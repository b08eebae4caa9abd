"""DKPH's teacher and student in PyTorch, written from Li et al. 2022 and from what their program does.

Needs torch; nothing here is imported by the library or by tests that run without it.
"""

import math

import torch
from torch import nn
from torch.nn import functional


class TanhSign(torch.autograd.Function):
    """Eq 4: sgn(tanh x), +1 at 0, straight-through on tanh's output."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(torch.tanh(x))
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (t,) = ctx.saved_tensors
        return gradient * (1 - t * t)


class WindowSign(torch.autograd.Function):
    """As released: ±1 with -1 at 0; the gradient passes where -1 < x <= 1."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return torch.where(x > 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * ((x > -1) & (x <= 1)).to(gradient.dtype)


SIGNS = {"paper": TanhSign.apply, "released": WindowSign.apply}


class LayerNorm(nn.Module):
    """(x − mean)/(unbiased std + ε)·a + b."""

    def __init__(self, width, epsilon=1e-6):
        super().__init__()
        self.a, self.b, self.epsilon = nn.Parameter(torch.ones(width)), nn.Parameter(torch.zeros(width)), epsilon

    def forward(self, x):
        return self.a * (x - x.mean(-1, keepdim=True)) / (x.std(-1, keepdim=True) + self.epsilon) + self.b


class Attention(nn.Module):
    """Eq 2, one head."""

    def __init__(self, width, dropout):
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value, self.output = nn.Linear(width, width), nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        q, k, v = self.query(x), self.key(x), self.value(x)
        weights = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(x.shape[-1]), dim=-1)
        return self.output(self.dropout(weights) @ v)


def sinusoids(frames, width):
    """Fixed positions [T, D]: sines at even places, cosines at odd ones."""
    place = torch.arange(frames).float().unsqueeze(1)
    rate = torch.exp(torch.arange(0, width, 2).float() * -(math.log(10000.0) / width))
    out = torch.zeros(frames, width)
    out[:, 0::2], out[:, 1::2] = torch.sin(place * rate), torch.cos(place * rate)
    return out


class FrameEncoder(nn.Module):
    """Frames [B, T, C] -> embeddings [B, T, D]: projection, positions, one pre-normalised block.

    Released: fixed positions and the normalisation above; paper: trained positions and the usual normalisation.
    """

    def __init__(self, frames, channels, width, hidden, dropout, variant):
        super().__init__()
        self.project = nn.Linear(channels, width)
        if variant == "released":
            self.register_buffer("positions", sinusoids(frames, width))
            self.norm1, self.norm2 = LayerNorm(width), LayerNorm(width)
        else:
            self.positions = nn.Parameter(torch.randn(frames, width) * 0.02)
            self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attention = Attention(width, dropout)
        self.dense1, self.dense2 = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        x = self.dropout(self.project(x) + self.positions)
        x = x + self.dropout(self.attention(self.norm1(x)))
        hidden = self.dropout(functional.gelu(self.dense1(self.norm2(x)), approximate="tanh"))
        x = x + self.dropout(self.dense2(hidden))
        return self.dropout(x)


class Teacher(nn.Module):
    """Frames -> embeddings [B, T, D] and frames rebuilt from 128-bit frame codes [B, T, C]."""

    def __init__(self, frames=25, channels=4096, width=256, hidden=1024, bits=128, dropout=0.1, variant="released"):
        super().__init__()
        self.encoder = FrameEncoder(frames, channels, width, hidden, dropout, variant)
        self.hash, self.decoder, self.sign = nn.Linear(width, bits), nn.Linear(bits, channels), SIGNS[variant]

    def forward(self, x):
        t = self.encoder(x)
        return t, self.decoder(self.sign(self.hash(t)))


class Student(nn.Module):
    """Frames -> embeddings [B, T, D], code b [B, K], latent frames l [B, T, K], rebuilt frames [B, T, C]."""

    def __init__(self, frames=25, channels=4096, width=256, hidden=1024, bits=64, dropout=0.1, variant="released"):
        super().__init__()
        self.encoder = FrameEncoder(frames, channels, width, hidden, dropout, variant)
        self.hash, self.temporal = nn.Linear(frames * width, bits), nn.Linear(width, bits)
        self.decoder, self.sign = nn.Linear(bits, channels), SIGNS[variant]

    def forward(self, x):
        t = self.encoder(x)
        b, latent = self.sign(self.hash(t.flatten(1))), self.temporal(t)
        return t, b, latent, self.decoder(latent + b.unsqueeze(1))


def reconstruction_loss(x, x_hat):
    """Eq 7."""
    return functional.mse_loss(x_hat, x)


def bsim_loss(b_i, b_j, sign, weight):
    """Eq 10 over the batch's pairs."""
    return (weight * (sign - (b_i * b_j).sum(1) / b_i.shape[1]) ** 2).mean()


def tsim_loss_paper(t_i, c_i, c_j, sign, eta=0.1, margin=1.0):
    """Eq 11: t_i [B, D] the student's frame means, c the teacher's nearest centres [B, D]."""
    own, other = ((t_i - c_i) ** 2).sum(1), ((t_i - c_j) ** 2).sum(1)
    return (own + eta * sign.abs() * (1 - sign) * functional.relu(own - other + margin)).mean()


def tsim_loss_released(t_i, t_j, c_i, c_j, sign, eta=0.1, margin=0.5):
    """Eq 11 as released: both members, divided by D; unsquared hinge with a positive pair's centres times 0."""
    keep = (sign < 0.5).to(t_i.dtype).unsqueeze(1)
    aligned = (((t_i - c_i) ** 2).sum() + ((t_j - c_j) ** 2).sum()) / t_i.numel()
    own, other = (t_i - keep * c_i).norm(dim=1), (t_i - keep * c_j).norm(dim=1)
    return aligned + eta * functional.relu(own - other + margin).mean()


def teacher_losses(model, masked, target):
    """Eq 12, teacher: masked input and target [B, T, C] (clean as printed, the masked frames as released)."""
    return {"total": reconstruction_loss(target, model(masked)[1])}


def student_losses(model, masked, target, c_i, c_j, sign, weight, variant="released"):
    """Eq 12, student: the two members of each pair in two forward passes; γ1 = .11, γ2 = .9.

    masked and target [2, B, T, C], c [B, D], sign and weight [B]. As printed only member i is rebuilt and embedded.
    """
    t_i, b_i, _, rebuilt_i = model(masked[0])
    t_j, b_j, _, rebuilt_j = model(masked[1])
    terms = {"bsim": bsim_loss(b_i, b_j, sign, weight)}
    if variant == "paper":
        terms["reconstruction"] = reconstruction_loss(target[0], rebuilt_i)
        terms["tsim"] = tsim_loss_paper(t_i.mean(1), c_i, c_j, sign)
    else:
        both = reconstruction_loss(target[0], rebuilt_i) + reconstruction_loss(target[1], rebuilt_j)
        terms["reconstruction"] = both / 2
        terms["tsim"] = tsim_loss_released(t_i.mean(1), t_j.mean(1), c_i, c_j, sign)
    terms["total"] = terms["reconstruction"] + 0.11 * terms["bsim"] + 0.9 * terms["tsim"]
    return terms


def train_step(model, optimizer, loss_function, *arguments):
    """One step of Adam on a dict of losses' total; returns it as a tensor."""
    optimizer.zero_grad()
    loss = loss_function(model, *arguments)["total"]
    loss.backward()
    optimizer.step()
    return loss.detach()
