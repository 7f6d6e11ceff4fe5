"""Which networks and images are small enough that the answers can be worked out otherwise?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from interpret_kit.data.image_set import ImageSet
from interpret_kit.models.classifier import Classifier

CLASSES = ("ant", "bee", "cat", "dog", "eel")
HALVES = {"mean": (0.5,) * 3, "std": (0.5,) * 3}


def noise(count: int, size: tuple[int, int] = (12, 10), seed: int = 0) -> np.ndarray:
    """Images of noise on a ground, each of another colour, uint8 (count, height, width, 3)."""
    generator = np.random.default_rng(seed)
    ground = generator.integers(0, 200, (count, 1, 1, 3))
    return (ground + generator.integers(0, 56, (count, *size, 3))).astype(np.uint8)


def noisy_images(count: int = 17, size: tuple[int, int] = (12, 10)) -> ImageSet:
    """Images of noise with labels of five classes."""
    return ImageSet.from_arrays(noise(count, size), np.arange(count) % 5, CLASSES)


def pixels_of(images: ImageSet, classifier: Classifier) -> Tensor:
    """All pixels in [0, 1], (images, 3, height, width)."""
    photos = images.uint8_images(images.ids.tolist(), classifier.preprocessing)
    return torch.from_numpy(photos).permute(0, 3, 1, 2).float() / 255


def small_classifier(size: tuple[int, int] = (12, 10), **settings) -> Classifier:
    """SmallNet with a normalisation that is not even over the channels."""
    scale = {"mean": (0.3, 0.4, 0.5), "std": (0.2, 0.25, 0.3)}
    network = SmallNet(size, **settings)
    return Classifier(network, size=size, **scale, classes=CLASSES, name="small")


def drawn(network: nn.Module, seed: int = 0, low: float = -1.0) -> nn.Module:
    """Draw all weights and statistics from [low, 1] and, for variances, [0.5, 1.5]."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in network.state_dict().items():
            if weight.is_floating_point():
                values = torch.rand(weight.shape, generator=generator)
                fan = max(weight[0].numel(), 1) if weight.dim() > 1 else 1
                scale = (1 - low) * (3 / fan) ** 0.5 if weight.dim() > 1 else 1 - low
                start = low * (3 / fan) ** 0.5 if weight.dim() > 1 else low
                weight.copy_(values + 0.5 if name.endswith("var") else start + scale * values)
    return network.eval()


def plain(network: nn.Module, size: tuple[int, int], **settings) -> Classifier:
    """A classifier whose network sees the pixels as they are, in [0, 1]."""
    return Classifier(network, size=size, mean=(0.0,) * 3, std=(1.0,) * 3, **settings)


class TopLeftNet(nn.Module):
    """Two classes: class 1 is likelier the brighter the top-left pixel; nothing else counts.

    At brightness b the logits are (-b, b).
    """

    def forward(self, pixels: Tensor) -> Tensor:
        brightness = pixels[:, :, 0, 0].mean(1)
        return torch.stack([-brightness, brightness], dim=1)


class ColourNet(nn.Module):
    """Filter 0 sees red, filter 1 green; the logits are the means of red and of green + 0.5."""

    def __init__(self, bias: float = 0.5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.act = nn.ReLU(inplace=True)
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.eye(2, 3).view(2, 3, 1, 1))
            self.conv.bias.zero_()
            self.head.weight.copy_(torch.eye(2))
            self.head.bias.copy_(torch.tensor([0, bias]))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.act(self.conv(pixels)).mean((2, 3)))


class SmallNet(nn.Module):
    """Two convolutions with all that usually follows them: 4 and 6 filters, 5 classes."""

    def __init__(self, size: tuple[int, int] = (12, 10), seed: int = 1, classes: int = 5) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(4)
        self.act1 = nn.ReLU(inplace=True)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(4, 6, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(6)
        self.act2 = nn.ReLU(inplace=True)
        self.flatten = nn.Flatten()
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(6 * (size[0] // 2) * (size[1] // 2), classes)
        drawn(self, seed)
        with torch.no_grad():  # on plain colours no class is the favourite
            colours = torch.rand(64, 3, 1, 1, generator=torch.Generator().manual_seed(seed)) * 4 - 2
            self.head.bias -= self(colours.expand(-1, -1, *size)).mean(0)

    def forward(self, pixels: Tensor) -> Tensor:
        pixels = self.pool1(self.act1(self.norm1(self.conv1(pixels))))
        pixels = self.act2(self.norm2(self.conv2(pixels)))
        return self.head(self.drop(self.flatten(pixels)))


class FragileNet(SmallNet):
    """Breaks in the middle of its ``breaks_at``-th forward pass, between its two convolutions."""

    breaks_at = 0
    passes = 0

    def forward(self, pixels: Tensor) -> Tensor:
        self.passes += 1
        pixels = self.pool1(self.act1(self.norm1(self.conv1(pixels))))
        if self.passes == self.breaks_at:
            raise RuntimeError("the power is out")
        return self.head(self.flatten(self.act2(self.norm2(self.conv2(pixels)))))


class TwiceNet(nn.Module):
    """One convolution and one ReLU, each called twice; the ReLU once more, on a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.act = nn.ReLU()
        self.head = nn.Linear(3, 2)
        drawn(self, seed=3)

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.act(self.conv(self.act(self.conv(pixels))))
        return self.head(self.act(maps.mean((2, 3))))


class ResidualNet(nn.Module):
    """A residual block: the shortcut is added after the second normalisation."""

    def __init__(self, in_place: bool = False) -> None:
        super().__init__()
        self.in_place = in_place
        self.conv1 = nn.Conv2d(3, 3, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(3)
        self.keep = nn.Identity()
        self.act1 = nn.ReLU(inplace=in_place)
        self.conv2 = nn.Conv2d(3, 3, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(3)
        self.act2 = nn.ReLU(inplace=in_place)
        self.head = nn.Linear(3, 2)
        drawn(self, seed=4)

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.act1(self.keep(self.norm1(self.conv1(pixels))))
        maps = self.norm2(self.conv2(maps))
        if self.in_place:
            maps += pixels
        else:
            maps = maps + pixels
        return self.head(self.act2(maps).mean((2, 3)))
