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
    """The kind of outputs; a single one belongs to the second of two classes."""

    LOGITS = "logits"  # or log-probabilities, whose softmax is the probabilities, too
    PROBABILITIES = "probabilities"
    LOG_PROBABILITY = "log-probability"  # of a single output


def head_of(outputs: Tensor, between: Interval, name: str) -> Head:
    """Determine the kind of outputs (images, classes) for different images.

    Args:
        outputs: for two images or more.
        between: their bounds for any image; see `output_bounds`.
        name: of the network, for error messages.

    Raises:
        NotSupported: if they are neither logits nor probabilities of exclusive classes.
    """
    low, high = between
    in_unit = low >= 0 and high <= 1
    if outputs.shape[1] == 1:
        return _single(low, high, name)
    if _are_distributions(outputs, in_unit):
        return Head.PROBABILITIES
    if in_unit:
        raise NotSupported(
            f"the {outputs.shape[1]} outputs of {name} lie between 0 and 1 and do not sum to 1, "
            "as after a sigmoid per class (multi-label); give a network that returns one of "
            "them, (batch, 1), or the logits before the sigmoid, to which a softmax is applied"
        )
    return Head.LOGITS


def _single(low: float, high: float, name: str) -> Head:
    if low >= 0 and high <= 1:
        return Head.PROBABILITIES
    if high <= 0:
        return Head.LOG_PROBABILITY
    if low >= 0:
        raise NotSupported(
            f"the single output of {name} is never below 0, so it is not a logit (which is "
            "negative for the first class), and exceeds 1, so it is not a probability; give a "
            "network that returns its logits"
        )
    return Head.LOGITS


def _are_distributions(outputs: Tensor, in_unit: bool) -> bool:
    """Return whether every row is non-negative and sums to 1, as one row may by chance."""
    rows = widened(outputs).double()
    off = (rows.sum(1) - 1).abs().max()
    if in_unit:  # small values of a softmax may have been clipped
        return bool(off < 1e-2)
    rounding = torch.finfo(outputs.dtype).eps * 4
    varied = bool((rows != rows[:1]).any())
    return varied and bool((rows >= 0).all()) and bool(off < rounding)


def probabilities(outputs: Tensor, head: Head = Head.LOGITS) -> Tensor:
    """Convert outputs (batch, classes) to probabilities in float32, or float64 for float64.

    Raises:
        BadWeights: if an output is not finite.
    """
    if not torch.isfinite(outputs).all():
        raise not_finite_outputs()
    outputs = widened(outputs)
    if outputs.shape[1] == 1:
        second = _SINGLE[head](outputs)
        return torch.cat([1 - second, second], dim=1)
    return outputs if head is Head.PROBABILITIES else outputs.softmax(dim=1)


def not_finite_outputs() -> BadWeights:
    """Make the error for outputs that are NaN or infinite."""
    return BadWeights(
        "the network's output is not finite (NaN or infinite); check the weights, and that "
        "the pixels are in [0, 1]"
    )


_SINGLE: dict[Head, Callable[[Tensor], Tensor]] = {
    Head.LOGITS: torch.sigmoid,
    Head.PROBABILITIES: torch.clone,
    Head.LOG_PROBABILITY: torch.exp,
}


def refuse_headless(network: nn.Module, name: str) -> None:
    """Refuse a network that returns features without classes.

    Raises:
        NotSupported: if timm made it without classes, or its last module is an Identity in place of
            a head.
    """
    classes = getattr(network, "num_classes", None)
    if classes == 0 and not isinstance(classes, bool):
        raise NotSupported(
            f"{name} has no classifier head (its num_classes is 0), only features; make it with "
            "its classes, as in timm.create_model(..., num_classes=10), and load a trained head"
        )
    last_name, last = next(reversed(list(network.named_children())), ("", network))
    if last_name in _HEADS and _hands_on(last):
        raise NotSupported(
            f"{name} has no classifier head ({last_name!r} is an Identity), only features; put a "
            "trained nn.Linear in its place"
        )


def _hands_on(head: nn.Module) -> bool:
    """Return whether a head does not compute logits: it is empty, or an Identity after features.

    A linear layer that is followed only by an Identity is a head.
    """
    if isinstance(head, nn.Identity):
        return True
    parts = list(head.children()) if isinstance(head, nn.Sequential) else []
    if not parts or not isinstance(parts[-1], nn.Identity):
        return False
    computing = [each for each in parts if not isinstance(each, (nn.Identity, nn.Dropout))]
    return not computing or not isinstance(computing[-1], (nn.Linear, nn.Conv2d))
