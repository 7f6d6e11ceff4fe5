import gc
import weakref

import numpy as np
import pytest
import torch
from float_rules import assert_exact, assert_near
from hypothesis import given, settings
from hypothesis import strategies as st
from incremental_answers import (
    answered_incrementally,
    answered_whole,
    examined,
    noise_image,
    one_aside,
    planned,
    spans,
    subject,
)
from incremental_networks import NETWORKS, SIZE, made
from networks_on_paper import drawn
from torch import nn
from torch.nn import functional as F

from interpret_kit.incremental.graph import winograd
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.incremental.graph.traced import TracedNetwork
from interpret_kit.incremental.measured.choices import Tuning
from interpret_kit.incremental.occlusion import engine as incremental
from interpret_kit.incremental.occlusion.engine import IncrementalNetwork
from interpret_kit.incremental.occlusion.patch_buffer import Buffer, CellRange

every_network = pytest.mark.parametrize("name", NETWORKS)

# torch says this of even kernels; it is as true of the network itself.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")


@st.composite
def asked(draw):
    """Windows of 1 to 60 pixels, moved by 1 to 60, and a way to go about them."""
    window = draw(st.tuples(st.integers(1, 60), st.integers(1, 60)))
    stride = draw(st.tuples(*(st.integers(1, side) for side in window)))
    way = draw(st.sampled_from(["planned", "planned", "chosen"]))
    return {
        "windows": spans(SIZE, window, stride, most=3),
        "how": None
        if way == "chosen"
        else {
            "cut": draw(st.one_of(st.just(-1), st.integers(1, 3))),
            "groups": draw(st.integers(1, 3)),
            "batch": draw(st.integers(1, 20)),
        },
    }


def error_of(found, network, windows, seed=0):
    """How far an incremental network's answers are from those of single full passes."""
    seen, fill = noise_image(seed).double(), noise_image(seed + 100)[0].double()
    wanted = answered_whole(network, *windows, seen, fill)
    return float((answered_incrementally(found, seen, fill) - wanted).abs().max())


@every_network
@settings(max_examples=3, deadline=None)
@given(asked=asked(), seed=st.integers(0, 9))
def test_windows_of_any_size_get_the_outputs_of_single_forward_passes(name, asked, seed):
    under, windows = subject(name), asked["windows"]
    if asked["how"] is None:
        found = IncrementalNetwork(under.traced, *windows)
    else:
        found = planned(under.traced, windows, **asked["how"])
    assert error_of(found, under.network, windows, seed) <= under.allowed


@pytest.mark.parametrize("name", ["residual", "channels last", "padded unevenly"])
def test_all_windows_of_a_grid_are_answered_with_any_plan(name):
    under, windows = subject(name), spans(SIZE, (17, 13), (11, 9))
    count = len(IncrementalNetwork(under.traced, *windows).patchable.order)
    seen, fill = noise_image().double(), noise_image(100)[0].double()
    wanted = answered_whole(under.network, *windows, seen, fill)
    ways = [{"cut": cut} for cut in range(1, count + 1)] + [{"groups": k} for k in range(1, 6)]
    for way in ways:
        found = answered_incrementally(planned(under.traced, windows, **way), seen, fill)
        assert float((found - wanted).abs().max()) <= under.allowed, way


# --- the same comparison must see a cell that is taken from the next place ---


def _one_further(monkeypatch):
    wider = CellRange.wider

    def shifted(self, stride, before, reach):
        return wider(self, stride, before - 1, reach)

    monkeypatch.setattr(CellRange, "wider", shifted)


@every_network
def test_patches_that_are_believed_one_cell_aside_are_caught(name, monkeypatch):
    under, windows = subject(name), spans(SIZE, (16, 16), (16, 16))
    one_aside(monkeypatch)
    assert (
        not error_of(planned(under.traced, windows), under.network, windows) <= 10 * under.allowed
    )


