"""SHE's equations a second time: plain loops in float64, written from the paper, never importing the library.

Source: Pu et al. 2025 (SHE, ICML); "released" is what the authors' program does. Codes b [B, K] and prototypes
p [C, P, K] are rows after tanh and ℓ2 normalisation; every Γ is a cosine all the same, so scale never matters.
"""

import math

import numpy as np
from oracles import dense, dot, elementwise, relu


def cosine(x, y):
    """Γ of two vectors [K], neither of them 0."""
    return dot(x, y) / math.sqrt(dot(x, x) * dot(y, y))


def cosines(x, y):
    """Γ of every row with every row: x [n, K], y [m, K] -> [n, m]."""
    return np.array([[cosine(x[i], y[j]) for j in range(len(y))] for i in range(len(x))])


def share_a_class(labels):
    """Θ of Eq 9: labels [B, C] of 0/1 -> [B, B] of 0/1; 1 on the diagonal, since every item has a class."""
    n = len(labels)
    return np.array(
        [[max(p * q for p, q in zip(labels[i], labels[j], strict=True)) for j in range(n)] for i in range(n)]
    )


# --- mining -------------------------------------------------------------------------------------------------------


def nearest_similarity(codes, labels, library):
    """Eq 5 and the maximum of Eq 6: codes [B, K], labels [B, C], library [C, P, K] -> s [B] in [0, 1].

    One label: max_k (Γ(b_i, p^{c,k}) + 1)/2, as printed. Several: the maximum over all prototypes of all positive
    classes, where the printed sum over classes would leave [0, 1]. An item without a class raises ValueError.
    """
    return [
        max((cosine(b, p) + 1) / 2 for c, prototypes in enumerate(library) if labels[i][c] for p in prototypes)
        for i, b in enumerate(codes)
    ]


def mining(codes, labels, library):
    """Pu et al. 2025, Eq 5-6: codes [B, K], labels [B, C], library [C, P, K] -> −(1/B) Σ log s_i; inf where s is 0."""
    s = nearest_similarity(codes, labels, library)
    return sum(-math.log(v) if v > 0 else math.inf for v in s) / len(s)


def robust_mining(codes, labels, library, q):
    """Generalised cross-entropy in the place of Eq 6's logarithm: (1/B) Σ (1 − s_i^q)/q, 0 < q <= 1; → Eq 6 as q → 0.

    Not in the paper. Shapes as in `mining`.
    """
    s = nearest_similarity(codes, labels, library)
    return sum((1 - v**q) / q for v in s) / len(s)


# --- separation ---------------------------------------------------------------------------------------------------


def separation_paper(library):
    """Pu et al. 2025, Eq 7: library [C, P, K] -> scalar.

    −(1/CP) Σ_{c,k} log[ Σ_{k'≠k} e^{Γ(p^{c,k}, p^{c,k'})} / (Σ_{c',k'} e^{Γ(p^{c,k}, p^{c',k'})} − e) ]; the e taken
    off is the prototype's own term. inf for P = 1, where the numerator has no term.
    """
    classes, per_class, _ = np.shape(library)
    if per_class == 1:
        return math.inf
    total = 0.0
    for c in range(classes):
        for k in range(per_class):
            near = sum(math.exp(cosine(library[c][k], library[c][m])) for m in range(per_class) if m != k)
            everything = sum(math.exp(cosine(library[c][k], p)) for prototypes in library for p in prototypes)
            total -= math.log(near / (everything - math.e))
    return total / (classes * per_class)


def separation_released(library):
    """Eq 7 as released: library [C, P, K] -> scalar, defined for P = 1.

    Over all n = CP prototypes: S the cosines with a diagonal of 0, M = 1 within a class (diagonal included),
    P_ij = e^{S_ij·M_ij}, N_ij = e^{S_ij·(1 − M_ij)}, −(1/n) Σ_i log(Σ_j P_ij / Σ_j (P_ij + N_ij)).
    What the mask sets to 0 adds e^0, and so does the diagonal, in both. Written out for a prototype, with
    A = Σ e^Γ over the P − 1 others of its class and E = Σ e^Γ over the (C − 1)P prototypes of other classes:

        Σ_j P_ij = A + 1 + (C − 1)P        Σ_j N_ij = P + E

    Mutually orthogonal prototypes so give log 2, whatever C and P; the loss is never 0.
    """
    classes, per_class, _ = np.shape(library)
    total = 0.0
    for c in range(classes):
        for k in range(per_class):
            positive = negative = 0.0
            for other in range(classes):
                for m in range(per_class):
                    s = 0.0 if (other, m) == (c, k) else cosine(library[c][k], library[other][m])
                    positive += math.exp(s if other == c else 0.0)
                    negative += math.exp(0.0 if other == c else s)
            total -= math.log(positive / (positive + negative))
    return total / (classes * per_class)


