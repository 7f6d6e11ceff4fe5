import dataclasses
import math
import pickle

import pytest
from networks_on_paper import CLASSES, noise, small_classifier
from small_analyses import bytes_of, shards_of_five  # noqa: F401 - a fixture
from tar_files import png, write_tar

import interpret_kit as ik
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.errors import ClassMismatch, NoImages, NothingThere

COUNTS = [6, 1, 0, 10, 3]  # images of each tar file
MISTAKES = Misclassifications(ablate="2:1,4", mistakes=5)
PATCHES = TopPatches(layer="conv1", top=3)


@pytest.fixture
def spec(tmp_path):
    """Five tar files of 20 images, every seventh of which has no label."""
    photos, number = noise(20), 0
    for file, count in enumerate(COUNTS):
        members = [("readme.txt", b"x")]
        for _ in range(count):
            members.append((f"{number:03}.png", png(photos[number])))
            if number % 7:
                members.append((f"{number:03}.cls", CLASSES[number % 5].encode()))
            number += 1
        write_tar(tmp_path / f"{file}.tar", members)
    return str(tmp_path / "{0..4}.tar")


def listed(images):
    """How many files are listed."""
    return images._listing.listed


def test_the_first_batch_is_computed_when_one_of_five_files_is_listed(spec):
    images, calls = load_images(spec), []

    def note(done, total):
        calls.append((done, total, listed(images)))

    PATCHES.run(small_classifier(), images, batch_size=2, progress=note)
    assert calls[:3] == [(2, math.inf, 1), (4, math.inf, 1), (5, math.inf, 1)]
    # The second shard, of images 5 to 9, needs the files 0, 1, 2 (without images) and 3.
    assert [call for call in calls if 5 < call[0] <= 10] == [
        (7, math.inf, 4), (9, math.inf, 4), (10, math.inf, 4),
    ]  # fmt: skip
    assert calls[-1] == (20, 20, 5)


@pytest.mark.parametrize("analysis", [MISTAKES, PATCHES], ids=lambda each: each.name)
def test_a_result_does_not_depend_on_when_files_are_listed(analysis, spec):
    growing, complete = load_images(spec), load_images(spec)
    assert repr(growing) == f"ImageSet of {growing.source}, not listed yet"
    assert (len(complete), listed(complete), listed(growing)) == (20, 5, 1)
    expected = bytes_of(analysis.run(small_classifier(), complete))
    found = bytes_of(analysis.run(small_classifier(), growing))
    assert found == expected
    again = bytes_of(analysis.run(small_classifier(), growing))  # now all are listed
    assert again == expected


def test_what_depends_on_all_images_lists_them(spec):
    assert len(load_images(spec)) == 20
    labels = [-1 if number % 7 == 0 else number % 5 for number in range(20)]
    assert load_images(spec).labels.tolist() == labels
    assert load_images(spec).classes == CLASSES
    assert load_images(spec).omitted[0].count == 5
    assert load_images(spec).only([19]).ids.tolist() == [19]
    assert load_images(spec).take(2).labels.tolist() == labels[:2]
    assert [part.ids.tolist() for part in load_images(spec).parts(8)] == [
        [*range(8)], [*range(8, 16)], [*range(16, 20)],
    ]  # fmt: skip


def test_a_name_lists_the_files_up_to_it(spec):
    images = load_images(spec)
    assert (images.name(5), listed(images)) == ("0.tar: 005.png", 1)
    assert (images.name(7), listed(images)) == ("3.tar: 007.png", 4)
    assert images.decode(19).size == (10, 12)
    with pytest.raises(NothingThere, match=r"no image 20 in .*; ids go from 0 to 19"):
        images.name(20)


def test_copies_are_complete_image_sets(spec):
    for copy in (
        dataclasses.replace(load_images(spec), source="x"),
        pickle.loads(pickle.dumps(load_images(spec))),
    ):
        assert (type(copy), len(copy)) == (ImageSet, 20)
        assert copy.fingerprint == load_images(spec).fingerprint


def test_labels_are_dropped_if_those_of_any_file_are_not_classes(tmp_path):
    for file, name in enumerate(["yak", "cat"]):
        members = [("0.png", png(file)), ("0.cls", name.encode())]
        write_tar(tmp_path / f"{file}.tar", members)
    turned = [tmp_path / "1.tar", tmp_path / "0.tar"]
    for given in (tmp_path, turned):
        for analysis in (PATCHES, ik.Occlusion(window=6), ik.Attribution("saliency")):
            result = analysis.run(small_classifier(), load_images(given))
            assert set(result.labels.ravel().tolist()) == {-1}
            (note,) = (each for each in result.notes() if "the labels of" in each)
            assert "'yak'" in note
    with pytest.raises(ClassMismatch, match=r"1 of the 1 class names of the images .*'yak'"):
        MISTAKES.run(small_classifier(), load_images(tmp_path))
    with pytest.raises(ClassMismatch, match=r"1 of the \d class names of the images .*'yak'"):
        MISTAKES.run(small_classifier(), load_images(turned))


def test_files_without_labels_are_refused_by_an_analysis_that_needs_them(tmp_path):
    for file in range(2):
        write_tar(tmp_path / f"{file}.tar", [("0.png", png(file))])
    with pytest.raises(NoImages, match="misclassifications counts correct predictions and mis"):
        MISTAKES.run(small_classifier(), load_images(tmp_path))
