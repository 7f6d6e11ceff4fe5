import math

import pytest
import torch
from networks_on_paper import plain
from torch import nn
from torch.nn import functional as F

from interpret_kit import Classifier, ImageSet, Occlusion
from interpret_kit.errors import NotSupported
from interpret_kit.models.probing.output_bounds import Bounds

Z = torch.tensor([[-3.0], [0.5], [40.0]])


def write_into(z):
    probability = z.sigmoid()
    probability[:, 0] = z[:, 0]
    return probability


BOUNDED = {
    "sigmoid": (torch.sigmoid, (0, 1)),
    "in place": (lambda z: z.clone().sigmoid_(), (0, 1)),
    "softmax": (lambda z: F.softmax(z, 0), (0, 1)),
    "by hand": (lambda z: 1 / (1 + torch.exp(-z)), (0, 1)),
    "by tanh": (lambda z: 0.5 * (1 + torch.tanh(z / 2)), (0, 1)),
    "hard sigmoid": (F.hardsigmoid, (0, 1)),
    "cut off": (lambda z: z.clamp(0, 1), (0, 1)),
    "cut off below": (lambda z: z.sigmoid().clamp(min=0.25), (0.25, 1)),
    "of six": (lambda z: F.relu6(z) / 6, (0, 1)),
    "mean": (lambda z: z.expand(3, 4).sigmoid().mean(1, keepdim=True), (0, 1)),
    "both": (lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1), (0, 1)),
    "squeezed": (lambda z: z.sigmoid().squeeze(1).float(), (0, 1)),
    "exponential": (lambda z: F.log_softmax(z, 0).exp(), (0, 1)),
    "log": (F.logsigmoid, (-torch.inf, 0)),
    "rectified": (F.relu, (0, torch.inf)),
    "halved": (lambda z: z.sigmoid() / 2 - 1, (-1, -0.5)),
    "product": (lambda z: z.tanh() * z.sigmoid(), (-1, 1)),
    "difference": (lambda z: z.sigmoid() - z.tanh(), (-1, 2)),
    "linear": (lambda z: F.linear(z.sigmoid(), torch.ones(2, 1)), (-torch.inf, torch.inf)),
    "beside a logit": (lambda z: torch.cat([z.sigmoid(), z], 1), (-torch.inf, torch.inf)),
    "written into": (write_into, (-torch.inf, torch.inf)),
    "divided by what may be 0": (lambda z: z.sigmoid() / z.relu(), (0, torch.inf)),
    "divided by any": (lambda z: z.sigmoid() / z, (-torch.inf, torch.inf)),
}


@pytest.mark.parametrize("name", BOUNDED)
def test_the_numbers_that_an_output_can_be_are_worked_out(name):
    compute, expected = BOUNDED[name]
    with torch.no_grad(), Bounds() as bounds:
        found = compute(Z)
        between = bounds.of(found)
    assert between == pytest.approx(expected)
    inside = (found >= between[0]) & (found <= between[1])
    assert inside[found.isfinite()].all()


class Bright(nn.Module):
    """One logit, 20 (brightness - 0.5), or two or three of such; and what follows."""

    def __init__(self, tail=None, slopes=(20.0,)):
        super().__init__()
        self.tail, self.slopes = tail or nn.Identity(), torch.tensor(slopes)

    def forward(self, pixels):
        return self.tail((pixels.mean((1, 2, 3)) - 0.5).unsqueeze(1) * self.slopes)


# Brightness 0.1 and 0.9: logits -8 and 8; the sigmoid of 8 is 0.99966.
DARK_AND_BRIGHT = torch.stack([torch.full((3, 8, 8), 0.1), torch.full((3, 8, 8), 0.9)])
SECOND = torch.tensor([1 - 0.9996646499, 0.9996646499])


class Both(nn.Module):
    def forward(self, logits):
        return torch.cat([1 - logits.sigmoid(), logits.sigmoid()], 1)


class Exponentials(nn.Module):
    def forward(self, logits):
        weights = (logits - logits.amax(1, keepdim=True)).exp()
        return weights / weights.sum(1, keepdim=True)


class Squeezed(nn.Module):
    def forward(self, logits):
        return logits.sigmoid().squeeze(1)


@pytest.mark.parametrize(
    ("tail", "slopes"),
    [
        (None, (20.0,)),
        (nn.Sigmoid(), (20.0,)),
        (Squeezed(), (20.0,)),
        (nn.LogSigmoid(), (20.0,)),
        (Both(), (20.0,)),
        (None, (0.0, 20.0)),
        (nn.Softmax(1), (0.0, 20.0)),
        (nn.LogSoftmax(1), (0.0, 20.0)),
        (Exponentials(), (0.0, 20.0)),
        (nn.Sequential(nn.Softmax(1), nn.Threshold(1e-3, 1e-3)), (0.0, 20.0)),
    ],
)
@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.float16])
def test_a_probability_is_the_same_whatever_the_network_returns(tail, slopes, kind):
    network = Bright(tail, slopes).to(kind)
    network.unused = nn.Linear(1, 1, dtype=kind)
    network.slopes = network.slopes.to(kind)
    classifier = plain(network, (8, 8), classes=["dark", "bright"])
    found = classifier.probabilities(DARK_AND_BRIGHT)
    assert found.dtype == torch.promote_types(kind, torch.float32)
    near = 1e-3 if isinstance(tail, nn.Sequential) or kind == torch.float16 else 1e-6
    torch.testing.assert_close(found[:, 1].float(), SECOND, rtol=0, atol=near)
    assert found.argmax(1).tolist() == [0, 1]


