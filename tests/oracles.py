"""Every equation a second time: plain loops in float64, written from the papers, never importing the library.

Kernels are laid out as flax has them: dense [in, out]; convolution [width, in / groups, out].
Sources: Hao et al. 2022 (MCMSH, ACM MM) and Li et al. 2022 (DKPH, ECCV); "released" is what the authors' programs do.
"""

import math

import numpy as np

# --- what both papers build on ------------------------------------------------------------------------------------


def dense(x, kernel, bias=None):
    """Affine map of the last axis: x [..., n], kernel [n, m], bias [m] -> [..., m]."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    rows = x.reshape(-1, x.shape[-1])
    out = np.zeros((len(rows), kernel.shape[1]))
    for r in range(len(rows)):
        for m in range(kernel.shape[1]):
            out[r, m] = sum(rows[r, n] * kernel[n, m] for n in range(kernel.shape[0]))
            if bias is not None:
                out[r, m] += bias[m]
    return out.reshape(*x.shape[:-1], kernel.shape[1])


def squared_distance(x, y):
    """Squared Euclidean distance of two vectors [n]."""
    return sum((float(p) - float(q)) ** 2 for p, q in zip(x, y, strict=True))


def dot(x, y):
    """Inner product of two vectors [n]."""
    return sum(float(p) * float(q) for p, q in zip(x, y, strict=True))


def mean_over_frames(e):
    """[B, T, D] -> [B, D]."""
    e = np.asarray(e, np.float64)
    out = np.zeros((e.shape[0], e.shape[2]))
    for i in range(e.shape[0]):
        for t in range(e.shape[1]):
            out[i] += e[i, t] / e.shape[1]
    return out


def elementwise(function, x):
    """A scalar function over every entry of an array, of any shape."""
    x = np.asarray(x, np.float64)
    return np.array([function(float(v)) for v in x.ravel()]).reshape(x.shape)


def gelu(x):
    """The exact GELU x·Φ(x), any shape: MCMSH's MLPs."""
    return elementwise(lambda v: v * 0.5 * (1 + math.erf(v / math.sqrt(2))), x)


def gelu_tanh(x):
    """GELU by tanh, any shape: DKPH's feed-forward layer."""
    return elementwise(lambda v: 0.5 * v * (1 + math.tanh(math.sqrt(2 / math.pi) * (v + 0.044715 * v**3))), x)


def sigmoid(x):
    """Logistic function, any shape."""
    return elementwise(lambda v: 1 / (1 + math.exp(-v)), x)


def relu(x):
    """max(0, x), any shape."""
    return elementwise(lambda v: max(0.0, v), x)


# --- MCMSH: hash layer --------------------------------------------------------------------------------------------


def mcmsh_sign(h):
    """Hao et al. 2022, Eq 6: +1 where h >= 0, else -1; any shape."""
    return elementwise(lambda v: 1.0 if v >= 0 else -1.0, h)


def mcmsh_sign_gradient(g):
    """Backward rule of the released sgn: the incoming gradient, each value clipped to [-1, 1]; any shape."""
    return elementwise(lambda v: min(1.0, max(-1.0, v)), g)


def mcmsh_hash_paper(e, kernel, bias):
    """Hao et al. 2022, Eq 4-6: e [B, T, D], kernel [D, K], bias [K] -> relaxed [B, K], binary [B, K]."""
    relaxed = elementwise(math.tanh, mean_over_frames(dense(e, kernel, bias)))
    return relaxed, mcmsh_sign(relaxed)


def mcmsh_hash_released(e, kernel, bias, epoch):
    """Eq 4-6 as released: the mean over frames of tanh(a·y_t), a = sqrt(epoch + 1), epoch from 0. Shapes as above."""
    a = math.sqrt(epoch + 1)
    relaxed = mean_over_frames(elementwise(lambda v: math.tanh(a * v), dense(e, kernel, bias)))
    return relaxed, mcmsh_sign(relaxed)


# --- MCMSH: losses ------------------------------------------------------------------------------------------------


