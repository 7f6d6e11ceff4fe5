"""Does every analysis give the right numbers for whatever people bring, or one sentence?"""

import copy
import functools
import warnings

import numpy as np
import pytest
import torch
from networks_on_paper import drawn, noise
from torch import nn

from interpret_kit import Classifier, FilterAblation, ImageSet, IncrementalOcclusion
from interpret_kit.analyses import Ablation, Activations, Misclassifications, Occlusion, TopPatches
from interpret_kit.errors import NotSupported

SIZE = 12, 10
SCALES = {"size": SIZE, "mean": (0.4, 0.45, 0.5), "std": (0.05, 0.06, 0.07)}
PIXELS = torch.from_numpy(noise(5, SIZE)).permute(0, 3, 1, 2) / 255


class Net(nn.Sequential):
    """Two convolutions and three logits (or one), and whatever follows them."""

    def __init__(self, *tail, classes=3):
        super().__init__(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Conv2d(4, 5, 3),
            nn.BatchNorm2d(5),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(5, classes),
        )
        drawn(self, seed=8)
        with torch.no_grad():  # so that a window changes the answer, and no class is the favourite
            self[8].weight *= 20
            self[8].bias -= nn.Sequential(*self)((PIXELS - 0.45) / 0.06).mean(0)
        self.extend(tail)


def _run(network, first, last, inputs):
    for layer in list(network)[first:last]:
        inputs = layer(inputs)
    return inputs


