"""Is there a labelled data set, with known object boxes, that needs no download?

Each image shows one object: one of 11 shapes in one of 3 textures, hence 33 classes. Position,
size, angle and colours, and the background, are drawn independently of the class: only the object
determines the class, so the explanation of a decision must lie in its box.

The images are identical on every machine: integers from a seed, and only arithmetic whose rounding
IEEE 754 defines (no sine, no matrix library, no drawing library).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from interpret_kit.errors import DoesNotFit, UsageError, close_names

SIZE = 64
"""Height and width of every image, in pixels."""

PER_CLASS = {"train": 300, "val": 30, "test": 30}
"""The splits, and their default number of images per class."""

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Levels = NDArray[np.int16]  # gray levels, 0 to 255 and a little room


@dataclass(frozen=True)
class ShapeSplit:
    """One split of the generated images, classes in turn: 0, 1, ..., 32, 0, 1, ..."""

    pixels: NDArray[np.uint8]  # (images, height, width, 3), RGB
    labels: NDArray[np.int64]  # (images,), the index into names
    boxes: NDArray[np.int64]  # (images, 4): x0, y0, x1, y1, half open; tight around the object
    names: tuple[str, ...]  # the 33 classes, such as "striped star"


def shape_images(split: str = "test", per_class: int | None = None, seed: int = 0) -> ShapeSplit:
    """Generate a split; image ``i`` does not depend on the number of images.

    Images are drawn from ``(seed, split, i)`` alone, so no image is in two splits.
    """
    if split not in PER_CLASS:
        raise UsageError(f"no split {split!r} in shapes; {close_names(split, PER_CLASS)}")
    per_class = PER_CLASS[split] if per_class is None else per_class
    if per_class < 1 or seed < 0:
        raise DoesNotFit(
            f"{per_class} images per class from seed {seed}: "
            "there must be at least 1 image, and the seed must not be negative"
        )
    labels = np.arange(per_class * len(NAMES)) % len(NAMES)
    pixels = np.empty((len(labels), SIZE, SIZE, 3), np.uint8)
    boxes = np.empty((len(labels), 4), np.int64)
    for image, label in enumerate(labels):
        key = (list(PER_CLASS).index(split), image)
        generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
        pixels[image], mask = draw_shape(int(label), generator)
        boxes[image] = tight_box(mask)
    return ShapeSplit(pixels, labels, boxes, NAMES)


def draw_shape(label: int, generator: np.random.Generator) -> tuple[NDArray[np.uint8], Mask]:
    """Draw one image of a class: pixels (height, width, 3) and the mask of the object.

    Background, pose and colours are drawn first and in the same way for every class.
    """
    canvas, base = _background(generator)
    u, v, radius = _pose(generator)
    colours = _colours(generator, base)
    shape, texture = list(SHAPES)[label // len(TEXTURES)], list(TEXTURES)[label % len(TEXTURES)]
    mask = SHAPES[shape](u / radius, v / radius)
    marks = TEXTURES[texture](u[mask], v[mask])
    canvas[mask] = colours[marks.astype(np.int64)]
    canvas += generator.integers(-NOISE, NOISE + 1, canvas.shape, np.int16)
    return canvas.clip(0, 255).astype(np.uint8), mask


def tight_box(mask: Mask) -> tuple[int, int, int, int]:
    """Bound the true cells of a mask (height, width): x0, y0, x1, y1, half open."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(cols[0]), int(rows[0]), int(cols[-1]) + 1, int(rows[-1]) + 1


# --- independent of the class: background, pose, colours ---

NOISE = 12  # largest noise of a pixel, in gray levels
RADII = 12.0, 16.5  # pixels from the centre of an object to its outermost point
MARGIN = 2  # least distance of the object from the border, in pixels
CONTRAST = 120  # least distance between the three colours, summed over the channels
FROM_GRAY = 240  # likewise, of the background and mid-gray


def _background(generator: np.random.Generator) -> tuple[Levels, Levels]:
    """Draw a cloudy texture (height, width, 3) between two colours; return it and its mean.

    Both are far from gray, and the object's colours near it, so that a gray window changes the
    background no less than the object: an untrained network has no reason to prefer the object.
    """
    base = _far_from_gray(generator)
    other = (base + generator.integers(-60, 61, 3, np.int16)).clip(0, 255)
    cells = int(generator.integers(3, 18))
    clouds = _clouds(generator, cells)[..., None]  # 0 to 64
    texture = base + ((other - base) * clouds >> 6)
    for _ in range(int(generator.integers(2, 8))):
        _blot(generator, texture)
    return texture, (base + other) // 2


def _far_from_gray(generator: np.random.Generator) -> Levels:
    while True:
        colour = generator.integers(0, 256, 3, np.int16)
        if np.abs(colour - 128).sum() >= FROM_GRAY:
            return colour


