"""Which choices make a training run?"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from interpret_kit.errors import DoesNotFit, close_names
from interpret_kit.results.result import parameter

OURS = "ikit_convnet"
SCHEDULES = ("cosine", "poly", "step", "none")  # those of timm's that need no more settings
PRECISIONS = ("auto", "float32", "bf16", "fp16")
COMPILE = ("auto", "on", "off")
NETWORK = (
    "channels",
    "kernel",
    "stride",
    "padding",
    "pool",
    "pool_stride",
    "batch_norm",
    "activation",
    "global_pool",
    "fc",
    "dropout",
)
"""The fields that are choices of `ConvNet`; other networks have theirs."""

CHOICES = {"schedule": SCHEDULES, "precision": PRECISIONS, "compile": COMPILE}


@dataclass(frozen=True)
class Recipe:
    """Train a convolutional network on labelled images, and keep the best of its epochs.

    The result is a run folder: the weights of the epoch with the best validation accuracy and
    those of the last, the recipe, the history, its curves, and events for TensorBoard. As it
    stands, the recipe learns ``shapes`` in a minute or two on two cores.
    """

    data: str = parameter("shapes", "images: 'shapes', a folder of class folders, or a data set")
    data_share: float = parameter(
        1.0, "share of the training images of each class to learn from, always the same ones"
    )
    size: int | tuple[int, ...] = parameter(64, "side of the input in pixels, or height,width")
    arch: str = parameter(OURS, "network: ours, with the choices below, or a timm name")
    pretrained: bool = parameter(False, "begin with the weights that timm has for it")
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
    global_pool: bool = parameter(False, "only the mean of each map goes on to what follows")
    fc: tuple[int, ...] = parameter((128,), "units of each fully connected layer before the head")
    dropout: float = parameter(
        0.0, "share of the units dropped before each fully connected layer and the head"
    )
    epochs: int = parameter(10, "passes over the training images, at most")
    batch_size: int = parameter(48, "images per step")
    lr: float = parameter(0.003, "learning rate at its highest")
    optimizer: str = parameter("adamw", "an optimizer of timm, such as adamw, sgd or nmuon")
    weight_decay: float = parameter(0.05, "weight decay; norms and biases are left out")
    schedule: str = parameter("cosine", "how the learning rate falls: cosine, poly, step or none")
    warmup: float = parameter(0.15, "share of the run in which the learning rate rises first")
    augment: bool = parameter(True, "mirror and shift the training images at random")
    crop: float = parameter(
        1.0, "least share of an image that a random crop keeps, instead of shifting; 1 for no crop"
    )
    colour: float = parameter(
        0.0, "largest random change of brightness, contrast and saturation, such as 0.3"
    )
    erase: float = parameter(0.0, "share of the images with a random rectangle painted over")
    mixup: float = parameter(0.0, "alpha of timm's Mixup, such as 0.2; 0 for no blended images")
    cutmix: float = parameter(0.0, "alpha of timm's CutMix, such as 1; 0 for no pasted rectangles")
    label_smoothing: float = parameter(0.0, "share of a label that is spread over all classes")
    clip: float = parameter(0.0, "largest norm of the gradients; 0 for any")
    ema: float = parameter(
        0.0, "decay of a running mean of the weights, such as 0.998, which then is what is kept"
    )
    drop_path: float = parameter(0.0, "share of the residual branches dropped, in timm's networks")
    patience: int = parameter(0, "epochs without a better one before stopping; 0 for never")
    val_too: bool = parameter(
        False, "learn from the val images, too, and keep the last epoch: once all is chosen"
    )
    test: bool = parameter(
        True, "score what is kept on the test images, once; not while recipes are compared"
    )
    seed: int = parameter(0, "seed of the weights, the order and the augmentation")
    precision: str = parameter(
        "auto", "float32, bf16 or fp16; auto: float32 on a CPU, else bf16 where the GPU has it"
    )
    compile: str = parameter("auto", "torch.compile: on, off, or auto, which is on for a GPU")

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
        for name in ("warmup", "dropout", "label_smoothing", "ema", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise DoesNotFit(f"{name} is {getattr(self, name)}: a share from 0 to below 1")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                closest = close_names(str(getattr(self, name)), known)
                raise DoesNotFit(f"no {name} {getattr(self, name)!r}; {closest}")
        self._refuse_augmentation()
        self._refuse_unused()

    def _refuse_augmentation(self) -> None:
        for name in ("colour", "erase"):
            if not 0 <= getattr(self, name) <= 1:
                raise DoesNotFit(f"{name} is {getattr(self, name)}: a number from 0 to 1 is needed")
        for name in ("mixup", "cutmix", "clip"):
            if not 0 <= getattr(self, name) < math.inf:
                raise DoesNotFit(f"{name} is {getattr(self, name)}: 0 or more is needed")
        if not 0 < self.crop <= 1:
            raise DoesNotFit(f"crop is {self.crop}: a share above 0, and 1 for no crop, is needed")
        if not 0 < self.data_share <= 1:
            raise DoesNotFit(
                f"data_share is {self.data_share}: a share above 0, and 1 for all, is needed"
            )
        if self.schedule == "none" and self.warmup not in {0, type(self).warmup}:
            raise DoesNotFit("warmup has no effect with schedule none; leave one of them out")
        if self.pool_stride is not None and self.pool in (0, (0,)):
            raise DoesNotFit("pool_stride has no effect with pool 0; leave one of them out")
        if self.val_too and self.patience:
            raise DoesNotFit("patience waits for a validation, and with val_too there is none")
        if self.crop < 1 and not self.augment:
            raise DoesNotFit("a crop with --no-augment: leave one of them away")
        if (self.mixup or self.cutmix) and self.batch_size % 2:
            raise DoesNotFit(
                f"mixup and cutmix take images in pairs, and batch_size is {self.batch_size}: "
                "an even number is needed"
            )

    def _refuse_unused(self) -> None:
        if self.arch == OURS:
            for name in ("pretrained", "drop_path"):
                if getattr(self, name):
                    raise DoesNotFit(f"{name} is for networks of timm; name one with --arch")
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
            return {"drop_path_rate": self.drop_path} if self.drop_path else {}
        return {name: getattr(self, name) for name in NETWORK} | {"size": self.input_size}


def _refuse_below(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise DoesNotFit(f"{name} is {value!r}: a whole number from {least} on is needed")
