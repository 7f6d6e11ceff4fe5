import copy

import numpy as np
import pytest
import torch
from small_families import FAMILIES
from torch import nn

from interpret_kit.errors import NotSupported
from interpret_kit.incremental.graph.export import trace
from interpret_kit.incremental.receptive_field.fields import all_receptive_fields, receptive_fields


class Turned(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1)


def fields_of(network, *size):
    graph = trace(network, torch.zeros(1, 3, *size))
    return receptive_fields(graph, graph.outputs[0])


def nominal_box(fields, row, col):
    """Before the image's edges cut it off."""
    (y0, y1), (x0, x1) = fields.nominal_rows[row], fields.nominal_cols[col]
    return y0, x0, y1, x1


# --- worked out on paper ---


def test_without_padding_a_box_moves_by_the_jump_and_keeps_its_size():
    # Sizes 12x10 -> 10x8 -> 5x4 -> 3x2; fields 3 -> 3 + 1 -> 4 + 2 * 2 = 8; jump 2.
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3))
    found = fields_of(network, 12, 10)
    for row in range(3):
        for col in range(2):
            assert found.box(row, col) == (2 * row, 2 * col, 2 * row + 8, 2 * col + 8)
            assert nominal_box(found, row, col) == found.box(row, col)


def test_padding_cuts_the_boxes_at_the_edges_of_the_image():
    # Row r reads pooled rows r-1..r+1, these 2(r-1)..2(r+1)+1, these 2r-3..2r+4.
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(2), nn.Conv2d(4, 5, 3, padding=1)
    )
    found = fields_of(network, 8, 12)
    assert found.rows.tolist() == [[0, 5], [0, 7], [1, 8], [3, 8]]
    assert found.nominal_rows.tolist() == [[-3, 5], [-1, 7], [1, 9], [3, 11]]
    assert found.box(0, 5) == (0, 7, 5, 12)
    assert nominal_box(found, 0, 5) == (-3, 7, 5, 15)


def test_padding_is_cut_at_every_level_on_the_way():
    # The 1x1 convolution pads: its first and last row are padding alone, not the image's edge.
    network = nn.Sequential(nn.Conv2d(3, 3, 1, padding=1), nn.Conv2d(3, 3, 1))
    found = fields_of(network, 3, 3)
    assert found.rows.tolist() == [[0, 0], [0, 1], [1, 2], [2, 3], [0, 0]]
    assert found.nominal_rows.tolist()[1:4] == [[0, 1], [1, 2], [2, 3]]


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (nn.Flatten(), r"\(1, 84\), not a feature map \(batch, filters, rows, cols\)"),
        (Turned(), "rows and cols are not the last two"),
    ],
)
def test_an_output_that_is_not_a_feature_map_is_refused(network, said):
    with pytest.raises(NotSupported, match=said):
        fields_of(network, 4, 7)


def test_all_fields_in_one_walk_are_those_of_single_walks():
    network = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.Conv2d(3, 3, 2, stride=2))
    graph = trace(network, torch.zeros(1, 3, 9, 7))
    nodes = [graph.output_of(name) for name in ("0", "2")]
    for node, found in zip(nodes, all_receptive_fields(graph, nodes), strict=True):
        alone = receptive_fields(graph, node)
        np.testing.assert_array_equal(found.rows, alone.rows)
        np.testing.assert_array_equal(found.cols, alone.cols)


# --- against the support of the gradient ---


def made_positive(network):
    """In eval mode and double precision, with weights through which no gradient vanishes."""
    network = network.double().eval()
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            weight = 0.5 + torch.rand(module.weight.shape, generator=generator).double()
            # A filter's weights sum to 1: no ReLU6 saturates.
            module.weight.data = weight / weight.sum((1, 2, 3), keepdim=True)
            if module.bias is not None:
                module.bias.data.fill_(0.01)  # a drawn one may keep a ReLU at zero
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.fill_(0.5)  # a zero would end a branch, a one would let sums grow
    return network.requires_grad_(False)


def averaging(network):
    """A copy whose maximum pools are averages over the same windows: each input counts."""
    network = copy.deepcopy(network)
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.MaxPool2d):
                given = (child.kernel_size, child.stride, child.padding, child.ceil_mode)
                setattr(module, name, nn.AvgPool2d(*given))
    return network


