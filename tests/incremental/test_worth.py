"""Is the faster way chosen by work, and not by how many outputs there are?"""

import itertools
import math

import pytest
import torch
from networks_on_paper import plain
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from interpret_kit import FilterAblation
from interpret_kit.incremental import worth
from interpret_kit.incremental.ablation.backend import FullAblation, ablation_backend
from interpret_kit.incremental.tuning import BYTE, CALL, MULTIPLY_ADD
from interpret_kit.incremental.worth import ablating_pays, occluding_pays, work_of
from interpret_kit.models.loading.timm_registration import ConvNet


def narrow(depth=61, width=4):
    """Convolutions that do next to nothing, one behind the other."""
    channels = [3, *[width] * depth]
    layers = [
        layer
        for entering, leaving in itertools.pairwise(channels)
        for layer in (nn.Conv2d(entering, leaving, 3, padding=1), nn.ReLU())
    ]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))
    return nn.Sequential(*layers, *head).eval()


def wide():
    return ConvNet(channels=(48, 96, 192), fc=(), num_classes=5, size=64, global_pool=True).eval()


NARROW = [(str(2 * k), 1) for k in range(61)]
WIDE = [(f"conv{k}", 1) for k in (1, 2, 3)]


def image(side):
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def ablation_pays(network, points, example, pairs):
    return ablating_pays(work_of(network, example, points), points, pairs, batch=32)


def test_work_on_paper():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 12, 2))
    work = work_of(network.eval(), torch.rand(1, 3, 6, 5), [("0", 1), ("1", 1)])
    pixels, maps = 3 * 6 * 5, 4 * 4 * 3
    expected = [
        3 * 9 * maps * MULTIPLY_ADD + 4 * (pixels + maps) * BYTE,
        4 * (maps + maps) * BYTE,
        2 * maps * MULTIPLY_ADD + 4 * (maps + 2) * BYTE,
    ]
    assert work.rows == pytest.approx(expected)
    # The linear layer is the first that mixes the maps: nothing is left behind it.
    assert work.behind == {("0", 1): 3, ("1", 1): 3}
    # Seven rows in three batches, all operations; then the last two.
    assert work.seconds(7, 3) == pytest.approx(7 * sum(expected) + 3 * 3 * CALL)
    assert work.seconds(7, 3, 1) == pytest.approx(7 * sum(expected[1:]) + 3 * 2 * CALL)


def test_a_network_in_train_mode_is_priced_and_left_as_it_was():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    before = network[1].running_mean.clone()
    assert len(work_of(network, torch.rand(1, 3, 8, 8)).rows) == 2  # dropout does nothing
    assert torch.equal(network[1].running_mean, before)
    assert all(each.training for each in network.modules())


# 61 convolutions of 4 filters took 37.9 s incrementally and 14.6 s by full passes, of which 500
# ablations had been enough to be refused: a trace and its tries cost as much as 15000 ablations.
@pytest.mark.parametrize(
    ("make", "points", "side", "pairs", "way"),
    [
        (narrow, NARROW, 16, 244 * 8, False),
        (narrow, NARROW, 16, 244 * 2000, True),
        (wide, WIDE, 64, 336 * 128, True),
        (wide, WIDE, 64, 336 * 2, False),
    ],
)
def test_ablations_are_weighed_by_their_work(make, points, side, pairs, way):
    assert ablation_pays(make(), points, image(side), pairs) == way


def test_few_ablations_of_much_work_are_worth_more_than_many_of_little():
    few, many = 3000, 12000
    assert ablation_pays(wide(), WIDE, image(64), few)
    assert not ablation_pays(narrow(), NARROW, image(16), many)


def test_what_lies_behind_the_layer_counts():
    def enough(point):
        work = work_of(wide(), image(32), [point])
        return next(
            pairs
            for pairs in range(1000, 100_000, 1000)
            if ablating_pays(work, [point], pairs, batch=32)
        )

    # All of the last; of the second what follows the third convolution, and of the first that too.
    assert enough(("conv3", 1)) <= enough(("conv2", 1)) < enough(("conv1", 1))


def test_depthwise_convolutions_do_not_mix():
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 4, 1), nn.ReLU()
    )
    assert work_of(network.eval(), image(9), [("0", 1), ("2", 1)]).behind == {
        ("0", 1): 3,
        ("2", 1): 4,
    }


@pytest.mark.parametrize(
    ("make", "side", "windows", "way"),
    [
        (narrow, 16, 49, False),
        (wide, 64, 225 * 20, True),
        (wide, 64, 16, False),
        (narrow, 16, 49 * 1000, True),
    ],
)
def test_windows_are_weighed_by_their_work(make, side, windows, way):
    assert occluding_pays(work_of(make(), image(side)), windows, 32) == way


@pytest.mark.parametrize(("margin", "way"), [(math.inf, True), (0, False)])
def test_the_margin_decides_always_and_never(monkeypatch, margin, way):
    monkeypatch.setattr(worth, "MARGIN", margin)
    assert ablation_pays(narrow(), NARROW[:1], image(16), 1) == way
    assert occluding_pays(work_of(wide(), image(16)), 10**9, 1) == way


def test_each_caller_asks(monkeypatch):
    monkeypatch.setattr(
        "interpret_kit.incremental.ablation.backend.PartialAblation", lambda *_: "incremental"
    )
    thin = plain(narrow(), (16, 16))
    thick = plain(wide(), (64, 64))
    assert isinstance(ablation_backend(thin, NARROW, 32, 1952), FullAblation)
    assert ablation_backend(thick, WIDE, 32, 1952) == "incremental"

    def noted(network, *_):
        assert network is thick.network
        raise RuntimeError("incremental")

    monkeypatch.setattr("interpret_kit.incremental.ablation.engine.IncrementalAblation", noted)
    FilterAblation(thin, "last").attribute(image(16).expand(40, -1, -1, -1), target=0)
    with pytest.raises(RuntimeError, match="incremental"):
        FilterAblation(thick, "last").attribute(image(64).expand(40, -1, -1, -1), target=0)


@pytest.mark.parametrize(
    ("layer", "inputs"),
    [
        (nn.Conv2d(6, 4, 3, stride=2, groups=2), (2, 6, 9, 7)),
        (nn.Conv1d(3, 5, 2), (2, 3, 8)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (2, 4, 5, 3)),
        (nn.Linear(5, 7), (3, 5)),
        (nn.Linear(5, 7, bias=False), (2, 4, 5)),
        (nn.Bilinear(3, 4, 2), None),
    ],
)
def test_multiply_adds_are_half_of_torchs_flops(layer, inputs):
    from torch.utils.flop_counter import FlopCounterMode

    given = [torch.rand(inputs)] if inputs else [torch.rand(2, 3), torch.rand(2, 4)]
    counted = []

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            outputs = func(*args, **(kwargs or {}))
            counted.append(worth._multiply_adds(func._schema.name, args, outputs))
            return outputs

    with torch.no_grad(), FlopCounterMode(display=False) as flops:
        layer(*given)
    with torch.no_grad(), Counting():
        layer(*given)
    assert sum(counted) == flops.get_total_flops() / 2
