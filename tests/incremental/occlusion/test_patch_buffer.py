import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from interpret_kit.incremental.occlusion.patch_buffer import Buffer, CellRange, PatchLocation


def stretch(first, count, step=1):
    return CellRange(np.array(first), count, step)


def test_the_cells_of_a_stretch():
    assert stretch([-1, 4], 3, 2).cells().tolist() == [[-1, 1, 3], [4, 6, 8]]


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation", "padding"),
    [(3, 1, 1, 1), (3, 2, 1, 0), (2, 3, 1, 1), (1, 2, 1, 0), (3, 2, 2, 2), (1, 1, 1, 0)],
)
def test_a_kernel_reads_what_its_places_cover(kernel, stride, dilation, padding):
    read = stretch([2], 3).wider(stride, padding, dilation * (kernel - 1)).cells()[0].tolist()
    taps = {cell * stride - padding + dilation * tap for cell in (2, 3, 4) for tap in range(kernel)}
    # All cells from the first to the last; of a kernel of one cell, only those that count.
    wanted = sorted(taps) if kernel == 1 else list(range(min(taps), max(taps) + 1))
    assert read == wanted


def test_places_are_the_same_if_all_their_cells_are():
    place = PatchLocation(stretch([1, 2], 3), stretch([0, 0], 2))
    assert place.same(PatchLocation(stretch([1, 2], 3), stretch([0, 0], 2)))
    assert not place.same(PatchLocation(stretch([1, 3], 3), stretch([0, 0], 2)))
    assert not place.same(PatchLocation(stretch([1, 2], 4), stretch([0, 0], 2)))
    assert not place.same(PatchLocation(stretch([1, 2], 3), stretch([0, 0], 2, 2)))
    assert place.shape == (2, 3, 2)


def test_cells_come_from_patches_then_from_the_map_and_else_are_padding():
    stored = torch.arange(12.0).view(1, 3, 4, 1)
    buffer = Buffer(stored)
    patches = PatchLocation(stretch([1], 1), stretch([1], 2))
    buffer.patches(patches.shape).copy_(torch.tensor([-5.0, -6.0]).view(1, 1, 2, 1))
    buffer.padding = 99.0
    found = buffer.read(PatchLocation(stretch([-1], 3), stretch([0], 5)), patches)
    assert found[0, :, :, 0].tolist() == [
        [99, 99, 99, 99, 99],
        [0, 1, 2, 3, 99],
        [4, -5, -6, 7, 99],
    ]


def test_without_patches_only_the_stored_map_is_read():
    stored = torch.arange(6.0).view(1, 2, 3, 1)
    buffer = Buffer(stored)
    place = PatchLocation(stretch([0], 2), stretch([0], 3))
    buffer.patches((1, 2, 3)).fill_(-1.0)
    assert torch.equal(buffer.read(place, None), stored)


def test_padding_is_that_of_the_last_time_it_was_set():
    buffer = Buffer(torch.ones(1, 1, 1, 2))
    beyond = PatchLocation(stretch([-1], 2), stretch([0], 1))
    for padding in (0.0, -torch.inf, 0.5):
        buffer.padding = padding
        assert buffer.read(beyond, None)[0, :, 0].tolist() == [[padding] * 2, [1, 1]]


def test_room_for_patches_grows_to_the_largest_batch_and_keeps_the_map():
    stored = torch.arange(6.0).view(1, 2, 3, 1)
    buffer = Buffer(stored)
    place = PatchLocation(stretch([0], 2), stretch([0], 3))
    for batch, rows in ((2, 11), (5, 17), (3, 17)):  # 1 of padding, 6 stored, 2 cells a window
        buffer.patches((batch, 1, 2))
        assert len(buffer.rows) == rows
        assert torch.equal(buffer.read(place, None), stored)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_patches_are_those_of_a_plain_loop(data):
    height, width = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    rows, cols = data.draw(st.integers(1, height)), data.draw(st.integers(1, width))
    batch, step = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))

    def draw(low, high):
        return data.draw(st.lists(st.integers(low, high), min_size=batch, max_size=batch))

    generator = torch.Generator().manual_seed(0)
    stored = torch.randn(1, height, width, 2, generator=generator)
    made = torch.randn(batch, rows, cols, 2, generator=generator)
    tops, lefts = draw(0, height - rows), draw(0, width - cols)
    firsts, counts = (draw(-3, 4), draw(-3, 4)), (data.draw(st.integers(1, 4)), 3)
    buffer, patches = Buffer(stored), PatchLocation(stretch(tops, rows), stretch(lefts, cols))
    buffer.patches(patches.shape).copy_(made)
    wanted = PatchLocation(stretch(firsts[0], counts[0], step), stretch(firsts[1], counts[1]))
    found = buffer.read(wanted, patches)
    for k in range(batch):
        padded = torch.zeros(height + 40, width + 40, 2)  # far enough on all sides
        padded[20 : 20 + height, 20 : 20 + width] = stored[0]
        padded[20 + tops[k] : 20 + tops[k] + rows, 20 + lefts[k] : 20 + lefts[k] + cols] = made[k]
        top, left = 20 + firsts[0][k], 20 + firsts[1][k]
        patch = padded[top : top + step * counts[0] : step, left : left + counts[1]]
        assert torch.equal(found[k], patch)
