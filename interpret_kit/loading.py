"""Where do classifiers come from? A run, a timm name, a checkpoint, or the embedded model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from interpret_kit.adapting import arguments_for
from interpret_kit.classifier import Classifier, Preprocessing
from interpret_kit.convnet import CONVNET, convnet
from interpret_kit.errors import (
    BadWeights,
    NothingThere,
    UsageError,
    WeightsUnavailable,
    close_names,
)
from interpret_kit.fitting import best_match, fill
from interpret_kit.hub import refuse_without_network
from interpret_kit.imagenet import imagenet_names
from interpret_kit.runs import (
    CONFIG,
    EMBEDDED,
    WEIGHTS,
    check_device,
    check_model,
    is_embedded,
    is_of_a_run,
    read_config,
    runs_by_age,
)
from interpret_kit.tied import save_weights
from interpret_kit.weights import first_line, read_checkpoint

__all__ = [
    "CONFIG",
    "EMBEDDED",
    "WEIGHTS",
    "load_classifier",
    "read_config",
    "runs_by_age",
    "save_weights",
]


def load_classifier(
    spec: str | Path | None = None, *, arch: str | None = None, device: str = "auto"
) -> Classifier:
    """Load a classifier.

    Args:
        spec: a run folder, a timm name ("resnet50"), a checkpoint file (with ``arch``), or
            nothing: the embedded EfficientNet-Lite0 with its ImageNet weights.
        arch: the timm architecture of a checkpoint file.
        device: "auto" (a GPU where there is one), "cpu", "cuda", "cuda:1", ...

    Raises:
        NothingThere: no such run, file or timm model.
        BadWeights: weights of another architecture, not finite, or carrying code.
        WeightsUnavailable: pretrained weights that no network can be asked for.
    """
    check_model(spec, arch, device)
    classifier = _load(spec, arch).to(pick_device(device)).eval()
    classifier.network.to(memory_format=torch.channels_last)  # up to twice as fast, also on a CPU
    return classifier


def _load(spec: str | Path | None, arch: str | None) -> Classifier:
    path = Path(spec or EMBEDDED).expanduser()
    if is_embedded(spec):
        return _embedded()
    if path.is_file():
        return _from_checkpoint(path, arch)
    if path.is_dir():
        return load_run(path)
    return _pretrained(str(spec))


def pick_device(device: str) -> torch.device:
    """The device called ``device``; "auto" is a GPU where there is one."""
    check_device(device)
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    kind, _, number = device.partition(":")
    if kind == "cuda" and int(number or 0) >= torch.cuda.device_count():
        seen = torch.cuda.device_count() or "no"
        raise UsageError(f"no device {device!r}: torch sees {seen} GPU here; say auto or cpu")
    return torch.device(device)


def save_run(folder: Path, network: nn.Module, config: Mapping[str, Any]) -> None:
    """Write a run folder that `load_run` reads: weights first, ``config.json`` last."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f".{WEIGHTS}.part"
    save_weights(aside, network)
    aside.replace(folder / WEIGHTS)
    aside = folder / f".{CONFIG}.part"
    aside.write_text(json.dumps(dict(config), indent=2) + "\n")
    aside.replace(folder / CONFIG)


def load_run(folder: Path, weights: str = WEIGHTS) -> Classifier:
    """The classifier a training run saved; with the weights in another of its files, if told."""
    config = read_config(folder)
    arguments = config.get("arguments", {})
    foreign = sorted(each for each in arguments if each.startswith(("pretrained", "checkpoint")))
    if foreign:
        raise BadWeights(
            f"{folder / CONFIG} asks for other weights ({', '.join(foreign)}); refused"
        )
    network = create(config["architecture"], **arguments)
    match, _ = best_match(network, read_checkpoint(folder / weights))
    fill(network, match)
    preprocessing = Preprocessing(
        size=tuple(config["size"]),
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        crop=config.get("crop", 1.0),
        interpolation=config.get("interpolation", "bilinear"),
    )
    name = str(folder if weights == WEIGHTS else folder / weights)
    return Classifier(network, preprocessing, config["classes"], name=name)


