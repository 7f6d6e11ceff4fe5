import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from interpret_kit.incremental.graph.export import trace
from interpret_kit.incremental.receptive_field.fields import all_receptive_fields, receptive_fields


class Applied(nn.Module):
    """Functions of the image, side by side."""

    def __init__(self, *functions):
        super().__init__()
        self.functions = functions
        self.layers = nn.ModuleList(each for each in functions if isinstance(each, nn.Module))

    def forward(self, x):
        return [function(x) for function in self.functions]


def fields_of(network, *size, channels=3):
    graph = trace(network, torch.zeros(1, channels, *size))
    return receptive_fields(graph, graph.outputs[0])


def rows_of(layer, rows):
    """What the rows of ``layer(image)`` see, and what they would without edges."""
    found = fields_of(layer, rows, 7)
    assert not found.inexact
    return found.rows.tolist(), found.nominal_rows.tolist()


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


# What the rows of an image of 3 rows and 7 cols become, and which of them each then sees.
SEEN = {
    "nearest": (
        lambda x: F.interpolate(x, scale_factor=2),
        [[0, 1], [0, 1], [1, 2], [1, 2], [2, 3], [2, 3]],
    ),
    "bilinear": (  # places -.25, .25, .75, 1.25, 1.75, 2.25
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        [[0, 1], [0, 2], [0, 2], [1, 3], [1, 3], [2, 3]],
    ),
    "bilinear between the corners": (  # places 0, .5, 1, 1.5, 2
        lambda x: F.interpolate(x, (5, 7), mode="bilinear", align_corners=True),
        [[0, 1], [0, 2], [1, 2], [1, 3], [2, 3]],
    ),
    "bilinear by a rounded ratio": (  # places 0, 2/3, 4/3, 2
        lambda x: F.interpolate(x, (4, 7), mode="bilinear", align_corners=True),
        [[0, 1], [0, 2], [1, 3], [2, 3]],
    ),
    "pad": (lambda x: F.pad(x, (0, 0, 1, 2)), [[0, 0], [0, 1], [1, 2], [2, 3], [0, 0], [0, 0]]),
    "crop": (lambda x: F.pad(x, (0, 0, -1, 0)), [[1, 2], [2, 3]]),
    "pad the cols": (lambda x: F.pad(x, (2, 2)), [[0, 1], [1, 2], [2, 3]]),
    "reflect": (
        lambda x: F.pad(x, (0, 0, 1, 1), mode="reflect"),
        [[1, 2], [0, 1], [1, 2], [2, 3], [1, 2]],
    ),
    "replicate": (
        lambda x: F.pad(x, (0, 0, 1, 0), mode="replicate"),
        [[0, 1], [0, 1], [1, 2], [2, 3]],
    ),
    "circular": (
        lambda x: F.pad(x, (0, 0, 1, 0), mode="circular"),
        [[2, 3], [0, 1], [1, 2], [2, 3]],
    ),
    "every other": (lambda x: x[:, :, ::2], [[0, 1], [2, 3]]),
    "the last two": (lambda x: x[:, :, -2:], [[1, 2], [2, 3]]),
    "one row to all": (lambda x: x[:, :, 1:2] + x, [[0, 2], [1, 2], [1, 3]]),
    "split": (lambda x: x.split([1, 2], dim=2)[1], [[1, 2], [2, 3]]),
    "chunk": (lambda x: x.chunk(2, dim=2)[0], [[0, 1], [1, 2]]),
    "unbind": (lambda x: torch.stack(x.unbind(1), 1), [[0, 1], [1, 2], [2, 3]]),
    "cat of rows": (lambda x: torch.cat([x[:, :, 2:], x[:, :, :1]], 2), [[2, 3], [0, 1]]),
    "cat with the mean": (
        lambda x: torch.cat([x, x.mean(2, keepdim=True)], 2),
        [[0, 1], [1, 2], [2, 3], [0, 3]],
    ),
    "stack": (
        lambda x: torch.stack([x, x[:, :, :1].expand_as(x)]).sum(0),
        [[0, 1], [0, 2], [0, 3]],
    ),
    "maximum of two": (
        lambda x: torch.max(x, x.select(2, 1)[:, :, None]),
        [[0, 2], [1, 2], [1, 3]],
    ),
    "maximum of all": (lambda x: x * x.amax((2, 3), keepdim=True), [[0, 3]] * 3),
    "mean of cols": (lambda x: x.mean(3, keepdim=True) * x.softmax(1), [[0, 1], [1, 2], [2, 3]]),
    "softmax of rows": (lambda x: x.softmax(2), [[0, 3]] * 3),
    "transposed twice": (lambda x: x.mT.relu().transpose(2, 3), [[0, 1], [1, 2], [2, 3]]),
    "group norm": (lambda x: F.group_norm(x, 1), [[0, 3]] * 3),
    "kernel from the image": (
        lambda x: F.conv2d(x, x.mean((2, 3)).view(1, 3, 1, 1)),
        [[0, 3]] * 3,
    ),
    "part overwritten": (
        lambda x: torch.slice_scatter(x, x[:, :1] + 1, 1, 0, 1),
        [[0, 1], [1, 2], [2, 3]],
    ),
    "constant": (torch.ones_like, [[0, 0]] * 3),
}