class Masked(Net):
    """Attends to the cells at or before its own, as by a mask of -inf."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mask", torch.full((80, 80), -torch.inf).triu(1))

    def forward(self, inputs):
        cells = _run(self, 0, 6, inputs).flatten(2).transpose(1, 2)
        attention = (cells @ cells.transpose(1, 2) + self.mask).softmax(2)
        return self[8]((attention @ cells).mean(1))


class MaskedByHand(Masked):
    """The same without an infinity."""

    def __init__(self):
        super().__init__()
        del self.mask

    def forward(self, inputs):
        cells = _run(self, 0, 6, inputs).flatten(2).transpose(1, 2)
        weights = (cells @ cells.transpose(1, 2)).double().exp().tril()
        return self[8](((weights / weights.sum(2, keepdim=True)).float() @ cells).mean(1))


class LogOfSigmoid(nn.Module):
    """A sigmoid of which the logit is taken again: as if the network ended in logits."""

    def forward(self, logits):
        return torch.stack([-logits[:, 0] / 2, logits[:, 0] / 2], 1)


def compiled():
    network = torch.compile(Net(), backend="eager")
    network(PIXELS)
    return network


def scripted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(Net())


def training():
    network = Net()
    network.train()
    network[1].eval()
    return network


def mixing():
    network = Net()
    network[4].running_mean = network[4].running_var = None
    return network


def dynamically_quantised():
    from torch.ao import quantization

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return quantization.quantize_dynamic(Net(), {nn.Linear})


def quantised():
    """With weights and maps of 8 bits."""
    from torch.ao import quantization

    network = nn.Sequential(quantization.QuantStub(), *Net(), quantization.DeQuantStub()).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network.qconfig = quantization.get_default_qconfig(torch.backends.quantized.engine)
        prepared = quantization.prepare(network)
        prepared(Classifier(Net(), **SCALES).normalised(PIXELS))
        return quantization.convert(prepared)


def dequantised():
    """The same network in floats: its numbers are near."""
    return nn.Sequential(nn.Identity(), *Net()).eval()


# What is brought, the plain network whose numbers it must give, how near; or what is said.
BROUGHT = {
    "a softmax at the end": (lambda: Net(nn.Softmax(1)), Net, 1e-5),
    "a log-softmax at the end": (lambda: Net(nn.LogSoftmax(1)), Net, 1e-5),
    "a sigmoid at the end": (
        lambda: Net(nn.Sigmoid(), classes=1),
        lambda: Net(LogOfSigmoid(), classes=1),
        1e-5,
    ),
    "several sigmoids at the end": (
        lambda: Net(nn.Sigmoid()),
        r"sigmoid per class \(multi-label\)",
    ),
    "compiled": (compiled, Net, 1e-6),
    "dynamically quantised": (dynamically_quantised, r"'8' \(Linear\) mixes the images of a batch"),
    "quantised": (quantised, dequantised, 0.1),
    "masks of -inf": (Masked, MaskedByHand, 1e-5),
    "half precision": (lambda: Net().half(), Net, 1e-2),
    "half of half precision": (lambda: Net().bfloat16(), Net, 1e-1),
    "double precision": (lambda: Net().double(), Net, 1e-5),
    "in train mode": (training, Net, 1e-6),
    "mixes rows": (mixing, r"'4' \(BatchNorm2d\) mixes the images of a batch"),
    "scripted": (scripted, Net, 1e-6),
}
SOFTMAX = nn.Softmax(1)
NO_LAYERS = {"scripted"}
# What becomes of the plain network's logits, where the outputs are something else.
FINISH = {
    "a softmax at the end": SOFTMAX,
    "a log-softmax at the end": nn.LogSoftmax(1),
    "a sigmoid at the end": SOFTMAX,
}


def by_run(analysis):
    def run(classifier, engine="auto"):
        labels = np.arange(5) % len(classifier.classes)
        images = ImageSet.from_arrays(noise(5, SIZE), labels)
        result = analysis.run(classifier, images, batch_size=2, engine=engine)
        return {each.name: getattr(result, each.name) for each in result.array_fields()}

    return run


def by_ablation(classifier, engine="auto"):
    target = None if classifier.examined.outputs == 1 else 1
    drops = FilterAblation(classifier, "last", engine).attribute(PIXELS, target=target)
    return {"drops": drops.numpy()}


def by_hand(classifier, finish):
    """The same by a copy of the network for each filter, whose weights and bias are 0."""
    outputs = []
    for number in (None, *range(5)):
        copied = copy.deepcopy(classifier)
        *_, last = (each for each in copied.modules() if isinstance(each, nn.Conv2d))
        if number is not None:
            nn.init.zeros_(last.weight[number]), nn.init.zeros_(last.bias[number])
        with torch.no_grad():
            logits = copied(PIXELS)
            outputs.append((logits if finish is None else finish(logits))[:, 1])
    return {"drops": torch.stack([outputs[0] - each for each in outputs[1:]], 1).numpy()}


def by_occlusion(classifier, engine="auto"):
    occlusion = IncrementalOcclusion(classifier.probabilities, engine)
    settings = {"sliding_window_shapes": (3, 5, 4), "strides": (3, 3, 2), "target": 1}
    return {"drops": occlusion.attribute(PIXELS, **settings).detach().numpy()}


ANALYSES = {
    "Occlusion": (by_run(Occlusion(window=5, stride=3, target=1)), False),
    "Activations": (by_run(Activations(layer="last", filters="all", site="activation")), True),
    "TopPatches": (by_run(TopPatches(layer="last", top=2, site="activation")), True),
    "Ablation": (by_run(Ablation(layer="last", site="activation")), True),
    "Misclassifications": (by_run(Misclassifications()), False),
    "FilterAblation": (by_ablation, True),
    "IncrementalOcclusion": (by_occlusion, False),
}


# Which analyses have the choice between full forward passes and only what changes.
CHOOSING = ("Occlusion", "Ablation", "FilterAblation", "IncrementalOcclusion")
PARTLY = ("a softmax at the end", "a sigmoid at the end", "half precision", "quantised")


@functools.cache
def of_the_plain(expected, analysis, finish):
    """The numbers of the plain network by full forward passes."""
    run, _ = ANALYSES[analysis]
    plain = Classifier(expected(), **SCALES)
    return by_hand(plain, finish) if run is by_ablation else run(plain, "full")


@pytest.mark.parametrize("brought", BROUGHT)
@pytest.mark.parametrize("analysis", ANALYSES)
def test_any_network_gives_the_right_numbers_or_one_sentence(analysis, brought):
    assert_same_numbers_or_one_sentence(analysis, brought)


@pytest.mark.parametrize("brought", PARTLY)
@pytest.mark.parametrize("analysis", CHOOSING)
def test_computing_only_what_changes_gives_the_same(auto_tries, analysis, brought):
    assert_same_numbers_or_one_sentence(analysis, brought)


def assert_same_numbers_or_one_sentence(analysis, brought):
    make, expected, *near = BROUGHT[brought]
    run, reads_layers = ANALYSES[analysis]
    if not near or (reads_layers and brought in NO_LAYERS):
        why = expected if not near else r"give the nn\.Module that it was made from"
        with pytest.raises(NotSupported, match=why):
            run(Classifier(make(), **SCALES))
        return
    theirs = of_the_plain(expected, analysis, FINISH.get(brought))
    ours = run(Classifier(make(), **SCALES))
    assert ours.keys() == theirs.keys()
    for name, values in theirs.items():
        if values.dtype.kind == "f":
            largest = np.abs(values).max()
            assert largest > 0.03, f"{name} would be compared with nothing"
            least = near[0] * max(1.0, largest)  # of a probability, and its fall, 1 is the scale
            np.testing.assert_allclose(ours[name], values, rtol=0, atol=least, err_msg=name)
        elif near[0] <= 1e-5:
            np.testing.assert_array_equal(ours[name], values, err_msg=name)
