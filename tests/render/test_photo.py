"""Are the sample photos there, each of the class that it is said to be?"""

import pytest

import interpret_kit as ik
from interpret_kit.render import photo


def test_a_photo_is_installed_with_the_plotting_library():
    assert photo.sample_photo().name == "grace_hopper.jpg"
    assert photo.sample_photos()[0].label == "military uniform"


def test_photos_of_libraries_that_are_not_installed_are_left_out(monkeypatch):
    monkeypatch.setattr(photo, "find_spec", lambda name: None)
    assert photo.sample_photos() == ()
    with pytest.raises(FileNotFoundError, match=r"without mpl-data/sample_data/grace_hopper\.jpg"):
        photo.sample_photo()


def test_the_photos_are_of_their_classes_and_predicted_so_but_for_the_uniform():
    pytest.importorskip("skimage", reason="needs scikit-image: pip install '.[demo]'")
    pytest.importorskip("sklearn", reason="needs scikit-learn: pip install '.[demo]'")
    samples = photo.sample_photos()
    assert len(samples) == 8
    classifier = ik.load_classifier()
    images = ik.load_images([each.path for each in samples])
    (batch,) = images.read(classifier.preprocessing, 8)
    predicted = classifier.probabilities(batch.pixels).argmax(1).tolist()
    expected = [classifier.class_index(each.label) for each in samples]
    assert predicted[1:] == expected[1:]
    assert predicted[0] != expected[0]
