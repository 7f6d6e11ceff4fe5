from types import SimpleNamespace

import numpy as np
import pytest
from torchvision import datasets

from interpret_kit.data import torchvision_sets as published
from interpret_kit.data.load import load_images
from interpret_kit.errors import NothingThere, RunError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("IKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def in_place_of(monkeypatch, kind, downloaded, **data):
    """Put a data set in torchvision's place that is there only once it was downloaded."""

    def make(root, *, download, **split):
        if not (downloaded or download):
            raise RuntimeError("Dataset not found or corrupted.")
        if download and not downloaded:
            raise OSError("no route to host")
        return SimpleNamespace(root=root, split=split, **data)

    monkeypatch.setattr(datasets, kind, make)


def test_without_a_network_the_error_says_what_works(monkeypatch, cache):
    in_place_of(monkeypatch, "CIFAR10", downloaded=False)
    with pytest.raises(RunError, match=r"could not download cifar10 .*no route to host.* 'shapes'"):
        load_images("cifar10")
    assert not cache.exists()


def test_what_was_downloaded_before_needs_no_network(monkeypatch):
    pixels = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)
    in_place_of(monkeypatch, "CIFAR10", True, data=pixels, targets=[1, 0], classes=["plane", "car"])
    images = load_images("CIFAR10")
    assert (images.source, images.split) == ("cifar10", "test")
    assert images.labels.tolist() == [1, 0]
    assert images.classes == ("plane", "car")
    np.testing.assert_array_equal(np.asarray(images.decode(1)), pixels[1])


def test_channels_come_last_whatever_torchvision_stores(monkeypatch):
    stored = np.zeros((2, 3, 5, 4), np.uint8)
    stored[1, 2, 4, 3] = 9
    in_place_of(monkeypatch, "SVHN", True, data=stored, labels=np.array([3, 7]))
    images = load_images("svhn", "train")
    assert images.decode(1).getpixel((3, 4)) == (0, 0, 9)
    assert images.classes == tuple("0123456789")


def test_a_reader_that_is_not_installed_is_named(monkeypatch):
    def make(root, **rest):
        raise ModuleNotFoundError("No module named 'scipy'", name="scipy")

    monkeypatch.setattr(datasets, "SVHN", make)
    with pytest.raises(RunError, match="reading svhn needs scipy: pip install scipy"):
        load_images("svhn")


def test_a_split_that_is_not_there_is_an_error():
    with pytest.raises(NothingThere, match="no split 'val' in mnist; available: test, train"):
        load_images("mnist", "val")


def test_every_name_is_a_data_set_of_torchvision():
    assert all(hasattr(datasets, kind) for kind, _ in published._DATA_SETS.values())
