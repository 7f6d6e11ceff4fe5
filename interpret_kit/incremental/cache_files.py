"""How are files of the cache read and written, so that no other user can put something there?"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path


def read_own(file: Path, most: int) -> str | None:
    """The text of a file that only this user can write; None for any other, or if there is none.

    Args:
        file: in the cache.
        most: bytes; a larger file is not read.
    """
    try:
        with file.open("rb") as stream:
            about = os.fstat(stream.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_size > most:
                return None
            if hasattr(os, "geteuid") and (about.st_uid != os.geteuid() or about.st_mode & 0o022):
                return None
            return stream.read().decode()
    except (OSError, UnicodeDecodeError):
        return None


def write_own(file: Path, text: str) -> None:
    """Write a file aside, readable by this user alone, then put it in place.

    Raises:
        OSError: no permission or no space.
    """
    number, aside = tempfile.mkstemp(prefix=f".{file.name}-", dir=file.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(aside).replace(file)
    except BaseException:
        Path(aside).unlink(missing_ok=True)
        raise
