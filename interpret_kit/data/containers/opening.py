"""How are tar and Parquet files opened, on disk or at a URL?

URLs are read through fsspec: ``s3://``, ``gs://``, ``https://`` and others. It is imported only
for them.
"""

from __future__ import annotations

import io
import re
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from interpret_kit.data.decoding.regular_files import open_regular
from interpret_kit.errors import (
    InterpretError,
    NothingThere,
    NotSupported,
    RunError,
    UnreadableImage,
    UsageError,
)

MOST_OPEN = 2  # the file that is read, and the one before it: threads read ahead of each other
_REMOTE_BLOCK = 1 << 22  # bytes that are requested at once
_PAUSES = (1.0, 4.0)  # seconds before a file at a URL is tried again
_REFUSED, _NOT_FOUND = (401, 403), (404, 410)  # of HTTP
_WHOLE_ONLY = "its server does not serve parts of files; download it, and give the file"


def is_url(address: str) -> bool:
    """Return whether an address is a URL, not a path."""
    return "://" in address


def open_binary(address: str) -> IO[bytes]:
    """Open a file for reading, by its path or URL.

    Raises:
        UnreadableImage: it is not a regular file, or cannot be opened.
        NothingThere: there is no file at the URL.
        NotSupported: a package is missing that reads such URLs, or their server serves whole files.
        RunError: the URL cannot be read.
    """
    if is_url(address):
        remote: Any = _RemoteFile(address)
        return remote  # type: ignore[no-any-return]
    try:
        return open_regular(Path(address))
    except UnreadableImage:  # an OSError, too
        raise
    except OSError as error:
        raise UnreadableImage(f"it cannot be read ({error.strerror or error})") from error


def file_system(url: str) -> tuple[Any, str]:
    """Return the file system of fsspec and the path in it that a URL stands for.

    Raises:
        NotSupported: a package is missing, or there are no such URLs.
    """
    protocol = url.partition("://")[0]
    try:
        import fsspec
    except ImportError as error:
        raise NotSupported(
            f"reading {protocol}:// needs fsspec; pip install 'interpret-kit[data]'"
        ) from error
    try:
        system, path = fsspec.core.url_to_fs(url)
    except ImportError as error:  # its message names the package
        if protocol in ("http", "https"):
            raise NotSupported(
                f"reading {protocol}:// needs aiohttp; pip install 'interpret-kit[data]'"
            ) from error
        reason = str(error).rstrip(".")
        raise NotSupported(f"reading {protocol}:// needs another package: {reason}") from error
    except ValueError as error:
        raise UsageError(
            f"{url}: {str(error).rstrip('.')}; download it, and give the file"
        ) from error
    return system, path


@contextmanager
def reading_remotely(url: str) -> Iterator[None]:
    """Turn the errors of a remote file system into ones of a sentence, which stop the run.

    Images that a server does not return are not damaged: a job must not count them as such.

    Raises:
        NothingThere: there is no such file.
        NotSupported: the server serves only whole files.
        NoAccess: it refuses to show it.
        RunError: anything else.
    """
    try:
        yield
    except InterpretError:
        raise
    except Exception as error:  # each of fsspec's file systems has exceptions of its own
        cause = _cause_of(error)
        if isinstance(cause, FileNotFoundError) or _status_of(cause) in _NOT_FOUND:
            raise NothingThere(f"there is no file {url}") from error
        if isinstance(cause, ValueError) and re.search("range requests|Cannot seek", str(cause)):
            raise NotSupported(f"{url} cannot be read: {_WHOLE_ONLY}") from error
        if isinstance(cause, PermissionError) or _status_of(cause) in _REFUSED:
            raise NoAccess(f"no permission to read {url}; check the address, or log in") from error
        reason = " ".join(str(cause).split()).rstrip(".") or type(cause).__name__
        raise RunError(
            f"{url} cannot be read ({reason}); check the address and the connection, and run it "
            "again"
        ) from error


