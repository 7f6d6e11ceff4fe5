"""Are layers, filters and classes read as people mean them, or refused in one line?"""

import dataclasses
import json

import numpy as np
import pytest
import torch
from captum.attr import Occlusion as Captum
from networks_on_paper import noisy_images, small_classifier

from interpret_kit import (
    Ablation,
    Activations,
    FilterAblation,
    IncrementalOcclusion,
    Misclassifications,
    Occlusion,
    TopPatches,
)
from interpret_kit.errors import LayerNotFound, UsageError
from interpret_kit.models.argument_values import formatted
from interpret_kit.results.load import load_result

SAME = [
    (Ablation, "filters", (0, 2), [[0, 2], "0,2", "0, 2", np.array([0, 2]), torch.tensor([0, 2])]),
    (
        Ablation,
        "filters",
        (0, 1, 2),
        [range(3), "0-2", "0-1,2", {2, 1, 0}, [0, 1, 1, 2], iter((0, 1, 2))],
    ),
    (Ablation, "filters", (5,), [5, np.int64(5), "5", [5], torch.tensor(5), torch.tensor([5])]),
    (Ablation, "filters", "all", ["all", " all "]),
    (Activations, "filters", "strongest", ["strongest"]),
    (Ablation, "layer", (1, 3), [[1, 3], "1,3", (1, 3), ["1", "3"], np.array([1, 3]), [1, 3, 1]]),
    (Ablation, "layer", (1, 2, 3, "last"), [[1, 2, 3, "last"], "1-3,last", "1 - 3, last"]),
    (Ablation, "layer", 3, [3, "3", [3], np.int32(3), torch.tensor(3)]),
    (Activations, "layer", "conv3", ["conv3", ["conv3"], " conv3"]),
    (Occlusion, "target", 2, [2, np.int64(2), torch.tensor(2)]),
    (Occlusion, "target", (0, 2, 1), [[0, 2, 1], np.array([0, 2, 1]), torch.tensor([0, 2, 1])]),
    (Occlusion, "target", ("ant", 2), [["ant", 2]]),
    (Occlusion, "target", "dog", ["dog"]),
    (Occlusion, "fill", (255, 128, 0), [(255, 128, 0), [255, 128, 0], "255,128,0", "255, 128, 0"]),
    (Occlusion, "fill", 0.5, [0.5, "0.5", np.float64(0.5)]),
    (Occlusion, "fill", 0.0, [0, 0.0, "0"]),
    (Occlusion, "window", (16, 24), [(16, 24), [16, 24], "16x24", np.array([16, 24])]),
    (Occlusion, "window", 16, [16, "16", [16], np.int64(16)]),
    (
        Misclassifications,
        "ablate",
        ((3, (7, 9)),),
        [{3: [7, 9]}, "3:7,9", [(3, [7, 9])], ["3:7,9"]],
    ),
    (
        *(Misclassifications, "ablate", ((3, (7,)), ("conv5", (0, 1)))),
        [{3: 7, "conv5": range(2)}, ["3:7", "conv5:0-1"], [[3, [7]], ["conv5", [0, 1]]]],
    ),
    (Misclassifications, "ablate", ((2, "all"),), [{2: "all"}, "2:all"]),
    (Misclassifications, "ablate", (), ["", {}, [], ()]),
    (TopPatches, "top", 3, [3, np.int64(3), torch.tensor(3)]),
]


@pytest.mark.parametrize(("kind", "field", "read", "given"), SAME)
def test_all_ways_to_say_it_are_read_as_one_value(kind, field, read, given):
    for each in given:
        question = kind(**{field: each})
        assert getattr(question, field) == read
        assert type(getattr(question, field)) is type(read)
        assert question == kind(**{field: read})
        assert hash(question) == hash(kind(**{field: read}))
        plain = json.loads(json.dumps(dict(question.fields())))
        assert kind(**plain) == question


