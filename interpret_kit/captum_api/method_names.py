"""Which attribution methods are there, and which fields does each of them read?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from interpret_kit.errors import UsageError, WrongType, close_names
from interpret_kit.models.argument_values import shown

OCCLUSION, GRADCAM, GUIDED, IG, SALIENCY = (
    "occlusion",
    "gradcam",
    "guided-gradcam",
    "ig",
    "saliency",
)
METHODS = OCCLUSION, GRADCAM, GUIDED, IG, SALIENCY
MAPPED_BY_DEFAULT = OCCLUSION, GRADCAM, IG, SALIENCY  # guided Grad-CAM needs nn.ReLU modules
SIGNED = {OCCLUSION, GUIDED, IG}  # negative where a pixel counts against the target
READS_LAYER = {GRADCAM, GUIDED}
READ_BY = {  # fields of `Attribution`
    "layer": READS_LAYER,
    "site": READS_LAYER,
    "steps": {IG},
    "fill": {OCCLUSION, IG},
    "window": {OCCLUSION},
    "stride": {OCCLUSION},
}

_EXAMPLE = "as in `method='occlusion,ig'`"


def methods_argument(value: Any, name: str = "method") -> tuple[str, ...]:
    """Convert one method or several, as a list or separated by commas, to distinct names.

    Raises:
        UsageError: if one is unknown, or there is none.
    """
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, Iterable) or not all(isinstance(each, str) for each in given):
        raise WrongType(f"`{name}` is {shown(value)}; give names, {_EXAMPLE}")
    words = [part.strip() for each in given for part in each.split(",")]
    found = tuple(dict.fromkeys(each.lower().replace("_", "-") for each in words if each))
    for each in found:
        if each not in METHODS:
            close = close_names(each, METHODS)
            raise UsageError(f"`{name}` {each!r} is not a method; {close}")
    if not found:
        raise UsageError(f"`{name}` is empty; give some of {', '.join(METHODS)}")
    return found
