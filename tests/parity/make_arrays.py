"""Makes the small .npz files beside it, against which the library is held without torch.

    python tests/parity/make_arrays.py

Everything is computed in float64 from inputs and weights that float32 holds exactly, so that a comparison in float32
sees little but the rounding of one side (gradients are stored in float32). No dropout. Names: `weight/<parameter>`,
`buffer/<buffer>`, `grad/<case>/<parameter>`, `loss/<case>/<term>`; the layouts are torch's: dense [out, in],
convolution [out, in / groups, width]. SHE's `grad/<term>/codes` and `grad/<term>/library` are those of one term alone.
"""

import copy
from pathlib import Path

import numpy as np
import reference_dkph as dkph
import reference_mcmsh as mcmsh
import reference_she as she
import torch
from torch.nn import functional

FOLDER = Path(__file__).resolve().parent
BATCH, FRAMES, CHANNELS, WIDTH, BITS = 6, 7, 24, 16, 8


def exact(values):
    """Rounds to float32 and returns float64: both sides then start from the same numbers."""
    return torch.as_tensor(values).float().double()


def draw(generator, *shape):
    return exact(torch.randn(*shape, generator=generator, dtype=torch.float64))


def fill(model, generator):
    """Random weights and running statistics, so that no scale is 1 and no shift 0."""
    for name, parameter in model.named_parameters():
        noise = draw(generator, *parameter.shape)
        if parameter.ndim > 1:
            noise = noise / (parameter[0].numel() ** 0.5)
        elif name.endswith(("norm.weight", "norm1.weight", "norm2.weight", ".a")):
            noise = 1 + 0.2 * noise
        else:
            noise = 0.2 * noise
        parameter.data = exact(noise)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(exact(0.2 * draw(generator, *buffer.shape)))
        elif name.endswith("running_var"):
            buffer.copy_(exact(1 + 0.3 * draw(generator, *buffer.shape).abs()))
    return model.double()


def state(model):
    """Weights and the buffers that are no counters."""
    arrays = {f"weight/{name}": p for name, p in model.named_parameters()}
    return arrays | {f"buffer/{n}": b.clone() for n, b in model.named_buffers() if b.is_floating_point()}


def losses_and_gradients(case, model, terms, only=None):
    """The loss terms of one case and the gradient of its total in every parameter, or in those named."""
    model.zero_grad()
    terms["total"].backward()
    arrays = {f"loss/{case}/{name}": value for name, value in terms.items()}
    zero = torch.zeros(())
    named = [(n, p) for n, p in model.named_parameters() if only is None or n in only]
    return arrays | {f"grad/{case}/{n}": zero if p.grad is None else p.grad for n, p in named}


def float32_errors(case, model, loss):
    """What torch itself loses in a gradient by computing in float32, as a part of its norm, where above 5e-6."""
    single = copy.deepcopy(model).float()
    single.zero_grad()
    loss(single, torch.Tensor.float).backward()
    pairs = zip(single.named_parameters(), model.parameters(), strict=True)
    errors = {n: (p.grad.double() - exact.grad).norm() / exact.grad.norm() for (n, p), exact in pairs}
    return {f"float32/{case}/{n}": error for n, error in errors.items() if error > 5e-6}


def save(name, arrays):
    arrays = {key: np.asarray(torch.as_tensor(value).detach()) for key, value in arrays.items()}
    floats = ("weight/", "buffer/", "input/", "grad/")  # but for the gradients, float32 holds these exactly
    arrays = {k: v.astype(np.float32) if k.startswith(floats) and v.dtype == float else v for k, v in arrays.items()}
    np.savez_compressed(FOLDER / name, **arrays)
    print(name, (FOLDER / name).stat().st_size, "bytes")


def cloze(generator, clean):
    """Masked frames and what masked them: about a third zeroed, a third replaced by an item's frame, the rest kept.

    clean [R, B, T, C]; source [R, B, T] counts the frames of role 0, item by item.
    """
    chance = torch.rand(clean.shape[:3], generator=generator)
    zeroed, replaced = chance < 0.3, (chance >= 0.3) & (chance < 0.6)
    source = torch.randint(BATCH * FRAMES, clean.shape[:3], generator=generator)
    stand_ins = clean[0].reshape(-1, CHANNELS)[source]
    masked = torch.where(zeroed[..., None], 0.0, torch.where(replaced[..., None], stand_ins, clean))
    return masked, {"input/zeroed": zeroed, "input/replaced": replaced, "input/source": source}


def five_of(centres, generator):
    """[B, 5] distinct centres for each item, the nearest first."""
    return torch.stack([torch.randperm(centres, generator=generator)[:5] for _ in range(BATCH)])


def neighbours(nearest):
    """Eq 9: S [B, B], 1 where two items share one of their 3 nearest centres, -1 where only one of 5 and none of 4."""
    s = torch.zeros(BATCH, BATCH, dtype=torch.float64)
    for i in range(BATCH):
        for j in range(BATCH):
            shared = [bool(set(nearest[i, :m].tolist()) & set(nearest[j, :m].tolist())) for m in (3, 4, 5)]
            s[i, j] = 1 if shared[0] else -1 if shared[2] and not shared[1] else 0
    if set(s.unique().tolist()) != {-1, 0, 1}:
        raise SystemExit("the neighbours lack a kind: choose another seed")
    return s


