"""How is a graph written as plain data, and read again without trusting it?"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from interpret_kit.incremental.graph.export import ITEM, PIXELS, WEIGHT, Graph, Node

# Operators without a tensor among their arguments that only make one.
_CREATORS = {
    *("arange", "empty", "eye", "full", "linspace", "ones", "scalar_tensor", "zeros"),
    *("tril_indices", "triu_indices"),
}
_SETTINGS = (torch.dtype, torch.layout, torch.memory_format)


class Unspeakable(Exception):
    """A graph with something in it that is not plain data, or an operator that is not torch's."""


def spelled(graph: Graph) -> dict[str, Any]:
    """Spell a graph as JSON takes it.

    Raises:
        Unspeakable: if it holds tensors, or operators that may do more than compute.
    """
    if graph.constants:
        raise Unspeakable("it holds tensors of its own")
    number = {node: index for index, node in enumerate(graph.nodes)}
    return {
        "nodes": [_spelled_node(node, number) for node in graph.nodes],
        "pixels": number[graph.pixels],
        "outputs": [number[node] for node in graph.outputs],
    }


def read_graph(spelling: Mapping[str, Any]) -> Graph:
    """Read what `spelled` wrote.

    Raises:
        ValueError, KeyError, TypeError, IndexError, AttributeError: if it is damaged, or names an
            operator that does more than compute.
    """
    made: list[Node] = []
    for each in spelling["nodes"]:
        made.append(_read_node(each, made))
    outputs = tuple(made[index] for index in spelling["outputs"])
    return Graph(tuple(made), made[spelling["pixels"]], outputs)


def _spelled_node(node: Node, number: Mapping[Node, int]) -> dict[str, Any]:
    return {
        "name": node.name,
        "op": node.op,
        "overload": _overload(node),
        "arguments": {name: _spelled(each, number) for name, each in node.arguments.items()},
        "inputs": [number[each] for each in node.inputs],
        "shape": [_integer(each) for each in node.shape],
        "modules": [[name, call] for name, call in node.modules],
        "dtype": _spelled(node.dtype, number),
    }


def _overload(node: Node) -> str | None:
    if node.op in (PIXELS, WEIGHT, ITEM):
        return None
    if not isinstance(node.target, torch._ops.OpOverload) or not _only_computes(node.target):
        raise Unspeakable(f"{node.target} may do more than compute")
    return str(node.target._overloadname)


def _read_node(spelling: Mapping[str, Any], made: Sequence[Node]) -> Node:
    return Node(
        name=str(spelling["name"]),
        op=str(spelling["op"]),
        target=_target(spelling["op"], spelling["overload"]),
        arguments={str(name): _read(each, made) for name, each in spelling["arguments"].items()},
        inputs=tuple(made[_integer(index)] for index in spelling["inputs"]),
        shape=tuple(map(_integer, spelling["shape"])),
        modules=tuple((str(name), _integer(call)) for name, call in spelling["modules"]),
        dtype=_read(spelling["dtype"], made),
    )


def _target(op: str, overload: str | None) -> Any:
    if op in (PIXELS, WEIGHT):
        return None
    if op == ITEM:
        return operator.getitem
    if not op.isidentifier() or not str(overload).isidentifier():
        raise ValueError(f"{op}.{overload} is not the name of an operator")
    found = getattr(getattr(torch.ops.aten, op), str(overload))
    if not isinstance(found, torch._ops.OpOverload) or not _only_computes(found):
        raise ValueError(f"{found} may do more than compute")
    return found


def _only_computes(operation: torch._ops.OpOverload) -> bool:
    """Whether an operator of torch's own makes tensors of tensors, and changes nothing else."""
    schema = operation._schema
    reads = any("Tensor" in str(each.type) for each in schema.arguments)
    makes = all("Tensor" in str(each.type) for each in schema.returns)
    name = schema.name.removeprefix("aten::")
    own = schema.name.startswith("aten::") and not schema.is_mutable
    return own and makes and bool(schema.returns) and (reads or name in _CREATORS)


def _spelled(value: Any, number: Mapping[Node, int]) -> Any:
    if value is None or isinstance(value, (bool, str)) or type(value) in (int, float):
        return value
    if isinstance(value, Node):
        return {"node": number[value]}
    if isinstance(value, (list, tuple)):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_spelled(each, number) for each in value]}
    if isinstance(value, _SETTINGS):
        return {"torch": str(value).removeprefix("torch.")}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    raise Unspeakable(f"{value!r} is not plain data")


def _read(value: Any, made: Sequence[Node]) -> Any:
    if not isinstance(value, Mapping):
        return value
    ((kind, value),) = value.items()
    if kind == "node":
        return made[_integer(value)]
    if kind in ("list", "tuple"):
        values = [_read(each, made) for each in value]
        return tuple(values) if kind == "tuple" else values
    if kind == "device":
        return torch.device(value)
    found = getattr(torch, value) if kind == "torch" and str(value).isidentifier() else None
    if not isinstance(found, _SETTINGS):
        raise ValueError(f"{kind} {value!r} is not known")
    return found


def _integer(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r} is not a number of rows, nodes or calls")
    return value
