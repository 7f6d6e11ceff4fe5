"""How is an image read from a Parquet file? By row group and row, which any process finds again."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from functools import partial

from interpret_kit.data.containers.opening import open_binary
from interpret_kit.data.containers.parquet_columns import columns_of, labels_of_rows
from interpret_kit.data.containers.parquet_files import ParquetFiles, opened, reading_parquet
from interpret_kit.data.containers.places import ContainerFiles
from interpret_kit.data.containers.sample_labels import Listed
from interpret_kit.data.decoding.decode import decode_rgb
from interpret_kit.data.decoding.regular_files import MOST_BYTES
from interpret_kit.data.folders.omitted import Note, Reason
from interpret_kit.data.pinned import Content
from interpret_kit.errors import UnreadableImage


class ParquetStore:
    """Images in Parquet files: the first row of each row group."""

    def __init__(self, found: ContainerFiles) -> None:
        self.files = ParquetFiles(found.addresses)
        self.file_names = found.names()
        self._starts = array("q")  # of each file that is listed: how many images precede it
        self._first_groups = array("q")  # of each file: its place among those of all files
        self._groups = array("q")  # of each row group: how many images precede it
        self._images = 0

    def add_file(self, note: Note) -> Listed:
        """Append the rows of the next file."""
        number = len(self._starts)
        self._starts.append(len(self))
        self._first_groups.append(len(self._groups))
        name = self.file_names[number]
        with reading_parquet(), open_binary(self.files.addresses[number]) as file:
            parquet = opened(file)
            columns = columns_of(parquet.schema_arrow, name)
            labels = (
                [None] * parquet.metadata.num_rows
                if columns.label is None
                else list(labels_of_rows(parquet, columns.label, name, note))
            )
            sizes = [
                parquet.metadata.row_group(each).num_rows for each in range(parquet.num_row_groups)
            ]
        if columns.unused:
            note(Reason.NOT_A_LABEL, columns.unused)
        if sum(sizes) != len(labels):
            raise UnreadableImage("its row groups do not add up to the rows that it claims")
        self.files.paths[number] = columns.image
        for size in sizes:
            self._groups.append(self._images)
            self._images += size
        return Listed(labels, columns.classes)

    def __len__(self) -> int:
        return self._images

    def name(self, image: int) -> str:
        """Return the name of the Parquet file and the row in it, from 0."""
        number = bisect_right(self._starts, image) - 1
        return f"{self.file_names[number]}: row {image - self._starts[number]}"

    def read(self, image: int) -> Content:
        """Read the bytes in the row."""
        number = bisect_right(self._starts, image) - 1
        group = bisect_right(self._groups, image) - 1
        row = image - self._groups[group]
        held = self.files.read(number, group - self._first_groups[number], row)
        if not held:
            raise UnreadableImage("the row has no image bytes")
        if len(held) > MOST_BYTES:
            raise UnreadableImage(f"it has more than {MOST_BYTES >> 30} GiB; resize it first")
        return Content(held, partial(decode_rgb, held))
