"""Makes docs/benchmarks.md from the files in benchmarks/results.

And the speed table in README.md, between its marks.

python benchmarks/table.py [--check]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
README = ROOT / "README.md"
RESULTS = ROOT / "benchmarks" / "results"
EQUAL, AS_USED = "trimming disabled", "default malloc"
TITLES = {
    EQUAL: "Equal memory settings (glibc trimming disabled for all)",
    AS_USED: "As users run them (default malloc for the others)",
}
LOOP, COMPILED, CAPTUM = "batched loop", "torch.compile", "Captum"
TASKS = (  # file, a row's name, and the columns of its contenders
    (
        "occlusion",
        "occlusion, {window} px every {stride}: {network}",
        {"plain loop": LOOP, "compiled loop": COMPILED, "Captum": CAPTUM},
    ),
    (
        "ablation",
        "ablation, {filters} filters on {images} images: {network}",
        {"loop": LOOP, "compiled loop": COMPILED, "Captum": CAPTUM},
    ),
)
MARKS = "<!-- made by benchmarks/table.py -->\n", "<!-- until here -->"

Found = dict[str, Any]  # what one program has saved, as `clock.Report` writes it
Rows = list[list[object]]

HEAD = """# Benchmarks

Each section answers one question with one program. The programs run all contenders in turn, in one
warm-up round and then in several timed rounds; times are medians in seconds, with the quartiles in
brackets. A ratio is the median of the paired ratios: "Captum / ours" of 9 means that Captum took 9
times as long in the same round. If a program was run on several kinds of CPU, or with several
memory settings, its section begins with the ratios side by side: first at equal memory settings,
then as users run the contenders.

`photos` is a folder of 200 photos of ImageNet classes; any other folder of photos works, and
`mining.py` adds flipped copies if there are too few. `benchmarks/clock.py` documents the timing,
and `python benchmarks/table.py` makes this page. `make bench` runs the short versions of these
programs, except for those that need a GPU.
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
    return "\n".join([HEAD, *map(section, of_all_machines(folder).values())])


def of_all_machines(folder: Path) -> dict[str, list[Found]]:
    """What each benchmark found on each machine, those at the top of the folder first."""
    files = sorted(folder.glob("*.json")) + sorted(folder.glob("*/*.json"))
    names = sorted({file.stem for file in files})
    return {
        name: [json.loads(file.read_text()) for file in files if file.stem == name]
        for name in names
    }


def with_summary(text: str, folder: Path) -> str:
    """The same text with new tables between the marks."""
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    return f"{before}{MARKS[0]}{summary(folder)}\n{MARKS[1]}{after}"


def summary(folder: Path) -> str:
    """The speed-ups with equal memory settings, which are the method's own; then as used."""
    founds = of_all_machines(folder)
    return "\n\n".join(
        f"{title}:\n\n{_table(*_summary(founds, memory))}" for memory, title in TITLES.items()
    )


def _summary(founds: dict[str, list[Found]], memory: str) -> tuple[list[str], Rows]:
    """One row for each network, of the first setting that it was measured with."""
    medians: dict[str, dict[str, float]] = {}
    for name, task, peers in TASKS:
        tasks: dict[str, str] = {}
        for found in founds.get(name, []):
            for line in found["comparisons"]:
                text = tasks.setdefault(line["what"]["network"], task.format(**line["what"]))
                if line["what"]["memory"] == memory and task.format(**line["what"]) == text:
                    medians.setdefault(text, {}).update(
                        (f"{peers[peer]}, {_kind(found)}", ratio["median"])
                        for peer, ratio in line["ratios"].items()
                        if peer in peers
                    )
    kinds = dict.fromkeys(_kind(found) for name, *_ in TASKS for found in founds.get(name, []))
    columns = [f"{peer}, {kind}" for kind in kinds for peer in TASKS[0][2].values()]
    columns = [each for each in columns if any(each in known for known in medians.values())]
    rows = [
        [text, *(f"{known[each]:.2g}" if each in known else "-" for each in columns)]
        for text, known in medians.items()
    ]
    return ["speed-up over", *columns], rows


def section(founds: Sequence[Found]) -> str:
    """One benchmark: its question, the ratios side by side, and what each machine gave."""
    parts = [f"## {founds[0]['question']}", *_side_by_side(founds)]
    notes: list[str] = []
    for found in founds:
        parts += [f"### {_machine(found)}", f"`{found['command']}`", *_tables(found)]
        new = [note for note in found["notes"] if note not in notes]
        notes += new
        parts.append("\n".join(f"- {note}" for note in [*new, _where(found)]))
    return "\n\n".join(parts) + "\n"


def _side_by_side(founds: Sequence[Found]) -> Iterator[str]:
    """Medians of the ratios, of all machines, for equal memory settings first."""
    settings = {line["what"].get("memory") for found in founds for line in found["comparisons"]}
    if settings == {None} and len(founds) == 1:
        return  # its own table says as much
    for memory, title in {**TITLES, None: "Ratios on all machines"}.items():
        if memory not in settings:
            continue
        rows: dict[tuple[object, ...], dict[str, str]] = {}
        what: dict[str, None] = {}
        for found in founds:
            for line in found["comparisons"]:
                if line["what"].get("memory") == memory:
                    asked = {k: v for k, v in line["what"].items() if k != "memory"}
                    what.update(dict.fromkeys(asked))
                    rows.setdefault(tuple(asked.items()), {}).update(
                        (f"{peer} / {line['base']}, {_kind(found)}", _number(ratio["median"]))
                        for peer, ratio in line["ratios"].items()
                    )
        columns = dict.fromkeys(column for known in rows.values() for column in known)
        cells = [
            [*(dict(asked).get(each) for each in what), *map(known.get, columns)]
            for asked, known in rows.items()
        ]
        yield f"**{title}**\n\n{_table([*what, *columns], cells)}"


def _kind(found: Found) -> str:
    """The kind of machine, in a word or two: its GPU, or the kernels of its CPU."""
    machine = found["machine"]
    kernels = str(machine.get("kernels", "CPU"))
    return str(machine["gpu"] if machine["gpu"] != "none" else kernels.replace("AVX512", "AVX-512"))


def _machine(found: Found) -> str:
    machine = found["machine"]
    return f"{_kind(found)}: {_cpu(machine)}, {machine['cores']} cores"


def _cpu(machine: Found) -> str:
    """Its name, without what follows the model."""
    return str(machine["cpu"]).rsplit(" Proc", 1)[0]


def _where(found: Found) -> str:
    machine, versions = found["machine"], found["versions"]
    software = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{_cpu(machine)}, kernels for {machine.get('kernels', 'any CPU')}, {machine['cores']} "
        f"cores, {machine['threads']} threads, {machine['memory']}, GPU: {machine['gpu']}; "
        f"{machine['system']}; {software}."
    )


def _tables(found: Found) -> list[str]:
    """All comparisons, for equal memory settings first, and the other tables."""
    lines = sorted(found["comparisons"], key=lambda line: line["what"].get("memory") == AS_USED)
    alike: dict[tuple[str, ...], list[Found]] = {}
    for line in lines:
        alike.setdefault(tuple(line["what"]), []).append(line)
    own = [
        f"**{each['title']}**\n\n{_table(each['columns'], each['rows'])}"
        for each in found["tables"]
    ]
    return [*map(_comparisons, alike.values()), *own]


def _comparisons(lines: Sequence[Found]) -> str:
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
