"""Does augmentation change what it should and as far as it should, and nothing else?"""

import pytest
import torch

from interpret_kit.trainers.images.augment import (
    Draws,
    augmented,
    coloured,
    cropped,
    erased,
    shifted,
)
from interpret_kit.trainers.images.data import Split, as_input
from interpret_kit.trainers.images.loader import Share, make_batches, number
from interpret_kit.trainers.recipe import Recipe

CPU = torch.device("cpu")


def draws(count, seed=0):
    return Draws(torch.Generator().manual_seed(seed), count, torch.arange(count), CPU)


def noise(count=16, side=8):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, side, side, 3), generator=generator, dtype=torch.uint8)


def ramp(count, height, width):
    """Images whose red is the row, and whose green and blue are the column."""
    rows, cols = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([rows, cols, cols], 2).byte().expand(count, -1, -1, -1)


def test_shifting_mirrors_half_and_shifts_by_at_most_a_sixteenth():
    # Any mirroring and shift can be read off the pixels of a ramp.
    seen = shifted(ramp(200, 32, 48), 1 / 16, draws(200))
    middle = seen[:, 16, 24].long()
    assert set((middle[:, 0] - 16).tolist()) == set(range(-2, 3))
    mirrored = seen[:, 0, 5, 1] > seen[:, 0, 40, 1]
    assert 60 < mirrored.sum() < 140
    assert set((middle[~mirrored, 1] - 24).tolist()) == set(range(-3, 4))
    assert set((middle[mirrored, 1] - 23).tolist()) == set(range(-3, 4))
    assert torch.equal(seen[..., 1], seen[..., 2])


def test_a_larger_shift_moves_further():
    seen = shifted(ramp(400, 32, 48), 0.25, draws(400))[:, 16, 24, 0].long()
    assert set((seen - 16).tolist()) == set(range(-8, 9))
    none = shifted(ramp(50, 32, 48), 0.0, draws(50))
    assert torch.equal(none[..., 0], ramp(50, 32, 48)[..., 0])
    recipe = Recipe(shift=0.25)
    read = augmented(ramp(400, 32, 48), recipe, draws(400), torch.zeros(3))[:, 0, 16, 24] * 255
    assert torch.equal(read.round().long(), seen), "the recipe's is what is used"


def test_crops_keep_at_least_their_share_and_stay_inside():
    # In a ramp, the first and the last pixel of a crop tell where it begins and ends: pixel
    # centres of 64 cells over a crop of w cells lie w / 64 apart.
    images = as_input(ramp(300, 64, 64)) * 255
    seen = cropped(images, 0.25, draws(300))
    step = seen[:, 1, 0].diff(dim=1)[:, 20:44].mean(1)  # away from repeated edges
    width = step.abs() * 64
    height = seen[:, 0, :, 0].diff(dim=1)[:, 20:44].mean(1) * 64
    area = width * height / 64**2
    assert 0.24 < area.min() < 0.30
    assert 0.95 < area.max() < 1.01
    assert (width / height).max() < 4 / 3 + 0.01
    assert (width / height).min() > 3 / 4 - 0.01
    assert 100 < (step < 0).sum() < 200
    assert seen.min() >= 0
    assert seen.max() <= 63
    assert seen.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("least", [0.25, 0.9, 0.99])
def test_no_crop_is_smaller_than_its_least_share(least):
    images = as_input(ramp(300, 64, 64)) * 255
    seen = cropped(images, least, draws(300))
    width = seen[:, 1, 0].diff(dim=1)[:, 20:44].mean(1).abs()  # 1 for the whole width
    height = seen[:, 0, :, 0].diff(dim=1)[:, 20:44].mean(1)
    assert (width * height).min() > least - 0.001
    assert max(width.max(), height.max()) < 1.001


