"""How are the outputs of modules read and overwritten? The only hooks of the library."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from interpret_kit.errors import LayerNotFound, NotSupported, close_names
from interpret_kit.models.layers.activation_sites import Call
from interpret_kit.models.layers.catalogue import Point
from interpret_kit.models.layers.layout import PLAIN, OutputLayout
from interpret_kit.models.layers.watching import Key, TensorWatch
from interpret_kit.models.probing.network_kinds import is_scripted

Visit = Callable[[Tensor], "Tensor | None"]  # takes an output, may return a replacement


@contextmanager
def observed(network: nn.Module, visits: Mapping[Point, Visit]) -> Iterator[None]:
    """Call functions with the outputs at some points while the block runs.

    A function may return a tensor, which then replaces the output. The output may be
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
        def hook(_module: nn.Module, inputs: Sequence[object], output: Tensor) -> Tensor | None:
            calls[name] += 1
            visit = by_name[name].get(calls[name])
            replaced = None if visit is None else _shown(visit, output)
            if replaced is not None and output is next(iter(inputs), None):
                output.copy_(
                    replaced
                )  # computed in place: the overwritten tensor may be in use elsewhere
            return replaced

        return hook

    with ExitStack() as stack:
        stack.callback(network.register_forward_pre_hook(restart).remove)
        for name in by_name:
            stack.callback(modules[name].register_forward_hook(hook_for(name)).remove)
        yield


def _shown(visit: Visit, output: Tensor) -> Tensor | None:
    """Call a visitor with an output, dequantised if necessary."""
    if not (isinstance(output, Tensor) and output.is_quantized):
        return visit(output)
    replaced = visit(output.dequantize())
    if replaced is None:
        return None
    scale, zero = output.q_scale(), output.q_zero_point()  # per-tensor scale, as for all outputs
    return torch.quantize_per_tensor(replaced, scale, zero, output.dtype)


def _module(network: nn.Module, name: str) -> nn.Module:
    try:
        return network.get_submodule(name)
    except AttributeError:
        close = close_names(name, [each for each, _ in network.named_modules()])
        raise LayerNotFound(f"no layer {name!r}; {close}") from None


@contextmanager
def recorded(network: nn.Module, points: Sequence[Point]) -> Iterator[dict[Point, Tensor]]:
    """Record the outputs at some points; each forward pass replaces the previous outputs.

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
    network: nn.Module,
    points: Sequence[Point],
    filters: Sequence[int] | Tensor,
    value: float = 0.0,
    axis: int = 1,
) -> Iterator[None]:
    """Hold some filters at ``value`` while the block runs, at each of ``points``.

    with ablated(network, [("conv3", 1)], [7], axis=layer.axis):
        logits = network(pixels)  # as if filter 7 of conv3 had died
    """
    ablate = torch.as_tensor(filters, dtype=torch.long)

    def overwrite(output: Tensor) -> Tensor:
        return output.index_fill(axis, ablate.to(output.device), value)

    with observed(network, dict.fromkeys(points, overwrite)):
        yield


@contextmanager
def calls_of(network: nn.Module, watch: TensorWatch) -> Iterator[list[Call]]:
    """List the calls of every module while the block runs."""
    calls: list[Call] = []
    turns: Counter[str] = Counter()
    begun: list[tuple[int, Key | None]] = []

    def before(_module: nn.Module, inputs: tuple[object, ...]) -> None:
        begun.append((watch.tick(), watch.key(inputs[0]) if inputs else None))

    def after(name: str, module: nn.Module, output: object) -> None:
        turns[name] += 1
        entered, taken = begun.pop()
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        made, dims = watch.key(output), watch.dims(output)
        times = entered, watch.tick()
        calls.append(Call((name, turns[name]), module, taken, made, shape, dims, *times))

    with ExitStack() as stack:
        for name, module in network.named_modules():
            if is_scripted(module):
                continue
            stack.callback(module.register_forward_pre_hook(before).remove)
            hook = partial(lambda name, module, _inputs, output: after(name, module, output), name)
            stack.callback(module.register_forward_hook(hook).remove)
        stack.enter_context(watch)
        yield calls


def refuse_other_rows(maps: Tensor, images: int, name: str) -> None:
    """Refuse feature maps whose batch size is not the number of images.

    Raises:
        NotSupported: naming the layer.
    """
    if len(maps) != images:
        raise NotSupported(
            f"layer {name} returns a batch of {len(maps)} for {images} images; choose another layer"
        )


@contextmanager
def ablated_by_row(
    network: nn.Module, point: Point, filters: Tensor, layout: OutputLayout = PLAIN
) -> Iterator[None]:
    """Ablate another filter for every image of a batch; ``filters`` is (batch,).

    with ablated_by_row(network, ("conv3", 1), torch.tensor([0, 1, 2])):
        logits = network(pixels.expand(3, -1, -1, -1))  # three ablations in one forward pass
    """

    def overwrite(output: Tensor) -> Tensor:
        ablated = output.clone(memory_format=torch.preserve_format)
        parts = layout.channels(ablated)
        refuse_other_rows(parts, len(filters), point[0])
        images = torch.arange(len(filters), device=output.device)
        parts[images, filters.to(output.device)] = 0
        return ablated

    with observed(network, {point: overwrite}):
        yield
