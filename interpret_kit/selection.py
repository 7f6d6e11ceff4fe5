"""Which filters of which layers were asked for, and where are they read or ablated?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interpret_kit.errors import LayerNotFound, UsageError, close_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from interpret_kit.layers import Layer

SITES = ("convolution", "pre-activation", "activation")

LAYER_HELP = (
    "a convolution or transformer block by its number from 1 ('ikit layers' lists them), last, or "
    "a layer by its module name"
)
LAYERS_HELP = f"{LAYER_HELP}; several with commas, or all for every one with a number"
SITE_HELP = (
    "convolution: the layer's own output; pre-activation: after its normalisation; activation: "
    "after its activation"
)


def find_layers(layers: Sequence[Layer], spec: int | str) -> tuple[Layer, ...]:
    """Layers by number ("3"), "last", "all", module name, or several of these with commas.

    Raises:
        LayerNotFound: with the numbers there are, or the closest names.
    """
    found: dict[Layer, None] = {}
    for part in str(spec).split(","):
        name = part.strip()
        chosen = _numbered(layers) if name == "all" else (find_layer(layers, name),)
        found.update(dict.fromkeys(chosen))
    return tuple(found)


def find_layer(layers: Sequence[Layer], spec: int | str) -> Layer:
    """One layer by number, name or "last"; see `find_layers`."""
    name = str(spec).strip()
    if name == "last":
        return _numbered(layers)[-1]
    if name.removeprefix("-").isdecimal():
        with_number = _numbered(layers)
        if 1 <= int(name) <= len(with_number):
            return with_number[int(name) - 1]
        raise LayerNotFound(
            f"no layer {name}; the layers are numbered from 1 to {len(with_number)} "
            "('ikit layers' lists them)"
        )
    by_label = {layer.label: layer for layer in layers}
    if name in by_label:
        return by_label[name]
    raise LayerNotFound(_why_not(layers, by_label, name))


def _why_not(layers: Sequence[Layer], labels: Iterable[str], name: str) -> str:
    calls = [label for label in labels if label.startswith(f"{name}#")]
    if calls:
        return f"{name!r} is called {len(calls)} times: say {' or '.join(calls)}"
    close = f"{close_names(name, labels)} ('ikit layers --all' lists them)"
    refused: Mapping[str, str] = getattr(layers, "refused", {})
    if name in refused:
        return f"module {name!r} does not return feature maps: {refused[name]}; {close}"
    return f"no layer {name!r} that returns feature maps; {close}"


def _numbered(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    found = tuple(layer for layer in layers if layer.number is not None)
    if not found:
        raise LayerNotFound(
            "the network has no convolution and no transformer block; give a layer by its module "
            "name ('ikit layers --all' lists them)"
        )
    return found


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


def check_selection(
    layer: int | str, site: str, filters: str = "all", words: tuple[str, ...] = ("all",)
) -> None:
    """Refuse layers, a site or filters that no network can have; see the functions below."""
    check_layers(layer)
    check_site(site)
    check_filters(filters, words)


def check_layers(spec: int | str) -> None:
    """Refuse what cannot be a layer of any network: nothing at all, or a number below 1.

    Raises:
        LayerNotFound: with what a layer can be.
    """
    for part in str(spec).split(","):
        name = part.strip()
        if not name:
            raise LayerNotFound(
                f"layer {str(spec)!r} has an empty part; give a number from 1 ('ikit layers' "
                "lists them), last, or a module name"
            )
        if name.removeprefix("-").isdecimal() and int(name) < 1:
            raise LayerNotFound(
                f"no layer {name}; layers are numbered from 1 ('ikit layers' lists them)"
            )


def check_filters(filters: str, words: tuple[str, ...]) -> None:
    """Refuse what is neither one of the words nor numbers with commas, such as "0,5,7".

    Raises:
        LayerNotFound: with what filters can be.
    """
    if str(filters).strip() in words:
        return
    for part in str(filters).split(","):
        if not part.strip().isdecimal():
            either = " or ".join(["numbers from 0 with commas, such as 0,5,7,", *words])
            raise LayerNotFound(f"no filter {part.strip()!r}; give {either}")


def check_site(site: str) -> None:
    """Refuse a site that is not one of `SITES`."""
    if site not in SITES:
        raise UsageError(f"no site {site!r}; say {', '.join(SITES)}")


def at_least_one(number: int, what: str) -> None:
    """Refuse a count below one."""
    if number < 1:
        raise UsageError(f"{what} is {number}; it must be at least 1")