def _slides(name):
    patches = planned(subject(name).traced, spans(SIZE, (16, 16), (16, 16))).plans[0].patches
    return any(node.op in {"conv2d", "max_pool2d", "avg_pool2d"} for node in patches)


@every_network
def test_kernels_that_read_one_cell_further_are_caught(name, monkeypatch):
    if not _slides(name):
        assert name == "reflected"  # whole maps from the start
        return
    under, windows = subject(name), spans(SIZE, (16, 16), (16, 16))
    _one_further(monkeypatch)
    assert (
        not error_of(planned(under.traced, windows), under.network, windows) <= 10 * under.allowed
    )


# --- which feature maps are in patches ---


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("residual", {"mean", "linear"}),
        ("average, ceil", {"mean", "linear"}),
        ("channels last", {"mean", "linear"}),
        ("padded unevenly", {"mean", "linear"}),
        ("padded pixels", {"mean", "linear"}),
        ("slopes", {"mean", "linear"}),
        ("large kernel", {"view", "linear"}),
        ("in place among readers", {"mean", "linear"}),
        ("norm of two kinds", {"mean", "linear"}),
    ],
)
def test_nothing_but_the_end_is_run_on_whole_maps(name, whole):
    patchable = planned(subject(name).traced, spans(SIZE, (9, 9), (9, 9))).patchable
    after = patchable.network.after(patchable.network.graph.pixels)
    assert {node.op for node in after if node not in patchable.order} == whole


def test_means_are_updated_where_their_maps_are_in_patches():
    found = planned(subject("means of several").traced, spans(SIZE, (9, 9), (9, 9)))
    for each in found.plans:
        assert [node.op for node in each.pooled] == ["mean", "adaptive_avg_pool2d", "mean"]
        assert each.pasted == ()


# --- other images and numbers ---


def test_double_precision_is_kept():
    network, seen = made("residual").double(), noise_image().double()
    windows, fill = spans(SIZE, (17, 13), (11, 9), most=4), noise_image(100)[0].double()
    found = answered_incrementally(planned(TracedNetwork(network, seen), windows), seen, fill)
    wanted = answered_whole(network, *windows, seen, fill)
    assert found.dtype == torch.float64
    assert_exact(found, wanted)


@pytest.mark.parametrize("name", ["residual", "means of several", "channels last", "dilation"])
def test_single_precision_is_as_near_to_the_truth_as_full_forward_passes(name):
    under, network, seen, fill = subject(name), made(name), noise_image(), noise_image(100)[0]
    windows = spans(SIZE, (17, 13), (11, 9), most=4)
    truth = answered_whole(under.network, *windows, seen.double(), fill.double())
    theirs = answered_whole(network, *windows, seen, fill)
    traced = TracedNetwork(network, seen)
    for found in (IncrementalNetwork(traced, *windows), planned(traced, windows)):
        ours = answered_incrementally(found, seen, fill)
        assert_near(ours, truth, theirs=theirs, terms=under.scale)


# Each kernel for all that it can compute, and rates by which everything, or nothing, is in patches.
TUNINGS = {
    "other kernels": Tuning(convolution_rows=1, covering_rows=1, winograd_channels=1),
    "dear calls": Tuning(call=1.0),
    "dear gathers": Tuning(gathered_byte=1.0, winograd_channels=1),
    "dear products": Tuning(multiply_add=1.0),
}


@pytest.mark.parametrize("tuning", TUNINGS.values(), ids=TUNINGS)
@pytest.mark.parametrize("name", ["residual", "large kernel"])
def test_any_tuning_is_as_near_to_the_truth(name, tuning, monkeypatch):
    monkeypatch.setattr(winograd, "FEWEST_TILES", 1)
    monkeypatch.setattr(winograd, "TRANSFORMS", 0)
    under, seen, fill = subject(name), noise_image(), noise_image(100)[0]
    windows = spans(SIZE, (17, 13), (11, 9), most=3)
    truth = answered_whole(under.network, *windows, seen.double(), fill.double())
    network = made(name)
    theirs = answered_whole(network, *windows, seen, fill)
    found = IncrementalNetwork(TracedNetwork(network, seen), *windows, tuning=tuning)
    ours = answered_incrementally(found, seen, fill)
    assert_near(ours, truth, theirs=theirs, terms=under.scale)


