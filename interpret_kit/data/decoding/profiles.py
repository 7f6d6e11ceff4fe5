"""Do the values of an image mean sRGB colours?

Networks are trained on the values as stored: timm and torchvision do not apply embedded colour
profiles. Neither does the decoder, but it adds a note if a profile would change the colours.
"""

from __future__ import annotations

import io
from functools import lru_cache

import numpy as np
from PIL import Image

_TOLERANCE = 6  # levels out of 255, by which roundings and versions of sRGB profiles differ
_MOST_BYTES = 4 << 20  # the largest profiles, of printers, have 3 MB
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}  # of Pillow, by the profile's colour space


@lru_cache(maxsize=16)
def profile_note(profile: bytes) -> str | None:
    """Note that an embedded profile is not applied; None if it is equivalent to sRGB."""
    try:
        return _note(profile) if len(profile) <= _MOST_BYTES else None
    except ImportError:  # a Pillow without colour management
        return None


def _note(profile: bytes) -> str | None:
    from PIL import ImageCms

    try:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        name = " ".join(ImageCms.getProfileDescription(opened).split()) or "without a name"
        shown = _probe(_MODES[opened.profile.xcolor_space.strip()])
        srgb = ImageCms.createProfile("sRGB")
        meant = ImageCms.profileToProfile(shown, opened, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, KeyError, ValueError):
        return None  # damaged, or of another colour space: viewers ignore it, too
    assert meant is not None
    difference = np.abs(np.asarray(meant, np.int64) - np.asarray(shown.convert("RGB"), np.int64))
    if difference.max() <= _TOLERANCE:
        return None
    return (
        f"an embedded colour profile that is not sRGB ({name}) is not applied; the values are used "
        "as stored, as when timm and torchvision train a network"
    )


def _probe(mode: str) -> Image.Image:
    """Return colours from the whole colour space: a grid of 5 levels per channel."""
    bands = len(Image.new(mode, (1, 1)).getbands())
    levels = np.linspace(0, 255, 5).round().astype(np.uint8)
    grid = np.stack(np.meshgrid(*[levels] * bands, indexing="ij"), axis=-1).reshape(1, -1, bands)
    return Image.frombytes(mode, (grid.shape[1], 1), np.ascontiguousarray(grid).tobytes())
