"""Is what a result says of its images true of the bytes that were analysed?"""

import hashlib
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from networks_on_paper import CLASSES, noisy_images, small_classifier
from PIL import Image

from interpret_kit.analyses import activations
from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.counting import units
from interpret_kit.analyses.counting.units import Units
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.data import sources
from interpret_kit.data.load import load_images
from interpret_kit.errors import JobMismatch

COUNT = 6
ONE_PASS = [
    Occlusion(window=(5, 4), stride=3),
    Activations(layer="conv1", filters="all"),
    TopPatches(layer="all", top=2),
    Ablation(layer="conv1", filters=(0, 1)),
    Misclassifications(mistakes=3),
]
every_analysis = pytest.mark.parametrize("analysis", ONE_PASS, ids=lambda each: each.name)


@pytest.fixture
def folder(tmp_path):
    images = noisy_images()
    for image in range(COUNT):
        file = tmp_path / "photos" / CLASSES[image % 2] / f"{image}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        images.decode(image).save(file)
    return tmp_path / "photos"


def files_of(folder):
    return sorted(folder.rglob("*.png"))


def overwrite(file):
    Image.new("RGB", (9, 9), "red").save(file)


def at_the_end(act, folder):
    """Progress that does something to every file when all images are counted."""

    def progress(done, total):
        if done == total:
            for file in files_of(folder):
                act(file)

    return progress


def assert_same(one, other):
    assert one == other
    for each in one.array_fields():
        assert getattr(one, each.name).tobytes() == getattr(other, each.name).tobytes()


@every_analysis
def test_the_fingerprint_is_of_the_bytes_of_every_image(analysis, folder):
    result = analysis.run(small_classifier(), folder)
    lines = [
        f"{image}\n{file.relative_to(folder).as_posix()!r}\n{file.parent.name!r}\n"
        f"{hashlib.sha256(file.read_bytes()).hexdigest()}\n"
        for image, file in enumerate(files_of(folder))
    ]
    assert result.origin.contents == hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


@every_analysis
@pytest.mark.parametrize("act", [overwrite, lambda file: file.unlink()], ids=["other", "gone"])
def test_files_that_change_after_they_were_read_change_nothing(analysis, folder, act):
    before = analysis.run(small_classifier(), folder)
    images = load_images(folder)
    after = analysis.run(small_classifier(), images, progress=at_the_end(act, folder))
    assert_same(after, before)


@every_analysis
def test_each_file_is_read_once(analysis, folder, monkeypatch):
    opened, read = Counter(), sources.read_file

    def counting(path):
        opened[path.name] += 1
        return read(path)

    monkeypatch.setattr(sources, "read_file", counting)
    analysis.run(small_classifier(), folder)
    assert opened == {file.name: 1 for file in files_of(folder)}


@pytest.mark.parametrize("act", [overwrite, lambda file: file.unlink()], ids=["other", "gone"])
def test_an_image_that_changes_between_two_passes_is_left_out_and_named(folder, act, monkeypatch):
    analysis, second = Activations(layer="conv1", top=2), files_of(folder)[1]
    whole = analysis.run(small_classifier(), folder)
    find = activations._strongest

    def then_change(*arguments):
        chosen = find(*arguments)
        act(second)
        return chosen

    monkeypatch.setattr(activations, "_strongest", then_change)
    result = analysis.run(small_classifier(), folder)
    ((image, why),) = result.origin.unreadable
    assert image == 1
    assert why in ("it changed during the run", "it was lost during the run: there is no such file")
    assert result.ids.tolist() == [0, 2, 3, 4, 5]
    np.testing.assert_array_equal(result.maps, whole.maps[[0, 2, 3, 4, 5]])
    assert result.origin.contents == whole.origin.contents, "of what was read first"


def test_images_that_were_not_kept_are_read_again_or_gray_and_named(folder, monkeypatch):
    analysis = TopPatches(layer="all", top=2)
    kept = analysis.run(small_classifier(), folder)
    monkeypatch.setattr(units.UnitTally, "make_room", lambda self: self.images.only(()))
    assert_same(analysis.run(small_classifier(), folder), kept)
    result = analysis.run(small_classifier(), folder, progress=at_the_end(overwrite, folder))
    assert (result.input_images == 128).all()
    assert result.origin.contents == kept.origin.contents
    note = next(each for each in result.origin.notes if "during the run" in each)
    assert note.endswith(", ".join(load_images(folder).name(k) for k in range(3)) + " and 3 more")


def test_images_that_come_one_by_one_are_kept_up_to_the_limit_and_not_beyond():
    each, kept = 3 * 8 * 8, []
    tally = units.UnitTally.of(["1"], [], 1)
    tally.limit = 4 * each
    for image in range(60):
        unit = (torch.full((1, 1), value) for value in (-float(image), image, 0))
        tally.best["1"].add(Units(*unit))  # the first is the strongest
        levels = torch.zeros(1, 3, 8, 8, dtype=torch.uint8)
        tally.images.add(SimpleNamespace(ids=torch.tensor([image]), levels=levels))
        tally.make_room()
        kept.append(tally.images.bytes // each)
    assert max(kept) == 4
    assert 0 in tally.images._kept


def test_images_beyond_the_limit_are_dropped_unless_they_are_shown(folder, monkeypatch):
    classifier = small_classifier()
    each = 3 * classifier.size[0] * classifier.size[1]
    tally = units.UnitTally.of(["1"], [], 1)
    tally.limit = 2 * each
    for batch in load_images(folder).read(classifier.preprocessing, COUNT):
        tally.images.add(batch)
        # Ten filters, whose strongest images are 0, 0, ..., 0, 4, 5: only eight are shown.
        peaks = np.array([[9, 8, 7, 6, 5, 4, 3, 2, 1, 0]], np.float32)
        top = np.array([[0, 0, 0, 0, 0, 0, 0, 0, 4, 5]])
        columns = (torch.from_numpy(part) for part in (peaks, top, np.zeros_like(top)))
        tally.best["1"].add(Units(*columns))
        tally.make_room()
    assert tally.images.bytes == each
    assert list(tally.images._kept) == [0]


def test_a_job_whose_images_change_leaves_them_out_and_is_not_resumed(folder, tmp_path):
    analysis, classifier = TopPatches(layer="conv1", top=2), small_classifier()
    whole = analysis.run(classifier, folder)
    job = analysis.run(classifier, folder, job=tmp_path / "job")
    assert_same(job, whole)
    again = analysis.run(classifier, folder, job=tmp_path / "job", resume=True)
    assert_same(again, whole)  # the images that it shows were read again
    overwrite(files_of(folder)[0])
    with pytest.raises(JobMismatch, match="the images have changed"):
        analysis.run(classifier, folder, job=tmp_path / "job", resume=True)
