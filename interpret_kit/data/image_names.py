"""How are the names of a million images kept? Packed, and found by id.

A dictionary of them takes several times the memory of the names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from interpret_kit.data.packed_text import PackedText


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
        self._ids, self._names = ids, PackedText(names)

    def __getitem__(self, image: int) -> str:
        row = int(np.searchsorted(self._ids, image))
        if row == len(self._ids) or self._ids[row] != image:
            raise KeyError(image)
        return self._names[row]

    def __iter__(self) -> Iterator[int]:
        return map(int, self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    def __repr__(self) -> str:
        return repr(dict(self))