EXAMPLES = {
    "filters": r'; give filters=\[0, 5\], filters=range\(8\) or filters="(all|strongest)"$',
    "layer": r'; give layer=3, layer="conv3" or layer=(\[1, 3\]|network\.conv3)$',
    "target": r'; give target=2, target="dog", or one for each image, as in target=\[0, 2\]$',
    "ablate": r'; give ablate=\{3: \[7, 9\]\} or ablate=\{"conv3": 7\}$',
}
WRONG = {
    "filters": [None, True, 2.5, float("nan"), [], [[0]], [0, None], [True], -1, [0, -1], {0: 1}],
    "layer": [None, True, 2.5, [], [[1]], [1, None], {1: 2}, b"1", slice(3)],
    "target": [None, True, 2.5, [], [[0]], [0, None], -1, [0, -1], {0: 1}, torch.zeros(2, 2)],
    "ablate": [None, True, 3, 2.5, [3, 7], [(3,)], [None]],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, each) for field, values in WRONG.items() for each in values]
)
def test_an_impossible_argument_is_reported_with_an_example(field, value):
    kind = {"filters": Ablation, "layer": Ablation, "target": Occlusion}.get(
        field, Misclassifications
    )
    with pytest.raises(UsageError, match=f"^`{field}` .*{EXAMPLES[field]}"):
        kind(**{field: value})


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Ablation(filters="first"), "`filters` 'first' holds 'first', which is not a num"),
        (
            lambda: Ablation(filters="0,"),
            "`filters` '0,' holds '', which is not a number",
        ),
        (lambda: Ablation(filters="²"), "holds '²', which is not"),
        (lambda: Ablation(filters="7-0"), "cannot read the range '7-0'; give 0-7"),
        (lambda: Ablation(filters="0-99999999999"), "cannot read the range '0-9+'; give a shorter"),
        (
            lambda: Ablation(layer="1,,3"),
            "`layer` '1,,3' has an empty part; give 3, conv3, 1,3, 1-3",
        ),
        (lambda: Ablation(layer=0), "no layer 0; layers are numbered from 1"),
        (lambda: Ablation(layer="-1"), "no layer -1; layers are numbered from 1"),
        (lambda: Activations(layer=[1, 2]), r"`layer` \[1, 2\] names several layers, but one is"),
        (lambda: Activations(layer="1-2"), "`layer` '1-2' names several layers, but one is needed"),
        (lambda: Misclassifications(ablate="2"), "`ablate` '2' is not LAYER:FILTERS"),
        (lambda: Activations(layer="all"), "`layer` 'all' names several layers, but one is needed"),
        (
            lambda: Misclassifications(ablate="1:0,2:1"),
            "`ablate` '1:0,2:1' names several layers;",
        ),
        (lambda: Misclassifications(ablate={2: 2.5}), "^`ablate`: filters is 2.5; give"),
        (lambda: Misclassifications(ablate={None: 2}), "^`ablate`: layer is None; give"),
        (lambda: Occlusion(target=""), "`target` '' is empty; give a name or an index"),
        (lambda: TopPatches(top=0), "`top` is 0; it must be at least 1"),
        (lambda: TopPatches(top=2.5), "`top` is 2.5; give an integer, as in `top=8`"),
        (lambda: TopPatches(per_image=None), "`per_image` is None; give an integer"),
        (
            lambda: Ablation(site="here"),
            "`site` is 'here'; give 'convolution', 'pre-activation' or 'act",
        ),
        (lambda: Ablation(only_right="yes"), "`only_right` is 'yes'; give True or False"),
    ],
)
def test_the_sentence_names_what_was_given(make, message):
    with pytest.raises(UsageError, match=message):
        make()


