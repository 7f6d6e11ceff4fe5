"""Are attribution maps Captum's numbers, and is what cannot be computed refused in one sentence?"""

import copy

import captum.attr
import numpy as np
import pytest
import torch
from float_rules import assert_exact, in_double
from networks_on_paper import (
    CLASSES,
    ColourNet,
    SmallNet,
    TwiceNet,
    drawn,
    noisy_images,
    pixels_of,
    plain,
    small_classifier,
)
from torch import nn
from torch.ao.nn import quantized

import interpret_kit as ik
from interpret_kit.captum_api.gradient_maps import MAPS, Scores, grad_cam
from interpret_kit.errors import NotSupported, UsageError, WrongType
from interpret_kit.models.probing.evaluation import evaluating

IMAGES = noisy_images(3)


class Normalised(nn.Module):
    """What Captum is called on directly: a plain module that normalises."""

    def __init__(self, classifier):
        super().__init__()
        self.network = copy.deepcopy(classifier.network).eval()
        self.mean, self.std = classifier.mean.clone(), classifier.std.clone()

    def forward(self, pixels):
        return self.network((pixels - self.mean) / self.std)


@pytest.fixture(scope="module")
def double():
    classifier = in_double(small_classifier())
    pixels = pixels_of(IMAGES, classifier).double()
    with torch.no_grad():
        return classifier, pixels, classifier(pixels).argmax(1)


def captums(method, classifier, pixels, targets):
    """The map of a method, by Captum alone: at conv2 and its ReLU, which computes in place."""
    module = Normalised(classifier)
    given, size = pixels.clone().requires_grad_(), tuple(pixels.shape[2:])
    if method == "saliency":
        return captum.attr.Saliency(module).attribute(given, target=targets).amax(1)
    if method == "gradcam":
        cam = captum.attr.LayerGradCam(module, module.network.act2)
        coarse = cam.attribute(given, target=targets, relu_attributions=True)
        return captum.attr.LayerAttribution.interpolate(coarse, size, "bilinear")[:, 0]
    guided = captum.attr.GuidedGradCam(module, module.network.act2)
    return guided.attribute(given, target=targets, interpolate_mode="bilinear").sum(1)


@pytest.mark.filterwarnings("ignore:Setting backward hooks")
@pytest.mark.parametrize("method", MAPS)
def test_maps_are_captums(double, method):
    classifier, pixels, targets = double
    (layer,) = classifier.find_layers("last")
    with evaluating(classifier):
        found = MAPS[method](Scores(classifier, layer, "activation"), pixels, targets)
    expected = captums(method, classifier, pixels, targets).detach()
    assert_exact(found, expected)
    assert expected.abs().max() > 0


def test_a_run_has_the_same_maps_in_the_order_of_the_methods_and_sums_of_ig(double):
    classifier, pixels, targets = double
    methods = ("ig", "saliency", "occlusion", "gradcam")
    result = ik.Attribution(method=methods, steps=200, fill="black").run(classifier, IMAGES)
    assert result.target.tolist() == targets.tolist()
    for k, method in ((1, "saliency"), (3, "gradcam")):
        expected = captums(method, classifier, pixels, targets).detach().float().numpy()
        np.testing.assert_allclose(result.maps[:, k], expected, rtol=1e-5, atol=1e-7)
    given = captum.attr.IntegratedGradients(Normalised(classifier))
    expected = given.attribute(pixels, torch.zeros_like(pixels), target=targets, n_steps=200)
    np.testing.assert_allclose(result.maps[:, 0], expected.detach().sum(1), rtol=1e-5, atol=1e-7)
    with torch.no_grad():
        outputs = classifier(pixels) - classifier(torch.zeros_like(pixels))
    change = outputs[range(3), targets]
    assert_exact(result.change, change.numpy())
    np.testing.assert_allclose(result.maps[:, 0].sum((1, 2)), change, rtol=0.05)
    occlusion = ik.Occlusion(fill="black").run(classifier, IMAGES)
    np.testing.assert_array_equal(result.maps[:, 2], occlusion.attribution)


def test_maps_of_a_network_worked_out_on_paper():
    """The logit is the mean of red: the gradient of each of 4 pixels, if its ReLU is not off."""
    classifier = plain(ColourNet(), (2, 2), classes=["red", "green"])
    colours = np.array([[[[255, 0, 0], [51, 0, 0]], [[0, 102, 0], [0, 0, 255]]]], np.uint8)
    images = ik.ImageSet.from_arrays(colours)
    settings = {"method": "saliency,ig,gradcam", "fill": "black", "target": "red", "steps": 3}
    result = ik.Attribution(**settings).run(classifier, images)
    red = np.array([[1, 0.2], [0, 0]])
    np.testing.assert_allclose(result.maps[0, 0], np.where(red > 0, 0.25, 0), rtol=1e-6)
    np.testing.assert_allclose(result.maps[0, 1], red / 4, rtol=1e-6)
    np.testing.assert_allclose(result.maps[0, 2], red / 4, rtol=1e-6)
    assert result.change == pytest.approx(0.3, rel=1e-6)
    assert result.confidence == pytest.approx(1 / (1 + np.exp(0.6 - 0.3)), rel=1e-5)


