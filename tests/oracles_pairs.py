"""CMGCAH's and DSMHN's equations a second time: plain loops in float64, never importing the library.

Sources: Ou et al. 2022 (CMGCAH, IEEE T-ITS), by its equations' numbers. Of DSMHN (IEEE TNNLS 34(4)) only the abstract
is at hand, so its oracles follow the definitions that the library gives in words. Labels are 0/1, codes are rows.
"""

import math

import numpy as np
from oracles import dense, dot, elementwise, relu, sigmoid, squared_distance

# --- what both papers build on ------------------------------------------------------------------------------------


def softplus(x):
    """log(1 + e^x) of a number, in whichever of its two forms the exponential is at most 1."""
    return math.log1p(math.exp(x)) if x < 0 else x + math.log1p(math.exp(-x))


def surprise(logit, truth):
    """What a 0/1 truth costs where its probability is σ(logit): −log σ for 1, −log(1 − σ) = −log σ(−logit) for 0."""
    return softplus(-logit) if truth else softplus(logit)


def mean(values):
    """Arithmetic mean of an iterable of numbers."""
    values = [float(v) for v in values]
    return sum(values) / len(values)


def sign(x):
    """+1 where x >= 0, else −1; any shape."""
    return elementwise(lambda v: 1.0 if v >= 0 else -1.0, x)


def shares_class(labels, others):
    """S of Eq 13: labels [B, C] and [N, C] -> [B, N], 1 where some class is set in both."""
    return np.array([[float(any(p and q for p, q in zip(a, b, strict=True))) for b in others] for a in labels])


def logistic(u, v, similar):
    """Ou et al. 2022, Eq 13: u [B, K], v [N, K], similar [B, N] -> −log P(S_ij | u_i, v_j) [B, N], Θ_ij = ½ u_iᵀv_j."""
    return np.array(
        [[surprise(0.5 * dot(u[i], v[j]), similar[i][j]) for j in range(len(v))] for i in range(len(u))], np.float64
    )


def cross_entropy_softmax(logits, labels):
    """−Σ_c l_c log softmax(z)_c of each item, [B, C] twice -> [B]; as many terms as the item has classes."""
    costs = []
    for z, truth in zip(np.asarray(logits, np.float64), labels, strict=True):
        top = max(z)
        whole = top + math.log(sum(math.exp(v - top) for v in z))
        costs.append(sum(whole - z[c] for c in range(len(z)) if truth[c]))
    return costs


def cross_entropy_sigmoid(logits, labels):
    """The mean over classes of −l log σ(z) − (1 − l) log(1 − σ(z)) for each item, [B, C] twice -> [B]."""
    costs = []
    for z, truth in zip(np.asarray(logits, np.float64), labels, strict=True):
        costs.append(mean(surprise(z[c], truth[c]) for c in range(len(z))))
    return costs


# --- CMGCAH: networks ---------------------------------------------------------------------------------------------


def cmgcah_attention(h, kernel, bias, context):
    """f_att of Eq 1: t_t = tanh(W h_t + b), a = softmax(t_tᵀ w), Σ a_t h_t.

    h [B, T, D], kernel [D, A], bias [A], context w [A] -> [B, D]. The paper cites Yang et al. 2016 for it.
    """
    h = np.asarray(h, np.float64)
    out = np.zeros((h.shape[0], h.shape[2]))
    for i, tokens in enumerate(h):
        weights = [math.exp(dot([math.tanh(v) for v in dense(token, kernel, bias)], context)) for token in tokens]
        for t, token in enumerate(tokens):
            out[i] += weights[t] / sum(weights) * token
    return out


def cmgcah_image_features(raw, attended, share=0.01):
    """Eq 1: f_dnn(x) + λ f_att(f_trans(x)), both [B, h]."""
    return np.asarray(raw, np.float64) + share * np.asarray(attended, np.float64)


def cmgcah_two_layers(x, first, second):
    """Dense-ReLU-Dense, each a (kernel, bias): f_proj of Eq 2, the generators and the discriminators."""
    return dense(relu(dense(x, *first)), *second)


def cmgcah_conditioned(x, logits):
    """What generators and discriminators take: features [B, h] and predicted labels σ(logits) [B, C] -> [B, h + C]."""
    return np.array([[*row, *label] for row, label in zip(x, sigmoid(logits), strict=True)], np.float64)


def cmgcah_fused(image, text):
    """Eq 7 in one fixed order: image part [B, h] then text part [B, h] -> [B, 2h]."""
    return np.array([[*x, *y] for x, y in zip(image, text, strict=True)], np.float64)


def cmgcah_aligned(fused, masking, coding):
    """Eq 8-10: u = f_c(x̃) ⊗ σ(f_m(x̃)); fused [B, 2h], masking and coding (kernel [2h, K], bias [K]) -> [B, K]."""
    return dense(fused, *coding) * sigmoid(dense(fused, *masking))


# --- CMGCAH: losses -----------------------------------------------------------------------------------------------


def cmgcah_label(logits, labels, form):
    """Eq 3-4, the mean over items: 'softmax' as printed, 'bce' with sigmoids, a sum over classes like the print's."""
    if form == "softmax":
        return mean(cross_entropy_softmax(logits, labels))
    return len(logits[0]) * mean(cross_entropy_sigmoid(logits, labels))


def cmgcah_critic(real, generated):
    """Eq 5-6 turned into something to minimise: the mean of −log D(real) and that of −log(1 − D(generated)) added."""
    return mean(surprise(r, 1) for r in real) + mean(surprise(g, 0) for g in generated)


