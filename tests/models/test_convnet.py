"""Is the network the one that was asked for? Sizes and parameters worked out on paper."""

import pytest
import timm
import torch
from float_rules import assert_near, in_double, terms_of
from torch import nn

from interpret_kit.errors import DoesNotFit, UsageError, WeightsUnavailable
from interpret_kit.models.conv_block import ConvBlock, make_blocks, sizes
from interpret_kit.models.loading.load import create
from interpret_kit.models.loading.timm_registration import ConvNet


def names(network):
    return [name for name, _ in network.named_children()]


def parameters(network):
    return sum(each.numel() for each in network.parameters())


def test_parts_stand_in_the_order_in_which_data_meets_them():
    network = ConvNet(channels=(4, 8), fc=(16,), dropout=0.5, size=8)
    assert names(network) == [
        *("conv1", "norm1", "act1", "pool1"),
        *("conv2", "norm2", "act2", "pool2"),
        *("flatten", "drop1", "fc1", "fc_act1", "drop", "head"),
    ]


def test_what_is_not_asked_for_is_not_there():
    network = ConvNet(channels=(4,), pool=0, batch_norm=False, fc=(), size=8)
    assert names(network) == ["conv1", "act1", "flatten", "head"]


def test_global_pooling_hands_on_the_mean_of_each_map():
    network = ConvNet(channels=(4, 8), global_pool=True, fc=(), num_classes=3, size=(16, 8)).eval()
    inputs = torch.rand(2, 3, 16, 8, generator=torch.Generator().manual_seed(0))
    double, maps = in_double(network), inputs.double()
    for name, part in double.named_children():
        if name == "global_pool":
            break
        maps = part(maps)
    assert maps.shape == (2, 8, 4, 2)
    means = maps.detach().numpy().sum((2, 3)) / 8
    by_hand = means @ double.head.weight.detach().numpy().T + double.head.bias.detach().numpy()
    assert parameters(network.head) == 8 * 3 + 3
    assert_near(network(inputs).detach(), by_hand, terms=terms_of(network, inputs))


def test_sizes_are_those_worked_out_on_paper():
    # 32 + 2*2 - 5 = 31, /2 -> 16 cells; pool 3 step 2: (16-3)/2 -> 7; then 7 - 3 = 4 + 1 -> 5.
    # 20 + 2*2 - 5 = 19, /2 -> 10 cells; pool 3 step 2: (10-3)/2 -> 4; then 4 - 3 = 1 + 1 -> 2.
    blocks = make_blocks(
        (6, 9), kernel=(5, 3), stride=(2, 1), padding=(2, 0), pool=(3, 0), pool_stride=(2, 1)
    )
    steps = [(step.name, step.cells) for step in sizes(blocks, (32, 20))]
    assert steps == [
        ("input", (32, 20)),
        ("conv1", (16, 10)),
        ("pool1", (7, 4)),
        ("conv2", (5, 2)),
    ]


@pytest.mark.parametrize("size", [(32, 20), (20, 32), 31])
@pytest.mark.parametrize("kernel", [(5, 3), (2, 4)])
@pytest.mark.parametrize("pool", [(3, 0), (2, 2)])
def test_sizes_on_paper_are_those_of_the_modules(size, kernel, pool):
    network = ConvNet(channels=(6, 9), kernel=kernel, stride=(2, 1), pool=pool, size=size)
    maps = torch.zeros(1, 3, *network.size)
    by_name = {step.name: step.cells for step in sizes(network.blocks, network.size)}
    for name, part in network.named_children():
        maps = part(maps)
        if name in by_name:
            assert tuple(maps.shape[2:]) == by_name[name]
    assert maps.shape == (1, 33)


def test_parameters_are_those_counted_on_paper():
    # conv1 3*4*3*3 = 108, norm1 2*4 = 8; conv2 4*8*5*5 + 8 = 808, no norm;
    # 2x2 cells of 8 filters: fc1 32*10 + 10 = 330; head 10*5 + 5 = 55.
    network = ConvNet(
        channels=(4, 8), kernel=(3, 5), batch_norm=(True, False), fc=(10,), num_classes=5, size=8
    )
    assert parameters(network) == 108 + 8 + 808 + 330 + 55


def test_demo_network_has_the_parameters_counted_on_paper():
    # 27*16 + 32; 144*32 + 64; 288*64 + 128; 576*64 + 128; 576*64 + 128; 256*128 + 128; 128*33 + 33
    expected = 464 + 4672 + 18560 + 36992 + 36992 + 32896 + 4257
    assert parameters(ConvNet()) == expected


def test_single_values_hold_for_all_convolutions():
    one = ConvNet(channels=(4, 8), kernel=5, stride=2, padding=1, activation="tanh", pool=0)
    each = ConvNet(
        channels=[4, 8],
        kernel=[5, 5],
        stride=[2, 2],
        padding=[1, 1],
        activation=["tanh", "tanh"],
        pool=[0, 0],
    )
    assert str(one) == str(each)
    assert one.blocks == each.blocks


def test_activations_are_modules_of_their_own_and_not_in_place():
    network = ConvNet(channels=(4, 8), activation=("gelu", "relu"), fc=(6,), size=8)
    assert isinstance(network.act1, nn.GELU)
    assert isinstance(network.act2, nn.ReLU)
    assert isinstance(network.fc_act1, nn.ReLU)
    kept = []
    handle = network.norm2.register_forward_hook(lambda _m, _i, output: kept.append(output))
    network(torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)))
    handle.remove()
    assert (kept[0] < 0).any()  # what the hook saw was not overwritten by the activation


