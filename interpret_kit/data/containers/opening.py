"""How are tar and Parquet files opened, on disk or at a URL?

URLs are read through fsspec: ``s3://``, ``gs://``, ``https://`` and others. It is imported only
for them.
"""

from __future__ import annotations

import io
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from interpret_kit.data.decoding.regular_files import open_regular
from interpret_kit.errors import NothingThere, NotSupported, UnreadableImage, UsageError

MOST_OPEN = 2  # the file that is read, and the one before it: threads read ahead of each other
_REMOTE_BLOCK = 1 << 22  # bytes that are requested at once


def is_url(address: str) -> bool:
    """Return whether an address is a URL, not a path."""
    return "://" in address


def open_binary(address: str) -> IO[bytes]:
    """Open a file for reading, by its path or URL.

    Raises:
        UnreadableImage: it is not a regular file, or cannot be opened.
        NothingThere: there is no file at the URL.
        NotSupported: a package is missing that reads such URLs.
    """
    if is_url(address):
        with reading_remotely(address):
            system, path = file_system(address)
            # Blocks, as threads do not read exactly in order.
            settings = {} if system.protocol == "memory" else {"cache_type": "blockcache"}
            opened: IO[bytes] = system.open(path, "rb", block_size=_REMOTE_BLOCK, **settings)
            return opened
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
        reason = str(error).rstrip(".")
        raise NotSupported(f"reading {protocol}:// needs another package: {reason}") from error
    except ValueError as error:
        raise UsageError(
            f"{url}: {str(error).rstrip('.')}; download it, and give the file"
        ) from error
    return system, path


@contextmanager
def reading_remotely(url: str) -> Iterator[None]:
    """Turn the errors of a remote file system into ones of a sentence."""
    try:
        yield
    except (UsageError, UnreadableImage):
        raise
    except FileNotFoundError as error:
        raise NothingThere(f"there is no file {url}") from error
    except Exception as error:  # each of fsspec's file systems has exceptions of its own
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UnreadableImage(f"{url} cannot be read ({reason})") from error


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
        if is_url(self.addresses[number]):
            with reading_remotely(self.addresses[number]):
                yield file
            return
        try:
            yield file
        except OSError as error:
            raise UnreadableImage(f"it cannot be read ({error.strerror or error})") from error


def _close_all(files: OrderedDict[int, IO[bytes]]) -> None:
    for file in files.values():
        file.close()