def mcmsh_cluster_paper(e, u):
    """Hao et al. 2022, Eq 7: embeddings e [B, T, D], each item's own centre u [B, D] -> scalar, divided by B."""
    e_mean = mean_over_frames(e)
    return sum(squared_distance(e_mean[i], u[i]) for i in range(len(u))) / len(u)


def mcmsh_cluster_released(e_i, u_i, e_j, u_j):
    """Eq 7 as released: anchors and partners, e [B, T, D] and u [B, D] each -> scalar, divided by D·B."""
    b, d = np.shape(u_i)
    return (mcmsh_cluster_paper(e_i, u_i) * b + mcmsh_cluster_paper(e_j, u_j) * b) / (d * b)


def mcmsh_similarity_pairs(h_i, h_j, s):
    """First term of Eq 10 as released, one sampled pair an anchor: h [B, K] each, s [B] in {-1, 0, 1} -> scalar."""
    b, k = np.shape(h_i)
    return sum((float(s[i]) - dot(h_i[i], h_j[i]) / k) ** 2 for i in range(b)) / b


def mcmsh_similarity_all_pairs(h, s):
    """First term of Eq 10 as printed: h [B, K], s [B, B]; all B² entries (the diagonal as given), divided by B."""
    b, k = np.shape(h)
    return sum((dot(h[i], h[j]) / k - float(s[i][j])) ** 2 for i in range(b) for j in range(b)) / b


def mcmsh_quantisation_paper(h):
    """Second term of Eq 10 without its factor .1: h [B, K] -> Σ‖b_i − h_i‖² / B."""
    b = mcmsh_sign(h)
    return sum(squared_distance(b[i], h[i]) for i in range(len(b))) / len(b)


def mcmsh_quantisation_released(h_i, h_j):
    """Quantisation as released, anchors and partners: h [B, K] each -> scalar, divided by B·K."""
    k = np.shape(h_i)[1]
    return (mcmsh_quantisation_paper(h_i) + mcmsh_quantisation_paper(h_j)) / k


def mcmsh_quantisation_gradient(h, divisor):
    """Gradient of Σ‖h − b‖²/divisor in h [B, K] with b held constant (with b by straight-through it is 0 exactly
    while |2(h − b)/divisor| <= 1, which the clipped backward rule leaves untouched)."""
    h, b = np.asarray(h, np.float64), mcmsh_sign(h)
    out = np.zeros(h.shape)
    for i in range(h.shape[0]):
        for k in range(h.shape[1]):
            out[i, k] = 2 * (h[i, k] - b[i, k]) / divisor
    return out


def mcmsh_similarity_paper(h, s):
    """Hao et al. 2022, Eq 10 whole: h [B, K], s [B, B] -> scalar, quantisation inside at .1."""
    return mcmsh_similarity_all_pairs(h, s) + 0.1 * mcmsh_quantisation_paper(h)


def mcmsh_margins(bits):
    """Hao et al. 2022, below Eq 11: (4, .25), (8, .5), (16, 1) for 16, 32, 64 bits, that is (K/4, K/64)."""
    return bits / 4, bits / 64


def mcmsh_quadruplet(h_i, h_p, h_n1, h_n2, margins, has_negative=None):
    """Hao et al. 2022, Eq 11, one positive and two negatives an anchor: h [B, K] each, has_negative [B] of 0/1 (None:
    all have) -> scalar. An anchor without negatives adds 0 and still counts in the divisor B."""
    total = 0.0
    for i in range(len(h_i)):
        if has_negative is not None and not has_negative[i]:
            continue
        positive = squared_distance(h_i[i], h_p[i])
        total += max(0.0, positive - squared_distance(h_i[i], h_n1[i]) + margins[0])
        total += max(0.0, positive - squared_distance(h_n1[i], h_n2[i]) + margins[1])
    return total / len(h_i)


