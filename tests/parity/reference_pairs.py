"""CMGCAH and DSMHN in PyTorch on given features: Ou et al. 2022 by its equations, DSMHN as rebuilt from its abstract.

Needs torch; nothing here is imported by the library or by tests that run without it.
"""

import torch
from torch import nn
from torch.nn import functional

# --- what both share ----------------------------------------------------------------------------------------------


def shares_class(labels, others):
    """S: [B, C] and [N, C] of 0/1 floats -> [B, N]."""
    return (labels @ others.T > 0).to(labels.dtype)


def logistic(u, v, similar):
    """-log P(S | u, v) of each pair, Eq 13: [B, K], [N, K], [B, N] -> [B, N]."""
    theta = u @ v.T / 2
    return functional.softplus(theta) - similar * theta


def descend(loss, optimizer):
    """One step on the parameters of this optimiser alone; those of networks the loss runs through stay fixed."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
        parameter.grad = gradient
    optimizer.step()
    return loss.detach()


# --- CMGCAH: networks ---------------------------------------------------------------------------------------------


class Block(nn.Module):
    """A ViT block, normalised before attention and before the MLP: [B, T, width] -> the same."""

    def __init__(self, width, heads, hidden):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)  # ViT's own
        self.attend, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU("tanh"), nn.Linear(hidden, width))

    def forward(self, x):
        items, tokens, width = x.shape
        split = self.attend(self.norm1(x)).view(items, tokens, 3, self.heads, width // self.heads)
        mixed = functional.scaled_dot_product_attention(*split.permute(2, 0, 3, 1, 4))
        x = x + self.attended(mixed.transpose(1, 2).reshape(items, tokens, width))
        return x + self.mlp(self.norm2(x))


class SelfGuidedAttention(nn.Module):
    """f_att: tokens [B, T, h] -> [B, h], weighed by a softmax of tanh(W h + b)ᵀ w."""

    def __init__(self, features, width):
        super().__init__()
        self.hidden, self.context = nn.Linear(features, width), nn.Linear(width, 1, bias=False)

    def forward(self, x):
        weights = torch.softmax(self.context(torch.tanh(self.hidden(x))), 1)
        return (weights * x).sum(1)


class ImageNetwork(nn.Module):
    """Eq 1 on a given feature [B, inputs], cut into tokens for the transformer: -> [B, features]."""

    def __init__(self, inputs=4096, features=2048, tokens=16, width=512, heads=8, hidden=2048, share=0.01):
        super().__init__()
        self.tokens, self.share = tokens, share
        self.dense, self.embed = nn.Linear(inputs, features), nn.Linear(inputs // tokens, width)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.block, self.widen = Block(width, heads, hidden), nn.Linear(width, features)
        self.attention = SelfGuidedAttention(features, width)

    def forward(self, x):
        tokens = self.embed(x.view(len(x), self.tokens, -1)) + self.position
        attended = self.attention(self.widen(self.block(tokens)))
        return self.dense(x) + self.share * attended


def two_layers(inputs, hidden, outputs):
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


class Side(nn.Module):
    """One modality: its features, its label predictor and the generator of the other modality's features."""

    def __init__(self, network, features, classes, hidden):
        super().__init__()
        self.network, self.predictor = network, nn.Linear(features, classes)
        self.generator = two_layers(features + classes, hidden, features)

    def forward(self, x):
        """[B, ...] -> features [B, h], logits [B, C], probabilities [B, C], the other modality's features [B, h]."""
        features = self.network(x)
        logits = self.predictor(features)
        label = torch.sigmoid(logits).detach()  # a condition: the predictor learns from labels alone
        return features, logits, label, self.generator(torch.cat([features, label], 1))


class Alignment(nn.Module):
    """Eq 8-10, shared by both modalities: image part and text part, [B, h] each -> [B, K]."""

    def __init__(self, features, bits):
        super().__init__()
        self.mask, self.code = nn.Linear(2 * features, bits), nn.Linear(2 * features, bits)

    def forward(self, image, text):
        fused = torch.cat([image, text], 1)
        return self.code(fused) * torch.sigmoid(self.mask(fused))


class Cmgcah(nn.Module):
    """All networks, the memory of relaxed codes U and V [n, K] and the codes B = sgn(U + V)."""

    def __init__(
        self, items, classes=24, bits=64, text=1386, features=2048, hidden=4096, judges=256, image=None, rate=10**-4.5
    ):
        super().__init__()
        image = image or ImageNetwork(features=features)
        self.sides = nn.ModuleDict(
            {
                "image": Side(image, features, classes, hidden),
                "text": Side(two_layers(text, hidden, features), features, classes, hidden),
            }
        )
        self.alignment = Alignment(features, bits)
        self.critics = nn.ModuleDict({name: two_layers(features + classes, judges, 1) for name in self.sides})
        for name in self.sides:
            self.register_buffer(f"{name}_memory", torch.randn(items, bits))
        self.register_buffer("codes", torch.empty(items, bits))
        self.learners = {
            name: torch.optim.RMSprop([*side.parameters(), *self.alignment.parameters()], lr=rate)
            for name, side in self.sides.items()
        }
        self.judges = {name: torch.optim.RMSprop(net.parameters(), lr=rate) for name, net in self.critics.items()}
        self.update_codes()

    def memory(self, name):
        return getattr(self, f"{name}_memory")

    def aligned(self, name, features, generated):
        """Codes [B, K] of one modality: Eq 7 in the order image, text for both."""
        return self.alignment(features, generated) if name == "image" else self.alignment(generated, features)

    def judged(self, name, features, label):
        """Logits [B] of a critic, under the label that the source modality predicts."""
        return self.critics[name](torch.cat([features, label], 1)).squeeze(1)

    def update_codes(self):
        """The end of an outer iteration."""
        self.codes = torch.where(self.memory("image") + self.memory("text") >= 0, 1.0, -1.0).to(self.codes.dtype)