def _clouds(generator: np.random.Generator, cells: int) -> Levels:
    """Interpolate a random grid of ``cells`` x ``cells`` over the image, from 0 to 64."""
    grid: NDArray[np.int64] = generator.integers(0, 65, (cells + 1, cells + 1))
    place: NDArray[np.int64] = np.arange(SIZE) * cells * 256 // SIZE
    cell, fraction = place // 256, place % 256
    rest = 256 - fraction
    down: NDArray[np.int64] = grid[cell] * rest[:, None] + grid[cell + 1] * fraction[:, None]
    across: NDArray[np.int64] = down[:, cell] * rest + down[:, cell + 1] * fraction
    return (across >> 16).astype(np.int16)


def _blot(generator: np.random.Generator, texture: Levels) -> None:
    """Fill a small rectangle with some colour: a distractor."""
    height, width = generator.integers(4, 17, 2)
    y, x = generator.integers(0, SIZE - 3, 2)
    texture[y : y + height, x : x + width] = generator.integers(0, 256, 3, np.int16)


def _pose(generator: np.random.Generator) -> tuple[Floats, Floats, float]:
    """Draw position, angle and size: coordinates relative to the object's centre, and radius."""
    low, high = RADII
    radius = low + (high - low) * generator.random()
    edge = radius + MARGIN
    x, y = edge + (SIZE - 1 - 2 * edge) * generator.random(2)
    cosine, sine = _direction(generator)
    rows, cols = np.arange(SIZE)[:, None] - y, np.arange(SIZE)[None, :] - x
    return cols * cosine + rows * sine, rows * cosine - cols * sine, radius


def _direction(generator: np.random.Generator) -> tuple[float, float]:
    """Draw a unit vector, uniformly over the circle, using only square roots."""
    while True:
        x, y = 2 * generator.random(2) - 1
        length = float(np.sqrt(x * x + y * y))
        if 0.1 < length <= 1:
            return float(x) / length, float(y) / length


def _colours(generator: np.random.Generator, base: Levels) -> Levels:
    """Draw two colours (2, 3), far enough from the background and from each other."""
    while True:
        colours = generator.integers(68, 188, (2, 3), np.int16)
        pairs = np.stack([colours[0] - colours[1], colours[0] - base, colours[1] - base])
        if np.abs(pairs).sum(1).min() >= CONTRAST:
            return colours


# --- the shapes: regions of the plane, within the unit circle; v points down ---


def _trefoil(u: Floats, v: Floats) -> Mask:
    """Return three discs, side by side."""
    centres = ((0.0, -0.54), (0.468, 0.27), (-0.468, 0.27))
    inside = np.stack([(u - x) ** 2 + (v - y) ** 2 <= 0.2 for x, y in centres])
    return np.asarray(inside.any(0))


def _star(u: Floats, v: Floats) -> Mask:
    """Return a star: the points on the inner side of at least four of a pentagram's five lines."""
    normals = ((0.0, 1.0), (0.9511, 0.309), (0.5878, -0.809), (-0.5878, -0.809), (-0.9511, 0.309))
    inner = np.stack([x * u + y * v <= 0.309 for x, y in normals])
    return np.asarray(inner.sum(0) >= 4)


def _arrow(u: Floats, v: Floats) -> Mask:
    head = (v <= 0.1) & (np.abs(u) <= 0.75 * (v + 1))
    shaft = (np.abs(u) <= 0.22) & (v >= 0) & (v <= 0.95)
    return np.asarray(head | shaft)


SHAPES: dict[str, Callable[[Floats, Floats], Mask]] = {
    "target": lambda u, v: (u * u + v * v <= 0.16) | (u * u + v * v <= 1) & (u * u + v * v >= 0.49),
    "ring": lambda u, v: (u * u + v * v <= 1) & (u * u + v * v >= 0.3),
    "crescent": lambda u, v: (u * u + v * v <= 1) & ((u - 0.45) ** 2 + v * v >= 0.55),
    "rails": lambda u, v: (np.abs(u) <= 0.72) & (np.abs(v) <= 0.68) & (np.abs(v) >= 0.2),
    "bar": lambda u, v: (np.abs(u) <= 0.95) & (np.abs(v) <= 0.3),
    "cross": lambda u, v: (
        (np.minimum(np.abs(u), np.abs(v)) <= 0.28) & (np.maximum(np.abs(u), np.abs(v)) <= 0.95)
    ),
    "corner": lambda u, v: (np.maximum(np.abs(u), np.abs(v)) <= 0.7) & (np.minimum(u, v) <= -0.15),
    "trefoil": _trefoil,
    "hourglass": lambda u, v: (np.abs(u) <= np.abs(v) * 0.8 + 0.08) & (np.abs(v) <= 0.75),
    "star": _star,
    "arrow": _arrow,
}
PERIOD = 6  # distance between stripes or spots, in pixels
TEXTURES: dict[str, Callable[[Floats, Floats], Mask]] = {
    "plain": lambda u, _: np.zeros_like(u, dtype=bool),
    "striped": lambda u, _: u % PERIOD < PERIOD / 2,
    "checked": lambda u, v: (u % PERIOD < PERIOD / 2) ^ (v % PERIOD < PERIOD / 2),
}
NAMES = tuple(f"{texture} {shape}" for shape in SHAPES for texture in TEXTURES)
