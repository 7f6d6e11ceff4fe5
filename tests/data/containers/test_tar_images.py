import gzip
import os
import pickle
import threading

import numpy as np
import pytest
from networks_on_paper import noise, small_classifier
from PIL import Image
from same_images import in_tars
from tar_files import header, png, samples, tar_bytes, without_end, write_tar

from interpret_kit.data.containers.opening import MOST_OPEN
from interpret_kit.data.load import load_images
from interpret_kit.errors import ClassMismatch, NoImages, NotSupported, UnreadableImage

HUGE = header(b"huge.png", (1 << 30) + 512)


def levels(images):
    """The gray level of each image, by which an image is known."""
    return [int(np.asarray(images.decode(image))[0, 0, 0]) for image in images.ids.tolist()]


def omitted(images):
    return {each.reason: each.names for each in images.omitted}


# --- reading ---


@pytest.fixture(scope="module")
def images_in_tars(tmp_path_factory):
    return in_tars(tmp_path_factory.mktemp("same"))


def test_a_copy_in_another_process_reads_the_same_bytes(images_in_tars):
    images = images_in_tars
    sent = pickle.loads(pickle.dumps(images.pinned()))
    assert sent.fingerprint == images.fingerprint
    assert sent.name(7) == images.name(7) == "train-001.tar: 16.png"


def test_threads_read_members_of_several_files_with_few_open(images_in_tars):
    images = images_in_tars
    expected = [images.store.read(image).digest for image in range(17)]
    found = {}

    def read(first):
        for image in range(first, 17):
            found[first, image] = images.store.read(image).digest

    threads = [threading.Thread(target=read, args=(first,)) for first in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert found == {(a, image): expected[image] for a in range(4) for image in range(a, 17)}
    assert len(images.store.files._open) <= MOST_OPEN


# --- samples and labels ---


def test_images_come_in_the_order_of_the_files_and_their_members(tmp_path):
    write_tar(tmp_path / "b.tar", [("1.png", png(4)), ("0.png", png(3))])
    write_tar(tmp_path / "a.tar", [("2.png", png(2)), ("x/0.png", png(1))])
    images = load_images(tmp_path)
    assert levels(images) == [2, 1, 4, 3]
    assert [images.name(image) for image in range(4)] == [
        "a.tar: 2.png", "a.tar: x/0.png", "b.tar: 1.png", "b.tar: 0.png",
    ]  # fmt: skip
    assert (images.labels.tolist(), images.classes) == ([-1] * 4, ())


def test_labels_are_numbers_or_names_from_cls_or_else_json(tmp_path):
    members = [
        ("0.cls", b" 3\n"), ("0.png", png(0)), ("0.json", b'{"label": 9}'),
        ("1.png", png(1)), ("1.json", b'{"cls": 5, "caption": "x"}'),
        ("2.png", png(2)), ("2.json", b'{"caption": "x"}'),
        ("3.PNG", png(3)), ("d/3.cls", b"7"),
        ("4.left.png", png(4)), ("4.right.png", png(5)), ("4.cls", b"6"),
        ("5.a.png", png(6)), ("5.a.cls", b"1"), ("5.b.png", png(7)), ("5.b.cls", b"2"),
        ("6.png", png(8)), ("6.cls", b"-1\n"),
    ]  # fmt: skip
    images = load_images(write_tar(tmp_path / "x.tar", members))
    assert images.labels.tolist() == [3, 5, -1, -1, 6, 6, 1, 2, -1]
    assert images.classes == ()
    (tmp_path / "y.tar").write_bytes(tar_bytes([("0.png", png(0)), ("0.cls", "é b".encode())]))
    write_tar(tmp_path / "z.tar", [("1.cls", b"a"), ("0.png", png(0)), ("1.png", png(0))])
    images = load_images([tmp_path / "y.tar", tmp_path / "z.tar"])
    assert (images.labels.tolist(), images.classes) == ([1, -1, 0], ("a", "é b"))


@pytest.mark.parametrize("label", [b"1", b"bee"])
def test_class_names_beside_the_files_are_what_labels_mean(tmp_path, label):
    write_tar(tmp_path / "x.tar", [("0.png", png(0)), ("0.cls", label)])
    (tmp_path / "classes.txt").write_text("ant\nbee\ncat\n")
    images = load_images(tmp_path / "x.tar")
    assert (images.labels.tolist(), images.classes) == ([1], ("ant", "bee", "cat"))
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "classes.json").write_text('{"eel": 0, "bee": 1}')
    assert load_images(tmp_path / "x.tar").classes == ("eel", "bee")


