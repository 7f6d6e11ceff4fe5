"""Are images decoded once, and never confused with others?"""

import json
import os
import shutil
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image
from small_runs import write_colours

from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.errors import RunError
from interpret_kit.trainers.images import image_cache as file
from interpret_kit.trainers.images.image_cache import packed


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("IKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "decoded"


@pytest.fixture
def folder(tmp_path):
    write_colours(tmp_path / "images", 3, seed=0)
    return tmp_path / "images"


class Told:
    """Counts the calls: none where nothing is decoded."""

    def __init__(self):
        self.calls = []

    def __call__(self, done, total):
        self.calls.append((done, total))


def pack(folder, size=(8, 8)):
    """What is found, and whether it was decoded for it."""
    report = Told()
    found = packed(load_images(folder), size, report)
    assert report.calls in ([], [(len(found.ids), 9)])
    return found, bool(report.calls)


def test_images_are_decoded_once_and_are_what_the_files_hold(cache, folder):
    first, decoded = pack(folder)
    assert decoded
    again, decoded = pack(folder)
    assert not decoded
    for found in (first, again):
        assert found.ids.tolist() == list(range(9))
        for index, path in enumerate(sorted(folder.rglob("*.png"))):
            with Image.open(path) as image:
                assert np.array_equal(found.pixels[index].numpy(), np.asarray(image))


def test_another_size_is_another_entry(cache, folder):
    pack(folder)
    small, decoded = pack(folder, (4, 6))
    assert decoded
    assert small.pixels.shape == (9, 4, 6, 3)
    assert not pack(folder)[1]


def rewritten(path):
    """The same length, the same time of modification, other pixels."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(bytes(content))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert path.stat().st_size == stat.st_size


CHANGES = {
    "written": lambda red: Image.new("RGB", (8, 8)).save(red / "0.png"),
    "written with its time set back": lambda red: rewritten(red / "0.png"),
    "added": lambda red: Image.new("RGB", (8, 8)).save(red / "9.png"),
    "removed": lambda red: (red / "0.png").unlink(),
    "renamed": lambda red: (red / "0.png").rename(red / "7.png"),
    "exchanged": lambda red: (red / "0.png").rename(red / "1.png"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_folder_that_changed_is_decoded_again_and_the_old_entry_removed(cache, folder, change):
    pack(folder)
    (before,) = cache.iterdir()
    CHANGES[change](folder / "red")
    report = Told()
    packed(load_images(folder), (8, 8), report)
    assert report.calls
    (after,) = cache.iterdir()
    assert after.name != before.name
    assert after.name.split("-")[0] == before.name.split("-")[0]


def test_unreadable_images_are_named_each_time_and_the_others_keep_their_ids(cache, folder):
    (folder / "green" / "1.png").write_text("no image")
    for decoded in (True, False):
        found, was_decoded = pack(folder)
        assert was_decoded == decoded
        assert found.ids.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]
        assert len(found.pixels) == 8
        (line,) = found.unreadable
        assert line.startswith("cannot read green/1.png: it is not a JPEG, PNG")


def test_an_interrupted_decoding_leaves_nothing(cache, folder):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        packed(load_images(folder), (8, 8), stop)
    assert list(cache.iterdir()) == []
    assert pack(folder)[1]


def test_files_that_change_meanwhile_are_an_error(cache, folder):
    def change(done, total):
        CHANGES["written"](folder / "red")

    with pytest.raises(RunError, match="changed while they were read; start again"):
        packed(load_images(folder), (8, 8), change)


def test_two_that_decode_at_once_find_the_same(cache, folder):
    images = load_images(folder)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: packed(images, (8, 8), Told()), range(4)))
    for each in found:
        assert np.array_equal(each.pixels.numpy(), found[0].pixels.numpy())
    (entry,) = cache.iterdir()
    assert {each.name for each in entry.iterdir()} == {"pixels.bin", "manifest.json"}


def test_without_a_place_to_keep_them_images_are_decoded_in_memory_and_it_is_said(
    cache, folder, tmp_path, monkeypatch
):
    kept = pack(folder)[0]
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("IKIT_CACHE", str(tmp_path / "file"))
    found, decoded = pack(folder)
    assert decoded
    assert np.array_equal(found.pixels.numpy(), kept.pixels.numpy())
    assert "cannot write to" in found.note
    assert found.note.endswith("set IKIT_CACHE to another folder")


def test_a_full_disk_is_not_a_broken_entry(cache, folder, monkeypatch):
    def full(folder, name, reading, report):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(file, "_write", full)
    assert "No space left on device" in pack(folder)[0].note
    assert not cache.exists()


def test_images_in_memory_are_not_copied_to_disk(cache):
    pixels = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)
    found = packed(ImageSet.from_arrays(pixels, [0, 1]), (8, 8), Told())
    assert np.array_equal(found.pixels.numpy(), pixels)
    assert packed(ImageSet.from_arrays(pixels, [0, 1]), (4, 4), Told()).pixels.shape == (2, 4, 4, 3)
    assert not cache.exists()


def zeroed(file):
    file.write_bytes(bytes(file.stat().st_size))


def one_bit(file):
    content = bytearray(file.read_bytes())
    content[-7] ^= 4
    file.write_bytes(content)


def reordered(file):
    """The second image before the first."""
    content, image = file.read_bytes(), 8 * 8 * 3
    file.write_bytes(content[image : 2 * image] + content[:image] + content[2 * image :])


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def longer(file):
    file.write_bytes(file.read_bytes() + b"0")


DAMAGE = {
    "pixels.bin": (zeroed, one_bit, reordered, cut, longer, os.unlink),
    "manifest.json": (zeroed, one_bit, cut, longer, os.unlink),
}


@pytest.mark.parametrize(
    ("name", "damage"), [(name, each) for name, kinds in DAMAGE.items() for each in kinds]
)
def test_a_damaged_entry_is_decoded_again_and_that_is_said_once(cache, folder, name, damage):
    whole, _ = pack(folder)
    right = whole.pixels.clone()
    (entry,) = cache.iterdir()
    damage(entry / name)
    again, decoded = pack(folder)
    assert decoded
    assert again.note.startswith(f"decoded the images again: {entry / name} ")
    assert again.ids.tolist() == list(range(9))
    assert np.array_equal(again.pixels.numpy(), right.numpy())
    found, decoded = pack(folder)
    assert (decoded, found.note) == (False, "")
    assert np.array_equal(found.pixels.numpy(), right.numpy())
    assert list(cache.iterdir()) == [entry]


def test_a_manifest_of_other_images_is_not_believed(cache, folder):
    """Its checksum is right, as if a stranger had written it."""
    pack(folder)
    (entry,) = cache.iterdir()
    _, text = json.loads((entry / "manifest.json").read_text())
    held = json.loads(text)
    for change in (
        {"ids": [0, 0, *range(2, 9)]},
        {"ids": list(range(8)), "shape": [8, 8, 8, 3]},
        {"shape": [9, 4, 16, 3]},
        {"ids": "0"},
        {"notes": [1]},
    ):
        text = json.dumps({**held, **change})
        (entry / "manifest.json").write_text(json.dumps([zlib.crc32(text.encode()), text]))
        found, decoded = pack(folder)
        assert decoded
        assert "manifest.json" in found.note


def test_a_disk_that_does_not_return_what_was_written_is_not_trained_on(cache, folder, monkeypatch):
    whole, _ = pack(folder, (6, 6))
    put = file._put_in_place

    def wrong(aside, entry):
        one_bit(aside / "pixels.bin")
        put(aside, entry)

    shutil.rmtree(cache)
    monkeypatch.setattr(file, "_put_in_place", wrong)
    found = packed(load_images(folder), (6, 6), Told())
    assert np.array_equal(found.pixels.numpy(), whole.pixels.numpy())
    assert "pixels.bin is not what was written" in found.note
