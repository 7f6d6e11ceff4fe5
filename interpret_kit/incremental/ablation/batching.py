"""How many pairs does each operation take at a time, and which operations may work in place?

Micro-batching and in-place reuse. While feature maps are large, few pairs go together, so that what
an operation reads and writes stays in the CPU's cache; where they have become small, micro-batches
are merged into larger ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from interpret_kit.incremental.ablation.propagation import ChannelPath
from interpret_kit.incremental.graph.batch_sizes import numbers_per_image
from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import ITEM, Node
from interpret_kit.incremental.ops.elementwise import in_place
from interpret_kit.incremental.ops.registry import operation_of
from interpret_kit.incremental.tuning import CACHE_BYTES, FEWEST_PAIRS, REGROUP_AT

_OPERANDS = ("self", "other")


@dataclass(frozen=True)
class Stage:
    """Operations in a row with one size of micro-batch, which fits in the cache for all of them."""

    nodes: tuple[Node, ...]
    rows: int  # pairs at a time
    brought: tuple[Node, ...]  # read here first, and not made by a recomputed operation
    live: frozenset[Node]  # read by later stages, or the output


def stages_of(graph: RunnableGraph, path: ChannelPath) -> tuple[Stage, ...]:
    """Cut the recomputed operations where many more pairs fit in the cache from there on."""
    groups, output = _cut(graph, path), graph.output
    outside = [*path.linear, *path.materialized, *path.unchanged]
    stages: list[Stage] = []
    seen: set[Node] = set()
    for k, (nodes, rows) in enumerate(groups):
        later = {each for group, _ in groups[k + 1 :] for node in group for each in node.inputs}
        read = {each for node in nodes for each in node.inputs} | {output}
        brought = tuple(each for each in outside if each in read and each not in seen)
        seen |= {*brought, *nodes}
        stages.append(Stage(nodes, rows, brought, frozenset(seen & (later | {output}))))
    return tuple(stages)


def _cut(graph: RunnableGraph, path: ChannelPath) -> list[tuple[tuple[Node, ...], int]]:
    changing = {*path.linear, *path.materialized, *path.recomputed}
    rows: list[int] = []  # that fit from here on
    for node in reversed(path.recomputed):
        read = (node, *(each for each in node.inputs if each in changing))
        rows.insert(0, min(_fitting(sum(map(numbers_per_image, read))), *rows[:1], 2**30))
    cuts = [0]
    for k, fitting in enumerate(rows):
        if fitting >= REGROUP_AT * rows[cuts[-1]] and _has_rows(graph, path.recomputed, k):
            cuts.append(k)
    ends = [*cuts[1:], len(rows)]
    rows = rows or [_fitting(2 * numbers_per_image(graph.output))]
    return [
        (path.recomputed[start:end], rows[start]) for start, end in zip(cuts, ends, strict=True)
    ]


def _has_rows(graph: RunnableGraph, nodes: Sequence[Node], cut: int) -> bool:
    """Whether what is read across a cut has a row for each pair, so that pieces can be joined."""
    behind = nodes[cut:]
    read = {each for node in behind for each in node.inputs}.intersection(nodes[:cut])
    tuples = {node.inputs[0] for node in behind if node.op == ITEM}
    return read.isdisjoint(tuples) and all(map(graph.has_row_each, read))


def _fitting(numbers: int) -> int:
    return max(FEWEST_PAIRS, CACHE_BYTES // (4 * numbers))


def overwritten(path: ChannelPath) -> dict[Node, str]:
    """Which argument an operation may write its output over: a copy that nothing reads later.

    A copy, because stored feature maps serve all pairs. Nothing reads it later, itself or through a
    view: every earlier reader must own its memory.
    """
    copies = {*path.linear, *path.materialized, *path.unchanged}
    copies |= {node for node in path.recomputed if operation_of(node).own_memory}
    readers: dict[Node, list[Node]] = {}
    for node in path.recomputed:
        for each in node.inputs:
            readers.setdefault(each, []).append(node)

    def is_spare(given: object, node: Node) -> bool:
        if not isinstance(given, Node) or given not in copies:
            return False
        if (given.shape, given.dtype) != (node.shape, node.dtype):
            return False
        *earlier, last = readers[given]  # an earlier view of it would change with it
        return last is node and all(operation_of(each).own_memory for each in earlier)

    found: dict[Node, str] = {}
    for node in path.recomputed:
        if operation_of(node).in_place and node.arguments.get("alpha", 1) == 1:
            spare = [name for name in _OPERANDS if is_spare(node.arguments.get(name), node)]
            found.update([(node, name) for name in spare[:1]])
    return found


def computed(
    graph: RunnableGraph, node: Node, onto: str | None, held: Mapping[Node, Any], rows: int
) -> Any:
    """Compute one operation, over the memory of its argument ``onto`` if that is given."""
    known = {**graph.fixed(node, rows), **held}
    if onto is None:
        return graph.apply(node, known, rows)
    given = {
        name: known[each] if isinstance(each, Node) else each
        for name, each in node.arguments.items()
    }
    if onto == "other":
        given["self"], given["other"] = given["other"], given["self"]
    return in_place(node)(**given)
