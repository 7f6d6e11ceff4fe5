"""How are the names of a million images kept? As one text, and where each name ends.

A dictionary of them takes several times the memory of the names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

_ENCODING, _ERRORS = "utf-8", "surrogatepass"


class ImageNames(Mapping[int, str]):
    """The names of images by id, equal to a dictionary of them.

    names = ImageNames(np.array([0, 2]), ["ant.png", "bee.png"])
    names[2]  # "bee.png"
    """

    def __init__(self, ids: NDArray[np.int64], names: Iterable[str]) -> None:
        """Keep names, in the order of the ids.

        Args:
            ids: (images,), ascending.
            names: of each.
        """
        self._ids, self._text = ids, bytearray()
        self._ends = np.empty(len(ids), np.int64)  # of each name in the text
        for row, name in enumerate(names):
            self._text += name.encode(_ENCODING, _ERRORS)
            self._ends[row] = len(self._text)

    def __getitem__(self, image: int) -> str:
        row = int(np.searchsorted(self._ids, image))
        if row == len(self._ids) or self._ids[row] != image:
            raise KeyError(image)
        start = int(self._ends[row - 1]) if row else 0
        return self._text[start : int(self._ends[row])].decode(_ENCODING, _ERRORS)

    def __iter__(self) -> Iterator[int]:
        return map(int, self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return repr(dict(self))
