"""Which errors can a user act on? The tree of exceptions.

InterpretError
├── UsageError             arguments that do not fit the model, images or each other (exit code 2)
│   ├── WrongType          an argument of the wrong type
│   ├── LayerNotFound
│   ├── ClassNotFound
│   ├── ClassMismatch      labels that are not the classifier's classes
│   ├── DoesNotFit         a window, stride, size or recipe with an empty result
│   ├── NotSupported       not possible with this model or these images
│   ├── NothingThere       no such file, folder, run or model
│   ├── OutputExists
│   └── JobMismatch        a job folder of another analysis, classifier or images
└── RunError               the run failed (exit code 1)
    ├── UnreadableImage
    ├── NoImages
    ├── BadWeights         a checkpoint of another architecture, NaN weights, pickled code
    ├── WeightsUnavailable no network for the weights of a hub
    ├── TrainingDiverged
    └── CannotWrite

Each message is one line: what is wrong, what there is, and what to write instead. Where Python has
an exception for the same, an error derives from it as well, so that ``except ValueError`` and
``except FileNotFoundError`` work as usual.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from pathlib import Path


class InterpretError(Exception):
    """Base class of all errors that a user can act on."""

    exit_code = 1


class UsageError(InterpretError, ValueError):
    """The arguments do not fit the model, the images or each other."""

    exit_code = 2


class WrongType(UsageError, TypeError):
    """An argument of the wrong type."""


class LayerNotFound(UsageError):
    """The network has no layer of that number or name."""


class ClassNotFound(UsageError):
    """The classifier has no class of that index or name."""


class ClassMismatch(UsageError):
    """The labels of the images are not classes of the classifier."""


class DoesNotFit(UsageError):
    """A window, stride, size or recipe with an empty result."""


class NotSupported(UsageError):
    """An operation that is not possible with this model or these images."""


class NothingThere(UsageError, FileNotFoundError):
    """A file, folder, run or model does not exist."""


class OutputExists(UsageError, FileExistsError):
    """The output folder exists and is not empty."""


class JobMismatch(UsageError):
    """A job cannot be resumed: it was begun with another analysis, classifier or images."""

    def __init__(self, message: str, reasons: Sequence[str] = ()) -> None:
        """Say what differs as a sentence and, in ``reasons``, a clause each."""
        super().__init__(message)
        self.reasons = tuple(reasons)


class RunError(InterpretError):
    """The arguments were valid, but the run failed."""


class UnreadableImage(RunError, OSError):
    """A file is not an image, or is damaged."""


class NoImages(RunError, ValueError):
    """No image could be read, or none has a label."""


class BadWeights(RunError):
    """Weights do not fit the architecture, are not finite, or contain code."""


class WeightsUnavailable(RunError):
    """Pretrained weights could not be downloaded."""


class TrainingDiverged(RunError):
    """The loss is not finite."""


class CannotWrite(RunError):
    """Permission or disk space for the output is missing."""


def close_names(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """List the closest of the ``known`` names, for the end of an error message.

    >>> close_names("conv33", ["conv3", "fc"])
    'similar names: conv3'
    """
    by_folded = {str(each).casefold(): str(each) for each in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=most)
    if close:
        return "similar names: " + ", ".join(by_folded[each] for each in close)
    return "available: " + shortened(by_folded.values())


def shortened(names: Iterable[str], *, most: int = 8) -> str:
    """Join names with commas; after ``most`` of them, give the number of the others."""
    listed = list(names)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return (", ".join(listed[:most]) or "none") + rest


def close_files(path: Path, also: Sequence[str] = ()) -> str:
    """List files with names similar to a missing path, for the end of an error message.

    If there are none, list what its folder holds.

    Args:
        path: the missing path.
        also: what else might have been meant, such as the names of data sets; then "" if no name
            is similar.
    """
    try:
        beside = [each.name for each in path.parent.iterdir()]
    except (OSError, ValueError):  # the folder does not exist either, or cannot be read
        return ""
    close = difflib.get_close_matches(path.name, [*also, *beside])
    names = [each if each in also else str(path.parent / each) for each in close]
    if names or also:
        return f"; similar names: {', '.join(names)}" if names else ""
    folder = "the current folder" if path.parent == Path() else str(path.parent)
    visible = sorted(each for each in beside if not each.startswith("."))
    state = f"holds {shortened(visible, most=4)}" if visible else "is empty"
    return f"; check the path: {folder} {state}"
