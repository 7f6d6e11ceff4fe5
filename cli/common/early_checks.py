"""Which mistakes are reported before the network is loaded, or before the images are found?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interpret_kit.analyses.comparing.pairing import check_sizes, order_of_classes
from interpret_kit.analyses.inputs.chosen_targets import LABEL, PREDICTED
from interpret_kit.background_imports import importing_torch
from interpret_kit.captum_api.targets import targets_by_id
from interpret_kit.cli.common.defaults import Chosen, load_chosen
from interpret_kit.cli.common.models import load
from interpret_kit.data.load import is_found_at_once
from interpret_kit.incremental.occlusion.grid import AUTO
from interpret_kit.models.known import NothingKnown, Undecided, known_model
from interpret_kit.models.loading.recorded_runs import size_of

if TYPE_CHECKING:
    import click

    from interpret_kit.analyses.base import Analysis
    from interpret_kit.analyses.comparison import Comparison
    from interpret_kit.cli.common.terminal import Terminal
    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.models.classifier import Classifier
    from interpret_kit.models.known import HasNames


def check_early(analysis: Analysis[Any], model: str, given: Mapping[str, Any]) -> bool:
    """Refuse windows, classes, layers and filters that do not fit the model, as far as known.

    Args:
        analysis: the analysis.
        model: what the user calls it.
        given: the options of the command.

    Returns:
        Whether all of them fit; if not, only the network knows it.

    Raises:
        UsageError: the error that the analysis would raise once the network is loaded.
    """
    fields = dict(analysis.fields())
    size = given["size"] or size_of(model)
    if size is not None:
        analysis.check_size(size)
    any_size = {fields.get("window", AUTO), fields.get("stride", AUTO)} == {AUTO}
    try:
        analysis.check_names(_known(model, given))
    except Undecided:
        return False
    return any_size or size is not None


def check_pair_early(
    question: Comparison, models: tuple[str, ...], given: Mapping[str, Any]
) -> bool:
    """Refuse two models that cannot be compared, as `check_early` does for an analysis.

    Args:
        question: how they are compared.
        models: one, whose filters are ablated, or two.
        given: the options of the command.
    """
    before, after = (given["size"] or size_of(each) for each in (models[0], models[-1]))
    try:
        first, second = (_known(each, given) for each in (models[0], models[-1]))
        order_of_classes(first, second)
        question.check_names(second)
    except Undecided:
        return False
    if before is None or after is None:
        return not question.occlusion
    check_sizes(question, (first.name, before), (second.name, after))
    return True


def _known(model: str, given: Mapping[str, Any]) -> HasNames:
    return (None if given["arch"] else known_model(model)) or NothingKnown()


def check_images(analysis: Analysis[Any], images: ImageSet, model: str) -> None:
    """Refuse targets and labels that do not fit the images, before the network is loaded.

    Raises:
        UsageError: the error that the analysis would raise once the network is loaded.
    """
    known = known_model(model)
    if known is None:
        return
    target = dict(analysis.fields()).get("target", LABEL)
    if target not in {PREDICTED, LABEL}:
        targets_by_id(target, known, images)
    analysis.labelled(images, known)


@dataclass(frozen=True)
class Inputs:
    """The images and the networks of a command, before they are found and loaded."""

    ctx: click.Context
    terminal: Terminal
    models: tuple[str, ...]
    chosen: Chosen
    most: int | None
    decided: bool  # whether all that is asked of the networks is known to fit

    def opened(
        self,
        fits: Callable[[ImageSet, str], object],
        check: Callable[[list[Classifier]], object],
    ) -> tuple[ImageSet, list[Classifier]]:
        """Find the images and load the networks, in the order that reports mistakes earliest.

        Images come first if they are found at once, or if the networks are known to fit.

        Args:
            fits: refuses images that do not fit a model.
            check: refuses networks; called before the images are found, unless they come first.
        """
        if self.decided or is_found_at_once(self.chosen.spec):
            images = self._found(fits)
            return images, self._loaded()
        loaded = self._loaded()
        check(loaded)
        return self._found(fits), loaded

    def _found(self, fits: Callable[[ImageSet, str], object]) -> ImageSet:
        images, line = load_chosen(self.chosen, self.ctx, self.most)
        self.terminal.say(line)
        self.terminal.not_used(images.omitted)
        images.check_readable(strict=self.ctx.params.get("strict", False))
        for each in () if self.ctx.params["arch"] else self.models:
            fits(images, each)
        return images

    def _loaded(self) -> list[Classifier]:
        with importing_torch():
            device = self.ctx.params["device"]
            return [load(each, self.ctx, self.terminal, device) for each in self.models]
