"""How does a timm network get its weights? From a file, a folder, or the hub."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from interpret_kit.errors import NothingThere
from interpret_kit.models.checkpoints.head_size import arguments_for
from interpret_kit.models.checkpoints.name_matching import best_match, fill
from interpret_kit.models.checkpoints.weights import read_checkpoint
from interpret_kit.models.classes.imagenet import imagenet_names
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.architectures import create, for_size
from interpret_kit.models.loading.assemble import (
    IMAGENET_CLASSES,
    NetworkSource,
    as_said,
    trained_settings,
)
from interpret_kit.models.loading.hub import create_pretrained
from interpret_kit.models.loading.model_folders import TimmFolder
from interpret_kit.models.loading.overrides import Names, Said
from interpret_kit.models.loading.timm_names import CONVNET, repository_of


def from_checkpoint(path: Path, arch: str, said: Said) -> Classifier:
    """Make the architecture with the weights of a file, which determine the number of classes.

    Raises:
        NothingThere: if there is no such architecture.
        BadWeights: if the weights are of another architecture, or contain code.
    """
    checkpoint = read_checkpoint(path)
    network = _of_size(lambda **more: create(arch, **more), said)
    match, notes = best_match(network, checkpoint)
    arguments: dict[str, Any] = arguments_for(network, match)
    if arguments:
        network = _of_size(lambda **more: create(arch, **arguments, **more), said)
        match, notes = best_match(network, checkpoint)
    fill(network, match)
    channels = arguments.get("in_chans") or _channels(network)
    trained = trained_settings(checkpoint.settings)
    return as_said(network, said, NetworkSource(str(path), channels, None, trained, notes))


def from_timm_folder(folder: TimmFolder, weights: Path | None, said: Said) -> Classifier:
    """Load what timm's ``save_for_hf`` wrote, or another file of weights in its folder."""
    arguments = dict(folder.arguments)
    if folder.architecture == CONVNET:
        arguments.setdefault("num_classes", folder.settings.get("num_classes"))
    else:
        arguments["pretrained_cfg"] = _known_to_timm(folder.settings)
    network = _of_size(lambda **more: create(folder.architecture, **{**arguments, **more}), said)
    match, notes = best_match(network, read_checkpoint(weights or folder.weights()))
    fill(network, match)
    names = names_in(folder.settings, _classes(network))
    settings = {"input_size": _settings(network)["input_size"]}
    channels = arguments.get("in_chans") or _channels(network)
    return as_said(network, said, NetworkSource(str(folder.path), channels, names, settings, notes))


def published(name: str, said: Said) -> Classifier:
    """Load a network with timm's pretrained weights, or from a repository of the hub.

    Raises:
        NothingThere: if there is no such architecture, repository or weights.
        WeightsUnavailable: if they cannot be downloaded.
    """
    repository, arch = repository_of(name), name.partition(".")[0]
    if arch == CONVNET:
        raise NothingThere(f"{name} has no pretrained weights; train it with 'ikit train'")
    other = "NAME" if repository else arch
    offline = (
        "without a connection, use the embedded model (`ik.load_classifier('embedded')`), a run "
        f"folder, or a checkpoint file with `arch={other!r}`"
    )
    network = _of_size(lambda **more: create_pretrained(name, offline, **more), said)
    names = names_in(_settings(network), _classes(network))
    timms = not repository or repository.startswith("timm/")
    if names is None and timms and _classes(network) == IMAGENET_CLASSES:
        names = Names(*imagenet_names())
    settings = {"input_size": _settings(network)["input_size"]}
    return as_said(network, said, NetworkSource(name, _channels(network), names, settings))


def names_in(settings: Mapping[str, Any], outputs: int) -> Names | None:
    """Read names and descriptions of the classes in a ``pretrained_cfg``; None if it has none."""
    labels = settings.get("label_names")
    if not labels:
        return None
    if isinstance(labels, Mapping):  # perhaps with gaps
        by_index = {int(index): str(name) for index, name in labels.items()}
        labels = [by_index.get(each, f"class {each}") for each in range(outputs)]
    descriptions = settings.get("label_descriptions") or {}
    synonyms = tuple((str(descriptions[e]),) if e in descriptions else () for e in labels)
    return Names(tuple(map(str, labels)), synonyms)


def _of_size(make: Callable[..., nn.Module], said: Said) -> nn.Module:
    """Make a network for images of the given size, if it takes only one size."""
    network = make()
    arguments = for_size(network, said.size) if said.size else {}
    return make(**arguments) if arguments else network


def _known_to_timm(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Drop settings that this version of timm does not have."""
    from dataclasses import fields

    from timm.models import PretrainedCfg

    known = {each.name for each in fields(PretrainedCfg)}
    return {name: each for name, each in settings.items() if name in known}


def _settings(network: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = getattr(network, "pretrained_cfg", {})
    return found


def _channels(network: nn.Module) -> int:
    return int(_settings(network).get("input_size", (3,))[0])


def _classes(network: nn.Module) -> int:
    return int(getattr(network, "num_classes", 0))
