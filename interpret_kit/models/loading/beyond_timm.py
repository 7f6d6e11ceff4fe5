"""Which networks are not timm's? Those of torchvision, and those of a Python file of the user's.

The file is run, as with ``python FILE``: only a file that the user names is.
"""

from __future__ import annotations

import ast
import importlib
import math
import re
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from interpret_kit.errors import (
    NothingThere,
    UsageError,
    WeightsUnavailable,
    WrongType,
    close_files,
    close_names,
)
from interpret_kit.models.argument_values import at_home
from interpret_kit.models.classes.imagenet import imagenet_names
from interpret_kit.models.loading.overrides import Names, Said

if TYPE_CHECKING:
    from types import ModuleType

    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.preprocessing import Preprocessing

TORCHVISION = "torchvision:"
_MADE_BY_FILE = re.compile(r"(.+\.py):(\w+)")
_OWN = ("size", "mean", "std")
_IMAGENET_CLASSES = 1000


@dataclass(frozen=True)
class MadeByFile:
    """A function of a Python file that returns a network, written FILE.py:FUNCTION."""

    file: Path
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.function}"

    def check(self) -> None:
        """Refuse a file or function that is not there, without running the file.

        Raises:
            NothingThere: naming what is there.
        """
        if not self.file.is_file():
            raise NothingThere(f"there is no file {self.file}{close_files(self.file)}")
        there = functions_in(self.file)
        if self.function not in there:
            raise NothingThere(
                f"{self.file} has no function {self.function!r}; "
                f"{close_names(self.function, there)}"
            )


def made_by_file(spec: str | Path | None) -> MadeByFile | None:
    """Read FILE.py:FUNCTION; None if it is something else."""
    found = _MADE_BY_FILE.fullmatch(str(spec))
    return MadeByFile(at_home(found[1]), found[2]) if found else None


def functions_in(file: Path) -> list[str]:
    """List the functions and classes of a Python file, which is not run.

    Raises:
        UsageError: if it is not Python.
    """
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        said = getattr(error, "msg", error)
        raise UsageError(f"{file}{f', line {line}' if line else ''}: {said}") from error
    kinds = (ast.FunctionDef, ast.ClassDef)
    return [each.name for each in tree.body if isinstance(each, kinds)]


def classifier_beyond_timm(spec: str | Path | None, said: Said) -> Classifier | None:
    """Load torchvision:NAME or FILE.py:FUNCTION; None if it is neither."""
    source = made_by_file(spec)
    if source is not None:
        return from_file(source, said)
    if str(spec).startswith(TORCHVISION):
        return from_torchvision(str(spec).removeprefix(TORCHVISION), said)
    return None


def from_file(source: MadeByFile, said: Said) -> Classifier:
    """Call a function of a Python file for its network.

    Args:
        source: the file and the function, which takes no arguments.
        said: the user's settings, unless the function returns a `Classifier`.

    Raises:
        UsageError: if the file cannot be imported, the function raises an error, or a setting is
            missing or does not apply.
        WrongType: if it returns something else.
    """
    from torch import nn

    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.probing.misfits import article

    name = str(source)
    try:
        made = getattr(_imported(source.file), source.function)()
    except Exception as error:
        raise _raised(source, error) from error
    if isinstance(made, Classifier):
        said.refuse_for(f"the classifier that {name} returns")
        made.name = name
        return made
    if not isinstance(made, nn.Module):
        raise WrongType(
            f"{name} returns {article(made)}; return a torch.nn.Module, or an "
            "ik.Classifier with its size, mean, std and classes"
        )
    names = said.classes or Names(())
    given = {each: getattr(said, each) for each in said.options if each in _OWN}
    channels = next((e.in_channels for e in made.modules() if isinstance(e, nn.Conv2d)), 3)
    for each in {"mean", "std"} & given.keys():
        given[each] = given[each] * channels if len(given[each]) == 1 else given[each]
    return Classifier(
        made, classes=names.classes or None, synonyms=names.synonyms, name=name, **given
    )


def _imported(file: Path) -> ModuleType:
    """Import a file by its name, so that processes that continue its work can do so, too."""
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # last: the file takes the place of no other module
    importlib.invalidate_caches()
    module = importlib.import_module(file.stem)
    if Path(module.__file__ or "").resolve() != file.resolve():
        raise UsageError(f"another module is called {file.stem}; rename {file}")
    return module


def _raised(source: MadeByFile, error: Exception) -> UsageError:
    """Say where in the file the error was raised."""
    from interpret_kit.models.checkpoints.weights import first_line

    if isinstance(error, UsageError):
        return error
    own = [
        each.lineno
        for each in traceback.extract_tb(error.__traceback__)
        if Path(each.filename).resolve() == source.file.resolve()
    ]
    line = error.lineno if isinstance(error, SyntaxError) else (own or [None])[-1]
    where = f"{source.file}, line {line}" if line else str(source.file)
    return UsageError(f"{where}: {type(error).__name__}: {first_line(error)}")


def from_torchvision(name: str, said: Said) -> Classifier:
    """Load a network of torchvision with its default weights, preprocessing and class names.

    Raises:
        NothingThere: if torchvision has no such classifier.
        UsageError: for settings, as it has its own.
        WeightsUnavailable: if the weights cannot be downloaded.
    """
    from torchvision import models

    from interpret_kit.models.checkpoints.weights import first_line
    from interpret_kit.models.classifier import Classifier

    said.refuse_for(f"{TORCHVISION}{name}")
    known = models.list_models(module=models)
    if name not in known:
        raise NothingThere(f"torchvision has no classifier {name!r}; {close_names(name, known)}")
    weights = models.get_model_weights(name).DEFAULT
    try:
        network = models.get_model(name, weights=weights)
    except OSError as error:  # urllib's errors are of this class
        raise WeightsUnavailable(
            f"the weights of {TORCHVISION}{name} could not be downloaded ({first_line(error)}); "
            "without a connection, use the embedded model (`ik.load_classifier('embedded')`), a "
            "run folder, or a checkpoint file"
        ) from error
    classes = tuple(weights.meta["categories"])
    names = Names(*imagenet_names()) if len(classes) == _IMAGENET_CLASSES else Names(classes)
    return Classifier(
        network,
        _preprocessing(weights.transforms()),
        names.classes,
        synonyms=names.synonyms,
        name=f"{TORCHVISION}{name}",
    )


def _preprocessing(transform: Any) -> Preprocessing:
    """Translate torchvision's ``ImageClassification``: resize the shorter side, then crop."""
    from interpret_kit.models.preprocessing import Preprocessing

    (cropped,), (resized,) = transform.crop_size, transform.resize_size
    crop = cropped / resized
    if math.floor(cropped / crop) < resized:  # by rounding
        crop = math.nextafter(crop, 0)
    return Preprocessing(
        size=(cropped, cropped),
        mean=tuple(transform.mean),
        std=tuple(transform.std),
        crop=crop,
        interpolation=transform.interpolation.value,
    )
