"""What are the bytes of a file? Those of a regular file only: reading others may never end.

A pipe waits for a writer, and /dev/zero has no end.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from interpret_kit.errors import UnreadableImage

MOST_BYTES = 1 << 30  # more than an uncompressed image of as many pixels as are decoded
_NOT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def read_file(path: Path) -> bytes:
    """Return all bytes of a regular file, or of one that a link leads to.

    Raises:
        UnreadableImage: with the reason, but without the file name, which the caller adds.
    """
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > MOST_BYTES:
                raise UnreadableImage(f"it has more than {MOST_BYTES >> 30} GiB; resize it first")
            content = file.read(MOST_BYTES)
    except UnreadableImage:
        raise
    except FileNotFoundError as error:
        raise UnreadableImage("there is no such file") from error
    except PermissionError as error:
        raise UnreadableImage("no permission to read it") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a zero byte
        reason = getattr(error, "strerror", None) or error
        raise UnreadableImage(f"it cannot be read ({reason})") from error
    if not content:
        raise UnreadableImage("the file is empty")
    return content


def first_bytes(path: Path, count: int) -> bytes:
    """Return the first bytes of a regular file.

    Raises:
        OSError: if it cannot be opened, or is not a regular file.
    """
    with open_regular(path) as file:
        return file.read(count)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        UnreadableImage: it is a folder, a pipe, a device or a socket.
        OSError: it cannot be opened.
    """
    _refuse_special(path.stat())  # before it is opened, which may act on a device
    file = os.fdopen(os.open(path, os.O_RDONLY | _NOT_WAITING), "rb")
    try:
        _refuse_special(os.fstat(file.fileno()))  # another one may have taken its place
    except UnreadableImage:
        file.close()
        raise
    return file


def _refuse_special(status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise UnreadableImage("it is a folder")
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableImage("it is not a regular file")
