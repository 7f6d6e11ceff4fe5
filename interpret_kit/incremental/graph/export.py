"""What does a network compute, one simple operation after the other?

The graph is used for incremental evaluation and for exact receptive fields. If a network cannot be
traced, callers work without them.

torch.export is used in non-strict mode, which runs the Python code of the network. This is several
times as fast as strict mode, which analyses its bytecode, and works for networks that torch.fx
refuses (timm's Conv2dSame).
"""

from __future__ import annotations

import difflib
import io
import logging
import operator
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import ExportGraphSignature, InputKind, OutputKind

from interpret_kit.incremental.graph.reasons import Untraceable, why_not_traced
from interpret_kit.models.layers.catalogue import Point
from interpret_kit.models.probing.evaluation import evaluating, tracing

PIXELS, WEIGHT, ITEM = "pixels", "weight", "getitem"

# torch.export works for one thread at a time, and `_quiet` changes settings of the whole process.
# Reentrant, because the Python code of a network, which is run, may trace another one.
_one_at_a_time = threading.RLock()


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of a traced network. No operation works in place."""

    name: str  # of its own in the graph; of a weight, its name in the network
    op: str  # "conv2d", "relu", ... as in torch.ops.aten; or PIXELS, WEIGHT, ITEM (of a tuple)
    target: Any = field(repr=False)  # the operator to call; None for pixels and weights
    arguments: Mapping[str, Any] = field(repr=False)  # by the operator's names, with its defaults
    inputs: tuple[Node, ...] = field(repr=False)  # the nodes among the arguments
    shape: tuple[int, ...]  # of the output; of the first one where there are several
    modules: tuple[Point, ...]  # the calls of modules it is part of, outermost first
    dtype: torch.dtype | None = field(default=None, repr=False)  # of the output


@dataclass(frozen=True, eq=False)
class Graph:
    """A network as operations, for the shape of image it was traced with."""

    nodes: tuple[Node, ...]  # each after its inputs
    pixels: Node
    outputs: tuple[Node, ...]
    constants: Mapping[str, Tensor] = field(default_factory=dict)  # weights that are none of its
    # parameters and buffers, by name: tensor literals in its code, tensors in its attributes

    def output_of(self, name: str, call: int = 1) -> Node:
        """What the ``call``-th call (from 1) of the module ``name`` returns.

        Raises:
            Untraceable: where the module computes nothing itself (an Identity), or returns
                several tensors.
        """
        found = self._returned.get((name, call), [])
        if len(found) == 1:
            return found[0]
        called = f"call {call} of {name!r}"
        if found:
            raise Untraceable(f"{called} returns {len(found)} tensors; name a module inside it")
        known = sorted({each for each, _ in self._returned})
        close = ", ".join(difflib.get_close_matches(name, known)) or "none"
        raise Untraceable(f"{called} computes nothing that is traced; similar names: {close}")

    @cached_property
    def _returned(self) -> dict[Point, list[Node]]:
        """By call of a module, the nodes in it that are used outside it."""
        leaving: dict[Point, dict[Node, None]] = {}
        for user in self.nodes:
            for node in user.inputs:
                for point in set(node.modules).difference(user.modules):
                    leaving.setdefault(point, {})[node] = None
        for node in self.outputs:
            for point in node.modules:
                leaving.setdefault(point, {})[node] = None
        return {point: list(nodes) for point, nodes in leaving.items()}


def trace(network: nn.Module, pixels: Tensor) -> Graph:
    """Record the operations of ``network`` in eval mode on ``pixels`` (batch, 3, height, width).

    Only shapes are propagated: the values of the pixels and the weights do not matter. In-place
    operations are replaced by functional ones, so that every node keeps its value. The network is
    restored. Its hooks run, and what they do to an output is part of the graph.

    Raises:
        Untraceable: if the control flow depends on values, or computation leaves torch.
    """
    try:
        with (
            _one_at_a_time,
            _traced_alone(),
            tracing(),
            _kept(network),
            _quiet(),
            evaluating(network),
        ):
            program = torch.export.export(network, (pixels,), strict=False)
            # Without any decompositions, this only replaces in-place operations.
            program = program.run_decompositions({})
        graph = _graph(program.graph, program.graph_signature, _CallNumbers(network))
        return replace(graph, constants=_tensors(program.constants))
    except Exception as error:
        raise Untraceable(why_not_traced(network, error)) from error


@contextmanager
def _traced_alone() -> Iterator[None]:
    """Record modules in a trace only if the thread that entered the block calls them.

    While torch.export runs, it replaces ``nn.Module.__call__``, for all threads: a module that
    another thread calls is recorded as a part of the network that is traced, and either fails.

    One thread at a time may be in it. Two methods of a private class of torch are replaced, as
    torch offers no other way; nothing is, if a version of torch lacks the class.
    """
    # It loads much of torch.export, which a network that is never traced does not need.
    from torch.fx.experimental import proxy_tensor

    tracer: Any = getattr(proxy_tensor, "_ModuleStackTracer", None)
    if tracer is None:
        yield
        return
    call_module, read = tracer.call_module, tracer.getattr
    thread = threading.get_ident()

    def call_own(
        self: Any, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        if threading.get_ident() != thread:
            return forward(*args, **kwargs)
        return call_module(self, module, forward, args, kwargs)

    def read_own(self: Any, name: str, value: object, proxies: Mapping[str, Any]) -> Any:
        return value if threading.get_ident() != thread else read(self, name, value, proxies)

    tracer.call_module, tracer.getattr = call_own, read_own
    try:
        yield
    finally:
        tracer.call_module, tracer.getattr = call_module, read


@contextmanager
def _kept(network: nn.Module) -> Iterator[None]:
    """Undo what the network assigns to its attributes while the block runs (``self.last = x``).

    What it stores elsewhere, in a class or another object, is not undone.
    """
    held: dict[int, dict[Any, Any] | set[Any] | list[Any]] = {}
    waiting: list[Any] = [vars(module) for module in network.modules()]
    while waiting:
        each = waiting.pop()
        if isinstance(each, (dict, set, list)) and id(each) not in held:
            held[id(each)] = each
            waiting.extend(each.values() if isinstance(each, dict) else each)
    saved: list[Any] = [(each, each.copy()) for each in held.values()]
    try:
        yield
    finally:
        for live, before in saved:
            live.clear()
            (live.extend if isinstance(live, list) else live.update)(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress torch.export's warnings, logs and output: a network need not be traceable."""
    level = logging.root.manager.disable
    with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(level)


