"""Arguments for every operation that has an entry, and the same call both as a graph and eagerly.

A case is a function of a way to call operations and of a map (rows, 4, 7, 9). `Eager` calls them
at once: that is the full forward pass. `Drawing` writes them down as nodes of a graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from interpret_kit.incremental.graph.batch_sizes import TRACED_ROWS
from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import ITEM, PIXELS, WEIGHT, Graph, Node

SHAPE = (4, 7, 9)  # channels, rows and columns of the map
Case = Callable[[Any, Any], Any]


class Eager:
    """Calls operations on tensors in float64; ``pixels`` stay when the map changes."""

    def __init__(self, pixels: Tensor) -> None:
        self.rows, self.pixels = len(pixels), pixels
        self.generator = torch.Generator().manual_seed(0)

    def __call__(self, name: str, *given: Any, overload: str = "") -> Any:
        return overload_of(name, overload)(*given)

    def weight(self, *shape: int) -> Any:
        return drawn(shape, self.generator)

    def item(self, several: Any, index: int) -> Any:
        return several[index]


class Drawing:
    """Writes the same operations down, in a graph that begins with pixels times 1.25."""

    def __init__(self) -> None:
        self.rows, self.generator = TRACED_ROWS, torch.Generator().manual_seed(0)
        self.pixels = Node("pixels", PIXELS, None, {}, (), (self.rows, *SHAPE), ())
        self.nodes, self.values = [self.pixels], {}
        self.meta = {self.pixels: meta(self.rows, *SHAPE)}
        self.start = self("mul", self.pixels, 1.25, overload="Scalar")

    def __call__(self, name: str, *given: Any, overload: str = "") -> Node:
        target = overload_of(name, overload)
        names = [each.name for each in target._schema.arguments]
        arguments = {e.name: e.default_value for e in target._schema.arguments}
        return self._add(name, target, {**arguments, **dict(zip(names, given, strict=False))})

    def weight(self, *shape: int) -> Node:
        node = Node(f"weight{len(self.nodes)}", WEIGHT, None, {}, (), shape, ())
        self.values[node] = drawn(shape, self.generator)
        self.meta[node] = meta(*shape)
        self.nodes.append(node)
        return node

    def item(self, several: Node, index: int) -> Node:
        def picked(self: Any, index: int) -> Any:
            return self[index]

        return self._add(ITEM, picked, {"self": several, "index": index})

    def graph(self, output: Node) -> RunnableGraph:
        return RunnableGraph(Graph(tuple(self.nodes), self.pixels, (output,)), self.values)

    def _add(self, op: str, target: Any, arguments: dict[str, Any]) -> Node:
        made = target(**{name: self._filled(each) for name, each in arguments.items()})
        first = made[0] if isinstance(made, (tuple, list)) else made
        lists = (each if isinstance(each, (list, tuple)) else [each] for each in arguments.values())
        inputs = tuple(dict.fromkeys(e for each in lists for e in each if isinstance(e, Node)))
        name, shape = f"{op}{len(self.nodes)}", tuple(first.shape)
        node = Node(name, op, target, arguments, inputs, shape, (), first.dtype)
        self.meta[node] = made
        self.nodes.append(node)
        return node

    def _filled(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [self._filled(each) for each in value]
        return self.meta[value] if isinstance(value, Node) else value


def overload_of(name: str, overload: str) -> Any:
    """The operator of torch.ops.aten: its only overload, unless one is named."""
    packet = getattr(torch.ops.aten, name)
    return getattr(packet, overload or next(e for e in packet.overloads() if "out" not in e))


def drawn(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.rand(shape, generator=generator, dtype=torch.float64) + 0.25


def meta(*shape: int) -> Tensor:
    return torch.empty(shape, dtype=torch.float64, device="meta")


def _last(c: Any, x: Any) -> Any:
    """The map as (batch, rows, cols, channels)."""
    return c("permute", x, [0, 2, 3, 1])


def _vectors(c: Any, x: Any) -> Any:
    return c("view", x, [c.rows, 4 * 7 * 9], overload="default")


def _of(name: str, *more: Any, overload: str = "") -> Case:
    """A call with the map, and then with these arguments."""
    return lambda c, x: c(name, x, *more, overload=overload)


def _first(name: str, *more: Any, overload: str = "") -> Case:
    """The first of the tensors that a call returns."""
    return lambda c, x: c.item(c(name, x, *more, overload=overload), 0)


def _beside(name: str, overload: str = "Tensor") -> list[Case]:
    """With a number for each channel, a map that changes too, one that stays, and itself."""
    return [
        lambda c, x: c(name, x, c.weight(4, 1, 1), overload=overload),
        lambda c, x: c(name, x, c("sigmoid", x), overload=overload),
        lambda c, x: c(name, c.pixels, x, overload=overload),
        lambda c, x: c(name, x, x, overload=overload),
    ]


def _norm(c: Any, x: Any) -> Any:
    weights = [c.weight(4) for _ in range(4)]
    return c.item(c("_native_batch_norm_legit_no_training", x, *weights, 0.1, 1e-3), 0)


def _named(names: str, *more: Any, overload: str = "") -> dict[str, list[Case]]:
    return {name: [_of(name, *more, overload=overload)] for name in names.split()}


_TWICE = ([14, 18], None)  # output_size, scale factors

CASES: dict[str, list[Case]] = {
    "conv2d": [
        lambda c, x: c("conv2d", x, c.weight(4, 1, 3, 2), c.weight(4), [2, 1], [1, 0], [1, 2], 4),
        lambda c, x: c("conv2d", x, c.weight(5, 4, 3, 3), None, [1, 2], [0, 1], [2, 1]),
        lambda c, x: c("conv2d", x, c.weight(5, 4, 1, 1), c.weight(5)),
        lambda c, x: c("conv2d", x, c.weight(4, 2, 2, 2), None, [1, 1], [1, 1], [1, 1], 2),
        lambda c, x: c(
            "conv2d", x, c.weight(2, 4, 2, 2), None, [1, 1], "valid", overload="padding"
        ),
    ],
    "convolution": [
        lambda c, x: c(
            "convolution", x, c.weight(5, 4, 3, 3), None, [2, 1], [1, 1], [1, 1], False, [0, 0], 1
        ),
        lambda c, x: c(
            "convolution", x, c.weight(4, 2, 3, 3), None, [2, 1], [1, 1], [1, 1], True, [0, 0], 1
        ),
    ],
    "conv_transpose2d": [
        lambda c, x: c(
            "conv_transpose2d", x, c.weight(4, 5, 3, 3), None, [2, 1], [1, 1], overload="input"
        )
    ],
    "linear": [
        lambda c, x: c("linear", _last(c, x), c.weight(5, 4), c.weight(5)),
        lambda c, x: c("linear", _vectors(c, x), c.weight(3, 4 * 7 * 9)),
    ],
    "matmul": [lambda c, x: c("matmul", x, c.weight(9, 2))],
    "mm": [lambda c, x: c("mm", _vectors(c, x), c.weight(4 * 7 * 9, 2))],
    "addmm": [lambda c, x: c("addmm", c.weight(2), _vectors(c, x), c.weight(4 * 7 * 9, 2))],
    "bmm": [
        lambda c, x: c("bmm", c("view", x, [c.rows, 4, 63]), c("view", x, [c.rows, 63, 4])),
    ],
    "max_pool2d": [_of("max_pool2d", [3, 2], [2, 2], [1, 0], [1, 2], True)],
    "max_pool2d_with_indices": [_first("max_pool2d_with_indices", [3, 2], [2, 2], [1, 0])],
    "avg_pool2d": [
        _of("avg_pool2d", [3, 2], [2, 1], [1, 1], True, False),
        _of("avg_pool2d", [2, 2], [2, 2], [0, 1], False, True, 3),
    ],
    "max_pool3d": [_of("max_pool3d", [2, 1, 1], [1, 1, 1])],
    "avg_pool3d": [_of("avg_pool3d", [3, 1, 1], [1, 1, 1], [1, 0, 0])],
    "adaptive_avg_pool2d": [_of("adaptive_avg_pool2d", [3, 2]), _of("adaptive_avg_pool2d", [1, 1])],
    "_adaptive_avg_pool2d": [_of("_adaptive_avg_pool2d", [3, 2])],
    "adaptive_max_pool2d": [_first("adaptive_max_pool2d", [3, 2])],
    "mean": [
        _of("mean", [2, 3], overload="dim"),
        _of("mean", [-1, -2], True, overload="dim"),
        _of("mean", [2], overload="dim"),
    ],
    "sum": [_of("sum", [1, 3], True, overload="dim_IntList")],
    "max": [_first("max", 2, overload="dim"), *_beside("max", "other")],
    "min": [_first("min", 1, overload="dim"), *_beside("min", "other")],
    **_named("amax amin logsumexp", [2]),
    **_named("var std", [3], True, overload="dim"),
    "linalg_vector_norm": [_of("linalg_vector_norm", 2, [1, 3])],
    **_named("relu silu gelu sigmoid hardswish hardsigmoid leaky_relu elu log_sigmoid neg"),
    **_named("log log2 log10 sqrt rsqrt reciprocal clone"),
    "hardtanh": [_of("hardtanh", 0.25, 0.75)],
    "pow": [_of("pow", 1.5, overload="Tensor_Scalar")],
    **{name: _beside(name) for name in ("sub", "mul", "div")},
    "add": [
        *_beside("add"),
        lambda c, x: c("add", c("conv2d", x, c.weight(4, 4, 1, 1)), c.pixels, overload="Tensor"),
        lambda c, x: c("add", c("conv2d", x, c.weight(4, 4, 1, 1)), 0.5, overload="Scalar"),
    ],
    "prelu": [
        lambda c, x: c("prelu", c("neg", x), c.weight(4)),
        lambda c, x: c("prelu", c("neg", x), c.weight(1)),
    ],
    "expand": [lambda c, x: c("expand", c("mean", x, [3], True, overload="dim"), [c.rows, *SHAPE])],
    "copy": [lambda c, x: c("copy", x, c("exp", x))],
    "fill": [_of("fill", 0.5, overload="Scalar")],
    "_native_batch_norm_legit_no_training": [_norm],
    ITEM: [_norm, lambda c, x: c.item(c("split", x, 3, 1, overload="Tensor"), 1)],
    "batch_norm": [
        lambda c, x: c("batch_norm", x, *(c.weight(4) for _ in range(4)), False, 0.1, 1e-3, False)
    ],
    "layer_norm": [
        lambda c, x: c("layer_norm", _last(c, x), [4], c.weight(4), c.weight(4)),
        lambda c, x: c("layer_norm", x, [9]),
    ],
    "native_layer_norm": [lambda c, x: c.item(c("native_layer_norm", x, [9], None, None, 1e-3), 0)],
    "rms_norm": [_of("rms_norm", [9])],
    "instance_norm": [_of("instance_norm", None, None, None, None, True, 0.1, 1e-3, False)],
    "group_norm": [_of("group_norm", 2)],
    "native_group_norm": [
        lambda c, x: c.item(c("native_group_norm", x, None, None, c.rows, 4, 63, 2, 1e-3), 0)
    ],
    "_native_batch_norm_legit": [
        lambda c, x: c.item(
            c("_native_batch_norm_legit", x, None, None, True, 0.1, 1e-3, overload="no_stats"), 0
        )
    ],
    **_named("softmax log_softmax", 2, overload="int"),
    **_named("_softmax _log_softmax", 1, False),
    "glu": [_of("glu", 1)],
    **_named("alias detach contiguous lift_fresh_copy _to_copy"),
    "dropout": [_of("dropout", 0.5, False)],
    "native_dropout": [_first("native_dropout", 0.5, False)],
    "to": [_of("to", torch.float64, overload="dtype")],
    "channel_shuffle": [_of("channel_shuffle", 2)],
    **_named("ones_like zeros_like"),
    "full_like": [_of("full_like", 0.5)],
    "view": [
        lambda c, x: c("view", x, [c.rows, 4, 63]),
        lambda c, x: c("view", x, [c.rows, 4 * 63]),
        lambda c, x: c("view", x, [c.rows, 2, 2, 7, 9]),
    ],
    "_unsafe_view": [lambda c, x: c("_unsafe_view", x, [c.rows, 4 * 63])],
    "reshape": [lambda c, x: c("reshape", x, [-1, 4, 63])],
    "flatten": [_of("flatten", 1, overload="using_ints")],
    "unflatten": [_of("unflatten", 1, [2, 2], overload="int")],
    "unsqueeze": [_of("unsqueeze", 2)],
    "squeeze": [
        lambda c, x: c("squeeze", c("mean", x, [3], True, overload="dim"), 3, overload="dim"),
        lambda c, x: c(
            "squeeze", c("mean", x, [2, 3], True, overload="dim"), [2, 3], overload="dims"
        ),
    ],
    "permute": [_last],
    "transpose": [_of("transpose", 1, 3, overload="int")],
    "roll": [_of("roll", [2], [3])],
    "flip": [_of("flip", [2, 3])],
    "repeat": [_of("repeat", [1, 1, 2, 1])],
    "view_as_complex": [
        lambda c, x: c(
            "view_as_complex", c("contiguous", c("slice", x, 3, 0, 2, overload="Tensor"))
        )
    ],
    "as_strided": [lambda c, x: c("as_strided", x, [c.rows, 4, 7, 9], [252, 63, 9, 1])],
    "cat": [
        lambda c, x: c("cat", [c("relu", x), x], 1),
        lambda c, x: c("cat", [c.pixels, x], 1),
        lambda c, x: c("cat", [c("slice", x, 2, 1, 3, overload="Tensor"), x], 2),
    ],
    "stack": [lambda c, x: c("stack", [x, c("sigmoid", x)], 1)],
    "slice": [
        _of("slice", 1, 1, 4, 2, overload="Tensor"),
        _of("slice", 2, 1, 6, overload="Tensor"),
    ],
    "select": [_of("select", 1, -1, overload="int"), _of("select", 2, 3, overload="int")],
    "split": [lambda c, x: c.item(c("split", x, 3, 2, overload="Tensor"), 1)],
    "split_with_sizes": [lambda c, x: c.item(c("split_with_sizes", x, [3, 4], 2), 1)],
    "unbind": [lambda c, x: c.item(c("unbind", x, 1, overload="int"), 2)],
    "slice_scatter": [
        lambda c, x: c(
            "slice_scatter", x, c("exp", c("slice", x, 1, 0, 2, overload="Tensor")), 1, 1, 3
        )
    ],
    "select_scatter": [
        lambda c, x: c("select_scatter", x, c("select", x, 1, 0, overload="int"), 1, 2)
    ],
    **_named("pad", [1, 0, 2, 1]),
    **_named("constant_pad_nd", [1, 2, 0, 1], 0.5),
    **_named("reflection_pad2d replication_pad2d", [1, 2, 0, 1]),
    **_named("upsample_nearest2d _upsample_nearest_exact2d", *_TWICE, overload="vec"),
    **_named("upsample_bilinear2d upsample_bicubic2d", [5, 11], False, None, overload="vec"),
    **_named("_upsample_bilinear2d_aa _upsample_bicubic2d_aa", [4, 5], False, None, overload="vec"),
    "pixel_shuffle": [_of("pixel_shuffle", 2)],
    "pixel_unshuffle": [
        lambda c, x: c("pixel_unshuffle", c("slice", x, 3, 0, 7, overload="Tensor"), 7)
    ],
}
# Their values are not those of the next call: only that they read nothing is held.
RANDOM: dict[str, list[Case]] = _named("empty_like rand_like randn_like")

# Without an entry of their own: torch tags them.
TAGGED: dict[str, list[Case]] = {
    **_named("tanh exp relu6 softplus mish abs square"),
    "clamp": [_of("clamp", 0.25, 0.75)],
    "rsub": [_of("rsub", 1.0, overload="Scalar")],
    **{name: _beside(name, "default") for name in ("maximum", "minimum")},
    "where": [
        lambda c, x: c("where", c("gt", x, 0.5, overload="Scalar"), x, c("neg", x), overload="self")
    ],
}
