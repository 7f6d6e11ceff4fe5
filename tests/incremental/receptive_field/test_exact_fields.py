"""Is a receptive field that is called exact the extent of the gradient, to the pixel?"""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from interpret_kit.incremental.graph.export import trace
from interpret_kit.incremental.receptive_field.fields import receptive_fields

SIZE = (9, 7)


class Applied(nn.Module):
    """A 1x1 convolution to four filters, then a function of its maps."""

    def __init__(self, function):
        super().__init__()
        self.function, self.mix = function, nn.Conv2d(3, 4, 1)
        if isinstance(function, nn.Module):
            self.part = function

    def forward(self, pixels):
        return self.function(self.mix(pixels))


def drawn(function):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Applied(function() if isinstance(function, type) else function).double().eval()


def extent(network, axis, cell, images):
    """Rows (axis 0) or columns with a gradient to a line of cells, for any of the images."""
    output = network(images).select(2 + axis, cell)
    weights = torch.rand(output.shape, generator=torch.Generator().manual_seed(2)).double() + 0.5
    (gradient,) = torch.autograd.grad((output * weights).sum(), images)
    pixels = (gradient != 0).any(0).any(0).any(1 - axis).nonzero()[:, 0].tolist()
    return [pixels[0], pixels[-1] + 1] if pixels else [0, 0]


def running_statistics():
    norm = nn.InstanceNorm2d(4, affine=True, track_running_stats=True)
    norm.running_mean.uniform_(-1, 1)
    return norm


def resized(mode, size, **options):
    return lambda x: F.interpolate(x, size, mode=mode, **options)


def some_of_a_concatenation(x):
    wide = F.avg_pool2d(x, 3, 1, 1)
    return (
        torch.cat([x, wide], 1)[:, 1:4]
        + torch.cat([x, wide], 1).split([2, 2, 4], 1)[1].sum(1)[:, None]
    )


def overwritten(x):
    x, narrow = F.avg_pool2d(x, 3, 1, 1), x
    x[:, :] = narrow * 2
    return x


def filled(x):
    x[:, 0] = 0.5
    return x.clone()


EXACT = {
    "instance norm with running statistics": nn.Sequential(
        running_statistics(), nn.Conv2d(4, 4, 3)
    ),
    "instance norm by its own statistics": nn.InstanceNorm2d(4),
    "bilinear between the corners, 9x7 to 5x4": resized("bilinear", (5, 4), align_corners=True),
    "bilinear between the corners, 9x7 to 12x10": resized("bilinear", (12, 10), align_corners=True),
    "bilinear between the corners, 9x7 to 17x19": resized("bilinear", (17, 19), align_corners=True),
    "bilinear between the corners to one row": resized("bilinear", (1, 3), align_corners=True),
    "bilinear, 9x7 to 27x21": resized("bilinear", (27, 21)),
    "bilinear, 9x7 to 3x5": resized("bilinear", (3, 5)),
    "bilinear by a factor": lambda x: F.interpolate(x, scale_factor=(1.7, 0.6), mode="bilinear"),
    "bicubic, 9x7 to 18x21": resized("bicubic", (18, 21)),
    "bicubic, 9x7 to 4x5": resized("bicubic", (4, 5)),
    "bicubic between the corners": resized("bicubic", (17, 10), align_corners=True),
    "nearest, 9x7 to 4x10": resized("nearest", (4, 10)),
    "nearest, exactly, 9x7 to 4x10": resized("nearest-exact", (4, 10)),
    "bilinear, antialiased, 9x7 to 4x3": resized("bilinear", (4, 3), antialias=True),
    "bicubic, antialiased, 9x7 to 3x5": resized("bicubic", (3, 5), antialias=True),
    "area": resized("area", (4, 3)),
    "transposed convolution": nn.ConvTranspose2d(4, 4, 3, (2, 1), (1, 0), (1, 0)),
    "transposed convolution with holes": nn.ConvTranspose2d(4, 4, 2, 3),
    "dilated transposed convolution": nn.ConvTranspose2d(4, 4, (3, 2), 2, 1, dilation=(2, 3)),
    "pixel shuffle": nn.Sequential(nn.PixelShuffle(2), nn.Conv2d(1, 2, 2)),
    "pixel unshuffle": lambda x: F.pixel_unshuffle(x[:, :, :8, :6], 2),
    "roll": lambda x: F.conv2d(x.roll((2, -1), (2, 3)), torch.ones(1, 4, 2, 2).double()),
    "flip": lambda x: F.avg_pool2d(x.flip(2), (2, 1)),
    "repeat": lambda x: F.avg_pool2d(x.repeat(1, 1, 2, 1), (2, 1), (2, 1), (1, 0)),
    "local response norm": nn.LocalResponseNorm(3),
    "root mean square norm": lambda x: F.rms_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2),
    "gated linear unit": nn.GLU(1),
    "channel shuffle": nn.ChannelShuffle(2),
    "uneven adaptive pool": nn.AdaptiveAvgPool2d((4, 5)),
    "adaptive pool to more cells": nn.AdaptiveAvgPool2d((13, 9)),
    "average in ceil mode": nn.AvgPool2d(3, 2, 1, ceil_mode=True, divisor_override=2),
    "dilated maximum": lambda x: F.max_pool2d(x, 2, 1, 1, 2),
    "power average": nn.LPPool2d(2, 2),
    "group norm": nn.GroupNorm(2, 4),
    "some filters of a concatenation": some_of_a_concatenation,
    "filters one of which is assigned": filled,
    "all filters assigned": overwritten,
}


@pytest.mark.parametrize("name", EXACT)
def test_a_box_is_the_extent_of_the_gradient(name):
    network = drawn(EXACT[name])
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(24, 3, *SIZE, generator=generator).double()
    graph = trace(network, images[:1])
    fields = receptive_fields(graph, graph.outputs[0])
    assert fields.inexact == ()
    images.requires_grad_()
    for axis, table in enumerate((fields.rows.tolist(), fields.cols.tolist())):
        found = [extent(network, axis, cell, images) for cell in range(len(table))]
        assert table == found, ("rows", "cols")[axis]


def halves_of_a_mixture(x):
    wide = F.avg_pool2d(x, 3, 1, 1)
    return torch.cat([x, wide], 1).relu()[:, :4]


@pytest.mark.parametrize(("function", "named"), [(halves_of_a_mixture, ("slice",))])
def test_filters_that_are_picked_of_what_is_not_even_are_named(function, named):
    network = drawn(function)
    graph = trace(network, torch.zeros(1, 3, *SIZE).double())
    fields = receptive_fields(graph, graph.outputs[0])
    assert fields.inexact == named  # the first four see themselves alone: 1 pixel, not 3
    assert fields.rows.tolist()[4] == [3, 6]


def test_a_convolution_makes_a_mixture_even():
    def convolved(x):
        mixture = torch.cat([x, F.avg_pool2d(x, 3, 1, 1)], 1)
        return F.conv2d(mixture, torch.ones(6, 8, 1, 1).double())[:, 2:4]

    graph = trace(drawn(convolved), torch.zeros(1, 3, *SIZE).double())
    assert receptive_fields(graph, graph.outputs[0]).inexact == ()