def support(output, pixels, row, col):
    """The bounding box of the pixels with a gradient to a cell of a map."""
    (gradient,) = torch.autograd.grad(output[0, :, row, col].sum(), pixels, retain_graph=True)
    ys, xs = (gradient[0] != 0).any(0).nonzero().unbind(1)
    return (ys.min().item(), xs.min().item(), ys.max().item() + 1, xs.max().item() + 1)


def maps_of(network, names, pixels):
    """The output of the first call of each module."""
    kept = {}
    for name in names:
        network.get_submodule(name).register_forward_hook(
            lambda module, inputs, output, name=name: kept.setdefault(name, output * 1)
        )
    network(pixels)
    return kept


def assert_boxes_are_supports(network, names, size):
    network = made_positive(network)
    pixels = (
        0.1 + 0.1 * torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(1))
    ).double()
    graph = trace(network, pixels)
    fields = all_receptive_fields(graph, [graph.output_of(name) for name in names])
    pixels.requires_grad_()
    maps = maps_of(averaging(network), names, pixels)
    for name, found in zip(names, fields, strict=True):
        rows, cols = maps[name].shape[2:]
        assert (len(found.rows), len(found.cols)) == (rows, cols)
        assert found.inexact == ()
        for row, col in {(0, 0), (rows // 2, cols // 3), (rows - 1, cols - 1)}:
            assert found.box(row, col) == support(maps[name], pixels, row, col), (name, row, col)


def test_strides_dilation_and_missing_padding_on_an_image_that_is_not_square():
    network = nn.Sequential(
        nn.Conv2d(3, 4, (5, 3), stride=(3, 2)),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, ceil_mode=True),
        nn.Conv2d(4, 6, 3, dilation=(2, 1), padding=(2, 0), groups=2),
        nn.BatchNorm2d(6),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 4, 2, stride=3, padding=1),
    )
    assert_boxes_are_supports(network, [str(layer) for layer in range(7)], (53, 37))


class Branches(nn.Module):
    """A residual block, then branches side by side, then everything a second time."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2, bias=False)
        self.inner = nn.Sequential(
            nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3, padding=1)
        )
        self.narrow = nn.Conv2d(4, 3, 1)
        self.wide = nn.Sequential(
            nn.Conv2d(4, 3, 3, padding=1), nn.Conv2d(3, 3, (1, 5), padding="same")
        )
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 2, 1))
        self.last = nn.Conv2d(8, 4, 2)

    def forward(self, x):
        stem = self.stem(x)
        x = self.inner(stem)
        x += stem
        x = torch.cat([self.narrow(x), self.wide(x), self.pooled(x)], dim=1)
        return self.inner(self.last(x))


def test_branches_see_what_any_of_them_sees():
    names = ["inner", "wide", "pooled", "last"]
    assert_boxes_are_supports(Branches(), names, (21, 34))


def test_the_second_call_of_a_module_has_its_own_field():
    network = made_positive(Branches())
    pixels = torch.full((1, 3, 21, 34), 0.2).double()
    graph = trace(network, pixels)
    node = graph.output_of("inner", 2)
    assert node is graph.outputs[0]
    output = averaging(network)(pixels.requires_grad_())
    for row, col in ((0, 0), (4, 7), (8, 14)):
        assert receptive_fields(graph, node).box(row, col) == support(output, pixels, row, col)


LAYERS = {
    "resnet, basic": ["conv1", "maxpool", "layer2.0.downsample.0", "layer3.0", "layer4.0.conv2"],
    "mobilenetv2": ["conv_stem", "blocks.1.0.conv_dw", "blocks.2.0.conv_pw", "conv_head"],
    "densenet": [
        "features.pool0",
        "features.denseblock1.denselayer2.conv2",
        "features.transition1.pool",
        "features.denseblock2.denselayer2.conv1",
    ],
    "efficientnet": ["conv_stem", "blocks.1.0.conv_exp", "blocks.2.0.conv_pwl"],
}


@pytest.mark.parametrize("architecture", LAYERS)
def test_boxes_are_the_support_of_the_gradient_in(architecture):
    assert_boxes_are_supports(FAMILIES[architecture](5), LAYERS[architecture], (64, 96))
