"""Root mean squares of an untrained backbone's features, of photographs of the sample or clips made of one each.

    PYTHONPATH=. python tests/benchmarks/untrained.py cnn_small vgg16 cnn_f c3d

Weights are drawn twice: as the module draws them, and with its first convolution as wide as the others are drawn, which
is what a code's tanh gets of pixels in 0..255.
"""

import sys

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from jhash.data import samples
from jhash.encoders.backbone import ITEMS, backbone
from jhash.encoders.vgg import SPREAD

tables, *_ = samples.fashion("test", "subCategory")
pixels = tables["image"].read(np.arange(0, 641, 160), ["features"])["features"][:4]
for name in sys.argv[1:]:
    *frames, height, width, _ = [side or 80 for side in ITEMS[name][0]]
    items = np.stack([np.asarray(Image.fromarray(picture).resize((width, height))) for picture in pixels])
    items = np.repeat(items[:, None], frames[0], 1) if frames else items
    module = backbone(name)
    variables = jax.jit(module.init)(jax.random.key(0), items[:1])
    found = [variables]
    if name in ("cnn_f", "c3d"):
        conv1 = {**variables["params"]["conv1"], "kernel": variables["params"]["conv1"]["kernel"] * SPREAD}
        found.append({**variables, "params": {**variables["params"], "conv1": conv1}})
    features = [jax.jit(module.apply)(each, items) for each in found]
    print(name, *(f"{float(jnp.sqrt(jnp.square(each).mean())):.2f}" for each in features))
