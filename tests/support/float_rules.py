"""When are two ways to the same numbers equal? One rule for all tests that compare floats.

In float64 they differ by at most 1e-9 of the scale: what is wrong shows. In float32 the error of
one way, against the truth in float64, is at most 4 times the larger of the other way's own error
and eps times the size of the terms that are summed: what is careless shows. Neither depends on the
machine, as a bare absolute number would.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

EXACT = 1e-9  # of the scale, in float64
TIMES = 4  # the larger of the other way's error and one unit in the last place of the terms


def in_double(module: nn.Module) -> nn.Module:
    """A copy of a network or classifier that computes in float64."""
    return copy.deepcopy(module).double()


def assert_exact(ours: ArrayLike, truth: ArrayLike, scale: float | None = None) -> None:
    """Compare two results of arithmetic in float64.

    Args:
        ours: what is tested.
        truth: what it should be.
        scale: the size of the terms; the largest true number unless it is given.
    """
    ours, truth = np.asarray(ours), np.asarray(truth)
    assert (ours.shape, ours.dtype) == (truth.shape, truth.dtype)
    largest = float(np.abs(truth).max())
    scale = largest if scale is None else scale
    off = float(np.abs(ours - truth).max())
    # Captum's maps, and those that are stored, come out rounded to float32.
    stored = 0.0 if ours.dtype == np.float64 else float(np.finfo(ours.dtype).eps) * largest
    assert off <= EXACT * scale + stored, (
        f"off by {off:.2e}, which is {off / scale:.1e} of {scale:.2e}"
    )


def assert_near(
    ours: ArrayLike,
    truth: ArrayLike,
    *,
    theirs: ArrayLike | None = None,
    terms: float | None = None,
) -> None:
    """Compare a float32 result with the truth in float64.

    Args:
        ours: what is tested.
        truth: the same, worked out in float64 or on paper.
        theirs: by the plain way in float32, whose error is the measure; or none is known.
        terms: the size of the terms that are summed; the largest true number unless it is given.
    """
    ours, truth = np.asarray(ours), np.asarray(truth, np.float64)
    assert ours.dtype in (np.float32, np.float64)  # of a network that mixes the two
    assert ours.shape == truth.shape
    terms = float(np.abs(truth).max()) if terms is None else terms
    off = float(np.abs(ours - truth).max())
    rounding = float(np.finfo(np.float32).eps) * terms
    if theirs is not None:
        rounding = max(rounding, float(np.abs(np.asarray(theirs) - truth).max()))
    assert off <= TIMES * rounding, (
        f"off by {off:.2e}, which is {off / rounding:.1f} x {rounding:.2e}"
    )


def assert_same(
    network: nn.Module,
    ours: Callable[..., Tensor],
    theirs: Callable[..., Tensor],
    *tensors: Tensor,
) -> None:
    """Compare two functions of a network and tensors, its inputs first, by both rules."""
    double, doubles = in_double(network), [each.double() for each in tensors]
    with torch.no_grad():
        scale = terms_of(double, doubles[0])
        truth = theirs(double, *doubles)
        assert_exact(ours(double, *doubles), truth, scale)
        found, plain = ours(network, *tensors), theirs(network, *tensors)
    assert_near(found, truth, theirs=plain, terms=scale)


def terms_of(network: nn.Module, inputs: Tensor) -> float:
    """The largest sum of absolute terms in the last linear layer or convolution."""
    seen: list[tuple[nn.Module, Tensor]] = []
    hooks = [
        each.register_forward_hook(lambda module, given, _: seen.append((module, given[0].clone())))
        for each in network.modules()
        if isinstance(each, nn.Linear | nn.Conv2d)
    ]
    try:
        with torch.no_grad():
            largest = float(network(inputs.clone()).abs().max())
    finally:
        for each in hooks:
            each.remove()
    if not seen:
        return largest
    layer, given = seen[-1]
    layer = copy.deepcopy(layer)
    layer._forward_hooks.clear()
    layer._forward_pre_hooks.clear()
    with torch.no_grad():
        for weight in layer.parameters():
            weight.abs_()
        return max(largest, float(layer(given.abs()).abs().max()))
