"""Why do the tensors of a file not fit a network? One sentence, with what to do."""

from __future__ import annotations

import re
from collections.abc import Iterable

from torch import Tensor, nn

from interpret_kit.errors import BadWeights, shortened
from interpret_kit.models.checkpoints.match import Match

# Name suffixes of weights that are computed from others, and how to undo this.
_COMPUTED_FROM = (
    (re.compile(r"weight_[gv]$|\.original\d?$|weight_u$"), "remove_parametrizations"),
    (re.compile(r"weight_(orig|mask)$"), "torch.nn.utils.prune.remove"),
    (re.compile(r"lora_"), "merge_and_unload"),
)
_POSITION = re.compile(r"(^|[._])pos(_|$)|position|rel_pos")


def misfit(network: nn.Module, match: Match) -> BadWeights:
    """Make the error for tensors that do not fit by name or shape."""
    own = network.state_dict()
    reshaped = [name for name, each in match.tensors.items() if own[name].shape != each.shape]
    why = (
        _of_mixed_names(match)
        or _of_computed_weights(match)
        or _of_head(network, match, reshaped)
        or _of_size(match, reshaped, own)
        or _counted(match, reshaped, own)
    )
    said = f"; the file names the architecture {match.arch}" if match.arch else ""
    return BadWeights(f"{match.source} does not fit {_called(network)}: {why}{said}")


def _called(network: nn.Module) -> str:
    """Name the architecture as timm does or, of other networks, the class."""
    return _architecture(network) or type(network).__name__


def _architecture(network: nn.Module) -> str:
    return str(getattr(network, "pretrained_cfg", {}).get("architecture") or "")


def heads_of(network: nn.Module) -> tuple[str, ...]:
    """Return the names of the modules that compute the logits; distilled networks have two."""
    named = getattr(network, "pretrained_cfg", {}).get("classifier") or ()
    return (named,) if isinstance(named, str) else tuple(named)


def shape(tensor: Tensor) -> str:
    """Format the shape of a tensor: 64x3x7x7."""
    return "x".join(map(str, tensor.shape)) or "a number"


def _of_mixed_names(match: Match) -> str:
    """Return a reason if all missing tensors are present under another prefix."""
    elsewhere = [
        next((each for each in match.unknown if _is_under_a_prefix(each, name)), None)
        for name in match.missing
    ]
    if not match.missing or None in elsewhere:
        return ""
    some, other = f"{match.prefix}{next(iter(match.tensors), '')}", elsewhere[0]
    return (
        f"names have different prefixes ({some} and {other}); save the state_dict() of one network"
    )


def _is_under_a_prefix(found: str, name: str) -> bool:
    """Return whether a name follows a prefix; "fc." before fc.weight is a larger head."""
    prefix = found.removesuffix(name)
    inside = prefix.partition(".")[0] == name.partition(".")[0]
    return f".{found}".endswith(f".{name}") and not inside


def _of_computed_weights(match: Match) -> str:
    for pattern, remedy in _COMPUTED_FROM:
        name = next((each for each in match.unknown if pattern.search(each)), None)
        if name and match.missing:
            return (
                f"it has {name}, from which a weight is computed; remove this parametrisation "
                f"before saving ({remedy})"
            )
    return ""


def _of_head(network: nn.Module, match: Match, reshaped: Iterable[str]) -> str:
    """Return a reason if everything except the head fits."""
    heads = heads_of(network)
    within = tuple(f"{each}." for each in heads)
    if not match.missing or any(not e.startswith(within) for e in (*match.missing, *reshaped)):
        return ""
    if not match.unknown:
        return (
            f"it has no head ({shortened(match.missing)} are missing), so it is not a classifier; "
            "give weights that were saved with their head"
        )
    arch = _architecture(network) or "..."
    return (
        f"a different head: it has {shortened(match.unknown)} where {shortened(match.missing)} is "
        f"expected; build it in Python: network = timm.create_model({arch!r}), network.{heads[0]} "
        "= ..., network.load_state_dict(...), ik.Classifier(network, size=..., mean=..., std=...)"
    )


def _of_size(match: Match, reshaped: list[str], own: dict[str, Tensor]) -> str:
    if not match.complete or not all(map(_POSITION.search, reshaped)):
        return ""
    name = reshaped[0]
    return (
        f"it was trained on images of another size ({name} is {shape(match.tensors[name])}, not "
        f"{shape(own[name])}); give its size, as in `size=384`"
    )


def _counted(match: Match, reshaped: list[str], own: dict[str, Tensor]) -> str:
    shapes = [f"{n} is {shape(match.tensors[n])}, not {shape(own[n])}" for n in reshaped]
    kinds = (
        ("tensors missing", match.missing),
        ("unknown", match.unknown),
        ("of another shape", shapes),
    )
    counts = [
        f"{len(names)} {what}" + (f" ({shortened(names, most=2)})" if names else "")
        for what, names in kinds
    ]
    return (
        f"{', '.join(counts)}; name the architecture that it was made for (of a checkpoint, with "
        "`arch`)"
    )
