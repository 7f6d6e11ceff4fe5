"""Is another process using this folder?

A file in it is locked with filelock until the process ends, so the file that a killed process
leaves behind does not keep others out. The file names the process.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from interpret_kit.errors import CannotWrite, OutputExists
from interpret_kit.models.loading.recorded_runs import LOCK


@contextmanager
def alone_in(folder: Path, option: str = "`out`", *, beside: bool = False) -> Iterator[None]:
    """Keep other processes out of a folder, which is created and, if it stays empty, removed.

    with alone_in(Path("sweeps/kernel")):
        ...  # another process that tries the same is refused

    Args:
        folder: created if it does not exist.
        option: the argument that names the folder, for the message.
        beside: whether the lock is a file beside the folder, which then need not exist.

    Raises:
        OutputExists: another process is using it.
        CannotWrite: no permission, or a file where a folder should be.
    """
    from filelock import FileLock, Timeout

    whole = folder.absolute()
    file = whole.with_name(f".{whole.name}{LOCK}") if beside else folder / LOCK
    home = file.parent
    lock = FileLock(file, timeout=0, thread_local=False)
    try:
        made = not home.exists()
        home.mkdir(parents=True, exist_ok=True)
        if file.exists() and not file.is_file():  # to read from a pipe is to wait
            raise CannotWrite(f"cannot write to {folder}: {file} is not a regular file; remove it")
        lock.acquire()
    except Timeout as error:
        raise OutputExists(
            f"{_holder(file)} is writing to {folder}; wait for it, end it, or use another {option}"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        why = getattr(error, "strerror", None) or error
        raise CannotWrite(f"cannot write to {folder}: {why}") from error
    try:
        _sign(file)
        yield
    finally:
        with suppress(OSError):  # before the release: the next holder's file must stay
            file.unlink()
        lock.release()
        if made:
            with suppress(OSError):  # there is something in it
                home.rmdir()


def is_held(folder: Path) -> bool:
    """Test whether a process is at work in a folder: see `alone_in`."""
    from filelock import FileLock, Timeout

    try:
        if (folder / LOCK).is_file():  # a lock would make it
            with FileLock(folder / LOCK, timeout=0):
                pass
    except Timeout:
        return True
    except OSError:
        return False
    return False


def _sign(file: Path) -> None:
    """Write process and host, as filelock does itself on file systems without locks."""
    if _lines(file)[0] != str(os.getpid()):
        with suppress(OSError):  # on Windows, a locked file cannot be written to
            file.write_text(f"{os.getpid()}\n{socket.gethostname()}\n", encoding="utf-8")


def _holder(file: Path) -> str:
    process, host, *_ = *_lines(file), "", ""
    return f"process {process} on {host}" if process and host else "another process"


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return [""]
