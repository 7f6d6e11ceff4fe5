"""Do the arguments of an attribution in Captum's form fit each other? One sentence if not.

Captum asserts some of this in its own terms, and divides by zero for the rest.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from interpret_kit.errors import ClassNotFound, DoesNotFit, UsageError
from interpret_kit.models.argument_values import integer, shown
from interpret_kit.models.pixels import refuse_empty, refuse_other_than_tensors

_NO_COLUMN = re.compile(r"index (-?\d+) is out of bounds for dimension 1 with size (\d+)")
_WINDOW = "as in (3, 16, 16) for 3 channels, height and width"


def windows_argument(inputs: object, windows: Any, strides: Any) -> tuple[Any, Any]:
    """Read the windows and strides of Captum's Occlusion; lists become tuples.

    Args:
        inputs: a tensor (batch, ...), or a tuple of several.
        windows: for each input a side for each dimension but the first.
        strides: likewise, or one step for all dimensions of an input; None for 1.

    Raises:
        UsageError: inputs that are not tensors, or sides of another number or type.
        DoesNotFit: sides or steps below 1, larger than the inputs, or steps that leave gaps.
    """
    several = inputs if isinstance(inputs, tuple) else (inputs,)
    for each in several:
        refuse_other_than_tensors(each)
        refuse_empty(each, "inputs")
    windows, strides = _plain(windows), _plain(strides)
    own = windows if _is_nested(windows) else (windows,)
    steps = strides
    if strides is None:
        steps = (1,) * len(several)
    elif len(several) == 1 and not (isinstance(strides, tuple) and len(strides) == 1):
        steps = (strides,)
    for name, given in (("sliding_window_shapes", own), ("strides", steps)):
        if not isinstance(given, tuple) or len(given) != len(several):
            raise UsageError(
                f"{name} is {shown(given)} for {len(several)} inputs; give a tuple with one entry "
                "for each"
            )
    for tensor, window, step in zip(several, own, steps, strict=True):
        _check_window(tuple(tensor.shape), window, step)
    return windows, strides


def refuse_other_baselines(inputs: object, baselines: Any) -> None:
    """Refuse what cannot fill the windows: neither a number nor a tensor that fits the inputs.

    Raises:
        UsageError: naming the shapes.
    """
    several = inputs if isinstance(inputs, tuple) else (inputs,)
    fills = baselines if isinstance(baselines, tuple) else (baselines,)
    for each, tensor in zip(fills, several, strict=False):
        if each is None or isinstance(each, (int, float)) or _fits(each, tensor):
            continue
        kind = f"of shape {tuple(each.shape)}" if isinstance(each, Tensor) else shown(each)
        raise UsageError(
            f"baselines {kind} for inputs of shape {tuple(tensor.shape)}; give a number, or a "
            "tensor of that shape or with a batch of 1"
        )


@contextmanager
def targets_explained(target: Any) -> Iterator[None]:
    """Say which class the outputs lack if Captum does not find it.

    Raises:
        ClassNotFound: naming it, and how many there are.
        UsageError: a target with several parts, of outputs that have one dimension.
    """
    try:
        yield
    except (AssertionError, IndexError, RuntimeError) as error:
        missing = _NO_COLUMN.search(str(error))
        if missing:
            raise ClassNotFound(
                f"no class {missing[1]} in the outputs; there are {missing[2]}, from 0 to "
                f"{int(missing[2]) - 1}"
            ) from error
        if str(error).startswith("Cannot choose target column"):
            raise UsageError(
                f"target {shown(target)} does not name one output of each input; give an index, or "
                "a list with one index for each"
            ) from error
        raise


def _check_window(shape: Sequence[int], window: Any, step: Any) -> None:
    sides = _numbers(window)
    if sides is None or len(sides) != len(shape) - 1:
        raise UsageError(
            f"sliding_window_shapes is {shown(window)} for inputs of shape {tuple(shape)}; give a "
            f"side for each dimension but the first, {_WINDOW}"
            + ("; a single image is inputs[None]" if len(shape) == len(sides or ()) == 3 else "")
        )
    steps = (step,) * len(sides) if isinstance(step, int) else _numbers(step)
    if steps is None or len(steps) != len(sides):
        raise UsageError(
            f"strides is {shown(step)} for windows {window}; give an integer, or a step for each "
            "side, as in (3, 8, 8)"
        )
    if min(*sides, *steps) < 1:
        raise DoesNotFit(f"windows {window} with strides {shown(step)}: all must be at least 1")
    if any(side > most for side, most in zip(sides, shape[1:], strict=True)):
        raise DoesNotFit(f"windows {window} are larger than the inputs, {tuple(shape[1:])}")
    for most, side, each in zip(shape[1:], sides, steps, strict=True):
        if each > side and side < most:
            raise DoesNotFit(
                f"strides {shown(step)} leave gaps between windows {window}; give at most the "
                "sides of the windows"
            )


def _numbers(sides: Any) -> tuple[int, ...] | None:
    """The sides, if they are a tuple of integers."""
    whole = isinstance(sides, tuple) and all(type(each) is int for each in sides)
    return sides if whole else None


def _plain(value: Any) -> Any:
    """Lists as tuples, and integers of NumPy and torch as those of Python, also within."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    number = integer(value)
    return value if number is None else number


def _is_nested(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and all(isinstance(e, tuple) for e in value)


def _fits(fill: Any, inputs: Tensor) -> bool:
    if not isinstance(fill, Tensor) or fill.dim() != inputs.dim():
        return False
    return all(side in (1, of) for side, of in zip(fill.shape, inputs.shape, strict=True))
