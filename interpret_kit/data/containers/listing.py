"""Which images do tar and Parquet files contain, and in which order? That of the files."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from interpret_kit.data.containers.parquet_store import ParquetStore
from interpret_kit.data.containers.places import TAR, ContainerFiles
from interpret_kit.data.containers.sample_labels import LabelColumn, Listed, classes_beside
from interpret_kit.data.containers.tar_store import TarStore
from interpret_kit.data.decoding.formats import suffixes
from interpret_kit.data.folders.omitted import Note, Omissions, Reason, line_of
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.pinned import Store
from interpret_kit.errors import NoImages, UnreadableImage, shortened


class ContainerStore(Store, Protocol):
    """The images of tar or Parquet files, which are listed file by file."""

    @property
    def file_names(self) -> tuple[str, ...]:
        """What the files are called."""

    def add_file(self, note: Note) -> Listed:
        """List the next file, which counts as listed even if this raises `UnreadableImage`."""


class ContainerListing:
    """The images of tar or Parquet files, listed file by file."""

    def __init__(self, found: ContainerFiles) -> None:
        self.found = found
        self.store: ContainerStore = (TarStore if found.kind == TAR else ParquetStore)(found)
        self.labels = LabelColumn(classes_beside(found.addresses[0]))
        self.omissions = Omissions()
        self.listed = 0  # files

    def list_next(self) -> bool:
        """List the next file; return whether there was one."""
        if self.done:
            return False
        name, first = self.store.file_names[self.listed], len(self.store)
        self.listed += 1
        try:
            labels, classes = self.store.add_file(self.omissions)
        except UnreadableImage as error:
            self.omissions(Reason.DAMAGED, f"{name}, as {error}")
            return True
        if classes:
            self.labels.name_classes(classes, name)
        for image, label in enumerate(labels, first):
            self.labels.add(label, self.store.name(image))
        return True

    @property
    def done(self) -> bool:
        """Whether all files are listed."""
        return self.listed == len(self.found.addresses)

    def images(self, source: str, start: int = 0, stop: int | None = None) -> ImageSet:
        """Return what is listed, or some of it by position.

        Raises:
            NoImages: nothing is.
        """
        omitted = self.omissions.listed()
        if not len(self.store):
            line = line_of(omitted)
            raise NoImages(
                f"{source} contains no images ({shortened(suffixes(), most=6)})"
                f"{line and f'; {line}'}"
            )
        labels, classes = self.labels.labels(start, stop)
        return ImageSet(
            self.store,
            np.arange(start, start + len(labels)),
            labels,
            tuple(classes),
            source,
            self.found.split,
            omitted=omitted,
            notes=self.labels.notes(),
        )