def test_plans_follow_the_rates():
    windows = spans(SIZE, (17, 13), (11, 9))
    groups = {
        name: len(IncrementalNetwork(subject("residual").traced, *windows, tuning=tuning).plans)
        for name, tuning in TUNINGS.items()
    }
    assert groups["dear calls"] == 1 < groups["dear products"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_falls_back_to_full_forward_passes(dtype):
    with pytest.raises(Untraceable, match=f"it computes in {dtype}"):
        TracedNetwork(made("dilation").to(dtype), noise_image().to(dtype))


def test_gray_images_of_a_few_pixels_and_one_logit():
    network = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(9, 1)
    )
    seen = noise_image(channels=1, size=(2, 7)).double()
    under, windows = examined(drawn(network).double(), seen), spans((2, 7), (1, 2), (1, 1))
    fill = torch.full((1, 2, 7), 2.5).double()
    found = answered_incrementally(planned(under.traced, windows), seen, fill)
    wanted = answered_whole(network, *windows, seen, fill)
    assert found.shape == (12, 1)  # 2 rows and 6 columns of windows
    assert (found - wanted).abs().max() <= under.allowed


class Odd(nn.Module):
    def __init__(self, forward):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.body = forward

    def forward(self, x):
        return self.body(x, self.conv)


ODD = {
    "made for each row": lambda x, conv: (
        torch.cat([conv(x), torch.zeros(len(x), 2, 14, 10)], 1).relu().mean((2, 3))
    ),
    "in place on its input": lambda x, conv: conv(x.mul_(0.5).add_(0.3)).relu().mean((2, 3)),
    "map for an answer": lambda x, conv: conv(x),
    "vector for an answer": lambda x, conv: conv(x).relu().mean((1, 2, 3)),
    "unused mean of all": lambda x, conv: (conv(x).mean(), conv(x).mean((2, 3)))[1],
    "chosen by sign": lambda x, conv: (
        torch.where(conv(x) > 0, conv(x), x[:, :1, 1:-1, 1:-1]).relu().mean((2, 3))
    ),
    "sides exchanged": lambda x, conv: conv(conv(x)[:, :3].permute(0, 1, 3, 2)).relu().mean((2, 3)),
    "rows of two": lambda x, conv: (
        conv(x).reshape(2 * len(x), 2, 14, 10).relu().mean((2, 3)).reshape(len(x), 4)
    ),
    "local norm": lambda x, conv: F.local_response_norm(conv(x), 3).relu().mean((2, 3)),
    "shifted": lambda x, conv: conv(x).roll((1, 2), (2, 3)).relu().mean((2, 3)),
    "turned up": lambda x, conv: F.conv_transpose2d(conv(x), conv.weight).relu().mean((2, 3)),
    "one direction at a time": lambda x, conv: conv(x).relu().mean(3).amax(2),
    "mean in double": lambda x, conv: conv(x).relu().mean((2, 3), dtype=torch.float64),
}


@pytest.mark.parametrize("name", ODD)
def test_unusual_networks_get_the_right_answers_too(name):
    size = (16, 12)
    windows = spans(size, (5, 4), (3, 4))
    seen, fill = noise_image(size=size).double(), noise_image(1, size=size)[0].double()
    network = drawn(Odd(ODD[name])).double()
    under = examined(network, seen)
    wanted = answered_whole(network, *windows, seen, fill)
    for way in ({"cut": 1}, {}):
        found = answered_incrementally(planned(under.traced, windows, **way), seen, fill)
        assert found.shape == wanted.shape
        assert (found - wanted).abs().max() <= under.allowed


