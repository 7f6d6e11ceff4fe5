"""How does a module that is needed later cost less time?"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread


@contextmanager
def importing(module: str) -> Iterator[None]:
    """Import a module in a thread while the block runs: a network computes outside Python.

    Whoever imports it afterwards finds it there, or meets what is wrong with it.

    with importing("interpret_kit.render.occlusion"):
        result = analysis.run(classifier, images)
    """
    thread = Thread(target=_import, args=(module,), name=f"import {module}")
    thread.start()
    try:
        yield
    finally:
        thread.join()


def _import(module: str) -> None:
    with suppress(Exception):  # raised again where it is needed
        importlib.import_module(module)
