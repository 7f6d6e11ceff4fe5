"""Where is each attribution map strongest, and do the methods agree? Tables and notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from interpret_kit.analyses.counting.tally import Array
from interpret_kit.captum_api.method_names import IG, READS_LAYER
from interpret_kit.models.argument_values import counted
from interpret_kit.results.mapped import pieces
from interpret_kit.results.table import Streamed, Table

Mapped = Any  # an `AttributionResult`, whose tables these are
_INACCURATE = 0.05  # error of integrated gradients from which a note is given, of the change
_READ = ("ids", "maps", "target", "predicted", "confidence")


def strongest_table(result: Mapped) -> Table:
    """Return a row per image and method: where the map is strongest, and its range."""
    columns = ("image", "predicted", "target", "confidence", "method", "strongest at y,x")
    rows = Streamed(len(result.ids) * len(result.methods), partial(_rows, result))
    return Table((*columns, "lowest", "highest", "sum"), rows)


def overlapping(result: Mapped) -> Array:
    """Return for which images the strongest regions of all methods overlap, bool (images,).

    A map that is zero everywhere has none.
    """
    return np.array([overlap(image["maps"], result.region) for image in _images(result)])


def overlap(maps: Sequence[Array] | Array, region: tuple[int, int]) -> bool:
    """Whether the strongest regions of maps (maps, height, width) have a pixel in common.

    A map that is zero everywhere has no strongest region.
    """
    corners = np.array([strongest_region(each, region)[:2] for each in maps])
    somewhere = all(each.any() for each in maps)
    return somewhere and bool((np.ptp(corners, axis=0) < region).all())


def empty_notes(result: Mapped) -> Iterator[str]:
    """Say which methods have maps that are zero everywhere."""
    parts = pieces({"maps": result.maps})
    empty = np.sum([(~part["maps"].any((2, 3))).sum(0) for part in parts], axis=0)  # (methods,)
    for k, method in enumerate(result.methods):
        if empty[k]:
            at = f" at layer {result.layer}" if method in READS_LAYER else ""
            some = counted(int(empty[k]), "image")
            yield f"the {method} map of {some} is zero everywhere: nothing{at} supports the target"


def inaccurate_notes(result: Mapped) -> Iterator[str]:
    """Say how far integrated gradients miss what they should sum up to, if they do."""
    if IG not in result.methods:
        return
    k, parts = result.methods.index(IG), pieces({"maps": result.maps})
    sums = np.concatenate([part["maps"][:, k].sum((1, 2), dtype=np.float64) for part in parts])
    off = np.abs(sums - result.change) / np.maximum(np.abs(result.change), 1e-12)
    count = int((off > _INACCURATE).sum())
    if count:
        yield (
            f"the ig map of {counted(count, 'image')} misses the change of the output by more than "
            f"{100 * _INACCURATE:.0f} %; give more `steps` than {result.analysis.steps}"
        )


def strongest_region(values: Array, region: tuple[int, int]) -> tuple[int, int, int, int]:
    """Return y0, x0, y1, x1 of the region of a size with the largest sum of values (rows, cols)."""
    height, width = region
    total = np.pad(values.astype(np.float64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = total[height:, width:] - total[:-height, width:]
    sums += total[:-height, :-width] - total[height:, :-width]
    y, x = (int(each) for each in np.unravel_index(sums.argmax(), sums.shape))
    return y, x, y + height, x + width


def _images(result: Mapped) -> Iterator[dict[str, Array]]:
    """Yield the numbers of one image after the other."""
    for piece in pieces({name: getattr(result, name) for name in _READ}):
        for i in range(len(piece["ids"])):
            yield {name: column[i] for name, column in piece.items()}


def _rows(result: Mapped) -> Iterator[tuple[Any, ...]]:
    classes, (height, width) = result.origin.classes, result.region
    for image in _images(result):
        for method, values in zip(result.methods, image["maps"], strict=True):
            y, x, *_ = strongest_region(values, result.region)
            numbers = values.min(), values.max(), values.sum(dtype=np.float64)
            yield (
                result.origin.names[int(image["ids"])],
                classes[image["predicted"]],
                classes[image["target"]],
                round(float(image["confidence"]), 6),
                method,
                f"{y + height // 2},{x + width // 2}" if values.any() else "",
                *(float(f"{each:.6g}") for each in numbers),
            )
