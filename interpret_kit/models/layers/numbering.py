"""Which layers of a network have a number?

Convolutions, in the order of execution; and, in networks that combine the positions of the image by
attention or by linear layers over the tokens, the blocks that do so. A block counts as one layer:
the modules inside it, including convolutions, have only names. So the third layer of a ResNet or a
ConvNeXt is its third convolution, and a ViT has its patch embedding as layer 1 and its first block
as layer 2.

A block is the smallest module that combines positions, applies linear layers at each of them, and
adds the result to its input. If no such module exists because the shortcuts are added outside, the
parts (attention, MLP) are the layers.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from itertools import pairwise

from torch import nn

from interpret_kit.models.layers.activation_sites import Call
from interpret_kit.models.layers.watching import TensorWatch
from interpret_kit.models.probing.network_kinds import is_convolution

CallId = tuple[str, int]  # name of a module, and the number of the call


def numbered(
    calls: Sequence[Call], watch: TensorWatch, maps: Container[CallId]
) -> tuple[CallId, ...]:
    """Return the calls that have a number, in the order of execution.

    Args:
        calls: all calls of a forward pass, in the order in which they ended.
        watch: the record of it.
        maps: the calls that return feature maps.
    """
    with_maps = [call for call in calls if call.point in maps]
    linear = [call.left for call in with_maps if _is_linear(call)]
    blocks = _blocks(calls, with_maps, watch, linear)
    found = {call.point for call in with_maps if is_convolution(call.module)}
    found -= {call.point for call in calls if any(_inside(call, block) for block in blocks)}
    first = min((block.entered for block in blocks), default=0)
    if not any(call.left < first for call in calls if call.point in found):
        found |= {call.point for call in _embeddings(with_maps, linear, first)}
    found |= {block.point for block in blocks}
    return tuple(call.point for call in calls if call.point in found)


def _blocks(
    calls: Sequence[Call], with_maps: Sequence[Call], watch: TensorWatch, linear: Sequence[int]
) -> list[Call]:
    found: dict[Call, None] = {}
    adding = [(time, _innermost(calls, time)) for time in watch.adding if watch.mixing]
    for time in watch.mixing:
        if any(block.holds(time) for block in found):
            continue
        adders = {call for t, call in adding if t >= time and call and call.holds(time)}
        whole = min(adders, key=_duration, default=None)
        if whole is None:
            continue
        sums = [t for t, call in adding if call is whole]
        again = _alternations(whole, watch.mixing, sums) > 1
        parts: Iterable[Call] = [whole] if whole in with_maps and not again else ()
        if again:
            parts = _outermost([c for c in with_maps if _inside(c, whole) and c.left > time])
        found.update(dict.fromkeys(c for c in parts if _holds_linear(c, linear)))
    return list(found)


def _alternations(call: Call, mixing: Sequence[int], sums: Sequence[int]) -> int:
    """Count how often a call combines positions and adds the result to a shortcut."""
    events = sorted([(t, 0) for t in mixing if call.holds(t)] + [(t, 1) for t in sums])
    kinds = [kind for _, kind in events]
    return sum(a < b for a, b in pairwise(kinds))


def _is_linear(call: Call) -> bool:
    """Return whether a call applies a linear layer, or all of a block, to every position."""
    return isinstance(call.module, (nn.Linear, nn.TransformerEncoderLayer))


def _holds_linear(call: Call, linear: Sequence[int]) -> bool:
    return any(call.entered < time <= call.left for time in linear)


def _embeddings(with_maps: Sequence[Call], linear: Sequence[int], first: int) -> list[Call]:
    """Find what makes tokens of an image without a convolution, before the first block."""
    before = [call for call in with_maps if call.left < first]
    return _outermost([c for c in before if _holds_linear(c, linear)])


def _outermost(calls: Sequence[Call]) -> list[Call]:
    return [call for call in calls if not any(_inside(call, other) for other in calls)]


def _inside(call: Call, other: Call) -> bool:
    return other.entered < call.entered and call.left < other.left


def _innermost(calls: Sequence[Call], time: int) -> Call | None:
    return min((call for call in calls if call.holds(time)), key=_duration, default=None)


def _duration(call: Call) -> int:
    return call.left - call.entered
