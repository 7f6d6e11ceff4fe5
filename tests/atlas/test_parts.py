"""Does a second atlas compute only what has changed, and show the same as one made from scratch?"""

import shutil
from functools import cache

import numpy as np
import pytest
import torch
from networks_on_paper import noise, noisy_images, small_classifier
from PIL import Image

import interpret_kit as ik
from interpret_kit.analyses.ablation import AblationFold
from interpret_kit.analyses.attribution import AttributionFold
from interpret_kit.analyses.occlusion import OcclusionFold
from interpret_kit.analyses.recording.spill import Room
from interpret_kit.analyses.top_patches import TopPatchesFold
from interpret_kit.atlas.gather import gather
from interpret_kit.atlas.inputs import AtlasInputs
from interpret_kit.atlas.kept.parts import AtlasParts
from interpret_kit.atlas.survey import SurveyFold
from interpret_kit.errors import OutputExists, UsageError

FOLDS = {
    "predictions": SurveyFold,
    "top patches": TopPatchesFold,
    "ablation": AblationFold,
    "occlusion": OcclusionFold,
    "maps": AttributionFold,
}
PARTS = [*FOLDS]
PHOTO = ["photo image 0", "maps of photo image 0"]
IMAGES = 34  # one shard of an ablation, and two images


@pytest.fixture
def counted(monkeypatch):
    """How many images each analysis has processed."""
    counts = dict.fromkeys(FOLDS, 0)

    def counting(name, add):
        def counted_add(fold, batch):
            counts[name] += len(batch)
            return add(fold, batch)

        return counted_add

    for name, fold in FOLDS.items():
        monkeypatch.setattr(fold, "add", counting(name, fold.add))
    return counts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The parts of an atlas of 34 images with a photo, and what the pages show."""
    folder = tmp_path_factory.mktemp("parts") / "site.parts"
    return folder, gathered(AtlasParts(folder), photos=[noise(1)[0]])


@pytest.fixture
def parts(made, tmp_path):
    """A copy of these parts."""
    return AtlasParts(shutil.copytree(made[0], tmp_path / "site.parts"))


@cache
def network():
    """A classifier for all tests that do not change it: it is traced once."""
    return small_classifier()


def gathered(
    parts, images=None, photos=None, *, classifier=None, step=None, batch_size=32, **settings
):
    classifier = classifier or network()
    images = (images or noisy_images(IMAGES)).pinned().with_classes_of(classifier)
    photos = None if photos is None else ik.load_images(np.stack(photos)).pinned().unlabelled()
    room, step = Room(0, parts.place.parent), step or (lambda *_: None)
    how = {"batch_size": batch_size, "engine": "full", "photos": photos, "parts": parts}
    inputs = AtlasInputs(classifier, images, room, step, **how)
    given = {"ablation_images": 40, "occlusion_images": 1, "window": 4, "stride": 3}
    given["method"] = "occlusion,gradcam"
    with parts.opened():
        return gather(inputs, ik.AtlasSettings(**{**given, **settings}))


def assert_same(one, other):
    """Whether the pages would show the same."""
    assert (one.tops, one.ablation, one.occlusion) == (other.tops, other.ablation, other.occlusion)
    assert one.chosen.maps == other.chosen.maps
    assert (one.survey.ids == other.survey.ids).all()
    for first, second in zip(one.survey.layers, other.survey.layers, strict=True):
        for name in ("peaks", "peak", "mean", "active"):
            assert (getattr(first, name) == getattr(second, name)).all()


def test_a_second_run_computes_nothing_and_finds_the_same(made, parts, counted):
    again = gathered(parts, photos=[noise(1)[0]])
    assert counted == dict.fromkeys(FOLDS, 0) | {"predictions": 1}  # the photo, in one pass
    assert (parts.reused, parts.computed) == ([*PARTS, *PHOTO], {})
    assert parts.told() == (
        "reused: predictions, top patches, ablation, occlusion, maps, photo image 0, "
        "maps of photo image 0"
    )
    assert_same(made[1], again)
    assert made[1].photos.occlusion == again.photos.occlusion
    with parts.opened():  # the next run, of which nothing is known yet
        assert parts.told() == ""


def test_the_batch_size_auto_is_that_of_what_is_kept(parts, counted):
    found = gathered(parts, batch_size="auto")
    assert counted == dict.fromkeys(FOLDS, 0)
    assert len(found.survey.ids) == IMAGES


def test_another_photo_is_computed_alone_wherever_it_stands(parts, counted):
    first, other = noise(2, seed=5)[1], noise(1)[0]
    found = gathered(parts, photos=[first, other])
    assert counted["occlusion"] == 1
    assert counted["ablation"] == counted["top patches"] == 0
    assert parts.told().endswith(
        "photo image 1, maps of photo image 1; computed: photo image 0, maps of photo image 0"
    )
    occlusion = ik.Occlusion(window=4, stride=3)
    expected = occlusion.run(network(), np.stack([first, other]), engine="full")
    for name in ("ids", "predicted", "target", "input_images"):
        assert (getattr(found.photos.occlusion, name) == getattr(expected, name)).all()
    scale = np.abs(expected.attribution).max()
    assert np.abs(found.photos.occlusion.attribution - expected.attribution).max() < 1e-5 * scale
    assert dict(found.photos.occlusion.origin.names) == {0: "image 0", 1: "image 1"}
    assert found.photos.survey.predicted.tolist() == expected.uncovered_predicted.tolist()


def test_an_interrupted_run_is_resumed_at_the_shard_it_was_at(made, tmp_path, counted):
    def stop(what, done, total):
        if what == "ablation" and done >= 33:
            raise KeyboardInterrupt

    parts = AtlasParts(tmp_path / "site.parts")
    with pytest.raises(KeyboardInterrupt):
        gathered(parts, step=stop)
    counted.update(dict.fromkeys(FOLDS, 0))
    again = AtlasParts(parts.place)
    assert_same(made[1], gathered(again))
    assert (counted["predictions"], counted["top patches"], counted["ablation"]) == (0, 0, 2)
    assert again.told() == (
        "reused: predictions, top patches; computed (the run was interrupted): ablation; "
        "computed: occlusion, maps"
    )


def test_other_images_compute_all_that_depends_on_them(parts, counted):
    pixels = noise(IMAGES)
    pixels[3] = 255 - pixels[3]
    images = ik.ImageSet.from_arrays(pixels, np.arange(IMAGES) % 5, network().classes)
    again = gathered(parts, images, photos=[noise(1)[0]])
    assert parts.reused == PHOTO
    why = "the images have changed (names, labels or contents)"
    assert {parts.computed[each] for each in ("predictions", "top patches", "ablation")} == {why}
    assert (counted["predictions"], counted["ablation"]) == (IMAGES + 1, IMAGES)
    assert_same(again, gathered(AtlasParts(parts.place.with_name("new")), images))


def test_other_weights_compute_all_parts(parts):
    other = small_classifier()
    with torch.no_grad():
        other.network.head.bias[0] += 1
    again = gathered(parts, photos=[noise(1)[0]], classifier=other)
    assert parts.reused == []
    why = "the classifier's weights or preprocessing have changed"
    assert parts.computed["predictions"].startswith(why)
    assert again.ablation.origin.weights == other.fingerprint


def test_another_setting_computes_what_it_is_about(parts, counted):
    gathered(parts, window=5)
    assert parts.told() == (
        "reused: predictions, top patches, ablation, maps; "
        "computed (window was 4, but is now 5): occlusion"
    )
    assert not list(parts.place.glob("*photo-*"))  # no page needs them any more


@pytest.mark.parametrize("what", ["a byte", "the record", "another job"])
def test_what_is_damaged_or_of_another_job_is_computed_again(made, parts, what, caplog):
    job = parts.place / "ablation"
    shard, record = job / "shards/000000.state", job / "job.json"
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 1
    why = "a file was damaged"
    if what == "a byte":
        shard.write_bytes(content)
    elif what == "the record":
        record.write_text('{"format": 1')
        why = "its job.json was damaged or of another version"
    else:
        shutil.rmtree(job)
        shutil.copytree(parts.place / "top-patches", job)
        why = "it is a top_patches job, but this is ablation"
    assert_same(made[1], gathered(parts))
    assert parts.computed == {"ablation": why}
    assert ("is damaged" in caplog.text) == (what == "a byte")


def test_files_of_others_are_refused_and_stay(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("thesis")
    with pytest.raises(OutputExists, match=r"not the parts of an atlas \(no atlas-parts.json\)"):
        gathered(AtlasParts(tmp_path / "mine"))
    assert [each.name for each in (tmp_path / "mine").iterdir()] == ["thesis.tex"]
    with pytest.raises(OutputExists, match=r"thesis.tex is a file; remove it"):
        gathered(AtlasParts(tmp_path / "mine/thesis.tex"))


def test_nothing_is_left_of_a_run_that_computed_nothing(tmp_path):
    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        gathered(AtlasParts(tmp_path / "site.parts"), step=stop)
    assert list(tmp_path.iterdir()) == []


def test_parts_in_the_folder_of_the_pages_and_photos_that_cannot_be_read_are_refused(tmp_path):
    classifier, images = network(), noisy_images(4)
    for parts in ("site", "site/parts"):
        with pytest.raises(UsageError, match=r"in the folder of the pages, .*site; give a folder"):
            ik.write_atlas(classifier, images, tmp_path / "site", parts=tmp_path / parts)
    Image.fromarray(noise(1)[0]).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no image")
    photos = [tmp_path / "a.png", tmp_path / "b.png"]
    with pytest.raises(ik.InterpretError, match=r"cannot read b\.png: "):
        ik.write_atlas(classifier, images, tmp_path / "site", photos=photos)
    assert not (tmp_path / "site").exists()
