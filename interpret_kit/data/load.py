"""Which images are meant? Files, the name of a data set, or what is in memory already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from interpret_kit.data import torchvision_sets as published
from interpret_kit.data.containers.load import images_in
from interpret_kit.data.containers.opening import is_url
from interpret_kit.data.containers.places import container_files, kind_of_container
from interpret_kit.data.folders.listing import Listing, list_files, list_folder
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.in_memory import images_in_memory
from interpret_kit.data.paths import are_paths, given_paths, is_there
from interpret_kit.data.sources import Files, Rows
from interpret_kit.errors import NoImages, UsageError, WrongType
from interpret_kit.models.argument_values import at_home, called_as, shown

Paths = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Spec = Paths | Iterable[Any] | ImageSet | Any  # what `load_images` takes


@called_as("ik.load_images('photos/')")
def load_images(
    spec: Spec, split: str | None = None, *, normalized: tuple[Any, Any] | None = None
) -> ImageSet:
    """Find images: in a file, several files or a folder, a data set by name, or in memory.

        load_images("photos/")
        load_images(pixels)  # a tensor (images, 3, height, width) in [0, 1]
        load_images(loader, normalized=((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))

    Args:
        spec: a path, several files, an `ImageSet` (returned as it is), or as text "shapes" or
            one of `torchvision_sets.NAMES`, such as "cifar10". For a folder of that
            name, write "./shapes".
            In memory: a tensor, an array, a PIL image, or a list of these, alone or as (image,
            label); a torch Dataset or DataLoader; a `datasets.Dataset`. These are read once and
            kept with 8 bits per channel.
        split: train, val or test, if there are splits; by default test.
        normalized: the (mean, std) by which float pixels in memory were normalised, to undo it.

    Raises:
        NothingThere: if there is no such path, data set or split.
        UsageError: if these are not images, or pixels have another shape or range.
    """
    if not (split is None or isinstance(split, str)):
        raise WrongType(f"`split` is {shown(split)}; give `split='train'`, 'val' or 'test'")
    if isinstance(spec, ImageSet):
        return spec
    if isinstance(spec, Iterator):
        spec = list(spec)
    images = None if are_paths(spec) else images_in_memory(spec, split, normalized)
    if images is not None:
        return images
    if normalized is not None:
        raise UsageError("normalized is for float pixels in memory, and files have none; omit it")
    return _at(given_paths(spec), split)


def is_found_at_once(spec: Spec) -> bool:
    """Whether `load_images` takes no time, or at once sees that there is nothing: files by name.

    Folders are listed, data sets drawn or downloaded, and tar and Parquet files read.
    """
    paths = given_paths(spec)
    if len(paths) == 1 and str(paths[0]).casefold() in {"shapes", *published.NAMES}:
        return False
    local = [at_home(each) for each in paths if kind_of_container(str(each)) is None]
    return len(local) == len(paths) and not any(
        is_url(str(each)) or (is_there(each) and each.is_dir()) for each in local
    )


def _at(paths: Sequence[str | Path], split: str | None) -> ImageSet:
    """The images at these paths; one alone may be the name of a data set."""
    if not paths:
        raise NoImages("no images were given; give a file, a folder, or 'shapes'")
    only, source = paths[0], str(paths[0]) if len(paths) == 1 else f"{len(paths)} files"
    name = only.casefold() if isinstance(only, str) and len(paths) == 1 else ""
    if name == "shapes":  # a Path is never a data set's name
        return _shapes(split)
    if name in published.NAMES:
        return _published(name, split)
    containers = container_files(paths, split)
    if containers is not None:
        return images_in(containers, source)
    if len(paths) > 1:
        return _from_files([at_home(each) for each in paths], split, source)
    path = at_home(only)
    if is_there(path) and path.is_dir():
        listing = list_folder(path, split)
        seen_through = listing.folder not in (None, path)
        return _from_listing(listing, str(listing.folder if seen_through else only))
    if not is_there(path):
        raise published.no_such_data(str(only))
    return _from_files([path], split, source)


def _from_files(paths: Sequence[Path], split: str | None, source: str) -> ImageSet:
    if split is not None:
        raise UsageError(
            f"`split` is {split!r}, but only a folder has splits, and {source} is not a folder; "
            "omit `split`"
        )
    return _from_listing(list_files(paths), source)


def _from_listing(listing: Listing, source: str) -> ImageSet:
    files = Files(listing.root, listing.names)
    ids = np.arange(len(files))
    return ImageSet(
        files,
        ids,
        listing.labels,
        listing.classes,
        source,
        listing.split,
        omitted=listing.omitted,
        notes=listing.notes,
        presumed=listing.presumed,
    )


def _shapes(split: str | None) -> ImageSet:
    from interpret_kit.data.shapes import shape_images

    split = {"valid": "val", "validation": "val"}.get(split or "test", split or "test")
    drawn = shape_images(split)
    ids = np.arange(len(drawn.labels))
    return ImageSet(
        Rows(drawn.pixels), ids, drawn.labels, drawn.names, "shapes", split, drawn.boxes
    )


def _published(name: str, split: str | None) -> ImageSet:
    split = split or "test"
    data = published.load_published(name, split)
    ids = np.arange(len(data.labels))
    return ImageSet(Rows(data.pixels), ids, data.labels, data.classes, name, split)
