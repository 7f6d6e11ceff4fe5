"""Do the conclusions of the earlier report hold? Its eleven, judged by the numbers of both pages.

The verdicts on the recipe are read from the page of the studies, those on filters from the numbers
of this report.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from report_filters import broken_most
from report_layers import LITTLE, rho
from report_markdown import table

Numbers = dict[str, Any]

HOLDS, PARTLY = "holds", "holds in part"
FAILS, OPEN = "does not hold", "not decided"
# Newly misclassified images by class, the largest counts only; by layer, of two filters.
EARLIER_COUNTS = (
    ((12, 5, 5), (4, 4, 4)),
    ((1, 1), (9, 5, 5, 5)),
    ((2, 2), (1, 1)),
    ((3, 2, 2, 2), (5, 4, 4, 2)),
    ((17, 10, 10, 7, 7, 5, 4), (36, 17, 7, 7, 4)),
)


def every(verdicts: Sequence[str]) -> str:
    """Combine the verdicts on the parts of a conclusion: one that fails is enough to refute it."""
    if any(each.startswith(FAILS) for each in verdicts):
        return FAILS
    return HOLDS if verdicts and set(verdicts) == {HOLDS} else OPEN


def either(verdicts: Sequence[str]) -> str:
    """Combine the verdicts on the readings of a conclusion: only if all fail, it is refuted."""
    if HOLDS in verdicts:
        return HOLDS
    return FAILS if verdicts and all(each.startswith(FAILS) for each in verdicts) else OPEN


@dataclass(frozen=True)
class Conclusion:
    """A conclusion on the recipe, and how it is judged."""

    text: str
    studies: str = ""  # how the titles of the studies begin that test it; empty if none does
    combine: Callable[[Sequence[str]], str] = every
    exception: str = ""  # a part of it that fails, though no claim of the studies tests it


ON_THE_RECIPE = (
    Conclusion(
        "More filters raise the training accuracy; beyond about 256, validation stays",
        "Filters of",
    ),
    Conclusion("A kernel that is too large makes the layer nearly dense; small ones need depth"),
    Conclusion("Large strides cost accuracy, early ones above all", "Stride"),
    Conclusion("Pooling of 3 is slightly worse than of 2", "Max-pooling"),
    Conclusion(
        "Depth helps up to five convolutions; six fail to train",
        "Number of convolutions",
        exception="six are worse than four here, but they do train",
    ),
    # It does not say whether the last layer is counted, so its claims are two readings.
    Conclusion("Two fully connected layers are best", "Number of fully connected layers", either),
    Conclusion("After some epochs, only the training accuracy continues to rise", "Epochs"),
    Conclusion("Too large a learning rate diverges", "Learning rate"),
)
_VERDICT = re.compile(r"^\| ([^|]+) \| ([^|]+) \| \*\*([^*]+)\*\* \|$", re.MULTILINE)
# The same claims, judged by more seeds.
_DECIDED = re.compile(
    r"^\| ([^|]+) \| ([^|]+) \| \d+ \| ([^|]+) \| [^|]+ \| \*\*([^*]+)\*\* \|$", re.MULTILINE
)
_SCALE = re.compile(r"At scale ([\d.]+)")


def conclusions(numbers: Numbers, studies: str) -> list[str]:
    """Compare with the counts of the earlier report, and judge its conclusions.

    Args:
        numbers: those of this report.
        studies: the page of the studies.
    """
    return [
        "## 5. Does it agree with the earlier report?",
        "**One filter set to zero.** The images that become misclassified, counted by class, the "
        "largest counts first. The earlier report does not say how it chose the two filters of a "
        "layer; ours are the two that break most images. It has different classes, so only the "
        "shape of the counts can be compared.",
        _counts(numbers["filters"]),
        "**Its eleven conclusions.** Those on the recipe are judged by "
        f"[the studies](../studies/README.md), {_scale(studies)}; the others by this network. A "
        "verdict on a claim is followed by its contrast, which the studies define, in percentage "
        "points +- its standard error.",
        table(("", "the earlier report", "here", "because"), _judged(numbers, studies)),
    ]


def _counts(chosen: Sequence[Sequence[Numbers]]) -> str:
    rows = []
    for number, (earlier, pair) in enumerate(zip(EARLIER_COUNTS, chosen, strict=False), 1):
        ours = [_listed([each["classes"][k][0] for k in broken_most(each)[:5]]) for each in pair]
        rows.append((number, *map(_listed, earlier), *ours))
    columns = ("layer", "earlier, one filter", "another", "here, one filter", "another")
    return table(columns, rows)


def _listed(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts)) or "none"


def _scale(studies: str) -> str:
    found = _SCALE.search(studies)
    return f"at scale {found[1]}" if found else "at full scale"


def _judged(numbers: Numbers, studies: str) -> list[tuple[object, ...]]:
    claims = _latest(studies)
    rows: list[tuple[object, ...]] = []
    for each in ON_THE_RECIPE:
        tested = [claim for claim in claims if each.studies and claim[0].startswith(each.studies)]
        verdict = each.combine([said for _, _, said, _ in tested])
        if each.exception and verdict == HOLDS:
            verdict = PARTLY
        why = [
            f"{claim} ({study}): {said}{contrast and f', {contrast}'}"
            for study, claim, said, contrast in tested
        ]
        if tested and each.exception:
            why.append(each.exception)
        why = why or ["not tested as a claim"]
        rows.append((len(rows) + 1, each.text, f"**{verdict}**", "; ".join(why)))
    return [*rows, *_on_filters(numbers, len(rows))]


def _latest(studies: str) -> list[tuple[str, str, str, str]]:
    """Return study, claim, verdict and contrast: those of the decisive trials, if there are any.

    Without decisive trials, the verdict is that of the first round, and the contrast is empty.
    """
    decided = {
        (study, claim): (verdict, contrast)
        for study, claim, contrast, verdict in _DECIDED.findall(studies)
    }
    return [
        (study, claim, *decided.get((study, claim), (verdict, "")))
        for study, claim, verdict in _VERDICT.findall(studies)
    ]


def _on_filters(numbers: Numbers, before: int) -> list[tuple[object, ...]]:
    """Judge what it says of occlusion, of what layers respond to, and of their importance."""
    fields = ", ".join(
        "{} x {}".format(*layer["receptive_field"]) for layer in numbers["network"]["layers"]
    )
    found = numbers["ablation"]["spearman"]  # None if it is not defined
    verdict = OPEN
    if found is not None and abs(found) >= LITTLE:
        verdict = HOLDS if found > 0 else FAILS
    means = ", ".join(f"{layer['mean']:.1f}" for layer in numbers["ablation"]["layers"])
    return [
        (
            before + 1,
            "Objects that fill the image lose confidence under any window; for centred ones, the "
            "border does not matter",
            f"**{OPEN}**",
            "not measured: the second section compares the peak with the object's box",
        ),
        (
            before + 2,
            "Layer 1 finds edges, layers 2 and 3 parts, layer 4 smaller parts; layer 5 is hard to "
            "read",
            f"**{OPEN}**",
            f"left to the reader of the top patches above, which cover {fields} px",
        ),
        (
            before + 3,
            "Later layers matter more than early ones",
            f"**{verdict}**",
            f"images broken per filter, by layer: {means}; rank correlation with depth: "
            f"{rho(numbers['ablation'])}",
        ),
    ]
