import dataclasses

import numpy as np
import pytest
import torch
from float_rules import assert_near, in_double
from networks_on_paper import (
    CLASSES,
    SmallNet,
    drawn,
    noise,
    noisy_images,
    pixels_of,
    plain,
    small_classifier,
)
from torch import nn

from interpret_kit.analyses.patches.tables import border_notes
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import LayerNotFound
from interpret_kit.models.loading.timm_registration import ConvNet


def all_maps(classifier, images, modules):
    """The maps of some modules for all images, in one forward."""
    kept = {}
    handles = [
        classifier.network.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: kept.update({name: out.detach().clone()})
        )
        for name in modules
    ]
    with torch.no_grad():
        classifier.eval()(pixels_of(images, classifier))
    for handle in handles:
        handle.remove()
    return kept


def sorted_in_python(maps, ids, top, per_image):
    """(value, image, row, col) of the strongest units of each filter."""
    found = []
    for f in range(maps.shape[1]):
        units = []
        for image, plane in zip(ids, maps[:, f].tolist(), strict=True):
            own = [(-v, image, r, c) for r, row in enumerate(plane) for c, v in enumerate(row)]
            units += sorted(own)[:per_image]
        found.append([(-v, image, r, c) for v, image, r, c in sorted(units)[:top]])
    return found


def units_of(found, rows):
    columns = (found.values, found.images, found.rows, found.cols)
    return [list(zip(*(each[row].tolist() for each in columns), strict=True)) for row in rows]


SITES = [("convolution", "conv"), ("pre-activation", "norm"), ("activation", "act")]


@pytest.mark.parametrize(("site", "module"), SITES)
@pytest.mark.parametrize(("top", "per_image"), [(4, 1), (7, 3), (20, 100)])
def test_the_top_is_that_of_one_big_sort(site, module, top, per_image):
    classifier, images = small_classifier(), noisy_images(13).only([1, 2, 3, 5, 7, 8, 12])
    found = TopPatches("all", top, per_image, site).run(classifier, images, batch_size=3)
    maps = all_maps(classifier, images, [f"{module}1", f"{module}2"])
    expected = [
        unit
        for k in (1, 2)
        for unit in sorted_in_python(maps[f"{module}{k}"], images.ids.tolist(), top, per_image)
    ]
    assert units_of(found, range(10)) == expected
    assert found.layer.tolist() == [0] * 4 + [1] * 6
    assert found.filter.tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 4, 5]
    labels = {i: i % 5 for i in range(13)}
    assert found.labels.tolist() == [[labels[i] for i in row] for row in found.images.tolist()]


def bytes_of(found):
    return {f.name: getattr(found, f.name).tobytes() for f in found.array_fields()}


@pytest.mark.parametrize(("site", "per_image"), [("pre-activation", 1), ("activation", 4)])
def test_the_bytes_do_not_depend_on_the_batch_size(site, per_image):
    classifier, images = small_classifier(), noisy_images(65)
    analysis = TopPatches("all", 6, per_image, site)
    once = bytes_of(analysis.run(classifier, images, batch_size=64))
    for batch_size in (1, 7):
        assert bytes_of(analysis.run(classifier, images, batch_size=batch_size)) == once


class Saturated(nn.Module):
    """Filter 0 is dead, filter 1 saturates at 6 everywhere, filter 2 ties in pairs."""

    def __init__(self):
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 3, 1), nn.ReLU6()
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[2, 0] = 5.0
            self.conv.bias.copy_(torch.tensor([-1.0, 9.0, 0.0]))

    def forward(self, pixels):
        return self.act(self.conv(pixels)).mean((2, 3))


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_ties_go_to_the_earlier_image_and_position(batch_size):
    levels = np.array([10, 50, 50, 20, 50, 0, 7, 50, 3])
    photos = levels[:, None, None, None].repeat(4, 1).repeat(5, 2).repeat(3, 3)
    images = ImageSet.from_arrays(photos.astype(np.uint8)).only([0, 1, 2, 4, 5, 6, 7])
    found = TopPatches(1, top=4, per_image=2, site="activation").run(
        plain(Saturated(), (4, 5)), images, batch_size=batch_size
    )
    bright = 5 * np.float32(50) / 255
    dead, saturated, tied = units_of(found, range(3))
    assert dead == [(0, 0, 0, 0), (0, 0, 0, 1), (0, 1, 0, 0), (0, 1, 0, 1)]
    assert saturated == [(6, 0, 0, 0), (6, 0, 0, 1), (6, 1, 0, 0), (6, 1, 0, 1)]
    assert [unit[1:] for unit in tied] == [(1, 0, 0), (1, 0, 1), (2, 0, 0), (2, 0, 1)]
    assert [unit[0] for unit in tied] == pytest.approx([bright] * 4)
    assert found.dead.tolist() == [True, False, False]


