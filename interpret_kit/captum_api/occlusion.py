"""Which part of the image does the decision rest on? Captum's Occlusion, incremental and exact."""

from __future__ import annotations

import logging
from contextlib import ExitStack, suppress
from typing import Any

import torch
from captum.attr import Occlusion as CaptumOcclusion
from torch import Tensor
from tqdm.auto import tqdm

from interpret_kit.captum_api.arguments import (
    refuse_other_baselines,
    targets_explained,
    windows_argument,
)
from interpret_kit.captum_api.occlusion_call import (
    Evaluated,
    Function,
    OcclusionCall,
    Targets,
    call_of,
    evaluated_of,
    targets_of,
)
from interpret_kit.captum_api.targets import as_captum_takes_it, check_columns
from interpret_kit.errors import WrongType
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.graph.fingerprint import fingerprint_of, has_hooks
from interpret_kit.incremental.occlusion.backend import (
    OcclusionBackend,
    occlusion_backend,
    takes_rows_apart,
)
from interpret_kit.incremental.occlusion.full_passes import FullOcclusion
from interpret_kit.incremental.occlusion.stored import Stale
from interpret_kit.incremental.tuning import FULL_PASS_WINDOWS
from interpret_kit.models.argument_values import count_argument
from interpret_kit.models.engines import (
    AUTO,
    FULL,
    INCREMENTAL,
    engine_argument,
    not_incremental,
)
from interpret_kit.models.probing.evaluation import alone_with, evaluating
from interpret_kit.models.probing.misfits import (
    article,
    refuse_not_finite,
    refuse_without_values,
)

_log = logging.getLogger(__name__)

_MIXES = "an input's outputs depend on the rest of its batch"


