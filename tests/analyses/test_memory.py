"""Is a result the same, to the byte, if what is recorded goes to the disk instead of memory?"""

import os
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from networks_on_paper import noisy_images, small_classifier

from interpret_kit.analyses import ANALYSES, base
from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.attribution import Attribution
from interpret_kit.analyses.counting import flips as counting_flips
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.recording import spill
from interpret_kit.analyses.recording.records import Records, ascending, counting_sort
from interpret_kit.analyses.recording.spill import Room
from interpret_kit.errors import CannotWrite
from interpret_kit.results import mapped
from interpret_kit.results.load import load_result
from interpret_kit.results.mapped import temporary_folder

RECORDING = [
    Occlusion(window=(5, 4), stride=3),
    Attribution(method="gradcam,saliency"),
    Activations(layer="conv1", top=3),
    Ablation(layer="all"),
]
FULL = Path("/dev/full")
every_recording = pytest.mark.parametrize("analysis", RECORDING, ids=lambda each: each.name)


@pytest.fixture(autouse=True)
def shards_of_five(monkeypatch):
    """17 images are three shards of five and one of two."""
    for analysis in ANALYSES.values():
        monkeypatch.setattr(analysis, "shard", 5)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The folder of temporary files, which is empty."""
    folder = tmp_path / "disk"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


def bytes_of(result):
    arrays = {each.name: getattr(result, each.name) for each in result.array_fields()}
    facts = {each.name: getattr(result, each.name) for each in result.fact_fields()}
    return {k: (a.dtype, a.shape, a.tobytes()) for k, a in arrays.items()}, facts, result.origin


@every_recording
def test_a_result_on_the_disk_has_the_bytes_of_one_in_memory(analysis, disk, tmp_path, monkeypatch):
    classifier, images = small_classifier(), noisy_images()
    plain = analysis.run(classifier, images)
    monkeypatch.setattr(mapped, "PIECE", 100)  # bytes: less than an image
    spilled = analysis.run(classifier, images, memory=1)
    assert bytes_of(spilled) == bytes_of(plain)
    assert spilled == plain
    whole, parts = plain.save(tmp_path / "whole"), spilled.save(tmp_path / "parts")
    names = {each.name for each in whole.iterdir()}
    assert names == {each.name for each in parts.iterdir()}
    for name in names:
        assert (parts / name).read_bytes() == (whole / name).read_bytes(), name
    assert load_result(parts) == plain
    assert list(disk.iterdir()) == []  # while the arrays are still there


def test_the_images_on_the_disk_are_mapped_and_cannot_be_written_to(disk):
    spilled = RECORDING[0].run(small_classifier(), noisy_images(), memory=1)
    with pytest.raises(ValueError, match="read-only"):
        spilled.input_images[0] = 0


def test_nothing_is_left_on_the_disk_after_an_error(disk):
    classifier, images = small_classifier(), noisy_images()

    def breaks(done, _total):
        if done > 12:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        RECORDING[-1].run(classifier, images, batch_size=3, memory=1, progress=breaks)
    assert list(disk.iterdir()) == []


def test_in_a_job_the_records_go_to_the_disk_of_its_folder(disk, tmp_path, monkeypatch):
    used = []
    temporary = tempfile.TemporaryFile

    def noting(**given):
        used.append(given["dir"])
        return temporary(**given)

    monkeypatch.setattr(spill.tempfile, "TemporaryFile", noting)
    classifier, images = small_classifier(), noisy_images()
    spilled = RECORDING[0].run(classifier, images, memory=1, job=tmp_path / "job")
    assert set(used) == {tmp_path / "job"}
    assert {each.name for each in (tmp_path / "job").iterdir()} >= {"job.json", "shards"}
    assert bytes_of(spilled) == bytes_of(RECORDING[0].run(classifier, images))


@pytest.mark.parametrize(("free", "memory", "spills"), [(2, None, True), (2, 9**9, False)])
def test_by_default_half_of_the_free_memory_is_used(free, memory, spills, disk, monkeypatch):
    used, temporary = [], tempfile.TemporaryFile
    monkeypatch.setattr(
        spill.tempfile, "TemporaryFile", lambda **g: used.append(g) or temporary(**g)
    )
    monkeypatch.setattr(base, "free_memory", lambda: free)
    RECORDING[2].run(small_classifier(), noisy_images(), memory=memory)
    assert bool(used) == spills


@pytest.mark.skipif(not FULL.exists(), reason="a disk without space, on Linux")
def test_a_full_disk_is_one_sentence_that_says_what_to_do(monkeypatch, disk):
    monkeypatch.setattr(spill.tempfile, "TemporaryFile", lambda **_: FULL.open("wb", 9))
    expected = rf"cannot write to {disk}, .*: No space left on device; make room, set TMPDIR .*16G"
    with pytest.raises(CannotWrite, match=expected):
        RECORDING[0].run(small_classifier(), noisy_images(), memory=1)


def test_large_temporary_files_go_to_var_tmp_unless_tmpdir_is_set(monkeypatch, disk):
    assert temporary_folder() == disk
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    assert str(temporary_folder()) in {"/var/tmp", str(disk)}
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert temporary_folder() == disk


def flips_of(count, seed=0):
    """Rows and ids, each pair once, with a column that is made of both; ids ascend by block."""
    drawn = np.random.default_rng(seed)
    blocks = []
    for image in range(count):
        rows = np.flatnonzero(drawn.random(7) < 0.5).astype(np.int32)
        blocks.append({"row": rows, "id": np.full(len(rows), image), "both": rows * 100 + image})
    return blocks


@pytest.mark.parametrize("room", [False, True])
@pytest.mark.parametrize("way", [1, -1])  # merged in order, and backwards
def test_records_are_sorted_by_row_and_id_wherever_they_are(room, way, disk, monkeypatch):
    monkeypatch.setattr(mapped, "PIECE", 64)
    records = Records()
    records.room = Room(200, disk) if room else None
    blocks = flips_of(40)
    for block in blocks[::way]:
        one = Records()
        one.add(block)
        records.merge(one)
    pairs = sorted((int(r), i) for i, block in enumerate(blocks) for r in block["row"])
    found = records.columns(order=("row", "id"))
    assert list(zip(found["row"].tolist(), found["id"].tolist(), strict=True)) == pairs
    assert found["both"].tolist() == [100 * row + image for row, image in pairs]
    assert {name: each.dtype for name, each in found.items()} == {
        "row": np.int32, "id": np.int64, "both": blocks[0]["both"].dtype,
    }  # fmt: skip


def test_a_counting_sort_keeps_the_order_of_equal_keys(monkeypatch):
    monkeypatch.setattr(mapped, "PIECE", 32)  # two rows at a time
    columns = {"key": np.array([3, 0, 3, 9, 0, 3]), "place": np.arange(6)}
    found = {name: np.empty_like(each) for name, each in columns.items()}
    counting_sort(columns, "key", found)
    assert found["key"].tolist() == [0, 0, 3, 3, 3, 9]
    assert found["place"].tolist() == [1, 4, 0, 2, 5, 3]


@pytest.mark.parametrize(
    ("first", "second", "sorted_"),
    [
        ([0, 0, 1, 1], [5, 6, 0, 1], True),
        ([0, 0, 1, 1], [5, 6, 1, 0], False),
        ([0, 1, 0, 1], [0, 1, 2, 3], False),
        ([0, 0, 0, 0], [1, 1, 1, 1], True),
        ([], [], True),
    ],
)
def test_rows_are_ascending_across_pieces(first, second, sorted_, monkeypatch):
    for piece in (1, 16, 48, 10_000):
        monkeypatch.setattr(mapped, "PIECE", piece)
        assert ascending([np.array(first, int), np.array(second, int)]) is sorted_


def test_memory_stays_within_the_budget_however_much_is_recorded(disk, monkeypatch):
    """16 MB of rows of which 4 MB may be in memory; sorted, too."""
    monkeypatch.setattr(mapped, "PIECE", 2**16)
    records = Records()
    records.room = Room(4 * 2**20, disk)
    rows = np.arange(2**14, dtype=np.int32)
    tracemalloc.start()
    for image in range(64):
        records.add({"row": rows, "id": np.full(len(rows), image), "label": rows[::-1].copy()})
    found = records.columns(order=("row", "id"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * 2**20
    assert found["id"][:66].tolist() == [*range(64), 0, 1]
    assert (found["row"] == np.repeat(rows, 64)).all()
    assert (found["label"] == np.repeat(rows[::-1], 64)).all()


def test_the_attribution_of_each_image_is_the_mean_drop_over_the_windows_of_a_pixel():
    classifier, images = small_classifier(), noisy_images()
    found = RECORDING[0].run(classifier, images, batch_size=5)
    masks = found.masks().astype(np.float64)
    for i in range(17):
        drop = (found.uncovered[i] - found.confidence[i]).ravel().astype(np.float64)
        mean = (masks * drop[:, None, None]).sum(0) / masks.sum(0)
        np.testing.assert_allclose(found.attribution[i], mean, rtol=0, atol=1e-7)


def test_many_flips_are_in_the_arrays_and_not_in_a_csv_file(monkeypatch, tmp_path):
    counts = RECORDING[-1].run(small_classifier(), noisy_images())
    rows = tuple(counts.tables()["flips"].rows)
    assert len(rows) == len(counts.flip_id) == counts.broken.sum() + counts.repaired.sum() > 3
    monkeypatch.setattr(counting_flips, "MOST_FLIPS", 3)
    folder = counts.save(tmp_path / "result")
    assert not (folder / "flips.csv").exists()
    assert "flips" not in counts.tables()
    assert f"{len(rows)} changed predictions are too many for flips.csv" in counts.notes()[-1]
    assert counts.flips().rows == rows
    assert load_result(folder).flips().rows == rows


def test_what_is_left_of_an_image_is_its_name_and_its_hash(classifier):
    """They take 9 + 8 and 32 bytes; as texts in dictionaries, they took 0.5 kB."""
    peaks = {}
    for count in (50, 100, 600):  # the first also imports and caches
        images = noisy_images(count)
        tracemalloc.start()
        Misclassifications().run(classifier, images)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (peaks[600] - peaks[100]) / 500 < 150
