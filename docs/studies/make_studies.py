r"""Do the claims about the recipe hold? Reads the sweeps and writes docs/studies/README.md.

    ikit sweep examples/studies/*.toml examples/studies/decisive/*.toml --data tiny33 \
        --scale 0.5 --out sweeps
    python docs/studies/make_studies.py sweeps

SWEEPS holds the result of each study in a folder with the name of the study. The page has a table,
a figure and a verdict for each, and the decisive sweeps that are finished are judged: see
make_decisions.py. The same sweeps always give the same page.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from io import BytesIO
from pathlib import Path

from earlier_report import EARLIER, Earlier
from make_decisions import decisive_samples
from PIL import Image
from studies_decided import with_decisions
from studies_images import named
from studies_measured import measured, sample_of
from studies_power import DECISIVE_ROUND, FIRST_ROUND, write_samples
from studies_text import SECTIONS, SWEEPS, Swept, page

from interpret_kit.errors import NothingThere
from interpret_kit.results.load import load_result
from interpret_kit.results.sweeps.sweep_table import SweepResult

HOME = Path(__file__).parent
sys.path.append(str(HOME.parents[1] / "benchmarks"))
from machine import machine  # noqa: E402

COLOURS = 256  # of a figure, so that it is small


def main() -> None:
    """Write the page and its figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweeps", type=Path, help="folder of the sweeps")
    parser.add_argument("--out", type=Path, default=HOME, help="folder of the page")
    parser.add_argument("--machine", default=_here(), help="where the sweeps ran (default: here)")
    given = parser.parse_args()
    try:
        tables = read(given.sweeps)
    except NothingThere as error:
        parser.error(str(error))
    write(tables, given.out, given.machine)
    judge_all(tables, given.sweeps, given.out)


def read(sweeps: Path) -> dict[str, SweepResult]:
    """Load the table of each study, by the name of its file.

    Raises:
        NothingThere: a sweep is missing.
    """
    missing = [name for name in SWEEPS if not (sweeps / name / "manifest.json").is_file()]
    if missing:
        raise NothingThere(
            f"{sweeps} has no finished sweep of {', '.join(missing)}: ikit sweep "
            f"examples/studies/*.toml --out {sweeps}"
        )
    return {name: _named(load_result(sweeps / name)) for name in SWEEPS}


def _named(table: SweepResult) -> SweepResult:
    """Replace the path of the images by their name."""
    images = named(table.origin.classes, Path(table.origin.images).name)
    return dataclasses.replace(table, origin=dataclasses.replace(table.origin, images=images))


def write(tables: dict[str, SweepResult], out: Path, where: str) -> None:
    """Write the page and one figure per study."""
    figures = out / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        _draw(table, EARLIER.get(name), figures / f"{name}.png")
    rules = {name: section.rule for section in SECTIONS for name in section.sweeps}
    swept = {name: Swept(table, rules[name](measured(table))) for name, table in tables.items()}
    scale = next(iter(tables.values())).study.scale
    command = (
        "ikit sweep examples/studies/*.toml examples/studies/decisive/*.toml --data tiny33 "
        f"--scale {scale:g} --out sweeps\n"
        "python docs/studies/make_studies.py sweeps"
    )
    (out / "README.md").write_text(page(swept, command, where), encoding="utf-8")


def judge_all(tables: dict[str, SweepResult], sweeps: Path, out: Path) -> None:
    """Add what would decide the claims and what was decided, and keep the numbers."""
    first = {name: sample_of(table) for name, table in tables.items()}
    decisive = decisive_samples(sweeps)
    for samples, name in ((first, FIRST_ROUND), (decisive, DECISIVE_ROUND)):
        write_samples(samples, out / name)
    page = out / "README.md"
    text = with_decisions(page.read_text(encoding="utf-8"), first, decisive)
    page.write_text(text, encoding="utf-8")


def _draw(table: SweepResult, earlier: Earlier | None, file: Path) -> None:
    drawn = BytesIO()
    figure = table.figures()["sweep"]
    if earlier is not None:
        earlier.draw(figure.axes[0])
    figure.savefig(drawn, format="png")
    with Image.open(drawn) as image:
        image.convert("RGB").quantize(COLOURS).save(file, optimize=True)
    print(f"{file.name}: {file.stat().st_size // 1024} KB")


def _here() -> str:
    found = machine()
    return f"{found['cores']} cores of {found['cpu']}"


if __name__ == "__main__":
    main()
