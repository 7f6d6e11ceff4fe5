"""How are a million names kept in little memory? As one block of bytes."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator


class PackedText:
    """Texts that can be appended and read by position, each at the cost of its bytes and 8 more."""

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._bytes = bytearray()
        self._ends = array("q")  # of each text, in bytes
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Append a text, which may be a file name that is not valid Unicode."""
        self._bytes += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, position: int) -> str:
        end = self._ends[position]  # raises IndexError after the last
        start = self._ends[position - 1] if position > 0 else 0
        return self._bytes[start:end].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        return (self[position] for position in range(len(self)))
