"""Is a module imported while other work continues, and is its error raised only when it is used?"""

import subprocess
import sys
import threading

import pytest

from interpret_kit.background_imports import importing


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write the code of a module; return its name."""

    def write(name, code):
        (tmp_path / f"{name}.py").write_text(code)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)
        return name

    return write


def test_the_block_runs_while_the_module_is_imported(module):
    # Each waits for the other: one after the other, they would never end.
    name = module("slow_one", "import threading\nthreading.barrier.wait(30)\n")
    threading.barrier = threading.Barrier(2)
    try:
        with importing(name):
            threading.barrier.wait(30)
        assert name in sys.modules
    finally:
        del threading.barrier


def test_what_is_wrong_with_the_module_is_met_where_it_is_needed(module):
    name = module("broken_one", "raise ValueError('broken')\n")
    with importing(name):
        done = True
    assert done
    with pytest.raises(ValueError, match="broken"):
        __import__(name)


def test_an_error_of_the_block_comes_through(module):
    name = module("plain_one", "x = 1\n")
    with pytest.raises(KeyError, match="mine"), importing(name):
        raise KeyError("mine")
    assert name in sys.modules


TORCH = """
import gc, sys
sys.path.insert(0, {folder!r})  # where another torch is: this test is about the collector alone
from interpret_kit.background_imports import importing_torch

gc.set_threshold(10)
before = sum(each["collections"] for each in gc.get_stats())
with importing_torch():
    import torch
    inside = sum(each["collections"] for each in gc.get_stats()) - before
print(inside, gc.isenabled(), gc.get_freeze_count() >= len(torch.objects))
torch.objects.append(torch.objects)
with importing_torch():
    print(gc.isenabled())
"""


def test_what_torch_makes_is_never_searched_for_garbage(tmp_path):
    (tmp_path / "torch.py").write_text("objects = [[] for _ in range(1000)]\n")
    code = TORCH.format(folder=str(tmp_path))
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert run.stdout.split() == ["0", "True", "True", "True"]
