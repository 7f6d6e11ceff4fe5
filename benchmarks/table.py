"""Makes docs/benchmarks.md from the files in benchmarks/results.

And the speed table in README.md, between its marks.

python benchmarks/table.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
MARKS = "<!-- made by benchmarks/table.py -->\n", "<!-- until here -->"

HEAD = """# Benchmarks

Each section answers one question with one run of one program. The programs run all contenders in
turn, in one warm-up round and then in several timed rounds; times are medians in seconds, with
the quartiles in brackets. A ratio is the median of the paired ratios: "Captum / ours" of 9 means
that Captum took 9 times as long in the same round. `photos` is a folder of 200 photos of ImageNet
classes; any other folder of photos works, and `mining.py` adds flipped copies if there are too
few. `benchmarks/clock.py` documents the timing, and `python benchmarks/table.py` makes this page.
`make bench` runs short versions of all programs.
"""


def main() -> None:
    """Write the page and the short table, or check that they are up to date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    texts = {PAGE: page(RESULTS), README: with_summary(README.read_text(), RESULTS)}
    old = [file for file, text in texts.items() if not file.exists() or file.read_text() != text]
    if parser.parse_args().check:
        sys.exit(f"out of date: {', '.join(map(str, old))}" if old else 0)
    for file in old:
        file.write_text(texts[file])


def page(folder: Path) -> str:
    """All sections, in order of the files' names."""
    found = [json.loads(file.read_text()) for file in sorted(folder.glob("*.json"))]
    return "\n".join([HEAD, *map(section, found)])


def with_summary(text: str, folder: Path) -> str:
    """The same text with a new table between the marks."""
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    return f"{before}{MARKS[0]}{summary(folder)}\n{MARKS[1]}{after}"


def summary(folder: Path) -> str:
    """The speed-ups at the same malloc settings, which are the method's own; then as used."""
    rows: list[list[object]] = []
    for name, what, other in (
        ("occlusion", "occlusion, {window} px every {stride}: {network}", "plain loop"),
        ("ablation", "ablation, {filters} filters on {images} images: {network}", "loop"),
    ):
        lines = json.loads((folder / f"{name}.json").read_text())["comparisons"]
        by_memory = {
            memory: {
                what.format(**line["what"]): line["ratios"]
                for line in lines
                if line["what"]["memory"] == memory
            }
            for memory in ("default malloc", "trimming disabled")
        }
        for asked, ratios in by_memory["default malloc"].items():
            kept = by_memory["trimming disabled"].get(asked)
            each = [known and known[peer] for known in (kept, ratios) for peer in (other, "Captum")]
            rows.append([asked, *(f"{known['median']:.2g}" if known else "-" for known in each)])
    peers = ("batched full forward passes", "Captum")
    as_used = (f"{name}, default malloc" for name in peers)
    return _table(("speed-up over", *peers, *as_used), rows)


def section(found: dict[str, Any]) -> str:
    """One benchmark: its question, its tables, its notes, and the machine."""
    tables = [
        _comparisons(list(alike))
        for _, alike in groupby(found["comparisons"], key=lambda line: list(line["what"]))
    ]
    tables += [
        f"**{each['title']}**\n\n{_table(each['columns'], each['rows'])}"
        for each in found["tables"]
    ]
    machine, versions = found["machine"], found["versions"]
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    where = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"{machine['memory']}, GPU: {machine['gpu']}; {machine['system']}; {software}."
    )
    parts = [f"## {found['question']}", f"`{found['command']}`", *tables]
    notes = "\n".join(f"- {note}" for note in [*found["notes"], where])
    return "\n\n".join([*parts, notes]) + "\n"


def _comparisons(lines: Sequence[dict[str, Any]]) -> str:
    def every(part: str) -> list[str]:
        return list(dict.fromkeys(name for line in lines for name in line[part]))

    base = lines[0]["base"]
    what, seconds, ratios, facts = map(every, ("what", "seconds", "ratios", "facts"))
    columns = [*what, *(f"{name} (s)" for name in seconds)]
    columns += [*(f"{name} / {base}" for name in ratios), *facts]
    rows = [
        [
            *(line["what"][name] for name in what),
            *(_spread(line["seconds"].get(name)) for name in seconds),
            *(_spread(line["ratios"].get(name)) for name in ratios),
            *(line["facts"].get(name) for name in facts),
        ]
        for line in lines
    ]
    return _table(columns, rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _spread(values: dict[str, float] | None) -> str:
    if values is None:
        return ""
    lower, upper = _number(values["lower"]), _number(values["upper"])
    return f"{_number(values['median'])} ({lower} to {upper})"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return _number(value)
    return "" if value is None else str(value).replace("|", "\\|")


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()