@pytest.fixture(scope="module")
def seen():
    graph = trace(Applied(*(function for function, _ in SEEN.values())), torch.zeros(1, 3, 3, 7))
    return dict(zip(SEEN, all_receptive_fields(graph, graph.outputs), strict=True))


@pytest.mark.parametrize("name", SEEN)
def test_rows_seen_through_one_operation(seen, name):
    assert seen[name].inexact == ()
    assert seen[name].rows.tolist() == SEEN[name][1]


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


def test_a_batch_norm_without_running_statistics_sees_the_whole_image():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3, track_running_stats=False))
    assert fields_of(network, 4, 6).box(1, 1) == (0, 0, 4, 6)


def test_an_operation_without_a_rule_sees_everything_and_is_named():
    found = fields_of(Applied(lambda x: x.cumsum(2)), 4, 6)
    assert found.inexact == ("cumsum",)
    assert found.box(0, 0) == (0, 0, 4, 6)


def test_a_flattened_map_is_followed_as_a_whole_and_named():
    found = fields_of(Applied(lambda x: x * x.flatten(2).mean(2)[:, :, None, None]), 4, 6)
    assert found.inexact == ("view",)
    assert found.box(0, 0) == (0, 0, 4, 6)


def seen_by_rows(layer, size):
    """Rows of the image that change the rows of a map, one row at a time."""
    seen = []
    for row in range(size):
        pixels = torch.zeros(1, 1, size, size)
        pixels[:, :, row] = 1
        seen.append(layer(pixels)[0, 0].amax(1) > 0)
    return torch.stack(seen, 1).numpy()  # (map rows, rows)


def assert_rows_are_seen(layers, size):
    graph = trace(Applied(*layers), torch.zeros(1, 1, size, size))
    for layer, found in zip(layers, all_receptive_fields(graph, graph.outputs), strict=True):
        with torch.no_grad():
            seen = seen_by_rows(layer, size)
        for cell, (start, stop) in enumerate(found.rows.tolist()):
            rows = np.flatnonzero(seen[cell])
            assert (start, stop) == ((rows[0], rows[-1] + 1) if len(rows) else (0, 0)), layer
            if len(rows):
                first, last = found.nominal_rows[cell]
                assert first <= start < stop <= last, layer


FEW = settings(max_examples=3, deadline=None, derandomize=True, database=None)  # of four layers
STEPS = st.integers(1, 4)


@FEW
@given(data=st.data(), size=st.integers(4, 12))
def test_any_convolution_sees_what_changes_it(data, size):
    layers = []
    for _ in range(4):
        kernel, stride, padding = (data.draw(each) for each in (STEPS, STEPS, st.integers(0, 4)))
        widest = min(4, (size + 2 * padding - 1) // max(1, kernel - 1))
        dilation = data.draw(st.integers(1, widest))
        layers.append(nn.Conv2d(1, 1, kernel, stride, padding, dilation, bias=False))
        nn.init.ones_(layers[-1].weight)
    assert_rows_are_seen(layers, size)


@FEW
@given(data=st.data(), size=st.integers(7, 12))
def test_any_pool_sees_what_changes_it(data, size):
    layers = []
    for k in range(4):
        kernel, stride, ceil = (data.draw(each) for each in (STEPS, STEPS, st.booleans()))
        padding = data.draw(st.integers(0, kernel // 2))
        if k % 2:
            layers.append(nn.AvgPool2d(kernel, stride, padding, ceil))
        else:
            dilation = data.draw(st.integers(1, 2))
            layers.append(nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=ceil))
    assert_rows_are_seen(layers, size)


@FEW
@given(size=st.integers(3, 12), cells=st.lists(st.integers(2, 14), min_size=4, max_size=4))
def test_nearest_resizing_sees_what_changes_it(size, cells):
    assert_rows_are_seen([nn.Upsample((each, each)) for each in cells], size)
