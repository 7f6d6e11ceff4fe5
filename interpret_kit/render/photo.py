"""Is there a real photo at hand, without a network?"""

from __future__ import annotations

from pathlib import Path


def sample_photo() -> Path:
    """The photo that matplotlib ships: Grace Hopper in the uniform of the US Navy, a JPEG."""
    from matplotlib.cbook import get_sample_data

    return Path(get_sample_data("grace_hopper.jpg", asfileobj=False))
