"""Which images do tar and Parquet files contain, and in which order? That of the files."""

from __future__ import annotations

import numpy as np

from interpret_kit.data.containers.places import ContainerFiles
from interpret_kit.data.containers.sample_labels import LabelColumn, classes_beside
from interpret_kit.data.containers.tar_images import tar_images
from interpret_kit.data.containers.tar_store import TarStore
from interpret_kit.data.decoding.formats import suffixes
from interpret_kit.data.folders.omitted import Omissions, Reason, line_of
from interpret_kit.data.image_set import ImageSet
from interpret_kit.errors import NoImages, UnreadableImage, shortened


def images_in(found: ContainerFiles, source: str) -> ImageSet:
    """List the images in tar files.

    Raises:
        NoImages: there are none.
        ClassMismatch: their labels do not fit together.
    """
    listing = TarListing(found)
    while listing.list_next():
        pass
    return listing.images(source)


class TarListing:
    """The images of tar files, listed file by file."""

    def __init__(self, found: ContainerFiles) -> None:
        self.found, self.store = found, TarStore(found)
        self.labels = LabelColumn(classes_beside(found.addresses[0]))
        self.omissions = Omissions()
        self.listed = 0  # files

    def list_next(self) -> bool:
        """List the next file; return whether there was one."""
        if self.listed == len(self.found.addresses):
            return False
        number, self.listed = self.listed, self.listed + 1
        name = self.store.file_names[number]
        try:
            images = tar_images(self.store.files, number, name, self.omissions)
        except UnreadableImage as error:
            self.omissions(Reason.DAMAGED, f"{name}, as {error}")
            images = []
        self.store.add_file(images)
        for each in images:
            self.labels.add(each.label, f"{name}: {each.name}")
        return True

    def images(self, source: str) -> ImageSet:
        """Return all that is listed.

        Raises:
            NoImages: that is nothing.
        """
        omitted = self.omissions.listed()
        if not len(self.store):
            line = line_of(omitted)
            raise NoImages(
                f"{source} contains no images ({shortened(suffixes(), most=6)})"
                f"{line and f'; {line}'}"
            )
        labels, classes = self.labels.labels()
        return ImageSet(
            self.store,
            np.arange(len(self.store)),
            labels,
            tuple(classes),
            source,
            self.found.split,
            omitted=omitted,
            notes=self.labels.notes(),
        )
