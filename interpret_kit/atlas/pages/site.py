"""Where is each page, and how do a template and what it shows become a file?

File names are numbers: no name of a class, image or layer becomes part of an address. Pages load
only files of their own folder, and a content security policy forbids everything else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jinja2 import Environment

from interpret_kit.atlas.findings import Findings, OccludedImages
from interpret_kit.atlas.measures import Measures
from interpret_kit.atlas.pages.rendering import ASSETS, environment, write_assets, write_page
from interpret_kit.atlas.sheets.sprites import Crop, SheetPlan
from interpret_kit.atlas.sheets.tiles import plans


class Photo(NamedTuple):
    """An image of the data, and what was predicted for it."""

    id: int
    name: str
    label: int
    predicted: int
    confidence: float

    @property
    def file(self) -> str:
        """Its name without folders."""
        return self.name.rpartition("/")[2]

    @property
    def correct(self) -> bool:
        """Whether it is classified correctly."""
        return self.label == self.predicted


@dataclass(frozen=True)
class FilterCard:
    """A filter as other pages show it."""

    layer: int
    number: int
    row: int  # among all filters
    label: str  # such as "conv2:36"
    link: str  # relative to the folder of the atlas
    folder: str  # of its sheets
    block: Crop
    sheet: tuple[int, int]  # width and height


@dataclass(frozen=True, eq=False)
class Site:
    """The folder that the pages are written to, and what all of them need."""

    folder: Path
    findings: Findings
    measures: Measures
    command: str  # that makes the atlas again
    compared: bool = False  # whether the pages of a comparison are in the folder above
    plans: list[dict[str, SheetPlan]] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "plans", plans(self.findings))

    @cached_property
    def environment(self) -> Environment:
        """The templates, and what all of them need."""
        return environment(
            site=self, findings=self.findings, classes=self.findings.classes, origin=self.origin
        )

    @property
    def origin(self) -> Any:
        """The provenance: model, images, versions."""
        return self.findings.tops.origin

    def write(self, address: str, template: str, contents: Mapping[str, Any]) -> None:
        """Render a page and write it to an address below the folder."""
        write_page(self.environment, self.folder, address, template, contents)

    def write_assets(self) -> None:
        """Write the style sheet, the script and what the search looks through."""
        write_assets(self.folder)
        index = {
            "layers": [
                [layer.label, f"{self.layer_folder(k)}/", layer.filters]
                for k, layer in enumerate(self.findings.layers)
            ],
            "classes": list(self.findings.classes),
            "occurring": list(self.occurring),
        }
        # A file opened from disk cannot fetch another one, but it may run a script beside it.
        search = f"window.ATLAS = {json.dumps(index)};\n"
        (self.folder / ASSETS / "search.js").write_text(search, "ascii")

    def layer_folder(self, layer: int) -> str:
        """Return the folder of a layer's pages and sheets."""
        number = self.findings.layers[layer].number
        return f"layers/{number if number is not None else f'module-{layer + 1}'}"

    def layer_link(self, layer: int) -> str:
        """Return the address of a layer's page."""
        return f"{self.layer_folder(layer)}/index.html"

    def class_link(self, label: int) -> str:
        """Return the address of a class's page; "" if it has none."""
        return f"classes/{label}.html" if label in self.occurring else ""

    @cached_property
    def occurring(self) -> dict[int, int]:
        """The classes that have a page, in ascending order, and the place of each among them.

        These are the true and the predicted classes of the images: of a thousand, few may be.
        """
        survey = self.findings.survey
        found = np.union1d(survey.labels, survey.predicted)
        return {label: place for place, label in enumerate(found.tolist())}

    def image_link(self, image: int) -> str:
        """Return the address of an image's page; "" if it has none."""
        return f"images/{image}.html" if image in self.with_pages else ""

    @cached_property
    def with_pages(self) -> frozenset[int]:
        """The ids of the images that have a page."""
        return frozenset(self.findings.occlusion.ids.tolist())

    def card(self, row: int) -> FilterCard:
        """Return how a filter is shown on other pages."""
        tops = self.findings.tops
        layer, number = int(tops.layer[row]), int(tops.filter[row])
        folder, plan = self.layer_folder(layer), self.plans[layer]["patches"]
        block = plan.block_of(number)
        label = f"{self.findings.layers[layer].label}:{number}"
        sheet = plan.size(block.sheet)
        return FilterCard(
            layer, number, row, label, f"{folder}/{number}.html", folder, block, sheet
        )

    def photo(self, image: int, group: OccludedImages | None = None) -> Photo:
        """Return what is known of an image of the data, or of a group."""
        survey = group.survey if group else self.findings.survey
        name = group.occlusion.origin.names[image] if group else self.findings.name(image)
        row = survey.row_of(image)
        numbers = int(survey.labels[row]), int(survey.predicted[row]), float(survey.confidence[row])
        return Photo(image, name, *numbers)
