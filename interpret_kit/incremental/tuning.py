"""Which numbers decide how the work is arranged? The tuning constants of the engine.

None of them changes a result beyond its last bits: they choose between ways that compute the same.
Those that `measured.choices` lists are replaced by what the machine at hand measures, unless little
is to be computed or the variable IKIT_TUNING is "fixed". `benchmarks/calibrate.py` prints both, and
with ``--all`` five others next to what it measures; the rest were chosen. Sizes that belong to one
kernel alone stand in its file, such as `graph.winograd`.
"""

from __future__ import annotations

MIB = 2**20

# --- Rates, in seconds, on two cores of an AMD EPYC that share a cache ---

MULTIPLY_ADD = 1 / 190e9  # one multiply-add of a convolution or a linear layer, float32
BYTE = 1 / 30e9  # one byte that an operation reads or writes
GATHERED_BYTE = 1 / 50e9  # one byte of a patch that is gathered from a feature map
CALL = 30e-6  # one operation, however small

# Seconds of full forward passes, at these rates, below which the rates here are not measured.
WORTH_MEASURING = 2.0

# --- Is incremental evaluation worth its trace? (see `worth`) ---

# Incremental evaluation is used if its price is at most this share of that of full forward
# passes: the rates are off by a tenth easily. Infinity and 0 choose it always and never.
MARGIN = 0.9
TRACE = 0.4  # seconds; the first trace in a process imports a compiler
TRACED_OPERATION = 0.003  # seconds, for each operation that is traced
# Forward passes of one row for each ablated layer, before the graph is trusted; twice for windows.
TRIES = 4
# Share of the work of full forward passes that is assumed to be left, before windows are planned.
SHARE_UNDER_WINDOWS = 0.3
PAIRS_TOGETHER = 128  # pairs of an image and a filter that are assumed to share a call

# --- Occlusion (see `occlusion.cost_model`) ---

# Seconds that an operation on one image, or on patches, takes beyond `CALL`, as threads go to sleep
# while Python works in between. Counted only for the choice between the two methods: on the default
# ConvNet, full forward passes are as fast for 16 windows of an image, and half as fast for 49.
SMALL_CALL = 30e-6
# Share of a feature map above which a patch saves nothing: such maps do not count when windows
# are grouped by the size of their affected regions.
MOST_AFFECTED = 0.75
MOST_GROUPS = 2  # of rows of windows, and of columns; with 3, batches are small, 9 % slower (AVX2)
FEWEST_WINDOWS = 8  # whose patches are computed together, even if their maps take more memory
PATCH_WINDOWS = 128  # windows whose patches are computed together, at most
TAIL_WINDOWS = 256  # windows whose full feature maps are computed together, at most
# Of the largest feature map of a batch. With 2 MiB, batches of EfficientNet-Lite0 have 8 windows,
# and 196 windows took 1.3 times as long.
BATCH_BYTES = 16 * MIB
# Of the largest output in a batch of full forward passes. With 16 MiB, batches have 3 to 5 images:
# on AVX2, resnet18 took 1.1 times as long, and swin_tiny 1.3 times. More gains a twentieth at most.
FULL_PASS_BYTES = 64 * MIB
INDICES_BYTES = 32 * MIB  # of the indices of gathers that are kept for the next image
FULL_PASS_WINDOWS = 32  # windows in a full forward pass, at least

# --- Filter ablation (see `ablation.batching`) ---

CACHE_BYTES = 32 * MIB  # that an operation may read and write: what the shared cache holds
FEWEST_PAIRS = 4  # in a micro-batch, even if they do not fit in the cache: calls cost time, too
# Micro-batches are joined where this many times as many pairs fit in the cache: joining is a copy.
REGROUP_AT = 4
KEPT_BYTES = 256 * MIB  # of the feature maps that are kept of the images ablated together
PROBABILITIES = 2**24  # probabilities that one call returns at most: 64 MiB
# Weights of a linear update up to this number are copied into the order in which they are read,
# 64 MiB; larger ones are read where they are.
COPIED_WEIGHTS = 2**24

# --- Kernels, hashes and memory on a CPU ---

# Rows from which on oneDNN's 1x1 convolution is faster than a linear layer.
CONVOLUTION_ROWS = 128
NEVER = 2**30  # more rows or channels than an operation has
# Rows from which on a convolution whose kernel covers all of its input beats a linear layer.
COVERING_ROWS = NEVER
# Channels, of the input and the output, from which on a convolution of 3x3 is faster by Winograd's
# filtering.
WINOGRAD_CHANNELS = NEVER
HASHED_BYTES = 4 * MIB  # of a weight that one thread hashes; smaller weights need no thread
# Free bytes that stay in the process, warm for the next small block: glibc's own rule leaves them.
FREE_BYTES = 64 * MIB
