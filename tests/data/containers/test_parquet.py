import pickle
import sys
import threading

import fsspec
import numpy as np
import pytest
from networks_on_paper import small_classifier
from parquet_tables import structs
from parquet_tables import write_table as write
from same_images import in_folder, in_parquet
from tar_files import png

from interpret_kit.data.containers import parquet_columns, parquet_files
from interpret_kit.data.load import load_images
from interpret_kit.errors import (
    ClassMismatch,
    NoImages,
    NotSupported,
    UnreadableImage,
    UsageError,
)

pa = pytest.importorskip("pyarrow", reason="needs interpret-kit[data]")
parquet = pytest.importorskip("pyarrow.parquet", reason="needs interpret-kit[data]")


def levels(images):
    return [int(np.asarray(images.decode(image))[0, 0, 0]) for image in images.ids.tolist()]


# --- reading ---


@pytest.fixture(scope="module")
def folder_and_parquet(tmp_path_factory):
    root = tmp_path_factory.mktemp("same")
    return in_folder(root), in_parquet(root)


def test_rows_are_found_in_any_order_by_threads_and_by_other_processes(
    folder_and_parquet, monkeypatch
):
    monkeypatch.setattr(parquet_files, "_ROWS", 2)
    folder, images = folder_and_parquet
    expected = [folder.store.read(image).digest for image in range(17)]
    sent = pickle.loads(pickle.dumps(images)).store
    for order in (range(16, -1, -1), np.random.default_rng(0).permutation(17), range(17)):
        assert [sent.read(int(image)).digest for image in order] == [expected[e] for e in order]
    found = {}

    def read(first):
        for image in range(first, 17):
            found[first, image] = sent.read(image).digest

    threads = [threading.Thread(target=read, args=(first,)) for first in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == {(a, image): expected[image] for a in range(4) for image in range(a, 17)}
    assert images.name(10) == "train-1.parquet: row 1"


# --- columns and labels ---


@pytest.mark.parametrize("kind", ["binary", "large_binary", "struct"])
def test_images_are_bytes_alone_or_in_a_struct(tmp_path, kind):
    contents = [png(3), png(4)]
    column = structs(contents) if kind == "struct" else pa.array(contents, getattr(pa, kind)())
    images = load_images(write(tmp_path / "x.parquet", {"caption": ["a", "b"], "jpg": column}))
    assert levels(images) == [3, 4]
    assert (images.labels.tolist(), images.classes) == ([-1, -1], ())


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        ([2, None, -1, 0], None, ([2, -1, -1, 0], ())),
        (["b", "", None, "a"], None, ([1, -1, -1, 0], ("a", "b"))),
        ([1, None, -1, 0], ["ant", "bee"], ([1, -1, -1, 0], ("ant", "bee"))),
    ],
)
def test_labels_are_indices_or_names_or_missing(tmp_path, labels, names, expected):
    columns = {"image": [png(0)] * 4, "label": labels}
    images = load_images(write(tmp_path / "x.parquet", columns, names, group=3))
    assert (images.labels.tolist(), images.classes) == expected


def test_labels_may_be_a_dictionary_and_named_by_a_file_beside(tmp_path):
    words = pa.array(["bee", "ant", "bee"]).dictionary_encode()
    write(tmp_path / "x.parquet", {"image": [png(0)] * 3, "label": words})
    (tmp_path / "classes.txt").write_text("ant\nbee\n")
    assert load_images(tmp_path).labels.tolist() == [1, 0, 1]


def test_labels_that_are_none_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_columns, "_LABELS_AT_ONCE", 1)
    write(tmp_path / "a.parquet", {"image": [png(0)] * 2, "label": [[1, 0], [0]]})
    write(tmp_path / "b.parquet", {"image": [png(0)] * 3, "label": [3, 4, -7]})
    images = load_images(tmp_path)
    assert images.labels.tolist() == [-1, -1, 3, 4, -1]
    (noted,) = images.omitted
    assert noted.names[0].startswith("a.parquet: column label (list<")
    assert noted.names[1:] == ("b.parquet: row 2",)
    assert noted.lost


