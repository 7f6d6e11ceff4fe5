"""Which part of the picture does the decision rest on? Captum's Occlusion, several times sooner."""

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
from interpret_kit.incremental.occlusion.backend import Occluding, occluding, takes_rows_apart
from interpret_kit.incremental.occlusion.engine import Stale
from interpret_kit.incremental.tuning import FULL_PASS_WINDOWS
from interpret_kit.models.argument_values import count_argument
from interpret_kit.models.engines import (
    AUTO,
    FULL,
    INCREMENTAL,
    engine_argument,
    not_incremental,
)
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.models.probing.misfits import article, refuse_unusable

_log = logging.getLogger(__name__)


class IncrementalOcclusion(CaptumOcclusion):  # type: ignore[misc]
    """Captum's Occlusion, in which only what a window changes is computed again.

        occlusion = IncrementalOcclusion(network)
        drops = occlusion.attribute(inputs, (3, 16, 16), strides=(3, 8, 8), target=207)

    Same call, same numbers up to float32's last bits; asked in eval mode. The function may be a
    network, a `Classifier` (whose inputs are pixels) or a classifier's ``probabilities``. What
    cannot be done sooner is left to Captum's own code: other functions, several inputs, windows
    over some of the channels, networks that cannot be traced, work too small to be worth it.
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
        self._question: object = None  # what was asked last, and how it was answered
        self._asked = 0  # pictures, of that question
        self._ready: Occluding | None = None
        self._apart = True  # whether the network answers for each row of a batch by itself

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
        """Attribute as `captum.attr.Occlusion.attribute` does, whose documentation holds here.

        Returns:
            Score uncovered minus score covered, mean over the windows that cover the pixel, shaped
            like the inputs; with ``target=None`` a map for each input and class, in that order.
        """
        at_once = count_argument(perturbations_per_eval, "perturbations_per_eval")
        sliding_window_shapes, strides = windows_argument(inputs, sliding_window_shapes, strides)
        refuse_other_baselines(inputs, baselines)
        if isinstance(inputs, Tensor):
            target = as_captum_takes_it(target, self.forward_func, len(inputs))
        told = inputs, sliding_window_shapes, strides, baselines
        with ExitStack() as stack:
            asked = evaluated_of(self.forward_func)
            if asked is not None:
                # Of a bare network that mixes the rows of a batch, Captum's batches decide.
                refuse_unusable(asked.module, type(asked.module).__name__)
                stack.enter_context(evaluating(asked.module))
            ours = self._incremental(
                asked, told, target, additional_forward_args, (at_once, show_progress)
            )
            if isinstance(ours, Tensor):
                return ours
            if self.engine == INCREMENTAL:
                raise not_incremental(ours)
            with targets_explained(target):
                return super().attribute(
                    *told, target, additional_forward_args, at_once, show_progress
                )

    def _incremental(
        self, asked: Evaluated | None, told: Any, target: Any, more: Any, how: tuple[int, bool]
    ) -> Tensor | str:
        """The maps, or why Captum's own code is to make them."""
        if self.engine == FULL:
            return "engine is 'full'"
        if asked is None:
            return "forward_func is not a network, a Classifier or its probabilities"
        if more is not None:
            return "additional_forward_args are given"
        with kept_memory():
            question, targets = call_of(asked, *told), targets_of(target, told[0])
            if question is None or targets is None:
                return (
                    "it takes one tensor (batch, channels, height, width), windows over all "
                    "channels, and a network that returns a row of scores for each input"
                )
            found = self._ours(question, targets, *how)
        return "an input's outputs depend on the rest of its batch" if found is None else found

    def _ours(
        self, question: OcclusionCall, targets: Targets, batch_size: int, show_progress: bool
    ) -> Tensor | None:
        """The maps; None where Captum's own code is to make them."""
        for _ in range(2):  # again, where the network is no longer the one that was traced
            forwards = self._forwards(question, batch_size)
            if forwards is None:
                return None
            said = f"{self.get_name()} attribution"
            windows = len(question.inputs) * len(question.grid)
            # As Captum shows it, whose dependency this is.
            with (
                tqdm(total=windows, desc=said, disable=not show_progress) as bar,
                suppress(Stale),
            ):
                return _drops(question, targets, forwards, bar)
            self._question = None
        return None

    def _forwards(self, question: OcclusionCall, batch_size: int) -> Occluding | None:
        """Traced once, as long as it is the same question and the weights stay.

        None where the network does not answer for each input by itself: Captum's batches decide.
        """
        network, inputs = question.asked.network, question.inputs
        key = (
            question.grid,
            inputs.shape[1:],
            inputs.dtype,
            inputs.device,
            batch_size,
            fingerprint_of(network),
        )
        # What a hook does may depend on anything.
        if key != self._question or any(map(has_hooks, network.modules())):
            self._question, self._asked, self._ready = key, 0, None
            self._apart = takes_rows_apart(network, inputs[:1])
            if not self._apart:
                _log.warning("left to Captum: an input's outputs depend on the rest of its batch")
        if not self._apart:
            return None
        self._asked += len(inputs)
        if self._ready is None or not self._ready.settled:  # worth a trace by now?
            batch_size = max(batch_size, FULL_PASS_WINDOWS)
            self._ready = occluding(
                network, question.grid, inputs[:1], self._asked, batch_size, engine=self.engine
            )
        return self._ready


def _drops(question: OcclusionCall, targets: Targets, forwards: Occluding, bar: tqdm) -> Tensor:
    grid, maps = question.grid, []
    check_columns(targets, question.asked.score(question.uncovered[:1]).shape[1])
    told = question.inputs, question.fills, question.uncovered, targets
    for row, fill, uncovered, target in zip(*told, strict=True):
        own = forwards.uncovered(row[None])
        score = question.asked.score(uncovered[None] if own is None else own.reshape(1, -1))
        drops = score.new_empty(score.shape[1], len(grid))
        for positions, outputs in forwards.outputs(row[None], fill, uncovered[None]):
            drops[:, torch.from_numpy(positions)] = (score - question.asked.score(outputs)).T
            bar.update(len(positions))
        chosen = drops if target is None else drops[target][None]
        spread = grid.spread(chosen.view(-1, *grid.shape).cpu().numpy())
        maps.append(torch.from_numpy(spread).to(row.device))
    return torch.cat(maps)[:, None].repeat(1, question.channels, 1, 1)
