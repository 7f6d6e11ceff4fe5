"""Are silent mistakes of other libraries avoided here? Tests are named after what goes right."""

import warnings

import captum.attr
import numpy as np
import pytest
import torch
from float_rules import assert_near, in_double, terms_of
from networks_on_paper import (
    SmallNet,
    TopLeftNet,
    TwiceNet,
    drawn,
    noise,
    noisy_images,
    plain,
    small_classifier,
)
from torch import nn

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import LayerNotFound, UsageError
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.layers.hooks import ablated, ablated_by_row
from interpret_kit.results.load import load_result


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("logits", [1, 5])
def test_the_head_is_chosen_by_the_output_not_by_the_channels_of_the_input(channels, logits):
    # MONAI: RGB and one logit gave a map of ones; gray and five classes summed to 2.5.
    network = nn.Sequential(nn.Flatten(), nn.Linear(channels * 16, logits))
    drawn(network, seed=1)
    classifier = Classifier(network, size=(4, 4), mean=(0.4,) * channels, std=(0.3,) * channels)
    maps = Occlusion(2, 2).run(classifier, ImageSet.from_arrays(noise(3, (4, 4))))
    assert len(np.unique(maps.confidence)) > 3
    with torch.no_grad():
        found = classifier.probabilities(torch.rand(6, 3, 4, 4))
    torch.testing.assert_close(found.sum(1), torch.ones(6))
    assert found.shape[1] == max(logits, 2)


def test_a_network_in_train_mode_is_asked_in_eval_mode_and_its_statistics_stay():
    # Captum attributes in train mode, and BatchNorm's statistics move.
    classifier, images = small_classifier(), noisy_images(6)
    expected = Occlusion(4, 3).run(classifier, images)
    classifier.train()
    before = {name: each.clone() for name, each in classifier.state_dict().items()}
    found = Occlusion(4, 3).run(classifier, images)
    np.testing.assert_array_equal(found.attribution, expected.attribution)
    torch.testing.assert_close(dict(classifier.state_dict()), before, rtol=0, atol=0)
    assert all(each.training for each in classifier.modules())


def test_one_infinite_pixel_is_refused_and_cannot_make_a_map_of_nan():
    # Captum's whole map becomes NaN.
    pixels = np.zeros((2, 4, 4, 3), np.float32)
    pixels[1, 2, 2, 0] = np.inf
    with pytest.raises(UsageError, match=r"floats must be in \[0, 1\]"):
        ImageSet.from_arrays(pixels)
    pixels[1, 2, 2, 0] = np.nan
    with pytest.raises(UsageError, match=r"floats must be in \[0, 1\]"):
        ImageSet.from_arrays(pixels)
    with pytest.raises(UsageError, match=r"floats must be in \[0, 1\]"):
        plain(TopLeftNet(), (4, 4)).probabilities(torch.full((1, 3, 4, 4), torch.inf))


def test_every_call_of_a_module_can_be_read_not_only_the_last():
    # Captum's LayerActivation returns the last call.
    classifier = plain(drawn(TwiceNet(), seed=5), (6, 6))
    images = ImageSet.from_arrays(noise(4, (6, 6)))
    first, last = (
        Activations(f"conv#{k}", filters="all", site="convolution").run(classifier, images).maps
        for k in (1, 2)
    )
    pixels = (torch.from_numpy(noise(4, (6, 6))).permute(0, 3, 1, 2) / 255).double()
    double = in_double(classifier)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        captums = captum.attr.LayerActivation(double, double.network.conv)
        assert_near(last, captums.attribute(pixels))
        assert_near(first, double.network.conv(pixels))


def saturated():
    """A network whose ReLU6 saturates: filter 0 dead, filter 1 at 6, the others as they come."""
    network = SmallNet()
    network.act1 = nn.ReLU6()
    with torch.no_grad():
        network.norm1.bias.copy_(torch.tensor([-99.0, 99.0, 0.0, 0.0]))
    return plain(network, (12, 10))


def test_ties_of_dead_and_saturated_filters_do_not_move_with_the_batch_size():
    # zennit-crp: other top images with every batch size.
    images = ImageSet.from_arrays(noise(65))
    analysis = TopPatches(1, top=5, per_image=2, site="activation")
    found = [analysis.run(saturated(), images, batch_size=size) for size in (64, 7, 1)]
    for field in found[0].array_fields():
        assert len({getattr(each, field.name).tobytes() for each in found}) == 1, field.name
    assert found[0].images[:2].tolist() == [[0, 0, 1, 1, 2]] * 2
    assert found[0].dead.tolist()[:2] == [True, False]


