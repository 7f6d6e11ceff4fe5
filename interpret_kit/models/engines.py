"""How are outputs computed of inputs that differ in a window, or in one ablated filter?

By full forward passes, or incrementally: both give the same numbers.
"""

from __future__ import annotations

from interpret_kit.errors import NotSupported
from interpret_kit.models.argument_values import word_argument

AUTO, FULL, INCREMENTAL = "auto", "full", "incremental"
ENGINES = (AUTO, FULL, INCREMENTAL)

engine_argument = word_argument(*ENGINES)


def not_incremental(reason: object) -> NotSupported:
    """Make the error for engine="incremental" where only full forward passes can be used."""
    return NotSupported(
        f"`engine='incremental'` is not available: {reason}; use `engine='auto'` or "
        "`engine='full'`, "
        "which give the same results"
    )
