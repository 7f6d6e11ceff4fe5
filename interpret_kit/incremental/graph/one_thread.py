"""How is a network traced while other threads run networks? They are kept out of the trace.

While torch.export runs, it replaces ``nn.Module.__call__``, for all threads: a module that another
thread calls is recorded as a part of the network that is traced. Either of them then fails.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def traced_alone() -> Iterator[None]:
    """Record modules in a trace only if the thread that entered the block calls them.

    One thread at a time may be in it. Two methods of a private class of torch are replaced, as
    torch offers no other way; nothing is, if a version of torch lacks the class.
    """
    # It loads much of torch.export, which a network that is never traced does not need.
    from torch.fx.experimental import proxy_tensor

    tracer: Any = getattr(proxy_tensor, "_ModuleStackTracer", None)
    if tracer is None:
        yield
        return
    call_module, read = tracer.call_module, tracer.getattr
    thread = threading.get_ident()

    def call_own(
        self: Any, module: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        if threading.get_ident() != thread:
            return forward(*args, **kwargs)
        return call_module(self, module, forward, args, kwargs)

    def read_own(self: Any, name: str, value: object, proxies: Mapping[str, Any]) -> Any:
        return value if threading.get_ident() != thread else read(self, name, value, proxies)

    tracer.call_module, tracer.getattr = call_own, read_own
    try:
        yield
    finally:
        tracer.call_module, tracer.getattr = call_module, read
