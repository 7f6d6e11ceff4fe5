"""Where are the filters, rows and columns of an output? Worked out from each network's source."""

import pytest
import timm
import torch
from networks_on_paper import CLASSES, drawn, noisy_images, pixels_of, plain
from torch import nn

from interpret_kit import Ablation, Activations, FilterAblation, Misclassifications, TopPatches
from interpret_kit.errors import LayerNotFound, NotSupported
from interpret_kit.models.layers.find import catalogue
from interpret_kit.models.layers.selectors import find_layer, find_layers
from interpret_kit.models.probing.evaluation import evaluating

SIZE = (7, 7)


class ChannelsLast(nn.Module):
    """Seven filters on a map of 7 x 7: a linear layer on (batch, rows, cols, filters)."""

    def __init__(self, classes=5):
        super().__init__()
        self.stem = nn.Conv2d(3, 7, 1)
        self.norm = nn.LayerNorm(7)
        self.mix = nn.Linear(7, 7)
        self.act = nn.GELU()
        self.head = nn.Linear(7, classes)
        drawn(self, seed=5)

    def forward(self, pixels):
        maps = self.stem(pixels).permute(0, 2, 3, 1)
        return self.head(self.act(self.mix(self.norm(maps))).mean((1, 2)))

    def without(self, pixels, channel):
        """The logits with one channel of ``mix`` at zero."""
        maps = self.mix(self.norm(self.stem(pixels).permute(0, 2, 3, 1)))
        keep = torch.ones(7)
        keep[channel] = 0
        return self.head(self.act(maps * keep).mean((1, 2)))