class IncrementalOcclusion(CaptumOcclusion):  # type: ignore[misc]
    """Occlude windows of an image as Captum's Occlusion does, recomputing only what they change.

        occlusion = IncrementalOcclusion(network)
        drops = occlusion.attribute(inputs, (3, 16, 16), strides=(3, 8, 8), target=207)

    Same call, same numbers up to float32's last bits; the network is evaluated in eval mode. The
    function may be a network, a `Classifier` (whose inputs are pixels) or a classifier's
    ``probabilities``. Unsupported calls fall back to Captum's own code: other functions, several
    inputs, windows over some of the channels.
    """

    def __init__(self, forward_func: Function, engine: str = AUTO) -> None:
        """Attribute what ``forward_func`` returns.

        Args:
            forward_func: a network, a `Classifier`, its ``probabilities``, or another function.
            engine: "full" is Captum's own code; "incremental" refuses what it cannot do, with the
                reason; "auto" takes what is expected to be faster.
        """
        if not callable(forward_func):
            raise WrongType(
                f"forward_func is a network or a function, not {article(forward_func)}; give the "
                "module itself, or classifier.probabilities"
            )
        super().__init__(forward_func)
        self.engine = engine_argument(engine, "engine")
        self._weights: str | None = None  # hash of the network, whose weights were finite
        self._key: object = None  # of the last call: grid, shapes, weights
        self._images = 0  # occluded with that key so far
        self._backend: OcclusionBackend | None = None
        self._rows_apart = True  # whether a row's output is independent of the rest of its batch

    def attribute(  # noqa: PLR0913, PLR0917 - Captum's signature
        self,
        inputs: Any,
        sliding_window_shapes: Any,
        strides: Any = None,
        baselines: Any = None,
        target: Any = None,
        additional_forward_args: Any = None,
        perturbations_per_eval: int = 1,
        show_progress: bool = False,
    ) -> Any:
        """Attribute as `captum.attr.Occlusion.attribute` does; see its documentation.

        Returns:
            Score uncovered minus score covered, mean over the windows that cover the pixel, shaped
            like the inputs; with ``target=None`` a map for each input and class, in that order.
        """
        at_once = count_argument(perturbations_per_eval, "perturbations_per_eval")
        sliding_window_shapes, strides = windows_argument(inputs, sliding_window_shapes, strides)
        refuse_other_baselines(inputs, baselines)
        if isinstance(inputs, Tensor):
            target = as_captum_takes_it(target, self.forward_func, len(inputs))
        given = inputs, sliding_window_shapes, strides, baselines
        with ExitStack() as stack:
            evaluated = evaluated_of(self.forward_func)
            if evaluated is not None:
                # A bare network may mix the rows of a batch: then Captum's batches are used.
                refuse_without_values(evaluated.module, type(evaluated.module).__name__)
                stack.enter_context(alone_with(evaluated.network))
                stack.enter_context(evaluating(evaluated.module))
                self._read_weights(evaluated)
            ours = self._incremental(
                evaluated, given, target, additional_forward_args, (at_once, show_progress)
            )
            if isinstance(ours, Tensor):
                return ours
            if self.engine == INCREMENTAL:
                raise not_incremental(ours)
            with targets_explained(target):
                return super().attribute(
                    *given, target, additional_forward_args, at_once, show_progress
                )

    def _read_weights(self, evaluated: Evaluated) -> None:
        """Hash the network; refuse weights that are not finite, unless the hash is the same."""
        weights = None if self.engine == FULL else fingerprint_of(evaluated.network)
        if weights is None or weights != self._weights:
            refuse_not_finite(evaluated.module, type(evaluated.module).__name__)
        self._weights = weights

    def _incremental(
        self, evaluated: Evaluated | None, given: Any, target: Any, more: Any, how: tuple[int, bool]
    ) -> Tensor | str:
        """Attribute the inputs, or say why Captum's own code is to do that."""
        if self.engine == FULL:
            return "engine is 'full'"
        if evaluated is None:
            return "forward_func is not a network, a Classifier or its probabilities"
        if more is not None:
            return "additional_forward_args are given"
        with kept_memory():
            call, targets = call_of(evaluated, *given), targets_of(target, given[0])
            if call is None or targets is None:
                return (
                    "it takes one tensor (batch, channels, height, width), windows over all "
                    "channels, and a network that returns a row of scores for each input"
                )
            # A window that covers an infinity does not remove it from a stored mean.
            if not call.inputs.isfinite().all() or call.uncovered.isnan().any():
                return "the inputs are not finite, or the network returns NaN for one of them"
            return self._ours(call, targets, *how)

    def _ours(
        self, call: OcclusionCall, targets: Targets, batch_size: int, show_progress: bool
    ) -> Tensor | str:
        """Attribute the inputs, or say why Captum's own code is to do that."""
        for _ in range(2):  # a second time if the network is no longer the one that was traced
            backend = self._backend_for(call, batch_size)
            if backend is None:
                return _MIXES
            title = f"{self.get_name()} attribution"
            windows = len(call.inputs) * len(call.grid)
            # Captum depends on tqdm, and shows its progress by it.
            with (
                tqdm(total=windows, desc=title, disable=not show_progress) as bar,
                suppress(Stale),
            ):
                return _drops(call, targets, backend, bar)
            self._key = None
        return "the network's outputs change between calls"

    def _backend_for(self, call: OcclusionCall, batch_size: int) -> OcclusionBackend | None:
        """Choose how to evaluate the network: once, as long as grid, shapes and weights stay.

        None if an input's output depends on the rest of its batch: then Captum's batches decide.
        """
        network, inputs = call.evaluated.network, call.inputs
        key = (
            call.grid,
            inputs.shape[1:],
            inputs.dtype,
            inputs.device,
            batch_size,
            self._weights,
        )
        # What a hook does may depend on anything: no fingerprint covers it.
        if key != self._key or any(map(has_hooks, network.modules())):
            self._key, self._images, self._backend = key, 0, None
            self._rows_apart = takes_rows_apart(network, inputs[:1])
            if not self._rows_apart:
                _log.warning("left to Captum: %s", _MIXES)
        if not self._rows_apart:
            return None
        self._images += len(inputs)
        if self._backend is None or not self._backend.settled:  # more images may pay for a trace
            batch_size = max(batch_size, FULL_PASS_WINDOWS)
            before = self._backend if isinstance(self._backend, FullOcclusion) else None
            before = before if before and before.network is network else None
            given = network, call.grid, inputs[:1], self._images, batch_size
            self._backend = occlusion_backend(*given, engine=self.engine, whole=before)
        return self._backend


def _drops(call: OcclusionCall, targets: Targets, backend: OcclusionBackend, bar: tqdm) -> Tensor:
    check_columns(targets, call.evaluated.score(call.uncovered[:1]).shape[1])
    maps = []
    for row, target in enumerate(targets):
        drops = _drops_of(call, row, backend, bar)
        chosen = drops if target is None else drops[target][None]
        spread = call.grid.spread(chosen.view(-1, *call.grid.shape).cpu().numpy())
        maps.append(torch.from_numpy(spread).to(drops.device))
    return torch.cat(maps)[:, None].repeat(1, call.channels, 1, 1)


def _drops_of(call: OcclusionCall, row: int, backend: OcclusionBackend, bar: tqdm) -> Tensor:
    """Evaluate an input: how far each class drops under each window, (classes, positions)."""
    its = slice(row, row + 1)
    image = backend.image(call.inputs[its], call.uncovered[its])
    # Both scores by the same arithmetic: their common rounding cancels in the difference.
    own = call.uncovered[its] if image.uncovered is None else image.uncovered.reshape(1, -1)
    score = call.evaluated.score(own)
    drops = score.new_empty(score.shape[1], len(call.grid))
    for positions, outputs in image.under_windows(call.fills[row]):
        drops[:, torch.from_numpy(positions)] = (score - call.evaluated.score(outputs)).T
        bar.update(len(positions))
    return drops