def cmgcah_generator(generated, saturating):
    """Eq 5-6 for the generator: the mean of log(1 − D), or, not saturating, of −log D."""
    return mean(-surprise(g, 0) if saturating else surprise(g, 1) for g in generated)


def cmgcah_likelihood(u, others, similar, normalised):
    """A sum of Eq 11-12: u [B, K], others [N, K], similar [B, N] -> scalar.

    'sum' over all pairs; 'rows', that divided by B; 'mean', divided by B·N.
    """
    pairs = logistic(u, others, similar)
    total = sum(float(cost) for row in pairs for cost in row)
    return total / {"sum": 1, "rows": len(u), "mean": len(u) * len(others)}[normalised]


def cmgcah_quantisation(u, codes, normalised):
    """||B − U||² of Eq 11-12: [B, K] twice -> scalar; 'sum', 'rows' (over B) or 'mean' (over B·K)."""
    total = sum(squared_distance(b, row) for b, row in zip(codes, u, strict=True))
    return total / {"sum": 1, "rows": len(u), "mean": np.size(u)}[normalised]


def cmgcah_hashing(u, v_all, u_all, similar, codes, weights, normalised):
    """L_s of Eq 11, weights (α, β, γ): u [B, K] against all v and all u, [n, K]; Eq 12 is this with changed roles."""
    alpha, beta, gamma = weights
    between = cmgcah_likelihood(u, v_all, similar, normalised)
    within = cmgcah_likelihood(u, u_all, similar, normalised)
    return alpha * between + beta * within + gamma * cmgcah_quantisation(u, codes, normalised)


def cmgcah_codes(u, v):
    """B = sgn(U + V) of Algorithm 1: [n, K] twice -> ±1."""
    return sign(np.asarray(u, np.float64) + np.asarray(v, np.float64))


# --- DSMHN --------------------------------------------------------------------------------------------------------


def dsmhn_distances(h, others):
    """Squared Euclidean distances over the number of bits: [B, K] and [N, K] -> [B, N]."""
    return np.array([[squared_distance(a, b) / len(a) for b in others] for a in h])


def dsmhn_contrastive(distance, similar, margin):
    """d where S is 1, what d lacks to the margin where it is 0: [B, N] twice -> [B, N]."""
    return np.array(
        [
            [d if s else max(0.0, margin - d) for d, s in zip(ds, ss, strict=True)]
            for ds, ss in zip(distance, similar, strict=True)
        ]
    )


def dsmhn_squared(h, others, similar):
    """(±1 − hᵀh'/K)², +1 where S is 1: [B, K], [N, K], [B, N] -> [B, N]."""
    return np.array(
        [
            [((1 if similar[i][j] else -1) - dot(h[i], others[j]) / len(h[i])) ** 2 for j in range(len(others))]
            for i in range(len(h))
        ]
    )


def dsmhn_triplet(distance, similar, margin):
    """The mean over items of the mean over their (positive, negative) pairs of max(0, m + d⁺ − d⁻); 0 without any."""
    costs = []
    for ds, ss in zip(distance, similar, strict=True):
        near, far = [d for d, s in zip(ds, ss, strict=True) if s], [d for d, s in zip(ds, ss, strict=True) if not s]
        hinges = [max(0.0, margin + p - q) for p in near for q in far]
        costs.append(mean(hinges) if hinges else 0.0)
    return mean(costs)


def dsmhn_balanced(pairs, similar):
    """The mean over items of half the mean over alike pairs plus half that over unlike ones; a mean of none is 0."""
    costs = []
    for row, ss in zip(pairs, similar, strict=True):
        parts = [[p for p, s in zip(row, ss, strict=True) if bool(s) == alike] for alike in (True, False)]
        costs.append(sum(mean(part) / 2 for part in parts if part))
    return mean(costs)


def dsmhn_inter(h, others, similar, kind, margin, balanced):
    """L_inter: codes [B, K] of one modality against [N, K] of the other, similar [B, N] -> scalar."""
    if kind == "triplet":
        return dsmhn_triplet(dsmhn_distances(h, others), similar, margin)
    pairs = {
        "logistic": lambda: logistic(h, others, similar),
        "contrastive": lambda: dsmhn_contrastive(dsmhn_distances(h, others), similar, margin),
        "squared": lambda: dsmhn_squared(h, others, similar),
    }[kind]()
    return dsmhn_balanced(pairs, similar) if balanced else mean(pairs.ravel())


def dsmhn_semantic(logits, labels, single):
    """L_sem, the mean over items: softmax cross-entropy for one class an item, else sigmoids, a mean over classes."""
    return mean((cross_entropy_softmax if single else cross_entropy_sigmoid)(logits, labels))


def dsmhn_quantisation(h):
    """L_quant: the mean over items and bits of (h − sgn h)², that is (|h| − 1)²: [B, K] -> scalar."""
    return mean((abs(float(v)) - 1) ** 2 for v in np.ravel(h))


def dsmhn_balance(h):
    """L_balance: the mean over bits of the squared mean over items: [B, K] -> scalar."""
    return mean(mean(row[k] for row in h) ** 2 for k in range(len(h[0])))


def dsmhn_total(terms, weights):
    """L = λ1 L_inter + λ2 L_sem + λ3 L_quant + λ4 L_balance, as terms and weights in that order."""
    return sum(weight * term for weight, term in zip(weights, terms, strict=True))
