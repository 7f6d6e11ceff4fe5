"""How does a change of one filter's map go on through the network?

Through what treats each channel by itself (normalisation, activation, pooling, depthwise
convolution) it stays one channel. The first convolution that mixes channels is linear: its output
changes by what that one channel contributes. Only behind it is everything computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from interpret_kit.graph.suffix import TracedNetwork
from interpret_kit.graph.trace import WEIGHT, Node

_BATCH_NORM = "_native_batch_norm_legit_no_training"
_BY_CHANNEL = {
    "relu", "hardtanh", "silu", "gelu", "sigmoid", "tanh", "leaky_relu", "elu", "hardswish",
    "hardsigmoid", "clone", "dropout", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d",
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class ChannelPath:
    """The way of one channel from a layer to where it meets the others."""

    start: Node
    steps: tuple[Node, ...]  # operations on single channels, in order
    mixer: Node | None  # the convolution behind them, if one follows
    landing: Node  # where the whole map is put together again: the mixer, or the last step

    def landed(
        self, traced: TracedNetwork, stored: Mapping[Node, Tensor], images: Tensor, channel: int
    ) -> Tensor:
        """The map at ``landing`` with one channel of ``start`` held at zero.

        Args:
            traced: the network.
            stored: values of ``start`` and ``landing`` from a run without ablation.
            images: which rows of them, (rows,).
            channel: which filter is silenced.
        """
        speaking = stored[self.start][images, channel : channel + 1]
        silent = torch.zeros_like(speaking)
        for step in self.steps:
            silent = _step(traced, step, silent, channel)
            if self.mixer is not None:
                speaking = _step(traced, step, speaking, channel)
        if self.mixer is None:
            landed = stored[self.landing][images]
            landed[:, channel : channel + 1] = silent
            return landed
        weight: Any = traced.weight(self.mixer.arguments["weight"])
        change = F.conv2d(
            silent - speaking,
            weight[:, channel : channel + 1],
            None,
            *(self.mixer.arguments[name] for name in ("stride", "padding", "dilation")),
        )
        return stored[self.landing][images].add_(change)


def channel_path(traced: TracedNetwork, start: Node) -> ChannelPath:
    """Follow a channel of ``start`` as far as it goes alone."""
    steps: list[Node] = []
    landing = start
    while True:
        users = traced.users(landing)
        if len(users) != 1:  # read in several places, or by nobody: put together here
            return ChannelPath(start, tuple(steps), None, landing)
        (user,) = users
        if not _has_plain_weights(user, landing):
            return ChannelPath(start, tuple(steps), None, landing)
        if _mixes(user, landing):
            return ChannelPath(start, tuple(steps), user, user)
        if not _by_channel(user, landing):
            return ChannelPath(start, tuple(steps), None, landing)
        steps.append(user)
        landing = user
        if user.op == _BATCH_NORM:
            (landing,) = traced.users(user)  # the first of the three tensors it returns


def _has_plain_weights(node: Node, read: Node) -> bool:
    """Whether it reads ``read`` and weights alone; a weight may be computed, as by weight_norm."""
    return all(each is read or each.op == WEIGHT for each in node.inputs)


def _mixes(node: Node, read: Node) -> bool:
    return (
        node.op == "conv2d"
        and node.arguments["groups"] == 1
        and node.arguments["input"] is read
        and len(node.shape) == 4
    )


def _by_channel(node: Node, read: Node) -> bool:
    if node.op == "conv2d":  # depthwise: as many groups as channels, in and out
        return bool(node.arguments["groups"] == read.shape[1] == node.shape[1])
    return node.op in _BY_CHANNEL or node.op == _BATCH_NORM


def _step(traced: TracedNetwork, node: Node, maps: Tensor, channel: int) -> Tensor:
    """One operation on one channel, (rows, 1, height, width)."""

    def own(value: Any, weight: Tensor | None) -> Any:
        if weight is not None:
            return weight[channel : channel + 1]
        return maps if isinstance(value, Node) else value

    arguments = {name: own(value, traced.weight(value)) for name, value in node.arguments.items()}
    if node.op == "conv2d":
        arguments["groups"] = 1
    stepped = node.target(**arguments)
    return stepped[0] if isinstance(stepped, tuple) else stepped  # type: ignore[no-any-return]
