import pytest
import torch
from float_rules import assert_exact, assert_near, in_double, terms_of
from networks_on_paper import drawn
from torch import nn
from torch.nn import functional as F

from interpret_kit.incremental.graph.fuse_batch_norm import BATCH_NORM, folded
from interpret_kit.incremental.graph.traced import TracedNetwork


class Both(nn.Module):
    """One convolution, and what is made of it."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.body, self.layers = forward, nn.ModuleDict(layers)
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.body(self.conv, x, **self.layers).mean((2, 3))


class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return self._conv_forward(x, weight, self.bias)


def plain(*parts):
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten())


# By name: the network, and how many normalisations are left in it.
NETWORKS = {
    "without bias": (lambda: plain(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)), 0),
    "with bias": (lambda: plain(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, eps=0.1), nn.ReLU()), 0),
    "without affine": (lambda: plain(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, affine=False)), 0),
    "grouped": (lambda: plain(nn.Conv2d(3, 6, 3, groups=3, stride=2), nn.BatchNorm2d(6)), 0),
    "standardised": (lambda: plain(Standardised(3, 4, 3), nn.BatchNorm2d(4)), 0),
    "two norms": (lambda: plain(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)), 1),
    "norm first": (lambda: plain(nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 4, 3)), 1),
    "dropped and copied": (
        lambda: plain(
            nn.Conv2d(3, 4, 3), nn.Dropout2d(), nn.BatchNorm2d(4), nn.Dropout(), nn.Conv2d(4, 2, 1)
        ),
        0,
    ),
    "no running statistics of a group": (
        lambda: plain(nn.Conv2d(3, 4, 3), nn.GroupNorm(2, 4), nn.InstanceNorm2d(4), nn.ReLU()),
        0,
    ),
    "read before its norm": (
        lambda: Both(
            lambda conv, x, norm: norm(c := conv(x)) * c.sigmoid(), norm=nn.BatchNorm2d(4)
        ),
        1,
    ),
    "two norms of one": (
        lambda: Both(
            lambda conv, x, one, other: one(c := conv(x)).relu() + other(c).tanh(),
            one=nn.BatchNorm2d(4),
            other=nn.BatchNorm2d(4),
        ),
        2,
    ),
    "norm with two readers": (
        lambda: Both(lambda conv, x, norm: (y := norm(conv(x))).relu() - y, norm=nn.BatchNorm2d(4)),
        0,
    ),
    "one convolution, two norms": (
        lambda: Both(
            lambda conv, x, one, other: other(conv(one(conv(x))[:, :3])).relu(),
            one=nn.BatchNorm2d(4),
            other=nn.BatchNorm2d(4),
        ),
        0,
    ),
    "copied, then changed": (
        lambda: Both(lambda conv, x: (c := conv(x)).clone().relu_() + c),
        0,
    ),
    "computed kernel": (
        lambda: Both(
            lambda conv, x, norm: norm(
                F.conv2d(x, x.mean((0, 2, 3)).view(1, 3, 1, 1) * conv.weight)
            ),
            norm=nn.BatchNorm2d(4),
        ),
        1,
    ),
}


def state(network):
    return {
        name: (id(each), each.clone()) for name, each in network.state_dict(keep_vars=True).items()
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_a_folded_network_answers_as_it_did_for_any_number_of_rows(name):
    make, left = NETWORKS[name]
    network = drawn(make(), seed=len(name))
    traced = TracedNetwork(network, torch.randn(1, 3, 9, 8))
    before = state(network)
    found = folded(traced)
    assert sum(node.op == BATCH_NORM for node in found.graph.nodes) == left
    double = in_double(network)
    exact = folded(TracedNetwork(double, torch.randn(1, 3, 9, 8).double()))
    for rows in (1, 2, 5):
        if name == "computed kernel" and rows > 1:
            continue  # of the mean over the rows: not a row for each
        seen = torch.randn(rows, 3, 9, 8, generator=torch.Generator().manual_seed(rows))
        with torch.no_grad():
            wanted, ours = network(seen), found.run(seen, ())[found.output]
            truth = double(seen.double())
            assert_exact(exact.run(seen.double(), ())[exact.output], truth)
        assert wanted.max() - wanted.min() > 1e-2
        assert_near(ours, truth, theirs=wanted, terms=terms_of(network, seen))
    after = state(network)
    assert before.keys() == after.keys()
    for each, (mark, value) in before.items():
        assert after[each][0] == mark
        assert torch.equal(after[each][1], value)


def test_a_folded_kernel_is_scaled_and_shifted_as_on_paper():
    network = plain(nn.Conv2d(1, 1, 1), norm := nn.BatchNorm2d(1, eps=0.25)).eval()
    with torch.no_grad():
        network[0].weight.fill_(3.0)
        network[0].bias.fill_(1.0)
        for each, value in (("running_mean", 2.0), ("running_var", 3.75)):
            getattr(norm, each).fill_(value)
        norm.weight.fill_(5.0)
        norm.bias.fill_(7.0)
    found = folded(TracedNetwork(network, torch.randn(1, 1, 2, 3)))
    (conv,) = [node for node in found.graph.nodes if node.op == "conv2d"]
    # 5 (3 x + 1 - 2) / sqrt(3.75 + 0.25) + 7 = 7.5 x + 4.5
    assert found.weight(conv.arguments["weight"]).item() == 7.5
    assert found.weight(conv.arguments["bias"]).item() == 4.5


def test_what_a_value_became_is_known_where_it_is_still_computed():
    network = drawn(plain(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    traced = TracedNetwork(network, torch.randn(1, 3, 9, 8))
    found = folded(traced)
    conv, norm, act = (traced.node((name, 1)) for name in "012")
    assert conv not in found.at
    assert found.at[norm].op == "conv2d"
    assert found.at[act].op == "relu"
    seen = torch.randn(2, 3, 9, 8)
    with torch.no_grad():
        ours = found.run(seen, [found.at[norm]])[found.at[norm]]
        truth = in_double(network)[:2](seen.double())
        assert_near(ours, truth, theirs=network[:2](seen), terms=terms_of(network[:2], seen))


def test_kernels_lie_channels_last():
    found = folded(TracedNetwork(drawn(plain(nn.Conv2d(3, 4, 3))), torch.randn(1, 3, 9, 8)))
    (conv,) = [node for node in found.graph.nodes if node.op == "conv2d"]
    kernel = found.weight(conv.arguments["weight"])
    assert kernel.is_contiguous(memory_format=torch.channels_last)
