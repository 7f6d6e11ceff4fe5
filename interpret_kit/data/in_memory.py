"""How are images read that are in memory? Tensors, arrays, data sets and loaders.

They are read once, in order, and kept with 8 bits per channel: a result does not change if a data
set augments its images, or a loader shuffles them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from interpret_kit.data.folders.class_names import numbered
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.pinned import Store
from interpret_kit.data.pixel_sources import Part, ValueScale, is_pixels, part_of
from interpret_kit.data.sources import Images, Rows, as_labels
from interpret_kit.errors import NoImages, NothingThere, UsageError, WrongType
from interpret_kit.models.argument_values import counted, integer, shown
from interpret_kit.models.classes.names import class_names

_IMAGE = ("image", "images", "img", "pixel_values", "pixels")  # keys of a row, or of a batch
_LABEL = ("label", "labels", "fine_label", "target", "targets")
_SPLITS = ("test", "validation", "valid", "val", "train")  # the default is the first that exists


class Columns(NamedTuple):
    """The keys of the image and the label in a row."""

    image: str
    label: str | None


class LabelledItem(NamedTuple):
    """One image and its label, or a batch of both."""

    image: Any
    label: Any = None


def images_in_memory(given: Any, split: str | None, normalized: Any) -> ImageSet | None:
    """Make an image set of an object that holds pixels; None for others, such as a path.

    Args:
        given: a tensor, an array or a PIL image; a list of these, or of (image, label); a data set
            or a loader of torch; a `datasets.Dataset`.
        split: of a `datasets.DatasetDict`.
        normalized: the (mean, std) of a normalisation to undo.

    Raises:
        UsageError: for pixels of another shape or range, or labels that are not classes.
    """
    if _is_splits(given):
        given, split = _picked(given, split), None
    pairs = _pairs(given)
    if pairs is None:
        return None
    source = "arrays" if isinstance(given, np.ndarray) else type(given).__name__
    if split is not None:
        raise UsageError(f"split {split!r} of {source}: it has no splits; omit `split`")
    scale = None if normalized is None else ValueScale(normalized)
    parts: list[Part] = []
    labels: list[int | str] = []
    for pair in pairs:
        part, count = part_of(pair.image, scale, len(labels))
        parts.append(part)
        labels += _labels(pair.label, count, len(labels))
    if not labels:
        raise NoImages(f"the {source} is empty; give at least one image")
    numbers, classes = _numbers(labels, _class_names(given))
    store = _store(parts)
    return ImageSet(store, np.arange(len(store)), numbers, classes, source, notes=_notes(given))


def _pairs(given: Any) -> Iterator[LabelledItem] | None:
    """Yield images and labels, one by one or by batch; None if there are no pixels."""
    if is_pixels(given):
        return iter([LabelledItem(given)])
    if isinstance(given, (str, bytes, Mapping)) or hasattr(given, "__fspath__"):
        return None
    if isinstance(given, tuple) and len(given) == 2 and _is_batch(given[0]):
        return iter([LabelledItem(*given)])
    if isinstance(given, (list, tuple)):
        items: Iterable[Any] = given
        if not given or not _is_item(given[0]):
            return None
    elif hasattr(given, "__getitem__") and hasattr(given, "__len__"):
        items = (
            given[row] for row in range(len(given))
        )  # a data set may not raise IndexError at its end
    elif isinstance(given, Iterable):
        items = given
    else:
        return None
    columns = _columns(given)
    return (_pair(item, columns, number) for number, item in enumerate(items))


def _pair(item: Any, columns: Columns | None, number: int) -> LabelledItem:
    if isinstance(item, Mapping):
        image = columns.image if columns else next((e for e in _IMAGE if e in item), None)
        label = columns.label if columns else next((e for e in _LABEL if e in item), None)
        if image is None:
            raise UsageError(
                f"item {number} has the columns {', '.join(map(str, item))}, but none called "
                f"{' or '.join(_IMAGE)}; rename the column of images"
            )
        return LabelledItem(item[image], None if label is None else item[label])
    if isinstance(item, (list, tuple)) and item and is_pixels(item[0]):
        return LabelledItem(item[0], item[1] if len(item) > 1 else None)
    if is_pixels(item):
        return LabelledItem(item)
    raise WrongType(
        f"item {number} is {shown(item)}; images in memory are tensors, arrays or PIL images, "
        "alone or as (image, label)"
    )


def _labels(given: Any, count: int, first: int) -> list[int | str]:
    """Return the labels of ``count`` images; -1 for none."""
    if given is None:
        return [-1] * count
    several = given.tolist() if hasattr(given, "tolist") else given
    listed = list(several) if isinstance(several, (list, tuple)) else [several]
    if len(listed) != count:
        raise UsageError(
            f"{counted(len(listed), 'label')} for {counted(count, 'image')}: give one for each"
        )
    return [_label(each, first + row) for row, each in enumerate(listed)]


def _label(given: Any, image: int) -> int | str:
    number = integer(given)
    if number is not None:
        return number
    if given is None or isinstance(given, str):
        return -1 if given is None else given
    raise WrongType(
        f"the label of image {image} is {shown(given)}; give a class by index or name, or None"
    )


def _numbers(labels: list[int | str], classes: Any) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels (images,) and the class names that they index."""
    names = () if classes is None else class_names(classes)
    if not any(isinstance(each, str) for each in labels):
        return as_labels(labels, len(labels), len(names)), names
    of_each = [None if each == -1 else str(each) for each in labels]
    numbers, found = numbered(of_each, names)
    unknown = next((e for e, n in zip(of_each, numbers, strict=True) if e and n < 0), None)
    if unknown is not None:
        raise UsageError(f"the label {unknown!r} is not among the classes {shown(names)}")
    return numbers, tuple(found)