def test_files_with_other_class_names_are_refused(tmp_path):
    columns = {"image": [png(0)], "label": [0]}
    write(tmp_path / "a.parquet", columns, ["ant", "bee"])
    write(tmp_path / "b.parquet", columns, ["ant", "cat"])
    images = load_images(tmp_path)
    with pytest.raises(ClassMismatch, match=r"b\.parquet has the class names ant, cat, but the"):
        len(images)


@pytest.mark.parametrize(
    ("columns", "match"),
    [
        (
            {"pixels": [1], "label": [0]},
            r"no column of image bytes: there are pixels \(int64\), la",
        ),
        ({"a": [b"x"], "b": [b"x"]}, r"several columns of image bytes: there are a \(binary\), b"),
        ({"image": [{"path": "a.png"}]}, r"no column of image bytes: there are image \(struct<"),
    ],
)
def test_a_file_without_a_column_of_images_is_refused_with_the_columns_there_are(
    tmp_path, columns, match
):
    with pytest.raises(UsageError, match=rf"x\.parquet has {match}"):
        load_images(write(tmp_path / "x.parquet", columns))


# --- damaged files, URLs, missing packages ---


def test_rows_that_cannot_be_read_are_named_and_the_others_are_used(tmp_path):
    contents = structs([png(0), b"no image", None, b"", png(4)])
    images = load_images(write(tmp_path / "x.parquet", {"image": [*contents, None]}))
    reading = images.read(small_classifier().preprocessing)
    assert [int(image) for batch in reading for image in batch.ids] == [0, 4]
    assert [(each.name, each.why) for each in reading.unreadable] == [
        (
            "x.parquet: row 1",
            "it is not a JPEG, PNG, BMP, GIF, WebP, TIFF, PPM or PGM image",
        ),
        ("x.parquet: row 2", "the row has no image bytes"),
        ("x.parquet: row 3", "the row has no image bytes"),
        ("x.parquet: row 5", "the row has no image bytes"),
    ]


def test_a_damaged_file_is_named_beside_others(tmp_path):
    whole = write(tmp_path / "a.parquet", {"image": [png(0)]}).read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:-20])
    (tmp_path / "c.parquet").write_bytes(b"PAR1" + whole)
    write(tmp_path / "d.parquet", {"image": [png(7)]})
    images = load_images(tmp_path)
    assert (images.name(1), levels(images.only([0]))) == ("c.parquet: row 0", [0])
    assert images.omitted[0].names[0].startswith("b.parquet, as it is damaged or truncated (")
    with pytest.raises(UnreadableImage, match="damaged or truncated"):
        images.decode(1)  # the footer is whole, but everything is four bytes later
    assert levels(images.only([2])) == [7]
    with pytest.raises(NoImages, match=r"b\.parquet contains no images .*as it is damaged"):
        load_images(tmp_path / "b.parquet")


def test_a_row_group_too_large_for_the_memory_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_files, "_MOST_BYTES", 50)
    images = load_images(write(tmp_path / "x.parquet", {"image": structs([png(0)])}))
    with pytest.raises(UnreadableImage, match="its row group has more than 0 GiB; write smaller"):
        images.decode(0)


def test_files_at_a_url_are_read_like_local_ones():
    system = fsspec.filesystem("memory")
    with system.open("/hub/train-0.parquet", "wb") as file:
        write(None, {"image": structs([png(5), png(6)]), "label": [1, 0]}, ["a", "b"], to=file)
    try:
        images = load_images("memory://hub/*.parquet")
        assert (levels(images), images.labels.tolist()) == ([5, 6], [1, 0])
        assert images.name(1) == "train-0.parquet: row 1"
    finally:
        system.rm("/hub", recursive=True)


def test_a_missing_pyarrow_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.parquet").touch()
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(NotSupported, match=r"needs pyarrow; pip install 'interpret-kit\[data\]'"):
        load_images(tmp_path / "x.parquet")


def test_a_column_name_that_is_not_text_is_damage(tmp_path):
    path = write(tmp_path / "x.parquet", {"image": [png(0)]})
    path.write_bytes(path.read_bytes().replace(b"image", b"\xed\xffage"))
    with pytest.raises(
        NoImages, match=r"x\.parquet, as it is damaged or truncated \(.*decode byte"
    ):
        load_images(path)
