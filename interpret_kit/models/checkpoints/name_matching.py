"""Which tensors of a file belong to a network? Matched by name, perhaps under a prefix.

A network may be saved inside a wrapper: DataParallel puts "module." before each name,
torch.compile "_orig_mod.", a LightningModule the name of its attribute. A file fits if all tensors
of the network are there, and nothing else that could be a weight.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from interpret_kit.errors import BadWeights, shortened
from interpret_kit.models.checkpoints.match import Match
from interpret_kit.models.checkpoints.mismatches import misfit
from interpret_kit.models.checkpoints.tied_weights import first_names
from interpret_kit.models.checkpoints.unwrap import CheckpointFile, State

# Names of wrappers, which only call the module inside, anywhere in a dotted name.
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
# Last parts of names of tensors that are not weights: computed from settings, or counters.
COMPUTED = {
    "num_batches_tracked",
    "total_ops",
    "total_params",
    "n_averaged",
    "relative_position_index",
    "relative_coords_table",
    "attn_mask",
}
_AVERAGE = re.compile(r"(^|[._ ])(ema|swa|averag\w*)([._:]|$)", re.IGNORECASE)
_MOST_PREFIXES = 8


def best_match(network: nn.Module, checkpoint: CheckpointFile) -> tuple[Match, tuple[str, ...]]:
    """Return the tensors of a file that belong to the network, and notes on the choice.

    If none fit, the best match is returned. As in timm, averaged weights (EMA) are preferred to the
    weights that were averaged.

    Raises:
        BadWeights: if several networks of the file fit, and differ.
    """
    names = first_names(network.state_dict())
    found = [
        match
        for key, state in checkpoint.states.items()
        for match in _matches(names, state, checkpoint, key)
    ]
    fitting = [each for each in found if each.complete]
    if not fitting:
        return max(found, key=lambda match: len(match.tensors)), ()
    averages = [each for each in fitting if _AVERAGE.search(each.where)]
    if len(averages) == 1 and len(fitting) > 1:
        others = ", ".join(each.where or "the others" for each in fitting if each not in averages)
        said = f"the average of the weights ({averages[0].where}) is used, as timm does, not"
        return averages[0], (f"{checkpoint.path}: {said} {others}", *_said_of(averages[0]))
    if not all(_equal(each.tensors, fitting[0].tensors) for each in fitting[1:]):
        places = shortened(each.where or "without a prefix" for each in fitting)
        raise BadWeights(
            f"{checkpoint.path} holds the weights of {len(fitting)} networks that fit ({places}); "
            "save the intended ones alone, with torch.save, and give that file"
        )
    return fitting[0], _said_of(fitting[0])


def _said_of(match: Match) -> tuple[str, ...]:
    if not match.left_out:
        return ()
    return (f"{match.source}: not part of the network, and unused: {shortened(match.left_out)}",)


def _equal(some: State, others: State) -> bool:
    same = some.keys() == others.keys()
    return same and all(torch.equal(each, others[name]) for name, each in some.items())


def _matches(
    names: Mapping[str, str], state: State, checkpoint: CheckpointFile, key: str
) -> list[Match]:
    """Return the complete matches of one state, one per prefix; if none, all that were tried."""
    tried: list[Match] = []
    for simplified in (str, _without_wrappers):
        wanted = {simplified(name): name for name in names}
        given = {simplified(name): each for name, each in state.items()}
        if len(wanted) < len(names) or len(given) < len(state):
            continue  # two tensors would have the same name
        blank = Match(str(checkpoint.path), checkpoint.arch, key, "", {}, (), given)
        found = [_match(blank, names, wanted, each) for each in _prefixes(wanted, given)]
        found = [_without_others(each, found) for each in found]
        complete = [each for each in found if each.complete]
        if complete:
            return complete
        tried += found
    return tried


def _without_wrappers(name: str) -> str:
    return ".".join(each for each in name.split(".") if each not in _WRAPPERS)


def _prefixes(wanted: Mapping[str, str], given: State) -> list[str]:
    """Return prefixes whose removal yields names of the network, the most likely first."""
    count = Counter({"": 0})
    for name in given:
        parts = name.split(".")
        for k in range(len(parts)):
            if ".".join(parts[k:]) in wanted:
                count[".".join([*parts[:k], ""])] += 1
    return [prefix for prefix, _ in count.most_common(_MOST_PREFIXES)]


def _match(blank: Match, names: Mapping[str, str], wanted: Mapping[str, str], prefix: str) -> Match:
    """Select the tensors of a file that have a wanted name after the prefix.

    Args:
        blank: an empty match.
        names: of the network, each with the first name of the same tensor.
        wanted: simplified names, each with the network's.
        prefix: what the names in the file begin with.
    """
    tensors, others = {}, {}
    for name, each in blank.others.items():
        rest = name.removeprefix(prefix)
        if name.startswith(prefix) and rest in wanted:
            tensors[wanted[rest]] = each
        elif rest.rpartition(".")[2] not in COMPUTED:
            others[name] = each
    there = {names[each] for each in tensors}
    missing = tuple(
        name
        for name, first in names.items()
        if first not in there and name.rpartition(".")[2] not in COMPUTED
    )
    return replace(blank, prefix=prefix, tensors=tensors, missing=missing, others=others)


def _without_others(match: Match, found: list[Match]) -> Match:
    """Drop the tensors of other complete networks in the same file."""
    whole = [each for each in found if not each.missing and each is not match]
    theirs = {name for each in whole for name in match.others if name not in each.others}
    rest = {name: each for name, each in match.others.items() if name not in theirs}
    return replace(match, others=rest)


def fill(network: nn.Module, match: Match) -> None:
    """Copy the tensors of a file into the network that they fit.

    Raises:
        BadWeights: if they do not fit by name, shape and type.
    """
    own = network.state_dict()
    names = first_names(own)
    shapes = all(own[name].shape == each.shape for name, each in match.tensors.items())
    if not match.complete or not shapes:
        raise misfit(network, match)
    by_first: dict[str, Tensor] = {}
    for name, each in match.tensors.items():
        _refuse_other_type(name, each, own[name], match.source)
        first = by_first.setdefault(names[name], each)
        if first is not each and not torch.equal(first, each):
            raise BadWeights(
                f"{match.source}: {names[name]} and {name} are the same tensor in "
                f"{type(network).__name__}, but differ in the file"
            )
    network.load_state_dict({name: by_first.get(names[name], own[name]) for name in own})


def _refuse_other_type(name: str, given: Tensor, wanted: Tensor, source: str) -> None:
    """Refuse integers and 8-bit floats in place of floats: their scales are missing."""
    floats = given.is_floating_point() and given.dtype.itemsize > 1
    if wanted.is_floating_point() and not floats:
        raise BadWeights(
            f"{source} holds the weights of a quantised network ({name} is {given.dtype}); give "
            "those it was quantised from"
        )
