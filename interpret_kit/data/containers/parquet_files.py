"""How are rows of a Parquet file found and decoded? By row group, a few rows at a time.

Only the column of the images is read, and no more than two batches of it are kept.
"""

from __future__ import annotations

import importlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import IO, Any

from interpret_kit.data.containers.opening import open_binary
from interpret_kit.errors import InterpretError, NotSupported, UnreadableImage

_ROWS = 32  # that are decoded together
_KEPT = 2  # batches: threads read ahead of each other
_MOST_OPEN = 2  # files
_MOST_BYTES = 1 << 31  # of the images of a row group
_BUFFER = 1 << 20  # bytes of a column that are read at once


class ImageColumn:
    """The images of one Parquet file, by row group; for one thread at a time."""

    def __init__(self, address: str, path: str) -> None:
        self._file: IO[bytes] = open_binary(address)
        self._path = path  # of the column of bytes, such as "image.bytes"
        self._parquet = opened(self._file)
        self._group, self._batches, self._next = -1, iter(()), 0
        self._kept: OrderedDict[int, Any] = OrderedDict()

    def read(self, group: int, row: int) -> bytes | None:
        """Return the bytes of an image; None if the row has none.

        Raises:
            UnreadableImage: with the reason.
        """
        with reading_parquet():
            value = self._batch(group, row // _ROWS)[row % _ROWS].as_py()
        if isinstance(value, dict):
            value = value.get("bytes")
        return None if value is None else bytes(value)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _batch(self, group: int, number: int) -> Any:
        if group != self._group or (number < self._next and number not in self._kept):
            self._begin(group)
        while number not in self._kept:
            self._kept[self._next] = next(self._batches).column(0)
            self._next += 1
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return self._kept[number]

    def _begin(self, group: int) -> None:
        metadata = self._parquet.metadata.row_group(group)
        columns = [metadata.column(each) for each in range(metadata.num_columns)]
        if any(
            each.path_in_schema == self._path and each.total_uncompressed_size > _MOST_BYTES
            for each in columns
        ):
            raise UnreadableImage(
                f"its row group has more than {_MOST_BYTES >> 30} GiB; write smaller row groups"
            )
        self._kept.clear()
        self._group, self._next = group, 0
        self._batches = self._parquet.iter_batches(
            _ROWS, row_groups=[group], columns=[self._path], use_threads=False
        )


class ParquetFiles:
    """Image columns of several Parquet files; the last few used stay open.

    A copy in another process opens them again.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses, self.paths = tuple(addresses), dict[int, str]()
        self._start()

    def _start(self) -> None:
        self._open: OrderedDict[int, ImageColumn] = OrderedDict()
        self._lock = threading.Lock()
        weakref.finalize(self, _close_all, self._open)

    def __getstate__(self) -> tuple[tuple[str, ...], dict[int, str]]:
        return self.addresses, self.paths

    def __setstate__(self, state: tuple[tuple[str, ...], dict[int, str]]) -> None:
        self.addresses, self.paths = state
        self._start()

    def read(self, number: int, group: int, row: int) -> bytes | None:
        """Return the bytes of an image; see `ImageColumn.read`."""
        with self._lock:
            if number not in self._open:
                with reading_parquet():
                    column = ImageColumn(self.addresses[number], self.paths[number])
                self._open[number] = column
                while len(self._open) > _MOST_OPEN:
                    self._open.popitem(last=False)[1].close()
            self._open.move_to_end(number)
            return self._open[number].read(group, row)


def opened(file: IO[bytes]) -> Any:
    """Open a Parquet file, of which this reads the footer.

    Raises:
        NotSupported: pyarrow is not installed.
    """
    return _imported("pyarrow.parquet").ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER)


@contextmanager
def reading_parquet() -> Iterator[None]:
    """Turn the errors of pyarrow into `UnreadableImage`."""
    try:
        yield
    except InterpretError:
        raise
    except StopIteration as error:
        raise UnreadableImage("the file has fewer rows than it claims") from error
    except Exception as error:  # on damaged files, pyarrow raises those of Python, too
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise UnreadableImage(f"it is damaged or truncated ({reason})") from error


def _imported(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise NotSupported(
            "reading Parquet files needs pyarrow; pip install 'interpret-kit[data]'"
        ) from error


def _close_all(files: OrderedDict[int, ImageColumn]) -> None:
    for each in files.values():
        each.close()
