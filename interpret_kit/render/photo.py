"""Which real photos need no download? Those that libraries install beside their code."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class SamplePhoto:
    """A photo that a library ships, and the ImageNet class of what it shows."""

    library: str  # the package that ships it
    file: str  # below the folder of the package
    label: str
    credit: str

    @property
    def path(self) -> Path | None:
        """Where the photo is; None if the library is not installed."""
        found = find_spec(self.library)  # which does not import it
        folders = (found and found.submodule_search_locations) or ()
        return next((there for each in folders if (there := Path(each, self.file)).is_file()), None)


_MATPLOTLIB = "mpl-data/sample_data/"
SAMPLES = (
    SamplePhoto("matplotlib", f"{_MATPLOTLIB}grace_hopper.jpg", "military uniform", "US Navy"),
    SamplePhoto("skimage", "data/coffee.png", "espresso", "Rachel Michetti, CC0"),
    SamplePhoto("skimage", "data/chelsea.png", "tiger cat", "Stéfan van der Walt, CC0"),
    SamplePhoto("skimage", "data/camera.png", "tripod", "Lav Varshney, CC0"),
    SamplePhoto("skimage", "data/motorcycle_left.png", "moped", "Middlebury stereo benchmark"),
    SamplePhoto("skimage", "data/rocket.jpg", "missile", "SpaceX, public domain"),
    SamplePhoto("sklearn", "datasets/images/china.jpg", "palace", "danielbuechele, CC BY 2.0"),
    SamplePhoto("sklearn", "datasets/images/flower.jpg", "daisy", "vultilion, CC BY 2.0"),
)


def sample_photo() -> Path:
    """Return the photo that matplotlib ships: Grace Hopper in US Navy uniform, a JPEG file.

    Raises:
        FileNotFoundError: if matplotlib was installed without its sample data.
    """
    found = SAMPLES[0].path
    if found is None:
        raise FileNotFoundError(f"matplotlib was installed without {SAMPLES[0].file}")
    return found


def sample_photos() -> tuple[SamplePhoto, ...]:
    """Return the photos that are installed, at most eight.

    One is matplotlib's; the others come with ``pip install 'interpret-kit[demo]'``.
    """
    return tuple(each for each in SAMPLES if each.path is not None)
