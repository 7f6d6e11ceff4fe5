"""Which columns of a Parquet file are the images and the labels? As the Hugging Face Hub has them.

Images are bytes, in a binary column or in a struct with a field ``bytes``; labels are integers or
texts. The names of integer labels are in the ``huggingface`` metadata of the schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from interpret_kit.data.containers.sample_labels import Label, NotALabel, as_label
from interpret_kit.data.folders.omitted import Note, Reason
from interpret_kit.errors import UsageError, shortened

_IMAGES = ("image", "img", "images", "photo", "jpg", "png")  # preferred, if several columns fit
_LABELS = ("label", "labels", "fine_label", "cls", "class", "target")
_LABELS_AT_ONCE = 1 << 16


@dataclass(frozen=True)
class ParquetColumns:
    """What is read of a Parquet file."""

    image: str  # path of the column of bytes, such as "image.bytes"
    label: str | None
    classes: tuple[str, ...]  # what integer labels mean; empty if that is not known
    unused: str = ""  # a column that is called like one of labels, but does not hold them


def columns_of(schema: Any, file: str) -> ParquetColumns:
    """Find the columns by the schema of pyarrow.

    Raises:
        UsageError: no column, or more than one, may hold the images.
    """
    held = dict(_held(schema))
    usual = [each for each in _IMAGES if each in held]
    if not held or (len(held) > 1 and not usual):
        kinds = shortened(f"{each.name} ({each.type})" for each in schema)
        which = "several columns" if held else "no column"
        raise UsageError(
            f"{file} has {which} of image bytes: there are {kinds}; write them to one called "
            "image, as binary or as a struct with the field bytes"
        )
    name = usual[0] if usual else next(iter(held))
    label = next((each for each in _LABELS if each in schema.names), None)
    if label is not None and not _is_label(schema.field(label).type):
        unused = f"{file}: column {label} ({schema.field(label).type})"
        return ParquetColumns(held[name], None, (), unused)
    return ParquetColumns(held[name], label, _class_names(schema, label))


def labels_of_rows(parquet: Any, column: str, file: str, note: Note) -> Iterator[Label]:
    """Yield the labels; values that are none are noted."""
    rows = count()
    for batch in parquet.iter_batches(_LABELS_AT_ONCE, columns=[column], use_threads=False):
        # The values come first: `zip` takes no row number after the last of a batch.
        for value, row in zip(batch.column(0).to_pylist(), rows, strict=False):
            try:
                yield as_label(value)
            except NotALabel:
                note(Reason.NOT_A_LABEL, f"{file}: row {row}")
                yield None


def _held(schema: Any) -> Iterator[tuple[str, str]]:
    """Yield columns that may hold images, with the path of their bytes."""
    for each in schema:
        if _is_binary(each.type):
            yield each.name, each.name
        elif _has_bytes(each.type) and _is_binary(each.type.field("bytes").type):
            yield each.name, f"{each.name}.bytes"


def _has_bytes(kind: Any) -> bool:
    return str(kind).startswith("struct<") and kind.get_field_index("bytes") >= 0


def _is_binary(kind: Any) -> bool:
    return str(kind) in {"binary", "large_binary", "binary_view"}


def _is_label(kind: Any) -> bool:
    name = str(getattr(kind, "value_type", kind) if str(kind).startswith("dictionary") else kind)
    return name in {"string", "large_string", "string_view"} or name.lstrip("u").startswith("int")


def _class_names(schema: Any, label: str | None) -> tuple[str, ...]:
    """Return the names of a ClassLabel of the datasets library; none if there are none."""
    try:
        stored: Any = json.loads((schema.metadata or {}).get(b"huggingface", b"null"))
    except ValueError:
        return ()
    for key in ("info", "features", label, "names"):
        stored = stored.get(key) if isinstance(stored, Mapping) else None
    named = isinstance(stored, list) and all(isinstance(each, str) for each in stored)
    return tuple(stored) if named else ()
