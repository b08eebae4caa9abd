"""The retrieval metrics a second time: plain loops over lists, from their definitions, sharing no code with jhash."""

import itertools
import math


def hamming(a, b):
    return sum(1 for x, y in zip(a, b, strict=True) if x != y)


def cosine(a, b):
    length = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / length if length else 0.0


def shares_a_label(a, b):
    return any(x == 1 and y == 1 for x, y in zip(a, b, strict=True))


def ranking(values, relevance, ties="stable"):
    """The relevance of items in order of value; ties by row, or relevant items first or last."""
    rows = list(range(len(values)))
    if ties == "stable":
        rows.sort(key=lambda row: (values[row], row))
    if ties == "optimistic":
        rows.sort(key=lambda row: (values[row], not relevance[row]))
    if ties == "pessimistic":
        rows.sort(key=lambda row: (values[row], relevance[row]))
    return [relevance[row] for row in rows]


def average_precision(ranked, k, divisor):
    """The five definitions, one after another."""
    total_relevant = sum(ranked)
    depth = len(ranked) if k is None else k
    if divisor == "first_relevant":
        places = [place for place, hit in enumerate(ranked, start=1) if hit]
        places = places[: min(depth, total_relevant)]
        return sum(nth / place for nth, place in enumerate(places, start=1)) / len(places) if places else 0.0
    hits, total = 0, 0.0
    for place, hit in enumerate(ranked[:depth], start=1):
        if hit:
            hits += 1
            total += hits / place
    by = {"k": k, "hits": hits, "relevant": total_relevant, "min_k_relevant": min(depth, total_relevant)}[divisor]
    return total / by if by else 0.0


def precision_at(ranked, k):
    return sum(ranked[:k]) / k


def all_rankings(values, relevance):
    """Every order that keeps smaller values first: the product of the permutations of each tie."""
    groups = [[r for v, r in zip(values, relevance, strict=True) if v == value] for value in sorted(set(values))]
    for parts in itertools.product(*(list(itertools.permutations(group)) for group in groups)):
        yield [hit for part in parts for hit in part]


def expected_average_precision(values, relevance, k, divisor):
    """The mean over every order of the ties: tiny examples only."""
    every = [average_precision(ranked, k, divisor) for ranked in all_rankings(values, relevance)]
    return sum(every) / len(every)


def expected_sum_term_by_term(values, relevance, k):
    """E[sum of precisions] place by place: P(hit at a place) times the expected hits up to it, given that hit."""
    total, nearer, nearer_hits = 0.0, 0, 0
    for value in sorted(set(values)):
        tied = [r for v, r in zip(values, relevance, strict=True) if v == value]
        n, r = len(tied), sum(tied)
        for t in range(1, n + 1):
            if r and (k is None or nearer + t <= k):
                others = (t - 1) * (r - 1) / (n - 1) if n > 1 else 0.0
                total += r / n * (nearer_hits + 1 + others) / (nearer + t)
        nearer, nearer_hits = nearer + n, nearer_hits + r
    return total


def ball(values, relevance, radius):
    """Precision (0 for an empty ball) and recall (0 where nothing is relevant) within a radius."""
    inside = [r for v, r in zip(values, relevance, strict=True) if v <= radius]
    precision = sum(inside) / len(inside) if inside else 0.0
    return precision, sum(inside) / sum(relevance) if sum(relevance) else 0.0


def expected_hits(values, relevance, k):
    """The mean of the relevant items among the first k over all orders of ties, tie by tie."""
    total, left = 0.0, k
    for value in sorted(set(values)):
        tied = [r for v, r in zip(values, relevance, strict=True) if v == value]
        taken = min(left, len(tied))
        total += taken * sum(tied) / len(tied)
        left -= taken
    return total


def ndcg(values, gains, k):
    """Discounted cumulative gain at k over that of the best ranking; an item that shares g labels gains 2^g - 1."""
    order = sorted(range(len(values)), key=lambda row: (values[row], row))
    best = dcg(sorted(gains, reverse=True), k)
    return dcg([gains[row] for row in order], k) / best if best else 0.0


def dcg(gains, k):
    return sum((2**gain - 1) / math.log2(rank + 1) for rank, gain in enumerate(gains[:k], start=1))


def expected_ndcg(values, gains, k):
    """The mean over all orders of ties: at each rank stands the mean gain of the tie that lies there."""
    means = []
    for value in sorted(set(values)):
        tied = [2**g - 1 for v, g in zip(values, gains, strict=True) if v == value]
        means += [sum(tied) / len(tied)] * len(tied)
    best = dcg(sorted(gains, reverse=True), k)
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(means[:k], start=1)) / best if best else 0.0
