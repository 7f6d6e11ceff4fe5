"""What do the dimensions of an operation's outputs hold, given those of its inputs?

Operations are those seen by a dispatch mode, independent of the Python code that calls them. The
dimensions after an operation without a rule are unknown, until the next convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from interpret_kit.models.layers import view_rules as views
from interpret_kit.models.layers.dimensions import (
    BATCH,
    CHANNEL,
    COL,
    ROW,
    UNKNOWN,
    Dim,
    Dims,
    agreed,
    fresh,
    resized_dim,
    unknown,
)
from interpret_kit.models.layers.layout import are_maps
from interpret_kit.models.layers.operations import LayerOperation

DimensionRule = Callable[[LayerOperation], "Dims | list[Dims]"]


def dims_of_outputs(operation: LayerOperation) -> list[Dims]:
    """Return the dimensions of every output."""
    name = operation.name if operation.name in RULES else operation.name.rstrip("_")
    rule = _cell_by_cell if operation.pointwise else RULES.get(name)
    try:
        found = rule(operation) if rule else []
    except (
        IndexError,
        TypeError,
        ValueError,
        ZeroDivisionError,
    ):  # an overload with other arguments
        found = []
    several = found if isinstance(found, list) else [found]
    return [
        dims if dims is not None and tuple(each.size for each in dims) == tuple(output.shape)
        else unknown(output.shape)
        for output, dims in zip(
            operation.outputs, [*several, *[None] * len(operation.outputs)], strict=False
        )
    ]  # fmt: skip


def _cell_by_cell(operation: LayerOperation) -> Dims:
    values = list(operation.arguments.values())
    values += [each for value in values if isinstance(value, (list, tuple)) for each in value]
    known = [dims for dims in map(operation.dims, values) if dims is not None]
    shape = operation.shape
    columns = [
        [dims[k - len(shape)] for dims in known if len(dims) >= len(shape) - k]
        for k in range(len(shape))
    ]
    return tuple(agreed(column, size) for column, size in zip(columns, shape, strict=True))


def _as_first(operation: LayerOperation) -> Dims:
    return operation.source("self", "input", "src", "query")


def _as_first_if_pooled(operation: LayerOperation) -> Dims:
    """Handle `as_strided` at the end of global pooling: new strides of one row and column."""
    pooled = tuple(operation.shape[2:]) == (1, 1)
    return operation.source("self") if pooled else unknown(operation.shape)


def _convolved_dims(operation: LayerOperation) -> Dims:
    before, shape = operation.source("input", "qx"), operation.shape
    if len(shape) != 4 or len(before) != 4:
        return _conv1d(operation, before)
    images = before[0]
    if images.kind == UNKNOWN and not images.placed and images.size == operation.images:
        images = fresh(BATCH, operation.images)
    maps = (images, fresh(CHANNEL, shape[1]))
    weight = operation["weight"]
    if isinstance(weight, Tensor) and tuple(weight.shape[2:]) == (1, 1):
        kept = (*maps, *before[2:])  # such as tokens, (batch, channels, tokens, 1)
        if (
            before[2].size == shape[2]
            and before[3].size == shape[3]
            and are_maps(kept, images.size)
        ):
            return kept
    turned = before[2].kind == COL and before[3].kind == ROW
    kinds = (COL, ROW) if turned else (ROW, COL)
    return (*maps, *(fresh(*each) for each in zip(kinds, shape[2:], strict=True)))


def _conv1d(operation: LayerOperation, before: Dims) -> Dims:
    """Handle a convolution along tokens, or over a volume."""
    shape = operation.shape
    if len(before) != len(shape):
        return unknown(shape)
    kept = [old if old.size == size else resized_dim(old, size) for old, size in zip(before, shape)]  # noqa: B905
    one = isinstance(operation["weight"], Tensor) and operation["weight"].shape[2:].numel() == 1
    channel = fresh(CHANNEL if before[1].kind == CHANNEL else UNKNOWN, shape[1])
    places = kept[2:] if one else [fresh(UNKNOWN, size) for size in shape[2:]]
    return (before[0], channel, *places)


def _resized(operation: LayerOperation) -> list[Dims]:
    """Handle pooling, padding and resampling: the same dimensions with other sizes."""
    before = operation.source("self", "input", "qx")
    return [
        tuple(
            old if old.size == size else resized_dim(old, size)
            for old, size in zip(before, output.shape, strict=True)
        )
        for output in operation.outputs
        if len(output.shape) == len(before)
    ]


def _reduced(operation: LayerOperation) -> Dims:
    before = operation.source("self", "input")
    given = operation["dim"]
    chosen = given if isinstance(given, (list, tuple)) else [given]
    gone = {each % len(before) for each in chosen if each is not None} or set(range(len(before)))
    if operation["keepdim"]:
        return tuple(resized_dim(dim, 1) if k in gone else dim for k, dim in enumerate(before))
    return tuple(dim for k, dim in enumerate(before) if k not in gone)


def _as_columns(operation: LayerOperation) -> Dims:
    """`nn.Unfold`: (batch, channels x patch, positions)."""
    batch, _, rows, cols = operation.source("self")
    sizes = []
    for k, dim in enumerate((rows, cols)):
        reach = operation["dilation"][k] * (operation["kernel_size"][k] - 1) + 1
        room = dim.size + 2 * operation["padding"][k] - reach
        sizes.append(room // operation["stride"][k] + 1)
    grid = resized_dim(rows, sizes[0]).factors + resized_dim(cols, sizes[1]).factors
    return (batch, fresh(CHANNEL, operation.shape[1]), Dim(grid))


def _new_feature_maps(operation: LayerOperation) -> Dims:
    """Return the dimensions of feature maps, (batch, filters, rows, cols), made from others."""
    first = operation.source("self", "input")
    kinds = zip((CHANNEL, ROW, COL), operation.shape[-3:], strict=True)
    return (first[0], *(fresh(kind, size) for kind, size in kinds))


def _shuffled(operation: LayerOperation) -> Dims:
    before = operation.source("self")
    return (before[0], fresh(CHANNEL, before[1].size), *before[2:])


def _product(operation: LayerOperation) -> Dims:
    one, other = _factors(operation)
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):  # quantised, packed weights
        return unknown(operation.shape)
    left, right = operation.dims(one), operation.dims(other)
    first, second = left or unknown(one.shape), right or unknown(other.shape)
    inner = agreed([first[-1], second[-2]], one.shape[-1])
    channels = inner.kind == CHANNEL
    if left is not None and right is not None:
        operation.mixes = True
    elif left is not None or right is not None:
        operation.mixes = inner.placed and not channels
    new = fresh(CHANNEL if channels else UNKNOWN, operation.shape[-1])
    rows = first[-2] if left is not None else fresh(new.kind, one.shape[-2])
    cols = second[-1] if right is not None else new
    return (*(agreed(pair, pair[0].size) for pair in zip(first[:-2], second)), rows, cols)[  # noqa: B905
        -len(operation.shape) :
    ]


def _factors(operation: LayerOperation) -> tuple[Any, Any]:
    if operation.name == "linear":
        weight = operation["weight"]
        return operation["input"], weight.t() if isinstance(weight, Tensor) else None
    pairs = {"addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2")}
    one, other = pairs.get(operation.name.rstrip("_"), ("self", "mat2"))
    return operation[one], operation[other]


def _attention(operation: LayerOperation) -> Dims:
    operation.mixes = True
    query, value = operation.source("query"), operation.source("value")
    return (*query[:-1], value[-1])


def _encoder_layer(operation: LayerOperation) -> Dims:
    """Handle the fused kernels of a TransformerEncoderLayer, or of its attention."""
    operation.mixes = True
    return _as_first(operation)


_RULES: dict[DimensionRule, str] = {
    _cell_by_cell: (
        "clone copy_ _to_copy contiguous where masked_fill native_dropout dropout hardswish "
        "_prelu_kernel log_sigmoid_forward rrelu_with_noise"
    ),
    _as_first: (
        "native_layer_norm native_group_norm native_batch_norm cudnn_batch_norm batch_norm "
        "layer_norm group_norm _native_batch_norm_legit _native_batch_norm_legit_no_training "
        "_batch_norm_with_update _batch_norm_no_update _fused_rms_norm rms_norm _softmax softmax "
        "_log_softmax _safe_softmax cumsum alias detach lift_fresh dequantize "
        "to_mkldnn quantize_per_tensor fake_quantize_per_tensor_affine"
    ),
    _convolved_dims: (
        "convolution _convolved_dims convolution_overrideable conv2d mkldnn_convolution "
        "cudnn_convolution _conv_depthwise2d deform_conv2d conv2d_relu"
    ),
    _resized: (
        "max_pool2d max_pool2d_with_indices mkldnn_max_pool2d avg_pool2d adaptive_avg_pool2d "
        "_adaptive_avg_pool2d adaptive_max_pool2d fractional_max_pool2d glu max_unpool2d "
        "upsample_nearest2d _upsample_nearest_exact2d upsample_bilinear2d upsample_bicubic2d "
        "_upsample_bilinear2d_aa _upsample_bicubic2d_aa constant_pad_nd reflection_pad2d "
        "replication_pad2d repeat avg_pool1d adaptive_avg_pool1d max_pool1d"
    ),
    _reduced: (
        "mean sum amax amin max min median var std prod any all argmax argmin logsumexp norm "
        "linalg_vector_norm count_nonzero nansum std_mean var_mean"
    ),
    views.permuting: "permute transpose t",
    views.unsqueezing: "unsqueeze",
    _as_first_if_pooled: "as_strided",
    views.viewing: "view _unsafe_view reshape _reshape_alias _reshape_copy squeeze flatten",
    views.expanding: "expand",
    views.selecting: "select unbind",
    views.slicing: "slice",
    views.splitting: "split split_with_sizes unsafe_split unsafe_split_with_sizes",
    views.joining: "cat",
    views.stacking: "stack",
    views.unfolding: "unfold",
    _as_columns: "im2col",
    views.indexing: "index index_select",
    views.rolling: "roll",
    views.flipping: "flip",
    _new_feature_maps: "pixel_shuffle pixel_unshuffle col2im grid_sampler grid_sampler_2d",
    _shuffled: "channel_shuffle native_channel_shuffle",
    _product: "mm bmm addmm baddbmm linear",
    _attention: (
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_flash_attention "
        "_scaled_dot_product_efficient_attention _scaled_dot_product_cudnn_attention "
        "_scaled_dot_product_attention_math _scaled_dot_product_fused_attention_overrideable"
    ),
    _encoder_layer: "_transformer_encoder_layer_fwd _native_multi_head_attention",
}
RULES: Mapping[str, DimensionRule] = {
    name: rule for rule, names in _RULES.items() for name in names.split()
}
