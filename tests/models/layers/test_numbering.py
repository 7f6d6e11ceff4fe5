"""Which layers have a number? The order is read off each network's source."""

import pytest
import timm
import torch
import torchvision
from networks_on_paper import ResidualNet, drawn
from torch import nn

from interpret_kit.models.layers.find import catalogue
from interpret_kit.models.layers.selectors import find_layers


def numbered(network, size, images=2):
    layers = find_layers(catalogue(network.eval(), torch.rand(images, 3, *size)), "all")
    assert [each.number for each in layers] == list(range(1, len(layers) + 1))
    return [each.label for each in layers]


def test_a_vit_has_its_patch_embedding_and_then_its_blocks():
    settings = {"img_size": (32, 48), "depth": 3, "embed_dim": 24, "num_heads": 2}
    network = timm.create_model("vit_tiny_patch16_224", num_classes=3, **settings)
    assert numbered(network, (32, 48)) == ["patch_embed.proj", "blocks.0", "blocks.1", "blocks.2"]
    layer = find_layers(catalogue(network, torch.rand(2, 3, 32, 48)), "last")[0]
    assert (layer.filters, layer.rows, layer.cols) == (24, 2, 3)


@pytest.mark.parametrize(
    ("name", "beside"),
    [("deit_tiny_distilled_patch16_224", 2), ("vit_small_patch14_reg4_dinov2", 5)],
)
def test_class_distillation_and_register_tokens_are_not_on_the_grid(name, beside):
    settings = {"img_size": 56, "depth": 1, "embed_dim": 24, "num_heads": 2}
    network = timm.create_model(name, num_classes=3, **settings)
    layers = catalogue(network.eval(), torch.rand(2, 3, 56, 56))
    block = find_layers(layers, "last")[0]
    cells = 56 // network.patch_embed.patch_size[0]
    assert (block.label, block.rows, block.cols) == ("blocks.0", cells, cells)
    tokens = torch.rand(2, beside + cells**2, 24)
    maps = block.layout.maps(tokens)
    assert torch.equal(maps[:, :, 1, 0], tokens[:, beside + cells])


def test_the_encoder_layers_of_torchvision_are_blocks():
    network = torchvision.models.VisionTransformer(32, 16, 2, 2, 16, 32, num_classes=3)
    layers = [f"encoder.layers.encoder_layer_{k}" for k in range(2)]
    assert numbered(network, (32, 32)) == ["conv_proj", *layers]


def test_an_mlp_mixer_has_blocks_as_well():
    settings = {"img_size": 32, "num_blocks": 2, "embed_dim": 16, "patch_size": 16}
    network = timm.models.mlp_mixer.MlpMixer(num_classes=3, **settings)
    assert numbered(network, (32, 32)) == ["stem.proj", "blocks.0", "blocks.1"]


def test_convolutions_keep_their_numbers_where_they_mix_the_positions():
    settings = {"depths": (1, 1, 1, 1), "dims": (8, 8, 8, 8)}
    network = timm.create_model("convnext_atto", num_classes=3, conv_mlp=False, **settings)
    blocks = [f"stages.{k}.blocks.0.conv_dw" for k in range(4)]
    downs = [f"stages.{k}.downsample.1" for k in range(1, 4)]
    between = [each for pair in zip(downs, blocks[1:], strict=True) for each in pair]
    assert numbered(network, (64, 64)) == ["stem.0", blocks[0], *between]
    assert numbered(ResidualNet(), (8, 8)) == ["conv1", "conv2"]


class Attention(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.qkv = nn.LayerNorm(width), nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, tokens):
        query, key, value = self.qkv(self.norm(tokens)).chunk(3, -1)
        return self.out((query @ key.transpose(1, 2)).softmax(-1) @ value)


def mlp(width):
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 9), nn.GELU(), nn.Linear(9, width))


class Loop(nn.Module):
    """The shortcuts are added in one loop over attentions and MLPs; patches are cut by a view."""

    def __init__(self, depth=2, stem=False):
        super().__init__()
        self.stem = nn.Conv2d(3, 3, 1) if stem else nn.Identity()
        self.embed = nn.Sequential(nn.LayerNorm(12), nn.Linear(12, 6), nn.LayerNorm(6))
        self.layers = nn.ModuleList(nn.ModuleList([Attention(6), mlp(6)]) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(6), nn.Linear(6, 2)
        drawn(self, seed=2)

    def forward(self, pixels):
        images, _, height, width = pixels.shape
        patches = self.stem(pixels).view(images, 3, height // 2, 2, width // 2, 2)
        tokens = self.embed(patches.permute(0, 2, 4, 3, 5, 1).reshape(images, -1, 12))
        for attention, after in self.layers:
            tokens = attention(tokens) + tokens
            tokens = after(tokens) + tokens
        return self.head(self.norm(tokens).mean(1))


def test_attentions_and_mlps_are_layers_where_no_module_is_the_block():
    parts = ["layers.0.0", "layers.0.1", "layers.1.0", "layers.1.1"]
    assert numbered(Loop(), (4, 6)) == ["embed", *parts]
    assert numbered(Loop(), (4, 6), images=1) == ["embed", *parts]
    assert numbered(Loop(stem=True), (4, 6)) == ["stem", *parts]


def test_one_attention_after_convolutions_takes_no_number_from_them():
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv1, self.conv2 = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3)
            self.attention, self.head = Attention(6), nn.Linear(6, 2)

        def forward(self, pixels):
            tokens = self.conv2(self.conv1(pixels).relu()).flatten(2).transpose(1, 2)
            return self.head((tokens + self.attention(tokens)).mean(1))

    assert numbered(Late(), (8, 9)) == ["conv1", "conv2"]
    layers = catalogue(Late().eval(), torch.rand(2, 3, 8, 9))
    layer = find_layers(layers, "attention")[0]
    assert (layer.number, layer.filters, layer.rows, layer.cols) == (None, 6, 4, 5)


def test_a_gate_of_linear_layers_is_not_a_block():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.squeeze, self.excite = nn.Linear(4, 2), nn.Linear(2, 4)

        def forward(self, pixels):
            maps = self.conv(pixels)
            gate = self.excite(self.squeeze(maps.mean((2, 3))).relu()).sigmoid()
            return (maps * gate[:, :, None, None] + maps).mean((2, 3))

    assert numbered(Gated(), (6, 6)) == ["conv"]
