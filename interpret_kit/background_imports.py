"""How does a module that is needed later cost less time?"""

from __future__ import annotations

import gc
import importlib
import sys
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


@contextmanager
def importing_torch() -> Iterator[None]:
    """Import torch in the block without searching its objects for garbage, then or later.

    A million objects that stay until the end are made, and the collector looks through all of them
    four times. If torch is imported already, nothing is different.
    """
    if "torch" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _import(module: str) -> None:
    with suppress(Exception):  # raised again where it is needed
        importlib.import_module(module)
