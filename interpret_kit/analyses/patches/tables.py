"""What do the strongest units of the filters have in common? Tables and notes of top patches."""

from __future__ import annotations

from typing import Any

import numpy as np

from interpret_kit.analyses.counting.tally import Array
from interpret_kit.errors import shortened
from interpret_kit.models.argument_values import counted
from interpret_kit.results.table import Table

Patched = Any  # a `TopPatchesResult`, whose tables these are


def at_border(result: Patched) -> Array:
    """Return of which filters every top patch reaches beyond the border, bool (filters,).

    Their activation depends on the padding. Receptive fields larger than half of the image do not
    count: they reach beyond its border almost everywhere. Neither do dead filters.
    """
    boxes = result.full_boxes
    sides = np.array(result.input_images.shape[1:3])
    small = (boxes[:, 0, 2:] - boxes[:, 0, :2] <= sides / 2).all(1)
    beyond = (boxes != result.boxes).any(2).all(1)
    return np.asarray(small & beyond & ~result.dead)


def border_notes(result: Patched) -> tuple[str, ...]:
    """Name the filters of which every top patch reaches beyond the border of the image."""
    found = np.flatnonzero(at_border(result))
    if not len(found):
        return ()
    names = [f"{result.layers[result.layer[row]]}:{result.filter[row]}" for row in found]
    them = "it may respond" if len(found) == 1 else "they may respond"
    return (
        f"all top patches of {counted(len(found), 'filter')} reach beyond the border of the image, "
        f"so {them} to the padding: {shortened(names)}",
    )


def filters_table(result: Patched) -> Table:
    """List the filters, with the classes of their top images."""
    rows = tuple(
        (
            result.layers[result.layer[row]],
            int(result.filter[row]),
            float(result.values[row, 0]),
            bool(result.dead[row]),
            ", ".join(f"{name} {count}" for name, count in result.classes_of(row)),
        )
        for row in range(len(result.filter))
    )
    return Table(("layer", "filter", "peak", "dead", "classes of its top images"), rows)


def units_table(result: Patched) -> Table:
    """List the strongest units of all filters, and their receptive fields."""
    names = result.origin.names
    rows = tuple(
        (
            result.layers[result.layer[row]],
            int(result.filter[row]),
            rank + 1,
            float(result.values[row, rank]),
            int(result.images[row, rank]),
            names[int(result.images[row, rank])],
            int(result.rows[row, rank]),
            int(result.cols[row, rank]),
            *map(int, result.boxes[row, rank]),
        )
        for row in range(len(result.filter))
        for rank in range(result.values.shape[1])
    )
    columns = ("layer", "filter", "rank", "activation", "id", "image", "row", "col")
    return Table((*columns, "y0", "x0", "y1", "x1"), rows)
