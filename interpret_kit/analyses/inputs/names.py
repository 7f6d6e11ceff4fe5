"""Does a network have the classes, layers and filters that an analysis names? Without any image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from interpret_kit.analyses.inputs.chosen_targets import LABEL, PREDICTED
from interpret_kit.captum_api.targets import indices_of
from interpret_kit.models.arguments import ALL
from interpret_kit.models.layers.selectors import parse_filters

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from typing_extensions import Self

    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.known import HasNames


class Checkable(Protocol):
    """An analysis, as far as it is checked against a network."""

    def on(self, classifier: Classifier) -> Self:
        """See `Analysis.on`."""

    def check_size(self, size: tuple[int, int]) -> None:
        """See `Analysis.check_size`."""

    def check_names(self, network: HasNames) -> None:
        """See `Analysis.check_names`."""


def check_before(
    images: object, job: Path | None, analysis: Checkable, classifier: Classifier
) -> None:
    """`check_fit`, if the images are still to be found or hashed, which may take minutes.

    Args:
        images: what `load_images` takes.
        job: the folder of the job, whose images are hashed.
        analysis: the analysis.
        classifier: the classifier.
    """
    from interpret_kit.data.image_set import ImageSet

    if job is not None or not isinstance(images, ImageSet):
        check_fit(analysis, classifier)


def check_fit(analysis: Checkable, classifier: Classifier) -> None:
    """Refuse a network that cannot be analysed, or lacks what the analysis names.

    Raises:
        UsageError: naming the field, or why it cannot be analysed.
    """
    from interpret_kit.models.probing.evaluation import alone_with
    from interpret_kit.models.probing.surroundings import plain_surroundings

    network = classifier.network
    with plain_surroundings(network), alone_with(network):
        _ = classifier.examined  # raises if the network cannot be analysed
        asked = analysis.on(classifier)
        asked.check_size(classifier.size)
        asked.check_names(classifier)


def check_fields(network: HasNames, fields: Mapping[str, Any]) -> None:
    """Refuse targets, layers and filters in the fields of an analysis that the network lacks.

    Raises:
        UsageError: naming the first.
    """
    check_target(network, fields.get("target", LABEL))
    if "layer" in fields:
        check_layers(network, fields["layer"], fields.get("filters", ALL))
    check_ablated(network, fields.get("ablate", ()))


def check_target(network: HasNames, target: Any) -> None:
    """Refuse classes that the network does not have.

    Raises:
        ClassNotFound: naming the first.
    """
    if target not in {PREDICTED, LABEL}:
        indices_of(target, network)


def check_layers(network: HasNames, layers: Any, filters: Any = ALL) -> None:
    """Refuse layers that the network does not have, and filters that one of them does not have.

    Args:
        network: a classifier, or what is known of it.
        layers: by number or name.
        filters: indices; a word such as "all" is ignored.

    Raises:
        LayerNotFound: naming the first.
    """
    for layer in network.find_layers(layers):
        if not isinstance(filters, str):
            parse_filters(filters, layer)


def check_ablated(network: HasNames, given: Any) -> None:
    """Refuse ablated filters that the network does not have.

    Args:
        network: a classifier, or what is known of it.
        given: what `ablated_filters_argument` returned.

    Raises:
        LayerNotFound: naming the first.
    """
    for layer, filters in given:
        check_layers(network, layer, filters)
