"""How are Pillow's warnings kept from the user, who can do nothing about them?"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

_one_at_a_time = threading.Lock()


@contextmanager
def pillow_is_quiet() -> Iterator[None]:
    """Turn Pillow's warning about too large an image into an error, and ignore its other warnings.

    Warning filters apply to the whole process: hence the lock, and filters narrow enough not to
    affect other threads in the meantime.
    """
    with _one_at_a_time, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
        yield
