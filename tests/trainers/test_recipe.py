"""Does a recipe refuse what cannot be trained, and explain each of its choices?"""

import math

import pytest

from interpret_kit.errors import DoesNotFit, WrongType
from interpret_kit.trainers.recipe import Recipe


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"epochs": 0}, "`epochs` is 0; it must be an integer of at least 1"),
        ({"batch_size": 1}, "`batch_size` is 1; it must be an integer of at least 2"),
        ({"patience": -1}, "`patience` is -1"),
        ({"seed": -1}, "`seed` is -1"),
        ({"lr": 0.0}, "`lr` is 0; it must be above 0"),
        ({"lr": math.nan}, "`lr` is nan"),
        ({"weight_decay": -0.1}, "`weight_decay` is -0.1; it must be at least 0"),
        ({"warmup": 1.0}, r"`warmup` is 1; it must be at least 0 and below 1"),
        ({"dropout": 1.5}, r"`dropout` is 1\.5; it must be at least 0 and below 1"),
        ({"size": 0}, "`size` is 0"),
        ({"size": (1, 2, 3)}, "`size` has 3 entries"),
        ({"schedule": "cosin"}, "`schedule` is 'cosin'; similar names: cosine"),
        ({"precision": "half"}, "`precision` is 'half'; available: auto, float32, bf16, fp16"),
        ({"compile": "yes"}, "`compile` is 'yes'; available: auto, on, off"),
        ({"label_smoothing": 1.0}, r"`label_smoothing` is 1; it must be at least 0"),
        ({"ema": 1.0}, r"`ema` is 1; it must be at least 0"),
        ({"erase": 1.1}, "`erase` is 1.1; it must be between 0 and 1"),
        ({"shift": 0.6}, "`shift` is 0.6; it must be between 0 and 0.5"),
        ({"shift": 0.1, "crop": 0.5}, "`shift` has no effect with `crop=0.5`; drop one of them"),
        ({"shift": 0.1, "augment": False}, "`shift` has no effect with `augment=False`"),
        ({"randaugment": -1}, "`randaugment` is -1; it must be an integer of at least 0"),
        ({"randaugment": 0.5}, "`randaugment` is 0.5; it must be an integer of at least 0"),
        ({"randaugment": 1, "magnitude": 11}, "`magnitude` is 11; it must be between 0 and 10"),
        ({"magnitude": 9}, "`magnitude` has no effect without `randaugment`; set `randaugment`"),
        ({"mixup": -1.0}, r"`mixup` is -1; it must be at least 0"),
        ({"clip": math.inf}, "`clip` is inf; it must be at least 0"),
        ({"crop": 0.0}, "`crop` is 0; it must be above 0"),
        ({"crop": 0.5, "augment": False}, "`crop` has no effect with `augment=False`"),
        ({"mixup": 0.2, "batch_size": 7}, "pairs of images, so `batch_size` must be even, not 7"),
        (
            {"val_too": True, "patience": 2},
            "`patience` needs a validation split, but `val_too` trains on it",
        ),
        ({"pretrained": True}, "`pretrained` only applies to timm architectures; name one, as in"),
        ({"drop_path": 0.1}, "`drop_path` only applies to timm architectures"),
        (
            {"arch": "resnet18", "kernel": 5},
            "`kernel` belongs to our own architecture, and resnet18 ignores it",
        ),
    ],
)
def test_a_recipe_refuses_what_makes_no_sense(fields, message):
    with pytest.raises(DoesNotFit, match=message):
        Recipe(**fields)


def test_text_instead_of_numbers_is_refused_with_an_example():
    with pytest.raises(WrongType, match=r"`channels` is '16,32'; give numbers, as in `channels=\("):
        Recipe(channels="16,32")
    with pytest.raises(WrongType, match="`epochs` is '3'; give a number, as in `epochs=10`"):
        Recipe(epochs="3")


def test_every_choice_of_a_recipe_is_explained():
    for field in Recipe.__dataclass_fields__.values():
        assert field.metadata["help"]


def test_lists_and_tuples_make_the_same_recipe():
    assert Recipe(channels=[4, 8], fc=[16], size=[8, 6]) == Recipe(
        channels=(4, 8), fc=(16,), size=(8, 6)
    )
    assert Recipe(size=(8, 6)).input_size == (8, 6)
    assert Recipe(size=7).input_size == (7, 7)
