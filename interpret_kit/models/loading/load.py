"""Where do classifiers come from? A run, a timm name, a checkpoint, or the embedded model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from interpret_kit.errors import BadWeights, InterpretError, UsageError
from interpret_kit.models.argument_values import called_as, counted
from interpret_kit.models.checkpoints.name_matching import best_match, fill
from interpret_kit.models.checkpoints.tied_weights import save_weights
from interpret_kit.models.checkpoints.weights import first_line, read_checkpoint
from interpret_kit.models.classes.imagenet import imagenet_names
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.architectures import create
from interpret_kit.models.loading.assemble import wrapped
from interpret_kit.models.loading.beyond_timm import classifier_beyond_timm
from interpret_kit.models.loading.hub import create_pretrained
from interpret_kit.models.loading.model_folders import (
    is_timms,
    read_json,
    refuse_foreign,
    timm_folder,
)
from interpret_kit.models.loading.overrides import ClassNames, Names, Said, as_given
from interpret_kit.models.loading.recorded_runs import (
    CONFIG,
    EMBEDDED,
    EMBEDDED_NAME,
    WEIGHTS,
    check_device,
    check_model,
    is_embedded,
    place_of,
    read_config,
    runs_by_age,
)
from interpret_kit.models.loading.timm_weights import from_checkpoint, from_timm_folder, published
from interpret_kit.models.preprocessing import Preprocessing
from interpret_kit.models.probing.surroundings import plain_surroundings

__all__ = [
    "CONFIG",
    "EMBEDDED",
    "WEIGHTS",
    "create",
    "create_pretrained",
    "load_classifier",
    "read_config",
    "runs_by_age",
    "save_weights",
]


@called_as("ik.load_classifier('resnet50')")
def load_classifier(  # noqa: PLR0913  # each can be said of a checkpoint
    spec: str | Path | None = None,
    *,
    arch: str | None = None,
    device: str = "auto",
    classes: ClassNames | None = None,
    size: int | tuple[int, int] | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
) -> Classifier:
    """Load a classifier.

    Its ``notes`` hold remarks, such as that a file does not name its classes.

    Args:
        spec: a run folder, a timm name ("resnet50"), a repository of the Hugging Face Hub
            ("hf-hub:OWNER/NAME"), a name of torchvision's ("torchvision:resnet50"), a folder of
            timm's ``save_for_hf``, a checkpoint file (with ``arch``), a function of a Python file
            that returns a network or `Classifier` ("nets.py:make", which **runs that file**), or
            nothing: the embedded EfficientNet-Lite0 with its ImageNet weights.
        arch: the timm architecture of a checkpoint file.
        device: "auto" (a GPU if there is one), "cpu", "cuda", "cuda:1", ...
        classes: names in the order of the outputs, a dict between indices and names, a file of
            either, or "imagenet". Like the following, not for a run or the embedded model.
        size: height and width of the images in pixels; one number for a square.
        mean: of the pixels of each channel, in [0, 1]; one number for all channels.
        std: likewise.

    Raises:
        WrongType: if ``spec`` is a network, which `Classifier` takes, or neither text nor path.
        NothingThere: if there is no such run, file, repository or timm model.
        UsageError: if names, size, mean or std do not fit.
        BadWeights: if weights are of another architecture, not finite, or contain code.
        WeightsUnavailable: if pretrained weights cannot be downloaded.
    """
    said = as_given(classes, size, mean, std)
    check_model(spec, arch, device, said)
    with plain_surroundings():
        classifier = _load(spec, arch, said).to(pick_device(device)).eval()
        # Up to twice as fast, even on a CPU.
        classifier.network.to(memory_format=torch.channels_last)
    return classifier


def _load(spec: str | Path | None, arch: str | None, said: Said) -> Classifier:
    path, found = place_of(spec), classifier_beyond_timm(spec, said)
    if found is not None:
        return found
    if is_embedded(spec):
        return _embedded()
    if path.is_file() and arch is not None:
        return from_checkpoint(path, arch, said)
    if path.is_file():
        return _from_folder(path.parent, path, said)
    if path.is_dir():
        return _from_folder(path, None, said)
    return published(str(spec), said)


def _from_folder(folder: Path, weights: Path | None, said: Said) -> Classifier:
    config = read_json(folder)
    if is_timms(config):
        with _made_of(folder / CONFIG):
            described = timm_folder(folder, config)
        return from_timm_folder(described, weights, said)
    return load_run(folder, weights.name if weights else WEIGHTS)


def _embedded() -> Classifier:
    from interpret_kit.models.loading.efficientnet_lite0 import SETTINGS, embedded_network

    return wrapped(embedded_network(), SETTINGS, EMBEDDED_NAME, Names(*imagenet_names()))


def pick_device(device: str) -> torch.device:
    """Return the device called ``device``; "auto" is a GPU if there is one."""
    check_device(device)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = device.partition(":")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        seen = counted(count, "GPU") if count else "no GPU"
        raise UsageError(f"no device {device!r}: torch sees {seen} here; give 'auto' or 'cpu'")
    return torch.device(device)


@contextmanager
def _made_of(file: Path) -> Iterator[None]:
    """Say of a network's recorded arguments that they make none: they raise whatever they do."""
    try:
        yield
    except InterpretError:
        raise
    except Exception as error:
        raise BadWeights(
            f"{file} does not describe a network ({first_line(error)}); it was not written by "
            "'ikit train' or timm"
        ) from error


def load_run(folder: Path, weights: str = WEIGHTS) -> Classifier:
    """Load the classifier of a training run, by default with its best weights."""
    config = read_config(folder)
    arguments = config.get("arguments", {})
    refuse_foreign(arguments, folder)
    with _made_of(folder / CONFIG):
        network = create(config["architecture"], **arguments)
    match, _ = best_match(network, read_checkpoint(folder / weights))
    fill(network, match)
    preprocessing = Preprocessing(
        size=tuple(config["size"]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        crop=config.get("crop", 1.0),
        interpolation=config.get("interpolation", "bilinear"),
        crop_mode=config.get("crop_mode", "center"),
    )
    name = str(folder if weights == WEIGHTS else folder / weights)
    return Classifier(network, preprocessing, config["classes"], name=name)
