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
    """Return types, beside torch's own, that only hold data, with their names in pickles.

    Trainers save their settings and scores in them: timm a Namespace, others paths and NumPy
    scalars.
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
    """Stand in for a defaultdict, which torch does not restore."""
    return {}


def _paths() -> list[tuple[Callable[..., Any], str]]:
    """Return path types of any system: pure paths, which can be created on every system."""
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
    """Return NumPy scalars and arrays, under their names in NumPy 1 and 2."""
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
