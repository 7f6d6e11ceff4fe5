"""How does a convolution block change the size of feature maps, and is anything left of them?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from interpret_kit.errors import DoesNotFit, close_names

Size = tuple[int, int]  # (height, width), in pixels or cells

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "identity": nn.Identity,
}


@dataclass(frozen=True)
class ConvBlock:
    """One block: convolution, normalisation, activation and pooling."""

    filters: int
    kernel: int = 3
    stride: int = 1
    padding: int | None = None  # None for half the kernel
    pool: int = 2  # 0 for none
    pool_stride: int | None = None  # None for the window's side
    batch_norm: bool = True
    activation: str = "relu"

    def __post_init__(self) -> None:
        """Refuse invalid hyper-parameters."""
        check_number("channels", self.filters, 1)
        for name, least in (("kernel", 1), ("stride", 1), ("pool", 0)):
            check_number(name, getattr(self, name), least)
        check_number("padding", self.border, 0)
        check_number("pool_stride", self.pool_step, 0 if self.pool == 0 else 1)
        if self.activation not in ACTIVATIONS:
            known = close_names(str(self.activation), ACTIVATIONS)
            raise DoesNotFit(f"`activation` is {self.activation!r}; {known}")

    @property
    def border(self) -> int:
        """Zero padding at each border of the convolution's input."""
        return self.kernel // 2 if self.padding is None else self.padding

    @property
    def pool_step(self) -> int:
        """CellCount of the pooling, in cells."""
        return self.pool if self.pool_stride is None else self.pool_stride

    def convolved(self, size: Size) -> Size:
        """Return the size after the convolution; below 1 if the kernel does not fit."""
        return _slid(size, self.kernel, self.stride, self.border)

    def pooled(self, size: Size) -> Size:
        """Return the size after the pooling; below 1 if its window does not fit."""
        return _slid(size, self.pool, self.pool_step, 0) if self.pool else size

    def parts(self, channels: int) -> Iterator[tuple[str, nn.Module]]:
        """Make the modules of this block, for an input with this number of ``channels``."""
        yield (
            "conv",
            nn.Conv2d(
                channels,
                self.filters,
                self.kernel,
                stride=self.stride,
                padding=self.border,
                bias=not self.batch_norm,
            ),
        )
        if self.batch_norm:
            yield "norm", nn.BatchNorm2d(self.filters)
        yield "act", ACTIVATIONS[self.activation]()
        if self.pool:
            yield "pool", nn.MaxPool2d(self.pool, self.pool_step)


def make_blocks(channels: int | Sequence[int], **choices: Any) -> tuple[ConvBlock, ...]:
    """Make one block per entry of ``channels``; single values apply to all blocks."""
    filters = as_tuple(channels)
    if not filters:
        raise DoesNotFit("`channels` is empty: at least one convolution is needed, such as 32,64")
    columns = {name: _each(name, value, len(filters)) for name, value in choices.items()}
    return tuple(
        ConvBlock(each, **{name: column[index] for name, column in columns.items()})
        for index, each in enumerate(filters)
    )


@dataclass(frozen=True)
class CellCount:
    """The size of the feature maps after one part of the network."""

    name: str  # such as "conv1", or "input"
    cells: Size


def sizes(blocks: Sequence[ConvBlock], size: Size) -> tuple[CellCount, ...]:
    """Compute the size of the feature maps after each block, starting with the input.

    Raises:
        DoesNotFit: if a part leaves no pixels, with all sizes up to it.
    """
    steps = [CellCount("input", size)]
    for index, block in enumerate(blocks, start=1):
        steps.append(CellCount(f"conv{index}", block.convolved(steps[-1].cells)))
        _check_pixels(steps, f"kernel {block.kernel}, padding {block.border}")
        if block.pool:
            steps.append(CellCount(f"pool{index}", block.pooled(steps[-1].cells)))
            _check_pixels(steps, f"window {block.pool}")
    return tuple(steps)


def _check_pixels(steps: Sequence[CellCount], choice: str) -> None:
    *before, last = steps
    if min(last.cells) < 1:
        way = " -> ".join(f"{step.name} {step.cells[0]}x{step.cells[1]}" for step in before)
        raise DoesNotFit(
            f"{last.name} ({choice}) leaves no pixels: {way} -> nothing; "
            "use fewer layers, less pooling, smaller strides, more padding, or larger images"
        )


def _slid(size: Size, window: int, stride: int, border: int) -> Size:
    height, width = ((side + 2 * border - window) // stride + 1 for side in size)
    return height, width


def _each(name: str, value: Any, count: int) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (value,) * count
    if len(value) != count:
        raise DoesNotFit(
            f"`{name}` has {len(value)} entries for {count} convolutions; "
            "give one for each, or a single value for all"
        )
    return tuple(value)


def as_tuple(value: int | Sequence[int]) -> tuple[int, ...]:
    """Wrap a single number in a tuple."""
    return tuple(value) if isinstance(value, Sequence) else (value,)


def check_number(name: str, value: object, least: int) -> None:
    """Refuse anything but an integer of at least ``least``."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise DoesNotFit(f"`{name}` is {value!r}; it must be an integer of at least {least}")
