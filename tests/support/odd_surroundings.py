"""Which settings of torch around a call would change its numbers, or make it fail?"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch


@contextmanager
def odd_surroundings() -> Iterator[Callable[[], None]]:
    """Run a block with all of them; yields a function that holds them to be still there."""

    def still_there() -> None:
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_device() == torch.device("meta")
        assert torch.is_autocast_enabled("cpu")
        assert torch.is_inference_mode_enabled()

    before = torch.get_default_dtype()
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, before)
        torch.set_default_dtype(torch.float64)
        stack.enter_context(torch.device("meta"))
        stack.enter_context(torch.autocast("cpu", torch.bfloat16))
        stack.enter_context(torch.inference_mode())
        yield still_there
