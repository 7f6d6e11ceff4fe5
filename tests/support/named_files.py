"""Which files stand for a folder of images, by their names alone?"""

from __future__ import annotations

from pathlib import Path

from PIL import Image


def make(folder: Path, *names: str) -> Path:
    """Make files of these names; those that end in .png are images, the others text."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".png":
            Image.new("RGB", (2, 2)).save(path)
        else:
            path.write_text("something else")
    return folder
