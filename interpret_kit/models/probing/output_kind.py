"""What are a network's outputs: logits, or probabilities already?"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import torch
from torch import Tensor, nn

from interpret_kit.errors import BadWeights, NotSupported
from interpret_kit.models.probing.network_kinds import widened
from interpret_kit.models.probing.output_bounds import Interval

_HEADS = {"fc", "classifier", "head", "heads", "last_linear"}


class Head(Enum):
    """What the outputs are; of a single one, what it is for the second of two classes."""

    LOGITS = "logits"  # or log-probabilities, of which the softmax is the probabilities, too
    PROBABILITIES = "probabilities"
    LOG_PROBABILITY = "log-probability"  # of a single output


def head_of(outputs: Tensor, between: Interval, name: str) -> Head:
    """Tell what the outputs (images, classes) of different images are.

    Args:
        outputs: of two images or more.
        between: the numbers between which they lie whatever the images; see `output_bounds`.
        name: of the network, for an error.

    Raises:
        NotSupported: if they are neither logits nor the probabilities of classes of which an
            image has one.
    """
    low, high = between
    in_unit = low >= 0 and high <= 1
    if outputs.shape[1] == 1:
        return _single(low, high, name)
    if _are_distributions(outputs, in_unit):
        return Head.PROBABILITIES
    if in_unit:
        raise NotSupported(
            f"the {outputs.shape[1]} outputs of {name} lie between 0 and 1 and do not sum to 1, as "
            "after a sigmoid for each class: an image may have several classes; give a network "
            "that returns one of them, (batch, 1), or the logits before the sigmoid, of which the "
            "softmax is taken"
        )
    return Head.LOGITS


def _single(low: float, high: float, name: str) -> Head:
    if low >= 0 and high <= 1:
        return Head.PROBABILITIES
    if high <= 0:
        return Head.LOG_PROBABILITY
    if low >= 0:
        raise NotSupported(
            f"the single output of {name} is never below 0, so that it is no logit (which is "
            "below 0 for the first class), and not at most 1, so that it is no probability; "
            "give a network that returns its logits"
        )
    return Head.LOGITS


def _are_distributions(outputs: Tensor, in_unit: bool) -> bool:
    """Whether every row is at least 0 and sums to 1; by chance logits may do so for one image."""
    rows = widened(outputs).double()
    off = (rows.sum(1) - 1).abs().max()
    if in_unit:  # a softmax may have been cut off at small numbers
        return bool(off < 1e-2)
    rounding = torch.finfo(outputs.dtype).eps * 4
    varied = bool((rows != rows[:1]).any())
    return varied and bool((rows >= 0).all()) and bool(off < rounding)


def probabilities(outputs: Tensor, head: Head = Head.LOGITS) -> Tensor:
    """Outputs (batch, classes) to probabilities in float32 or, of float64, in float64.

    Raises:
        BadWeights: if an output is not finite.
    """
    if not torch.isfinite(outputs).all():
        raise BadWeights(
            "the network's output is not finite (NaN or infinite); check the weights, and that "
            "the pixels are in [0, 1]"
        )
    outputs = widened(outputs)
    if outputs.shape[1] == 1:
        second = _SINGLE[head](outputs)
        return torch.cat([1 - second, second], dim=1)
    return outputs if head is Head.PROBABILITIES else outputs.softmax(dim=1)


_SINGLE: dict[Head, Callable[[Tensor], Tensor]] = {
    Head.LOGITS: torch.sigmoid,
    Head.PROBABILITIES: torch.clone,
    Head.LOG_PROBABILITY: torch.exp,
}


def refuse_headless(network: nn.Module, name: str) -> None:
    """Refuse a network that returns features, of which no class is known.

    Raises:
        NotSupported: if timm made it with no classes, or its last module is an Identity in the
            place of a head.
    """
    classes = getattr(network, "num_classes", None)
    if classes == 0 and not isinstance(classes, bool):
        raise NotSupported(
            f"{name} has no classifier head (its num_classes is 0), only features; make it with "
            "its classes, as timm.create_model(..., num_classes=10), and load a trained head"
        )
    last_name, last = next(reversed(list(network.named_children())), ("", network))
    if last_name in _HEADS and _hands_on(last):
        raise NotSupported(
            f"{name} has no classifier head ({last_name!r} is an Identity), only features; put a "
            "trained nn.Linear in its place"
        )


def _hands_on(head: nn.Module) -> bool:
    """Whether a head computes no logits: nothing at all, or ending in an Identity after features.

    A linear layer that only an Identity follows is a head.
    """
    if isinstance(head, nn.Identity):
        return True
    parts = list(head.children()) if isinstance(head, nn.Sequential) else []
    if not parts or not isinstance(parts[-1], nn.Identity):
        return False
    computing = [each for each in parts if not isinstance(each, (nn.Identity, nn.Dropout))]
    return not computing or not isinstance(computing[-1], (nn.Linear, nn.Conv2d))
