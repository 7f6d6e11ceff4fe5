"""What would show that a claim holds, or that it does not? Each as weighted sums of accuracies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from interpret_kit.trainers.sweep.study import read_study

STUDIES = Path(__file__).parents[2] / "examples" / "studies"
MARGIN = 1.0  # percentage points: a smaller lead is none; fixed before the decisive trials
LEFT = 0.25  # of the best rate's lead over chance: a rate with less counts as diverged
# How often the claims of a study were judged, before and after seeds were added; else once.
LOOKS = {"filters_1": 2, "stride": 3}


@cache
def title_of(study: str) -> str:
    """Return the title of the study in ``examples/studies/<study>.toml``."""
    return read_study(STUDIES / f"{study}.toml").title


@dataclass(frozen=True)
class Contrast:
    """A weighted sum of mean accuracies, such as the difference of two recipes or of two gains."""

    split: str  # "train" or "val"
    weights: Mapping[str, float]  # by the name of the recipe
    constant: float = 0.0  # percentage points, added to the sum

    def __neg__(self) -> Contrast:
        """Return the contrast with the opposite sign."""
        weights = {name: -weight for name, weight in self.weights.items()}
        return Contrast(self.split, weights, -self.constant)


@dataclass(frozen=True)
class Claim:
    """A sentence about recipes; which contrasts must be positive for it, and which against it.

    It does not hold, either, if one of its ``leads`` is below `MARGIN`.
    """

    study: str  # the name of its file
    text: str
    above: tuple[Contrast, ...]  # it holds if all are above 0
    against: tuple[Contrast, ...]  # it does not hold if one is above 0
    leads: tuple[Contrast, ...] = ()
    shown: Contrast | None = None  # on the page, instead of the first that must be positive

    @property
    def title(self) -> str:
        """The title of its study."""
        return title_of(self.study)

    @property
    def main(self) -> Contrast:
        """The contrast that speaks for the claim or against it."""
        return self.shown or self.above[0]


def gain(split: str, first: str, last: str) -> Contrast:
    """Subtract the accuracy of the first recipe from that of the last."""
    return Contrast(split, {last: 1.0, first: -1.0})


def _difference(study: str, text: str, above: Contrast) -> Claim:
    return Claim(study, text, (above,), (-above,), leads=(above,))


def _wider(study: str, first: str, middle: str, last: str) -> tuple[Claim, Claim]:
    bend = Contrast("val", {middle: 2.0, first: -1.0, last: -1.0})
    less = "On validation, more filters help less and less"
    return (
        _difference(study, "More filters raise the training accuracy", gain("train", first, last)),
        # "Less and less" presupposes a gain, so both must be positive for it.
        Claim(study, less, (bend, gain("val", first, middle)), (-bend,), leads=(bend,)),
    )


def _two_layers(way: str, two: str, others: tuple[str, ...]) -> Claim:
    text = f"Two fully connected layers are best, counted {way} the last one"
    above = tuple(gain("val", other, two) for other in others)
    return Claim("fully_connected", text, above, tuple(-each for each in above), leads=above)


RISES = gain("val", "40", "70")
BEYOND = Contrast("val", RISES.weights, -MARGIN)
# Chance is 1 of 33 classes; the largest rate keeps less than a quarter of the best's lead over it.
LITTLE_LEFT = Contrast("val", {"0.001": LEFT, "0.1": -1.0}, (1 - LEFT) * 100 / 33)
CLAIMS = (
    *_wider("filters_1", "16,64,64", "128,64,64", "768,64,64"),
    *_wider("filters_2", "32,16,64", "32,128,64", "32,768,64"),
    *_wider("filters_3", "32,64,1", "32,64,16", "32,64,128"),
    _difference("stride", "A large stride early costs accuracy", gain("val", "2,1,1", "1,1,2")),
    _difference("pooling", "Pooling by 2 beats pooling by 3", gain("val", "3", "2")),
    _difference("convolutions", "Depth helps", gain("val", "32", "32,64,64,64")),
    _difference(
        "convolutions",
        "Then more depth hurts",
        gain("val", "32,64,64,64,64,64", "32,64,64,64"),
    ),
    _two_layers("with", "128", ("none", "128,128")),
    _two_layers("without", "128,128", ("none", "128")),
    Claim(
        "epochs",
        "Validation accuracy saturates while training accuracy keeps rising",
        (-BEYOND, gain("train", "40", "70")),
        (BEYOND,),
        shown=RISES,
    ),
    Claim("learning_rate", "Too large a learning rate diverges", (LITTLE_LEFT,), (-LITTLE_LEFT,)),
)
