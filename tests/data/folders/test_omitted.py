"""Is it said aloud, by every analysis and command, what of a folder is not used?"""

import dataclasses
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from small_runs import write_colours, write_images, write_run

import interpret_kit as ik
from interpret_kit.cli.main import ikit
from interpret_kit.errors import ClassMismatch, UnreadableImage
from interpret_kit.results.load import load_result
from interpret_kit.results.save import manifest
from interpret_kit.trainers.images.data import load_training_data
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.sweep.trial import look_at

SMALL = [
    ik.Occlusion(window=12, stride=12),
    ik.Activations(layer=1),
    ik.TopPatches(layer="all", top=2),
    ik.Ablation(layer=1),
    ik.Misclassifications(),
]
every_analysis = pytest.mark.parametrize("analysis", SMALL, ids=lambda each: each.name)
NOT_USED = (
    "not used: images of a format that is not read: 1 (red/phone.heic); other files: 1 (a.txt)"
)
LOST = "images of a format that is not read"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A run, and class folders that hold more than images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interpret_kit.render.draw", lambda result, **how: {})
    write_run(tmp_path / "runs" / "mine")
    for name in ("red", "green"):
        write_images(tmp_path / "labelled" / name)
        write_images(tmp_path / "strangers" / f"dark {name}")
    (tmp_path / "labelled" / "red" / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "labelled" / "a.txt").touch()
    (tmp_path / "strangers" / "a.txt").touch()
    return tmp_path


def run(line, code=0):
    result = CliRunner().invoke(ikit, line.split(), catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result


@every_analysis
def test_every_result_keeps_what_was_not_used(analysis, place):
    result = analysis.run(ik.load_classifier("runs/mine"), ik.load_images("labelled"))
    assert [(each.reason, each.count, each.names, each.lost) for each in result.origin.omitted] == [
        (LOST, 1, ("red/phone.heic",), True),
        ("other files", 1, ("a.txt",), False),
    ]
    assert load_result(result.save("saved")).origin == result.origin


@every_analysis
def test_strict_makes_lost_images_an_error_and_documents_none(analysis, place):
    classifier, images = ik.load_classifier("runs/mine"), ik.load_images("labelled")
    with pytest.raises(UnreadableImage, match=rf"strict: .* labelled is used: {LOST}: 1 \(red/ph"):
        analysis.run(classifier, images, strict=True)
    (place / "labelled" / "red" / "phone.heic").unlink()
    result = analysis.run(classifier, ik.load_images("labelled"), strict=True)
    assert [each.lost for each in result.origin.omitted] == [False]


@every_analysis
def test_labels_of_other_classes_are_dropped_with_a_note_or_refused_if_needed(analysis, place):
    classifier, images = ik.load_classifier("runs/mine"), ik.load_images("strangers")
    if analysis.needs_labels:
        with pytest.raises(ClassMismatch, match="2 of the 2 class names of the images"):
            analysis.run(classifier, images)
        return
    result = analysis.run(classifier, images)
    note = "the labels of strangers ('dark green', 'dark red') are dropped: they are not classes"
    assert sum(each.startswith(note) for each in result.notes()) == 1
    unlabelled = analysis.run(classifier, images.unlabelled())
    for field in result.array_fields():
        one, other = (getattr(each, field.name) for each in (result, unlabelled))
        np.testing.assert_array_equal(one, other)
    assert load_result(result.save("saved")).notes() == result.notes()


def test_labels_are_needed_where_the_label_is_the_target(place):
    classifier = ik.load_classifier("runs/mine")
    with pytest.raises(ClassMismatch, match="2 of the 2 class names of the images"):
        ik.Occlusion(window=12, target="label").run(classifier, ik.load_images("strangers"))


def test_images_without_a_label_are_noted_where_they_are_not_counted(place):
    images = ik.load_images("labelled")
    some = dataclasses.replace(images, labels=np.where(images.ids == 0, -1, images.labels))
    result = ik.Misclassifications().run(ik.load_classifier("runs/mine"), some)
    assert result.notes() == ("1 of the 4 images have no label and are not counted",)


def test_a_result_of_an_earlier_version_has_nothing_to_say(place):
    result = SMALL[0].run(ik.load_classifier("runs/mine"), ik.load_images("strangers"))
    saved = manifest(result)
    del saved["origin"]["omitted"], saved["origin"]["notes"]
    folder = result.save("saved")
    (folder / "manifest.json").write_text(json.dumps(saved))
    assert (load_result(folder).origin.omitted, load_result(folder).notes()) == ((), ())


@pytest.mark.parametrize(
    "command",
    [
        "occlusion labelled --window 12",
        "activations labelled --layer 1",
        "top-patches labelled --layer 1 --quiet",
        "ablation labelled --layer 1",
        "misclassifications labelled",
        "predict labelled --json",
    ],
)
def test_every_command_names_what_is_not_used_in_one_line(command, place):
    lines = run(command).stderr.splitlines()
    assert lines.count(NOT_USED) == 1
    strict = run(f"{command} --strict", code=1)
    assert f"{LOST}: 1 (red/phone.heic); convert or move these files" in strict.stderr


def test_what_loses_nothing_is_said_with_the_rest(place):
    result = run("predict strangers")
    assert result.stdout.splitlines().count("not used: other files: 1 (a.txt)") == 1
    assert result.stderr == ""


def test_a_saved_result_says_it_again(place):
    run("occlusion strangers --window 12 --out saved")
    shown = run("show saved").stdout.splitlines()
    assert "not used: other files: 1 (a.txt)" in shown
    assert any(line.startswith("the labels of strangers") for line in shown)


def test_a_folder_named_on_the_command_line_is_seen_through(place):
    (place / "outer").mkdir()
    (place / "labelled").rename(place / "outer" / "labelled")
    said = run("misclassifications outer").stdout
    assert "images: 4 of outer/labelled (named)" in said
    assert "the images are read from outer/labelled: outer holds no others" in said


def test_training_says_what_it_does_not_use(tmp_path):
    write_colours(tmp_path / "all" / "Training", 4, 0)
    write_colours(tmp_path / "all" / "dev", 2, 0)
    deep = Image.fromarray(np.full((8, 8), 4000, np.uint16))
    deep.save(tmp_path / "all" / "Training" / "red" / "deep.png")
    (tmp_path / "all" / "Training" / "red" / "phone.heic").touch()
    for _ in range(2):  # decoded, then found decoded
        data = load_training_data(str(tmp_path), (8, 8))
        assert (len(data.train), len(data.val), data.classes) == (13, 6, ("blue", "green", "red"))
        assert f"train: not used: {LOST}: 1 (all/Training/red/phone.heic)" in data.notes
        assert f"the images are read from {tmp_path}/all: {tmp_path} holds no others" in data.notes
        assert sum("red/deep.png: 16-bit values that fit in 12 bits" in e for e in data.notes) == 1


def test_a_sweep_keeps_what_its_images_leave_out(tmp_path):
    write_colours(tmp_path, 4, 0)
    (tmp_path / "red" / "phone.heic").touch()
    recipe = dataclasses.replace(Recipe(data=str(tmp_path)), size=8)
    assert [each.names for each in look_at(recipe).omitted] == [("red/phone.heic",)]
