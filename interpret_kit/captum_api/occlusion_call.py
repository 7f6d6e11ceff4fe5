"""What is a call of Captum's Occlusion in our own terms: which network, windows and targets?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from interpret_kit.errors import DoesNotFit
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.incremental.tuning import FULL_PASS_WINDOWS
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.probing.misfits import explained
from interpret_kit.models.probing.network_kinds import is_exported, is_scripted, unwrapped

Function = Callable[[Tensor], Tensor]
Targets = Sequence["int | None"]  # for each input; None: all classes


@dataclass(frozen=True)
class Evaluated:
    """A function as a network, with what is done before and after it."""

    module: nn.Module
    network: nn.Module
    before: Function  # from the function's inputs to the network's
    score: Function  # from the network's outputs to the function's, (inputs, classes)


@dataclass(frozen=True)
class OcclusionCall:
    """Windows over inputs, and what the network returns without them."""

    evaluated: Evaluated
    inputs: Tensor  # as the network takes them, (inputs, channels, height, width)
    fills: Tensor  # what a window over each of them shows, likewise
    uncovered: Tensor  # the network's outputs without a window, (inputs, ...)
    grid: WindowGrid
    channels: int  # of what the function takes


def evaluated_of(function: object) -> Evaluated | None:
    """Find the network in a function; None if there is none, or more than it in between."""
    classifier = getattr(function, "__self__", None)
    function = unwrapped(function) if isinstance(function, nn.Module) else function
    if isinstance(classifier, Classifier) and function == classifier.probabilities:
        if _is_plain(classifier) and type(classifier).probabilities is Classifier.probabilities:
            return Evaluated(
                classifier, classifier.network, classifier.normalised, classifier.to_probabilities
            )
        return None
    if isinstance(function, Classifier) and _is_plain(function):
        return Evaluated(function, function.network, function.normalised, _columns)
    if isinstance(function, nn.Module) and not (is_scripted(function) or is_exported(function)):
        return Evaluated(function, function, torch.clone, _columns)
    return None


def _is_plain(classifier: Classifier) -> bool:
    """Whether ``forward`` is that of `Classifier`, so that its parts can be called separately."""
    own = "forward" in vars(classifier) or type(classifier).forward is not Classifier.forward
    return not (own or classifier._forward_hooks or classifier._forward_pre_hooks)


def _columns(outputs: Tensor) -> Tensor:
    return outputs.reshape(len(outputs), -1)


def call_of(
    evaluated: Evaluated, inputs: Any, window: Any, strides: Any, baselines: Any
) -> OcclusionCall | None:
    """Read the arguments of a call; None unless they are windows over one batch of images."""
    if isinstance(inputs, tuple) and len(inputs) == 1:
        return None  # Captum returns a tuple, too
    if not isinstance(inputs, Tensor) or inputs.dim() != 4 or not len(inputs):
        return None
    grid, fills = _grid(inputs, window, strides), _fills(inputs, baselines)
    if grid is None or fills is None:
        return None
    taken = evaluated.before(inputs)
    uncovered = _uncovered(evaluated, taken)
    if uncovered is None:
        return None
    return OcclusionCall(
        evaluated, taken, evaluated.before(fills), uncovered, grid, inputs.shape[1]
    )


def _grid(inputs: Tensor, window: Any, strides: Any) -> WindowGrid | None:
    steps = (strides,) * 3 if isinstance(strides, int) else (strides or (1, 1, 1))
    if not _are_three(window) or not _are_three(steps) or window[0] != inputs.shape[1]:
        return None
    size = inputs.shape[2], inputs.shape[3]
    try:
        return WindowGrid(size, (window[1], window[2]), (steps[1], steps[2]))
    except DoesNotFit:
        return None  # Captum says what is wrong with it


def _uncovered(evaluated: Evaluated, inputs: Tensor) -> Tensor | None:
    """The network's outputs for the inputs; None unless they are a row of scores for each."""
    found = []
    for some in torch.split(inputs, FULL_PASS_WINDOWS):
        with explained(evaluated.network, some, type(evaluated.network).__name__, bare=True):
            outputs = evaluated.network(some.clone())  # it may work in place
        if not isinstance(outputs, Tensor) or outputs.shape[:1] != (len(some),):
            return None
        if outputs.dtype in (torch.float16, torch.bfloat16):  # by themselves, or by autocast
            return None
        # A classifier makes rows of a network that returns one logit for each image.
        if outputs.dim() != 2 and (
            outputs.dim() != 1 or not isinstance(evaluated.module, Classifier)
        ):
            return None
        found.append(outputs.clone())  # it may write the next ones over them
    return torch.cat(found)


def _are_three(sides: Any) -> bool:
    return isinstance(sides, tuple) and len(sides) == 3 and all(isinstance(e, int) for e in sides)


def _fills(inputs: Tensor, baselines: Any) -> Tensor | None:
    if baselines is None:
        return torch.zeros_like(inputs)
    if isinstance(baselines, (int, float)):
        fills = torch.full_like(inputs, baselines)
        return fills if fills.flatten()[0] == baselines or fills.is_floating_point() else None
    if isinstance(baselines, Tensor) and baselines.shape in (inputs.shape, inputs[:1].shape):
        fills = baselines.to(inputs)
        kept = fills.is_floating_point() or torch.equal(fills.to(baselines.dtype), baselines)
        return fills.expand_as(inputs) if kept else None
    return None


def targets_of(target: Any, inputs: Any) -> Targets | None:
    """One class for each input; None for targets that are not of this kind."""
    count = len(inputs)
    if target is None or isinstance(target, int):
        return [target] * count
    if isinstance(target, Tensor) and target.dim() < 2:
        target = target.flatten().tolist() * (count if target.numel() == 1 else 1)
    if not isinstance(target, list) or not all(isinstance(each, int) for each in target):
        return None
    return target if len(target) == count and min(target) >= 0 else None
