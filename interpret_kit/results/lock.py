"""Is another process at work in this folder?

A file there says which, and the system holds a lock on it for as long as that process lives. So
what a killed process leaves behind is known to be old.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from interpret_kit.errors import CannotWrite, OutputExists
from interpret_kit.models.loading.recorded_runs import LOCK


@contextmanager
def alone_in(folder: Path, option: str = "--out") -> Iterator[None]:
    """Keep other processes out of a folder; one that is made for it goes again if it stays empty.

    with alone_in(Path("sweeps/kernel")):
        ...  # another process that tries the same is refused

    Args:
        folder: is made if it is not there.
        option: what names the folder, for the message.

    Raises:
        OutputExists: one is at work there.
        CannotWrite: no permission, or a file where a folder should be.
    """
    made = not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _locked(folder / LOCK)
    except OSError as error:
        raise CannotWrite(f"cannot write to {folder}: {error.strerror or error}") from error
    if file is None:
        raise OutputExists(
            f"{_holder(folder / LOCK)} is writing to {folder}; wait for it, end it, or use another "
            f"{option}"
        )
    with file:
        try:
            yield
        finally:
            with suppress(OSError):  # it would only be old
                (folder / LOCK).unlink()
            if made:
                with suppress(OSError):  # there is something in it
                    folder.rmdir()


def _locked(path: Path) -> BinaryIO | None:
    """Open the file with a lock, and sign it; None if another process has it."""
    while True:
        file = path.open("ab")
        if not _lock(file):
            file.close()
            return None
        if _is_there(path, file):
            break
        file.close()  # the one before removed it meanwhile: the lock is on a file of no name
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
    file.flush()
    return file


def _lock(file: BinaryIO) -> bool:
    """Lock the open file, unless another process has; where there are no locks, nobody waits."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except (ImportError, OSError):
        return True
    return True


def _is_there(path: Path, file: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def is_held(folder: Path) -> bool:
    """Whether a process is at work in a folder: see `alone_in`."""
    try:
        with (folder / LOCK).open("rb") as file:
            return not _lock(file)
    except OSError:
        return False


def _holder(path: Path) -> str:
    with suppress(OSError):
        return path.read_text(encoding="utf-8") or "another process"
    return "another process"