# --- transfer -----------------------------------------------------------------------------------------------------


def transfer(library, anchor, filled, sigma):
    """Pu et al. 2025, Eq 8: library and anchor [C, P, K], filled [C] of bool, sigma = σ -> scalar.

    The mean of −log min(1, max(1e-10, Γ(p_1^{c,k}, p_m^{c,k}) − σ + 1)) over the prototypes of the classes the anchor
    has; its rows of other classes are not looked at. 0 when it has none. The floor 1e-10 (printed: 0) is the program's.
    """
    terms = []
    for c in range(len(library)):
        if filled[c]:
            for p, q in zip(anchor[c], library[c], strict=True):
                terms.append(-math.log(min(1.0, max(1e-10, cosine(p, q) - sigma + 1))))
    return sum(terms) / len(terms) if terms else 0.0


# --- discrimination -----------------------------------------------------------------------------------------------


def discrimination_paper(codes, labels):
    """Pu et al. 2025, Eq 9 with e^Γ for Γ, as Eq 7 has it: codes [B, K], labels [B, C] -> scalar.

    −(1/B) Σ_i log[ Σ_j Θ_ij e^{Γ_ij} / Σ_j e^{Γ_ij} ], n the batch; j = i counts in both sums.
    """
    s, theta = cosines(codes, codes), share_a_class(labels)
    n, total = len(s), 0.0
    for i in range(n):
        total -= math.log(
            sum(math.exp(s[i, j]) for j in range(n) if theta[i, j]) / sum(math.exp(s[i, j]) for j in range(n))
        )
    return total / n


def discrimination_released(codes, labels):
    """Eq 9 as released, masked inside the exponent: codes [B, K], labels [B, C] -> scalar.

    P_ij = e^{Γ_ij·Θ_ij}, N_ij = e^{Γ_ij·(1 − Θ_ij)}, −(1/B) Σ_i log(Σ_j P_ij / Σ_j (P_ij + N_ij)). The diagonal keeps
    Γ_ii = 1. With n_i items that share a class with i (itself among them), A = Σ e^Γ over those and E over the rest:

        Σ_j P_ij = A + (B − n_i)        Σ_j N_ij = n_i + E
    """
    s, theta = cosines(codes, codes), share_a_class(labels)
    n, total = len(s), 0.0
    for i in range(n):
        positive = sum(math.exp(s[i, j] * theta[i, j]) for j in range(n))
        negative = sum(math.exp(s[i, j] * (1 - theta[i, j])) for j in range(n))
        total -= math.log(positive / (positive + negative))
    return total / n


# --- networks -----------------------------------------------------------------------------------------------------


def normalised(x):
    """Rows [n, K] divided by their ℓ2 norm; a row of zeros stays 0."""
    x = np.asarray(x, np.float64)
    return np.array([row / max(math.sqrt(dot(row, row)), 1e-12) for row in x]).reshape(x.shape)


def hash_network(weights, x):
    """Dense-ReLU-...-Dense-tanh-ℓ2: weights a list of (kernel [in, out], bias [out] or None), x [B, d] -> [B, K].

    The paper's has three layers, d-4096-4096-K, the last without a bias as released.
    """
    for kernel, bias in weights[:-1]:
        x = relu(dense(x, kernel, bias))
    return normalised(elementwise(math.tanh, dense(x, *weights[-1])))


def library_network(weights, rows):
    """Library as released, a network of the same make with biases throughout: rows [P, C, C] -> [C, P, K].

    rows[p, c], the noisy one-hot row of class c, gives prototype p of class c.
    """
    per_class, classes, _ = np.shape(rows)
    outputs = [hash_network(weights, rows[p]) for p in range(per_class)]
    return np.array([[outputs[p][c] for p in range(per_class)] for c in range(classes)])
