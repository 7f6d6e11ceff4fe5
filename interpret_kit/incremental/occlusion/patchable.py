"""Which feature maps can be recomputed in patches, when a window covers a part of the image?"""

from __future__ import annotations

from collections.abc import Mapping

from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.graph.export import Node
from interpret_kit.incremental.occlusion.affected import Ints, affected_cells
from interpret_kit.incremental.ops.patches import IMAGE, Known, Layout, PatchRule
from interpret_kit.incremental.ops.registry import operation_of
from interpret_kit.incremental.receptive_field.fields import spans_along


class PatchableMaps:
    """The feature maps of which a window changes a part only, and how they are recomputed."""

    def __init__(self, network: RunnableGraph) -> None:
        self.network = network
        graph = network.graph
        self.rows, self.cols = spans_along(graph, 0), spans_along(graph, 1)
        self.layouts: dict[Node, Layout] = {}
        self.rules: dict[Node, PatchRule | None] = {graph.pixels: None}
        for node in graph.nodes:
            layout = self._layout(node)
            if layout is not None and (node is graph.pixels or self._can_be_patched(node, layout)):
                self.layouts[node] = layout
        self.order = [node for node in graph.nodes if node in self.layouts]
        # Means over all cells of a map in ``order`` that may be updated. An updated mean is off by
        # a rounding error of the old one: too much for a root, or a norm, near 0.
        self.means = frozenset(
            node
            for node in graph.nodes
            if self._takes_the_mean(node)
            and not any(operation_of(each).steep(each) for each in network.after(node))
        )

    def _layout(self, node: Node) -> Layout | None:
        if len(node.shape) != 4 or not self.network.has_row_each(node):
            return None
        rows, cols = self.rows[node].dim, self.cols[node].dim
        # One dimension for rows and one for columns, neither that of the batch: the one left of
        # 0 + 1 + 2 + 3 = 6 is that of the channels.
        if rows is None or cols is None or 0 in (rows, cols) or rows == cols:
            return None
        return rows, cols, 6 - rows - cols

    def _can_be_patched(self, node: Node, layout: Layout) -> bool:
        # With its own layout as if it could be: rules compare it with those of the inputs.
        layouts = {**self.layouts, node: layout}
        if self.see_through(node, layouts):
            self.rules[node] = None
            return True
        rule = self._rule_for(node, layouts)
        if rule is not None:
            self.rules[node] = rule
        return rule is not None

    def _rule_for(self, node: Node, layouts: Mapping[Node, Layout]) -> PatchRule | None:
        """Return the patch rule of an operation, None if it is to be run on full feature maps.

        Args:
            node: the operation.
            layouts: of the maps that are in patches, and of its own.
        """
        weight, rule = self.network.weight, operation_of(node).patch
        maps = [each for each in node.inputs if weight(each) is None]
        # All of its maps must be in patches: one on full maps would have to be cropped per window.
        if rule is None or not maps or not all(each in layouts for each in maps):
            return None
        held = [weight(each) for each in node.inputs if weight(each) is not None]
        known = Known(layouts[node], maps, [layouts[each] for each in maps], held)
        return rule if rule.applies(node, known) else None

    def see_through(self, node: Node, layouts: Mapping[Node, Layout]) -> bool:
        """Whether it only adds constant cells around a map: readers read them as padding."""
        pads = operation_of(node).pads
        if not pads or node.inputs[0] not in layouts or layouts[node] != IMAGE:
            return False
        given = node.arguments
        plain = given.get("mode", "constant") == "constant" and len(given["pad"]) == 4
        return plain and min(given["pad"]) >= 0 and all(map(_adds_none, self.network.users(node)))

    def affected(self, rows: Ints, cols: Ints) -> tuple[dict[Node, Ints], dict[Node, Ints]]:
        """The cells of every map in ``order`` that windows affect, along rows and along cols.

        Args:
            rows: what each row of windows covers, (rows, 2) in pixels.
            cols: what each column of windows covers, (cols, 2).
        """
        sides = (self.rows, rows), (self.cols, cols)
        found = [
            {node: affected_cells(spans[node], self.cells(node)[axis], of) for node in self.order}
            for axis, (spans, of) in enumerate(sides)
        ]
        return found[0], found[1]

    def source(self, node: Node) -> Node:
        """The feature map whose patches are read for a node: itself, unless it is seen through."""
        while self.rules[node] is None and node is not self.network.graph.pixels:
            node = node.inputs[0]
        return node

    def cells(self, node: Node) -> tuple[int, int]:
        """Rows and cols of a map."""
        rows, cols, _ = self.layouts[node]
        return node.shape[rows], node.shape[cols]

    def channels(self, node: Node) -> int:
        """Channels of a map."""
        return node.shape[self.layouts[node][2]]

    def _takes_the_mean(self, node: Node) -> bool:
        if not node.inputs or node.inputs[0] not in self.layouts:
            return False
        return operation_of(node).global_mean(node, self.layouts[node.inputs[0]])


def _adds_none(reader: Node) -> bool:
    """Whether a kernel that reads a map adds no padding of its own, nor goes beyond its end."""
    padding = reader.arguments.get("padding")
    plain = padding is not None and padding in (0, [0], [0, 0], (0, 0), "valid")
    return plain and not reader.arguments.get("ceil_mode")
