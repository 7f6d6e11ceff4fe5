"""The same 17 images of noise, of five classes, in class folders, in tar and in Parquet files."""

from __future__ import annotations

from pathlib import Path

from networks_on_paper import CLASSES, noise
from parquet_tables import structs, write_table
from tar_files import png, write_tar

from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images

ORDER = sorted(range(17), key=lambda number: (number % 5, number))  # as a folder is listed


def in_folder(root: Path) -> ImageSet:
    """As files in class folders."""
    photos = noise(17)
    for number in ORDER:
        place = root / "folder" / CLASSES[number % 5] / f"{number:02}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(png(photos[number]))
    return load_images(root / "folder")


def in_tars(root: Path) -> ImageSet:
    """In four tar files of at most five."""
    photos = noise(17)
    (root / "tars").mkdir()
    for part in range(4):
        members = []
        for number in ORDER[5 * part : 5 * part + 5]:
            members.append((f"{number:02}.png", png(photos[number])))
            members.append((f"{number:02}.cls", CLASSES[number % 5].encode()))
        write_tar(root / "tars" / f"train-{part:03}.tar", members)
    return load_images(root / "tars" / "train-{000..003}.tar")


def in_parquet(root: Path) -> ImageSet:
    """In two Parquet files of 3 row groups."""
    photos = noise(17)
    (root / "hub" / "data").mkdir(parents=True)
    for part, chosen in enumerate([ORDER[:9], ORDER[9:]]):
        columns = {
            "image": structs(png(photos[number]) for number in chosen),
            "label": [number % 5 for number in chosen],
        }
        write_table(root / "hub" / "data" / f"train-{part}.parquet", columns, CLASSES)
    return load_images(root / "hub")