# --- CMGCAH: the four phases of an outer iteration ----------------------------------------------------------------

OTHER = {"image": "text", "text": "image"}


def hashing_terms(u, own, other, codes, labels, all_labels):
    """The three parts of Eq 11-12 over all n items: sums over j and over bits, means over the batch."""
    similar = shares_class(labels, all_labels)
    between = logistic(u, other, similar).sum(1).mean()
    within = logistic(u, own, similar).sum(1).mean()
    return between, within, (codes - u).square().sum(1).mean()


def side_losses(model, name, x, labels, rows, all_labels):
    """Eq 15 and 17 by their terms: x [B, ...] and labels [B, C] of the items `rows` [B], all_labels [n, C].

    The items' rows of the memory are refreshed first. The generator's loss is -log D.
    """
    features, logits, label, generated = model.sides[name](x)
    u = model.aligned(name, features, generated)
    own, other = model.memory(name), model.memory(OTHER[name])
    own[rows] = u.detach()
    between, within, quantisation = hashing_terms(u, own, other, model.codes[rows], labels, all_labels)
    return {
        "adversarial": functional.softplus(-model.judged(name, generated, label)).mean(),
        "between": between,
        "within": within,
        "quantisation": quantisation,
        "label": functional.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(labels),
    }


def critic_loss(model, name, x, other):
    """Eq 16 and 18, sign turned: x and other [B, ...] are this modality and its partner, whose networks are fixed."""
    with torch.no_grad():
        _, _, label, generated = model.sides[name](x)
        real = model.sides[OTHER[name]].network(other)
    real, generated = model.judged(name, real, label), model.judged(name, generated, label)
    return functional.softplus(-real).mean() + functional.softplus(generated).mean()


def side_step(model, name, x, labels, rows, all_labels, alpha=0.01, beta=0.0001, gamma=0.01, delta=0.1):
    """One step of one modality's networks and of the shared alignment; returns the loss."""
    terms = side_losses(model, name, x, labels, rows, all_labels)
    loss = terms["adversarial"] + alpha * terms["between"] + beta * terms["within"]
    loss = loss + gamma * terms["quantisation"] + delta * terms["label"]
    return descend(loss, model.learners[name])


def critic_step(model, name, x, other):
    return descend(critic_loss(model, name, x, other), model.judges[name])


def outer_iteration(model, data, labels, order, batch=128):
    """Algorithm 1 once: data {'image': [n, ...], 'text': [n, ...]}, labels [n, C], order [n] a permutation.

    Image side, its critic, text side, its critic, a pass each; then B. The short last batch is dropped.
    """
    batches = [order[at : at + batch] for at in range(0, len(order) - batch + 1, batch)]
    for name in OTHER:
        for rows in batches:
            side_step(model, name, data[name][rows], labels[rows], rows, labels)
        for rows in batches:
            critic_step(model, name, data[name][rows], data[OTHER[name]][rows])
    model.update_codes()


# --- DSMHN --------------------------------------------------------------------------------------------------------


class Dsmhn(nn.Module):
    """A stream and a linear classifier of codes for each modality; inputs {name: width of its given feature}."""

    def __init__(self, inputs, classes=24, bits=64, hidden=1024, rate=1e-3):
        super().__init__()
        self.streams = nn.ModuleDict({name: two_layers(width, hidden, bits) for name, width in inputs.items()})
        self.classifiers = nn.ModuleDict({name: nn.Linear(bits, classes) for name in inputs})
        self.learner = torch.optim.Adam(self.parameters(), lr=rate)

    def forward(self, batch):
        return {name: torch.tanh(stream(batch[name])) for name, stream in self.streams.items()}


def dsmhn_losses(model, batch, labels):
    """By term: batch {name: [B, inputs]} of pairs, labels [B, C] of several classes an item.

    'inter' is the logistic form over all pairs of the batch; the others are means over the modalities.
    """
    codes = model(batch)
    first, second = codes.values()
    each = {
        "semantic": [
            functional.binary_cross_entropy_with_logits(model.classifiers[name](h), labels) for name, h in codes.items()
        ],
        "quantisation": [(h.abs() - 1).square().mean() for h in codes.values()],
        "balance": [h.mean(0).square().mean() for h in codes.values()],
    }
    terms = {name: sum(values) / len(values) for name, values in each.items()}
    return {"inter": logistic(first, second, shares_class(labels, labels)).mean(), **terms}


def dsmhn_step(model, batch, labels, weights=(1.0, 1.0, 0.1, 0.1)):
    """One step of Adam over both streams; weights of inter, semantic, quantisation and balance."""
    terms = dsmhn_losses(model, batch, labels)
    order = ("inter", "semantic", "quantisation", "balance")
    return descend(sum(w * terms[name] for w, name in zip(weights, order, strict=True)), model.learner)