@pytest.mark.parametrize(
    ("members", "names", "match"),
    [
        ([("0.png", png(0)), ("0.cls", b"3")], "a\nb\nc", r"x\.tar: 0\.png has the label 3, but"),
        ([("0.png", png(0)), ("0.cls", b"beee")], "ant\nbee", "'beee', which .*similar names: bee"),
        ([*samples([7]), ("1.png", png(0)), ("1.cls", b"b")], "", r"numbers in x\.tar: 000\.png"),
        ([("0.cls", b"1"), ("0.png", png(0)), ("0.cls", b"2")], "", "twice, with different labels"),
    ],
)
def test_labels_that_contradict_each_other_are_an_error(tmp_path, members, names, match):
    write_tar(tmp_path / "x.tar", members)
    if names:
        (tmp_path / "classes.txt").write_text(names)
    with pytest.raises(ClassMismatch, match=match):
        load_images(tmp_path / "x.tar")


def test_what_is_not_used_is_named_with_its_tar_file(tmp_path):
    members = [
        ("0.png", png(0)), ("0.seg.png", png(1)), ("0.txt", b"x"), ("._0.png", b"x"),
        (".1.png", png(1)), ("2.heic", b"x"), ("0.json", b"{"), ("3.cls", b"\xff"),
        ("4.json", b'{"label": 1.5}'), ("5.json", b'{"label": [1, 2]}'), ("6.cls", b"x" * 2000000),
    ]  # fmt: skip
    images = load_images(write_tar(tmp_path / "x.tar", members))
    assert levels(images) == [0]
    assert omitted(images) == {
        "images of a format that is not read": ("x.tar: 2.heic",),
        "hidden images": ("x.tar: .1.png",),
        "labels that are neither a number nor a name": (
            "x.tar: 0.json", "x.tar: 3.cls", "x.tar: 4.json", "x.tar: 5.json", "x.tar: 6.cls",
        ),
        "additional images of a sample": ("x.tar: 0.seg.png",),
        "other files": ("x.tar: 0.txt",),
        "system files": ("x.tar: ._0.png",),
    }  # fmt: skip
    lost = [each.reason for each in images.omitted if each.lost]
    assert lost == list(omitted(images))[:3]


@pytest.mark.parametrize("label", [b"9" * 5000, b"-5"])
def test_a_number_that_is_not_an_index_is_not_a_label(tmp_path, label):
    images = load_images(write_tar(tmp_path / "x.tar", [("0.png", png(0)), ("0.cls", label)]))
    assert images.labels.tolist() == [-1]
    assert omitted(images) == {"labels that are neither a number nor a name": ("x.tar: 0.cls",)}


# --- hostile files ---


