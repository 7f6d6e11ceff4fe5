"""Are corrupted files read safely: images, checkpoints, results and configurations?

Files are read in separate processes with limited address space and time. A file must be read, or
refused in one sentence. Everything else is counted as a fault: a traceback, a message of several
lines, a crash, more than 5 s of CPU time or 1 GB, files written elsewhere, an image that is counted
but was not read, weights other than those that were saved. Exits with 1 if there is a fault.

    nice -n 19 python benchmarks/fuzz.py --images 10000 --checkpoints 1000 --results 1000 \
        --configurations 300
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fuzz_cases import KINDS, Kind

from interpret_kit.errors import InterpretError

MOST_SECONDS, MOST_BYTES = 5.0, 1 << 30
HANGS = 300  # seconds, of the clock, after which a case is killed
AT_ONCE = 250  # cases of one process
FINE, REFUSED = "fine", "refused in one sentence"


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    case: int
    what: str  # FINE, REFUSED, or a fault
    detail: str = ""
    seconds: float = 0.0
    bytes: int = 0  # the process' peak beyond what it had before


def main() -> int:
    """Read the cases of all kinds, and print what they come to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in KINDS:
        parser.add_argument(f"--{name}", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="this case alone, in this process")
    arguments = parser.parse_args()
    faults = 0
    for name, kind in KINDS.items():
        count = getattr(arguments, name)
        if count and arguments.only is not None:
            with tempfile.TemporaryDirectory() as folder:
                print(outcome(kind(Path(folder)), arguments.only, arguments.seed, Path(folder)))
        elif count:
            faults += reported(name, fuzzed(kind, count, arguments.seed))
    return min(faults, 1)


def reported(name: str, outcomes: Iterator[Outcome]) -> int:
    """Print the outcomes of a kind; return the number of faults."""
    counts, faults = Counter[str](), 0
    slowest = largest = 0.0
    for each in outcomes:
        counts[each.what] += 1
        slowest, largest = max(slowest, each.seconds), max(largest, each.bytes)
        if each.what not in {FINE, REFUSED}:
            faults += 1
            print(f"  {name} {each.case}: {each.what} {each.detail}", flush=True)
    listed = ", ".join(f"{count} {what}" for what, count in counts.most_common())
    peaks = f"at most {slowest:.2f} s and {largest / 2**20:.0f} MiB for one"
    print(f"{name}: {sum(counts.values())} cases: {listed}; {peaks}", flush=True)
    return faults


def fuzzed(kind: Callable[[Path], Kind], count: int, seed: int) -> Iterator[Outcome]:
    """Read cases 0 to ``count`` in processes, each of which is replaced if it ends early."""
    case = 0
    while case < count:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        cases = range(case, min(case + AT_ONCE, count))
        process = multiprocessing.get_context("fork").Process(
            target=_work, args=(kind, cases, seed, theirs)
        )
        process.start()
        theirs.close()
        try:
            while case < cases.stop and ours.poll(HANGS):
                found: Outcome = ours.recv()
                yield found
                case = found.case + 1
        except EOFError:
            process.join()
            yield Outcome(case, "crash", f"exit code {process.exitcode}")
            case += 1
            continue
        finally:
            process.kill()
            process.join()
        if case < cases.stop:
            yield Outcome(case, f"over {HANGS} s", seconds=HANGS)
            case += 1


def _work(kind: Callable[[Path], Kind], cases: range, seed: int, pipe: object) -> None:
    sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - until the process ends
    with tempfile.TemporaryDirectory() as folder:
        given = kind(Path(folder))
        limit = _status("VmSize") + 4 * MOST_BYTES  # what is allocated beyond is a MemoryError
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for case in cases:
            pipe.send(outcome(given, case, seed, Path(folder)))  # type: ignore[attr-defined]
    os._exit(0)


def outcome(kind: Kind, case: int, seed: int, folder: Path) -> Outcome:
    """Mutate and read one case."""
    drawn = random.Random(f"{seed} {case}")
    kind.mutate(drawn)
    files = _files(folder)
    _reset_peak()
    before, start = _status("VmHWM"), time.process_time()
    what, detail = _read(kind)
    seconds, used = time.process_time() - start, _status("VmHWM") - before
    written = _files(folder) - files
    if written:
        what, detail = "wrote", str(sorted(written))
    if seconds > MOST_SECONDS:
        what, detail = f"over {MOST_SECONDS:g} s", f"{seconds:.1f} s"
    if used > MOST_BYTES:
        what, detail = "over 1 GB", f"{used / 2**20:.0f} MiB"
    return Outcome(case, what, detail, seconds, used)


def _read(kind: Kind) -> tuple[str, str]:
    try:
        wrong = kind.read()
    except InterpretError as error:
        several = len(str(error).splitlines()) > 1
        return ("message of several lines" if several else REFUSED), str(error)
    except BaseException as error:  # a traceback is what is looked for
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"traceback {type(error).__name__}", f"{error} at {where.filename}:{where.lineno}"
    return (wrong, "") if wrong else (FINE, "")


def _files(folder: Path) -> set[str]:
    return {str(each) for each in folder.rglob("*")}


def _status(name: str) -> int:
    """Read a size of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _reset_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    raise SystemExit(main())
