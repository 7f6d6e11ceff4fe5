"""For how many classes and channels was a network made? Read from the shapes of its weights."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from interpret_kit.models.checkpoints.match import Match
from interpret_kit.models.checkpoints.mismatches import heads_of


def arguments_for(network: nn.Module, match: Match) -> dict[str, int]:
    """Find arguments of ``timm.create_model`` for a network that the tensors fit.

    Args:
        network: of the right architecture, with its default arguments.
        match: tensors by their names, perhaps of other shapes.

    Returns:
        ``num_classes``, ``in_chans``, or both, where they differ from the network's.
    """
    own = network.state_dict()
    pairs = [(own[name], each) for name, each in match.tensors.items() if name in own]
    reshaped = [(a, b) for a, b in pairs if a.shape != b.shape and a.dim() == b.dim()]
    found = {
        "num_classes": _classes_of_heads(network, match) or _classes_of_shapes(network, reshaped),
        "in_chans": _channels_of_shapes(reshaped),
    }
    return {name: each for name, each in found.items() if each}


def _classes_of_heads(network: nn.Module, match: Match) -> int | None:
    """Return the number of outputs of the heads; None if it is that of the network."""
    weights = (_tensor(match, f"{head}.weight") for head in heads_of(network))
    counts = {len(each) for each in weights if each is not None and each.dim() > 1}
    return counts.pop() if len(counts) == 1 and counts != {_classes(network)} else None


def _tensor(match: Match, name: str) -> Tensor | None:
    """Look up a tensor by its name, which a network without a head does not have."""
    found = match.tensors.get(name)
    return match.others.get(match.prefix + name) if found is None else found


def _classes_of_shapes(network: nn.Module, reshaped: list[tuple[Tensor, Tensor]]) -> int | None:
    """Return the number that replaces the number of classes in the first dimension."""
    counts = {
        b.shape[0]
        for a, b in reshaped
        if a.shape[0] == _classes(network) and a.shape[1:] == b.shape[1:]
    }
    return counts.pop() if len(counts) == 1 else None


def _channels_of_shapes(reshaped: list[tuple[Tensor, Tensor]]) -> int | None:
    """Return the number of input channels, also if a patch embedding folds pixels into them."""
    found = set()
    for a, b in reshaped:
        rest = (a.shape[0], *a.shape[2:]) == (b.shape[0], *b.shape[2:]) if a.dim() > 1 else False
        if rest and a.shape[1] % 3 == 0 and b.shape[1] % (a.shape[1] // 3) == 0:
            found.add(b.shape[1] // (a.shape[1] // 3))
    return found.pop() if len(found) == 1 else None


def _classes(network: nn.Module) -> Any:
    return getattr(network, "num_classes", None)
