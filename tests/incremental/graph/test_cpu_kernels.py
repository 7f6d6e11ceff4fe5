"""Are products with weights the same by any kernel, and is each used where it is meant to be?"""

import pytest
import torch
from float_rules import assert_near, in_double, terms_of
from networks_on_paper import drawn
from torch import nn
from torch.nn import functional as F

from interpret_kit.incremental.graph import cpu_kernels
from interpret_kit.incremental.graph.fuse_batch_norm import folded
from interpret_kit.incremental.graph.traced import TracedNetwork


@pytest.fixture
def convolutions(monkeypatch):
    """How many cells each convolution computes."""
    asked, convolve = [], F.conv2d

    def counted(*given, **named):
        made = convolve(*given, **named)
        asked.append(made.shape[2] * made.shape[3])
        return made

    monkeypatch.setattr(F, "conv2d", counted)
    return asked


def some(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def exact(rows, weight, bias):
    """In double precision, number by number."""
    product = (rows.double().unsqueeze(-2) * weight.double()).sum(-1)
    return product if bias is None else product + bias.double()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "rows",
    [some(128, 6), some(2, 7, 11, 6), some(6, 300).T, some(1, 400, 12)[..., ::2], some(150, 1, 6)],
    ids=lambda rows: str(tuple(rows.shape)),
)
def test_many_rows_are_convolved(rows, bias, convolutions):
    weight, bias = some(5, 6, seed=1), some(5, seed=2) if bias else None
    found = cpu_kernels.linear(rows, weight, bias)
    assert convolutions == [rows.numel() // 6]
    terms = exact(rows.abs(), weight.abs(), None if bias is None else bias.abs()).max()
    assert_near(found, exact(rows, weight, bias), terms=float(terms))
    assert found.is_contiguous()


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "rows",
    [some(300, 6), some(2, 3, 6), some(6), some(0, 6), some(6, 4).T],
    ids=lambda rows: str(tuple(rows.shape)),
)
def test_large_weights_are_multiplied_in_pieces(rows, bias, convolutions, monkeypatch):
    monkeypatch.setattr(cpu_kernels, "LARGE", 30)
    monkeypatch.setattr(cpu_kernels, "FILTERS", 2)
    weight, bias = some(5, 6, seed=1), some(5, seed=2) if bias else None
    monkeypatch.setattr(F, "linear", None)
    kept = rows.clone()
    found, truth = cpu_kernels.linear(rows, weight, bias), exact(rows, weight, bias)
    assert not convolutions
    if rows.numel():
        terms = exact(rows.abs(), weight.abs(), None if bias is None else bias.abs()).max()
        assert_near(found, truth, terms=float(terms))
    assert found.shape == truth.shape
    assert found.is_contiguous()
    assert torch.equal(rows, kept)


@pytest.mark.parametrize(
    ("rows", "weight"),
    [
        (some(127, 6), some(5, 6)),
        (some(6), some(5, 6)),
        (some(0, 6), some(5, 6)),
        (some(200, 0), some(5, 0)),
        (some(200, 6).double(), some(5, 6).double()),
        (some(200, 6).bfloat16(), some(5, 6).bfloat16()),
        (some(200, 6), some(6)),
    ],
    ids=["few", "one", "none", "of nothing", "double", "half", "a weight of one row"],
)
def test_anything_else_is_left_to_the_linear_layer(rows, weight, convolutions):
    assert torch.equal(cpu_kernels.linear(rows, weight), F.linear(rows, weight))
    assert convolutions == []


@pytest.mark.parametrize(
    ("weight", "bias"), [(some(5, 6), torch.tensor(2.0)), (some(0, 6), None)], ids=str
)
def test_so_is_what_a_convolution_does_not_take(weight, bias, convolutions):
    rows = some(200, 6)
    assert torch.equal(cpu_kernels.linear(rows, weight, bias), F.linear(rows, weight, bias))
    assert convolutions == []


@pytest.fixture(params=["conv", "matmul"])
def rounded(request):
    """The CPU computes one of the two operations with fewer bits."""
    setting = getattr(torch.backends.mkldnn, request.param)
    before = setting.fp32_precision
    setting.fp32_precision = "bf16"
    yield
    setting.fp32_precision = before


def test_what_may_be_rounded_stays_what_it_is(rounded, convolutions):
    cpu_kernels.linear(some(200, 6), some(5, 6))
    assert convolutions == []
    gate = folded(TracedNetwork(drawn(Gated()), torch.randn(1, 3, 6, 7)))
    convolutions.clear()
    gate.run(some(2, 3, 6, 7), ())
    assert convolutions == [1, 1]


class Gated(nn.Module):
    """Maps times what their means say; then the maps' cells by a linear layer."""

    def __init__(self, **of_the_gate):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 8, 3), nn.ReLU()
        self.less, self.more = nn.Conv2d(8, 4, 1), nn.Conv2d(4, 8, 1, **of_the_gate)
        self.cells = nn.Linear(8, 5)

    def forward(self, x):
        maps = self.act(self.conv(x))
        gate = self.more(self.less(maps.mean((2, 3), keepdim=True)).tanh())
        return self.cells((maps * gate).permute(0, 2, 3, 1)).mean((1, 2))


@pytest.mark.parametrize("rows", [1, 3, 130])
@pytest.mark.parametrize(
    "gate",
    [
        {},
        {"bias": False},
        {"groups": 2},
        {"padding": "same"},
        {"stride": 2},
        {"padding": 1, "stride": 3},  # its one cell is of the padding
    ],
    ids=str,
)
def test_a_network_returns_what_it_did(gate, rows):
    network = drawn(Gated(**gate))
    traced, seen = TracedNetwork(network, torch.randn(1, 3, 6, 7)), some(rows, 3, 6, 7)
    with torch.no_grad():
        wanted, found = network(seen), folded(traced)
        ours = found.run(seen, ())[found.output]
        truth = in_double(network)(seen.double())
    assert wanted.max() - wanted.min() > 1e-2
    assert_near(ours, truth, theirs=wanted, terms=terms_of(network, seen))


def test_convolutions_of_single_cells_become_linear_layers(convolutions):
    traced = TracedNetwork(drawn(Gated()), torch.randn(1, 3, 6, 7))
    found = folded(traced)
    convolutions.clear()
    with torch.no_grad():
        found.run(some(2, 3, 6, 7), ())
    assert convolutions == []  # 40 rows of cells; the others as the graph has them
    with torch.no_grad():
        found.run(some(130, 3, 6, 7), ())
    assert convolutions == [130, 130, 130 * 20]


def test_a_convolution_whose_one_cell_is_of_the_padding_stays():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 2, 1, padding=1, stride=3))
    network = drawn(nn.Sequential(network, nn.Flatten()))
    found = folded(TracedNetwork(network, torch.randn(1, 3, 6, 7)))
    with torch.no_grad():
        outputs = found.run(some(2, 3, 6, 7), ())[found.output]
    assert torch.equal(outputs, network[0][1].bias.expand(2, 2))
