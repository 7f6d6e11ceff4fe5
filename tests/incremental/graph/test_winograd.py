"""Are convolutions by fewer products those of torch, and left to torch where they gain nothing?"""

import pytest
import torch
from float_rules import assert_exact, assert_near
from torch.nn import functional as F

from interpret_kit.incremental.graph import winograd
from interpret_kit.incremental.graph.winograd import WinogradConvolution, convolved, transformed


def some(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def kernels(monkeypatch):
    """The kernel of each convolution that torch was asked for."""
    asked, convolve = [], F.conv2d

    def counted(*given, **named):
        asked.append(tuple(given[1].shape[2:]))
        return convolve(*given, **named)

    monkeypatch.setattr(winograd.F, "conv2d", counted)
    return asked


# Columns that fill their tiles, and one to three cells beyond; rows and paddings of any size.
@pytest.mark.parametrize(
    ("batch", "rows", "cols", "padding"),
    [
        (3, 7, 7, (1, 1)),
        (70, 3, 10, (0, 0)),
        (1, 4, 12, (2, 0)),
        (2, 1, 9, (1, 2)),
        (5, 6, 3, (0, 1)),
    ],
)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_every_cell_is_that_of_the_convolution(batch, rows, cols, padding, layout):
    maps = some(batch, 5, rows, cols).double().contiguous(memory_format=layout)
    weight, bias = some(4, 5, 3, 3, seed=1).double(), some(4, seed=2).double()
    kept = maps.clone()
    found = convolved(maps, transformed(weight), bias, padding)
    assert_exact(found, F.conv2d(maps, weight, bias, padding=padding))
    assert torch.equal(maps, kept)
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert_exact(
        convolved(maps, transformed(weight), None, padding), F.conv2d(maps, weight, padding=padding)
    )


def test_a_cell_on_paper():
    # 1 x 1 + 2 x 2 + 3 x 3 in the middle row of the kernel; the next cell is 1 x 2 + 2 x 3 + 3 x 4.
    maps = torch.arange(1.0, 7).expand(1, 1, 3, 6)
    weight = torch.zeros(1, 1, 3, 3)
    weight[..., 1, :] = torch.tensor([1.0, 2, 3])
    found = convolved(maps, transformed(weight), torch.tensor([100.0]), (0, 0))
    torch.testing.assert_close(found, torch.tensor([[[[114.0, 120, 126, 132]]]]))


def test_the_error_is_that_of_the_convolution(kernels):
    maps, weight, bias = some(16, 256, 7, 7).relu(), some(32, 256, 3, 3, seed=1), some(32, seed=2)
    truth = F.conv2d(maps.double(), weight.double(), bias.double(), padding=1)
    theirs = F.conv2d(maps, weight, bias, padding=1)
    kernels.clear()
    found = WinogradConvolution()(maps, weight, bias, 1, 1)
    assert kernels == [(3, 1)] * 6
    terms = F.conv2d(maps.abs().double(), weight.abs().double(), bias.abs().double(), padding=1)
    assert_near(found, truth, theirs=theirs, terms=float(terms.max()))


FEW, MANY = some(2, 4, 9, 9), some(40, 4, 9, 9)
LEFT = {
    "few maps": (FEW, {}),
    "narrow maps": (some(99, 4, 9, 3), {}),
    "much beyond the edge": (some(99, 4, 9, 7), {}),
    "a stride": (MANY, {"stride": [2, 1]}),
    "holes": (MANY, {"dilation": (1, 2)}),
    "a word for the padding": (MANY, {"padding": "same"}),
    "double": (MANY.double(), {}),
    "half": (MANY.bfloat16(), {}),
    "an infinity": (MANY.clone().index_fill_(3, torch.tensor([8]), torch.inf), {}),
}


@pytest.mark.parametrize("name", LEFT)
def test_anything_else_is_left_to_torch(name):
    maps, how = LEFT[name]
    weight = some(3, 4, 3, 3, seed=1).to(maps)
    expected = F.conv2d(maps, weight, None, **how)
    assert torch.equal(
        WinogradConvolution()(maps, weight, **how).nan_to_num(7), expected.nan_to_num(7)
    )


def test_groups_are_left_to_torch():
    weight = some(4, 2, 3, 3, seed=1)
    assert torch.equal(
        WinogradConvolution()(MANY, weight, groups=2), F.conv2d(MANY, weight, groups=2)
    )


def test_weights_are_transformed_once_and_again_if_they_are_others(monkeypatch):
    seen = []
    monkeypatch.setattr(
        winograd, "transformed", lambda weight: seen.append(weight) or transformed(weight)
    )
    convolve, (one, other) = WinogradConvolution(), (some(3, 4, 3, 3, seed=k) for k in (1, 2))
    for weight in (one, one, other):
        found = convolve(MANY, weight)
        truth = F.conv2d(MANY.double(), weight.double())
        assert_near(found, truth, theirs=F.conv2d(MANY, weight), terms=30.0)
    assert len(seen) == 2
