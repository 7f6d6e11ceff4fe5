"""Which tuning decides now? That of a job, else what was measured here, else the shipped one."""

from __future__ import annotations

import os

import torch

from interpret_kit.errors import UsageError
from interpret_kit.incremental.measured.choices import SHIPPED, Tuning, given
from interpret_kit.incremental.measured.kept import kept_or_measured

VARIABLE = "IKIT_TUNING"
FIXED, MEASURED = "fixed", "measured"

_known: list[Tuning] = []  # what this process has read or measured, for one thread


def refuse_other_settings() -> None:
    """Refuse a value of the variable IKIT_TUNING that is not known.

    Raises:
        UsageError: it is set, and neither "fixed" nor "measured".
    """
    setting = os.environ.get(VARIABLE)
    if setting not in (None, "", FIXED, MEASURED):
        raise UsageError(f"{VARIABLE} is {setting!r}; set it to {FIXED} or {MEASURED}")


def tuning_in_force(device: torch.device) -> Tuning:
    """Return the tuning that decides how work on a device is arranged.

    Measures it if no process has done so before: about a second, once for each machine and version
    of torch.

    Raises:
        UsageError: the variable IKIT_TUNING has another value than "fixed" or "measured".
    """
    refuse_other_settings()
    found = given()
    if found is not None:
        return found
    if os.environ.get(VARIABLE) == FIXED or device.type != "cpu":
        return SHIPPED
    if not _known:
        _known.append(kept_or_measured())
    found = _known[0]
    return found if found == SHIPPED else found.for_threads(torch.get_num_threads())
