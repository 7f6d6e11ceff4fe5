"""Normalisations, softmaxes and gates: what is divided by, or multiplied with, other cells."""

from __future__ import annotations

from interpret_kit.incremental.graph.export import ITEM, Node
from interpret_kit.incremental.ops.arguments import dim_of
from interpret_kit.incremental.ops.channels import map_by_map
from interpret_kit.incremental.ops.elementwise import computed_in_cells
from interpret_kit.incremental.ops.operation import Operation, always
from interpret_kit.incremental.ops.patches import Known, PatchRule, is_image
from interpret_kit.incremental.receptive_field.intervals import Span, mixed
from interpret_kit.incremental.receptive_field.rules import moves

BATCH_NORM = "_native_batch_norm_legit_no_training"  # returns three tensors: the first is the map


def is_normalised(node: Node) -> bool:
    """Whether it is the first of the three tensors that a batch normalisation returns."""
    return node.op == ITEM and node.inputs[0].op == BATCH_NORM and node.arguments["index"] == 0


# --- which cells are read ---


def mix_last(node: Node, span: Span) -> Span | None:
    """Linear layers and layer norms mix the last dimensions, and leave the others."""
    last = len(node.arguments.get("normalized_shape", [1]))
    untouched = span.dim is not None and span.dim < len(node.shape) - last
    return span if untouched else mixed(span)


def _mix_along(node: Node, span: Span) -> Span | None:
    return mixed(span) if dim_of(node) == span.dim else span


def _mix_all(_node: Node, span: Span) -> Span | None:
    return mixed(span)


def _instance_norm(node: Node, span: Span) -> Span | None:
    return mixed(span) if node.arguments["use_input_stats"] else span


def _batch_norm(node: Node, span: Span) -> Span | None:
    return mixed(span) if node.arguments["training"] else span


def _gated(node: Node, span: Span) -> Span | None:
    return None if dim_of(node) == span.dim else span


def _same(_node: Node, span: Span) -> Span | None:
    return span


# --- on patches ---


def mixes_channels_last(node: Node, known: Known) -> bool:
    """Whether the channels of maps (batch, rows, cols, channels) are mixed, and only those."""
    last = known.layout[2] == 3 and len(node.arguments.get("normalized_shape", [1])) == 1
    return last and known.alike and len(known.maps) == 1


OPERATIONS = (
    Operation(
        BATCH_NORM,
        intervals=moves(_same),
        patch=PatchRule(computed_in_cells, is_image),
        channel=map_by_map(always),
    ),
    Operation("batch_norm", intervals=moves(_batch_norm)),
    Operation(
        "layer_norm",
        intervals=moves(mix_last, across_filters=True),
        patch=PatchRule(computed_in_cells, mixes_channels_last),
        own_memory=True,
        steep=always,
    ),
    Operation(
        "native_layer_norm", intervals=moves(mix_last, across_filters=True), steep=always
    ),
    Operation("rms_norm", intervals=moves(mix_last, across_filters=True)),
    Operation("instance_norm", intervals=moves(_instance_norm), steep=always),
    Operation("group_norm", intervals=moves(_mix_all), steep=always),
    Operation("native_group_norm", intervals=moves(_mix_all), steep=always),
    Operation("glu", intervals=moves(_gated)),
    Operation("_native_batch_norm_legit", intervals=moves(_mix_all)),
    *(Operation(name, intervals=moves(_mix_along)) for name in (
        "softmax", "_softmax", "log_softmax", "_log_softmax",
    )),
)  # fmt: skip