def test_forward_is_the_parts_one_after_the_other():
    network = ConvNet(channels=(2,), batch_norm=False, fc=(), num_classes=1, size=2, in_chans=1)
    with torch.no_grad():
        network.conv1.weight.zero_()
        network.conv1.weight[0, 0, 1, 1] = 1.0  # filter 1 passes the pixel on
        network.conv1.weight[1, 0, 1, 1] = -1.0  # filter 2 turns its sign
        network.conv1.bias.zero_()
        network.head.weight.copy_(torch.tensor([[10.0, 1.0]]))
        network.head.bias.fill_(0.5)
        logits = network(torch.tensor([[[[1.0, -3.0], [2.0, 0.0]]]]))
    assert logits.tolist() == [[10 * 2 + 3 + 0.5]]  # the largest of each filter's map


def test_timm_makes_it_by_its_name():
    network = timm.create_model(
        "ikit_convnet",
        channels=[32, 64, 128, 128, 128],
        kernel=3,
        pool=2,
        fc=[256],
        num_classes=7,
        size=[64, 48],
    )
    assert isinstance(network, ConvNet)
    assert network(torch.zeros(2, 3, 64, 48)).shape == (2, 7)
    assert network.num_classes == 7
    assert network.num_features == 256
    assert isinstance(create("ikit_convnet", channels=(4,)), ConvNet)


def test_timm_learns_its_input_size():
    settings = timm.data.resolve_model_data_config(ConvNet(channels=(4,), size=(12, 10)))
    assert settings["input_size"] == (3, 12, 10)
    assert settings["crop_pct"] == 1.0


def test_head_can_be_replaced_or_left_out():
    network = ConvNet(channels=(4,), fc=(6,), size=8, num_classes=3)
    network.reset_classifier(9)
    assert network.get_classifier() is network.head
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 9)
    assert names(network)[-1] == "head"
    network.reset_classifier(0)
    assert network(torch.zeros(1, 3, 8, 8)).shape == (1, 6)


def test_export_traces_it():
    network = ConvNet(channels=(4, 8), fc=(6,), dropout=0.2, size=(12, 10)).eval()
    pixels = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))
    exported = torch.export.export(network, (pixels,)).module()
    torch.testing.assert_close(exported(pixels), network(pixels))


def test_no_pixels_left_is_refused_with_all_sizes():
    with pytest.raises(DoesNotFit) as error:
        ConvNet(channels=(4, 4, 4), kernel=3, padding=0, size=(16, 12))
    assert str(error.value).startswith(
        "conv3 (kernel 3, padding 0) leaves no pixels: input 16x12 -> conv1 14x10 -> pool1 7x5 "
        "-> conv2 5x3 -> pool2 2x1 -> nothing; use fewer layers"
    )


def test_a_pooling_window_larger_than_the_map_is_refused():
    with pytest.raises(DoesNotFit, match=r"pool2 \(window 9\) leaves no pixels: .*conv2 8x8 ->"):
        ConvNet(channels=(4, 4), pool=(2, 9), size=16)


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        ({"channels": ()}, "`channels` is empty: at least one convolution"),
        ({"channels": (4, 0)}, "`channels` is 0; it must be an integer of at least 1"),
        ({"channels": (4,), "kernel": 0}, "`kernel` is 0"),
        ({"channels": (4,), "kernel": 2.5}, "`kernel` is 2.5"),
        ({"channels": (4,), "stride": -1}, "`stride` is -1"),
        ({"channels": (4,), "padding": -1}, "`padding` is -1; it must be an integer of at least 0"),
        ({"channels": (4,), "pool": -2}, "`pool` is -2"),
        (
            {"channels": (4,), "pool_stride": 0},
            "`pool_stride` is 0; it must be an integer of at least 1",
        ),
        ({"channels": (4, 8), "kernel": (3, 3, 3)}, "`kernel` has 3 entries for 2 convolutions"),
        ({"channels": (4,), "activation": "rleu"}, "`activation` is 'rleu'; similar names: relu"),
        ({"channels": (4,), "fc": (8, 0)}, "`fc` is 0"),
        (
            {"channels": (4,), "dropout": 1.0},
            "`dropout` is 1.0; it must be at least 0 and below 1",
        ),
        ({"channels": (4,), "num_classes": -1}, "`num_classes` is -1"),
        ({"channels": (4,), "size": (8, 8, 3)}, "size .* has 3 entries: height and width"),
        ({"channels": (4,), "size": 0}, "`size` is 0"),
    ],
)
def test_refuses_what_cannot_be_built(choices, message):
    with pytest.raises(DoesNotFit, match=message):
        ConvNet(**choices)


def test_an_unknown_choice_is_refused_with_close_names():
    with pytest.raises(UsageError, match="no argument 'kernels'; similar names: kernel"):
        timm.create_model("ikit_convnet", kernels=3)


def test_there_are_no_pretrained_weights():
    with pytest.raises(WeightsUnavailable, match="train it: ikit train"):
        timm.create_model("ikit_convnet", pretrained=True)


def test_padding_keeps_the_size_by_default():
    assert ConvBlock(8, kernel=5).convolved((10, 7)) == (10, 7)
    assert ConvBlock(8, kernel=5, padding=0).convolved((10, 7)) == (6, 3)
    assert ConvBlock(8, pool=3).pooled((10, 7)) == (3, 2)
    assert ConvBlock(8, pool=0).pooled((10, 7)) == (10, 7)