def test_images_of_one_row_are_refused_in_one_line():
    network = nn.Sequential(nn.Conv2d(3, 2, (1, 3)), nn.Flatten(), nn.Linear(8, 2)).eval()
    traced = TracedNetwork(network, torch.zeros(1, 3, 1, 6))
    with pytest.raises(Untraceable, match="one row or column of pixels"):
        IncrementalNetwork(traced, *spans((1, 6), (1, 2), (1, 2)))


# --- plans and memory ---


def test_plans_are_the_same_each_time():
    under, windows = subject("residual"), spans(SIZE, (17, 13), (4, 5))
    one, other = (IncrementalNetwork(under.traced, *windows) for _ in range(2))
    assert len(one.plans) == len(other.plans)
    for mine, theirs in zip(one.plans, other.plans, strict=True):
        assert (len(mine.patches), mine.batch) == (len(theirs.patches), theirs.batch)
        for along in ("rows", "cols"):
            pair = getattr(mine, along), getattr(theirs, along)
            assert pair[0].windows.tolist() == pair[1].windows.tolist()
            assert list(pair[0].sizes.values()) == list(pair[1].sizes.values())


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_batches_hold_every_window_once_and_no_more_than_asked(batch):
    found = planned(subject("dilation").traced, spans(SIZE, (9, 9), (4, 5)), batch=batch)
    met = []
    for each in found.plans:
        for rows, cols in each.batches:
            assert 0 < len(rows) <= batch
            met += zip(each.rows.windows[rows], each.cols.windows[cols], strict=True)
    count = len(found.windows[0]), len(found.windows[1])
    assert sorted(met) == [(r, c) for r in range(count[0]) for c in range(count[1])]


def peaks(monkeypatch, windows, images=1):
    """The most bytes that buffers hold at once, for each of some images; none may stay."""
    live, most = [0], [0]

    class Counted(Buffer):
        def __init__(self, stored, room=0, indices=None):
            super().__init__(stored, room, indices)
            live[0] += self.rows.nbytes
            most[0] = max(most[0], live[0])
            weakref.finalize(self, self.forget, self.rows.nbytes)

        @staticmethod
        def forget(size):
            live[0] -= size

    found, each = planned(subject("dilation").traced, windows, groups=1), []
    with monkeypatch.context() as patch:
        patch.setattr(incremental, "Buffer", Counted)
        for k in range(images):
            most[0] = 0
            answered_incrementally(found, noise_image(k).double(), noise_image(k + 1)[0].double())
            each.append(most[0])
    gc.collect()
    assert live == [0]
    return each


def test_memory_does_not_grow_with_windows_or_images(monkeypatch):
    # Windows in the middle, so that all reach equally many cells.
    some = np.array([(20 + k, 29 + k) for k in range(5)])
    more = np.array([(15 + k, 24 + k) for k in range(15)])
    few, many = peaks(monkeypatch, (some, some), 3), peaks(monkeypatch, (more, more))
    assert len(set(few)) == 1
    assert few[0] > 0
    assert many == few[:1]


def test_indices_are_kept_for_the_next_image_while_there_is_room(monkeypatch):
    under, windows = subject("residual"), spans(SIZE, (9, 9), (5, 7))
    asked = [(noise_image(k).double(), noise_image(k + 1)[0].double()) for k in range(2)]
    wanted = [
        answered_incrementally(IncrementalNetwork(under.traced, *windows), *each) for each in asked
    ]
    made = []
    index = Buffer._index
    monkeypatch.setattr(Buffer, "_index", lambda *given: made.append(1) or index(*given))
    for room, again in ((2**30, 0), (0, 1)):
        network, counts = IncrementalNetwork(under.traced, *windows, indices_bytes=room), []
        for each, numbers in zip(asked, wanted, strict=True):
            made.clear()
            assert torch.equal(answered_incrementally(network, *each), numbers)
            counts.append(len(made))
        assert counts[0] > 0
        assert counts[1] == again * counts[0]
