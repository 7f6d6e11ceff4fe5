"""Are a few mutated files of each kind read, or refused in one sentence? The rest of `fuzz.py`."""

import json
import mmap
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

import fuzz
from fuzz_cases import KINDS

from interpret_kit.errors import BadWeights

COUNT = {"images": 150, "checkpoints": 40, "results": 40, "configurations": 40}


@pytest.mark.filterwarnings("ignore:.*torch.jit")
@pytest.mark.parametrize("name", KINDS)
def test_mutated_files_are_read_or_refused_in_one_sentence(name, tmp_path):
    kind = KINDS[name](tmp_path)
    outcomes = [fuzz.outcome(kind, case, 1, tmp_path) for case in range(COUNT[name])]
    faults = [each for each in outcomes if each.what not in {fuzz.FINE, fuzz.REFUSED}]
    assert not faults
    assert any(each.what == fuzz.REFUSED for each in outcomes)
    assert len({each.detail for each in outcomes}) > 5, "for many reasons"


class Odd:
    """Whatever may go wrong with a case, by its number."""

    def __init__(self, folder):
        self.folder, self.turn = folder, -1

    def mutate(self, drawn):
        self.turn += 1

    def read(self):
        acts = {
            0: lambda: "",
            1: lambda: self.raises(BadWeights("one sentence")),
            2: lambda: self.raises(BadWeights("two\nlines")),
            3: lambda: self.raises(KeyError("a bug")),
            4: lambda: (self.folder / "elsewhere").write_text("") and "",
            5: lambda: "counted what was not read",
            6: self.takes_memory,
        }
        return acts[self.turn]() or ""

    def raises(self, error):
        raise error

    def takes_memory(self):
        # Pages of its own: what the process has freed and kept may be large enough for a string.
        with mmap.mmap(-1, 1 << 22) as pages:
            pages[:: mmap.PAGESIZE] = b"x" * (len(pages) // mmap.PAGESIZE)


def test_each_fault_is_counted_as_what_it_is(monkeypatch, capsys):
    monkeypatch.setattr(fuzz, "MOST_BYTES", 1 << 19)
    with tempfile.TemporaryDirectory() as folder:
        odd = Odd(Path(folder))
        found = [fuzz.outcome(odd, case, 0, Path(folder)).what for case in range(7)]
    assert found == [
        *("fine", "refused in one sentence", "message of several lines", "traceback KeyError"),
        *("wrote", "counted what was not read", "over 1 GB"),
    ]
    assert fuzz.reported("odd", map(fuzz.Outcome, range(2), ["fine", "crash"])) == 1
    assert json.dumps(capsys.readouterr().out.splitlines()[-1]).startswith('"odd: 2 cases: 1 fine')
