"""Are the results of five analyses correct on one architecture? Compares them with brute force.

Brute force uses PyTorch alone: a full forward pass for each occluded image, and forward hooks that
read or overwrite a channel. Both sides compute in float32; the error is measured against the same
brute force in float64.
"""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

import interpret_kit as ik
from interpret_kit.incremental.graph.reasons import Untraceable, log_full_passes
from interpret_kit.models.layers.catalogue import Layer
from interpret_kit.results.result import Array

R = TypeVar("R", bound=ik.Result)

CLASSES = 10
IMAGES = 2
GRAY = 128 / 255
FILTERS = 3  # of the layer that is ablated
WORKS, FULL, REFUSED, WRONG = "works", "full forward passes", "refused", "WRONG"

_EPSILON = float(torch.finfo(torch.float32).eps)
_ALLOWED = 4.0  # times the error of brute force in float32, or the rounding of its largest term
_TERMS = 8.0  # the terms of the last sums exceed the outputs, in which they cancel


@dataclass(frozen=True)
class Outcome:
    """The outcome of one analysis on one network."""

    analysis: str
    how: str  # one of WORKS, FULL, REFUSED, WRONG
    why: str = ""  # the message that the user sees
    error: float = 0.0  # as a multiple of the allowed error


@dataclass(frozen=True)
class Subject:
    """A network with random weights, and images labelled by its own predictions."""

    network: nn.Module
    size: tuple[int, int]
    images: ik.ImageSet
    pixels: Tensor  # (images, 3, height, width), as the classifier is given them

    @property
    def classifier(self) -> ik.Classifier:
        """The network as a classifier of the library."""
        half = (0.5, 0.5, 0.5)
        # Use the whole image: if crop were omitted, the network's pretrained_cfg would set it.
        return ik.Classifier(self.network, size=self.size, mean=half, std=half, crop=1.0)

    def probabilities(self, pixels: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Compute by brute force, image by image: (images, classes) in float64."""
        network = self.network if dtype == torch.float32 else copy.deepcopy(self.network).to(dtype)
        rows = [network(((each[None] - 0.5) / 0.5).to(dtype)) for each in pixels]
        return torch.cat(rows).double().softmax(1)


def make_subject(make: Callable[[], nn.Module], size: int) -> Subject:
    """Build a network whose every parameter affects the output, and images for it."""
    torch.manual_seed(0)
    network = make().eval()
    trained = copy.deepcopy(network)
    _stir(trained)
    drawn = np.random.default_rng(0)
    coarse = drawn.integers(0, 256, (IMAGES, 8, 8, 3), np.uint8)
    scale = -(-size // 8)
    noise = coarse.repeat(scale, 1).repeat(scale, 2)[:, :size, :size]
    pixels = torch.from_numpy(noise.copy()).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        if torch.isfinite(trained((pixels[:1] - 0.5) / 0.5)).all():
            network = trained
        labels = torch.cat([network((each[None] - 0.5) / 0.5) for each in pixels]).argmax(1)
    images = ik.ImageSet.from_arrays(noise, labels.numpy())
    return Subject(network, (size, size), images, pixels)


def _stir(network: nn.Module) -> None:
    """Randomise constants: the zero gains of residual branches, the running statistics."""
    for parameter in network.parameters():
        flat = parameter.detach().flatten()
        if flat.numel() > 1 and bool((flat == flat[0]).all()):
            with torch.no_grad():
                parameter.uniform_(0.5, 1.0) if flat[0] > 0 else parameter.normal_(0, 0.1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_var is not None:
            assert module.running_mean is not None, "one comes with the other"
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)


def check(subject: Subject) -> list[Outcome]:
    """Compare the analyses of a network with brute force."""
    return [_outcome(name, measure, subject) for name, measure in CHECKS.items()]


def _outcome(name: str, measure: Callable[[Subject], float], subject: Subject) -> Outcome:
    try:
        with torch.no_grad(), _messages() as messages:
            error = measure(subject)
    except ik.InterpretError as refusal:
        return Outcome(name, REFUSED, str(refusal))
    if not error <= 1.0:  # NaN counts as wrong, too
        return Outcome(name, WRONG, "", error)
    return Outcome(name, FULL if messages else WORKS, "; ".join(messages), error)


def _run(analysis: ik.Analysis[R], subject: Subject) -> R:
    """Evaluate incrementally if that is possible, even if full forward passes are faster."""
    try:
        return analysis.run(subject.classifier, subject.images, engine="incremental")
    except ik.InterpretError as refusal:
        if not isinstance(refusal.__cause__, Untraceable):
            raise
        log_full_passes(logging.getLogger(ik.__name__), refusal.__cause__)
        return analysis.run(subject.classifier, subject.images, engine="full")


@contextmanager
def _messages() -> Iterator[list[str]]:
    """Collect what the library logs about full forward passes."""
    found: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    logger, handler = logging.getLogger("interpret_kit"), Collect(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


def _times_allowed(found: Tensor, rough: Tensor, exact: Tensor) -> float:
    """Divide the error of ``found`` by the error that float32 explains: see `_ALLOWED`."""
    rounding = _TERMS * _EPSILON * float(exact.abs().max())
    allowed = _ALLOWED * max(float((rough - exact).abs().max()), rounding)
    return float((found.double() - exact).abs().max()) / allowed


def _occlusion(subject: Subject) -> float:
    window = -(-subject.size[0] // 2)
    analysis = ik.Occlusion(window=window, stride=window)
    maps = _run(analysis, subject)
    worst = 0.0
    for k, pixels in enumerate(subject.pixels):
        covered = torch.where(torch.from_numpy(maps.masks())[:, None], GRAY, pixels)
        rough = subject.probabilities(covered)[:, maps.target[k]]
        exact = subject.probabilities(covered, torch.float64)[:, maps.target[k]]
        found = torch.from_numpy(maps.confidence[k].ravel())
        worst = max(worst, _times_allowed(found, rough, exact))
    return worst


def _chosen(subject: Subject) -> tuple[Layer, list[int]]:
    """Choose a layer in the middle, and some of its filters."""
    numbered = [each for each in subject.classifier.layers() if each.number is not None]
    layer = numbered[len(numbered) // 2]
    return layer, np.linspace(0, layer.filters - 1, FILTERS).astype(int).tolist()


@contextmanager
def _hooked(
    network: nn.Module, layer: Layer, visit: Callable[[Tensor], Tensor | None]
) -> Iterator[None]:
    """Pass the layer's output to a function, which may replace it, in every forward pass."""
    name, call = layer.point
    count = 0

    def restart(*_: Any) -> None:
        nonlocal count
        count = 0

    def hook(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor | None:
        nonlocal count
        count += 1
        return visit(output) if count == call else None

    handles = [
        network.register_forward_pre_hook(restart),
        network.get_submodule(name).register_forward_hook(hook),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _maps(layer: Layer, output: Tensor) -> Tensor:
    """Reshape an output to (batch, filters, rows, cols), without class or register tokens."""
    units = layer.rows * layer.cols
    if output.dim() == 3:
        output = output[:, output.shape[1] - units :].transpose(1, 2)
    elif layer.axis != 1:
        output = output.permute(0, 3, 1, 2)
    elif output.shape[2:] != (layer.rows, layer.cols):
        # MobileViTv2 unfolds maps to (pixels of a patch, patches): both are squares, row by row.
        side = math.isqrt(output.shape[2])
        grid = layer.rows // side, layer.cols // side
        unfolded = output.reshape(len(output), layer.filters, side, side, *grid)
        output = unfolded.permute(0, 1, 4, 2, 5, 3)
    return output.reshape(len(output), layer.filters, layer.rows, layer.cols)


def _read(subject: Subject, layer: Layer, dtype: torch.dtype) -> Tensor:
    network = copy.deepcopy(subject.network).to(dtype)
    seen: list[Tensor] = []
    for each in subject.pixels:
        with _hooked(network, layer, lambda output: seen.append(_maps(layer, output).clone())):
            network(((each[None] - 0.5) / 0.5).to(dtype))
    return torch.cat(seen).double()


def _activations(subject: Subject) -> float:
    layer, filters = _chosen(subject)
    analysis = ik.Activations(layer=layer.label, filters=_text(filters), site="convolution")
    found = analysis.run(subject.classifier, subject.images)
    rough, exact = (_read(subject, layer, each) for each in (torch.float32, torch.float64))
    maps = _times_allowed(torch.from_numpy(found.maps), rough[:, filters], exact[:, filters])
    mean = _times_allowed(
        torch.from_numpy(found.mean), rough.mean((0, 2, 3)), exact.mean((0, 2, 3))
    )
    return max(maps, mean)


def _top_patches(subject: Subject) -> float:
    layer, _ = _chosen(subject)
    found = ik.TopPatches(layer=layer.label, top=IMAGES, site="convolution").run(
        subject.classifier, subject.images
    )
    rough, exact = (_read(subject, layer, each) for each in (torch.float32, torch.float64))
    peaks = [each.amax((2, 3)).T.sort(descending=True).values for each in (rough, exact)]
    error = _times_allowed(torch.from_numpy(found.values), *peaks)
    # The reported unit has the reported value.
    rows = torch.arange(layer.filters)[:, None]
    images, at_row, at_col = (
        torch.from_numpy(each) for each in (found.images, found.rows, found.cols)
    )
    named = [each[images, rows, at_row, at_col] for each in (rough, exact)]
    return max(error, _times_allowed(torch.from_numpy(found.values), *named))


def _ablated(subject: Subject, layer: Layer, filters: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Compute by brute force with each filter at zero: (filters, images, classes)."""
    network = copy.deepcopy(subject.network).to(dtype)
    rows = []
    for number in filters:
        index = torch.tensor([number])

        def overwrite(output: Tensor, index: Tensor = index) -> Tensor:
            return output.index_fill(layer.axis, index, 0.0)

        with _hooked(network, layer, overwrite):
            rows.append(
                torch.cat([network(((x[None] - 0.5) / 0.5).to(dtype)) for x in subject.pixels])
            )
    return torch.stack(rows).double().softmax(2)


def _ablation(subject: Subject) -> float:
    layer, filters = _chosen(subject)
    analysis = ik.Ablation(layer=layer.label, filters=_text(filters), site="convolution")
    found = _run(analysis, subject)
    truth = subject.probabilities(subject.pixels, torch.float64)
    labels = torch.from_numpy(subject.images.labels)
    each = torch.arange(len(labels))
    lost = []
    for dtype in (torch.float32, torch.float64):
        after = _ablated(subject, layer, filters, dtype)
        lost.append((truth[each, labels] - after[:, each, labels]).mean(1))
    flipped = (_ablated(subject, layer, filters, torch.float64).argmax(2) != labels).sum(1)
    if found.broken.sum(1).tolist() != flipped.tolist():
        return float("inf")
    # A loss is a difference of probabilities up to 1, and has their rounding error: hence the + 1.
    return _times_allowed(torch.from_numpy(found.confidence_lost) + 1, lost[0] + 1, lost[1] + 1)


def _misclassifications(subject: Subject) -> float:
    layer, filters = _chosen(subject)
    found = ik.Misclassifications(ablate=f"{layer.label}:{filters[1]}", site="convolution").run(
        subject.classifier, subject.images
    )
    labels = torch.from_numpy(subject.images.labels)
    after = _ablated(subject, layer, filters[1:2], torch.float64)[0].argmax(1)
    expected: Array = np.zeros_like(found.confusion)
    np.add.at(expected, (labels.numpy(), after.numpy()), 1)
    return 0.0 if np.array_equal(found.confusion, expected) else float("inf")


def _text(filters: Sequence[int]) -> str:
    return ",".join(map(str, filters))


CHECKS: dict[str, Callable[[Subject], float]] = {
    "occlusion": _occlusion,
    "activations": _activations,
    "top patches": _top_patches,
    "ablation": _ablation,
    "misclassifications": _misclassifications,
}
"""Each measures an error as a multiple of the allowed error."""
