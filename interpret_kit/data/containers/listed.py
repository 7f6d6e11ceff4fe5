"""What is listed of one tar or Parquet file?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from interpret_kit.data.containers.sample_labels import Label


class Listed(NamedTuple):
    """The labels of the images of a file, in order."""

    labels: Sequence[Label]
    classes: tuple[str, ...] = ()  # that the file names itself
