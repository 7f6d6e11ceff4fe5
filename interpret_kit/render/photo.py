"""Is there a real photo that needs no download?"""

from __future__ import annotations

from pathlib import Path


def sample_photo() -> Path:
    """Return the photo that matplotlib ships: Grace Hopper in US Navy uniform, a JPEG file."""
    from matplotlib.cbook import get_sample_data

    return Path(get_sample_data("grace_hopper.jpg", asfileobj=False))
