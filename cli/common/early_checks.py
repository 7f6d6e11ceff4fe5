"""Which names can be checked before the network is loaded?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpret_kit.analyses.inputs.chosen_targets import LABEL, PREDICTED
from interpret_kit.captum_api.targets import targets_by_id
from interpret_kit.models.known import known_model

if TYPE_CHECKING:
    from interpret_kit.analyses.base import Analysis
    from interpret_kit.data.image_set import ImageSet


def check_names(analysis: Analysis[Any], images: ImageSet, model: str) -> None:
    """Refuse classes, layers, filters and labels that the model does not have, as far as known.

    Raises:
        UsageError: the error that the analysis would raise once the network is loaded.
    """
    known = known_model(model)
    if known is None:
        return
    fields = dict(analysis.fields())
    if fields.get("target", LABEL) not in {PREDICTED, LABEL}:
        targets_by_id(fields["target"], known, images)
    if "layer" in fields:
        known.check_layers(fields["layer"], fields.get("filters", ()))
    for layer, filters in fields.get("silence", ()):
        known.check_layers(layer, filters)
    analysis.labelled(images, known)