def test_before_the_activation_a_dead_filter_still_has_an_order():
    classifier, images = small_classifier(), noisy_images(9)
    with torch.no_grad():
        classifier.network.norm1.bias[1] = -1000
    found = TopPatches(1, top=3).run(classifier, images)
    assert found.dead.tolist()[1]
    assert (found.values[1] < -900).all()
    maps = all_maps(classifier, images, ["norm1"])["norm1"]
    assert units_of(found, [1]) == [sorted_in_python(maps, range(9), 3, 1)[1]]


def test_activations_that_are_all_negative_have_a_top():
    network = drawn(SmallNet(), seed=2)
    with torch.no_grad():
        network.norm2.bias.fill_(-500)
    classifier, images = plain(network, (12, 10)), ImageSet.from_arrays(noise(6))
    found = TopPatches(2, top=6).run(classifier, images)
    assert (found.values < 0).all()
    assert (found.images >= 0).all()
    maps = all_maps(classifier, images, ["norm2"])["norm2"]
    assert units_of(found, range(6)) == sorted_in_python(maps, range(6), 6, 1)
    assert found.dead.all()


def test_a_layer_without_activation_has_no_dead_filters():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.MaxPool2d(2), nn.Flatten())
    with torch.no_grad():
        network[0].bias.fill_(-100)
    found = TopPatches(1).run(plain(network, (4, 4)), ImageSet.from_arrays(noise(2, (4, 4))))
    assert found.dead.tolist() == [False, False]


def test_fewer_units_than_asked_for_are_all_there_are():
    found = TopPatches(2, top=50).run(small_classifier(), noisy_images(4))
    assert found.values.shape == (6, 4)


POSITIVE = [
    ConvNet(channels=(3, 4), kernel=(3, 5), stride=(2, 1), fc=(), num_classes=2, size=(24, 31)),
    ConvNet(channels=(2, 2, 3), kernel=3, padding=0, pool=(0, 3, 0), fc=(), size=(24, 31)),
]


@pytest.mark.parametrize("network", POSITIVE, ids=["strided", "pooled"])
def test_boxes_are_the_support_of_the_gradient_on_the_image(network):
    # Positive weights on positive pixels: no ReLU is off and no two gradients cancel. Average
    # instead of max pooling, so that every pixel of a pooling window counts.
    drawn(network, seed=1, low=0.1)
    for name, each in list(network.named_children()):
        if isinstance(each, nn.MaxPool2d):
            setattr(network, name, nn.AvgPool2d(each.kernel_size, each.stride))
    classifier = plain(network, (24, 31))
    images = ImageSet.from_arrays(noise(3, (24, 31)))
    found = TopPatches("all", top=2, per_image=5).run(classifier, images)
    assert found.inexact == ("",) * len(found.layers)
    convolutions = [each for each in classifier.layers() if each.number]
    for row in range(len(found.filter)):
        for rank in range(2):
            unit = found.filter[row], found.rows[row, rank], found.cols[row, rank]
            pixels = pixels_of(images.only([found.images[row, rank]]), classifier)
            support = gradient_of(network, convolutions[found.layer[row]].label, unit, pixels)
            assert found.boxes[row, rank].tolist() == box_around(support)


def gradient_of(network, layer, unit, pixels):
    """Where the image's gradient of one unit is not zero, bool (height, width)."""
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(lambda *each: kept.append(each[2]))
    pixels = pixels.clone().requires_grad_(True)
    network(pixels)
    handle.remove()
    kept[0][0, unit[0], unit[1], unit[2]].backward()
    network.zero_grad()
    return pixels.grad[0].abs().sum(0) > 0


