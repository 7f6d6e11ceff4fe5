"""Which class names and preprocessing does a network get?

Those given by the user, otherwise those saved with its weights. The rest is taken from timm's
settings of the architecture, or classes are numbered, with a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from interpret_kit.errors import NotSupported, UsageError
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.overrides import IMAGENET, Names, Said
from interpret_kit.models.preprocessing import Preprocessing

IMAGENET_CLASSES = 1000
_PREPROCESSING = ("input_size", "mean", "std", "crop_pct", "crop_mode", "interpolation")


@dataclass(frozen=True)
class NetworkSource:
    """The source of a network, and the names and preprocessing it provides."""

    name: str  # for messages: a file, a folder or a name
    channels: int  # of the images that the network takes
    names: Names | None = None  # provided by the source
    settings: Mapping[str, Any] | None = (
        None  # preprocessing provided by the source, with timm's keys
    )
    notes: tuple[str, ...] = ()


def as_said(network: nn.Module, said: Said, source: NetworkSource) -> Classifier:
    """Wrap a timm network with the given or known names and preprocessing.

    Raises:
        UsageError: if names or numbers do not fit the network.
        NotSupported: if it takes images of neither one nor three channels.
    """
    names = said.classes or source.names
    if names is not None:
        _refuse_other_count(names, network, source.name)
    settings = {**_settings_of(network), **(source.settings or {}), **_spelled(said)}
    for each in ("mean", "std"):
        settings[each] = _for_channels(each, settings[each], source, each in said.options)
    classifier = wrapped(network, settings, source.name, names)
    notes = (_of_names(names, classifier, source), _of_settings(settings, said, source))
    classifier.notes = (*source.notes, *filter(None, notes))
    return classifier


def wrapped(
    network: nn.Module, settings: Mapping[str, Any], name: str, names: Names | None
) -> Classifier:
    """Wrap a network with preprocessing under the keys of timm's ``pretrained_cfg``."""
    preprocessing = Preprocessing(
        size=tuple(settings["input_size"][1:]),
        mean=tuple(settings["mean"]),
        std=tuple(settings["std"]),
        crop=settings["crop_pct"],
        interpolation=settings["interpolation"],
        crop_mode=settings["crop_mode"],
    )
    if names is None:
        return Classifier(network, preprocessing, name=name)
    return Classifier(network, preprocessing, names.classes, name=name, synonyms=names.synonyms)


def _settings_of(network: nn.Module) -> dict[str, Any]:
    from timm.data.config import resolve_model_data_config

    found: dict[str, Any] = resolve_model_data_config(network)  # type: ignore[no-untyped-call]
    return found


def _spelled(said: Said) -> dict[str, Any]:
    """Return the user's settings, with timm's keys."""
    spelled = {
        "input_size": said.size and (3, *said.size),
        "mean": said.mean,
        "std": said.std,
    }
    return {name: each for name, each in spelled.items() if each is not None}


def trained_settings(said_by_trainer: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the preprocessing arguments of timm's trainer; None if these are not its arguments."""
    given = dict(said_by_trainer)
    if "crop_pct" not in given:
        return None
    side = given.get("img_size")
    if isinstance(side, int) and not given.get("input_size"):
        given["input_size"] = (3, side, side)
    return {name: given[name] for name in _PREPROCESSING if given.get(name)}


def _for_channels(
    what: str, values: tuple[float, ...], source: NetworkSource, is_said: bool
) -> tuple[float, ...]:
    """Expand to one number for each channel."""
    if source.channels not in {1, 3}:
        raise NotSupported(
            f"{source.name} takes images of {source.channels} channels, but an image has 3 (RGB); "
            "in Python, give ik.Classifier a module that computes its channels from those 3"
        )
    if len(values) == source.channels:
        return tuple(values)
    if is_said and len(values) == 1:
        return tuple(values) * source.channels
    if is_said:
        raise UsageError(
            f"`{what}` has {len(values)} numbers, but {source.name} takes {source.channels} "
            f"channel{'s' if source.channels > 1 else ''}; give one for each, or one for all"
        )
    raise UsageError(
        f"{source.name} takes gray images, but does not specify their mean and std; give those it "
        "was trained with, as in `mean=0.5` and `std=0.5`"
    )


def _refuse_other_count(names: Names, network: nn.Module, name: str) -> None:
    outputs, count = getattr(network, "num_classes", None), len(names.classes)
    if outputs and count != outputs and not (outputs <= 2 and count <= 2):
        raise UsageError(
            f"{name} has {outputs} outputs, but {count} class names were given; give one name per "
            "output, in order"
        )


def _of_names(names: Names | None, classifier: Classifier, source: NetworkSource) -> str:
    if names is not None:
        return ""
    outputs = getattr(classifier.network, "num_classes", None)
    usual = f"; `classes={IMAGENET!r}` if they are those of ImageNet" * (
        outputs == IMAGENET_CLASSES
    )
    return (
        f"{source.name} does not name its classes: they are called class 0, class 1, ...; name "
        f"them with `classes='names.txt'`, one name per line{usual}"
    )


def _of_settings(settings: Mapping[str, Any], said: Said, source: NetworkSource) -> str:
    """Note which preprocessing is assumed, if the source does not provide it."""
    unknown = [each for each in ("size", "mean", "std") if each not in said.options]
    if source.settings is not None or not unknown:
        return ""
    height, width = settings["input_size"][1:]
    used = {
        "size": f"{height}x{width}",
        **{each: ",".join(f"{value:g}" for value in settings[each]) for each in ("mean", "std")},
    }
    assumed = " ".join(f"--{each} {used[each]}" for each in unknown)
    return f"{source.name} does not specify its preprocessing; timm's is assumed: {assumed}"
