"""Makes pairs_cmgcah.npz and pairs_dsmhn.npz beside it, against which both methods are held without torch.

    python tests/parity/make_pairs.py

Everything is computed in float64 from inputs and weights that float32 holds exactly. CMGCAH runs one outer iteration
with plain descent, for RMSprop hides the size of a gradient and blows up the rounding of small ones; RMSprop is held by
itself, on a few gradients. Names: `weight/<parameter>`, `after/<parameter>`, `loss/<step>/<term>`,
`grad/<step>/<parameter>`; the layouts are torch's, dense [out, in].
"""

import reference_pairs as pairs
import torch
from make_arrays import clear_of_the_jumps, draw, exact, fill, save

ITEMS, BATCH, CLASSES, BITS, FEATURES = 12, 6, 4, 6, 6
IMAGE, TEXT, WIDTH, HIDDEN, JUDGES = 32, 9, 16, 7, 5
RATE = 0.05


def several_classes(generator):
    """Labels [N, C] of one class or two, so that some pairs share one and some none."""
    labels = torch.eye(CLASSES, dtype=torch.float64)[torch.arange(ITEMS) % CLASSES]
    labels = torch.maximum(labels, (torch.rand(ITEMS, CLASSES, generator=generator) < 0.2).double())
    similar = pairs.shares_class(labels, labels)
    if not 0.2 < similar.mean() < 0.8:
        raise SystemExit("the labels are too much alike: choose another seed")
    return labels


def hidden_layers(model, data):
    """Every pre-activation of a ReLU in front of the first step."""
    found = []
    for name, side in model.sides.items():
        features, _, label, made = side(data[name])
        conditioned = torch.cat([features, label], 1)
        found.append(side.generator[:1](conditioned))
        found += [model.critics[name][:1](torch.cat([f, label], 1)) for f in (made, conditioned[:, :FEATURES])]
    return torch.cat([model.sides["text"].network[:1](data["text"]).flatten(), *(x.flatten() for x in found)])


def cmgcah_arrays(seed):
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    image = pairs.ImageNetwork(IMAGE, FEATURES, 16, WIDTH, 8, 4 * WIDTH, share=0.5)
    sizes = {"items": ITEMS, "classes": CLASSES, "bits": BITS, "text": TEXT, "features": FEATURES}
    model = fill(pairs.Cmgcah(**sizes, hidden=HIDDEN, judges=JUDGES, image=image), generator)
    for name in model.sides:
        model.memory(name).copy_(draw(generator, ITEMS, BITS))
    model.update_codes()
    data = {"image": draw(generator, ITEMS, IMAGE), "text": draw(generator, ITEMS, TEXT)}
    labels, order = several_classes(generator), torch.randperm(ITEMS, generator=generator)
    clear_of_the_jumps(hidden_layers(model, data))
    arrays = {f"input/{name}": x for name, x in data.items()} | {"input/labels": labels, "input/order": order}
    arrays |= {f"weight/{name}": p.detach().clone() for name, p in model.named_parameters()}
    arrays |= {f"buffer/{name}": b.clone() for name, b in model.named_buffers()}

    weights = {"adversarial": 1.0, "between": 0.02, "within": 0.005, "quantisation": 0.05, "label": 0.5}
    arrays |= {f"option/{name}": torch.tensor(value) for name, value in weights.items()}
    step, batches = 0, order.view(-1, BATCH)
    for name, other in pairs.OTHER.items():
        for rows in batches:
            terms = pairs.side_losses(model, name, data[name][rows], labels[rows], rows, labels)
            total = sum(weight * terms[term] for term, weight in weights.items())
            arrays |= {f"loss/{step}/{name}_{term}": value for term, value in terms.items()}
            arrays |= descended(total, model, step, ("sides." + name, "alignment"))
            step += 1
        for rows in batches:
            loss = pairs.critic_loss(model, name, data[name][rows], data[other][rows])
            arrays |= {f"loss/{step}/{name}_critic": loss} | descended(loss, model, step, ("critics." + name,))
            step += 1
    model.update_codes()
    arrays |= {f"after/{name}": p.detach() for name, p in model.named_parameters()}
    arrays |= {f"after/{name}": b for name, b in model.named_buffers()}
    arrays |= rmsprop_arrays(generator)
    save("pairs_cmgcah.npz", arrays)


def descended(loss, model, step, groups):
    """A step of plain descent of the parameters of those groups; their gradients at the first step of each phase."""
    own = {n: p for n, p in model.named_parameters() if n.startswith(tuple(f"{group}." for group in groups))}
    gradients = dict(zip(own, torch.autograd.grad(loss, list(own.values())), strict=True))
    for name, parameter in own.items():
        parameter.data = parameter.data - RATE * gradients[name]
    return {f"grad/{step}/{name}": gradient for name, gradient in gradients.items()} if step % 2 == 0 else {}


def rmsprop_arrays(generator):
    """Five gradients of a vector, some of them tiny, and where torch's RMSprop takes it at a rate of .01."""
    gradients = draw(generator, 5, 8) * torch.logspace(-9, 1, 8, dtype=torch.float64)[None]
    parameter = torch.zeros(8, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.RMSprop([parameter], lr=0.01)
    path = []
    for gradient in exact(gradients):
        parameter.grad = gradient
        optimizer.step()
        path.append(parameter.detach().clone())
    return {"input/gradients": exact(gradients), "output/rmsprop": torch.stack(path)}


def dsmhn_arrays(seed):
    generator = torch.Generator().manual_seed(seed)
    inputs = {"image": IMAGE, "text": TEXT}
    model = fill(pairs.Dsmhn(inputs, classes=CLASSES, bits=BITS, hidden=HIDDEN), generator)
    data = {name: draw(generator, BATCH, width) for name, width in inputs.items()}
    labels = several_classes(generator)[:BATCH]
    clear_of_the_jumps(torch.cat([model.streams[name][:1](x).flatten() for name, x in data.items()]))
    arrays = {f"input/{name}": x for name, x in data.items()} | {"input/labels": labels}
    arrays |= {f"weight/{name}": p for name, p in model.named_parameters()}
    terms, weights = pairs.dsmhn_losses(model, data, labels), (1.0, 0.7, 0.3, 2.0)
    order = ("inter", "semantic", "quantisation", "balance")
    total = sum(weight * terms[name] for weight, name in zip(weights, order, strict=True))
    total.backward()
    arrays |= {f"loss/{name}": value for name, value in terms.items()} | {"loss/total": total}
    arrays |= {f"option/{name}": torch.tensor(weight) for weight, name in zip(weights, order, strict=True)}
    save("pairs_dsmhn.npz", arrays | {f"grad/{name}": p.grad for name, p in model.named_parameters()})


if __name__ == "__main__":
    torch.set_num_threads(1)  # sums in one order
    cmgcah_arrays(seed=1)
    dsmhn_arrays(seed=2)
