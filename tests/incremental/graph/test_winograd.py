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
def left(monkeypatch):
    """The convolutions that were left to torch; transforms cost nothing, however few channels."""
    left, convolve = [], F.conv2d

    def counted(*given, **named):
        left.append(tuple(given[1].shape))
        return convolve(*given, **named)

    monkeypatch.setattr(winograd.F, "conv2d", counted)
    monkeypatch.setattr(winograd, "TRANSFORMS", 0)
    return left


# Sides that fill their tiles, and one to three cells beyond; paddings of any size.
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


def test_products_on_paper():
    # A map of 7x7 takes 2 x 2 tiles of 36 products, in place of 49 x 9.
    share = winograd.share_of_products(7, 7, 512, 512)
    assert share == pytest.approx(144 / 441 * (1 + winograd.TRANSFORMS * 1.5 / 512))
    assert winograd.share_of_products(5, 5, 16, 16) == 1


def test_the_error_is_of_the_size_of_that_of_the_convolution(left):
    maps, weight, bias = some(16, 256, 7, 7).relu(), some(32, 256, 3, 3, seed=1), some(32, seed=2)
    truth = F.conv2d(maps.double(), weight.double(), bias.double(), padding=1)
    theirs = F.conv2d(maps, weight, bias, padding=1)
    left.clear()
    found = WinogradConvolution()(maps, weight, bias, 1, 1)
    assert not left
    terms = F.conv2d(maps.abs().double(), weight.abs().double(), bias.abs().double(), padding=1)
    assert_near(found, truth, theirs=theirs, terms=float(terms.max()))


FEW, MANY = some(7, 4, 10, 10), some(40, 4, 10, 10)
LEFT = {
    "few maps": (FEW, {}),
    "narrow maps": (some(99, 4, 7, 3), {}),
    "much beyond the edge": (some(99, 4, 11, 3), {}),
    "a stride": (MANY, {"stride": [2, 1]}),
    "holes": (MANY, {"dilation": (1, 2)}),
    "a word for the padding": (MANY, {"padding": "same"}),
    "double": (MANY.double(), {}),
    "half": (MANY.bfloat16(), {}),
    "an infinity": (MANY.clone().index_fill_(3, torch.tensor([8]), torch.inf), {}),
}


@pytest.mark.parametrize("name", LEFT)
def test_anything_else_is_left_to_torch(name, left):
    maps, how = LEFT[name]
    weight = some(3, 4, 3, 3, seed=1).to(maps)
    expected = F.conv2d(maps, weight, None, **how)
    left.clear()
    assert torch.equal(
        WinogradConvolution()(maps, weight, **how).nan_to_num(7), expected.nan_to_num(7)
    )
    assert left == [(3, 4, 3, 3)]


def test_few_channels_are_left_to_torch(left, monkeypatch):
    weight = some(3, 4, 3, 3, seed=1)
    WinogradConvolution()(MANY, weight)
    assert not left
    monkeypatch.undo()
    assert torch.equal(WinogradConvolution()(MANY, weight), F.conv2d(MANY, weight))


def test_groups_are_left_to_torch():
    weight = some(4, 2, 3, 3, seed=1)
    assert torch.equal(
        WinogradConvolution()(MANY, weight, groups=2), F.conv2d(MANY, weight, groups=2)
    )


def test_weights_are_transformed_once_and_again_if_they_are_others(monkeypatch, left):
    seen = []
    monkeypatch.setattr(
        winograd, "transformed", lambda weight: seen.append(weight) or transformed(weight)
    )
    maps = some(9, 64, 10, 10)
    convolve, (one, other) = WinogradConvolution(), (some(3, 64, 3, 3, seed=k) for k in (1, 2))
    for weight in (one, one, other):
        truth = F.conv2d(maps.double(), weight.double())
        terms = F.conv2d(maps.abs(), weight.abs()).max()
        theirs = F.conv2d(maps, weight)
        left.clear()
        assert_near(convolve(maps, weight), truth, theirs=theirs, terms=float(terms))
        assert not left
    assert len(seen) == 2
