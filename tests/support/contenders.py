"""What do the tests of `apart` let other processes do? Those import it by this file's name."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def marking(folder: Path, number: int) -> Callable[[], None]:
    """Work that writes down the number and its process."""

    def work() -> None:
        with (folder / "ran").open("a") as ran:
            ran.write(f"{number} {os.getpid()}\n")

    return work


def failing() -> Callable[[], None]:
    """Fails in its preparation."""
    raise ZeroDivisionError("no such network")


def not_compiling() -> Callable[[], None]:
    """Work that fails as torch.compile does where there is no compiler."""

    def work() -> None:
        raise RuntimeError("\nInvalidCxxCompiler: No working C++ compiler found.\n\nSet TORCH_LOGS")

    return work
