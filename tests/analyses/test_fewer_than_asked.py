"""Is it said if there are fewer filters, patches, mistakes or classes than asked for?"""

import pytest
from click.testing import CliRunner
from networks_on_paper import noisy_images, small_classifier
from PIL import Image

from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.cli.main import ikit
from interpret_kit.results.load import load_result


@pytest.mark.parametrize(
    ("analysis", "note"),
    [
        # conv1 has 4 filters; five images of 12 x 10 pixels
        (
            Activations("conv1", top=5),
            "`top` is 5, but layer conv1 has only 4 filters: all are used",
        ),
        (
            TopPatches("all", top=6),
            "`top` is 6, but layer conv1 has only 5 per filter (per_image is 1): each filter has 5",
        ),
        (
            TopPatches("conv1", top=11, per_image=2),
            "`top` is 11, but layer conv1 has only 10 per filter (per_image is 2): each "
            "filter has 10",
        ),
    ],
)
def test_fewer_than_asked_for_are_a_note_in_the_result(analysis, note, tmp_path):
    found = analysis.run(small_classifier(), noisy_images(5))
    assert counted_in(found) == (note,)
    assert counted_in(load_result(found.save(tmp_path / "result"))) == (note,)


def counted_in(result):
    """Return the notes of a result but for those on what its patches show."""
    return tuple(each for each in result.notes() if "border of the image" not in each)


def test_fewer_mistakes_than_asked_for_are_a_note():
    classifier, images = small_classifier(), noisy_images(8)
    wrong = int((Misclassifications().run(classifier, images).mistake_id >= 0).sum())
    assert 1 < wrong < 16
    found = Misclassifications(mistakes=wrong + 1).run(classifier, images)
    said = f"`mistakes` is {wrong + 1}, but there are only {wrong} mistakes: all are listed"
    assert found.notes() == (said,)


@pytest.mark.parametrize(
    "analysis",
    [
        Activations("conv1"),  # 8 by default
        Activations("conv1", top=4),
        TopPatches("conv1"),  # 9 by default
        TopPatches("conv1", top=5),
        TopPatches("conv1", top=10, per_image=2),
        Misclassifications(),  # 16 by default
    ],
)
def test_what_is_there_or_was_not_asked_for_needs_no_note(analysis):
    assert counted_in(analysis.run(small_classifier(), noisy_images(5))) == ()


def test_fewer_classes_than_asked_for_are_reported(tmp_path):
    Image.new("RGB", (9, 9), "red").save(tmp_path / "photo.png")
    line = ["predict", str(tmp_path / "photo.png"), "--model", "embedded", "--json", "--top"]
    message = CliRunner().invoke(ikit, [*line, "2000"]).stderr
    assert "--top is 2000, but the classifier has only 1000 classes; all are listed" in message
    assert "classes: all" not in CliRunner().invoke(ikit, [*line, "1000"]).stderr
