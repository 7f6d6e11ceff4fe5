"""Do both incremental ways give the numbers of full forward passes, whatever form a network has?"""

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from interpret_kit.incremental.ablation import batching as levels
from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.incremental.graph import traced as suffix
from interpret_kit.incremental.graph.export import trace
from interpret_kit.incremental.occlusion.backend import PartialOcclusion
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.models.layers.hooks import ablated
from interpret_kit.models.probing.evaluation import evaluating

SIZE, FILTERS = (7, 6), 4
GRID = WindowGrid(SIZE, (3, 2), (2, 2))


class Form(nn.Module):
    """A convolution, then something of its maps (images, 4, 7, 6) as large, then a head."""

    def __init__(self, between, **parts):
        super().__init__()
        self.stem = nn.Conv2d(3, FILTERS, 3, padding=1)
        self.between = between
        for name, part in parts.items():
            setattr(self, name, part)
        self.head = nn.Conv2d(FILTERS, 3, 3)

    def forward(self, pixels):
        maps = self.between(self, self.stem(pixels).relu())
        return self.head(maps).relu().mean((2, 3)) if maps.dim() == 4 else maps[:, :3]


def tokens_first(maps):
    """(cells, images, channels), as `nn.MultiheadAttention` takes them by itself."""
    return maps.flatten(2).permute(2, 0, 1)


def as_maps(tokens):
    return tokens.permute(1, 2, 0).reshape(-1, FILTERS, *SIZE)


def attended(net, maps):
    tokens = tokens_first(maps)
    return as_maps(tokens + net.attention(tokens, tokens, tokens)[0])


def attended_batch_first(net, maps):
    tokens = maps.flatten(2).transpose(1, 2)
    found = net.attention(tokens, tokens, tokens, need_weights=False)[0]
    return found.transpose(1, 2).reshape(maps.shape)


def encoded(net, maps):
    return as_maps(net.encoder(tokens_first(maps)))


def class_token(net, maps):
    tokens = maps.flatten(2).transpose(1, 2)
    tokens = torch.cat([net.token.expand(len(maps), -1, -1), tokens], 1) + net.places
    return net.encoder(tokens)[:, 0]


def repeated_class_token(net, maps):
    tokens = tokens_first(maps)
    tokens = torch.cat([net.token.repeat(1, maps.shape[0], 1), tokens])
    return net.encoder(tokens)[0]


def deformed(net, maps):
    mask = net.masks(maps).sigmoid()
    return torchvision.ops.deform_conv2d(maps, net.offsets(maps), net.kernel, padding=1, mask=mask)


def with_coordinates(net, maps):
    count, _, height, width = maps.shape
    rows = torch.linspace(-1, 1, height).to(maps).view(1, 1, height, 1)
    cols = torch.arange(width).to(maps).view(1, 1, 1, width).repeat(count, 1, height, 1)
    return net.mix(torch.cat([maps, rows.expand(count, 1, height, width), cols], 1))


def with_a_grid_of_ones(net, maps):
    ones = torch.ones(len(maps), 1, *SIZE).to(maps)
    return net.mix(torch.cat([maps, ones, ones * torch.arange(SIZE[1])], 1))


def times_a_repeated_weight(net, maps):
    return maps * net.stem.bias.view(1, -1, 1, 1).repeat(maps.shape[0], 1, *SIZE)


def times_a_literal(net, maps):
    return maps * torch.tensor([1.0, -2.0, 0.5, 3.0]).view(1, -1, 1, 1) + torch.tensor(2.0).sqrt()


def with_numbers_assigned(net, maps):
    maps[:, 0] = 0
    maps[:, :, 2] = 1.5
    maps[maps > 1] = 0.5
    return maps


def reordered(net, maps):
    return maps[:, [3, 1, 0, 2]] + maps.index_select(1, torch.tensor([1, 1, 2, 0]))


def with_a_table(net, maps):
    return maps + net.table[net.index] * net.scales[0]


def pooled_by_fractions(net, maps):
    samples = net.samples.expand(len(maps), -1, -1)
    return F.fractional_max_pool2d(maps, 2, output_size=(4, 3), _random_samples=samples)


def recurrent(net, maps):
    return as_maps(net.recurrent(tokens_first(maps))[0])


def by_kernels_of_its_own(net, maps):
    """A kernel for each image (CondConv): the images stand among the groups."""
    count = len(maps)
    kernels = net.kernels(maps.mean((2, 3))).view(count * FILTERS, 1, 3, 3)
    joined = maps.reshape(1, count * FILTERS, *SIZE)
    return F.conv2d(joined, kernels, padding=1, groups=count * FILTERS).view(maps.shape)


def by_a_number_of_a_weight(net, maps):
    return maps * net.stem.bias[0].item()


def as_complex_numbers(net, maps):
    numbers = torch.view_as_complex(maps.reshape(len(maps), FILTERS, 7, 3, 2).contiguous())
    return torch.view_as_real(numbers * numbers).reshape(maps.shape)


