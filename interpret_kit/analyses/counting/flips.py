"""Which images flip when a filter is ablated, as tables by filter, by class and one by one?"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from interpret_kit.results.table import Table

if TYPE_CHECKING:
    from interpret_kit.analyses.ablation import AblationCounts


def filters_table(result: AblationCounts) -> Table:
    """List every filter, the one that breaks most images first."""
    rows = []
    for row in np.argsort(-result.broken.sum(1), kind="stable").tolist():
        top = ", ".join(f"{name} {n}" for name, n in result.class_table(row).head(5).rows)
        rows.append(
            (
                result.layers[result.layer[row]],
                int(result.filter[row]),
                int(result.broken[row].sum()),
                int(result.repaired[row].sum()),
                round(float(result.confidence_lost[row]), 6),
                top,
            )
        )
    columns = ("layer", "filter", "broken", "repaired", "mean confidence lost")
    return Table((*columns, "classes most broken"), tuple(rows))


def classes_table(result: AblationCounts) -> Table:
    """List the classes that each filter breaks or repairs, the most frequent first."""
    rows = [
        (
            result.layers[result.layer[row]],
            int(result.filter[row]),
            result.origin.classes[k],
            int(result.broken[row, k]),
            int(result.repaired[row, k]),
            int(result.correct[k]),
            int(result.total[k]),
        )
        for row in range(len(result.filter))
        for k in np.argsort(-result.broken[row], kind="stable").tolist()
        if result.broken[row, k] or result.repaired[row, k]
    ]
    columns = ("layer", "filter", "class", "frequency", "repaired", "correct before", "images")
    return Table(columns, tuple(rows))


def flips_table(result: AblationCounts) -> Table:
    """List every image that flips, by filter."""
    classes = result.origin.classes
    rows = tuple(
        (
            result.layers[result.layer[result.flip_row[k]]],
            int(result.filter[result.flip_row[k]]),
            "repaired" if result.flip_after[k] == result.flip_label[k] else "broken",
            int(result.flip_id[k]),
            result.origin.names[int(result.flip_id[k])],
            classes[result.flip_label[k]],
            classes[result.flip_before[k]],
            classes[result.flip_after[k]],
        )
        for k in range(len(result.flip_id))
    )
    columns = ("layer", "filter", "flip", "id", "image", "true class", "before", "after")
    return Table(columns, rows)
