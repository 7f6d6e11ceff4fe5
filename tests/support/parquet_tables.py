"""Parquet files for tests, as the datasets library of Hugging Face writes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest


def structs(contents: Iterable[bytes]) -> list[dict[str, Any]]:
    """Images as the datasets library stores them."""
    return [{"bytes": each, "path": None} for each in contents]


def write_table(
    path: Path | None,
    columns: Mapping[str, Any],
    names: Sequence[str] | None = None,
    group: int = 4,
    to: Any = None,
) -> Path:
    """Write a Parquet file; ``names`` are those of a ClassLabel of the datasets library."""
    pa = pytest.importorskip("pyarrow", reason="needs interpret-kit[data]")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs interpret-kit[data]")
    table = pa.table(dict(columns))
    if names is not None:
        label = {"label": {"names": list(names), "_type": "ClassLabel"}}
        about = {"huggingface": json.dumps({"info": {"features": label}})}
        table = table.replace_schema_metadata(about)
    parquet.write_table(table, to or path, row_group_size=group)
    return path
