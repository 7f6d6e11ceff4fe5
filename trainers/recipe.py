"""Which hyper-parameters make a training run?"""

from __future__ import annotations

import dataclasses
import math
import os
from dataclasses import dataclass
from numbers import Real
from typing import Any

from interpret_kit.errors import DoesNotFit, WrongType, close_names
from interpret_kit.models.argument_values import flag_argument, integer, shown
from interpret_kit.models.loading.timm_names import CONVNET
from interpret_kit.results.result import parameter

OURS = CONVNET
SCHEDULES = ("cosine", "poly", "step", "none")  # timm's schedules that need no further settings
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
"""The fields that are arguments of `ConvNet`; other architectures have their own."""

LEAST = {"epochs": 1, "batch_size": 2, "patience": 0, "seed": 0, "randaugment": 0}
MOST = {"colour": 1.0, "erase": 1.0, "shift": 0.5, "magnitude": 10.0}  # from 0

ALLOWED = {"schedule": SCHEDULES, "precision": PRECISIONS, "compile": COMPILE}


@dataclass(frozen=True)
class Recipe:
    """Train a CNN on labelled images and keep the epoch with the best validation accuracy.

        recipe = ik.Recipe(data="photos/", channels=(32, 64, 128), epochs=20, lr=0.01)
        run = ik.train(recipe, "runs/photos")

    The result is a run folder: the weights of the best epoch and of the last, the recipe, the
    history with its curves, and TensorBoard events. With the default recipe, training on
    ``shapes`` takes a minute or two on two cores.
    """

    data: str = parameter(
        "shapes", "images: 'shapes', a folder of class folders, or a torchvision data set"
    )
    data_share: float = parameter(
        1.0, "fraction of each class's training images to use; always the same ones"
    )
    size: int | tuple[int, ...] = parameter(
        64, "input size in pixels: one side, or height and width"
    )
    arch: str = parameter(
        OURS, "architecture: ours, configured by the options below, or a timm name"
    )
    pretrained: bool = parameter(False, "start from timm's pretrained weights")
    channels: tuple[int, ...] = parameter((16, 32, 64, 64, 64), "filters of each convolution")
    kernel: int | tuple[int, ...] = parameter(3, "kernel size in pixels: one, or one per layer")
    stride: int | tuple[int, ...] = parameter(1, "stride in pixels: one, or one per layer")
    padding: int | tuple[int, ...] | None = parameter(
        None, "zero-padding at each border in pixels; default: half the kernel size"
    )
    pool: int | tuple[int, ...] = parameter(2, "max-pooling window size in pixels; 0 disables")
    pool_stride: int | tuple[int, ...] | None = parameter(
        None, "stride of the pooling in pixels; default: its window size"
    )
    batch_norm: bool = parameter(True, "batch normalisation after each convolution")
    activation: str = parameter("relu", "relu, leaky_relu, elu, gelu, silu, tanh or identity")
    global_pool: bool = parameter(False, "global average pooling after the last convolution")
    fc: tuple[int, ...] = parameter((128,), "units of each hidden fully connected layer")
    dropout: float = parameter(0.0, "dropout rate before each fully connected layer")
    epochs: int = parameter(10, "maximum number of epochs")
    batch_size: int = parameter(48, "images per training step")
    lr: float = parameter(0.003, "peak learning rate")
    optimizer: str = parameter("adamw", "a timm optimizer, such as adamw, sgd or nmuon")
    weight_decay: float = parameter(0.05, "weight decay; not applied to norms and biases")
    schedule: str = parameter("cosine", "learning-rate schedule: cosine, poly, step or none")
    warmup: float = parameter(0.15, "fraction of the training spent on learning-rate warm-up")
    augment: bool = parameter(True, "randomly flip and shift the training images")
    shift: float = parameter(
        0.0625, "maximum shift of the training images, as a fraction of their height and width"
    )
    crop: float = parameter(
        1.0, "minimum area fraction of random crops, which replace the shifts; 1 for no crops"
    )
    colour: float = parameter(
        0.0, "strength of the brightness, contrast and saturation jitter, such as 0.3; 0 disables"
    )
    randaugment: int = parameter(
        0, "RandAugment operations on each training image, such as 2; 0 disables"
    )
    magnitude: float = parameter(5.0, "magnitude of the RandAugment operations, from 0 to 10")
    erase: float = parameter(0.0, "random-erasing probability, in [0, 1]")
    mixup: float = parameter(0.0, "alpha of timm's Mixup, such as 0.2; 0 disables")
    cutmix: float = parameter(0.0, "alpha of timm's CutMix, such as 1; 0 disables")
    label_smoothing: float = parameter(0.0, "label-smoothing factor, such as 0.1; 0 disables")
    clip: float = parameter(0.0, "clip the gradient norm to this value; 0 disables")
    ema: float = parameter(
        0.0,
        "EMA decay of the weights, such as 0.998: the EMA model is evaluated and saved; 0 disables",
    )
    drop_path: float = parameter(0.0, "stochastic-depth rate of timm architectures")
    patience: int = parameter(
        0, "early stopping after this many epochs without improvement; 0 disables"
    )
    val_too: bool = parameter(
        False, "train on train+val and keep the last epoch (final run, after model selection)"
    )
    test: bool = parameter(
        True, "evaluate the saved model on the test set; disable while comparing recipes"
    )
    seed: int = parameter(0, "random seed of the weights, the data order and the augmentation")
    precision: str = parameter(
        "auto", "float32, bf16 or fp16; auto: float32 on a CPU, bf16 on a GPU that supports it"
    )
    compile: str = parameter("auto", "torch.compile: on, off, or auto (on for a GPU)")

    def __post_init__(self) -> None:
        """Check every field that can be checked without building the network."""
        for field in dataclasses.fields(self):
            value = _canonical(field.name, getattr(self, field.name), field.default)
            object.__setattr__(self, field.name, value)
        for name, least in LEAST.items():
            _refuse_below(name, getattr(self, name), least)
        if self.seed >= 2**63:
            raise DoesNotFit(f"`seed` is {self.seed}; it must be below 2**63")
        for side in self.input_size:
            _refuse_below("size", side, 1)
        if not 0 < self.lr < math.inf:
            raise DoesNotFit(f"`lr` is {self.lr:g}; it must be above 0")
        for name in ("warmup", "dropout", "label_smoothing", "ema", "drop_path"):
            if not 0 <= getattr(self, name) < 1:
                raise DoesNotFit(
                    f"`{name}` is {getattr(self, name):g}; it must be at least 0 and below 1"
                )
        for name, known in ALLOWED.items():
            if getattr(self, name) not in known:
                closest = close_names(str(getattr(self, name)), known)
                raise DoesNotFit(f"`{name}` is {getattr(self, name)!r}; {closest}")
        self._refuse_augmentation()
        self._refuse_unused()

    def _refuse_augmentation(self) -> None:
        for name, most in MOST.items():
            if not 0 <= getattr(self, name) <= most:
                raise DoesNotFit(
                    f"`{name}` is {getattr(self, name):g}; it must be between 0 and {most:g}"
                )
        for name in ("mixup", "cutmix", "clip", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise DoesNotFit(f"`{name}` is {getattr(self, name):g}; it must be at least 0")
        if not 0 < self.crop <= 1:
            raise DoesNotFit(f"`crop` is {self.crop:g}; it must be above 0 and at most 1 (no crop)")
        if not 0 < self.data_share <= 1:
            raise DoesNotFit(
                f"`data_share` is {self.data_share:g}; it must be above 0 and at most 1 (all "
                "images)"
            )
        if self.schedule == "none" and self.warmup not in {0, type(self).warmup}:
            raise DoesNotFit("`warmup` has no effect with `schedule='none'`; drop one of them")
        if self.pool_stride is not None and self.pool in (0, (0,)):
            raise DoesNotFit("`pool_stride` has no effect with `pool=0`; drop one of them")
        if self.val_too and self.patience:
            raise DoesNotFit(
                "`patience` needs a validation split, but `val_too` trains on it; drop one of them"
            )
        self._refuse_without_effect()
        if (self.mixup or self.cutmix) and self.batch_size % 2:
            raise DoesNotFit(
                "`mixup` and `cutmix` combine pairs of images, so `batch_size` must be even, not "
                f"{self.batch_size}"
            )

    def _refuse_without_effect(self) -> None:
        if self.crop < 1 and not self.augment:
            raise DoesNotFit("`crop` has no effect with `augment=False`; drop one of them")
        if self.shift != type(self).shift and (self.crop < 1 or not self.augment):
            other = "augment=False" if not self.augment else f"crop={self.crop:g}"
            raise DoesNotFit(f"`shift` has no effect with `{other}`; drop one of them")
        if self.magnitude != type(self).magnitude and not self.randaugment:
            raise DoesNotFit("`magnitude` has no effect without `randaugment`; set `randaugment`")

    def _refuse_unused(self) -> None:
        if self.arch == OURS:
            for name in ("pretrained", "drop_path"):
                if getattr(self, name):
                    raise DoesNotFit(
                        f"`{name}` only applies to timm architectures; name one, as in "
                        "`arch='resnet18'`"
                    )
            return
        for field in dataclasses.fields(self):
            if field.name in NETWORK and getattr(self, field.name) != field.default:
                raise DoesNotFit(
                    f"`{field.name}` belongs to our own architecture, and {self.arch} ignores "
                    "it; drop "
                    "it, or drop `arch`"
                )

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the input, in pixels."""
        sides = (self.size,) if isinstance(self.size, int) else self.size
        if len(sides) not in (1, 2):
            raise DoesNotFit(f"`size` has {len(sides)} entries; give one side, or height and width")
        return sides[0], sides[-1]

    @property
    def arguments(self) -> dict[str, Any]:
        """The network's arguments of ``timm.create_model``, without the number of classes."""
        if self.arch != OURS:
            return {"drop_path_rate": self.drop_path} if self.drop_path else {}
        return {name: getattr(self, name) for name in NETWORK} | {"size": self.input_size}


def _canonical(name: str, value: Any, default: Any) -> Any:
    """Convert a field to the types that a recipe is saved with.

    Raises:
        WrongType: if a number, or a flag, is something else.
    """
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, (list, tuple)):
        return tuple(each if integer(each) is None else integer(each) for each in value)
    if isinstance(default, bool):
        return flag_argument(value, name)
    number = integer(value)
    if number is not None:
        return (number,) if isinstance(default, tuple) else number
    if isinstance(default, (int, float, tuple)) and not isinstance(value, Real):
        kind = "numbers" if isinstance(default, tuple) else "a number"
        raise WrongType(f"`{name}` is {shown(value)}; give {kind}, as in `{name}={default}`")
    return value


def _refuse_below(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or value < least:
        raise DoesNotFit(f"`{name}` is {value!r}; it must be an integer of at least {least}")
