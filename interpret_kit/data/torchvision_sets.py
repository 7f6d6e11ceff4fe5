"""Which published data sets can be loaded by name?

They come from torchvision, which downloads each once into ``IKIT_CACHE`` (by default
``~/.cache/interpret_kit``); after that no network is needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from interpret_kit.data.containers.opening import is_url
from interpret_kit.data.containers.places import kind_of_container
from interpret_kit.data.paths import is_there, missing_file
from interpret_kit.errors import NothingThere, RunError, UsageError, close_files, shortened
from interpret_kit.models.argument_values import at_home, shown


class Published(NamedTuple):
    """One split of a published data set."""

    pixels: NDArray[np.uint8]  # (images, height, width, 3) RGB or (images, height, width) gray
    labels: NDArray[np.int64]  # (images,)
    classes: tuple[str, ...]


# name -> (torchvision's name, the arguments that say which split)
_DATA_SETS: dict[str, tuple[str, Callable[[str], dict[str, Any]]]] = {
    "cifar10": ("CIFAR10", lambda split: {"train": split == "train"}),
    "cifar100": ("CIFAR100", lambda split: {"train": split == "train"}),
    "mnist": ("MNIST", lambda split: {"train": split == "train"}),
    "fashionmnist": ("FashionMNIST", lambda split: {"train": split == "train"}),
    "svhn": ("SVHN", lambda split: {"split": split}),
    "stl10": ("STL10", lambda split: {"split": split}),
}
NAMES = tuple(_DATA_SETS)


def cache_folder() -> Path:
    """Return the folder of the downloads.

    Raises:
        RunError: if the user has no home folder.
    """
    named = os.environ.get("IKIT_CACHE") or "~/.cache/interpret_kit"
    try:
        return Path(named).expanduser()
    except RuntimeError:  # as in a container without HOME, for an unknown user
        raise RunError(
            f"{named} cannot be found, as there is no home folder; set IKIT_CACHE to a folder"
        ) from None


def load_published(name: str, split: str = "test") -> Published:
    """Load a data set from the cache, or download it.

    Raises:
        NothingThere: if it has no such split.
        RunError: if it is not in the cache and could not be downloaded.
    """
    if split not in ("train", "test"):
        raise NothingThere(f"no split {split!r} in {name}; available: test, train")
    try:
        data = _torchvision(name, split)
    except ImportError as error:
        raise RunError(f"reading {name} needs {error.name}: pip install {error.name}") from error
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RunError(
            f"could not download {name} into {cache_folder()} ({reason}); without a network "
            "connection, use 'shapes' or a folder of your own images"
        ) from error
    labels = np.asarray(data.targets if hasattr(data, "targets") else data.labels, np.int64)
    classes = tuple(getattr(data, "classes", map(str, range(10))))
    return Published(_channels_last(np.asarray(data.data)), labels, classes)


def _torchvision(name: str, split: str) -> Any:
    from torchvision import datasets

    kind, arguments = _DATA_SETS[name]
    make, folder = getattr(datasets, kind), cache_folder() / name
    try:
        return make(folder, download=False, **arguments(split))
    except RuntimeError:  # missing or incomplete
        return make(folder, download=True, **arguments(split))


def _channels_last(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    first = pixels.ndim == 4 and pixels.shape[1] == 3 and pixels.shape[3] != 3
    return np.ascontiguousarray(pixels.transpose(0, 2, 3, 1)) if first else pixels


def check_trainable(spec: str) -> None:
    """Refuse training images that are neither a folder nor a data set, without reading them.

    Raises:
        NothingThere: with similar names.
        UsageError: if it is a file.
    """
    if spec.casefold() in ("shapes", *NAMES):
        return
    if is_url(spec) or kind_of_container(spec):
        raise UsageError(
            f"{spec} cannot be trained on: training needs a folder with one folder of images per "
            "class; tar and Parquet files and URLs are for the analyses"
        )
    if not is_there(at_home(spec)):
        raise no_such_data(spec)
    if not at_home(spec).is_dir():
        raise UsageError(
            f"{spec} is a file; training needs a folder with one folder of images per class"
        )


def no_such_data(spec: str) -> NothingThere:
    """Make the error for what is neither a path nor a data set, with similar names."""
    path, sets = at_home(spec), ("shapes", *NAMES)
    if path.name != spec or path.suffix:
        return missing_file(path)
    close = close_files(path, also=sets) or (
        f"; give a file, a folder of images, or one of the data sets {shortened(sets)}"
    )
    return NothingThere(f"no file, folder or data set {shown(spec)}{close}")
