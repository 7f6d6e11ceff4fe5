"""Which types in a pickle only hold data?"""

from __future__ import annotations

import argparse
import datetime
import pathlib
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch


@cache
def plain_types() -> tuple[tuple[Callable[..., Any], str], ...]:
    """Types beside torch's own that hold data and do nothing, with the names pickles have for them.

    Trainers keep their settings and scores in them: timm a Namespace, others paths and NumPy's
    numbers.
    """
    version: Any = type(torch.__version__)
    plain: list[Any] = [argparse.Namespace, types.SimpleNamespace, torch.Size, version]
    plain += [list, dict, set, frozenset, tuple, int, float, str, bool, complex]
    plain += [datetime.datetime, datetime.date, datetime.time, datetime.timedelta]
    plain += [datetime.timezone]
    named = [(each, f"{each.__module__}.{each.__qualname__}") for each in plain]
    named.append((_empty_dict, "collections.defaultdict"))
    return (*named, *_paths(), *_numpy_types())


def _empty_dict(*_factory: object) -> dict[Any, Any]:
    """Stand for a defaultdict, which torch does not fill."""
    return {}


def _paths() -> list[tuple[Callable[..., Any], str]]:
    """Paths of any system, which all can be made on any system, as they open nothing."""
    return [
        (kind, f"{module}.{name}")
        for module in ("pathlib", "pathlib._local")
        for kind, names in (
            (pathlib.PurePosixPath, ("PosixPath", "PurePosixPath", "Path", "PurePath")),
            (pathlib.PureWindowsPath, ("WindowsPath", "PureWindowsPath")),
        )
        for name in names
    ]


def _numpy_types() -> list[tuple[Callable[..., Any], str]]:
    """Numbers and arrays of NumPy, under the names that its versions 1 and 2 give them."""
    number: Any = np.float64(0).__reduce__()[0]
    array: Any = np.zeros(0).__reduce__()[0]
    found: list[tuple[Callable[..., Any], str]] = [
        (np.dtype, "numpy.dtype"),
        (np.ndarray, "numpy.ndarray"),
    ]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        found += [(number, f"{module}.scalar"), (array, f"{module}._reconstruct")]
    kinds = {type(np.dtype(each)) for each in "?bhilqBHILQefdgFDSUV"}
    return found + [(each, f"numpy.dtypes.{each.__name__}") for each in kinds]
