import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interpret_kit.analyses.inputs.fills import fill_argument, fill_image
from interpret_kit.errors import DoesNotFit, UsageError
from interpret_kit.incremental.occlusion.grid import WindowGrid, as_pair, grid_for, sides_argument

few = settings(max_examples=60, derandomize=True, deadline=None)


def test_windows_at_the_edge_are_cut_off():
    # 7 px, window 3, stride 2: 0-3, 2-5, 4-7. 5 px, window 2, stride 2: 0-2, 2-4, 4-5 (cut).
    grid = WindowGrid((7, 5), (3, 2), (2, 2))
    assert grid.shape == (3, 3)
    assert grid.boxes().tolist() == [
        [0, 0, 3, 2],
        [0, 2, 3, 4],
        [0, 4, 3, 5],
        [2, 0, 5, 2],
        [2, 2, 5, 4],
        [2, 4, 5, 5],
        [4, 0, 7, 2],
        [4, 2, 7, 4],
        [4, 4, 7, 5],
    ]


def test_a_pixel_is_given_the_mean_over_the_windows_that_cover_it():
    # One row of 5 px, window 3, stride 1: pixel 0 lies under the first window only, pixel 1
    # under two, pixel 2 under all three.
    grid = WindowGrid((1, 5), (1, 3), (1, 1))
    spread = grid.spread(np.array([[[6.0, 3.0, 0.0]]]))
    np.testing.assert_allclose(spread, [[[6, 4.5, 3, 1.5, 0]]])


@st.composite
def grids(draw):
    size = draw(st.tuples(st.integers(1, 13), st.integers(1, 13)))
    window = tuple(draw(st.integers(1, side)) for side in size)
    stride = tuple(draw(st.integers(1, side)) for side in window)
    return WindowGrid(size, window, stride)


def naive_starts(side, window, stride):
    """Move on until the window reaches the edge."""
    starts = [0]
    while starts[-1] + window < side:
        starts.append(starts[-1] + stride)
    return starts


@few
@given(grids(), st.integers(0, 2**32 - 1))
def test_a_grid_is_what_a_naive_loop_makes(grid, seed):
    tops, lefts = (
        naive_starts(*each) for each in zip(grid.size, grid.window, grid.stride, strict=True)
    )
    values = np.random.default_rng(seed).normal(size=(2, len(tops), len(lefts)))
    total, covering = np.zeros((2, *grid.size)), np.zeros(grid.size)
    masks = []
    for row, top in enumerate(tops):
        for col, left in enumerate(lefts):
            mask = np.zeros(grid.size, bool)
            mask[top : top + grid.window[0], left : left + grid.window[1]] = True
            total += values[:, row, col, None, None] * mask
            covering += mask
            masks.append(mask)
    assert grid.shape == (len(tops), len(lefts))
    np.testing.assert_array_equal(grid.masks(), masks)
    assert (covering > 0).all(), "every pixel is covered"
    np.testing.assert_allclose(grid.spread(values), total / covering, rtol=1e-5, atol=1e-6)
    for mask, (y0, x0, y1, x1) in zip(grid.masks(), grid.boxes(), strict=True):
        assert mask[y0:y1, x0:x1].all()
        assert mask.sum() == (y1 - y0) * (x1 - x0) > 0


@pytest.mark.parametrize(
    ("window", "stride", "message"),
    [
        ((8, 8), (9, 9), "stride of 9x9 px leaves gaps between windows of 8x8 px; give a stride"),
        ((8, 8), (1, 9), "stride of 1x9 px leaves gaps"),
        (
            (21, 4),
            (4, 4),
            "window of 21x4 px is larger than the image of 20x30 px .* smaller window",
        ),
        ((4, 31), (4, 4), "window of 4x31 px is larger"),
        ((0, 4), (1, 1), "must be at least 1 px"),
        ((4, 4), (0, 1), "must be at least 1 px"),
        ((4, 4), (1, -1), "must be at least 1 px"),
    ],
)
def test_windows_that_do_not_fit_are_refused(window, stride, message):
    with pytest.raises(DoesNotFit, match=message):
        WindowGrid((20, 30), window, stride)


def test_a_window_as_large_as_the_image_stands_still():
    assert WindowGrid((4, 6), (4, 6), (9, 9)).boxes().tolist() == [[0, 0, 4, 6]]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (32, (32, 32)),
        ("32", (32, 32)),
        ("16x24", (16, 24)),
        ("16X24", (16, 24)),
        ((16, 24), (16, 24)),
        ([16, 24], (16, 24)),
        (np.int64(5), (5, 5)),
    ],
)
def test_a_size_is_a_side_or_height_by_width(said, meant):
    assert as_pair(sides_argument(said, "window")) == meant


