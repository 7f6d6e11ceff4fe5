"""Which layers has a network, and how are they read and silenced? The only hooks of the library.

A layer is one call of a module: a module that is used twice is two layers, ``name#1`` and
``name#2``. Convolutions are numbered from 1 in the order in which data meets them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn

from interpret_kit.chains import Call, Chain, Key, chain_of, key, passes_through
from interpret_kit.errors import LayerNotFound, NotSupported, close_names
from interpret_kit.kinds import is_convolution, is_scripted, opaque
from interpret_kit.modes import evaluating as evaluating  # noqa: PLC0414 - also met here
from interpret_kit.selection import SITES, check_site

Point = tuple[str, int]  # name of a module, and which of its calls (from 1)
Visit = Callable[[Tensor], "Tensor | None"]  # sees an output; may return another in its place


@dataclass(frozen=True)
class Layer:
    """One call of a module that makes maps (batch, filters, rows, cols)."""

    label: str  # module name; with "#2" for the second call of a module that is called twice
    point: Point
    kind: str  # class of the module
    number: int | None  # from 1 over the convolutions; None for other modules
    filters: int
    rows: int
    cols: int
    entering: Point  # the map that enters its activation: after its normalisation
    end: Point  # the last map that is this layer's alone: after its activation
    ends_active: bool  # whether it has an activation
    kernel: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()

    def at(self, site: str) -> Point:
        """Where the layer's maps are read or silenced.

        "convolution" is the layer's own output; "pre-activation" the map that enters its
        activation, after its normalisation; "activation" the map after both. Only what this
        layer alone feeds counts: where its output is added to another map first, as at the end
        of a residual block, both are the last map before that.
        """
        points = dict(zip(SITES, (self.point, self.entering, self.end), strict=True))
        check_site(site)
        return points[site]


def rectified(network: nn.Module, layer: Layer) -> bool:
    """Whether the layer ends above 0 exactly where the map that enters its activation is."""
    end = network.get_submodule(layer.end[0])
    joined = layer.entering[0].startswith(f"{layer.end[0]}.")  # norm and activation in one module
    return type(getattr(end, "act", None) if joined else end) in {nn.ReLU, nn.ReLU6}


@contextmanager
def observed(network: nn.Module, visits: Mapping[Point, Visit]) -> Iterator[None]:
    """Show the outputs at some points to functions while the block runs.

    A function may return a tensor, which then takes the output's place. The output may be
    overwritten in place by the next module: a visitor that keeps it must clone it.

        with observed(network, {("conv3", 1): lambda output: print(output.mean())}):
            network(pixels)
    """
    modules: dict[str, nn.Module] = {}
    by_name: dict[str, dict[int, Visit]] = {}
    for (name, call), visit in visits.items():
        modules[name] = _module(network, name)
        by_name.setdefault(name, {})[call] = visit
    calls = dict.fromkeys(by_name, 0)

    def restart(*_: object) -> None:
        calls.update(dict.fromkeys(by_name, 0))

    def hook_for(name: str) -> Callable[..., Tensor | None]:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
            calls[name] += 1
            visit = by_name[name].get(calls[name])
            return None if visit is None else _shown(visit, output)

        return hook

    with ExitStack() as stack:
        stack.callback(network.register_forward_pre_hook(restart).remove)
        for name in by_name:
            stack.callback(modules[name].register_forward_hook(hook_for(name)).remove)
        yield


def _shown(visit: Visit, output: Tensor) -> Tensor | None:
    """Show an output; a quantised one as the numbers that it stands for."""
    if not (isinstance(output, Tensor) and output.is_quantized):
        return visit(output)
    replaced = visit(output.dequantize())
    if replaced is None:
        return None
    scale, zero = output.q_scale(), output.q_zero_point()  # of one scale, as all outputs are
    return torch.quantize_per_tensor(replaced, scale, zero, output.dtype)


def _module(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        close = close_names(name, [each for each, _ in network.named_modules()])
        raise LayerNotFound(f"no layer {name!r}; {close}") from None


@contextmanager
def recorded(network: nn.Module, points: Sequence[Point]) -> Iterator[dict[Point, Tensor]]:
    """Keep the outputs at some points; each forward in the block replaces those of the last.

    with recorded(network, [("conv3", 1)]) as outputs:
        network(pixels)
    outputs["conv3", 1]  # (batch, filters, rows, cols)
    """
    outputs: dict[Point, Tensor] = {}

    def keep_at(point: Point) -> Visit:
        def keep(output: Tensor) -> None:
            outputs[point] = output.detach().clone()  # the next module may work in place

        return keep

    with observed(network, {point: keep_at(point) for point in points}):
        yield outputs


@contextmanager
def ablated(
    network: nn.Module, points: Sequence[Point], filters: Sequence[int] | Tensor, value: float = 0.0
) -> Iterator[None]:
    """Hold some filters at ``value`` while the block runs, at every one of ``points``.

    with ablated(network, [("conv3", 1)], [7]):
        logits = network(pixels)  # as if filter 7 of conv3 had died
    """
    silenced = torch.as_tensor(filters, dtype=torch.long)

    def overwrite(output: Tensor) -> Tensor:
        return output.index_fill(1, silenced.to(output.device), value)

    with observed(network, dict.fromkeys(points, overwrite)):
        yield


@contextmanager
def _calls(network: nn.Module) -> Iterator[list[Call]]:
    """List the calls of every module while the block runs."""
    calls: list[Call] = []
    turns: Counter[str] = Counter()
    taken: list[Key | None] = []
    alive: list[object] = []  # so that no tensor gets the identity of one that is gone

    def before(_module: nn.Module, inputs: tuple[object, ...]) -> None:
        alive.extend(inputs)
        taken.append(key(inputs[0]) if inputs else None)

    def after(name: str, module: nn.Module, output: object) -> None:
        turns[name] += 1
        alive.append(output)
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        calls.append(Call((name, turns[name]), module, taken.pop(), key(output), shape))

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if is_scripted(module):
                continue
            stack.callback(module.register_forward_pre_hook(before).remove)
            hook = partial(lambda name, module, _inputs, output: after(name, module, output), name)
            stack.callback(module.register_forward_hook(hook).remove)
        yield calls


def catalogue(network: nn.Module, inputs: Tensor) -> tuple[Layer, ...]:
    """List every layer that makes maps, in the order in which data meets them.

    One forward of ``inputs`` (batch, channels, height, width), in eval mode, finds out.

    Raises:
        NotSupported: if the network is TorchScript or an exported program.
    """
    if opaque(network):
        raise NotSupported(
            f"the layers of the network cannot be read: {opaque(network)}; give the nn.Module that "
            "it was made from (occlusion and misclassifications need no layers)"
        )
    with evaluating(network), _calls(network) as calls:
        network(inputs)
    twice = {call.point[0] for call in calls if call.point[1] > 1}
    convolutions = count(1)
    layers = []
    for call in calls:
        if len(call.shape) == 4 and call.point[0] and not passes_through(call):
            number = next(convolutions) if is_convolution(call.module) else None
            layers.append(_layer(call, number, chain_of(call, calls), twice))
    return tuple(layers)


def _layer(call: Call, number: int | None, chain: Chain, twice: Container[str]) -> Layer:
    name, turn = call.point
    convolution: Any = call.module if is_convolution(call.module) else None
    return Layer(
        label=f"{name}#{turn}" if name in twice else name,
        point=call.point,
        kind=type(call.module).__name__,
        number=number,
        filters=call.shape[1],
        rows=call.shape[2],
        cols=call.shape[3],
        entering=chain.entering.point,
        end=chain.end.point,
        ends_active=chain.active,
        kernel=tuple(convolution.kernel_size) if convolution else (),
        stride=tuple(convolution.stride) if convolution else (),
    )


def find_layers(layers: Sequence[Layer], spec: int | str) -> tuple[Layer, ...]:
    """Layers by number ("3"), "last", "all", module name, or several of these with commas.

    Raises:
        LayerNotFound: with the numbers there are, or the closest names.
    """
    found: dict[Layer, None] = {}
    for part in str(spec).split(","):
        name = part.strip()
        chosen = _convolutions(layers) if name == "all" else (find_layer(layers, name),)
        found.update(dict.fromkeys(chosen))
    return tuple(found)


def find_layer(layers: Sequence[Layer], spec: int | str) -> Layer:
    """One layer by number, name or "last"; see `find_layers`."""
    name = str(spec).strip()
    if name == "last":
        return _convolutions(layers)[-1]
    if name.removeprefix("-").isdecimal():
        convolutions = _convolutions(layers)
        if 1 <= int(name) <= len(convolutions):
            return convolutions[int(name) - 1]
        raise LayerNotFound(
            f"no layer {name}; the convolutions are numbered from 1 to {len(convolutions)} "
            "('ikit layers' lists them)"
        )
    by_label = {layer.label: layer for layer in layers}
    if name in by_label:
        return by_label[name]
    calls = [label for label in by_label if label.startswith(f"{name}#")]
    if calls:
        raise LayerNotFound(f"{name!r} is called {len(calls)} times: say {' or '.join(calls)}")
    raise LayerNotFound(
        f"no layer {name!r} that makes maps; {close_names(name, by_label)} ('ikit layers' lists "
        "them)"
    )


def _convolutions(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    found = tuple(layer for layer in layers if layer.number is not None)
    if not found:
        raise LayerNotFound("the network has no convolution; give a layer by its module name")
    return found
