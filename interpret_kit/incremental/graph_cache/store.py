"""Which graphs need not be traced again? Those in the cache, and the embedded network's.

Tracing takes a second or two, and importing torch's tracer another one. A graph depends on the
network's structure but not on its weights, so a file in ``IKIT_CACHE`` (by default
``~/.cache/interpret_kit``) is named by a hash of the structure, the input shape, and versions.

A file is JSON, and nothing in it is executed: operators are looked up among those of torch that
modify no argument and access no file. A file that other users could have written, that is damaged,
or that has another format is ignored, and replaced after the next trace. Callers check that a
graph computes the outputs of the network.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path

from torch import Tensor, nn

from interpret_kit.data.torchvision_sets import cache_folder
from interpret_kit.errors import InterpretError
from interpret_kit.incremental.cache_files import read_own, write_own
from interpret_kit.incremental.graph.export import Graph
from interpret_kit.incremental.graph.fingerprint import has_hooks
from interpret_kit.incremental.graph_cache.serialize import Unspeakable, read_graph, spelled
from interpret_kit.incremental.graph_cache.structure import VERSIONED, Unknown, structure
from interpret_kit.models.loading.efficientnet_lite0 import EfficientNet

FORMAT = 1  # of what is in a file; another one is not read
EMBEDDED = "lite0.json"  # the embedded network's graph, for inputs of `EMBEDDED_SHAPE`
EMBEDDED_SHAPE = (103, 3, 224, 224)
EMBEDDED_MODULES = "612a351f5541d767"  # hash of how its modules print

_MOST_BYTES = 64 * 2**20


def kept_graphs(network: nn.Module, inputs: Tensor) -> Iterator[Graph]:
    """Graphs that are at hand for a network and inputs of this shape; none, one or two.

    They are to be checked before they are used.
    """
    for text in _texts(network, inputs):
        # Whatever is wrong with a file, it can be done without.
        with suppress(ValueError, KeyError, TypeError, IndexError, AttributeError, RuntimeError):
            yield read_graph(json.loads(text))


def is_shipped(network: nn.Module, inputs: Tensor) -> bool:
    """Whether every installation has the graph of a network for inputs of this shape."""
    return tuple(inputs.shape) == EMBEDDED_SHAPE and _is_embedded(network)


def keep(network: nn.Module, inputs: Tensor, graph: Graph) -> None:
    """Put a graph into the cache, if it can be spelled; without permission or space, it is not."""
    file = _file(network, inputs)
    if file is None:
        return
    with suppress(Unspeakable, OSError):
        text = json.dumps(spelled(graph), separators=(",", ":"))
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_own(file, text)


def _texts(network: nn.Module, inputs: Tensor) -> Iterator[str]:
    file = _file(network, inputs)
    text = None if file is None else read_own(file, _MOST_BYTES)
    if text is not None:
        yield text
    if is_shipped(network, inputs):
        yield (files("interpret_kit.incremental.graph_cache") / EMBEDDED).read_text(
            encoding="utf-8"
        )


def _is_embedded(network: nn.Module) -> bool:
    """Whether it is the embedded network, in whose modules nothing was replaced."""
    if type(network) is not EfficientNet or _has_hooks(network):
        return False
    return hashlib.sha256(repr(network).encode()).hexdigest()[:16] == EMBEDDED_MODULES


def _has_hooks(network: nn.Module) -> bool:
    return any(map(has_hooks, network.modules()))


def _file(network: nn.Module, inputs: Tensor) -> Path | None:
    """Where a graph is kept; None without a cache, and for a network that may do anything."""
    if _has_hooks(network):
        return None
    said = f"{FORMAT} {_versions()} {tuple(inputs.shape)} {inputs.dtype} {inputs.device.type}"
    try:
        digest = hashlib.sha256(f"{said}\n{structure(network)}".encode())
        return cache_folder() / "graphs" / f"{digest.hexdigest()[:32]}.json"
    except (Unknown, InterpretError):
        return None


def _versions() -> str:
    found = [f"python {sys.version_info[:3]}"]
    for name in ("interpret-kit", *VERSIONED):
        with suppress(PackageNotFoundError):
            found.append(f"{name} {version(name)}")
    return ", ".join(found)
