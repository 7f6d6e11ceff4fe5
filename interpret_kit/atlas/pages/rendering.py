"""How do a template and what it shows become a page? With all names escaped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from interpret_kit.atlas.pages.words import FILTERS
from interpret_kit.report.units import UnbrokenUnits

_HERE = Path(__file__).parent
_REPORT = _HERE.parents[1] / "report"
ASSETS = "assets"


def environment(**known: Any) -> Environment:
    """Return the templates, in which all of ``known`` has a name."""
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        extensions=[UnbrokenUnits],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    made.globals.update(range_of=range, **known)
    return made


def write_page(
    templates: Environment, folder: Path, address: str, template: str, contents: Mapping[str, Any]
) -> None:
    """Render a page and write it to an address below a folder."""
    root = "../" * address.count("/")
    text = templates.get_template(template).render(root=root, here=address, **contents)
    file = folder / address
    file.parent.mkdir(parents=True, exist_ok=True)
    # Names of files may hold bytes that are not valid UTF-8.
    file.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_assets(folder: Path) -> None:
    """Write the style sheet and the script into a folder."""
    assets = folder / ASSETS
    assets.mkdir()
    style = [_REPORT / "style.css", _HERE / "atlas.css"]
    (assets / "atlas.css").write_bytes(b"\n".join(each.read_bytes() for each in style))
    (assets / "atlas.js").write_bytes((_HERE / "atlas.js").read_bytes())
