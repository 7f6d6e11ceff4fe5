"""How do slow imports cost less time? In a background thread, and without garbage collection."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Thread


@contextmanager
def importing(module: str) -> Iterator[None]:
    """Import a module in a thread while the block runs, as torch computes without the GIL.

    A later import finds the module loaded; an error of the import is raised there.

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
    """Disable garbage collection while torch is imported in the block, and freeze its objects.

    The import creates a million objects that are never freed, and the collector would traverse
    them four times. If torch is already imported, this does nothing.
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
    with suppress(Exception):  # raised again by the import that needs it
        importlib.import_module(module)