class TestModulesAsLayers:
    def test_a_module_is_the_layer_of_its_name(self, classifier, images, tmp_path):
        network = classifier.network
        found = Ablation(layer=[network.conv2, 1]).run(classifier, images)
        named = Ablation(layer=["conv2", 1]).run(classifier, images)
        assert found.analysis == named.analysis
        np.testing.assert_array_equal(found.broken, named.broken)
        assert load_result(found.save(tmp_path / "result")).analysis == named.analysis

    def test_layers_that_were_listed_can_be_given(self, classifier):
        listed = classifier.layers()
        assert classifier.find_layers(listed[0]) == listed[:1]
        assert classifier.find_layers([classifier.network.conv1, "2"])[0].label == "conv1"

    def test_filters_of_a_module_can_be_ablated(self, classifier, images):
        found = Misclassifications(ablate={classifier.network.conv2: [1, 4]})
        assert found.run(classifier, images).ablated == (("conv2", (1, 4)),)

    def test_a_module_of_another_network_is_reported(self, classifier, images):
        stranger = small_classifier().network.conv1
        with pytest.raises(LayerNotFound, match="the Conv2d given as layer is not a module of thi"):
            Activations(layer=stranger).run(classifier, images)
        with pytest.raises(LayerNotFound, match="is the whole network; give one of its layers"):
            classifier.find_layers(classifier.network)


def test_filters_of_several_layers_are_ablated_together(classifier, images):
    found = Misclassifications(ablate={1: [0, 3], "conv2": 2, "last": 4}).run(classifier, images)
    network = classifier.network
    with torch.no_grad():
        for layer, filters in ((network.conv1, [0, 3]), (network.conv2, [2, 4])):
            layer.weight[filters] = 0
            if layer.bias is not None:
                layer.bias[filters] = 0
    expected = Misclassifications().run(classifier, images)
    np.testing.assert_array_equal(found.confusion, expected.confusion)
    assert (found.confusion != found.confusion_before).any()
    assert found.ablated == (("conv1", (0, 3)), ("conv2", (2, 4)))


def test_one_class_for_each_image_follows_its_image(classifier):
    images = noisy_images().only([1, 4, 5])
    wanted = [2, classifier.classes[0], 1]
    found = Occlusion(4, target=wanted).run(classifier, images, batch_size=2)
    assert found.target.tolist() == [2, 0, 1]
    for row, image in enumerate((1, 4, 5)):
        alone = Occlusion(4, target=wanted[row]).run(classifier, images.only([image]))
        np.testing.assert_allclose(found.confidence[row], alone.confidence[0], rtol=1e-5)


def test_a_brightness_is_shown_exactly(classifier, images):
    """A half is between the levels 127 and 128; covered everywhere, only the fill is left."""
    found = Occlusion((12, 10), fill=0.5).run(classifier, images.take(1))
    with torch.no_grad():
        gray = classifier.eval().probabilities(torch.full((1, 3, 12, 10), 0.5))[0]
    np.testing.assert_allclose(found.confidence[0, 0, 0], gray[found.target[0]].item(), rtol=1e-6)


def test_what_was_read_once_stays_the_same_when_read_again():
    for kind, field, read, _ in SAME:
        question = kind(**{field: read})
        assert dataclasses.replace(question) == question


def test_progress_may_be_a_bar(classifier, images, capsys):
    expected = Ablation(1).run(classifier, images)
    np.testing.assert_array_equal(
        Ablation(1).run(classifier, images, progress=True).broken, expected.broken
    )
    said = capsys.readouterr().err
    assert "ablation: 100%" in said
    assert "17/17 images" in said


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"batch_size": 0}, "`batch_size` is 0; it must be at least 1"),
        ({"batch_size": "8"}, "`batch_size` is '8'; give an integer of at least 1, or 'auto'"),
        ({"strict": "no"}, "`strict` is 'no'; give True or False"),
    ],
)
def test_what_only_changes_the_speed_is_checked_too(classifier, images, keywords, message):
    with pytest.raises(UsageError, match=message):
        Ablation(1).run(classifier, images, **keywords)


@pytest.mark.parametrize("progress", ["yes", 1, [print]])
def test_progress_that_is_not_a_function_is_reported(classifier, images, progress):
    with pytest.raises(UsageError, match="give progress=True for a bar, or a function of"):
        Ablation(1).run(classifier, images, progress=progress)