def mcmsh_arrays(variant, seed):
    generator = torch.Generator().manual_seed(seed)
    model = fill(mcmsh.McMlp(FRAMES, CHANNELS, WIDTH, BITS, reduction=4, dropout=0.0, variant=variant), generator)
    clean = draw(generator, 5, BATCH, FRAMES, CHANNELS)
    masked, arrays = cloze(generator, clean[:2])
    targets, near_i, near_j = draw(generator, 24, WIDTH), five_of(24, generator), five_of(24, generator)
    u_i, u_j, matrix = targets[near_i[:, 0]], targets[near_j[:, 0]], neighbours(near_i)
    signs = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0, 1.0]).double()
    has_negative = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 1.0]).double()
    epoch = 3
    arrays |= {"input/clean": clean, "input/masked": masked, "input/targets": targets, "input/signs": signs}
    arrays |= {"input/nearest": torch.cat([near_i, near_j]), "input/matrix": matrix}
    arrays |= {"input/has_negative": has_negative, "input/epoch": torch.tensor(epoch)} | state(model)

    model.eval()
    e, y = model(clean[0])
    arrays |= {"eval/e": e, "eval/y": y, "eval/h": model.relaxed(y, epoch)}
    before = {n: b.clone() for n, b in model.named_buffers()}
    model.train()
    if variant == "paper":
        seen = clean  # the paper masks nothing
        terms = mcmsh.paper_losses(model, [seen[0], *seen[2:]], u_i, matrix, has_negative)
        arrays |= losses_and_gradients("held", model, terms)

        def loss(model, cast):
            few = [cast(seen[0]), *cast(seen[2:])]
            return mcmsh.paper_losses(model, few, cast(u_i), cast(matrix), cast(has_negative))["total"]

    else:
        seen = torch.cat([masked, clean[2:]])
        for case in ("released", "held"):
            model.load_state_dict(before, strict=False)
            terms = mcmsh.losses(model, seen, u_i, u_j, signs, has_negative, epoch, quantisation_gradient=case)
            only = None if case == "held" else ("project.weight", "hash.weight", "hash.bias")
            arrays |= losses_and_gradients(case, model, terms, only)

        def loss(model, cast):
            rest = [cast(x) for x in (u_i, u_j, signs, has_negative)]
            return mcmsh.losses(model, cast(seen), *rest, epoch)["total"]

    arrays |= float32_errors("held", model, loss)
    arrays |= {f"after/{n}": b.clone() for n, b in model.named_buffers() if b.is_floating_point()}
    for n, role in enumerate(["anchor", "partner", "positive", "negative1", "negative2"]):
        e, y = model(seen[n])
        arrays |= {f"train/{role}/h": model.relaxed(y, epoch)} | ({f"train/{role}/e": e} if n < 2 else {})
    save(f"mcmsh_{variant}.npz", arrays)


def clear_of_the_jumps(x):
    """No pre-activation so near 0 or ±1 that float32 could fall on the other side."""
    for jump in (-1.0, 0.0, 1.0):
        if float((x.detach() - jump).abs().min()) < 1e-4:
            raise SystemExit(f"a pre-activation lies within 1e-4 of {jump}: choose another seed")


def dkph_teacher_arrays(variant, seed):
    generator = torch.Generator().manual_seed(seed)
    model = fill(dkph.Teacher(FRAMES, CHANNELS, WIDTH, 4 * WIDTH, 12, dropout=0.0, variant=variant), generator)
    clean = draw(generator, 1, BATCH, FRAMES, CHANNELS)
    masked, arrays = cloze(generator, clean)
    t, rebuilt = model(masked[0])
    clear_of_the_jumps(model.hash(t))
    arrays |= {"input/clean": clean[0], "input/masked": masked[0], "output/t": t, "output/rebuilt": rebuilt}
    target = clean[0] if variant == "paper" else masked[0]
    arrays |= state(model) | losses_and_gradients("step", model, dkph.teacher_losses(model, masked[0], target))
    save(f"dkph_teacher_{variant}.npz", arrays)


def dkph_student_arrays(variant, seed):
    generator = torch.Generator().manual_seed(seed)
    model = fill(dkph.Student(FRAMES, CHANNELS, WIDTH, 4 * WIDTH, BITS, dropout=0.0, variant=variant), generator)
    clean = draw(generator, 2, BATCH, FRAMES, CHANNELS)
    masked, arrays = cloze(generator, clean)
    c_i, c_j = draw(generator, BATCH, WIDTH), draw(generator, BATCH, WIDTH)
    sign = torch.tensor([1.0, -1.0, 0.0, -1.0, 1.0, -1.0]).double()
    if variant == "released":  # a pair that found no partner of its kind counts as a negative of full weight
        sign = torch.where(sign == 0, -1.0, sign)
    t, b, latent, rebuilt = model(masked[0])
    clear_of_the_jumps(torch.cat([model.hash(model(x)[0].flatten(1)) for x in masked]))
    arrays |= {"input/clean": clean, "input/masked": masked, "input/c_i": c_i, "input/c_j": c_j, "input/sign": sign}
    arrays |= {"output/t": t, "output/b": b, "output/latent": latent, "output/rebuilt": rebuilt} | state(model)
    target = clean if variant == "paper" else masked
    terms = dkph.student_losses(model, masked, target, c_i, c_j, sign, sign.abs(), variant)
    arrays |= losses_and_gradients("step", model, terms)
    save(f"dkph_student_{variant}.npz", arrays)


