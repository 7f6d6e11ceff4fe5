"""Does what is known of each operation give the numbers of the full forward pass?"""

import numpy as np
import pytest
import torch
from drawn_operations import CASES, RANDOM, SHAPE, TAGGED, Drawing, Eager
from float_rules import assert_exact
from incremental_answers import answered_incrementally, planned

from interpret_kit.incremental.ablation.propagation import channel_path, respond
from interpret_kit.incremental.occlusion.affected import affected_cells
from interpret_kit.incremental.occlusion.patchable import PatchableMaps
from interpret_kit.incremental.ops.elementwise import ELEMENTWISE
from interpret_kit.incremental.ops.operation import Operation
from interpret_kit.incremental.ops.registry import OPERATIONS, operation_of
from interpret_kit.incremental.receptive_field.fields import spans_along

IMAGE = torch.rand(1, *SHAPE, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
FILL = 1.5 - IMAGE[0]
WINDOWS = np.array([[0, 2], [3, 5]]), np.array([[1, 4], [6, 9]])  # of rows, of columns
LEFT = 0.5  # what is in an ablated channel: of 0, some have no logarithm
EVERY = {**CASES, **TAGGED}


class Held:
    """One case: its graph, and its full forward passes."""

    def __init__(self, case):
        self.case, drawing = case, Drawing()
        self.start = drawing.start
        self.graph = drawing.graph(case(drawing, self.start))
        self.output = self.graph.output

    def full(self, pixels, maps=None):
        """The output for pixels (rows, ...), from which the maps come unless they are given."""
        return self.case(Eager(pixels), pixels * 1.25 if maps is None else maps)

    @property
    def ops(self):
        return {node.op for node in self.graph.graph.nodes}


def held(name):
    cases = [Held(case) for case in EVERY[name]]
    assert all(name in each.ops for each in cases)
    return cases


def entry(name):
    """What is known of it; of what has no entry, that it is elementwise."""
    return OPERATIONS.get(name, ELEMENTWISE)


def test_every_entry_has_drawn_arguments():
    missing = OPERATIONS.keys() - {*CASES, *RANDOM}
    assert not missing, f"draw arguments for {', '.join(sorted(missing))}"


@pytest.mark.parametrize("name", EVERY)
def test_a_run_gives_the_full_forward_pass(name):
    for each in held(name):
        batch = torch.cat([IMAGE, FILL[None]])
        assert_exact(each.graph.run(batch, ())[each.output], each.full(batch))


@pytest.mark.parametrize("name", EVERY)
def test_outside_the_affected_cells_nothing_changes(name):
    for each in held(name):
        before = each.full(IMAGE)
        for axis in (0, 1):
            span = spans_along(each.graph.graph, axis)[each.output]
            cells = 1 if span.dim is None else each.output.shape[span.dim]
            lines = np.stack([np.arange(SHAPE[1 + axis]), np.arange(1, SHAPE[1 + axis] + 1)], 1)
            for line, (start, stop) in enumerate(affected_cells(span, cells, lines)):
                image = IMAGE.clone()
                image.select(2 + axis, line).copy_(FILL[None].select(2 + axis, line))
                changed = each.full(image) != before
                by_cell = changed.movedim(span.dim or 0, 0).reshape(cells, -1).any(1)
                assert not by_cell[:start].any()
                assert not by_cell[stop:].any()


@pytest.mark.parametrize("name", [name for name in EVERY if entry(name).patch or entry(name).pads])
def test_under_windows_an_operation_gives_the_full_forward_pass(name):
    applied = False
    for each in held(name):
        found = answered_incrementally(planned(each.graph, WINDOWS), IMAGE, FILL)
        assert_exact(found, each.full(torch.cat([*covered()])))
        applied |= name in {node.op for node in PatchableMaps(each.graph).order}
    assert applied, "its patch rule is never used"


def covered():
    """The image with each window over it."""
    for top, bottom in WINDOWS[0].tolist():
        for left, right in WINDOWS[1].tolist():
            image = IMAGE.clone()
            image[0, :, top:bottom, left:right] = FILL[:, top:bottom, left:right]
            yield image


@pytest.mark.parametrize(
    "name", [name for name in EVERY if entry(name).channel or entry(name).linear]
)
def test_with_a_channel_ablated_an_operation_gives_the_full_forward_pass(name):
    used = {"channel": False, "linear": False}
    for each in held(name):
        path, values = channel_path(each.graph, each.start), values_of(each.graph)
        for channel in range(SHAPE[0]):
            maps = IMAGE * 1.25
            maps[:, channel] = LEFT
            if each.output in path.local:
                assert_exact(replaced(each.graph, path, values, channel), each.full(IMAGE, maps))
            elif each.output in path.linear:
                assert_exact(updated(each.graph, path, values, channel), each.full(IMAGE, maps))
        used["channel"] |= name in {node.op for node in path.local if node is not each.start}
        used["linear"] |= name in {node.op for node in path.linear}
    for rule, was in used.items():
        assert was or not getattr(entry(name), rule), f"its {rule} rule is never used"


def values_of(graph):
    """What every operation returns for the image."""
    pixels = graph.graph.pixels
    return {pixels: IMAGE, **graph.run(IMAGE, graph.by_row - {pixels})}


def responses(graph, path, values):
    """What the channel-local maps hold with each filter ablated."""
    found = {path.start: torch.full_like(values[path.start], LEFT)}
    for node in path.local:
        if node not in found:
            found[node] = respond(graph, node, path, {**values, **found})
    return found


def replaced(graph, path, values, channel):
    """The output, with one of its channels replaced."""
    output, where = values[graph.output].clone(), path.local[graph.output]
    parts = output.reshape(1, -1, *where.part)
    parts[0, where.first + channel] = responses(graph, path, values)[graph.output][0, channel]
    return parts.view(output.shape)


def updated(graph, path, values, channel):
    """The output, with what one channel of the source contributes added to it."""
    output, update = values[graph.output], path.linear[graph.output]
    where = path.local[update.source]
    before = values[update.source].reshape(1, -1, *where.part)[:, where.first + channel]
    change = responses(graph, path, values)[update.source][:, channel] - before
    added = update.columns(change) @ update.weight[channel]  # (1, cells, channels)
    return output + added.transpose(1, 2).reshape(output.shape)


@pytest.mark.parametrize("name", RANDOM)
def test_what_draws_its_own_numbers_reads_nothing(name):
    drawing = Drawing()
    output = RANDOM[name][0](drawing, drawing.start)
    for axis in (0, 1):
        first, last = spans_along(drawing.graph(output).graph, axis)[output].seen[0]
        assert first >= last


@pytest.mark.parametrize("name", TAGGED)
def test_what_torch_tags_as_pointwise_needs_no_entry(name):
    for each in held(name):
        (node,) = (node for node in each.graph.graph.nodes if node.op == name)
        assert name not in OPERATIONS
        assert operation_of(node).elementwise
        assert node in PatchableMaps(each.graph).order
        assert node in channel_path(each.graph, each.start).local


def test_an_operation_without_an_entry_is_computed_as_a_whole():
    drawing = Drawing()
    node = drawing("cumsum", drawing.start, 1)
    graph = drawing.graph(node)
    assert operation_of(node) == Operation("")
    assert spans_along(graph.graph, 0)[node].inexact == {"cumsum"}
    assert node not in PatchableMaps(graph).order
    assert channel_path(graph, drawing.start).recomputed == (node,)
