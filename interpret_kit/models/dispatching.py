"""How are the operations of a forward pass intercepted at low cost?"""

from __future__ import annotations

from torch.utils._python_dispatch import TorchDispatchMode


class DispatchMode(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """torch's mode, for subclasses that are never compiled.

    torch shields a mode's function from its compiler, and imports the compiler to do so when the
    first operation is seen: 1.4 s and 220 MB in a process that compiles nothing.
    """

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False
