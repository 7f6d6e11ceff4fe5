"""What can go wrong that a user can act on, drawn as a tree.

InterpretError
├── UsageError             what was asked does not fit what there is (exit code 2)
│   ├── WrongType          an argument of a type that is not read
│   ├── LayerNotFound
│   ├── ClassNotFound
│   ├── ClassMismatch      class folders that are not the classifier's classes
│   ├── DoesNotFit         a window, stride, size or recipe that leaves nothing
│   ├── NotSupported       possible in principle, not with this model or these images
│   ├── NothingThere       no such file, folder, run or model
│   └── OutputExists
└── RunError               the run failed (exit code 1)
    ├── UnreadableImage
    ├── NoImages
    ├── BadWeights         a checkpoint of another architecture, NaN weights, pickled code
    ├── WeightsUnavailable no network for the weights of a hub
    ├── TrainingDiverged
    └── CannotWrite

Each message is one line: what was asked, what there is, what to type next. Where Python has an
exception for the same, an error derives from it as well, so that ``except ValueError`` and
``except FileNotFoundError`` catch what their callers expect.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class InterpretError(Exception):
    """Anything a user can act on; catch this to catch them all."""

    exit_code = 1


class UsageError(InterpretError, ValueError):
    """What was asked does not fit what there is."""

    exit_code = 2


class WrongType(UsageError, TypeError):
    """An argument of a type that is not read."""


class LayerNotFound(UsageError):
    """No layer of that number or name."""


class ClassNotFound(UsageError):
    """No class of that index or name."""


class ClassMismatch(UsageError):
    """The labels of the images are not classes of the classifier."""


class DoesNotFit(UsageError):
    """A window, stride, size or recipe that leaves nothing."""


class NotSupported(UsageError):
    """Possible in principle, but not with this model or these images."""


class NothingThere(UsageError, FileNotFoundError):
    """No such file, folder, run or model."""


class OutputExists(UsageError, FileExistsError):
    """The output folder holds something already."""


class RunError(InterpretError):
    """The run was well asked for, and failed."""


class UnreadableImage(RunError, OSError):
    """A file that is not an image, or a broken one."""


class NoImages(RunError, ValueError):
    """Not one image could be read, or none has what is needed."""


class BadWeights(RunError):
    """Weights that do not fit, are not finite, or carry code."""


class WeightsUnavailable(RunError):
    """Pretrained weights that could not be fetched."""


class TrainingDiverged(RunError):
    """A loss that is no longer a number."""


class CannotWrite(RunError):
    """No permission, or no space, where the output should go."""


def close_names(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """Name the closest of the ``known`` names, for the end of an error message.

    >>> close_names("conv33", ["conv3", "fc"])
    'close names: conv3'
    """
    by_folded = {str(each).casefold(): str(each) for each in known}
    close = difflib.get_close_matches(name.casefold(), by_folded, n=most)
    if close:
        return "close names: " + ", ".join(by_folded[each] for each in close)
    return "there are: " + shortened(by_folded.values())


def shortened(names: Iterable[str], *, most: int = 8) -> str:
    """Join names with commas; past ``most`` of them, say how many more there are."""
    listed = list(names)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return (", ".join(listed[:most]) or "none") + rest


def close_files(path: Path) -> str:
    """What lies beside a path that is not there and is called nearly so, for an error message."""
    try:
        beside = [each.name for each in path.parent.iterdir()]
    except (OSError, ValueError):  # no such folder either, or not to be read
        return ""
    close = difflib.get_close_matches(path.name, beside)
    return f"; close names: {', '.join(str(path.parent / each) for each in close)}" if close else ""