@pytest.mark.parametrize("said", ["", "x", "16x", "axb", "1x2x3", "1_0", "+5", "²"])
def test_what_is_typed_and_not_a_size_says_what_is(said):
    with pytest.raises(UsageError, match=r"is not a size; give 32 or 16x24$"):
        sides_argument(said, "window")


@pytest.mark.parametrize("said", [(1, 2, 3), 2.5, (2.5, 3), None, [], True, {"a": 1}])
def test_what_is_not_a_size_says_what_is(said):
    with pytest.raises(UsageError, match=r"^`window` .* give window=32, or window=\(16, 24\)"):
        sides_argument(said, "window")


def test_the_automatic_window_is_a_seventh_and_moves_by_half_of_itself():
    grid = grid_for((224, 300), "auto", "auto")
    assert (grid.window, grid.stride) == ((32, 32), (16, 16))
    assert grid_for((3, 3), "auto", "auto").window == (1, 1)
    grid = grid_for((50, 60), "7x4", "auto")
    assert (grid.window, grid.stride) == ((7, 4), (3, 2))


IMAGE = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3) * 4


@pytest.mark.parametrize(
    ("fill", "colour"),
    [
        ("gray", (128, 128, 128)),
        ("grey", (128, 128, 128)),
        ("black", (0, 0, 0)),
        (" White", (255, 255, 255)),
        (0, (0, 0, 0)),
        (1, (255, 255, 255)),
        (0.5, (127.5, 127.5, 127.5)),
        ("0.5", (127.5, 127.5, 127.5)),
        (np.float32(0.25), (63.75, 63.75, 63.75)),
        (torch.tensor(0.5), (127.5, 127.5, 127.5)),
        ((255, 128, 0), (255, 128, 0)),
        ((1, 1, 1), (1, 1, 1)),
        ((1, 0.5, 0), (255, 127.5, 0)),
        (np.array([3, 4, 5], np.uint8), (3, 4, 5)),
        ("#ff8000", (255, 128, 0)),
        ("255, 128,0", (255, 128, 0)),
        ("orange", (255, 165, 0)),
        ("mean", (10, 21, 200)),
    ],
)
def test_plain_fills_show_what_they_say(fill, colour):
    shown = fill_image(fill, IMAGE, np.array([10.4, 20.6, 200.0]), (2, 2))
    assert shown.shape == IMAGE.shape
    assert np.unique(shown.reshape(-1, 3), axis=0).tolist() == [list(colour)]


def test_blur_shows_the_image_without_what_is_smaller_than_the_window():
    stripes = np.zeros((40, 40, 3), np.uint8)
    stripes[:, ::2] = 200
    shown = fill_image("blur", stripes, np.zeros(3), (8, 8))
    assert abs(shown[10:30, 10:30].astype(int) - 100).max() <= 2
    halves = np.zeros((64, 64, 3), np.uint8)
    halves[:, 32:] = 200
    shown = fill_image("blur", halves, np.zeros(3), (4, 4))[32, :, 0].astype(int)
    assert (shown[16], shown[48]) == (0, 200)
    assert (np.diff(shown) >= 0).all()
    assert abs(shown[31] + shown[32] - 200) <= 2


def test_blur_goes_as_far_down_and_across_as_the_window():
    spot = np.zeros((41, 41, 3), np.uint8)
    spot[20, 20] = 255
    shown = fill_image("blur", spot * 1, np.zeros(3), (12, 2))
    expected = cv2.GaussianBlur(spot, (0, 0), sigmaX=1, sigmaY=6)
    assert (shown[:, 20, 0] > 0).sum() > (shown[20, :, 0] > 0).sum()
    np.testing.assert_array_equal(shown, expected)


@pytest.mark.parametrize(
    "fill", ["blurr", "1,2", "#ggg", "", "²,1,1", "rgb(300,0,0)", "256,0,0", "128", "nan"]
)
def test_what_is_typed_and_not_a_fill_says_what_is(fill):
    with pytest.raises(UsageError, match=r"give gray, black, white, mean, blur, a brightness"):
        fill_argument(fill)


@pytest.mark.parametrize(
    "fill",
    [
        *((256, 0, 0), (-1, 0, 0), (0.5, 2, 0), 1.5, -0.1, 128),
        *(float("nan"), None, True, [], (1, 2), [[1, 2, 3]], (None, 1, 1), {"a": 1}),
    ],
)
def test_what_is_not_a_fill_says_what_is(fill):
    with pytest.raises(
        UsageError, match=r"^`fill` .*; give fill=0\.5 \(a brightness from 0, black"
    ):
        fill_argument(fill)


@pytest.mark.parametrize("fill", ["mean", "blur", "gray", "tomato"])
def test_words_are_fills_as_they_are(fill):
    assert fill_argument(fill) == fill
