import pytest
from networks_on_paper import HALVES
from torch import nn

from interpret_kit.data.folders.class_matching import match_classes
from interpret_kit.errors import ClassMismatch
from interpret_kit.models.classifier import Classifier


def classifier(*classes, synonyms=()):
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, len(classes)))
    return Classifier(
        network, size=(2, 2), **HALVES, classes=classes, synonyms=synonyms, name="net"
    )


BIRDS = classifier(
    "house finch",
    "crane",
    "crane",
    "Great-Grey Owl",
    synonyms=[["n01"], ["n02", "crane (bird)"], ["n03", "crane (machine)"], ["n04", "owl"]],
)


def test_names_decide_and_not_positions():
    assert match_classes(["dog", "cat"], classifier("cat", "fox", "dog")) == {"cat": 0, "dog": 2}


def test_case_and_the_characters_between_words_do_not_count():
    names = ["House_Finch", "great grey owl"]
    assert match_classes(names, BIRDS) == {"House_Finch": 0, "great grey owl": 3}


def test_synonyms_count():
    names = ["n01", "N03", "Owl", "crane_(bird)"]
    assert match_classes(names, BIRDS) == {"n01": 0, "N03": 2, "Owl": 3, "crane_(bird)": 1}


def test_the_exact_name_comes_before_one_that_folds_to_it():
    net = classifier("Cat", "cat", "C-A-T")
    assert match_classes(["cat", "Cat"], net) == {"Cat": 0, "cat": 1}


def test_a_name_that_two_classes_have_is_refused():
    with pytest.raises(
        ClassMismatch, match=r"'crane' matches several .* crane \(1\), crane \(2\);"
    ):
        match_classes(["crane"], BIRDS)
    with pytest.raises(ClassMismatch, match="'CAT' matches several classes of net"):
        match_classes(["CAT"], classifier("Cat", "cat"))


def test_two_names_of_one_class_are_not_merged():
    with pytest.raises(ClassMismatch, match="'Cat' and 'cat' both mean the class 'cat' of net"):
        match_classes(["Cat", "cat"], classifier("cat", "dog"))
    with pytest.raises(ClassMismatch, match="'house finch' and 'n01' both mean the class"):
        match_classes(["house finch", "n01"], BIRDS)


def test_names_that_match_nothing_are_listed_with_close_names_and_a_way_out():
    net = classifier("daisy", "rose", "tulip")
    with pytest.raises(ClassMismatch) as caught:
        match_classes(["daisyy", "rose", "cactus"], net)
    message = str(caught.value)
    assert message.startswith("2 of the 3 class names of the images are not classes of net: ")
    said = "'daisyy' (similar names: daisy), 'cactus'; its classes are daisy, rose, tulip; rename"
    assert said in message
    assert "rename them" in message
    assert "labels='predicted'" in message
    assert "\n" not in message
