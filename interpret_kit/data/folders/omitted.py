"""Which contents of a folder are not used, and why?

Whatever is or may be an image, a class or a label counts as ``lost``: it is reported, and an error
with ``strict``. Documents and system files are counted, but never an error.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from interpret_kit.errors import UnreadableImage, shortened

MOST_NAMES = 5  # names kept per reason


class Reason(Enum):
    """Why something is not used; from FURTHER on, no image is lost."""

    FORMAT = "images of a format that is not read"
    UNNAMED = "images without an image suffix"
    HIDDEN = "hidden images"
    BIN = "images in folders of thumbnails or deleted files"
    CLOSED = "folders that cannot be opened"
    DAMAGED = "damaged tar or Parquet files"
    SPECIAL = "not regular files"
    EMPTY = "empty folders"
    UNLABELLED = "images without a row in labels.csv"
    STRAY = "rows of labels.csv without a file"
    NOT_A_LABEL = "labels that are neither a number nor a name"
    FURTHER = "additional images of a sample"
    OTHER = "other files"
    LOOP = "links to folders that are listed already"
    SYSTEM = "system files"

    @property
    def loses(self) -> bool:
        """Whether an image, a class or a label may be lost."""
        return self not in (Reason.FURTHER, Reason.OTHER, Reason.LOOP, Reason.SYSTEM)


Note = Callable[[Reason, str], object]
"""A function of the reason and the path or name of something unused."""


@dataclass(frozen=True)
class Omitted:
    """Unused files, folders or rows with the same reason."""

    reason: str  # a value of `Reason`
    count: int  # of files, folders or rows
    names: tuple[str, ...]  # the first few
    lost: bool  # whether an image, a class or a label may be lost by it

    def __str__(self) -> str:
        more = (*self.names, *[""] * (self.count - len(self.names)))
        return f"{self.reason}: {self.count} ({shortened(more, most=min(3, len(self.names)))})"


@dataclass
class Omissions:
    """A counter of what is not used: call it for each, then read `listed`."""

    folder: Path | None = None  # names are relative to it
    names: dict[Reason, list[str]] = field(default_factory=dict)
    counts: dict[Reason, int] = field(default_factory=dict)

    def __call__(self, reason: Reason, name: str) -> None:
        """Count one more."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        if self.counts[reason] <= MOST_NAMES:
            inside = name.removeprefix(f"{self.folder}{os.sep}")
            text = inside.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
            self.names.setdefault(reason, []).append(text)

    def listed(self) -> tuple[Omitted, ...]:
        """All reasons that occurred, first those by which images are lost."""
        return tuple(
            Omitted(each.value, self.counts[each], tuple(self.names[each]), each.loses)
            for each in Reason
            if each in self.counts
        )


def line_of(omitted: Iterable[Omitted]) -> str:
    """Describe what is not used in one line; empty if there are only system files."""
    listed = list(omitted)
    if all(each.reason == Reason.SYSTEM.value for each in listed):
        return ""
    return f"not used: {'; '.join(map(str, listed))}"


def refuse_losses(omitted: Iterable[Omitted], source: str) -> None:
    """Raise an error if something is lost.

    Raises:
        UnreadableImage: with all reasons except documents and system files.
    """
    lost = "; ".join(str(each) for each in omitted if each.lost)
    if lost:
        raise UnreadableImage(
            f"strict: not everything in {source} is used: {lost}; convert or move these files, or "
            "run without strict"
        )