class _CallNumbers:
    """Reads the stack of module calls that torch.export leaves at each operation."""

    def __init__(self, network: nn.Module) -> None:
        names = {module: name for name, module in reversed(list(network.named_modules()))}
        paths = dict(network.named_modules(remove_duplicate=False))
        self.names = {path: names[module] for path, module in paths.items()}
        self.shared = {names[module] for path, module in paths.items() if path != names[module]}
        self.met: dict[str, dict[str, int]] = {}

    def points(self, stack: Mapping[str, tuple[str, object]]) -> tuple[Point, ...]:
        """Module calls, outermost first, by the names of ``named_modules()``."""
        calls = [(self.names.get(path, path), path, mark) for mark, (path, _) in stack.items()]
        return tuple((name, self._number(name, path, mark)) for name, path, mark in calls if name)

    def _number(self, name: str, path: str, mark: str) -> int:
        if name in self.shared:  # under several names, torch.export counts for each by itself
            met = self.met.setdefault(name, {})
            return met.setdefault(mark, len(met) + 1)
        return 1 if mark.endswith(path) else int(mark.rpartition("@")[2]) + 1


def _graph(traced: fx.Graph, signature: ExportGraphSignature, numbers: _CallNumbers) -> Graph:
    weights = {
        spec.arg.name: spec.target or spec.arg.name
        for spec in signature.input_specs
        if spec.kind != InputKind.USER_INPUT
    }
    made: dict[str, Node] = {}
    for each in traced.nodes:
        if each.op == "placeholder":
            op = WEIGHT if each.name in weights else PIXELS
            name = weights.get(each.name, each.name)
            made[each.name] = Node(name, op, None, {}, (), _shape(each.meta.get("val")), ())
        elif each.op == "call_function":
            made[each.name] = _operation(each, made, numbers)
        elif each.op != "output":
            raise Untraceable(f"it has control flow of torch ({each.target})")
    returned = [spec for spec in signature.output_specs if spec.kind == OutputKind.USER_OUTPUT]
    outputs = [made[spec.arg.name] for spec in returned if spec.arg.name in made]
    (pixels,) = (node for node in made.values() if node.op == PIXELS)
    return Graph(tuple(made.values()), pixels, tuple(outputs))


def _operation(traced: fx.Node, made: Mapping[str, Node], numbers: _CallNumbers) -> Node:
    if traced.target is operator.getitem:
        op, names, defaults = ITEM, ["self", "index"], {}
    elif isinstance(traced.target, torch._ops.OpOverload):
        schema = traced.target._schema
        op = schema.name.removeprefix("aten::")
        names = [each.name for each in schema.arguments]
        defaults = {e.name: e.default_value for e in schema.arguments if e.has_default_value()}
    else:
        raise Untraceable(f"it calls {traced.target}, which is not an operation on tensors")
    given: Any = dict(zip(names, traced.args, strict=False)) | dict(traced.kwargs)
    in_full: Any = {**dict.fromkeys(names), **defaults, **given}
    nodes: Any = made  # fx types its arguments as holding fx's nodes only
    return Node(
        name=traced.name,
        op=op,
        target=traced.target,
        arguments=fx.map_arg(in_full, lambda each: nodes[each.name]),
        inputs=tuple(made[each.name] for each in traced.all_input_nodes),
        shape=_shape(traced.meta.get("val")),
        modules=numbers.points(traced.meta.get("nn_module_stack", {})),
        dtype=getattr(traced.meta.get("val"), "dtype", None),
    )


def _tensors(constants: Mapping[str, object]) -> dict[str, Tensor]:
    return {name: value for name, value in constants.items() if isinstance(value, Tensor)}


def _shape(value: object) -> tuple[int, ...]:
    if isinstance(value, Sequence) and value:
        return _shape(value[0])
    return tuple(value.shape) if isinstance(value, Tensor) else ()
