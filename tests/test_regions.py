import copy

import numpy as np
import pytest
import timm
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from interpret_kit.errors import NotSupported
from interpret_kit.graph.regions import all_receptive_fields, receptive_fields
from interpret_kit.graph.trace import trace


class Applied(nn.Module):
    """A network of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def fields_of(network, *size, channels=3):
    graph = trace(network, torch.zeros(1, channels, *size))
    return receptive_fields(graph, graph.outputs[0])


def rows_of(function, rows, channels=3):
    """What the rows of ``function(picture)`` see, and what they would without edges."""
    found = fields_of(Applied(function), rows, 7, channels=channels)
    assert not found.inexact
    return found.rows.tolist(), found.nominal_rows.tolist()


# --- worked out on paper ---


def test_without_padding_a_box_moves_by_the_jump_and_keeps_its_size():
    # Sizes 12x10 -> 10x8 -> 5x4 -> 3x2; fields 3 -> 3 + 1 -> 4 + 2 * 2 = 8; jump 2.
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3))
    found = fields_of(network, 12, 10)
    for row in range(3):
        for col in range(2):
            assert found.box(row, col) == (2 * row, 2 * col, 2 * row + 8, 2 * col + 8)
            assert found.nominal_box(row, col) == found.box(row, col)


def test_padding_cuts_the_boxes_at_the_edges_of_the_picture():
    # Row r reads pooled rows r-1..r+1, these 2(r-1)..2(r+1)+1, these 2r-3..2r+4.
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.AvgPool2d(2), nn.Conv2d(4, 5, 3, padding=1)
    )
    found = fields_of(network, 8, 12)
    assert found.rows.tolist() == [[0, 5], [0, 7], [1, 8], [3, 8]]
    assert found.nominal_rows.tolist() == [[-3, 5], [-1, 7], [1, 9], [3, 11]]
    assert found.box(0, 5) == (0, 7, 5, 12)
    assert found.nominal_box(0, 5) == (-3, 7, 5, 15)


def test_padding_is_cut_at_every_level_on_the_way():
    # The 1x1 convolution pads: its first and last row are padding alone, not the picture's edge.
    network = nn.Sequential(nn.Conv2d(3, 3, 1, padding=1), nn.Conv2d(3, 3, 1))
    found = fields_of(network, 3, 3)
    assert found.rows.tolist() == [[0, 0], [0, 1], [1, 2], [2, 3], [0, 0]]
    assert found.nominal_rows.tolist()[1:4] == [[0, 1], [1, 2], [2, 3]]


def test_a_dilated_kernel_that_starts_in_the_padding_sees_from_its_first_tap_inside():
    convolution = nn.Conv2d(3, 3, 3, dilation=2, padding=2)
    seen, nominal = rows_of(convolution, 5)  # row 1 reads rows -1, 1 and 3
    assert seen == [[0, 3], [1, 4], [0, 5], [1, 4], [2, 5]]
    assert nominal == [[-2, 3], [-1, 4], [0, 5], [1, 6], [2, 7]]


def test_rows_between_the_strides_are_not_seen():
    seen, _ = rows_of(nn.Conv2d(3, 3, 1, stride=2, padding=1), 4)  # rows -1, 1 and 3
    assert seen == [[0, 0], [1, 2], [3, 4]]


def test_an_even_kernel_with_same_padding_pads_at_the_end():
    seen, nominal = rows_of(nn.Conv2d(3, 3, 2, padding="same"), 3)
    assert seen == [[0, 2], [1, 3], [2, 3]]
    assert nominal == [[0, 2], [1, 3], [2, 4]]


def test_timms_same_padding_is_lopsided():
    # 5 rows in steps of 2 need (3 - 1) * 2 + 3 - 5 = 2: one each; 4 rows need 1: at the end.
    convolution = timm.layers.Conv2dSame(3, 3, 3, stride=2)
    assert rows_of(convolution, 5) == ([[0, 2], [1, 4], [3, 5]], [[-1, 2], [1, 4], [3, 6]])
    assert rows_of(convolution, 4) == ([[0, 3], [2, 4]], [[0, 3], [2, 5]])


def test_a_pool_in_ceil_mode_reaches_over_the_end():
    seen, nominal = rows_of(nn.MaxPool2d(3, 2, ceil_mode=True), 6)
    assert seen == [[0, 3], [2, 5], [4, 6]]
    assert nominal == [[0, 3], [2, 5], [4, 7]]


def test_a_dilated_max_pool_reaches_over_its_holes():
    seen, _ = rows_of(nn.MaxPool2d(2, 1, dilation=3), 6)
    assert seen == [[0, 4], [1, 5], [2, 6]]


def test_adaptive_pools_have_bins_of_different_sizes():
    # Bin i of 3 over 5 rows: from floor(5i/3) to ceil(5(i+1)/3).
    for pool in (nn.AdaptiveAvgPool2d((3, 2)), nn.AdaptiveMaxPool2d((3, 2))):
        assert rows_of(pool, 5)[0] == [[0, 2], [1, 4], [3, 5]]


@pytest.mark.parametrize(
    ("function", "rows"),
    [
        (lambda x: F.interpolate(x, scale_factor=2), [[0, 1], [0, 1], [1, 2], [1, 2], [2, 3], [2, 3]]),
        (  # places -.25, .25, .75, 1.25, 1.75, 2.25
            lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
            [[0, 1], [0, 2], [0, 2], [1, 3], [1, 3], [2, 3]],
        ),
        (  # places 0, .5, 1, 1.5, 2
            lambda x: F.interpolate(x, (5, 7), mode="bilinear", align_corners=True),
            [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]],
        ),
        (lambda x: F.pad(x, (0, 0, 1, 2)), [[0, 0], [0, 1], [1, 2], [2, 3], [0, 0], [0, 0]]),
        (lambda x: F.pad(x, (0, 0, -1, 0)), [[1, 2], [2, 3]]),
        (lambda x: F.pad(x, (0, 0, 1, 1), mode="reflect"), [[1, 2], [0, 1], [1, 2], [2, 3], [1, 2]]),
        (lambda x: F.pad(x, (0, 0, 1, 0), mode="replicate"), [[0, 1], [0, 1], [1, 2], [2, 3]]),
        (lambda x: F.pad(x, (0, 0, 1, 0), mode="circular"), [[2, 3], [0, 1], [1, 2], [2, 3]]),
        (lambda x: x[:, :, ::2], [[0, 1], [2, 3]]),
        (lambda x: x[:, :, -2:], [[1, 2], [2, 3]]),
        (lambda x: x[:, :, 1:2] + x, [[0, 2], [1, 2], [1, 3]]),
        (lambda x: x.split([1, 2], dim=2)[1], [[1, 2], [2, 3]]),
        (lambda x: x.chunk(2, dim=2)[0], [[0, 1], [1, 2]]),
        (lambda x: torch.stack(x.unbind(1), 1), [[0, 1], [1, 2], [2, 3]]),
        (lambda x: torch.cat([x[:, :, 2:], x[:, :, :1]], 2), [[2, 3], [0, 1]]),
        (lambda x: torch.cat([x, x.mean(2, keepdim=True)], 2), [[0, 1], [1, 2], [2, 3], [0, 3]]),
        (lambda x: torch.stack([x, x[:, :, :1].expand_as(x)]).sum(0), [[0, 1], [0, 2], [0, 3]]),
        (lambda x: torch.max(x, x.select(2, 1)[:, :, None]), [[0, 2], [1, 2], [1, 3]]),
        (lambda x: x * x.amax((2, 3), keepdim=True), [[0, 3]] * 3),
        (lambda x: x * x.flatten(2).mean(2)[:, :, None, None], [[0, 3]] * 3),
        (lambda x: x.mean(3, keepdim=True) * x.softmax(1), [[0, 1], [1, 2], [2, 3]]),
        (lambda x: F.group_norm(x, 1), [[0, 3]] * 3),
        (lambda x: F.conv2d(x, x.mean((2, 3)).view(1, 3, 1, 1)), [[0, 3]] * 3),
        (lambda x: torch.ones_like(x), [[0, 0]] * 3),
    ],
)  # fmt: skip
def test_rows_seen_through_one_operation(function, rows):
    network = Applied(function)
    if "flatten" in str(function.__code__.co_names):  # a flattened map is followed as a whole
        assert fields_of(network, 3, 7).rows.tolist() == rows
    else:
        assert rows_of(function, 3)[0] == rows


def test_normalising_and_mixing_the_filters_of_one_cell_moves_nothing():
    class Mixed(nn.Module):  # as in ConvNeXt, then as in ShuffleNet
        def __init__(self):
            super().__init__()
            self.norm, self.linear = nn.LayerNorm(4), nn.Linear(4, 4)

        def forward(self, x):
            x = self.linear(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
            batch, filters, rows, cols = x.shape
            return x.view(batch, 2, filters // 2, rows, cols).transpose(1, 2).reshape(x.shape)

    network = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), Mixed(), nn.Conv2d(4, 4, (2, 1)))
    found = fields_of(network, 9, 7)
    assert found.inexact == ()
    assert found.rows.tolist() == [[0, 5], [2, 7], [4, 9]]
    assert found.cols.tolist() == [[0, 3], [2, 5], [4, 7]]


def test_a_batch_norm_without_running_statistics_sees_the_whole_picture():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))
    assert fields_of(network, 4, 6).box(1, 1) == (0, 0, 4, 6)


def test_an_operation_without_a_rule_sees_everything_and_is_named():
    found = fields_of(nn.Sequential(nn.Conv2d(3, 3, 1), Applied(lambda x: x.roll(1, 2))), 4, 6)
    assert found.inexact == ("roll",)
    assert found.box(0, 0) == (0, 0, 4, 6)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (nn.Flatten(), r"\(1, 84\), no map \(batch, filters, rows, cols\)"),
        (Applied(lambda x: x.permute(0, 2, 3, 1)), "rows and cols are not the last two"),
    ],
)
def test_what_is_no_map_is_refused(network, said):
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


def test_strides_dilation_and_missing_padding_on_a_picture_that_is_not_square():
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
        self.inner = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(inplace=True))
        self.narrow = nn.Conv2d(4, 3, 1)
        self.wide = nn.Sequential(
            nn.Conv2d(4, 3, 3, padding=1), nn.Conv2d(3, 3, (1, 5), padding="same")
        )
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(4, 2, 1))
        self.last = nn.Conv2d(8, 4, 2)

    def forward(self, x):
        x = self.stem(x)
        x += self.inner(x)
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


@pytest.mark.parametrize(
    ("architecture", "names"),
    [
        ("resnet18", ["conv1", "maxpool", "layer1.1.conv2", "layer2.0.downsample.0", "layer3.1", "layer4.1.conv2"]),
        ("mobilenetv2_100", ["conv_stem", "blocks.1.1.conv_dw", "blocks.2.2", "blocks.3.3.conv_pw", "conv_head"]),
        ("densenet121", ["features.pool0", "features.denseblock1.denselayer3.conv2", "features.transition2.pool", "features.denseblock4.denselayer2.conv1"]),
        ("tf_efficientnet_lite0", ["conv_stem", "blocks.1.0.conv_dw", "blocks.2.1.conv_pwl"]),
    ],
)  # fmt: skip
def test_boxes_are_the_support_of_the_gradient_in(architecture, names):
    assert_boxes_are_supports(timm.create_model(architecture), names, (64, 96))


def seen_by_rows(layer, size):
    """Rows of the picture that change the rows of a map, one row at a time."""
    seen = []
    for row in range(size):
        pixels = torch.zeros(1, 1, size, size)
        pixels[:, :, row] = 1
        seen.append(layer(pixels)[0, 0].amax(1) > 0)
    return torch.stack(seen, 1).numpy()  # (map rows, rows)


def assert_rows_are_seen(layer, size):
    with torch.no_grad():
        seen = seen_by_rows(layer, size)
    found = fields_of(layer, size, size, channels=1)
    for cell, (start, stop) in enumerate(found.rows.tolist()):
        rows = np.flatnonzero(seen[cell])
        assert (start, stop) == ((rows[0], rows[-1] + 1) if len(rows) else (0, 0))
        if len(rows):
            first, last = found.nominal_rows[cell]
            assert first <= start < stop <= last


FEW = settings(max_examples=12, deadline=None, derandomize=True, database=None)
STEPS = st.integers(1, 4)


@FEW
@given(
    size=st.integers(4, 12), kernel=STEPS, stride=STEPS, padding=st.integers(0, 4), dilation=STEPS
)
def test_any_convolution_sees_what_changes_it(size, kernel, stride, padding, dilation):
    assume(size + 2 * padding > dilation * (kernel - 1))
    layer = nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False)
    nn.init.ones_(layer.weight)
    assert_rows_are_seen(layer, size)


@FEW
@given(data=st.data(), size=st.integers(7, 12), kernel=STEPS, stride=STEPS, ceil=st.booleans())
def test_any_pool_sees_what_changes_it(data, size, kernel, stride, ceil):
    padding = data.draw(st.integers(0, kernel // 2))
    if data.draw(st.booleans()):
        assert_rows_are_seen(nn.AvgPool2d(kernel, stride, padding, ceil), size)
    else:
        dilation = data.draw(st.integers(1, 2))
        assert_rows_are_seen(nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil), size)


@FEW
@given(size=st.integers(3, 12), cells=st.integers(2, 14))
def test_nearest_resizing_sees_what_changes_it(size, cells):
    assert_rows_are_seen(Applied(lambda x: F.interpolate(x, (cells, cells))), size)
