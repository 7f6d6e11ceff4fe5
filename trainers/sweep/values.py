"""Is a value of a study wrong by itself, whatever the rest of the recipe?

Such a value is refused before the first trial. Values that only do not go together are left to
their trials, which fail alone: a grid may well contain a few such recipes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interpret_kit.errors import UsageError
from interpret_kit.models.conv_block import ConvBlock, check_number
from interpret_kit.models.loading.architectures import listed_models
from interpret_kit.models.loading.timm_names import no_such_model
from interpret_kit.trainers.learner import check_optimizer
from interpret_kit.trainers.recipe import Recipe

OF_BLOCKS = {
    "channels": "filters",
    "kernel": "kernel",
    "stride": "stride",
    "padding": "padding",
    "pool": "pool",
    "pool_stride": "pool_stride",
    "activation": "activation",
}
"""The field of `ConvBlock` for each field of a recipe with values for one or more blocks."""

ELSEWHERE = "hf-hub:"  # how the name of an architecture begins that timm's list does not have
NEEDED: Mapping[str, dict[str, Any]] = {
    "drop_path": {"arch": "resnet18"},
    "magnitude": {"randaugment": 1},
    "pretrained": {"arch": "resnet18"},
}
"""What a recipe must have beside a field, for that to have an effect."""


def refuse_wrong(name: str, value: Any) -> None:
    """Refuse a value of the right type that no recipe can have.

    Raises:
        UsageError: naming the field, the value, and what it can be.
    """
    if name in OF_BLOCKS:
        for each in value if isinstance(value, (list, tuple)) else [value]:
            ConvBlock(**{"filters": 1, OF_BLOCKS[name]: each})
    elif name == "fc":
        for each in value:
            check_number(name, each, 1)
    elif name == "optimizer":
        check_optimizer(value)
    elif name == "arch":
        _refuse_unknown(value)
    else:
        Recipe(**{**NEEDED.get(name, {}), name: value})


def _refuse_unknown(architecture: str) -> None:
    known = listed_models()
    if architecture.partition(".")[0] not in known and not architecture.startswith(ELSEWHERE):
        raise UsageError(f"`arch`: {no_such_model(architecture, known)}")
