"""Are filters ablated incrementally wherever a layer's output holds them?"""

import pytest
import torch
from torch import nn

from interpret_kit import FilterAblation
from interpret_kit.incremental.ablation.engine import IncrementalAblation
from interpret_kit.models.layers.find import catalogue
from interpret_kit.models.layers.selectors import find_layer
from interpret_kit.models.probing.evaluation import evaluating

SIZE = (8, 6)


class Block(nn.Module):
    """As in ConvNeXt: a linear layer over the filters, which come last, beside the map itself."""

    def __init__(self, width):
        super().__init__()
        self.norm, self.wide = nn.LayerNorm(width), nn.Linear(width, 2 * width)
        self.narrow = nn.Linear(2 * width, width)

    def forward(self, maps):
        return maps + self.narrow(self.wide(self.norm(maps)).tanh())


class Last(nn.Module):
    """Maps (images, rows, cols, filters)."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 2, 2)
        self.block, self.again = Block(6), Block(6)
        self.head = nn.Linear(6, 3)

    def forward(self, pixels):
        maps = self.again(self.block(self.stem(pixels).permute(0, 2, 3, 1)))
        return self.head(maps.mean((1, 2)))


class Tokens(Last):
    """Tokens (images, tokens, filters) behind a class token."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 6))
        self.mixing = nn.MultiheadAttention(6, 2, batch_first=True)

    def forward(self, pixels):
        tokens = self.stem(pixels).flatten(2).transpose(1, 2)
        tokens = self.block(torch.cat([self.token.expand(len(pixels), -1, -1), tokens], 1))
        return self.head(self.again(tokens + self.mixing(tokens, tokens, tokens)[0])[:, 0])


class TokensFirst(Tokens):
    """Tokens (tokens, images, filters)."""

    def forward(self, pixels):
        tokens = self.block(self.stem(pixels).flatten(2).permute(2, 0, 1))
        return self.head(self.again(tokens).amax(0))


class Cloned(nn.Module):
    def forward(self, maps):
        return maps.clone()


class Copied(Last):
    """A copy of a map that something else reads, too; and padding that folds into what reads it."""

    def __init__(self):
        super().__init__()
        self.copy, self.pad = Cloned(), nn.ZeroPad2d((0, 1, 0, 1))
        self.deep = nn.Conv2d(6, 6, 2, groups=6, bias=False)

    def forward(self, pixels):
        maps = self.stem(pixels)
        maps = self.deep(self.pad(self.copy(maps).tanh() * maps))
        return self.head(maps.mean((2, 3)))


def drawn(kind):
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return kind().double().eval()


CASES = [
    *((Last, name) for name in ("block", "block.wide", "block.norm", "again")),
    *((Tokens, name) for name in ("block", "again", "block.narrow")),
    *((Copied, name) for name in ("copy", "pad")),
]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_every_filter_alone_gives_what_zeroing_it_gives(kind, name, monkeypatch):
    network, images = drawn(kind), torch.rand(2, 3, *SIZE).double()
    traced = []
    begin = IncrementalAblation.__init__
    monkeypatch.setattr(
        IncrementalAblation, "__init__", lambda *a, **k: (traced.append(1), begin(*a, **k))[0]
    )
    found = FilterAblation(network, name, "incremental").attribute(images, target=1)
    assert traced
    axis = find_layer(catalogue(network, images), name).axis
    wanted = by_hand(network, name, axis, images)
    assert found.shape == wanted.shape
    assert wanted.abs().max() > 1e-3
    assert (found - wanted).abs().max() <= 1e-9 * network(images).abs().max()


def by_hand(network, name, axis, images):
    """Scores of class 1 lost, (images, filters), with a hook of our own."""
    module = network.get_submodule(name)
    width = []
    handle = module.register_forward_hook(lambda m, i, output: width.append(output.shape[axis]))
    with torch.no_grad():
        before = network(images)[:, 1]
    handle.remove()
    columns = []
    for number in range(width[0]):

        def zeroed(module, inputs, output, number=number):
            output = output.clone()
            output.select(axis, number).zero_()
            return output

        handle = module.register_forward_hook(zeroed)
        with torch.no_grad():
            columns.append(before - network(images)[:, 1])
        handle.remove()
    return torch.stack(columns, 1)


def test_tokens_before_the_images_are_ablated_image_by_image():
    network, images = drawn(TokensFirst), torch.rand(2, 3, *SIZE).double()
    point = ("block", 1)
    with evaluating(network):
        ablation = IncrementalAblation(network, [point], images, {point: (1, 2)})
        before = ablation.observe(images)[:, 1]
        pairs = torch.tensor([(k, each) for k in range(2) for each in range(6)])
        lost = before[pairs[:, 0]] - ablation.ablate(point, *pairs.T)[:, 1]
    wanted = by_hand(network, "block", 2, images)
    assert (lost.view(2, 6) - wanted).abs().max() <= 1e-9 * before.abs().max()
