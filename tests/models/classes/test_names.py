import numpy as np
import pytest

from interpret_kit import ImageSet
from interpret_kit.errors import UsageError
from interpret_kit.models.classes.names import class_names


@pytest.mark.parametrize(
    "classes",
    [
        ["cat", "dog"],
        ("cat", "dog"),
        np.array(["cat", "dog"]),
        {0: "cat", 1: "dog"},
        {1: "dog", 0: "cat"},
        {"cat": 0, "dog": 1},
        {"dog": np.int64(1), "cat": np.int64(0)},
        {"1": "dog", "0": "cat"},
        {"cat": "0", "dog": "1"},
        (each for each in ("cat", "dog")),
    ],
)
def test_names_come_in_the_order_of_the_outputs(classes):
    assert class_names(classes) == ("cat", "dog")


def test_digits_may_be_names():
    assert class_names({"0": 1, "1": 0}) == ("1", "0")
    assert class_names(range(3)) == ("0", "1", "2")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (2, r"classes is 2 \(int\)"),
        ("cat", r"classes is 'cat' \(str\)"),
        ({"cat", "dog"}, r"\(set\); give the names in the order"),
        ([None, "dog"], r"classes is \[None, 'dog'\]"),
        ([["cat"], ["dog"]], r"give the names in the order"),
        ({0: 0, 1: 1}, "a dict goes from index to name"),
        ({0: "cat", 2: "dog"}, "names 2 classes, but none with index 1"),
        ({"cat": 0, "dog": 0}, "none with index 1; the indices must be 0 to 1, each once"),
        ({1: "cat", 2: "dog"}, "none with index 0"),
        ({-1: "cat", 0: "dog"}, "a dict goes from index to name"),
    ],
)
def test_what_are_not_names_is_reported(classes, message):
    with pytest.raises(UsageError, match=message):
        class_names(classes)


def test_the_classes_of_arrays_may_be_a_mapping_too():
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    images = ImageSet.from_arrays(pixels, [1, 0], {"cat": 0, "dog": 1})
    assert [images.classes[each] for each in images.labels] == ["dog", "cat"]
    assert ImageSet.from_arrays(pixels, [1, 0], None).classes == ()
    with pytest.raises(UsageError, match=r"classes is \[None, 'dog'\] \(list\); give the names"):
        ImageSet.from_arrays(pixels, [1, 0], [None, "dog"])  # it was a class "None"
    with pytest.raises(UsageError, match="labels go from 0 to 2, and 2 class names"):
        ImageSet.from_arrays(pixels, [2, 0], {0: "cat", 1: "dog"})
