"""How is an image read from a tar file? By its offset, which any process finds again."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from functools import partial

from interpret_kit.data.containers.opening import OpenFiles
from interpret_kit.data.containers.places import ContainerFiles
from interpret_kit.data.containers.sample_labels import Listed
from interpret_kit.data.containers.tar_images import tar_images
from interpret_kit.data.decoding.decode import decode_rgb
from interpret_kit.data.decoding.regular_files import MOST_BYTES
from interpret_kit.data.folders.omitted import Note
from interpret_kit.data.packed_text import PackedText
from interpret_kit.data.pinned import Content
from interpret_kit.errors import UnreadableImage


class TarStore:
    """Images in tar files: their offsets, sizes and names, 24 bytes each beside the names."""

    def __init__(self, found: ContainerFiles) -> None:
        self.files = OpenFiles(found.addresses)
        self.file_names = found.names()
        self._starts = array("q")  # of each file that is listed: how many images precede it
        self._names = PackedText()
        self._offsets, self._sizes = array("q"), array("q")  # bytes

    def add_file(self, note: Note) -> Listed:
        """Append the images of the next file."""
        number = len(self._starts)
        self._starts.append(len(self))
        images = tar_images(self.files, number, self.file_names[number], note)
        for each in images:
            self._names.append(each.name)
            self._offsets.append(each.offset)
            self._sizes.append(each.size)
        return Listed([each.label for each in images])

    def __len__(self) -> int:
        return len(self._offsets)

    def name(self, image: int) -> str:
        """Return the names of the tar file and the member, as text that can be encoded."""
        whole = f"{self.file_names[self._file(image)]}: {self._names[image]}"
        return whole.encode("utf-8", "surrogateescape").decode("utf-8", "replace")

    def read(self, image: int) -> Content:
        """Read the bytes of the member."""
        size = self._sizes[image]
        if size > MOST_BYTES:
            raise UnreadableImage(f"it has more than {MOST_BYTES >> 30} GiB; resize it first")
        held = self.files.read(self._file(image), self._offsets[image], size)
        if len(held) < size:
            raise UnreadableImage("the tar file ends within it")
        if not held:
            raise UnreadableImage("it is empty")
        return Content(held, partial(decode_rgb, held))

    def _file(self, image: int) -> int:
        return bisect_right(self._starts, image) - 1
