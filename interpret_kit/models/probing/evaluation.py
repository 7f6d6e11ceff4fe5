"""How is a network evaluated and restored? Mode, gradients, compilation, surroundings."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

import torch
from torch import nn

from interpret_kit.errors import NotSupported
from interpret_kit.models.probing.network_kinds import is_exported
from interpret_kit.models.probing.surroundings import plain_surroundings

_locks: dict[int, Any] = {}  # by id: not all networks compare
_of_thread = threading.local()  # whether it traces a network
_making_locks = threading.Lock()
_stances: list[AbstractContextManager[object] | None] = []  # one for each block that runs
_changing_stance = threading.Lock()


@contextmanager
def alone_with(network: nn.Module) -> Iterator[None]:
    """Let other threads that enter this for the same network wait until the block ends.

    Modes and hooks are of the network: a forward pass of another thread would meet them.

    Raises:
        NotSupported: within a trace, which does not wait: threads trace one at a time, and the
            other one may be about to.
    """
    with _making_locks:
        lock = _locks.get(id(network))
        if lock is None:
            lock = _locks[id(network)] = threading.RLock()
            weakref.finalize(network, _locks.pop, id(network), None)
    if not lock.acquire(blocking=not getattr(_of_thread, "traces", False)):
        raise NotSupported(f"another thread uses the {type(network).__name__} in this network")
    try:
        yield
    finally:
        lock.release()


@contextmanager
def tracing() -> Iterator[None]:
    """Mark a block as a trace of a network by this thread; see `alone_with`."""
    before = getattr(_of_thread, "traces", False)
    _of_thread.traces = True
    try:
        yield
    finally:
        _of_thread.traces = before


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Run a block in eval mode, uncompiled and without gradients, in `plain_surroundings`.

    The mode of every module is restored.

    with evaluating(network):
        logits = network(pixels)
    """
    with ExitStack() as stack:
        stack.enter_context(plain_surroundings(network))
        stack.enter_context(in_eval_mode(network))
        stack.enter_context(uncompiled())
        stack.enter_context(torch.no_grad())
        yield


@contextmanager
def in_eval_mode(network: nn.Module) -> Iterator[None]:
    """Run a block in eval mode; restore the mode of every module."""
    # Parts of a frozen TorchScript network have no mode.
    modes = [(each, each.training) for each in network.modules() if hasattr(each, "training")]
    try:
        if any(training for _, training in modes):
            with switchable(network):
                network.eval()
        yield
    finally:
        if any(module.training != training for module, training in modes):
            with switchable(network):
                _restore(modes)


def _restore(modes: Sequence[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        if module.training != training:
            module.train(training)  # it may do more than set the flag, such as merge weights
    for module, training in modes:
        module.training = training


@contextmanager
def uncompiled() -> Iterator[None]:
    """Run compiled networks, or compiled parts of them, as the Python they were made from.

    Hooks have no effect in a graph that was compiled without them. All threads share the setting:
    the last one to leave restores it.
    """
    # Not `is_compiling`: torch.export sets that for all threads.
    if "torch._dynamo" not in sys.modules or torch.compiler.is_dynamo_compiling():
        yield
        return
    with _changing_stance:
        _stances.append(None if _stances else torch.compiler.set_stance("force_eager"))
    try:
        yield
    finally:
        with _changing_stance:
            first = _stances.pop()  # of the last block that ends
            if first is not None:
                first.__exit__(None, None, None)


@contextmanager
def switchable(network: nn.Module) -> Iterator[None]:
    """Allow switching exported programs to eval mode in the block, which has no effect on them."""
    own: list[tuple[nn.Module, dict[str, object]]] = []
    for module in network.modules():
        if is_exported(module):
            mine = vars(module)
            own.append((module, {name: mine.pop(name) for name in ("train", "eval")}))
    try:
        yield
    finally:
        for module, methods in own:
            vars(module).update(methods)