def halves_one_after_the_other(net, maps):
    """Rows of the batch that do not lie image by image."""
    first, second = torch.cat([maps, maps.flip(3) ** 2]).mean((2, 3)).tanh().chunk(2)
    return first - second * 0.5


def encoder(batch_first):
    layer = nn.TransformerEncoderLayer(FILTERS, 2, 8, batch_first=batch_first)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)


FORMS = {
    attended: lambda: {"attention": nn.MultiheadAttention(FILTERS, 2)},
    attended_batch_first: lambda: {"attention": nn.MultiheadAttention(4, 2, batch_first=True)},
    encoded: lambda: {"encoder": encoder(batch_first=False)},
    class_token: lambda: {
        "encoder": encoder(batch_first=True),
        "token": nn.Parameter(torch.randn(1, 1, FILTERS)),
        "places": nn.Parameter(torch.randn(1, 43, FILTERS)),
    },
    repeated_class_token: lambda: {
        "encoder": encoder(batch_first=False),
        "token": nn.Parameter(torch.randn(1, 1, FILTERS)),
    },
    deformed: lambda: {
        "kernel": nn.Parameter(torch.randn(FILTERS, FILTERS, 3, 3)),
        "offsets": nn.Conv2d(FILTERS, 18, 3, padding=1),
        "masks": nn.Conv2d(FILTERS, 9, 1),
    },
    with_coordinates: lambda: {"mix": nn.Conv2d(FILTERS + 2, FILTERS, 3, padding=1)},
    with_a_grid_of_ones: lambda: {"mix": nn.Conv2d(FILTERS + 2, FILTERS, 1)},
    times_a_repeated_weight: dict,
    times_a_literal: dict,
    with_numbers_assigned: dict,
    reordered: dict,
    with_a_table: lambda: {
        "table": nn.Parameter(torch.randn(11)),
        "index": torch.arange(6) + torch.arange(7)[:, None] - 1,
        "scales": [torch.tensor(0.5)],
    },
    pooled_by_fractions: lambda: {"samples": nn.Parameter(torch.rand(1, FILTERS, 2))},
    recurrent: lambda: {"recurrent": nn.LSTM(FILTERS, FILTERS)},
    by_kernels_of_its_own: lambda: {"kernels": nn.Linear(FILTERS, 9 * FILTERS)},
    by_a_number_of_a_weight: dict,
    as_complex_numbers: dict,
    halves_one_after_the_other: dict,
}


def drawn(between):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Form(between, **FORMS[between]()).double().eval()


def traced_once():
    graphs = {}

    def known(network, pixels):
        if network not in graphs:
            graphs[network] = trace(network, pixels)
        return graphs[network]

    return known


def one_by_one(network, inputs):
    return torch.cat([network(each[None].clone()) for each in inputs])


def assert_equal_in_double(found, wanted, unchanged):
    """To 1e-9 of the scale; and what is computed must change the outputs."""
    assert found.dtype == wanted.dtype == torch.float64
    scale = wanted.abs().max()
    assert (wanted - unchanged).abs().max() > 1e-4 * scale
    assert (found - wanted).abs().max() <= 1e-9 * scale


@pytest.mark.parametrize("between", FORMS, ids=lambda form: form.__name__)
def test_windows_and_ablated_filters_give_the_outputs_of_full_forward_passes(monkeypatch, between):
    network = drawn(between)
    # Few bytes fit the cache: pairs are split, and joined again where maps have become small.
    monkeypatch.setattr(levels, "CACHE_BYTES", 5504)
    monkeypatch.setattr(suffix, "trace", traced_once())  # once for both ways
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(1)).double()
    fill = torch.full((3, *SIZE), 0.25).double()
    with evaluating(network):
        assert_windows_are_right(network, images[:1], fill)
        assert_filters_are_right(network, images)


def assert_windows_are_right(network, image, fill):
    covered = image.repeat(len(GRID), 1, 1, 1)
    for each, (y0, x0, y1, x1) in zip(covered, GRID.boxes().tolist(), strict=True):
        each[:, y0:y1, x0:x1] = fill[:, y0:y1, x0:x1]
    found = torch.empty(len(GRID), 3).double()
    for positions, outputs in PartialOcclusion(network, GRID, image).outputs(image, fill):
        found[torch.from_numpy(np.asarray(positions))] = outputs
    assert_equal_in_double(found, one_by_one(network, covered), one_by_one(network, image))


def assert_filters_are_right(network, images):
    point = ("stem", 1)
    pairs = torch.tensor([(k, each) for k in range(2) for each in range(FILTERS)])
    wanted = []
    for k, number in pairs.tolist():
        with ablated(network, [point], [number]):
            wanted.append(network(images[k : k + 1].clone()))
    ablation = IncrementalAblation(network, [point], images)
    unchanged = ablation.observe(images)[pairs[:, 0]]
    found = ablation.ablate(point, *pairs.T)
    assert_equal_in_double(found, torch.cat(wanted), unchanged)
