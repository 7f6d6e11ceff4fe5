"""Which part of the picture does the decision rest on? Captum's Occlusion, several times sooner."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any

import torch
from captum.attr import Occlusion as CaptumOcclusion
from torch import Tensor, nn
from tqdm.auto import tqdm

from interpret_kit.captum_api.arguments import (
    refuse_other_baselines,
    targets_explained,
    windows_argument,
)
from interpret_kit.captum_api.targets import as_captum_takes_it, check_columns
from interpret_kit.errors import DoesNotFit, WrongType
from interpret_kit.incremental.allocator import kept_memory
from interpret_kit.incremental.graph.fingerprint import fingerprint_of, has_hooks
from interpret_kit.incremental.occlusion.backend import Occluding, occluding, takes_rows_apart
from interpret_kit.incremental.occlusion.engine import Stale
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.incremental.tuning import FULL_PASS_WINDOWS
from interpret_kit.models.argument_values import count_argument
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.models.probing.misfits import article, explained, refuse_unusable
from interpret_kit.models.probing.network_kinds import is_exported, is_scripted, unwrapped

_log = logging.getLogger(__name__)

Function = Callable[[Tensor], Tensor]


class IncrementalOcclusion(CaptumOcclusion):  # type: ignore[misc]
    """Captum's Occlusion, in which only what a window changes is computed again.

        occlusion = IncrementalOcclusion(network)
        drops = occlusion.attribute(inputs, (3, 16, 16), strides=(3, 8, 8), target=207)

    Same call, same numbers up to float32's last bits; asked in eval mode. The function may be a
    network, a `Classifier` (whose inputs are pixels) or a classifier's ``probabilities``. What
    cannot be done sooner is left to Captum's own code: other functions, several inputs, windows
    over some of the channels, networks that cannot be traced, work too small to be worth it.
    """

    def __init__(self, forward_func: Function) -> None:
        """Attribute what ``forward_func`` returns."""
        if not callable(forward_func):
            raise WrongType(
                f"forward_func is a network or a function, not {article(forward_func)}; give the "
                "module itself, or classifier.probabilities"
            )
        super().__init__(forward_func)
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
            asked = _asked(self.forward_func)
            if asked is not None:
                # Of a bare network that mixes the rows of a batch, Captum's batches decide.
                refuse_unusable(asked.module, type(asked.module).__name__)
                stack.enter_context(evaluating(asked.module))
            ours = None
            if asked is not None and additional_forward_args is None:
                with kept_memory():
                    question, targets = _question(asked, *told), _targets(target, inputs)
                    if question is not None and targets is not None:
                        ours = self._ours(question, targets, at_once, show_progress)
            if ours is not None:
                return ours
            with targets_explained(target):
                return super().attribute(
                    *told, target, additional_forward_args, at_once, show_progress
                )

    def _ours(
        self, question: _Question, targets: _Targets, batch_size: int, show_progress: bool
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

    def _forwards(self, question: _Question, batch_size: int) -> Occluding | None:
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
            self._ready = occluding(network, question.grid, inputs[:1], self._asked, batch_size)
        return self._ready


def _drops(question: _Question, targets: _Targets, forwards: Occluding, bar: tqdm) -> Tensor:
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


_Targets = Sequence["int | None"]  # for each input; None: all classes


@dataclass(frozen=True)
class _Asked:
    """A function as a network, with what is done before and after it."""

    module: nn.Module
    network: nn.Module
    before: Function
    score: Function  # from the network's outputs


@dataclass(frozen=True)
class _Question:
    asked: _Asked
    inputs: Tensor  # as the network takes them
    fills: Tensor
    uncovered: Tensor  # what the network says of the inputs, (inputs, ...)
    grid: WindowGrid
    channels: int


def _asked(function: object) -> _Asked | None:
    classifier = getattr(function, "__self__", None)
    function = unwrapped(function) if isinstance(function, nn.Module) else function
    if isinstance(classifier, Classifier) and function == classifier.probabilities:
        if _is_plain(classifier) and type(classifier).probabilities is Classifier.probabilities:
            return _Asked(
                classifier, classifier.network, classifier.normalised, classifier.to_probabilities
            )
        return None
    if isinstance(function, Classifier) and _is_plain(function):
        return _Asked(function, function.network, function.normalised, _columns)
    if isinstance(function, nn.Module) and not (is_scripted(function) or is_exported(function)):
        return _Asked(function, function, torch.clone, _columns)
    return None


def _is_plain(classifier: Classifier) -> bool:
    """Whether it does what `Classifier` does, so that its parts can be asked one by one."""
    own = "forward" in vars(classifier) or type(classifier).forward is not Classifier.forward
    return not (own or classifier._forward_hooks or classifier._forward_pre_hooks)


def _columns(outputs: Tensor) -> Tensor:
    return outputs.reshape(len(outputs), -1)


def _question(
    asked: _Asked, inputs: Any, window: Any, strides: Any, baselines: Any
) -> _Question | None:
    """The question in our own terms; None where it is not about windows on pictures."""
    if isinstance(inputs, tuple) and len(inputs) == 1:
        return None  # answered with a tuple, too
    if not isinstance(inputs, Tensor) or inputs.dim() != 4 or not len(inputs):
        return None
    grid, fills = _grid(inputs, window, strides), _fills(inputs, baselines)
    if grid is None or fills is None:
        return None
    taken = asked.before(inputs)
    uncovered = _uncovered(asked, taken)
    if uncovered is None:
        return None
    return _Question(asked, taken, asked.before(fills), uncovered, grid, inputs.shape[1])


def _grid(inputs: Tensor, window: Any, strides: Any) -> WindowGrid | None:
    steps = (strides,) * 3 if isinstance(strides, int) else (strides or (1, 1, 1))
    if not _are_three(window) or not _are_three(steps) or window[0] != inputs.shape[1]:
        return None
    size = inputs.shape[2], inputs.shape[3]
    try:
        return WindowGrid(size, (window[1], window[2]), (steps[1], steps[2]))
    except DoesNotFit:
        return None  # Captum says what is wrong with it


def _uncovered(asked: _Asked, inputs: Tensor) -> Tensor | None:
    """What the network says of the inputs; None unless it is a row of scores for each."""
    answers = []
    for some in torch.split(inputs, FULL_PASS_WINDOWS):
        with explained(asked.network, some, type(asked.network).__name__, bare=True):
            outputs = asked.network(some.clone())  # it may work in place
        if not isinstance(outputs, Tensor) or outputs.shape[:1] != (len(some),):
            return None
        if outputs.dtype in (torch.float16, torch.bfloat16):  # by themselves, or by autocast
            return None
        # Of one logit for each picture, a classifier makes rows itself.
        if outputs.dim() != 2 and (outputs.dim() != 1 or not isinstance(asked.module, Classifier)):
            return None
        answers.append(outputs.clone())  # it may write the next ones over them
    return torch.cat(answers)


def _are_three(sides: Any) -> bool:
    return isinstance(sides, tuple) and len(sides) == 3 and all(isinstance(e, int) for e in sides)


def _fills(inputs: Tensor, baselines: Any) -> Tensor | None:
    if baselines is None:
        return torch.zeros_like(inputs)
    if isinstance(baselines, (int, float)):
        fills = torch.full_like(inputs, baselines)
        return fills if fills.flatten()[0] == baselines or fills.is_floating_point() else None
    if isinstance(baselines, Tensor) and baselines.shape in (inputs.shape, inputs[:1].shape):
        fills = baselines.to(inputs)
        kept = fills.is_floating_point() or torch.equal(fills.to(baselines.dtype), baselines)
        return fills.expand_as(inputs) if kept else None
    return None


def _targets(target: Any, inputs: Any) -> _Targets | None:
    count = len(inputs)
    if target is None or isinstance(target, int):
        return [target] * count
    if isinstance(target, Tensor) and target.dim() < 2:
        target = target.flatten().tolist() * (count if target.numel() == 1 else 1)
    if not isinstance(target, list) or not all(isinstance(each, int) for each in target):
        return None
    return target if len(target) == count and min(target) >= 0 else None
