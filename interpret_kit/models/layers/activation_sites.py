"""Which normalisation and activation belong to a layer alone?

Found in one forward pass: a normalisation or activation that takes exactly the tensor that another
module returned continues the chain of that module, provided that nothing else reads the tensor: no
other module, and no function such as an addition or a concatenation. A tensor that was changed in
place in between (``x += shortcut``) is another tensor, and ends the chain.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import nn

from interpret_kit.models.layers.dimensions import Dims
from interpret_kit.models.layers.watching import Key, StorageVersion

_NORMS = (nn.modules.batchnorm._BatchNorm, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm)
# Among torch's activations, but not elementwise: they read several elements.
_MIXING = (nn.MultiheadAttention, nn.GLU, nn.Softmax, nn.Softmax2d, nn.Softmin, nn.LogSoftmax)

Readings = Mapping[StorageVersion, Sequence[int]]  # times at which each tensor was read


@dataclass(frozen=True)
class Call:
    """One call of a module in a forward pass."""

    point: tuple[str, int]
    module: nn.Module
    taken: Key | None  # its first input, if that is a tensor
    made: Key | None  # its output, if that is a tensor
    shape: tuple[int, ...] = ()  # of the output
    dims: Dims | None = None  # meaning of the output's dimensions; None if unknown
    entered: int = 0  # when it began and ended, by the clock of the watch
    left: int = 0

    def holds(self, time: int) -> bool:
        """Return whether a time lies within this call."""
        return self.entered < time < self.left


@dataclass(frozen=True)
class Chain:
    """The points at which the feature maps of one layer can be read before others are mixed in."""

    entering: Call  # its output enters the activation; the end, if there is none
    end: Call
    active: bool  # whether there is an activation
    also_read: bool = False  # whether something other than the next module reads the end


def chain_of(
    start: Call, calls: Sequence[Call], takers: Mapping[Key, Sequence[Call]], readings: Readings
) -> Chain:
    """Follow a layer's feature maps through its normalisation and activation.

    Args:
        start: the call that returns them.
        calls: all calls of the forward pass.
        takers: the first call to take each tensor.
        readings: the times at which each tensor was read.
    """
    end = start
    while True:
        taking = takers.get(end.made, ()) if end.made is not None else ()
        following = [each for each in taking if each.made is not None and _computes(each)]
        follows = [each for each in following if _continues(each.module)]
        if not follows:
            return Chain(end, end, False)
        if len(following) != 1 or not _alone(end, follows[0], readings):
            return Chain(end, end, False, also_read=True)
        before, end = end, follows[0]
        if _activates(end.module):
            return Chain(_entering(end, calls) or before, end, True)


def _alone(end: Call, reader: Call, readings: Readings) -> bool:
    """Return whether only one call reads the output of another."""
    assert end.made is not None
    return all(reader.holds(each) for each in readings.get(end.made[0], ()) if each > end.left)


def _entering(activation: Call, calls: Sequence[Call]) -> Call | None:
    """Find the input of the activation in a module that also normalises, as in timm."""
    inside = f"{activation.point[0]}."
    for inner in calls:
        if inner.point[0].startswith(inside) and _activates(inner.module):
            makers = [each for each in calls if each.made == inner.taken and each is not inner]
            return makers[0] if makers else None
    return None


def _computes(call: Call) -> bool:
    """Return whether a call computes its output itself; a container only calls its children."""
    whole = isinstance(call.module, _NORMS) or not any(call.module.children())
    return whole and not passes_through(call)


def passes_through(call: Call) -> bool:
    """Return whether the call returned the tensor that it took, as an Identity does."""
    return call.made is not None and call.made == call.taken


def _continues(module: nn.Module) -> bool:
    return isinstance(module, _NORMS) or _activates(module)


def _activates(module: nn.Module) -> bool:
    if isinstance(module, _NORMS):  # timm merges normalisation and activation into one module
        return not isinstance(getattr(module, "act", nn.Identity()), nn.Identity)
    home = type(module).__module__
    named = home == "torch.nn.modules.activation" or home.startswith("timm.layers.activations")
    return named and not isinstance(module, _MIXING)
