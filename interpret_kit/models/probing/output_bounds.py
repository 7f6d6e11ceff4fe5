"""Between which numbers must a network's output lie, whatever its input?

Interval arithmetic over the operations of one forward pass. A sigmoid, a softmax, 1 / (1 +
exp(-x)), a clamp, and copies or averages of these are known to be in [0, 1]; a logit, from a linear
layer, may be any number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from numbers import Real
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from interpret_kit.models.dispatching import DispatchMode

Interval = tuple[float, float]
ANY: Interval = (-math.inf, math.inf)

# Bounds that hold for any input.
_ALWAYS: dict[str, Interval] = {
    "sigmoid": (0, 1), "_softmax": (0, 1), "hardsigmoid": (0, 1), "tanh": (-1, 1), "erf": (-1, 1),
    "sin": (-1, 1), "cos": (-1, 1), "_log_softmax": (-math.inf, 0),
    "log_sigmoid_forward": (-math.inf, 0), "abs": (0, math.inf), "softplus": (0, math.inf),
}  # fmt: skip
# Elements of the input, or means of them.
_KEEPING = {
    "view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "clone", "_to_copy", "detach",
    "alias", "permute", "transpose", "t", "select", "slice", "split", "split_with_sizes", "unbind",
    "expand", "repeat", "mean", "amax", "amin", "max", "min", "median", "index", "index_select",
    "gather", "avg_pool2d", "max_pool2d_with_indices", "_adaptive_avg_pool2d", "flip",
    "lift_fresh", "contiguous",
}  # fmt: skip


class Bounds(DispatchMode):
    """Compute bounds of all tensors in the block.

    with Bounds() as bounds:
        outputs = network(inputs)
    low, high = bounds.of(outputs)
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._known = WeakTensorKeyDictionary()  # does not keep feature maps alive

    def of(self, value: object) -> Interval:
        """Return the least and greatest value that a tensor of the block, or a number, can have."""
        if isinstance(value, Real):
            return float(value), float(value)
        if not isinstance(value, Tensor) or value not in self._known:
            return ANY
        known: Interval = self._known[value]
        return known

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and record the bounds of its outputs."""
        bound = self._bound(func, args, kwargs or {})
        returned = func(*args, **(kwargs or {}))
        if func._schema.is_mutable:
            self._forget(args[0] if args else None)
        for each in returned if isinstance(returned, (tuple, list)) else (returned,):
            if isinstance(each, Tensor) and each.is_floating_point() and bound != ANY:
                self._known[each] = bound
        return returned

    def _bound(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Interval:
        op = func._schema.name.rpartition("::")[2].rstrip("_")  # with "_", it computes in place
        found = ANY
        if op in _ALWAYS:
            found = _ALWAYS[op]
        elif op in _KEEPING:
            found = self.of(args[0])
        elif op in {"cat", "stack"}:
            lows, highs = zip(*map(self.of, args[0]), strict=True)
            found = min(lows), max(highs)
        elif op in _CLAMPING:
            found = _clamped(self.of(args[0]), *_limits(op, args, kwargs))
        elif op in _RULES and not kwargs and all(isinstance(e, (Tensor, Real)) for e in args):
            with suppress(TypeError, OverflowError):  # other overloads
                found = _RULES[op](*map(self.of, args))
        return ANY if any(map(math.isnan, found)) else found

    def _forget(self, changed: object) -> None:
        """Forget the bounds of memory that an in-place operation has written to."""
        if not isinstance(changed, Tensor):
            return
        memory = changed.untyped_storage()._cdata
        for each in list(self._known):
            if each.untyped_storage()._cdata == memory:
                del self._known[each]


def _product(a: Interval, b: Interval) -> Interval:
    corners = [0.0 if 0 in {x, y} else x * y for x in a for y in b]
    return min(corners), max(corners)


def _inverse(a: Interval) -> Interval:
    if a[0] < 0:
        return ANY
    return 1 / a[1], 1 / a[0] if a[0] else math.inf


def _exponential(x: float) -> float:
    return math.inf if x > 700 else math.exp(x)


_RULES: dict[str, Callable[..., Interval]] = {
    "neg": lambda a: (-a[1], -a[0]),
    "add": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "sub": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "rsub": lambda a, b: (b[0] - a[1], b[1] - a[0]),
    "mul": _product,
    "div": lambda a, b: _product(a, _inverse(b)),
    "reciprocal": _inverse,
    "exp": lambda a: (_exponential(a[0]), _exponential(a[1])),
    "relu": lambda a: (max(a[0], 0.0), max(a[1], 0.0)),
}
_CLAMPING = {"clamp": (None, None), "clamp_min": (None, None), "hardtanh": (-1.0, 1.0)}


def _limits(op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any]:
    given = [*args[1:], *_CLAMPING[op][len(args) - 1 :]]
    names = ("min_val", "max_val") if op == "hardtanh" else ("min", "max")
    low, high = (kwargs.get(name, each) for name, each in zip(names, given, strict=True))
    return low, high


def _clamped(a: Interval, low: Any, high: Any) -> Interval:
    least = float(low) if isinstance(low, Real) else -math.inf
    most = float(high) if isinstance(high, Real) else math.inf
    return min(max(a[0], least), most), max(min(a[1], most), least)
