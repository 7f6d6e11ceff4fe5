"""Which images do tar and Parquet files contain?"""

from __future__ import annotations

from interpret_kit.data.containers.growing import growing
from interpret_kit.data.containers.listing import ContainerListing
from interpret_kit.data.containers.places import ContainerFiles
from interpret_kit.data.image_set import ImageSet


def images_in(found: ContainerFiles, source: str) -> ImageSet:
    """List the images in tar or Parquet files, up to the first file that contains some.

    Raises:
        NoImages: there are none.
        ClassMismatch: their labels do not fit together.
        UsageError: a Parquet file has no column of images.
    """
    listing = ContainerListing(found)
    while not len(listing.store) and listing.list_next():
        pass
    if listing.done:
        return listing.images(source)
    return growing(listing, source, listing.store)