class NoAccess(RunError):
    """A server refuses to show a file, or to say whether there is one."""


def _cause_of(error: BaseException) -> BaseException:
    """Return the error of HTTP that fsspec took for a missing file, such as a lost connection."""
    cause = error.__cause__
    return cause if cause is not None and type(cause).__module__.startswith("aiohttp") else error


def _status_of(error: BaseException) -> int | None:
    status = getattr(error, "status", None)
    return status if isinstance(status, int) else None


def _may_pass(error: BaseException) -> bool:
    """Whether it may help to try again."""
    cause = _cause_of(error)
    lasting = InterpretError, FileNotFoundError, PermissionError, ValueError
    return not isinstance(cause, lasting) and not 400 <= (_status_of(cause) or 0) < 500


class _RemoteFile(io.RawIOBase):
    """A file at a URL, opened again if reading it fails."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url, self._at = url, 0
        self._file: Any = None
        with reading_remotely(url):
            self._size = int(self._tried(lambda file: file.seek(0, io.SEEK_END)))

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Set where to read next."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Read as many bytes as the buffer has room for; fewer only at the end."""
        wanted = max(0, min(len(buffer), self._size - self._at))

        def read(file: Any) -> bytes:
            file.seek(self._at)
            content: bytes = file.read(wanted)
            if len(content) < wanted:
                raise EOFError(f"only {len(content)} of {wanted} bytes were returned")
            return content

        with reading_remotely(self._url):
            buffer[:wanted] = self._tried(read)
        self._at += wanted
        return wanted

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
        super().close()

    def _tried(self, act: Callable[[Any], Any]) -> Any:
        """Call a function of the open file, up to three times."""
        for pause in (*_PAUSES, None):
            try:
                self._file = self._file or _opened_remotely(self._url)
                return act(self._file)
            except Exception as error:
                self._file = None
                if pause is None or not _may_pass(error):
                    raise
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")


def _opened_remotely(url: str) -> Any:
    system, path = file_system(url)
    # Blocks, as threads do not read exactly in order.
    settings = {} if system.protocol == "memory" else {"cache_type": "blockcache"}
    opened = system.open(path, "rb", block_size=_REMOTE_BLOCK, **settings)
    if getattr(opened, "size", 0) is None:  # fsspec then reads it as a stream
        raise NotSupported(f"{url} cannot be read: {_WHOLE_ONLY}")
    return opened


class OpenFiles:
    """Files that are read at any position, by several threads; the last few used stay open.

    A copy in another process opens them again.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = tuple(addresses)
        self._start()

    def _start(self) -> None:
        self._open: OrderedDict[int, IO[bytes]] = OrderedDict()
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._open)

    def __getstate__(self) -> tuple[str, ...]:
        return self.addresses

    def __setstate__(self, addresses: tuple[str, ...]) -> None:
        self.addresses = addresses
        self._start()

    def size(self, number: int) -> int:
        """Return the number of bytes of a file."""
        with self._lock, self._reading(number) as file:
            return file.seek(0, io.SEEK_END)

    def read(self, number: int, offset: int, size: int) -> bytes:
        """Return bytes of a file; fewer at its end.

        Raises:
            UnreadableImage: with the reason.
        """
        with self._lock, self._reading(number) as file:
            file.seek(offset)
            return file.read(size)

    @contextmanager
    def _reading(self, number: int) -> Iterator[IO[bytes]]:
        if number not in self._open:
            self._open[number] = open_binary(self.addresses[number])
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)[1].close()
        self._open.move_to_end(number)
        file = self._open[number]
        try:
            yield file
        except InterpretError:  # of a URL
            raise
        except OSError as error:
            raise UnreadableImage(f"it cannot be read ({error.strerror or error})") from error


def _close_all(files: OrderedDict[int, IO[bytes]]) -> None:
    for file in files.values():
        file.close()
