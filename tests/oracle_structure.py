"""The structures a second time: dense, plain loops, float64. Sets are Python sets of item numbers."""

import math

import numpy as np


def squared_distance(a, b):
    return sum((float(u) - float(v)) ** 2 for u, v in zip(a, b, strict=True))


def nearest_centres(x, centres, p):
    """Lists of p (distance, centre) an item, nearest first, equal distances by the smaller number."""
    return [sorted((math.sqrt(squared_distance(row, c)), m) for m, c in enumerate(centres))[:p] for row in x]


def lloyd(x, start, iterations):
    """Plain k-means without reseeding: (centres, inertia)."""
    centres = np.array(start, np.float64)
    for update in range(iterations + 1):
        nearest = [near[0][1] for near in nearest_centres(x, centres, 1)]
        inertia = sum(squared_distance(row, centres[m]) for row, m in zip(x, nearest, strict=True))
        if update < iterations:
            for m in range(len(centres)):
                mine = [row for row, n in zip(x, nearest, strict=True) if n == m]
                if mine:
                    centres[m] = np.mean(np.asarray(mine, np.float64), axis=0)
    return centres, inertia


def anchor_weights(near, count, kernel, bandwidth=None):
    """Z [N, M] of Liu et al. 2011 from lists of (distance, centre)."""
    scale = bandwidth if bandwidth is not None else sum(item[-1][0] for item in near) / len(near)
    weights = np.zeros((len(near), count))
    for i, item in enumerate(near):
        for distance, m in item:
            weights[i, m] = math.exp(-((distance / scale) ** 2) if kernel == "gaussian" else -distance / scale)
        weights[i] /= weights[i].sum()
    return weights


def similarity(weights):
    """A = Z diag(Z'1)^-1 Z', [N, N]."""
    items, count = weights.shape
    a = np.zeros((items, items))
    for m in range(count):
        mass = sum(weights[:, m])
        for i in range(items):
            for j in range(items):
                if mass > 0:
                    a[i, j] += weights[i, m] * weights[j, m] / mass
    return a


def row_statistics(a, over, include_self):
    """Mean and population deviation of each row, and over how many entries."""
    found = []
    for i, row in enumerate(a):
        kept = [v for j, v in enumerate(row) if (include_self or j != i) and (over == "all" or v > 0)]
        mean = sum(kept) / len(kept) if kept else 0.0
        deviation = math.sqrt(sum((v - mean) ** 2 for v in kept) / len(kept)) if kept else 0.0
        found.append((mean, deviation, len(kept)))
    return found


def granularity_sets(index, include_self, neighbours=(3, 4, 5)):
    """Hao et al. 2022: positives and negatives of each item from its nearest centres."""
    close, near, far = neighbours

    def shares(i, j, m):
        return bool(set(index[i][:m]) & set(index[j][:m]))

    items = range(len(index))
    positive = [{j for j in items if (include_self or j != i) and shares(i, j, close)} for i in items]
    negative = [{j for j in items if not shares(i, j, near) and shares(i, j, far)} for i in items]
    return positive, negative


def adaptive_sets(a, lambda1, lambda2, over):
    """Li et al. 2022, Eq 9, the item itself left out; over the non-zero entries a negative has A_ij > 0."""
    positive, negative = [], []
    for i, (mean, deviation, _) in enumerate(row_statistics(a, over, include_self=False)):
        others = [j for j in range(len(a)) if j != i and (over == "all" or a[i, j] > 0)]
        positive.append({j for j in others if a[i, j] >= mean + lambda1 * deviation})
        negative.append({j for j in others if mean - lambda2 * deviation < a[i, j] < mean})
    return positive, negative


def principal_components(centres, dimensions):
    """Projections on the eigenvectors of the covariance, largest eigenvalue first; zero columns beyond the last."""
    centred = np.asarray(centres, np.float64) - np.mean(np.asarray(centres, np.float64), axis=0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    projected = np.zeros((len(centres), dimensions))
    for d in range(min(dimensions, len(centres) - 1, len(directions))):
        projected[:, d] = centred @ directions[d]
        if projected[np.abs(projected[:, d]).argmax(), d] < 0:
            projected[:, d] *= -1
    return projected