def _class_names(given: Any) -> Any:
    """Return the class names of a data set: torchvision's attributes, or those of `datasets`."""
    columns = _columns(given)
    if columns is not None and columns.label is not None:
        return getattr(given.features[columns.label], "names", None)
    for _ in range(9):  # through loaders and subsets
        names = getattr(given, "classes", None) or getattr(given, "class_to_idx", None)
        if isinstance(names, Mapping):
            return names
        if isinstance(names, (list, tuple)):  # in ImageNet, each is a tuple of synonyms
            return [each[0] if isinstance(each, tuple) else each for each in names]
        given = getattr(given, "dataset", None)
    return None


def _columns(given: Any) -> Columns | None:
    """Find the columns of images and labels in a `datasets.Dataset`; None for anything else."""
    features = getattr(given, "features", None)
    if not isinstance(features, Mapping):
        return None
    image = _column(features, "Image", _IMAGE)
    if image is None:
        raise UsageError(f"no column of images among {', '.join(features)}; rename one to image")
    return Columns(image, _column(features, "ClassLabel", _LABEL))


def _column(features: Mapping[str, Any], kind: str, names: Sequence[str]) -> str | None:
    of_kind = (name for name, each in features.items() if type(each).__name__ == kind)
    return next(itertools.chain(of_kind, (each for each in names if each in features)), None)


def _is_splits(given: Any) -> bool:
    splits = list(given.values()) if isinstance(given, Mapping) else []
    return bool(splits) and all(hasattr(each, "features") for each in splits)


def _picked(splits: Mapping[str, Any], split: str | None) -> Any:
    wanted = split or next((each for each in _SPLITS if each in splits), next(iter(splits)))
    if wanted not in splits:
        raise NothingThere(f"no split {wanted!r}; available: {', '.join(splits)}")
    return splits[wanted]


def _store(parts: list[Part]) -> Store:
    arrays = [each for each in parts if isinstance(each, np.ndarray)]
    if len(arrays) == len(parts) and len({each.shape[1:] for each in arrays}) == 1:
        return Rows(np.concatenate(arrays))
    return Images(tuple(image for part in parts for image in _apart(part)))


def _apart(part: Part) -> list[Image.Image]:
    if isinstance(part, Image.Image):
        return [part]
    return [Image.fromarray(each).convert("RGB") for each in part]


def _notes(given: Any) -> tuple[str, ...]:
    """Note that a loader does not keep the order of its data set."""
    sampler = type(getattr(given, "sampler", None)).__name__
    if not sampler.startswith(("Random", "SubsetRandom", "WeightedRandom")):
        return ()
    return (
        "the images are numbered in the order in which the DataLoader, which shuffles, drew them",
    )


def _is_batch(given: Any) -> bool:
    return is_pixels(given) and len(getattr(given, "shape", ())) == 4


def _is_item(given: Any) -> bool:
    if isinstance(given, (list, tuple)):
        return bool(given) and is_pixels(given[0])
    return is_pixels(given) or (isinstance(given, Mapping) and any(e in given for e in _IMAGE))