def test_names_lead_nowhere_and_nothing_is_extracted(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["/etc/0.png", "../../1.png", "a/../2.png", "\x1b[31m3.png", "bad\udcff.png"]
    write_tar(tmp_path / "x.tar", [(name, png(k)) for k, name in enumerate(names)])
    images = load_images("x.tar")
    assert levels(images) == [0, 1, 2, 3, 4]
    shown = [*names[:4], "bad\ufffd.png"]
    assert [images.name(image) for image in range(5)] == [f"x.tar: {each}" for each in shown]
    assert list(tmp_path.iterdir()) == [tmp_path / "x.tar"]


def test_members_that_cannot_be_read_are_named_and_the_others_are_used(tmp_path):
    members = [("0.png", png(0)), ("1.png", b"no image"), ("2.png", b""), ("3.png", png(3))]
    link = header(b"4.png", kind=b"2")
    (tmp_path / "x.tar").write_bytes(link + without_end(members) + HUGE)
    images = load_images(tmp_path / "x.tar")
    reading = images.read(small_classifier().preprocessing)
    seen = [int(image) for batch in reading for image in batch.ids]
    assert seen == [0, 3]
    assert [str(each) for each in reading.unreadable] == [
        "cannot read x.tar: 1.png: it is not a JPEG, PNG, BMP, GIF, WebP, TIFF, PPM or PGM image",
        "cannot read x.tar: 2.png: it is empty",
        "cannot read x.tar: huge.png: it has more than 1 GiB; resize it first",
    ]
    assert omitted(images) == {
        "damaged tar or Parquet files": ("x.tar, as it is truncated",),
        "not regular files": ("x.tar: 4.png",),
    }
    with pytest.raises(UnreadableImage, match="not regular files: 1"):
        list(images.read(small_classifier().preprocessing, strict=True))


def test_a_member_that_the_file_ends_within_is_named(tmp_path):
    content = png(noise(1)[0])
    whole = tar_bytes([("0.png", png(0)), ("1.png", content)])
    cut = whole[: whole.index(content) + 100]
    (tmp_path / "x.tar").write_bytes(cut)
    images = load_images(tmp_path / "x.tar")
    with pytest.raises(UnreadableImage, match="the tar file ends within it"):
        images.decode(1)
    assert levels(images.only([0])) == [0]


def test_a_file_that_is_not_a_tar_file_is_named_beside_others(tmp_path):
    write_tar(tmp_path / "a.tar", samples([5]))
    (tmp_path / "b.tar").write_bytes(png(0))
    (tmp_path / "c.tar").touch()
    os.mkfifo(tmp_path / "d.tar")
    write_tar(tmp_path / "e.tar", samples([6]))
    images = load_images(tmp_path)
    assert levels(images) == [5, 6]
    assert images.name(1) == "e.tar: 000.png"
    assert omitted(images)["damaged tar or Parquet files"] == (
        "b.tar, as it is not a tar file", "c.tar, as it is empty",
        "d.tar, as it is not a regular file",
    )  # fmt: skip


def test_a_compressed_tar_file_is_refused_whatever_its_name(tmp_path):
    packed = gzip.compress(tar_bytes(samples([1])))
    (tmp_path / "x.tar").write_bytes(packed)
    with pytest.raises(NotSupported, match=r"x\.tar is compressed with gzip, so .* \(gzip -d\)"):
        load_images(tmp_path / "x.tar")
    (tmp_path / "x.tar.gz").write_bytes(packed)
    with pytest.raises(NotSupported, match=r"x\.tar\.gz is compressed, so its images cannot"):
        load_images(tmp_path / "x.tar.gz")


def test_a_tar_file_without_images_is_an_error_that_says_what_it_contains(tmp_path):
    write_tar(tmp_path / "x.tar", [("a.txt", b"x"), ("a.cls", b"1")])
    with pytest.raises(NoImages, match=r"x\.tar contains no images .*other files: 1 \(x\.tar: a"):
        load_images(tmp_path / "x.tar")
    write_tar(tmp_path / "x.tar", [])
    with pytest.raises(NoImages, match=r"x\.tar contains no images \(\.jpg.*\)$"):
        load_images(tmp_path / "x.tar")


def test_a_member_that_changes_during_a_run_is_not_read(tmp_path):
    path = write_tar(tmp_path / "x.tar", samples([5]))
    images = load_images(path).pinned()
    assert levels(images) == [5]
    path.write_bytes(tar_bytes(samples([6])))
    images = pickle.loads(pickle.dumps(images))  # opens it again, as a worker does
    with pytest.raises(UnreadableImage, match="it changed during the run"):
        images.decode(0)
    assert isinstance(load_images(path).decode(0), Image.Image)
