"""Which filters of which layers were asked for, and where are they read or silenced?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpret_kit.errors import LayerNotFound, UsageError

if TYPE_CHECKING:
    from interpret_kit.layers import Layer

LAYER_HELP = (
    "a convolution by its number from 1 ('ikit layers' lists them), last, or a layer by its "
    "module name"
)
LAYERS_HELP = f"{LAYER_HELP}; several with commas, or all for every convolution"
SITE_HELP = (
    "convolution: the layer's own output; pre-activation: after its normalisation; activation: "
    "after its activation"
)


def parse_filters(filters: str, layer: Layer) -> tuple[int, ...]:
    """Read "0,5,7" or "all" as filters of a layer.

    Raises:
        UsageError: if the layer has no such filter.
    """
    if str(filters).strip() == "all":
        return tuple(range(layer.filters))
    chosen = []
    for part in str(filters).split(","):
        number = part.strip()
        if not number.isdecimal() or int(number) >= layer.filters:
            raise LayerNotFound(
                f"no filter {number!r} in layer {layer.label}; it has {layer.filters} filters, "
                f"from 0 to {layer.filters - 1}"
            )
        chosen.append(int(number))
    return tuple(dict.fromkeys(chosen))


def at_least_one(number: int, what: str) -> None:
    """Refuse a count below one."""
    if number < 1:
        raise UsageError(f"{what} is {number}; it must be at least 1")
