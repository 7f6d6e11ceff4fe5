"""Are windows grouped, and patches ended, where that saves work?"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from interpret_kit.incremental.graph import winograd
from interpret_kit.incremental.graph.fuse_batch_norm import folded
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning
from interpret_kit.incremental.occlusion.cost_model import (
    choose,
    incremental_seconds,
    whole_seconds,
)
from interpret_kit.incremental.occlusion.patchable import PatchableMaps
from interpret_kit.incremental.tuning import SMALL_CALL

SIDE = 64
# Along one side: fifteen windows of 2 pixels and one of 30, all at least 2 pixels from the edge.
UNEQUAL = np.array([(2 + 4 * k, 4 + 4 * k) for k in range(15)] + [(10, 40)])
EQUAL = UNEQUAL[:15]


def convolutions(patchable):
    return [node for node in patchable.order if node.op == "conv2d"]


def patchable(*layers, tuning=SHIPPED):
    network = nn.Sequential(*layers).eval()
    traced = TracedNetwork(network, torch.rand(2, 3, SIDE, SIDE))
    return PatchableMaps(folded(traced, tuning=tuning))


@pytest.fixture(scope="module")
def two_convolutions():
    return patchable(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 2),
    )


def test_small_windows_are_not_computed_as_if_they_were_large(two_convolutions):
    first, second = convolutions(two_convolutions)
    choices = choose(two_convolutions, UNEQUAL, UNEQUAL)
    # A kernel of 3 reaches one cell further on either side: 2 pixels become 4 cells, then 6.
    small = [each for each in choices if len(each.rows.windows) == len(each.cols.windows) == 15]
    assert [each.rows.sizes[first] for each in small] == [4]
    assert [each.cols.sizes[second] for each in small] == [6]
    # Of the second convolution, windows x cells: all as large as the largest would be 16 x 34
    # along a side, 19 times as much as 15 x 6 + 34.
    cells = sum(
        len(each.rows.windows)
        * each.rows.sizes[second]
        * len(each.cols.windows)
        * each.cols.sizes[second]
        for each in choices
    )
    assert cells == (15 * 6 + 34) ** 2


def test_windows_of_one_size_stay_in_one_group(two_convolutions):
    (only,) = choose(two_convolutions, EQUAL, EQUAL)
    assert only.rows.windows.tolist() == only.cols.windows.tolist() == list(range(15))


def test_every_window_is_in_one_group(two_convolutions):
    choices = choose(two_convolutions, UNEQUAL, EQUAL)
    found = [(r, c) for each in choices for r in each.rows.windows for c in each.cols.windows]
    assert sorted(found) == [(r, c) for r in range(16) for c in range(15)]


def test_patches_end_where_a_window_affects_everything():
    # Behind the second convolution a patch is the whole feature map, and would be gathered, too.
    subject = patchable(
        nn.Conv2d(3, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 8, 127, padding=63, stride=16, groups=8),
        nn.Conv2d(8, 32, 3, padding=1),
        nn.Flatten(),
        nn.Linear(32 * 16, 2),
    )
    (choice,) = choose(subject, EQUAL, EQUAL)
    assert [node.op for node in subject.order[: choice.cut]] == ["pixels", "conv2d", "relu"]


def test_as_many_windows_go_together_as_their_largest_feature_map_has_room(two_convolutions):
    # Behind the patches only means are left, so that nothing but patches takes memory.
    # The largest, 32 channels of 64 x 64 in float32, takes 512 KiB: 20 of them are 10 MiB. There
    # are at least 8 windows, and at most 128.
    for mib, together in ((1, 8), (10, 20), (100, 128)):
        (choice,) = choose(two_convolutions, EQUAL, EQUAL, batch_bytes=mib * 2**20)
        assert choice.cut == len(two_convolutions.order)
        assert choice.batch == together


def test_the_pass_without_a_window_and_the_calls_of_small_batches_are_priced(two_convolutions):
    # A call costs a second, and nothing else does, so that only the image itself is in patches.
    calls = Tuning(multiply_add=0.0, byte=0.0, gathered_byte=0.0, call=1.0)
    choices = choose(two_convolutions, EQUAL, EQUAL, tuning=calls)
    # Four maps, and three calls more for the one in patches; 32 windows of 512 KiB are 16 MiB.
    batches = math.ceil(225 / 32)
    assert [each.calls for each in choices] == [batches * (4 + 3)]
    found = incremental_seconds(two_convolutions, choices, calls)
    assert found == pytest.approx((4 + 56) * (1.0 + SMALL_CALL), rel=1e-9)


def test_fewer_products_are_priced_in_ours_and_not_in_full_passes(monkeypatch):
    monkeypatch.setattr(winograd, "TRANSFORMS", 0)
    free = {"byte": 1e-30, "gathered_byte": 1e-30, "call": 1e-30}
    tuning = Tuning(**free, multiply_add=1.0, winograd_channels=1)
    subject = patchable(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 5, 3), tuning=tuning)
    everything = np.array([(0, SIDE)])
    (only,) = choose(subject, everything, everything, tuning=tuning)
    # 16 x 16 tiles of 36 products; 62 x 62 cells of the second map take as many.
    assert only.seconds == pytest.approx(256 * 36 * (3 * 8 + 8 * 5))
    whole = 64**2 * 9 * 3 * 8 + 62**2 * 9 * 8 * 5
    assert whole_seconds(subject, 1, tuning=tuning) == pytest.approx(whole)
