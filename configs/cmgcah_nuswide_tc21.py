"""CMGCAH on NUS-WIDE with its 21 most frequent classes: 190,421 pairs, words 1000 in the circulating files.

python -m jhash.launch --config configs/cmgcah_nuswide_tc21.py --config.data.file=NUS-WIDE-TC21.mat \\
    --config.hyper.backbone=cnn_f --config.hyper.weights=imagenet-vgg-f.mat

The paper's numbers, and ours where it has none. Six of its forms are options (BUILD_NOTES.md):
--config.hyper.fusion=printed --config.hyper.label_loss=softmax --config.hyper.saturating=True
--config.hyper.critic=step --config.hyper.condition=trained --config.hyper.normalised=sum

Pictures go through CNN-F, whose weights are a file of yours; without --config.hyper.weights it trains from scratch. A
file with features [N, 4096] in place of pictures needs --config.hyper.backbone=''; ablations a and c and dcmh are then
linear in them, as printed, but for --config.hyper.image_hidden=4096. Days on a CPU: meant for a GPU. --plan says what
it will need.
The paper's mAP, image → text and text → image: .6213/.6440/.6462 and
.6782/.6801/.6844 at 16/32/64 bits.
Words are as the file has them, unscaled; on jhash's own photographs --config.data.normalise=clip with
--config.hyper.bias_correction=True does far better.
On a fold of 7,673 pairs of photographs and names as vectors the paper's weights of losses are far below means over
pairs and bits, --config.hyper.normalised=mean --config.hyper.alpha=4 --config.hyper.beta=4 --config.hyper.gamma=1:
image → text and text → image .709/.719 for .806/.842 at 64 bits, .509/.478 for .771/.780 at 16 (BUILD_NOTES.md, Pairs).
Not run here: no such file is at hand.
"""

from jhash.config import experiment


def get_config():
    config = experiment("cmgcah", "nuswide_tc21")
    config.baselines = ("dcmh", "cca_itq", "itq")
    config.hyper.backbone = "cnn_f"
    config.hyper.bits = 64
    return config
