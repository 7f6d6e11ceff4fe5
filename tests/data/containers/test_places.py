import fsspec
import numpy as np
import pytest
from tar_files import samples, tar_bytes, write_tar

from interpret_kit.data.containers import opening
from interpret_kit.data.containers.places import container_files
from interpret_kit.data.load import load_images
from interpret_kit.data.torchvision_sets import check_trainable
from interpret_kit.errors import (
    NoImages,
    NothingThere,
    NotSupported,
    RunError,
    UsageError,
)


@pytest.fixture
def named(tmp_path):
    """Make empty tar files; return the names of those that a path stands for."""

    def find(spec, *names, split=None):
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        found = container_files([f"{tmp_path}/{spec}"], split)
        assert found is not None
        return [each.removeprefix(f"{tmp_path}/") for each in found.addresses], found.split

    return find


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("x-{08..11}.tar", ["x-08.tar", "x-09.tar", "x-10.tar", "x-11.tar"]),
        ("x-{11..10}.tar", ["x-11.tar", "x-10.tar"]),
        ("y{0..10}.tar", [f"y{number}.tar" for number in range(11)]),
        ("z{9..010}.tar", ["z009.tar", "z010.tar"]),
        ("x-{10,08}.tar", ["x-10.tar", "x-08.tar"]),
        ("x-{0,1}{8..9}.tar", ["x-08.tar", "x-09.tar", "x-18.tar", "x-19.tar"]),
        ("x-?8.tar", ["x-08.tar", "x-18.tar"]),
        ("x-0[89].tar", ["x-08.tar", "x-09.tar"]),
        ("literal-{1..2}.tar", ["literal-{1..2}.tar"]),
        ("{x}.tar", ["{x}.tar"]),
        ("X.TAR", ["X.TAR"]),
    ],
)
def test_patterns_stand_for_files_as_in_a_shell(named, pattern, expected):
    there = [f"x-{number:02}.tar" for number in (8, 9, 10, 11, 18, 19)]
    more = [*(f"y{number}.tar" for number in range(11)), "z009.tar", "z010.tar"]
    assert named(pattern, *there, "literal-{1..2}.tar", "{x}.tar", "X.TAR", *more) == (
        expected,
        None,
    )


def test_a_folder_without_images_stands_for_the_files_in_it_and_below(named):
    names = ["data/a/1.tar", "data/2.tar", "data/.hidden.tar", "data/readme.txt"]
    assert named("data", *names)[0] == ["data/2.tar", "data/a/1.tar"]


@pytest.mark.parametrize(
    "names",
    [
        ["d/train-00.tar", "d/train-01.tar", "d/validation-00.tar"],
        ["d/net-train-00.tar", "d/net-train-01.tar", "d/net-val-00.tar"],
        ["d/train/00.tar", "d/train/01.tar", "d/val/00.tar"],
        ["d/data/train-00000-of-00002.tar", "d/data/train-00001-of-00002.tar", "d/data/val-0.tar"],
    ],
)
def test_a_folder_of_several_splits_gives_one_of_them(named, names):
    assert named("d", *names) == (names[2:], "val")
    assert named("d", split="train") == (names[:2], "train")
    with pytest.raises(NothingThere, match=r"no split 'test' in .*/d; available: val, train"):
        named("d", split="test")


def test_a_split_needs_files_that_are_named_after_it(named):
    assert named("d", "d/train-0.tar", "d/more-1.tar") == (["d/more-1.tar", "d/train-0.tar"], None)
    with pytest.raises(NothingThere, match="not all named after splits"):
        named("d", split="train")


