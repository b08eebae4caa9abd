"""The backbones in PyTorch, written from the papers and the published files: the other side of the parity tests.

State dicts have torchvision's names (VGG, ResNet) or those of C3D's usual ports; pixels come as [B, H, W, 3] or
[B, T, H, W, 3], RGB in 0..255. Needs torch; nothing here is imported by the library or by tests that run without it.
"""

import torch
from torch import nn
from torch.nn import functional


def imagenet(pixels):
    mean, std = (pixels.new_tensor(v) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    return ((pixels / 255 - mean) / std).permute(0, 3, 1, 2)


class VGG(nn.Module):
    PLANS = {16: "11M22M444M888M888M", 19: "11M22M4444M8888M8888M"}

    def __init__(self, depth, width, grid, classes):
        super().__init__()
        layers, inputs = [], 3
        for sign in self.PLANS[depth]:
            if sign == "M":
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(inputs, int(sign) * width, 3, padding=1), nn.ReLU()]
                inputs = int(sign) * width
        wide = 64 * width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            *(nn.Linear(inputs * grid**2, wide), nn.ReLU(), nn.Dropout()),
            *(nn.Linear(wide, wide), nn.ReLU(), nn.Dropout(), nn.Linear(wide, classes)),
        )

    def forward(self, pixels):
        return self.classifier[:5](self.features(imagenet(pixels)).flatten(1))


class CNNF(nn.Module):
    def __init__(self, width, size, grid, classes):
        super().__init__()
        wide = 4 * width
        self.conv1, self.conv2 = nn.Conv2d(3, width, 11, stride=4), nn.Conv2d(width, wide, 5, padding=2)
        self.conv3, self.conv4, self.conv5 = (nn.Conv2d(wide, wide, 3, padding=1) for _ in range(3))
        self.fc6, self.fc7 = nn.Linear(wide * grid**2, 64 * width), nn.Linear(64 * width, 64 * width)
        self.fc8 = nn.Linear(64 * width, classes)
        # torch divides alpha by the window
        self.norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
        self.register_buffer("mean", torch.zeros(size, size, 3))

    def forward(self, pixels):
        x = (pixels - self.mean).permute(0, 3, 1, 2)
        x = self.pool(self.norm(functional.relu(self.conv1(x))))
        x = self.pool(self.norm(functional.relu(self.conv2(x))))
        for layer in (self.conv3, self.conv4, self.conv5):
            x = functional.relu(layer(x))
        x = functional.relu(self.fc6(self.pool(x).flatten(1)))
        return functional.relu(self.fc7(x))

    @staticmethod
    def pool(x):
        return functional.max_pool2d(functional.pad(x, (0, 1, 0, 1)), 3, 2)


class Bottleneck(nn.Module):
    def __init__(self, inputs, inner, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, 4 * inner, 1, bias=False), nn.BatchNorm2d(4 * inner)
        self.downsample = None
        if stride != 1 or inputs != 4 * inner:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, 4 * inner, 1, stride, bias=False), nn.BatchNorm2d(4 * inner)
            )

    def forward(self, x):
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return functional.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, blocks, width, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        inputs = width
        for stage, count in enumerate(blocks):
            inner, layers = width << stage, []
            for i in range(count):
                layers.append(Bottleneck(inputs, inner, 2 if stage > 0 and i == 0 else 1))
                inputs = 4 * inner
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, pixels):
        x = functional.relu(self.bn1(self.conv1(imagenet(pixels))))
        x = functional.max_pool2d(x, 3, 2, 1)
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return functional.adaptive_avg_pool2d(x, 1).flatten(1)


class C3D(nn.Module):
    def __init__(self, width, grid, classes):
        super().__init__()
        inputs = 3
        for name, times in zip(["1", "2", "3a", "3b", "4a", "4b", "5a", "5b"], [1, 2, 4, 4, 8, 8, 8, 8], strict=True):
            setattr(self, f"conv{name}", nn.Conv3d(inputs, times * width, 3, padding=1))
            inputs = times * width
        self.fc6, self.fc7 = nn.Linear(inputs * grid, 64 * width), nn.Linear(64 * width, 64 * width)
        self.fc8 = nn.Linear(64 * width, classes)

    def forward(self, pixels):
        x = pixels.flip(-1) - pixels.new_tensor([90.0, 98.0, 102.0])  # blue, green, red
        x = functional.relu(self.conv1(x.permute(0, 4, 1, 2, 3)))
        x = functional.max_pool3d(x, (1, 2, 2))
        x = functional.max_pool3d(functional.relu(self.conv2(x)), 2)
        x = functional.relu(self.conv3b(functional.relu(self.conv3a(x))))
        x = functional.max_pool3d(x, 2)
        x = functional.relu(self.conv4b(functional.relu(self.conv4a(x))))
        x = functional.max_pool3d(x, 2)
        x = functional.relu(self.conv5b(functional.relu(self.conv5a(x))))
        x = functional.max_pool3d(x, 2, ceil_mode=True)
        return functional.relu(self.fc7(functional.relu(self.fc6(x.flatten(1)))))