def test_the_image_with_the_largest_activation_is_on_top():
    # zennit-crp's normalisation drops it.
    photos = np.full((5, 12, 10, 3), 40, np.uint8)
    photos[3, 5:8, 4:7] = 255
    network = SmallNet()
    with torch.no_grad():
        network.conv1.weight.fill_(0.5)
    found = TopPatches(1, top=2, site="convolution").run(
        plain(network, (12, 10)), ImageSet.from_arrays(photos)
    )
    assert found.images[:, 0].tolist() == [3] * 4
    assert found.rows[:, 0].tolist() == [6] * 4
    assert found.cols[:, 0].tolist() == [5] * 4


def test_filters_that_are_always_negative_have_real_images_in_float32_order():
    # SemanticLens: scores in bfloat16 from a start of -0.0; image -1, and near ties mixed up.
    levels = np.array([130, 128, 129, 131, 127])
    photos = levels[:, None, None, None].repeat(4, 1).repeat(4, 2).repeat(3, 3).astype(np.uint8)
    network = nn.Sequential(nn.Conv2d(3, 1, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with torch.no_grad():
        network[0].weight.fill_(1e-3)
        network[0].bias.fill_(-9)  # bfloat16 steps by 1/32 here: all five would tie
    found = TopPatches(1, top=5).run(plain(network, (4, 4)), ImageSet.from_arrays(photos))
    assert (found.values < 0).all()
    assert found.images.tolist() == [[3, 0, 2, 1, 4]]


def test_what_is_written_on_ablation_is_the_same_at_every_place_in_the_batch():
    # pytorch-grad-cam's AblationCAM: it depends on the place.
    network, one = SmallNet(), torch.rand(1, 3, 12, 10)
    with torch.no_grad(), ablated_by_row(network, ("conv2", 1), torch.tensor([1] * 4 + [2])):
        together = network(one.expand(5, -1, -1, -1))
    double = in_double(network)
    with torch.no_grad(), ablated_by_row(double, ("conv2", 1), torch.tensor([1])):
        alone = double(one.double())
    assert_near(together[:4], alone.expand(4, -1), terms=terms_of(network, one))
    assert not torch.allclose(together[0], together[4], atol=1e-3)


def test_the_network_is_whole_again_after_an_ablation_that_broke():
    # pytorch-grad-cam swaps a module, without finally.
    network, pixels = SmallNet(), torch.rand(2, 3, 12, 10)
    modules = list(network.modules())
    with torch.no_grad():
        before = network(pixels)
        with (
            pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
            ablated(network, [("conv1", 1)], [0]),
        ):
            network(torch.rand(2, 3, 40, 40))
        assert all(a is b for a, b in zip(network.modules(), modules, strict=True))
        torch.testing.assert_close(network(pixels), before, rtol=0, atol=0)


def test_every_pixel_is_covered_and_overlaps_are_averaged():
    # Xplique: the last rows and columns never; overlaps summed.
    class Sum(nn.Module):
        def forward(self, pixels):
            total = pixels.mean((1, 2, 3))
            return torch.stack([torch.zeros_like(total), total], dim=1)

    white = ImageSet.from_arrays(np.full((1, 11, 8, 3), 255, np.uint8))
    maps = Occlusion(window=4, stride=3, fill="black", target=1).run(plain(Sum(), (11, 8)), white)
    assert maps.confidence.shape == (1, 4, 3)  # rows 0, 3, 6, 9 (cut); columns 0, 3, 6 (cut)
    assert (maps.attribution > 0).all()
    # In the middle all windows are whole, and a pixel under one, two or four is given the same.
    middle = maps.attribution[0, :9, :6]
    np.testing.assert_allclose(middle, middle[0, 0], rtol=1e-4)


def test_windows_do_not_wrap_round_the_edge():
    # zennit: a window at the right edge wraps around to the left.
    white = ImageSet.from_arrays(np.full((1, 4, 5, 3), 255, np.uint8))
    maps = Occlusion(window=2, stride=2, fill="black").run(plain(TopLeftNet(), (4, 5)), white)
    covering = maps.masks()[:, 0, 0].reshape(maps.confidence.shape[1:])
    assert covering.sum() == 1
    assert len(np.unique(maps.confidence[0].ravel()[1:])) == 1


def test_height_and_width_are_not_swapped():
    # tf-explain: swapped on images that are not square.
    class LowerLeft(TopLeftNet):
        def forward(self, pixels):
            return super().forward(pixels.flip(2))

    white = ImageSet.from_arrays(np.full((1, 4, 12, 3), 255, np.uint8))
    maps = Occlusion(window=(2, 3), stride=(2, 3), fill="black").run(
        plain(LowerLeft(), (4, 12)), white
    )
    assert maps.attribution.shape == (1, 4, 12)
    assert maps.confidence.shape == (1, 2, 4)
    rows, cols = np.nonzero(maps.attribution[0])
    assert (set(rows), set(cols)) == ({2, 3}, {0, 1, 2})


def test_ablation_leaves_no_bias_no_batchnorm_trace_and_is_undone():
    # DNNBrain zeroes the weights, leaves bias and BatchNorm, and cannot undo it.
    classifier, images = small_classifier(), noisy_images(20)
    with torch.no_grad():
        classifier.network.norm1.bias.fill_(2)
    before, entering = classifier.fingerprint, []
    handle = classifier.network.pool1.register_forward_pre_hook(
        lambda _m, inputs: entering.append(inputs[0][:, 0].abs().max().item())
    )
    Misclassifications("1:0", site="activation").run(classifier, images, batch_size=64)
    handle.remove()
    assert entering[-1] == 0 < entering[-2]  # the last forward pass is the ablated one
    assert classifier.fingerprint == before


@pytest.mark.parametrize("typed", ["__import__('os').getcwd()", "network.conv1", "conv1;1", "1 "])
def test_what_a_user_types_is_looked_up_and_never_run(typed):
    # DNNBrain and CLIP-Dissect eval it.
    if typed == "1 ":
        assert small_classifier().find_layers(typed)[0].label == "conv1"
    else:
        with pytest.raises(LayerNotFound, match="that returns feature maps"):
            small_classifier().find_layers(typed)


def test_merging_leaves_the_parts_and_what_was_read_of_them_as_they_were():
    # zennit-crp deletes the parts before the whole is saved.
    classifier, images = small_classifier().eval(), noisy_images(10)
    for analysis in (TopPatches(1), Ablation(1), Misclassifications()):
        origin = analysis.run(classifier, images).origin
        with torch.no_grad():
            parts = [
                analysis.begin(classifier, images, RunProgress(5, len(images))) for _ in range(2)
            ]
            for part, batch in zip(parts, images.read(classifier.preprocessing, 5), strict=True):
                part.add(batch)
            read = [part.finish(origin) for part in parts]
            kept = [
                {f.name: getattr(each, f.name).copy() for f in each.array_fields()} for each in read
            ]
            parts[0].merge(parts[1])
            again = [read[0], parts[1].finish(origin)]
        for before, after in zip(kept, again, strict=True):
            for name, values in before.items():
                np.testing.assert_array_equal(getattr(after, name), values)


def test_a_saved_result_says_of_which_weights_and_images_it_is(tmp_path):
    # SemanticLens and dissect load caches of other weights.
    results = [
        Misclassifications().run(small_classifier(seed=seed), noisy_images(count))
        for seed, count in ((1, 8), (2, 8), (1, 9))
    ]
    back = [load_result(each.save(tmp_path / str(k))) for k, each in enumerate(results)]
    assert len({each.origin.weights for each in back}) == 2
    assert len({each.origin.contents for each in back}) == 2
    assert back[0].origin.weights == small_classifier().fingerprint


def test_a_result_says_where_a_filter_was_ablated():
    # Zero before BatchNorm leaves a constant: "zero" alone says too little.
    classifier, images = small_classifier(), noisy_images(8)
    sites = ("convolution", "pre-activation", "activation")
    found = [Ablation(1, site=site).run(classifier, images) for site in sites]
    assert [each.ablated_at for each in found] == [("conv1",), ("norm1",), ("act1",)]
    assert abs(found[0].confidence_lost - found[2].confidence_lost).max() > 1e-4