def test_colours_change_by_a_factor_each_and_no_further():
    # Gray has no saturation, and an even image no contrast: what is left is the brightness.
    even = torch.full((200, 3, 4, 4), 0.5)
    seen = coloured(even, 0.2, draws(200))
    assert torch.allclose(seen, seen[:, :1, :1, :1].expand_as(seen), atol=1e-6)
    factors = seen[:, 0, 0, 0] / 0.5
    assert 0.8 <= factors.min() < 0.82
    assert 1.18 < factors.max() <= 1.2
    # Red on black: by a saturation of s the red of a pixel is gray + (red - gray) * s.
    red = torch.zeros(200, 3, 4, 4)
    red[:, 0] = 0.4
    seen = coloured(red, 0.5, draws(200))
    gray = (seen * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(1)
    # Where no colour fell below 0, brightness alone says how gray it is: 0.299 x 0.4 x 0.5 to 1.5.
    whole = seen[:, 1, 0, 0] > 0
    assert whole.sum() > 50
    assert gray[whole].min() >= 0.299 * 0.4 * 0.5 - 1e-6
    assert gray[whole].max() <= 0.299 * 0.4 * 1.5 + 1e-6
    assert seen.min() >= 0


def test_contrast_changes_the_distance_from_the_mean_by_a_factor():
    # Of gray halves 0.4 and 0.6, brightness scales mean and difference alike: their ratio is 0.4.
    halves = torch.full((200, 3, 4, 4), 0.4)
    halves[..., 2:] = 0.6
    seen = coloured(halves, 0.2, draws(200))
    factors = (seen[:, 0, 0, 3] - seen[:, 0, 0, 0]) / seen[:, 0].mean((1, 2)) / 0.4
    assert 0.8 - 1e-5 <= factors.min() < 0.82
    assert 1.18 < factors.max() <= 1.2 + 1e-5


def test_erasing_paints_one_rectangle_over_a_share_of_the_images():
    images = torch.ones(400, 3, 30, 30)
    seen = erased(images, 0.5, draws(400), torch.tensor([0.1, 0.2, 0.3]))
    painted = seen[:, 0] != 1
    share = painted.flatten(1).float().mean(1)
    assert 150 < (share > 0).sum() < 250
    assert share[share > 0].min() > 0.01
    assert share.max() < 0.37  # a third, rounded to whole pixels
    for one in painted[share > 0][:50]:
        rows, cols = one.any(1), one.any(0)
        assert torch.equal(one, rows[:, None] & cols[None, :])
        for line in (rows, cols):
            assert line.int().diff().abs().sum() <= 2, "one stretch"
    assert torch.equal(seen[painted.nonzero()[0][0]].amin((1, 2)), torch.tensor([0.1, 0.2, 0.3]))


def test_without_any_choice_the_images_are_what_they_were():
    recipe = Recipe(augment=False)
    seen = augmented(noise(), recipe, draws(16), torch.zeros(3))
    assert torch.equal(seen, as_input(noise()))


ALL = {
    "crop": 0.5,
    "randaugment": 1,
    "colour": 0.3,
    "erase": 0.5,
    "mixup": 0.4,
    "cutmix": 1.0,
    "batch_size": 12,
}


NONE = {"randaugment": 0, "colour": 0.0, "erase": 0.0}
ALONE = Share()


def batches(share=ALONE, **choices):
    split = Split(noise(40), torch.arange(40) % 5)
    return make_batches(split, Recipe(**{**ALL, **choices}), (0.5, 0.5, 0.5), 5, share)


@pytest.mark.parametrize("processes", [2, 3])
def test_the_shares_of_a_batch_are_the_batch_of_one_process(processes):
    for epoch, batch in ((1, 1), (1, 2), (2, 3), (5, 1)):
        images, targets = batches().draw(epoch, batch)
        for rank in range(processes):
            share = Share(rank, processes)
            mine, expected = batches(share).draw(epoch, batch), share.rows(12)
            torch.testing.assert_close(mine[0], images[expected], rtol=0, atol=0)
            torch.testing.assert_close(mine[1], targets[expected], rtol=0, atol=0)


def test_an_epoch_holds_each_image_at_most_once_and_every_epoch_has_its_own_order():
    plain = batches(mixup=0.0, cutmix=0.0, augment=False, crop=1.0, **NONE)
    assert len(plain) == 3  # 40 images in batches of 12
    known = {each.numpy().tobytes(): index for index, each in enumerate(as_input(noise(40)))}
    orders = []
    for epoch in (1, 2):
        drawn = [plain.draw(epoch, batch) for batch in (1, 2, 3)]
        order = [known[each.numpy().tobytes()] for images, _ in drawn for each in images]
        labels = [int(each) for _, targets in drawn for each in targets]
        assert labels == [index % 5 for index in order]
        assert len(set(order)) == 36
        orders.append(order)
    assert orders[0] != orders[1] != sorted(orders[1])


def test_fewer_images_than_a_batch_are_one_batch():
    few = batches(batch_size=64, mixup=0.0, cutmix=0.0)
    assert (len(few), few.size) == (1, 40)
    assert sorted(few.draw(1, 1)[1].tolist()) == sorted((torch.arange(40) % 5).tolist())


def test_mixed_targets_are_the_shares_of_two_labels():
    # CutMix puts a rectangle of the k-th last image into the k-th; its area is the label's share.
    mixing = batches(mixup=0.0, crop=1.0, augment=False, **NONE)
    plain = batches(mixup=0.0, cutmix=0.0, crop=1.0, augment=False, **NONE)
    for batch in (1, 2, 3):
        (images, targets), (whole, labels) = mixing.draw(1, batch), plain.draw(1, batch)
        own = (images == whole).all(1)
        from_other = (images == whole.flip(0)).all(1)
        assert (own | from_other).all()
        share = own[0].float().mean()
        one = torch.eye(5)[labels]
        torch.testing.assert_close(targets, share * one + (1 - share) * one.flip(0))


def test_numbers_of_other_seeds_and_steps_are_other_numbers():
    seen = {number(seed, step, use) for seed in range(20) for step in range(20) for use in range(4)}
    assert len(seen) == 1600
    assert all(0 <= each < 2**63 for each in seen)
