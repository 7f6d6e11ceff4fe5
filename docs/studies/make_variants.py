r"""Which changes of the final recipe help? Reads a sweep and writes docs/studies/variants.md.

    ikit sweep examples/final_variants.toml --data tiny33 --jobs 2 --out variants
    python docs/studies/make_variants.py variants

Without a folder, the page is written again from the numbers that were kept.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from interpret_kit.results.load import load_result
from interpret_kit.results.sweeps.study import text
from interpret_kit.results.sweeps.sweep_table import SweepResult
from interpret_kit.results.table import Table, markdown

HOME = Path(__file__).parent
NUMBERS, PAGE = Path("numbers/variants.json"), Path("variants.md")
COVERED = 0.95

CHANGES = {
    "kernel": "a first kernel of 5 instead of 3",
    "channels": "48 instead of 24 filters in the first layer",
    "shift": "shifts up to an eighth of the side instead of a sixteenth",
}


@dataclass(frozen=True)
class Effect:
    """The mean over the recipes with a change, less the mean over those without it."""

    points: float
    half_width: float  # of the 95 % interval


def effects(accuracies: NDArray[np.float64]) -> tuple[Effect, ...]:
    """Estimate the effect of each of several changes from all combinations of them.

    With one trial per combination, the interactions are taken as noise: their root mean square is
    the standard error of an effect, too large if changes do interact. This is the analysis of
    unreplicated factorial designs (G. E. P. Box, J. S. Hunter, W. G. Hunter, Statistics for
    Experimenters, 2nd edition, chapter 5).

    Args:
        accuracies: (2, 2, ...), an axis for each change, first without it, in percent.
    """
    changes = accuracies.ndim
    contrasts = {
        axes: _contrast(accuracies, axes)
        for count in range(1, changes + 1)
        for axes in itertools.combinations(range(changes), count)
    }
    noise = [each for axes, each in contrasts.items() if len(axes) > 1]
    error = math.sqrt(np.mean(np.square(noise)))
    half = float(stdtrit(len(noise), (1 + COVERED) / 2)) * error
    return tuple(Effect(contrasts[axis,], half) for axis in range(changes))


def _contrast(accuracies: NDArray[np.float64], axes: tuple[int, ...]) -> float:
    signed = accuracies
    for axis in axes:
        sign = np.array([-1.0, 1.0]).reshape(
            [-1 if each == axis else 1 for each in range(signed.ndim)]
        )
        signed = signed * sign
    return float(2 * signed.mean())


def numbers_of(table: SweepResult) -> dict[str, Any]:
    """Extract the numbers that the page shows."""
    study = table.study
    return {
        "vary": {name: [text(each) for each in values] for name, values in study.vary.items()},
        "val": [round(float(each), 6) for each in table.val_accuracy[:, 0]],
        "epochs": study.recipe["epochs"],
        "minutes": [round(float(each), 1) for each in _minutes(table)],
        "multiply_adds": [int(each) for each in table.multiply_adds],
        "images": table.scored["val"],
    }


def _minutes(table: SweepResult) -> NDArray[np.float64]:
    epochs = (~np.isnan(table.val_curve[:, 0])).sum(1)
    return epochs * table.seconds[:, 0] / 60


def page(numbers: Mapping[str, Any]) -> str:
    """Write the whole page, in Markdown."""
    vary, accuracies = numbers["vary"], 100 * np.array(numbers["val"])
    estimated = effects(accuracies.reshape([len(each) for each in vary.values()]))
    found = dict(zip(vary, estimated, strict=True))
    recipes = list(itertools.product(*vary.values()))
    columns: dict[str, Sequence[Any]] = {
        name: [recipe[place] for recipe in recipes] for place, name in enumerate(vary)
    }
    columns["val %"] = [f"{each:.1f}" for each in accuracies]
    columns["MACs (millions)"] = [f"{each / 1e6:.0f}" for each in numbers["multiply_adds"]]
    columns["minutes"] = [f"{each:.0f}" for each in numbers["minutes"]]
    parts = [
        "# Variants of the final network",
        "`examples/final.toml` reaches 73.7 % on the test images of tiny33: see "
        "[the report](../report/README.md). Which changes would help? "
        f"`examples/final_variants.toml` trains all {len(recipes)} combinations of "
        f"{len(vary)} changes, with half the filters and {numbers['epochs']} of the 80 epochs, and "
        f"scores them on the {numbers['images']} validation images. The test images were not used.",
        _markdown(columns),
        "## What each change is worth",
        "\n".join(_line(name, effect) for name, effect in found.items()),
        "An effect is the mean accuracy of the recipes with the change, less that of those without "
        "it, with its 95 % interval. There is one trial per recipe: the interactions of the "
        "changes serve as the noise. Larger shifts make training harder, so they may pay off in "
        "longer trainings only.",
        f"{_best(accuracies)} {_conclusion(found)}",
        "## How this page is made",
        "```\nikit sweep examples/final_variants.toml --data tiny33 --jobs 2 --out variants\n"
        "python docs/studies/make_variants.py variants\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _markdown(columns: Mapping[str, Sequence[Any]]) -> str:
    return markdown(Table(tuple(columns), tuple(zip(*columns.values(), strict=True))))


def _line(name: str, effect: Effect) -> str:
    points = round(effect.points, 1) + 0.0  # never -0.0
    return f"- {CHANGES[name]}: **{points:+.1f} ± {effect.half_width:.1f} points**"


def _best(accuracies: NDArray[np.float64]) -> str:
    """Compare the best recipe with the first one, which has none of the changes."""
    final, best = accuracies[0], accuracies.max()
    if best == final:
        return f"At this size, none of them is better than the final recipe itself ({final:.1f} %)."
    return f"The best of them has {best:.1f} %, the final recipe itself at this size {final:.1f} %."


def _conclusion(found: Mapping[str, Effect]) -> str:
    helpful = [CHANGES[name] for name, each in found.items() if each.points > each.half_width]
    if helpful:
        return f"Shown to help: {'; '.join(helpful)}."
    return "None of the changes is shown to help, so the recipe stays as it is."


def main() -> None:
    """Write the page, and the numbers of a sweep if one is given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweep", type=Path, nargs="?", help="folder of the sweep")
    given = parser.parse_args()
    kept = HOME / NUMBERS
    if given.sweep is not None:
        numbers = numbers_of(load_result(given.sweep))
        kept.write_text(json.dumps(numbers) + "\n", encoding="utf-8")
    written = page(json.loads(kept.read_text(encoding="utf-8")))
    (HOME / PAGE).write_text(written, encoding="utf-8")


if __name__ == "__main__":
    main()
