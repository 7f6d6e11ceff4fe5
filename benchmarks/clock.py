"""How are contenders timed, side by side in one run, and with which uncertainty?

A benchmark is a program that names its contenders, lets the clock run them in turn, and saves:

    from clock import Report, interleaved, options, why_missing

    def main() -> None:
        asked = options(__doc__).parse_args()  # --short, --rounds, --threads, --out
        report = Report("occlusion", "What is the speed-up of incremental occlusion?", asked)
        for name in ("resnet18",) if asked.short else NETWORKS:
            contenders = {"ours": ours, "plain loop": plain, "captum": captum}  # no arguments
            times = interleaved(contenders, asked.rounds)
            report.add({"network": name, "window": 16}, times, base="ours", facts={"error": 2e-7})
        report.save()

    if __name__ == "__main__":  # `peak_memory` imports the program again
        main()

Every contender first runs once unmeasured. Then a round runs each of them once, and every other
round goes through them backwards, so that a machine that slows down slows all of them alike. A
ratio is the median of the rounds' ratios, not the ratio of two medians. The device is idle at
both ends of a measurement. `python benchmarks/table.py` makes docs/benchmarks.md of what is saved.

What else there is:

    seconds(work)                    one measurement
    Report.table(title, columns, rows)   numbers other than a comparison of times
    Report.note("...")               a sentence below the tables
    peak_memory(prepare, "resnet18") MiB that `prepare("resnet18")()` takes beyond what was
                                     taken before it, in a process of its own
    why_missing("monai")             None, or why this peer is left out, which `Report.note` takes
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from machine import Work, kernels, machine, peak_memory, versions, why_missing

__all__ = ["Report", "Times", "interleaved", "options", "peak_memory", "seconds", "why_missing"]

Times = dict[str, list[float]]  # seconds of each round, by contender

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SHORT_RESULTS = ROOT / "build" / "benchmarks"  # not committed


def options(
    description: str | None, rounds: int = 5, device: str | None = None
) -> argparse.ArgumentParser:
    """The options that every benchmark has; add its own to them.

    With ``device``, its default, there is one for the device, for programs that use it.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--short", action="store_true", help="the short form: check that it works")
    parser.add_argument("--rounds", type=int, default=rounds, help="measurements of each contender")
    parser.add_argument("--threads", type=int, default=0, help="threads; 0: as torch chooses")
    parser.set_defaults(device="cpu")
    if device is not None:
        parser.add_argument("--device", default=device, help="cpu, cuda, cuda:1, ...")
    parser.add_argument(
        "--out",
        type=Path,
        help="folder to save to; by default that of this kind of machine in benchmarks/results",
    )
    return parser


def results_of(kernels: str, device: str) -> Path:
    """The folder of the results of one kind of machine: those of AVX-512 lie at the top."""
    kind = (
        device.split(":", maxsplit=1)[0]
        if device != "cpu"
        else kernels.split(maxsplit=1)[0].lower()
    )
    return RESULTS if kind == "avx512" else RESULTS / kind


def interleaved(
    contenders: Mapping[str, Work],
    rounds: int = 5,
    warm_up: int = 1,
    device: str = "cpu",
    clock: Callable[[], float] = time.perf_counter,
) -> Times:
    """Seconds of each contender, round by round; see above."""
    for _ in range(warm_up):
        for work in contenders.values():
            work()
    times: Times = {name: [] for name in contenders}
    for turn in range(rounds):
        for name in list(contenders)[:: -1 if turn % 2 else 1]:
            times[name].append(seconds(contenders[name], device, clock))
    return times


def seconds(
    work: Work, device: str = "cpu", clock: Callable[[], float] = time.perf_counter
) -> float:
    """How long one call takes, with the device idle before and after."""
    _wait_for(device)
    start = clock()
    work()
    _wait_for(device)
    return clock() - start


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, quartiles and ends, to five digits."""
    lower, median, upper = (
        statistics.quantiles(values, n=4, method="inclusive")
        if len(values) > 1
        else [values[0]] * 3
    )
    found = {"median": median, "lower": lower, "upper": upper, "min": min(values)}
    return {name: _short(value) for name, value in (found | {"max": max(values)}).items()}


def ratios(times: Times, base: str) -> dict[str, dict[str, float]]:
    """How many times as long as ``base`` each other contender takes, paired by round."""
    return {
        name: spread([other / own for other, own in zip(each, times[base], strict=True)])
        for name, each in times.items()
        if name != base
    }


class Report:
    """What one benchmark found, on which machine; grows line by line, then `save`."""

    def __init__(self, name: str, question: str, asked: argparse.Namespace) -> None:
        """Take the threads and the device that were asked for."""
        if asked.threads:
            torch.set_num_threads(asked.threads)
        default = SHORT_RESULTS if asked.short else results_of(kernels(), asked.device)
        self.path: Path = (asked.out or default) / f"{name}.json"
        self.found: dict[str, Any] = {
            "question": question,
            "command": _command(sys.argv),
            "machine": machine(asked.device),
            "versions": versions(),
            "comparisons": [],
            "tables": [],
            "notes": [],
        }

    def add(
        self,
        what: Mapping[str, object],
        times: Times,
        base: str,
        facts: Mapping[str, object] | None = None,
    ) -> None:
        """Add a comparison, and print it.

        Args:
            what: what was run, such as the network; equal keys become one table.
            times: of `interleaved`.
            base: the contender that the others are divided by.
            facts: other numbers of the same run, such as an error, or peak memory.
        """
        spreads = {name: spread(each) for name, each in times.items()}
        shares = ratios(times, base)
        line: dict[str, Any] = {
            "what": dict(what),
            "base": base,
            "seconds": spreads,
            "ratios": shares,
            "facts": dict(facts or {}),
            "rounds": len(times[base]),
        }
        self.found["comparisons"].append(line)
        printed = {name: each["median"] for name, each in spreads.items()}
        printed |= {f"{name} / {base}": each["median"] for name, each in shares.items()}
        shown = {**what, **printed, **line["facts"]}
        print(", ".join(f"{name}: {value}" for name, value in shown.items()), flush=True)

    def table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Add numbers other than a comparison of times, and print them."""
        self.found["tables"].append(
            {"title": title, "columns": list(columns), "rows": [list(row) for row in rows]}
        )
        print(title, *([columns, *rows]), sep="\n  ", flush=True)

    def note(self, sentence: str | None) -> None:
        """Add a sentence below the tables; None is none."""
        if sentence:
            self.found["notes"].append(sentence)

    def save(self) -> Path:
        """Write the file, whole or not at all."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_suffix(".part")
        aside.write_text(json.dumps(self.found, indent=1) + "\n")
        aside.replace(self.path)
        print(f"saved {self.path}")
        return self.path


def _short(value: float) -> float:
    return float(f"{value:.5g}")


def _command(words: Sequence[str]) -> str:
    """What was typed; of a folder only its name, as the machine's other folders say nothing."""
    program, *others = (Path(word).name if word.startswith("/") else word for word in words)
    return shlex.join(["python", f"benchmarks/{Path(program).name}", *others])