class TestCaptumsForm:
    """`FilterAblation` and `IncrementalOcclusion`: the same values, as for the analyses."""

    def test_filters_layers_and_targets_may_be_anything_that_analyses_take(self, classifier):
        pixels = torch.rand(3, 3, 12, 10, generator=torch.Generator().manual_seed(0))
        expected = FilterAblation(classifier, 2).attribute(pixels, [0, 2, 1], [1, 4])
        assert expected.shape == (3, 2)
        ways = [
            (classifier.network.conv2, np.array([0, 2, 1]), "1,4"),
            ("conv2", torch.tensor([0, 2, 1]), range(1, 5, 3)),
            ([2], [classifier.classes[0], 2, classifier.classes[1]], np.array([1, 4])),
            (np.int64(2), (0, 2, 1), [1, 4, 1]),
        ]
        for layer, target, filters in ways:
            found = FilterAblation(classifier, layer).attribute(pixels, target, filters)
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7)
        one = FilterAblation(classifier, "last").attribute(pixels, np.int64(2), 4)
        named = FilterAblation(classifier, 2).attribute(pixels, classifier.classes[2], [4])
        torch.testing.assert_close(one, named)

    def test_occlusion_takes_names_and_arrays(self, classifier):
        pixels = torch.rand(2, 3, 12, 10, generator=torch.Generator().manual_seed(0))
        window = ((3, 6, 5), (3, 6, 5))
        for function in (classifier, classifier.probabilities):
            expected = Captum(function).attribute(pixels, *window, target=[2, 0])
            name = classifier.classes[0]
            for target in (np.array([2, 0]), [2, name], [np.int64(2), 0]):
                found = IncrementalOcclusion(function).attribute(pixels, *window, target=target)
                torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
            expected = Captum(function).attribute(pixels, *window, target=0)
            found = IncrementalOcclusion(function).attribute(pixels, *window, target=name)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            ("dgo", "no class 'dgo' in"),
            ([0, 1], "target names 2 classes for 3 inputs; give one class for all, or one for"),
            (np.array([0, 1]), "target names 2 classes for 3 inputs"),
            (2.5, "`target` is 2.5; give target=2"),
            (
                [[0], [1], [2]],
                r"`target` \[\[0\], \[1\], \[2\]\] holds \[0\], which is not a class",
            ),
            (True, "`target` is True; give"),
        ],
    )
    def test_an_impossible_target_is_reported(self, classifier, target, message):
        pixels = torch.rand(3, 3, 12, 10)
        with pytest.raises(UsageError, match=message):
            FilterAblation(classifier, 2).attribute(pixels, target)
        with pytest.raises(UsageError, match=message):
            IncrementalOcclusion(classifier).attribute(pixels, (3, 6, 5), target=target)

    def test_a_class_that_the_outputs_do_not_have_is_reported(self, classifier):
        ours = IncrementalOcclusion(classifier.network)
        with pytest.raises(UsageError, match="no class 9 in the outputs; there are 5, from 0 to 4"):
            ours.attribute(torch.rand(2, 3, 12, 10), (3, 6, 5), target=[0, 9])

    def test_a_name_needs_a_classifier(self, classifier):
        with pytest.raises(UsageError, match="'dog' is a name, and a plain network has none"):
            FilterAblation(classifier.network, 1).attribute(torch.rand(1, 3, 12, 10), "dog")

    def test_filters_that_are_not_there_are_reported(self, classifier):
        with pytest.raises(LayerNotFound, match="no filter 9 in layer conv2; it has 6 filters"):
            FilterAblation(classifier, 2).attribute(torch.rand(1, 3, 12, 10), 0, [9])
        with pytest.raises(LayerNotFound, match="names several layers, but one is needed"):
            FilterAblation(classifier, [1, 2])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (((2, (1,)),), "2:1"),
        (((3, (7, 9)), ("conv3", (0,))), "3:7,9 conv3:0"),
        ((0, 2), "0, 2"),
        ("all", "all"),
        ((), ""),
    ],
)
def test_values_of_fields_are_written_for_a_person(value, text):
    assert formatted(value) == text