@pytest.mark.parametrize(
    ("spec", "match"),
    [
        ("shards/trian-000.tar", "no file .*trian-000.tar'; similar names: .*train-000.tar"),
        ("shards/train-{000..002}.tar", "no file .*train-002.tar'"),
        ("nowhere/x.tar", "there is no folder .*nowhere'"),
        ("shards/*.parquet", "no file matches .*parquet'"),
    ],
)
def test_a_missing_file_is_named(tmp_path, spec, match):
    (tmp_path / "shards").mkdir()
    for number in range(2):
        write_tar(tmp_path / "shards" / f"train-{number:03}.tar", samples([1]))
    with pytest.raises(NothingThere, match=match):
        load_images(f"{tmp_path}/{spec}")


def test_a_folder_called_like_a_tar_file_and_other_kinds_of_files_are_refused(tmp_path):
    (tmp_path / "x.tar").mkdir()
    with pytest.raises(NoImages, match=r"the folder .*x\.tar is empty; give a file"):
        load_images(tmp_path / "x.tar")
    write_tar(tmp_path / "y.tar", samples([1]))
    with pytest.raises(UsageError, match=r"a\.png is not a tar or Parquet file, as others are"):
        load_images([tmp_path / "y.tar", tmp_path / "a.png"])
    (tmp_path / "z.parquet").touch()
    with pytest.raises(UsageError, match=r"1 tar and 1 Parquet files; give those of one kind"):
        load_images(tmp_path)
    with pytest.raises(UsageError, match="stands for too many files"):
        load_images("x-{0..9999999}.tar")


# --- URLs ---


@pytest.fixture
def bucket():
    """A bucket in memory, with two tar files and class names."""
    system = fsspec.filesystem("memory")
    for number in range(2):
        system.pipe(f"/bucket/train-{number}.tar", tar_bytes(samples([number, 2])))
    system.pipe("/bucket/classes.txt", b"ant\nbee\ncat\n")
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


@pytest.mark.parametrize("spec", ["", "/train-{0..1}.tar", "/train-*.tar", "/"])
def test_files_at_a_url_are_read_like_local_ones(bucket, spec):
    images = load_images(f"{bucket}{spec}")
    assert [int(np.asarray(images.decode(image))[0, 0, 0]) for image in range(4)] == [0, 2, 1, 2]
    assert (images.labels.tolist(), images.classes) == ([0, 2, 1, 2], ("ant", "bee", "cat"))
    assert images.name(2) == "train-1.tar: 000.png"


def test_urls_without_files_are_errors_of_a_sentence(bucket):
    with pytest.raises(NothingThere, match=r"there is no file memory://bucket/train-9\.tar"):
        load_images(f"{bucket}/train-9.tar")
    with pytest.raises(NothingThere, match="no file matches"):
        load_images(f"{bucket}/val-*.tar")
    with pytest.raises(NothingThere, match=r"memory://bucket/photo\.jpg is a URL; download it"):
        load_images(f"{bucket}/photo.jpg")
    with pytest.raises(UsageError, match=r"nonesuch://.*rotocol not known: nonesuch; download it"):
        load_images("nonesuch://x.tar")


def test_a_missing_package_is_named(monkeypatch):
    def without_s3fs(url):
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", without_s3fs)
    with pytest.raises(NotSupported, match=r"reading s3:// needs .*: Install s3fs to access S3$"):
        load_images("s3://bucket/x.tar")


def test_errors_of_a_remote_file_system_are_errors_of_a_sentence(bucket, monkeypatch):
    class Refused(Exception):
        pass

    def refuse(*_args, **_settings):
        raise Refused("access\ndenied.")

    system = fsspec.filesystem("memory")
    monkeypatch.setattr(opening, "_PAUSES", ())
    monkeypatch.setattr(type(system), "open", refuse)
    with pytest.raises(RunError, match=r"classes\.txt cannot be read \(access denied\); check the"):
        load_images(f"{bucket}/train-0.tar")


@pytest.mark.parametrize("spec", ["x-{0..3}.tar", "data.parquet", "s3://bucket/photos"])
def test_training_is_refused_with_what_it_needs(spec):
    with pytest.raises(UsageError, match="cannot be trained on: training needs a folder with one"):
        check_trainable(spec)