def create(architecture: str, **arguments: Any) -> nn.Module:
    """Make a network by its timm name (ours are registered there too), without weights."""
    if architecture == CONVNET:  # needs nothing of timm, whose import takes seconds
        return convnet(**arguments)
    import timm

    if not timm.is_model(architecture):
        raise _no_such_model(architecture)
    network: nn.Module = timm.create_model(architecture, **arguments)
    return network


def _no_such_model(name: str) -> NothingThere:
    import timm

    import interpret_kit.networks  # noqa: F401  # registers ConvNet, so that it is listed, too

    return NothingThere(
        f"{name!r} is no file, no run folder and no timm model; "
        f"{close_names(name, timm.list_models())}"
    )


def _embedded() -> Classifier:
    from interpret_kit.lite0 import SETTINGS, embedded_network

    name = "embedded EfficientNet-Lite0 (ImageNet)"
    return _as_settings_say(embedded_network(), SETTINGS, name)


def _pretrained(name: str) -> Classifier:
    import timm

    if name.partition(".")[0] == CONVNET:
        raise NothingThere(f"{name} has no pretrained weights; train it with 'ikit train'")
    if not timm.is_model(name.partition(".")[0]):
        raise _no_such_model(name)
    offline = (
        "offline, use --model embedded, a run folder, or a checkpoint file with --arch "
        f"{name.split('.', maxsplit=1)[0]}"
    )
    return _with_timm_settings(create_pretrained(name, offline), name)


def create_pretrained(name: str, offline: str, **arguments: Any) -> nn.Module:
    """Make a network by its timm name, with the weights that timm has for it.

    Args:
        name: of the architecture, and perhaps of its weights: "resnet18.a1_in1k".
        offline: what an error advises.
        arguments: for ``timm.create_model``; with another ``num_classes``, the head is new.

    Raises:
        NothingThere: no such architecture.
        WeightsUnavailable: there are no such weights, or they cannot be fetched.
    """
    import timm

    if not timm.is_model(name.partition(".")[0]):
        raise _no_such_model(name)
    try:
        refuse_without_network(name)
        network: nn.Module = timm.create_model(name, pretrained=True, **arguments)
    except Exception as error:  # hub clients raise errors of many libraries
        why = first_line(error)
        raise WeightsUnavailable(
            f"the pretrained weights of {name} could not be fetched ({why}); {offline}"
        ) from error
    return network


def _with_timm_settings(network: nn.Module, name: str) -> Classifier:
    from timm.data.config import resolve_model_data_config

    settings: dict[str, Any] = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
    return _as_settings_say(network, settings, name)


def _as_settings_say(network: nn.Module, settings: Mapping[str, Any], name: str) -> Classifier:
    """Wrap a network with preprocessing as timm spells it in a network's ``pretrained_cfg``."""
    preprocessing = Preprocessing(
        size=tuple(settings["input_size"][1:]),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        crop=settings["crop_pct"],
        interpolation=settings["interpolation"],
    )
    if getattr(network, "num_classes", None) == 1000:
        names = imagenet_names()
        return Classifier(network, preprocessing, names.classes, name=name, synonyms=names.synonyms)
    return Classifier(network, preprocessing, name=name)


def _from_checkpoint(path: Path, arch: str | None) -> Classifier:
    if arch is None:
        assert is_of_a_run(path), "check_model refuses weights of an unknown architecture"
        return load_run(path.parent, path.name)
    checkpoint = read_checkpoint(path)
    network = create(arch)
    match, notes = best_match(network, checkpoint)
    arguments = arguments_for(network, match)
    if arguments:
        network = create(arch, **arguments)
        match, notes = best_match(network, checkpoint)
    fill(network, match)
    classifier = _with_timm_settings(network, str(path))
    classifier.notes = notes
    return classifier
