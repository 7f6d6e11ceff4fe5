"""Which images are meant? A path, several files, or the name of a data set."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from interpret_kit.data import torchvision_sets as published
from interpret_kit.data.folders.listing import Listing, list_files, list_folder
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.paths import at_home, given_paths, is_there
from interpret_kit.data.sources import Files, Rows
from interpret_kit.errors import NoImages, UsageError

Paths = str | bytes | os.PathLike[str] | os.PathLike[bytes]
Spec = Paths | Iterable[Paths] | ImageSet


def load_images(spec: Spec, split: str | None = None) -> ImageSet:
    """Find images: in a file, several files or a folder, or a data set by name.

    Args:
        spec: a path, several files, an `ImageSet` (returned as it is), or as text "shapes" or
            one of `torchvision_sets.NAMES`, such as "cifar10". A folder called so: "./shapes".
        split: train, val or test, where there are such; test unless told.
    """
    if isinstance(spec, ImageSet):
        return spec
    paths = given_paths(spec)
    if not paths:
        raise NoImages("no images were given; give a file, a folder, or 'shapes'")
    if len(paths) > 1:
        return _from_files([at_home(each) for each in paths], split, f"{len(paths)} files")
    from interpret_kit.data import torchvision_sets as published

    (only,) = paths
    path = at_home(only)
    name = only.casefold() if isinstance(only, str) else ""  # a Path is never a data set's name
    if name == "shapes":
        return _shapes(split)
    if name in published.NAMES:
        return _published(name, split)
    if is_there(path) and path.is_dir():
        listing = list_folder(path, split)
        seen_through = listing.folder not in (None, path)
        return _from_listing(listing, str(listing.folder if seen_through else only))
    if not is_there(path):
        raise published.no_such_data(str(only))
    return _from_files([path], split, str(only))


def _from_files(paths: Sequence[Path], split: str | None, source: str) -> ImageSet:
    if split is not None:
        raise UsageError(f"split {split!r} of {source}: only a folder has splits; omit --split")
    return _from_listing(list_files(paths), source)


def _from_listing(listing: Listing, source: str) -> ImageSet:
    files = Files(listing.paths, listing.names)
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