def test_a_single_logit_is_that_of_the_second_class_and_its_negative_that_of_the_first():
    network = nn.Sequential(nn.Conv2d(3, 1, 2), nn.Flatten())
    classifier = plain(drawn(network), (2, 2), classes=["no", "yes"])
    images = ik.ImageSet.from_arrays(np.full((1, 2, 2, 3), 128, np.uint8))
    both = [
        ik.Attribution(method="ig", target=k, fill="black").run(classifier, images).maps
        for k in (0, 1)
    ]
    np.testing.assert_array_equal(both[0], -both[1])
    expected = network[0].weight[0].sum(0).detach() * 128 / 255
    np.testing.assert_allclose(both[1][0, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("call", [1, 2])
def test_grad_cam_is_of_the_call_that_is_named(call):
    """Captum alone takes the last call of a module that is called twice."""
    network = TwiceNet().double()
    classifier = plain(network, (6, 6))
    pixels = torch.rand(2, 3, 6, 6, dtype=torch.float64, generator=torch.manual_seed(0))
    (layer,) = classifier.find_layers(f"conv#{call}")
    with evaluating(classifier):
        found = grad_cam(Scores(classifier, layer, "convolution"), pixels, torch.tensor([1, 1]))
    first = network.conv(pixels)
    maps = first if call == 1 else network.conv(network.act(first))
    maps = maps.detach().requires_grad_()
    rest = maps if call == 2 else network.conv(network.act(maps))
    outputs = network.head(network.act(network.act(rest).mean((2, 3))))
    (gradient,) = torch.autograd.grad(outputs[:, 1].sum(), maps)
    expected = (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu().detach()
    assert_exact(found.numpy(), expected.numpy(), float(expected.abs().max()) or 1.0)


class Tokens(nn.Module):
    """A small transformer's form: patches as tokens behind a class token, which alone is read."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 4, 2, 2)
        self.token = nn.Parameter(torch.ones(1, 1, 4))
        self.norm = nn.LayerNorm(4)
        self.mix = nn.MultiheadAttention(4, 1, batch_first=True)
        self.final = nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)
        drawn(self, seed=5)

    def forward(self, pixels):
        tokens = self.patches(pixels).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.token.expand(len(pixels), -1, -1), tokens], 1)
        tokens = self.norm(tokens)
        tokens = self.final(tokens + self.mix(tokens, tokens, tokens, need_weights=False)[0])
        return self.head(tokens[:, 0])


def test_grad_cam_of_tokens_is_that_of_their_grid():
    network = Tokens().double()
    classifier = plain(network, (4, 6))
    pixels = torch.rand(2, 3, 4, 6, dtype=torch.float64, generator=torch.manual_seed(0))
    (layer,) = classifier.find_layers("norm")
    with evaluating(classifier):
        found = grad_cam(Scores(classifier, layer, "convolution"), pixels, torch.tensor([1, 2]))
    tokens = network.patches(pixels).flatten(2).transpose(1, 2)
    tokens = network.norm(torch.cat([network.token.expand(2, -1, -1), tokens], 1)).detach()
    tokens.requires_grad_()
    mixed = network.mix(tokens, tokens, tokens, need_weights=False)[0]
    outputs = network.head(network.final(tokens + mixed)[:, 0])
    (gradient,) = torch.autograd.grad(outputs[0, 1] + outputs[1, 2], tokens)
    weights = gradient[:, 1:].mean(1, keepdim=True)
    coarse = (weights * tokens[:, 1:]).sum(2).relu().view(2, 1, 2, 3).detach()
    expected = nn.functional.interpolate(coarse, (4, 6), mode="bilinear")[:, 0]
    assert expected.max() > 0
    assert_exact(found.numpy(), expected.numpy())


def test_a_layer_behind_which_only_the_class_token_is_read_is_refused():
    analysis = ik.Attribution(method="gradcam", layer="final")
    with pytest.raises(NotSupported, match="feature maps of layer final, as after"):
        analysis.run(plain(Tokens(), (4, 6)), noisy_images(1, (4, 6)))


class Functional(SmallNet):
    """Its second ReLU is a function."""

    def forward(self, pixels):
        pixels = self.pool1(self.act1(self.norm1(self.conv1(pixels))))
        return self.head(self.flatten(nn.functional.relu(self.norm2(self.conv2(pixels)))))


class Detached(SmallNet):
    """Returns outputs without gradients."""

    def forward(self, pixels):
        with torch.no_grad():
            return super().forward(pixels)


def smooth():
    network = SmallNet()
    network.act1, network.act2 = nn.ReLU6(), nn.GELU()
    return network


def dense():
    return drawn(nn.Sequential(nn.Flatten(), nn.Linear(360, 3)))


def frozen_in_inference():
    with torch.inference_mode():
        return SmallNet()


def quantised():
    eighths = quantized.Quantize(0.125, 0, torch.quint8), quantized.DeQuantize()
    return drawn(nn.Sequential(*eighths, nn.Flatten(), nn.Linear(360, 3)))


REFUSED = [
    (Functional, "guided-gradcam", "but 1 of the 2 ReLUs of .* is called as functions, such as F"),
    (smooth, "guided-gradcam", r"has none \(its activations are GELU, ReLU6\); `method='gradcam'`"),
    (Detached, "ig,saliency", "ig and saliency need gradients of .* computed without them; `meth"),
    (dense, "gradcam", "need a layer with feature maps: the network has no convolution .*ig,sal"),
    (quantised, "ig", "ig needs gradients of .* integers have no gradients; `method='occlusion'`"),
    (frozen_in_inference, "saliency", "made in torch.inference_mode; load or copy the network out"),
]


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize(("make", "method", "said"), REFUSED)
def test_a_network_without_what_a_method_needs_is_refused_in_one_sentence(make, method, said):
    with pytest.raises(NotSupported, match=said) as error:
        ik.Attribution(method=method).run(plain(make(), (12, 10)), IMAGES)
    assert "\n" not in str(error.value)


def test_frozen_weights_have_maps_all_the_same(double):
    classifier, *_ = double
    frozen = copy.deepcopy(classifier).requires_grad_(False)
    analysis = ik.Attribution(method="gradcam,guided-gradcam,ig,saliency", steps=3)
    expected, found = (analysis.run(each, IMAGES) for each in (classifier, frozen))
    np.testing.assert_array_equal(found.maps, expected.maps)
    assert not any(each.requires_grad for each in frozen.parameters())


def test_fields_that_no_method_reads_are_refused():
    for field, value in {"layer": 1, "steps": 9, "fill": "black", "window": 4}.items():
        with pytest.raises(UsageError, match=f"`{field}` only applies to .*drop `{field}`"):
            ik.Attribution(method="saliency", **{field: value})


def test_methods_are_given_as_text_or_list_and_others_are_refused():
    assert ik.Attribution(method="IG, guided_gradcam,ig").method == ("ig", "guided-gradcam")
    assert ik.Attribution(method=["ig", "saliency"]).method == ("ig", "saliency")
    with pytest.raises(UsageError, match="`method` 'grad-cam' is not a method; similar names: gra"):
        ik.Attribution(method="ig,grad-cam")
    with pytest.raises(UsageError, match="`method` is empty; give some of occlusion, gradcam"):
        ik.Attribution(method=" ,")
    with pytest.raises(WrongType, match=r"`method` is 3; give names, as in `method='occlusion,ig'"):
        ik.Attribution(method=3)


def result_of(maps, method, change=(np.nan,)):
    """A result with these maps (methods, 7, 7) of one image."""
    made = ik.Attribution(method=method).run(small_classifier((7, 7)), noisy_images(1, (7, 7)))
    arrays = {"maps": np.float32(maps)[None], "change": np.array(change)}
    return ik.AttributionResult(
        **{**{k: getattr(made, k) for k in made.__dataclass_fields__}, **arrays}
    )


def test_the_lead_says_whether_the_strongest_regions_overlap():
    maps = np.zeros((2, 7, 7))
    maps[0, 1, 2], maps[1, 1, 2] = 1, 3
    result = result_of(maps, "ig,saliency", change=[1])
    assert result.region == (1, 1)
    assert result.lead() == "the strongest regions of ig and saliency overlap"
    assert [row[5] for row in result.summary().rows] == ["1,2", "1,2"]
    maps[1, 6, 6] = 4
    result = result_of(maps, "ig,saliency", change=[1])
    assert result.lead() == "the strongest regions of ig and saliency do not all overlap"
    assert result.numbers() == {"overlapping": 0, "images": 1}
    assert result.notes() == ()


def test_empty_and_inaccurate_maps_are_noted():
    maps = np.zeros((2, 7, 7))
    maps[0, 3, 3] = 2
    result = result_of(maps, "ig,gradcam", change=[2.2])
    assert list(result.notes()) == [
        "the gradcam map of 1 image is zero everywhere: nothing at layer conv2 supports the target",
        "the ig map of 1 image misses the change of the output by more than 5 %; give more `steps` "
        "than 50",
    ]
    assert result.summary().rows[1][5] == ""


def test_classes_can_be_targets_by_name_and_labels():
    analysis = ik.Attribution(method="saliency", target="label")
    assert analysis.run(small_classifier(), IMAGES).target.tolist() == [0, 1, 2]
    named = ik.Attribution(method="saliency", target=CLASSES[3]).run(small_classifier(), IMAGES)
    assert named.target.tolist() == [3, 3, 3]
