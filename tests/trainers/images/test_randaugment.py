"""Does each operation of RandAugment do what its name says, as strongly as it was asked to?"""

import pytest
import torch

from interpret_kit.trainers.images import randaugment
from interpret_kit.trainers.images.augment import Draws
from interpret_kit.trainers.images.randaugment import OPERATIONS, randaugmented

FULL, MINUS = torch.tensor([1.0]), torch.tensor([-1.0])


def image(*rows):
    """One gray image, (1, 3, height, width), of levels in [0, 1]."""
    return torch.tensor(rows).expand(1, 3, -1, -1).clone()


def draws(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return Draws(generator, count, torch.arange(count), torch.device("cpu"))


def assert_gray(seen, *rows):
    torch.testing.assert_close(seen, image(*rows), rtol=0, atol=1e-5)


def test_a_quarter_turn_is_exact_and_its_sign_is_that_of_the_strength(monkeypatch):
    monkeypatch.setattr(randaugment, "DEGREES", 90.0)
    square = torch.rand(2, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    signs = torch.tensor([1.0, -1.0])
    seen = randaugment.rotated(square, signs)
    torch.testing.assert_close(seen[0], torch.rot90(square[0], 1, (1, 2)), rtol=0, atol=1e-5)
    torch.testing.assert_close(seen[1], torch.rot90(square[1], -1, (1, 2)), rtol=0, atol=1e-5)


def test_half_a_turn_of_a_wide_image_is_exact(monkeypatch):
    monkeypatch.setattr(randaugment, "DEGREES", 180.0)
    wide = torch.rand(1, 3, 4, 7, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(randaugment.rotated(wide, FULL), wide.flip(2, 3), rtol=0, atol=1e-5)


def test_a_rotation_of_a_wide_image_turns_its_pixels_by_the_angle(monkeypatch):
    # A pixel 2 to the right of the centre is 2 above it after a quarter turn, not 4 x 2 / 7.
    monkeypatch.setattr(randaugment, "DEGREES", 90.0)
    wide = torch.zeros(1, 3, 5, 9)
    wide[..., 2, 6] = 1.0
    seen = randaugment.rotated(wide, FULL)
    assert (seen[0, 0] > 0.99).nonzero().tolist() == [[0, 4]]


def test_shifts_replicate_the_edge(monkeypatch):
    monkeypatch.setattr(randaugment, "SHIFT", 0.25)
    row = image([0.1, 0.2, 0.3, 0.4])
    assert_gray(randaugment.shifted_across(row, FULL), [0.2, 0.3, 0.4, 0.4])
    assert_gray(randaugment.shifted_across(row, MINUS), [0.1, 0.1, 0.2, 0.3])
    column = image([0.1], [0.2], [0.3], [0.4])
    assert_gray(randaugment.shifted_down(column, FULL), [0.2], [0.3], [0.4], [0.4])


def test_a_shear_shifts_each_row_by_its_distance_from_the_middle(monkeypatch):
    monkeypatch.setattr(randaugment, "SHEAR", 1.0)
    line = [0.1, 0.2, 0.3, 0.4, 0.5]
    seen = randaugment.sheared_across(image(line, line, line), FULL)
    assert_gray(seen, [0.1, 0.1, 0.2, 0.3, 0.4], line, [0.2, 0.3, 0.4, 0.5, 0.5])
    down = randaugment.sheared_down(image(line, line, line).transpose(2, 3), FULL)
    torch.testing.assert_close(down, seen.transpose(2, 3), rtol=0, atol=1e-5)


def test_factors_are_a_tenth_and_almost_two():
    levels = image([0.2, 0.6])
    assert_gray(randaugment.brightened(levels, MINUS), [0.02, 0.06])
    assert_gray(randaugment.brightened(levels, FULL), [0.38, 1.0])  # 1.14 is white
    # The mean is 0.4: differences of 0.2 become 0.02 and 0.38.
    assert_gray(randaugment.contrasted(levels, MINUS), [0.38, 0.42])
    assert_gray(randaugment.contrasted(levels, FULL), [0.02, 0.78])
    assert_gray(randaugment.saturated(levels, MINUS), [0.2, 0.6])
    red = torch.tensor([0.5, 0.0, 0.0]).view(1, 3, 1, 1)
    gray = 0.299 * 0.5
    dull = torch.tensor([gray + 0.1 * (0.5 - gray), 0.9 * gray, 0.9 * gray]).view(1, 3, 1, 1)
    torch.testing.assert_close(randaugment.saturated(red, MINUS), dull)


def test_sharpening_weighs_a_pixel_by_five_of_thirteen_and_leaves_the_border():
    # The smooth centre is (5 * 0.13 + 8 * 0) / 13 = 0.05; 0.05 + 0.08 * 1.9 and 0.05 + 0.08 * 0.1.
    dot = image([0.0, 0.0, 0.0], [0.0, 0.13, 0.0], [0.0, 0.0, 0.0])
    assert randaugment.sharpened(dot, FULL)[0, :, 1, 1].tolist() == pytest.approx([0.202] * 3)
    blurred = randaugment.sharpened(dot, MINUS)
    assert blurred[0, 0].flatten().tolist() == pytest.approx([0, 0, 0, 0, 0.058, 0, 0, 0, 0])


def test_posterising_clears_the_lowest_bits():
    levels = image([255 / 255, 127 / 255, 16 / 255, 15 / 255])
    assert_gray(randaugment.posterized(levels, MINUS), [240 / 255, 112 / 255, 16 / 255, 0.0])
    # Half as strong, two bits; a fifth, none.
    two = randaugment.posterized(levels, torch.tensor([0.5]))
    assert_gray(two, [252 / 255, 124 / 255, 16 / 255, 12 / 255])
    assert_gray(randaugment.posterized(levels, torch.tensor([0.2])), levels[0, 0, 0].tolist())


def test_solarising_inverts_what_is_above_the_threshold():
    levels = image([0.2, 0.6, 0.9])
    assert_gray(randaugment.solarized(levels, torch.tensor([-0.5])), [0.2, 0.4, 0.1])
    assert_gray(randaugment.solarized(levels, FULL), [0.8, 0.4, 0.1])
    assert_gray(randaugment.solarized(levels, 0 * FULL), [0.2, 0.6, 0.9])


def test_stretching_fills_the_range_and_leaves_an_even_channel():
    levels = image([0.2, 0.4, 0.6])
    levels[:, 2] = 0.7
    seen = randaugment.stretched(levels, FULL)
    assert seen[0, 0, 0].tolist() == pytest.approx([0, 0.5, 1])
    assert seen[0, 2, 0].tolist() == pytest.approx([0.7] * 3)


def test_each_image_has_its_own_operation_of_the_given_strength(monkeypatch):
    def recorded(images, strength):
        strengths.append(strength)
        return images + 1

    strengths: list[torch.Tensor] = []
    monkeypatch.setattr(randaugment, "OPERATIONS", (randaugment.unchanged, recorded))
    seen = randaugmented(torch.zeros(200, 3, 2, 2), 2, 5.0, draws(200))
    counts = seen[:, 0, 0, 0].long().bincount().tolist()
    # Two coins: none, one or two of the second operation in a quarter, a half and a quarter.
    assert sum(counts) == 200
    assert 30 < counts[0] < 70
    assert 70 < counts[1] < 130
    drawn = torch.cat(strengths)
    assert len(drawn) == counts[1] + 2 * counts[2]
    assert set(drawn.tolist()) == {-0.5, 0.5}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_operation_stays_in_range_and_treats_images_alone(operation):
    images = torch.rand(4, 3, 6, 9, generator=torch.Generator().manual_seed(1))
    strengths = torch.tensor([1.0, -1.0, 0.5, 0.0])
    seen = operation(images, strengths)
    assert seen.shape == images.shape
    assert seen.min() >= 0
    assert seen.max() <= 1
    for k in range(4):
        alone = operation(images[k : k + 1], strengths[k : k + 1])
        torch.testing.assert_close(alone[0], seen[k], rtol=0, atol=1e-6)


def test_all_operations_are_drawn_and_the_memory_has_the_channels_last():
    images = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    seen = randaugmented(images, 1, 9.0, draws(6))
    assert seen.is_contiguous(memory_format=torch.channels_last)
    chosen = draws(500).uniform(0, len(OPERATIONS)).long()
    assert set(chosen.tolist()) == set(range(len(OPERATIONS)))