def mcmsh_total_paper(cluster, similarity, quadruplet):
    """Hao et al. 2022, Eq 12 at α .8, β .1, γ .01; `similarity` is Eq 10 whole."""
    return 0.8 * cluster + 0.1 * similarity + 0.01 * quadruplet


def mcmsh_total_released(cluster, similarity, quantisation, quadruplet):
    """Eq 12 as released: quantisation stands apart, at .01."""
    return 0.8 * cluster + 0.1 * similarity + 0.01 * quantisation + 0.01 * quadruplet


# --- MCMSH: network -----------------------------------------------------------------------------------------------


def mcmsh_mlp(x, kernel1, bias1, kernel2, bias2):
    """MLP of the mixers without dropout: x [..., n], kernel1 [n, 2n], kernel2 [2n, n] -> [..., n]."""
    return dense(gelu(dense(x, kernel1, bias1)), kernel2, bias2)


def mcmsh_batch_norm(x, scale, bias, epsilon=1e-5):
    """Training-mode batch normalisation, [..., p] over all axes but the last by its own mean and biased variance."""
    x = np.asarray(x, np.float64)
    rows = x.reshape(-1, x.shape[-1])
    out = np.zeros(rows.shape)
    for c in range(rows.shape[1]):
        mean = sum(rows[:, c]) / len(rows)
        variance = sum((v - mean) ** 2 for v in rows[:, c]) / len(rows)
        for r in range(len(rows)):
            out[r, c] = (rows[r, c] - mean) / math.sqrt(variance + epsilon) * scale[c] + bias[c]
    return out.reshape(x.shape)


def mcmsh_adaptive_average_pool(x, length):
    """[B, n, p] -> [B, length, p]: output i is the mean of inputs floor(i·n/m) .. ceil((i+1)·n/m) - 1, both ways."""
    x = np.asarray(x, np.float64)
    n = x.shape[1]
    out = np.zeros((x.shape[0], length, x.shape[2]))
    for i in range(length):
        first, after = (i * n) // length, -((-(i + 1) * n) // length)
        for r in range(first, after):
            out[:, i] += x[:, r] / (after - first)
    return out