def test_occlusion_of_a_sigmoid_watches_the_probability_itself():
    classifier = plain(Bright(nn.Sigmoid()), (8, 8), classes=["dark", "bright"])
    images = ImageSet.from_arrays(torch.full((1, 8, 8, 3), 0.6).numpy())
    found = Occlusion(window=4, stride=4, fill="black", target="bright").run(classifier, images)
    assert found.uncovered == pytest.approx(torch.tensor(20 * 0.1).sigmoid().item(), rel=1e-5)
    # A quarter of the image is black: brightness 0.45.
    assert found.confidence == pytest.approx(torch.tensor(20 * -0.05).sigmoid().item(), rel=1e-5)
    assert found.predicted.tolist() == [[[0, 0], [0, 0]]]


def test_several_sigmoids_are_not_a_distribution_and_refused():
    classifier = plain(Bright(nn.Sigmoid(), (1.0, 2.0, 20.0)), (8, 8))
    with pytest.raises(NotSupported, match=r"the 3 outputs of Bright lie between 0 and 1"):
        classifier.probabilities(DARK_AND_BRIGHT)


def test_a_single_output_that_is_never_negative_is_not_a_logit():
    with pytest.raises(NotSupported, match="the single output of Bright is never below 0"):
        plain(Bright(nn.ReLU()), (8, 8)).probabilities(DARK_AND_BRIGHT)


class Always(nn.Module):
    def forward(self, pixels):
        return torch.tensor([[0.25, 0.75]]).expand(len(pixels), 2)


def test_logits_that_sum_to_one_for_every_image_alike_stay_logits():
    found = plain(Always(), (4, 4)).probabilities(torch.rand(2, 3, 4, 4))
    expected = torch.tensor(0.5).sigmoid().expand(2)
    torch.testing.assert_close(found[:, 1], expected)


@pytest.mark.parametrize("hands_on", [True, False])
@pytest.mark.parametrize("name", ["fc", "head", "classifier"])
def test_a_network_without_a_head_is_refused(name, hands_on):
    network = nn.Sequential(nn.Flatten())
    network.add_module(name, nn.Identity() if hands_on else nn.Linear(12, 2))
    if hands_on:
        with pytest.raises(NotSupported, match=f"no classifier head .'{name}' is an Identity"):
            plain(network, (2, 2))
    else:
        assert len(plain(network, (2, 2)).classes) == 2


def test_features_behind_a_cut_off_classifier_are_refused_and_a_head_before_an_identity_is_not():
    cut = nn.Sequential(nn.Linear(12, 9), nn.ReLU(), nn.Dropout(), nn.Identity())
    whole = nn.Sequential(nn.Linear(12, 9), nn.Identity())
    for classifier, refused in ((cut, True), (whole, False)):
        network = nn.Sequential(nn.Flatten())
        network.add_module("classifier", classifier)
        if refused:
            with pytest.raises(NotSupported, match="no classifier head"):
                plain(network, (2, 2))
        else:
            assert len(plain(network, (2, 2)).classes) == 9


def test_a_timm_network_made_without_classes_is_refused():
    import timm

    network = timm.create_model("resnet18", num_classes=0)
    with pytest.raises(NotSupported, match=r"no classifier head \(its num_classes is 0\)"):
        Classifier(network)


class Switched(nn.Module):
    """Two logits, 3 and 0 for every image, or their probabilities: as requested."""

    def __init__(self):
        super().__init__()
        self.probabilities = False
        self.calls = 0
        self.head = nn.Linear(1, 2)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([3.0, 0.0]))

    def forward(self, images):
        self.calls += 1
        logits = self.head(images.mean((1, 2, 3))[:, None])
        return logits.softmax(1) if self.probabilities else logits


def test_a_switch_of_the_network_that_is_turned_later_is_noticed():
    network = Switched().eval()
    classifier = Classifier(network, size=(4, 4), mean=(0.5,) * 3, std=(0.5,) * 3)
    expected = [math.exp(3) / (math.exp(3) + 1), 1 / (math.exp(3) + 1)]
    assert classifier.probabilities(classifier.example())[0].tolist() == pytest.approx(expected)
    network.probabilities = True
    assert classifier.probabilities(classifier.example())[0].tolist() == pytest.approx(expected)


def test_a_network_that_counts_its_calls_is_tried_out_once():
    network = Switched().eval()
    classifier = Classifier(network, size=(4, 4), mean=(0.5,) * 3, std=(0.5,) * 3)
    classifier.probabilities(classifier.example())
    before = network.calls
    classifier.probabilities(classifier.example())
    assert network.calls == before + 1


def test_a_head_for_other_classes_has_other_names():
    network = Switched().eval()
    classifier = Classifier(network, size=(4, 4), mean=(0.5,) * 3, std=(0.5,) * 3)
    assert classifier.classes == ("class 0", "class 1")
    network.head = nn.Linear(1, 3)
    assert classifier.probabilities(classifier.example()).shape == (2, 3)
    assert classifier.classes == ("class 0", "class 1", "class 2")
