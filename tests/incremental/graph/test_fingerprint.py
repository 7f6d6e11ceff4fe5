"""Does every change of a network show in its hash, and in the sum of weights on a GPU?"""

import pytest
import torch
from networks_on_paper import drawn, plain
from torch import nn

from interpret_kit import IncrementalOcclusion
from interpret_kit.errors import BadWeights
from interpret_kit.incremental.graph import fingerprint
from interpret_kit.incremental.graph.fingerprint import checksum, fingerprint_of
from interpret_kit.models.probing.misfits import refuse_not_finite


def test_the_sum_does_not_depend_on_the_pieces(monkeypatch):
    weight = torch.randn(7, 11, generator=torch.Generator().manual_seed(0))
    whole = checksum(weight)
    monkeypatch.setattr(fingerprint, "_AT_ONCE", 10)
    assert checksum(weight) == whole


KINDS = [torch.float32, torch.float64, torch.bfloat16, torch.complex128, torch.int8]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_sum_shows_a_last_bit_an_exchange_and_signs(kind):
    weight = (torch.randn(4, 3, generator=torch.Generator().manual_seed(0)) * 9).to(kind)
    sums = {int(checksum(each)) for each in (weight, weight.flip(0), weight.flip(1), -weight)}
    last = weight.clone()
    view = last.view(fingerprint._WORDS[min(last.itemsize, 8)])
    view[3, 1] ^= 1
    assert len(sums | {int(checksum(last))}) == 5
    assert checksum(weight.T.contiguous().T) == checksum(weight)
    assert checksum(weight[:0]) == 0


def small():
    layers = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 2, 3)
    return drawn(nn.Sequential(*layers)).eval()


def moved_to_the_next(network):
    """One number goes from the end of a weight to the start of the next, in the order read."""
    weights = network[0].bias, network[1].weight
    first, second = (each.detach().clone() for each in weights)
    weights[0].data[1], weights[1].data[0] = second[0], first[1]


CHANGES = {
    "a bit": lambda net: net[3].weight.data.view(torch.int32)[0, 0, 0, 0].bitwise_xor_(1),
    "a count": lambda net: net[1].num_batches_tracked.add_(1),
    "two weights": moved_to_the_next,
    "a mode": lambda net: net[1].train(),
    "a hook": lambda net: net[2].register_forward_hook(lambda *_: None),
    "an attribute": lambda net: setattr(net[0], "own", 1),
    "a module": lambda net: setattr(net, "2", nn.Tanh()),
}


def test_every_change_of_a_network_shows():
    assert fingerprint_of(small()) == fingerprint_of(small())
    found = {fingerprint_of(small())}
    for change in CHANGES.values():
        network = small()
        change(network)
        found.add(fingerprint_of(network))
    assert len(found) == 1 + len(CHANGES)


def test_weights_hashed_together_or_each_by_itself_show_the_last_number(monkeypatch):
    for most in (0, 2**16):
        monkeypatch.setattr(fingerprint, "_SMALL", most)
        network = small()
        before = fingerprint_of(network)
        network[3].bias.data[-1] += 1
        assert fingerprint_of(network) != before


class Mixing(nn.Module):
    """Mixes the channels by a matrix that is not laid out as other weights are."""

    def __init__(self, layout, last=1.0):
        super().__init__()
        matrix = torch.tensor([[0.0, 2.0, 0.0], [0.5, 0.0, last]])
        self.matrix = nn.Parameter(getattr(matrix, layout)(), requires_grad=False)

    def forward(self, pixels):
        return pixels.mean((2, 3)) @ self.matrix.to_dense().T


@pytest.mark.parametrize("layout", ["to_sparse", "to_mkldnn"])
def test_weights_of_any_layout_are_read(layout):
    network, same, other = Mixing(layout), Mixing(layout), Mixing(layout, last=3.0)
    assert fingerprint_of(network) == fingerprint_of(same) != fingerprint_of(other)
    mine, its, others = (plain(each, (4, 4)).fingerprint for each in (network, same, other))
    assert mine == its != others
    # The means of the channels are 1, 1 and 0; a black window of 2x2 takes away a quarter of each.
    seen = torch.ones(1, 3, 4, 4)
    seen[:, 2] = 0
    found = IncrementalOcclusion(network).attribute(seen, (3, 2, 2), (3, 2, 2), target=0)
    torch.testing.assert_close(found, torch.full((1, 3, 4, 4), 0.5))
    with pytest.raises(BadWeights, match="weight 'matrix' holds values that are not finite"):
        refuse_not_finite(Mixing(layout, last=torch.nan), "mixing")