def mcmsh_conv1d(x, kernel, groups):
    """Correlation along the middle axis, zero padding 1, no bias: x [B, n, p], kernel [3, p/groups, q] -> [B, n, q]."""
    x, kernel = np.asarray(x, np.float64), np.asarray(kernel, np.float64)
    b, n, p = x.shape
    q = kernel.shape[2]
    out = np.zeros((b, n, q))
    for i in range(n):
        for o in range(q):
            group = o // (q // groups)
            for width in range(3):
                source = i + width - 1
                if 0 <= source < n:
                    for c in range(p // groups):
                        out[:, i, o] += x[:, source, group * (p // groups) + c] * kernel[width, c, o]
    return out


def mcmsh_mask_long(x, w):
    """L-RD, Eq 1-2: x [B, a, p] -> mask [B, a, p], the same for every a.

    w: 'reduce' [p, q], 'expand' [q, p], 'reduce_scale' and 'reduce_bias' [q], 'expand_scale' and 'expand_bias' [p].
    """
    x = np.asarray(x, np.float64)
    y = relu(mcmsh_batch_norm(dense(mean_over_frames(x), w["reduce"]), w["reduce_scale"], w["reduce_bias"]))
    g = sigmoid(mcmsh_batch_norm(dense(y, w["expand"]), w["expand_scale"], w["expand_bias"]))
    return np.stack([g] * x.shape[1], axis=1)


def mcmsh_mask_short(x, w, groups=1):
    """S-RD, Eq 1-2: x [B, a, p] -> mask [B, a, p]; w as above, 'reduce' [3, p/groups, q], 'expand' [3, q/groups, p]."""
    y = mcmsh_conv1d(x, w["reduce"], groups)
    y = relu(mcmsh_batch_norm(y, w["reduce_scale"], w["reduce_bias"]))
    y = mcmsh_conv1d(y, w["expand"], groups)
    return sigmoid(mcmsh_batch_norm(y, w["expand_scale"], w["expand_bias"]))


def mcmsh_mask_middle(x, w, groups=1):
    """M-RD, Eq 1-2: S-RD between a pooling of a to a // 3 and one back to a; x [B, a, p] -> mask [B, a, p]."""
    a = np.shape(x)[1]
    return mcmsh_adaptive_average_pool(mcmsh_mask_short(mcmsh_adaptive_average_pool(x, a // 3), w, groups), a)


def mcmsh_mix(x, kernel, bias):
    """The dense layer over the axis a before and after a gate: x [B, a, p], kernel [a, a], bias [a] -> [B, a, p]."""
    return np.swapaxes(dense(np.swapaxes(np.asarray(x, np.float64), 1, 2), kernel, bias), 1, 2)


def mcmsh_gate_unit(x, before, masks, after):
    """Eq 3 with its two mixes: x [B, a, p], before and after (kernel, bias), masks a list of x -> mask -> [B, a, p].

    Released: the sum of three calls of one mask each. Paper: one call with three masks, which are summed.
    """
    mixed = mcmsh_mix(x, *before)
    mask = sum(f(mixed) for f in masks)
    return mcmsh_mix(mask * mixed, *after)


# --- DKPH: binarisation -------------------------------------------------------------------------------------------


def dkph_sign_paper(x):
    """Li et al. 2022, Eq 4: sgn(tanh x), any shape. The paper leaves sgn(0) open; here +1."""
    return elementwise(lambda v: 1.0 if math.tanh(v) >= 0 else -1.0, x)


def dkph_sign_paper_gradient(x, g):
    """Backward of Eq 4, straight-through on tanh's output: g·(1 − tanh² x), any shape."""
    return np.asarray(g, np.float64) * elementwise(lambda v: 1 - math.tanh(v) ** 2, x)


def dkph_sign_released(x):
    """Binarisation as released: +1 where x > 0, else -1 (so -1 at 0), any shape."""
    return elementwise(lambda v: 1.0 if v > 0 else -1.0, x)


def dkph_sign_released_gradient(x, g):
    """Backward as released: g where -1 < x <= 1, else 0; any shape."""
    return np.asarray(g, np.float64) * elementwise(lambda v: 1.0 if -1 < v <= 1 else 0.0, x)


# --- DKPH: network ------------------------------------------------------------------------------------------------


def dkph_layer_norm(x, scale, bias, epsilon=1e-6):
    """Released normalisation over the last axis: scale·(x − mean)/(std + ε) + bias, std unbiased; x [..., D]."""
    x = np.asarray(x, np.float64)
    rows, out = x.reshape(-1, x.shape[-1]), np.zeros((x.size // x.shape[-1], x.shape[-1]))
    n = x.shape[-1]
    for r in range(len(rows)):
        mean = sum(rows[r]) / n
        std = math.sqrt(sum((v - mean) ** 2 for v in rows[r]) / (n - 1))
        for c in range(n):
            out[r, c] = scale[c] * (rows[r, c] - mean) / (std + epsilon) + bias[c]
    return out.reshape(x.shape)


def dkph_positions(frames, width):
    """Fixed sinusoids [T, D], D even: sin at even and cos at odd places of t / 10000^(2·(place // 2)/D)."""
    out = np.zeros((frames, width))
    for t in range(frames):
        for c in range(width):
            angle = t / 10000 ** (2 * (c // 2) / width)
            out[t, c] = math.sin(angle) if c % 2 == 0 else math.cos(angle)
    return out


def dkph_attention(x, query, key, value, output):
    """Li et al. 2022, Eq 2, one head over the frames: x [B, T, D], four (kernel [D, D], bias [D]) -> [B, T, D]."""
    x = np.asarray(x, np.float64)
    q, k, v = dense(x, *query), dense(x, *key), dense(x, *value)
    out = np.zeros(x.shape)
    for i in range(x.shape[0]):
        for t in range(x.shape[1]):
            scores = [dot(q[i, t], k[i, s]) / math.sqrt(x.shape[2]) for s in range(x.shape[1])]
            weights = [math.exp(score - max(scores)) for score in scores]
            for s in range(x.shape[1]):
                out[i, t] += weights[s] / sum(weights) * v[i, s]
    return dense(out, *output)


def dkph_block(x, norm1, attention, norm2, dense1, dense2):
    """Pre-normalised transformer block without dropout: norm (scale, bias), attention (q, k, v, o)."""
    x = x + dkph_attention(dkph_layer_norm(x, *norm1), *attention)
    return x + dense(gelu_tanh(dense(dkph_layer_norm(x, *norm2), *dense1)), *dense2)


def dkph_hash_layer(t, kernel, bias):
    """Li et al. 2022, Eq 3: the frames t [B, T, D] one after the other, kernel [T·D, K] -> [B, K] before the sign."""
    return dense(np.asarray(t).reshape(len(t), -1), kernel, bias)


def dkph_decoder(latent, b, kernel, bias):
    """Li et al. 2022, Eq 5-6: latent [B, T, K] (the temporal layer's), codes b [B, K] -> frames [B, T, C]."""
    latent, b = np.asarray(latent, np.float64), np.asarray(b, np.float64)
    return dense(np.stack([latent[:, t] + b for t in range(latent.shape[1])], axis=1), kernel, bias)


# --- DKPH: losses -------------------------------------------------------------------------------------------------


def dkph_reconstruction(x, x_hat):
    """Li et al. 2022, Eq 7: x and x_hat [B, T, C] -> mean squared error over items, frames and dimensions."""
    b, t, c = np.shape(x)
    return sum(squared_distance(x[i][m], x_hat[i][m]) for i in range(b) for m in range(t)) / (c * b * t)


def dkph_bsim(sign, b_i, b_j, weight=None):
    """Li et al. 2022, Eq 10: sign [B] = Â_ij, codes [B, K] -> mean over pairs; weight [B] is |Â_ij| unless given."""
    n, k = np.shape(b_i)
    total = 0.0
    for i in range(n):
        w = abs(float(sign[i])) if weight is None else float(weight[i])
        total += w * (float(sign[i]) - dot(b_i[i], b_j[i]) / k) ** 2
    return total / n


def dkph_tsim_paper(t_i, c_i, c_j, sign, eta=0.1, margin=1.0):
    """Li et al. 2022, Eq 11: student means t_i [B, D], teacher centres nearest to i and to j [B, D], sign [B]."""
    total = 0.0
    for i in range(len(t_i)):
        own, other = squared_distance(t_i[i], c_i[i]), squared_distance(t_i[i], c_j[i])
        factor = abs(float(sign[i])) * (1 - float(sign[i]))
        total += own + eta * factor * max(0.0, own - other + margin)
    return total / len(t_i)


def dkph_tsim_released(t_i, t_j, c_i, c_j, sign, eta=0.1, margin=0.5):
    """Eq 11 as released: both members drawn to their centres, divided by D·B; a hinge of unsquared distances, where
    a positive pair's centres are multiplied by 0 (so it adds the constant eta·margin). Shapes as above."""
    n, d = np.shape(t_i)
    total = 0.0
    for i in range(n):
        total += (squared_distance(t_i[i], c_i[i]) + squared_distance(t_j[i], c_j[i])) / d
        keep = 0.0 if sign[i] > 0 else 1.0
        own = math.sqrt(squared_distance(t_i[i], [keep * float(v) for v in c_i[i]]))
        other = math.sqrt(squared_distance(t_i[i], [keep * float(v) for v in c_j[i]]))
        total += eta * max(0.0, own - other + margin)
    return total / n


def dkph_total_teacher(reconstruction):
    """Li et al. 2022, Eq 12, first line."""
    return reconstruction


def dkph_total_student(reconstruction, bsim, tsim):
    """Li et al. 2022, Eq 12, second line, at γ1 = .11 and γ2 = .9."""
    return reconstruction + 0.11 * bsim + 0.9 * tsim