class Tokens(nn.Module):
    """A ViT by hand: two class tokens before, one register after, a grid of rows x cols."""

    def __init__(self, size=(4, 6), width=8, depth=2, batch_first=True):
        super().__init__()
        self.batch_first = batch_first
        self.embed = nn.Conv2d(3, width, 2, stride=2)
        self.before = nn.Parameter(torch.zeros(1, 2, width))
        self.after = nn.Parameter(torch.zeros(1, 1, width))
        self.place = nn.Parameter(torch.zeros(1, 3 + size[0] * size[1] // 4, width))
        make = lambda: nn.TransformerEncoderLayer(width, 2, 16, batch_first=batch_first)  # noqa: E731
        self.blocks = nn.ModuleList([make() for _ in range(depth)])
        self.head = nn.Linear(width, 5)
        drawn(self, seed=6)

    def tokens(self, pixels):
        grid = self.embed(pixels).flatten(2).transpose(1, 2)
        count = len(grid)
        sides = [each.expand(count, -1, -1) for each in (self.before, self.after)]
        tokens = torch.cat([sides[0], grid, sides[1]], 1) + self.place
        return tokens if self.batch_first else tokens.transpose(0, 1)

    def forward(self, pixels):
        tokens = self.tokens(pixels)
        for block in self.blocks:
            tokens = block(tokens)
        return self.head(tokens[:, 0] if self.batch_first else tokens[0])


def listed(network, size):
    return catalogue(network.eval(), torch.rand(2, 3, *size))


def shapes(layers):
    return {each.label: (each.axis, each.filters, each.rows, each.cols) for each in layers}


def test_a_square_map_with_as_many_filters_as_rows_keeps_its_filters_apart():
    assert shapes(listed(ChannelsLast(), SIZE)) == {
        "stem": (1, 7, 7, 7),
        "norm": (3, 7, 7, 7),
        "mix": (3, 7, 7, 7),
        "act": (3, 7, 7, 7),
    }


def test_ablating_a_channels_last_filter_zeroes_the_last_dimension():
    network, pixels = ChannelsLast(), torch.rand(3, 3, *SIZE)
    with evaluating(network):
        before = network(pixels)[:, 2]
        expected = torch.stack([before - network.without(pixels, c)[:, 2] for c in range(7)], dim=1)
        found = FilterAblation(network, "mix").attribute(pixels, target=2)
    torch.testing.assert_close(found, expected)


def test_every_analysis_takes_channels_last_maps_for_what_they_are():
    network = ChannelsLast()
    classifier, images = plain(network, SIZE, classes=CLASSES), noisy_images(9, SIZE)
    pixels, labels = pixels_of(images, classifier), torch.as_tensor(images.labels)
    with evaluating(network):
        maps = network.mix(network.norm(network.stem(pixels).permute(0, 2, 3, 1)))
        maps = maps.permute(0, 3, 1, 2)
        right = network(pixels).argmax(1) == labels
        after = torch.stack([network.without(pixels, c).argmax(1) for c in range(7)])
    counts = Ablation("mix").run(classifier, images)
    broken = torch.from_numpy(counts.broken).sum(1)
    assert broken.tolist() == (right & (after != labels)).sum(1).tolist()
    assert broken.sum() > 0
    mistakes = Misclassifications("mix:3").run(classifier, images)
    assert mistakes.correct.sum() == (after[3] == labels).sum()
    found = Activations("mix", filters="4,0", site="convolution").run(classifier, images)
    torch.testing.assert_close(torch.from_numpy(found.maps), maps[:, [4, 0]])
    torch.testing.assert_close(torch.from_numpy(found.mean), maps.mean((0, 2, 3)))
    top = TopPatches("mix", top=1, site="convolution").run(classifier, images)
    place = maps.permute(1, 0, 2, 3).flatten(1).argmax(1)
    assert top.images[:, 0].tolist() == (place // 49).tolist()
    assert (top.rows[:, 0] * 7 + top.cols[:, 0]).tolist() == (place % 49).tolist()


def test_windows_and_shifted_windows_of_swin_are_put_together_again():
    settings = {"img_size": 56, "embed_dim": 8, "depths": (2, 1), "num_heads": (2, 2)}
    network = timm.create_model("swin_tiny_patch4_window7_224", num_classes=3, **settings)
    found = listed(network, (56, 56))
    assert [(each.number, each.label) for each in found if each.number] == [
        (1, "patch_embed.proj"),
        (2, "layers.0.blocks.0"),
        (3, "layers.0.blocks.1"),
        (4, "layers.1.blocks.0"),
    ]
    sizes = shapes(found)
    assert sizes["layers.0.blocks.1"] == (3, 8, 14, 14)
    assert sizes["layers.1.blocks.0"] == (3, 16, 7, 7)
    # Windows lie in the batch, (4 windows x batch, 49, channels); on the image they are the map.
    assert sizes["layers.0.blocks.0.attn.proj"] == (2, 8, 14, 14)
    layer = find_layer(found, "layers.0.blocks.0.attn.proj")
    pixels = torch.rand(3, 3, 56, 56)
    seen = []
    module = network.get_submodule("layers.0.blocks.0.attn.proj")
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with evaluating(network):
        network(pixels)
    handle.remove()
    maps = layer.layout.maps(seen[0])
    by_hand = seen[0].view(3, 2, 2, 7, 7, 8)
    for image, row, col in ((0, 0, 0), (2, 9, 3), (1, 13, 13)):
        unit = by_hand[image, row // 7, col // 7, row % 7, col % 7]
        assert torch.equal(maps[image, :, row, col], unit)


def test_what_was_rolled_is_read_where_it_was():
    class Rolled(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.mix, self.head = nn.Conv2d(3, 5, 1), nn.Linear(5, 5), nn.Linear(5, 2)

        def forward(self, pixels):
            maps = self.embed(pixels).permute(0, 2, 3, 1)
            return self.head(self.mix(maps.roll((-1, 2), (1, 2))).mean((1, 2)))

    network, pixels = Rolled(), torch.rand(2, 3, 4, 6)
    layer = find_layer(listed(network, (4, 6)), "mix")
    with evaluating(network):
        mixed = network.mix(network.embed(pixels).permute(0, 2, 3, 1))
    assert torch.equal(layer.layout.maps(mixed.roll((-1, 2), (1, 2))), mixed.permute(0, 3, 1, 2))


@pytest.mark.parametrize("batch_first", [True, False])
def test_tokens_are_units_on_their_grid_and_the_others_are_not(batch_first):
    network = Tokens(batch_first=batch_first)
    found = listed(network, (4, 6))
    assert [(e.number, e.label, e.filters, e.rows, e.cols) for e in find_layers(found, "all")] == [
        (1, "embed", 8, 2, 3),
        (2, "blocks.0", 8, 2, 3),
        (3, "blocks.1", 8, 2, 3),
    ]
    layer, pixels = find_layer(found, 2), torch.rand(3, 3, 4, 6)
    with evaluating(network):
        output = network.blocks[0](network.tokens(pixels))
        maps = layer.layout.maps(output)
        if not batch_first:
            output = output.transpose(0, 1)
    assert torch.equal(maps, output[:, 2:8].transpose(1, 2).reshape(3, 8, 2, 3))


@pytest.mark.parametrize("batch_first", [True, False])
def test_a_filter_of_a_block_is_ablated_in_all_tokens(batch_first):
    network, pixels = Tokens(batch_first=batch_first).eval(), torch.rand(3, 3, 4, 6)
    with evaluating(network):
        tokens = network.blocks[1](network.blocks[0](network.tokens(pixels)))
        tokens = tokens if batch_first else tokens.transpose(0, 1)
        head = network.head(tokens[:, 0])[:, 1]
        expected = tokens[:, 0] * network.head.weight[1]  # what each channel adds to the logit
        found = FilterAblation(network, "last").attribute(pixels, target=1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5 * float(head.abs().max()))


def test_the_patch_of_a_token_is_the_whole_image():
    network = Tokens()
    classifier, images = plain(network, (4, 6)), noisy_images(5, (4, 6)).unlabelled()
    found = TopPatches("blocks.1", top=2, site="convolution").run(classifier, images)
    assert {tuple(box) for box in found.boxes.reshape(-1, 4).tolist()} == {(0, 0, 4, 6)}
    assert found.inexact == ("assumed for tokens and channels-last maps",)
    with evaluating(network):
        tokens = network.tokens(pixels_of(images, classifier))
        grid = network.blocks[1](network.blocks[0](tokens))[:, 2:8]  # (images, 6, filters)
    best = grid.amax(1).topk(2, dim=0)
    assert found.images.tolist() == best.indices.T.tolist()
    torch.testing.assert_close(torch.from_numpy(found.values), best.values.T)
    places = grid.argmax(1)[best.indices, torch.arange(8)].T
    assert (found.rows * 3 + found.cols).tolist() == places.tolist()


class Attending(nn.Module):
    """Attention in plain sight: its matrix, its heads, and its positions transposed."""

    def __init__(self):
        super().__init__()
        self.embed, self.keys = nn.Conv2d(3, 4, 1), nn.Linear(4, 4)
        self.matrix, self.heads, self.crossed = nn.Softmax(-1), nn.Identity(), nn.Linear(9, 9)
        self.both = nn.LSTM(4, 4, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, pixels):
        tokens = self.embed(pixels).flatten(2).transpose(1, 2)  # (batch, 9, 4)
        parts = self.keys(tokens).view(len(tokens), 9, 2, 2).transpose(1, 2)
        parts = self.heads(parts + 0)
        mixed = self.matrix(parts @ parts.transpose(2, 3)) @ parts
        tokens = mixed.transpose(1, 2).reshape(tokens.shape)
        tokens = self.crossed(tokens.transpose(1, 2)).transpose(1, 2)
        return self.head(self.both(tokens)[0].mean(1))


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("matrix", "no dimension holds filters|positions|grid|spread"),
        ("crossed", "it is not one grid of positions in the image"),
        ("both", "it does not return one tensor"),
        ("head", "it returns 2 for each image, without rows and columns"),
    ],
)
def test_an_output_that_is_not_a_feature_map_is_not_offered_and_says_why(name, why):
    found = listed(Attending(), (3, 3))
    assert set(shapes(found)) == {"embed", "keys"}
    with pytest.raises(LayerNotFound, match=f"'{name}' does not return feature maps: .*{why}"):
        find_layer(found, name)


def test_rows_that_belong_to_no_image_are_refused_in_one_sentence():
    class Mirrored(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(3, 4, 1), nn.Linear(4, 2)

        def forward(self, pixels):
            maps = self.conv(torch.cat([pixels, pixels.flip(3)]))
            return self.head(maps.mean((2, 3))).view(2, len(pixels), 2).mean(0)

    network = Mirrored()
    assert find_layer(listed(network, (4, 4)), 1).label == "conv"
    with pytest.raises(NotSupported, match="conv returns a batch of 6 for 3 images"):
        FilterAblation(network, 1).attribute(torch.rand(3, 3, 4, 4), target=0)
