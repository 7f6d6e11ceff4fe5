"""How do saved results become one page that opens from disk?

The page is one HTML file without scripts. It links to the figures and tables in the folders of
the results by relative paths, and to nothing else.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from interpret_kit.errors import CannotWrite, OutputExists, UsageError, WrongType
from interpret_kit.models.argument_values import called_as, path_argument
from interpret_kit.models.argument_values import shown as shown_value
from interpret_kit.report.contents import Link, PageSection, contents_of_result, contents_of_run
from interpret_kit.report.units import UnbrokenUnits, unbroken
from interpret_kit.results.atomic import write_whole
from interpret_kit.results.result import Result

INDEX = "index.html"
_GENERATOR = b'<meta name="generator" content="interpret_kit">'  # by which `force` knows a page
_HEAD = 2000  # bytes of a page that hold it
_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Section:
    """A saved result or a training run, and its heading and introduction on the page."""

    folder: Path
    title: str = ""  # by default, the question that the analysis answers
    text: str = ""  # an introduction, before the figures
    part: str = ""  # consecutive sections of the same part share it as a heading


@dataclass(frozen=True)
class Front:
    """What the page shows before its sections."""

    title: str = "What the classifier does"
    text: str = ""
    commands: tuple[tuple[str, str], ...] = ()  # commands to try next, and what each does
    pages: tuple[tuple[str, str, str], ...] = ()  # other pages: relative path, title, contents


@called_as("ik.write_report('out', ['out/occlusion', 'out/ablation'])")
def write_report(
    folder: str | Path,
    sections: Section | str | Path | Iterable[Section | str | Path],
    front: Front = Front(),
    *,
    force: bool = False,
) -> Path:
    """Write ``index.html`` into a folder, for results that are saved there or elsewhere.

        ik.write_report("out", ["out/occlusion", "out/ablation"])

    A section is a folder of a saved result or a run, or a `Section`, which adds words to it.

    Save the results inside the folder if you want to move or send it as a whole. All names are
    escaped.

    Raises:
        UsageError: if a section is something else, such as a result that was not saved, or there
            is none.
        NothingThere: if a section's folder holds neither a result nor a run.
        OutputExists: if the folder is a file, or already has a page, and ``force`` is not given or
            the page was written by something else.
        CannotWrite: if permission or disk space is missing.
    """
    file = path_argument(folder, "folder") / INDEX
    if file.parent.is_file():
        raise OutputExists(f"{file.parent} is a file; give another folder for the page")
    if not isinstance(front, Front):
        raise WrongType(f"`front` is {shown_value(front)}; give Front(title='Birds')")
    shown = [_section(each) for each in _listed(sections)]
    entries = [(each, _contents(each.folder, _linked_from(file.parent))) for each in shown]
    if file.exists() and not force:
        raise OutputExists(
            f"{file} exists already; give `force=True` to replace it, or write the page elsewhere"
        )
    if file.exists() and not _is_ours(file):
        raise OutputExists(
            f"{file} is not a page that interpret_kit wrote, and `force` replaces nothing else; "
            "remove it, or write the page elsewhere"
        )
    _replace(file, _render(entries, front))
    return file


def _is_ours(file: Path) -> bool:
    if not file.is_file():
        return False
    with file.open("rb") as page:
        return _GENERATOR in page.read(_HEAD)


def _listed(sections: Any) -> list[Any]:
    if isinstance(sections, (Section, str, os.PathLike, Result)):
        return [sections]
    if not isinstance(sections, Iterable):
        raise WrongType(
            f"`sections` is {shown_value(sections)}; give the folders of saved results, as in "
            "['out/occlusion']"
        )
    listed = list(sections)
    if not listed:
        raise UsageError("`sections` is empty; give at least one folder, as in ['out/occlusion']")
    return listed


def _section(given: Any) -> Section:
    if isinstance(given, Section):
        return given
    if isinstance(given, (str, os.PathLike)):
        return Section(Path(given))
    if isinstance(given, Result):
        name = given.analysis.name
        raise WrongType(
            f"a page links to the files of saved results: save the {type(given).__name__} first, "
            f"and give its folder, as in result.save('out/{name}', figures=True)"
        )
    raise WrongType(
        f"a section is {shown_value(given)}; give the folder of a saved result, as in "
        "'out/occlusion'"
    )


def _contents(folder: Path, link: Link) -> PageSection:
    from interpret_kit.models.loading.load import CONFIG, read_config
    from interpret_kit.results.load import load_result

    if (folder / CONFIG).is_file():
        return contents_of_run(read_config(folder), folder, link)
    return contents_of_result(load_result(folder), folder, link)


def _linked_from(folder: Path) -> Link:
    def link(file: Path) -> str:
        return quote(Path(os.path.relpath(file, folder)).as_posix())

    return link


def _render(entries: Sequence[tuple[Section, PageSection]], front: Front) -> str:
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        extensions=[UnbrokenUnits],
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    titles = Counter(section.title or contents.question for section, contents in entries)
    environment.globals["repeated"] = {title for title, count in titles.items() if count > 1}
    environment.filters |= {"plain": _plain, "unbroken": unbroken}
    numbered = [(f"s{number}", *each) for number, each in enumerate(entries, start=1)]
    parts = [(part, list(group)) for part, group in groupby(numbered, key=lambda e: e[1].part)]
    return environment.get_template("page.html").render(front=front, parts=parts)


def _plain(value: Any) -> str:
    """Format a value for reading."""
    if value is None or isinstance(value, bool):
        return {None: "", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, (tuple, list)):
        return ", ".join(map(_plain, value))
    return str(value)


def _replace(file: Path, text: str) -> None:
    """Write a file atomically: it appears complete or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, text)
    except OSError as error:
        raise CannotWrite(f"cannot write {file}: {error.strerror or error}") from error