def box_around(support):
    rows, cols = support.any(1).nonzero()[:, 0], support.any(0).nonzero()[:, 0]
    return [rows[0].item(), cols[0].item(), rows[-1].item() + 1, cols[-1].item() + 1]


def test_crops_are_what_the_boxes_hold_and_whole_boxes_may_stick_out():
    classifier, images = small_classifier(), noisy_images(8)
    found = TopPatches(1, top=8).run(classifier, images)
    assert found.input_image_ids.tolist() == sorted(set(found.images[found.shown].ravel().tolist()))
    for row in range(4):
        for rank in range(8):
            r, c = found.rows[row, rank], found.cols[row, rank]
            # A 3 x 3 kernel with a border of one zero.
            assert found.full_boxes[row, rank].tolist() == [r - 1, c - 1, r + 2, c + 2]
            y0, x0, y1, x1 = max(r - 1, 0), max(c - 1, 0), min(r + 2, 12), min(c + 2, 10)
            assert found.boxes[row, rank].tolist() == [y0, x0, y1, x1]
            photo = found.input_image(found.images[row, rank])
            np.testing.assert_array_equal(photo, noise(8)[found.images[row, rank]])
            np.testing.assert_array_equal(found.patch(row, rank, photo), photo[y0:y1, x0:x1])


def test_the_strongest_unit_computed_from_its_crop_alone_has_its_value():
    classifier, images = small_classifier(), noisy_images(8)
    found = TopPatches(1, top=8, site="convolution").run(classifier, images)
    whole = [(row, k) for row in range(4) for k in range(8)]
    whole = [each for each in whole if (found.full_boxes[each] == found.boxes[each]).all()]
    assert whole
    double, most = in_double(classifier), float(np.abs(found.values).max())
    for row, rank in whole:
        patch = found.patch(row, rank, found.input_image(found.images[row, rank]))
        pixels = torch.from_numpy(patch).permute(2, 0, 1)[None] / 255
        with torch.no_grad():
            alone = double.network.conv1(double.normalised(pixels.double()))[0, row, 1, 1]
        assert_near(found.values[row, rank], alone, terms=most)


def test_classes_of_the_top_images_are_counted_the_most_frequent_first():
    images = noisy_images(4)
    labels = np.array([3, 1, 1, -1])
    found = TopPatches(1, top=4).run(
        small_classifier(), dataclasses.replace(images, labels=labels, classes=CLASSES)
    )
    assert found.classes_of(0) == [("bee", 2), ("dog", 1)]
    assert found.tables()["filters"].rows[0][4] == "bee 2, dog 1"


def test_the_summary_names_the_strongest_filter_and_counts_the_dead():
    classifier, images = small_classifier(), noisy_images(5)
    found = TopPatches("all", top=2).run(classifier, images)
    first, second = found.summary().rows
    assert first[:2] == ("conv1", 4)
    assert first[3] == "3x3"
    assert second[3] == "8x8"  # 3 -> 4 by the pooling -> 4 + 2 * 2
    best = int(found.values[:4, 0].argmax())
    assert first[4:] == (best, round(float(found.values[best, 0]), 4))
    assert first[2] == found.dead[:4].sum()


@pytest.mark.parametrize(
    ("analysis", "error", "message"),
    [
        (TopPatches(9), LayerNotFound, "no layer 9; the layers are numbered from 1 to 2"),
    ],
)
def test_a_question_that_does_not_fit_is_refused(analysis, error, message):
    with pytest.raises(error, match=message):
        analysis.run(small_classifier(), noisy_images(3))


def test_filters_that_respond_to_the_padding_only_are_noted():
    """A filter of negative weights is strongest where most of what it sees is padding."""
    network = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), nn.Flatten(), nn.Linear(2 * 120, 5))
    with torch.no_grad():
        network[0].weight.fill_(0.1)
        network[0].weight[1] = -0.1
        network[0].bias.fill_(5.0)
    result = TopPatches(layer="all", top=3).run(plain(network, (12, 10)), noisy_images(4))
    assert border_notes(result) == result.notes()[-1:]
    assert border_notes(result) == (
        "all top patches of 1 filter reach beyond the border of the image, so it may respond "
        "to the padding: 0:1",
    )
    inside = dataclasses.replace(result, full_boxes=result.boxes)
    assert border_notes(inside) == ()