def distinct_rows(classes, prototypes, generator):
    """Noisy rows of which no two of a class are equal, for equal prototypes have no one gradient of the maximum."""
    while True:
        rows = exact(she.noisy_rows(classes, prototypes, generator))
        if all(len(rows[:, c].unique(dim=0)) == prototypes for c in range(classes)):
            return rows


def anchor_in_every_reach(library, generator):
    """An anchor ever farther from the library, class by class, so that Eq 8 is cut above, cut below, and neither."""
    distance = torch.tensor([0.03, 0.3, 0.6, 3.0]).double().view(-1, 1, 1)
    anchor = exact(functional.normalize(library.detach() + distance * draw(generator, *library.shape), dim=-1))
    reach = (library.detach() * anchor).sum(-1) - 0.95 + 1
    clear_of_the_jumps(reach)
    if not (reach.max() > 1 and reach.min() < 0 and ((reach > 0.05) & (reach < 0.95)).sum() > 3):
        raise SystemExit("the anchor lacks a reach: choose another seed")
    return anchor


def clear_of_ties(codes, labels, library):
    """No item so near to two prototypes of its class that float32 could take the other."""
    s = torch.einsum("bk,cpk,bc->bp", codes, library, labels).detach().sort(1).values
    if float((s[:, -1] - s[:, -2]).min()) < 1e-4:
        raise SystemExit("two prototypes are about as near: choose another seed")


def she_arrays(variant, seed):
    generator = torch.Generator().manual_seed(seed)
    batch, inputs, hidden, bits, classes, prototypes = 8, 9, 11, 6, 4, 3
    model = fill(she.Modality(inputs, distinct_rows(classes, prototypes, generator), hidden, bits), generator)
    x = draw(generator, batch, inputs)
    labels = functional.one_hot(torch.tensor([0, 1, 2, 3, 3, 1, 0, 3]), classes).double()
    for layers, seen in ((model.hash, x), (model.library, model.rows)):
        clear_of_the_jumps(torch.cat([layers[:1](seen).flatten(), layers[:3](seen).flatten()]))
    codes, library = model(x)
    anchor = anchor_in_every_reach(library, generator)
    clear_of_ties(codes, labels, library)
    arrays = {"input/x": x, "input/labels": labels, "input/anchor": anchor} | state(model)
    arrays |= {"output/codes": codes, "output/library": library}
    for case, fixed in (("first", None), ("later", anchor)):
        codes, library = model(x)
        arrays |= losses_and_gradients(case, model, she.losses(codes, labels, library, fixed, variant))
    codes, library = codes.detach().requires_grad_(), library.detach().requires_grad_()
    leaves = {"codes": codes, "library": library}
    for term, value in she.losses(codes, labels, library, anchor, variant).items():
        gradients = torch.autograd.grad(value, list(leaves.values()), retain_graph=True, allow_unused=True)
        arrays |= {f"grad/{term}/{n}": g for n, g in zip(leaves, gradients, strict=True) if g is not None}
    save(f"she_{variant}.npz", arrays)


def check_parameter_counts():
    """The counts the papers and their programs give, at full size."""

    def count(model):
        return sum(p.numel() for p in model.parameters())

    for r, expected in {2: 1_877_429, 8: 1_777_973, 16: 1_761_397, 32: 1_753_109}.items():
        assert count(mcmsh.McMlp(reduction=r)) == expected, r
    assert count(mcmsh.McMlp(frames=30, channels=2048)) == 1_242_460
    assert count(mcmsh.McMlp(variant="none")) == 1_330_767
    assert count(dkph.Teacher()) == 2_399_872
    for bits, expected in {16: 2_014_752, 32: 2_186_816, 64: 2_530_944}.items():
        assert count(dkph.Student(bits=bits)) == expected, bits
        assert count(dkph.Student(bits=bits, variant="paper")) == expected + 6_400, bits


if __name__ == "__main__":
    torch.set_num_threads(1)  # sums in one order
    check_parameter_counts()
    mcmsh_arrays("released", seed=1)
    mcmsh_arrays("paper", seed=2)
    dkph_teacher_arrays("released", seed=3)
    dkph_teacher_arrays("paper", seed=4)
    dkph_student_arrays("released", seed=5)
    dkph_student_arrays("paper", seed=6)
    she_arrays("released", seed=9)
    she_arrays("paper", seed=13)
