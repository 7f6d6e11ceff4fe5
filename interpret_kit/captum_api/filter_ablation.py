"""How much does each filter contribute to a score? Zero-ablation, in Captum's own form."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from captum.attr import PerturbationAttribution
from torch import Tensor, nn

from interpret_kit.captum_api.targets import as_captum_takes_it
from interpret_kit.errors import UsageError
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.models.argument_values import count_argument
from interpret_kit.models.arguments import ALL, Filters, OneLayer, Target, layer_argument, named
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.engines import (
    AUTO,
    FULL,
    INCREMENTAL,
    engine_argument,
    not_incremental,
)
from interpret_kit.models.layers.catalogue import Layer, Point
from interpret_kit.models.layers.find import catalogue
from interpret_kit.models.layers.hooks import ablated_by_row
from interpret_kit.models.layers.selectors import find_layer, parse_filters
from interpret_kit.models.pixels import require_image_batch
from interpret_kit.models.probing.evaluation import alone_with, evaluating
from interpret_kit.models.probing.examine import try_out
from interpret_kit.models.probing.misfits import refuse_other_than_network, refuse_unusable
from interpret_kit.models.probing.network_kinds import unwrapped, widened
from interpret_kit.models.probing.surroundings import plain_surroundings

if TYPE_CHECKING:
    from interpret_kit.incremental.ablation.engine import IncrementalAblation

_log = logging.getLogger(__name__)

Forward = Callable[[Tensor], Tensor]


class FilterAblation(PerturbationAttribution):  # type: ignore[misc]
    """Ablate the filters of a layer one by one, and measure the loss of the target's score.

        ablation = FilterAblation(network, "layer2.0.conv1")
        drops = ablation.attribute(inputs, target=207)  # (batch, filters)

    The value is the score with all filters minus the score with the filter held at zero:
    positive if the filter raises the score. For a `Classifier` the inputs are pixels
    in [0, 1]. Equal to Captum's LayerFeatureAblation with one feature per filter.
    """

    def __init__(self, network: nn.Module, layer: OneLayer, engine: str = AUTO) -> None:
        """Ablate ``layer`` (number, name, module or "last") of a module or a `Classifier`.

        The engine is "full", "incremental" or "auto", as for an analysis's ``run``.
        """
        refuse_other_than_network(network)
        network = unwrapped(network)
        super().__init__(network)
        self.network, self.layer = network, layer_argument(layer)
        self.engine = engine_argument(engine, "engine")

    def attribute(
        self,
        inputs: Tensor,
        target: Target | Tensor | None = None,
        filters: Filters | None = None,
        perturbations_per_eval: int = 1,
    ) -> Tensor:
        """Ablate each filter in turn.

        Args:
            inputs: (batch, channels, height, width).
            target: one class for all inputs, or one per input, by index or, of a `Classifier`, by
                name; may be omitted if the network has one output.
            filters: which filters, as [0, 5] or range(8); all, if not given.
            perturbations_per_eval: filters ablated in one forward pass, each on its own
                copy of the inputs; changes only the speed.

        Returns:
            Score lost, (batch, filters).
        """
        rows_at_once = count_argument(perturbations_per_eval, "perturbations_per_eval")
        body = self.network.network if isinstance(self.network, Classifier) else self.network
        with alone_with(body), plain_surroundings(body):
            return self._drops(inputs, target, filters, rows_at_once)

    def _drops(
        self,
        inputs: Tensor,
        target: Target | Tensor | None,
        filters: Filters | None,
        rows_at_once: int,
    ) -> Tensor:
        body, taken, mixes = self._checked(inputs)
        several = list(target) if isinstance(target, tuple) else target
        indices: Any = as_captum_takes_it(several, self.network, len(inputs))
        wanted = named(self.layer, body)
        layer = find_layer(catalogue(body, taken[:1].clone()), wanted)  # it may work in place
        chosen = parse_filters(ALL if filters is None else filters, layer)
        rows = torch.tensor(chosen, device=inputs.device).repeat_interleave(len(inputs))
        images = torch.arange(len(inputs), device=inputs.device).repeat(len(chosen))
        step = (1 if mixes else rows_at_once) * len(inputs)
        with evaluating(self.network), kept_memory():
            # Cloned, as a network may write its next outputs over these.
            outputs = self.network(inputs.clone()).reshape(len(inputs), -1).clone()
            _score(outputs, indices)  # a wrong target is reported before the work is done
            found = None
            if mixes and self.engine == INCREMENTAL:
                raise not_incremental("the outputs for an image depend on the others of its batch")
            starts = range(0, len(rows), step)
            parts = [(images[k : k + step], rows[k : k + step]) for k in starts]
            if not mixes and self.engine != FULL:
                full = partial(self._whole, body, layer, inputs, *parts[0])
                given = body, layer, taken, (images, rows), step
                found = _incremental(*given, engine=self.engine, full=full)
            if found is None:
                after = torch.cat([self._whole(body, layer, inputs, *p) for p in parts])
                found = outputs, after
        outputs, after = found  # both by the same arithmetic: their common rounding cancels
        before, grid = _score(outputs, indices), after.view(len(chosen), len(inputs), -1)
        return torch.stack([before - _score(each, indices) for each in grid], dim=1)

    def _checked(self, inputs: Tensor) -> tuple[nn.Module, Tensor, bool]:
        """The network itself, what it takes, and whether it mixes the rows of a batch.

        Of a bare network that does, the outputs are those for this batch, as Captum takes them.

        Raises:
            UsageError: if it does not take the inputs; or, for a `Classifier`, if it mixes them.
        """
        if isinstance(self.network, Classifier):
            taken = self.network.normalised(inputs)
            require_image_batch(taken)
            _ = self.network.examined  # which raises
            return self.network.network, taken, False
        require_image_batch(inputs)
        refuse_unusable(self.network, type(self.network).__name__)
        with evaluating(self.network):
            why = try_out(self.network, inputs)
        if why:
            _log.warning("the numbers are those of this batch: %s", why)
        return self.network, inputs, bool(why)

    def _whole(self, body: nn.Module, layer: Layer, inputs: Tensor, *pairs: Tensor) -> Tensor:
        """Outputs (pairs, classes) by one full forward pass."""
        images, filters = pairs
        with ablated_by_row(body, layer.point, filters, layer.layout):
            found: Tensor = self.network(inputs[images]).reshape(len(images), -1).clone()
            return found


def _incremental(  # noqa: PLR0913 - the engine, beside what decides it
    body: nn.Module,
    layer: Layer,
    inputs: Tensor,
    pairs: tuple[Tensor, Tensor],
    batch: int,
    *,
    engine: str,
    full: Callable[[], Tensor],
) -> tuple[Tensor, Tensor] | None:
    """Compute only what each pair of an image and a filter changes, if that pays and can be done.

    On a GPU it is compared with the first full forward pass, ``full``.

    Returns:
        Outputs with all filters, (images, outputs), and with one ablated, (pairs, outputs).
    """
    from interpret_kit.incremental.ablation.engine import IncrementalAblation
    from interpret_kit.incremental.ablation.timing import ablating_is_faster
    from interpret_kit.incremental.graph.fuse_batch_norm import dims_of
    from interpret_kit.incremental.graph.reasons import Untraceable, log_full_passes
    from interpret_kit.incremental.measured.race import seconds, times_both
    from interpret_kit.incremental.worth import ablating_pays, priced, tracing_pays, work_of

    images, point = pairs[0], layer.point
    try:
        dims = {point: dims_of(point, layer.layout)}
        work = priced(work_of(body, inputs, [point]), len(images), batch, inputs.device)
        timed = engine == AUTO and times_both(inputs.device)
        each = seconds(full, inputs.device) / min(batch, len(images)) if timed else 0.0
        pays = partial(tracing_pays, work, len(images) * each)
        if not timed:
            pays = partial(ablating_pays, work, [point], len(images), batch)
        if engine == AUTO and not pays():
            return None
        ablation = IncrementalAblation(body, [point], inputs, dims, work.tuning)
        if timed and not ablating_is_faster(ablation, inputs[: ablation.images_at_once], each):
            return None
    except Untraceable as error:
        if engine == INCREMENTAL:
            raise not_incremental(error) from error
        log_full_passes(_log, error)
        return None
    return _outputs(ablation, point, inputs, pairs)


def _outputs(
    ablation: IncrementalAblation, point: Point, inputs: Tensor, pairs: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """Outputs with all filters, (images, outputs), and with one ablated, (pairs, outputs)."""
    images, filters = pairs
    before, places, after = [], [], []
    for start in range(0, len(inputs), ablation.images_at_once):
        outputs = ablation.observe(inputs[start : start + ablation.images_at_once])
        before.append(outputs.reshape(len(outputs), -1))
        place = ((images >= start) & (images < start + len(outputs))).nonzero()[:, 0]
        mine, numbers = images[place] - start, filters[place]
        found, changed = before[-1][mine], ablation.changes(point)[mine, numbers]
        if changed.any():
            ablated = ablation.ablate(point, mine[changed], numbers[changed])
            found[changed] = ablated.reshape(len(ablated), -1)
        places.append(place)
        after.append(found)
    return torch.cat(before), torch.cat(after)[torch.cat(places).argsort()]


def _score(outputs: Tensor, target: int | Sequence[int] | Tensor | None) -> Tensor:
    """The target's column of outputs (batch, classes), as (batch,)."""
    outputs = widened(outputs.view(len(outputs), -1))
    count = outputs.shape[1]
    if target is None:
        if count != 1:
            raise UsageError(f"the network has {count} outputs; choose one with target=")
        return outputs[:, 0]
    chosen: Any = torch.as_tensor(target, device=outputs.device)
    if chosen.dim() and len(chosen) not in {1, len(outputs)}:
        raise UsageError(f"{len(chosen)} targets for {len(outputs)} inputs; give one, or one each")
    if not 0 <= int(chosen.min()) <= int(chosen.max()) < count:
        alone = "; omit target: its one output is that of the second class"
        raise UsageError(
            f"no output {chosen.tolist()}: the network has {count}, numbered from 0"
            + (alone if count == 1 else "")
        )
    rows = chosen.expand(len(outputs))
    return outputs.gather(1, rows.unsqueeze(1)).squeeze(1)
