"""How are images drawn of which two networks differ? With both occlusion maps on one scale."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.atlas.comparing.findings import SIDES, ComparedFindings
from interpret_kit.atlas.sheets.sprites import write_webp
from interpret_kit.render.scales import LEAST_LIMIT, Scale, overlay


@dataclass(frozen=True)
class ComparedImage:
    """An image, and what both networks predict for it; classes are those of the first."""

    slug: str  # of its files
    name: str
    label: int  # -1 if it is not known
    predicted: tuple[int, int]
    confidence: tuple[float, float]  # of the class that was occluded for
    target: tuple[int, int]  # that class
    limit: float  # end of the colour scale of both maps
    sizes: tuple[tuple[int, int], tuple[int, int]]  # (height, width) of the maps
    links: tuple[str, str]  # of its pages in the two atlases; "" for none

    @property
    def broken(self) -> bool:
        """Whether only the first network classifies it correctly."""
        return self.predicted[0] == self.label != self.predicted[1]


def write_compared_images(
    folder: Path, compared: ComparedFindings
) -> tuple[list[ComparedImage], list[ComparedImage]]:
    """Draw the images that changed, and the photos; return what is known of each."""
    return list(_changed(folder, compared)), list(_photos(folder, compared))


def _changed(folder: Path, compared: ComparedFindings) -> Iterator[ComparedImage]:
    """Draw the images that changed most first."""
    result, maps = compared.result, compared.maps
    if maps is None:
        return
    for image in result.shown.tolist():
        row, slug = int(np.searchsorted(result.ids, image)), f"changed-{image}"
        rows = [int(np.searchsorted(each.ids, image)) for each in maps]
        label = int(result.labels[row])
        links = [site.image_link(image) for site in compared.sites]
        yield ComparedImage(
            slug=slug,
            name=result.origin.names[image],
            label=label,
            predicted=(int(result.first_predicted[row]), int(result.second_predicted[row])),
            confidence=(float(result.first_confidence[row]), float(result.second_confidence[row])),
            target=(label, label),
            limit=_draw(folder, slug, maps, (rows[0], rows[1])),
            sizes=_sizes(maps),
            links=_within(links[0], links[1]),
        )


def _photos(folder: Path, compared: ComparedFindings) -> Iterator[ComparedImage]:
    groups = [site.findings.photos for site in compared.sites]
    first, second = groups
    if first is None or second is None:
        return
    maps = first.occlusion, second.occlusion
    for k in range(len(maps[0].ids)):
        slug = first.slug_of(k)
        target = int(maps[0].target[k]), int(compared.order[maps[1].target[k]])
        page = f"images/{slug}.html"
        yield ComparedImage(
            slug=slug,
            name=maps[0].origin.names[int(maps[0].ids[k])],
            label=-1,
            predicted=target,
            confidence=(float(maps[0].uncovered[k]), float(maps[1].uncovered[k])),
            target=target,
            limit=_draw(folder, slug, maps, (k, k)),
            sizes=_sizes(maps),
            links=_within(page, page),
        )


def _within(first: str, second: str) -> tuple[str, str]:
    """Return addresses in the two atlases, from the folder of the comparison."""
    pairs = zip(SIDES, (first, second), strict=True)
    found = [f"{side}/{link}" if link else "" for side, link in pairs]
    return found[0], found[1]


def _sizes(
    maps: tuple[OcclusionResult, OcclusionResult],
) -> tuple[tuple[int, int], tuple[int, int]]:
    (height, width), (other_height, other_width) = (each.attribution.shape[1:] for each in maps)
    return (height, width), (other_height, other_width)


def _draw(
    folder: Path, slug: str, maps: tuple[OcclusionResult, OcclusionResult], rows: tuple[int, int]
) -> float:
    """Write an image and both maps; return the end of their scale."""
    both = [each.attribution[row] for each, row in zip(maps, rows, strict=True)]
    scale = Scale.signed(np.concatenate([each.ravel() for each in both]), at_least=LEAST_LIMIT)
    write_webp(maps[0].input_images[rows[0]], folder / f"{slug}.webp")
    for side, result, row, values in zip(SIDES, maps, rows, both, strict=True):
        drawn = overlay(result.input_images[row], values, scale)
        write_webp(drawn, folder / f"{slug}-{side}.webp")
    return scale.high
