"""Which choices make a training run?"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from interpret_kit.analysis import parameter
from interpret_kit.errors import DoesNotFit, close_names

OURS = "ikit_convnet"
SCHEDULES = ("cosine", "poly", "step", "none")  # those of timm's that need no more settings
NETWORK = (
    "channels",
    "kernel",
    "stride",
    "padding",
    "pool",
    "pool_stride",
    "batch_norm",
    "activation",
    "fc",
    "dropout",
)
"""The fields that are choices of `interpret_kit.networks.ConvNet`; other networks have theirs."""


@dataclass(frozen=True)
class Recipe:
    """Train a convolutional network on labelled images, and keep the best of its epochs.

    The result is a run folder: the weights of the epoch with the best validation accuracy, the
    recipe, the history and its curves. As it stands, the recipe learns ``shapes`` in a
    minute or two on two cores.
    """

    data: str = parameter("shapes", "images: 'shapes', a folder of class folders, or a data set")
    size: int | tuple[int, ...] = parameter(64, "side of the input in pixels, or height,width")
    arch: str = parameter(OURS, "network: ours, with the choices below, or a timm name")
    channels: tuple[int, ...] = parameter((16, 32, 64, 64, 64), "filters of each convolution")
    kernel: int | tuple[int, ...] = parameter(3, "side of the kernels, in pixels; one, or each")
    stride: int | tuple[int, ...] = parameter(1, "step of the convolutions, in pixels")
    padding: int | tuple[int, ...] | None = parameter(
        None, "zeros added at each border; half the kernel unless given"
    )
    pool: int | tuple[int, ...] = parameter(2, "side of the max-pooling windows; 0 for none")
    pool_stride: int | tuple[int, ...] | None = parameter(
        None, "step of the pooling; the side of its window unless given"
    )
    batch_norm: bool = parameter(True, "batch normalisation after each convolution")
    activation: str = parameter("relu", "relu, leaky_relu, elu, gelu, silu, tanh or identity")
    fc: tuple[int, ...] = parameter((128,), "units of each fully connected layer before the head")
    dropout: float = parameter(0.0, "share of the units dropped before each fully connected layer")
    epochs: int = parameter(10, "passes over the training images, at most")
    batch_size: int = parameter(48, "images per step")
    lr: float = parameter(0.003, "learning rate at its highest")
    optimizer: str = parameter("adamw", "an optimizer of timm, such as adamw, sgd or lamb")
    weight_decay: float = parameter(0.05, "weight decay; norms and biases are left out")
    schedule: str = parameter("cosine", "how the learning rate falls: cosine, poly, step or none")
    warmup: float = parameter(0.15, "share of the run in which the learning rate rises first")
    augment: bool = parameter(True, "mirror and shift the training images at random")
    patience: int = parameter(0, "epochs without a better one before stopping; 0 for never")
    seed: int = parameter(0, "seed of the weights, the order and the augmentation")

    def __post_init__(self) -> None:
        """Refuse what cannot be trained; what only the network knows, it refuses itself."""
        for field in dataclasses.fields(self):
            if isinstance(getattr(self, field.name), list):
                object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
        for name, least in (("epochs", 1), ("batch_size", 2), ("patience", 0), ("seed", 0)):
            _refuse_below(name, getattr(self, name), least)
        if self.seed >= 2**63:
            raise DoesNotFit(f"seed is {self.seed}: a number below 2**63 is needed")
        for side in self.input_size:
            _refuse_below("size", side, 1)
        if not 0 < self.lr < math.inf or not 0 <= self.weight_decay < math.inf:
            raise DoesNotFit(
                f"lr is {self.lr} and weight_decay {self.weight_decay}: "
                "a learning rate above 0 and a decay of 0 or more are needed"
            )
        for name in ("warmup", "dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise DoesNotFit(f"{name} is {getattr(self, name)}: a share from 0 to below 1")
        if self.schedule not in SCHEDULES:
            known = close_names(self.schedule, SCHEDULES)
            raise DoesNotFit(f"no schedule {self.schedule!r}; {known}")
        self._refuse_unused()

    def _refuse_unused(self) -> None:
        if self.arch == OURS:
            return
        for field in dataclasses.fields(self):
            if field.name in NETWORK and getattr(self, field.name) != field.default:
                raise DoesNotFit(
                    f"{field.name} is a choice of {OURS}, and {self.arch} would not heed it; "
                    f"leave it away, or leave the architecture away"
                )

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the input, in pixels."""
        sides = (self.size,) if isinstance(self.size, int) else self.size
        if len(sides) not in (1, 2):
            raise DoesNotFit(f"size has {len(sides)} entries: one side, or height,width")
        return sides[0], sides[-1]

    @property
    def arguments(self) -> dict[str, Any]:
        """What ``timm.create_model`` is told about the network, apart from its classes."""
        if self.arch != OURS:
            return {}
        return {name: getattr(self, name) for name in NETWORK} | {"size": self.input_size}


def _refuse_below(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise DoesNotFit(f"{name} is {value!r}: a whole number from {least} on is needed")
