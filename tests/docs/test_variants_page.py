"""Is the effect of a change of the final recipe what one computes on paper?"""

import json
import math
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "docs" / "studies"))

import make_variants as variants  # noqa: E402


def test_effects_are_the_differences_of_means_and_their_error_is_that_of_the_interactions():
    # Two changes: with the first, 64 and 67 instead of 60 and 61; with the second, 61 and 67
    # instead of 60 and 64. The interaction, (60 + 67 - 61 - 64) / 2 = 1, is the standard error,
    # and 12.706 the quantile of Student's t with one degree of freedom.
    first, second = variants.effects(np.array([[60.0, 61.0], [64.0, 67.0]]))
    assert (first.points, second.points) == (5.0, 2.0)
    assert first.half_width == second.half_width == pytest.approx(12.706, abs=1e-3)


def test_three_changes_have_four_interactions():
    # Effects of 2, 0 and -1 points, and an interaction of 0.8 of the first and the last change:
    # of the four, three are 0, so the error is 0.8 / 2; 2.776 for four degrees of freedom.
    found = np.empty((2, 2, 2))
    for a, b, c in np.ndindex(2, 2, 2):
        found[a, b, c] = 60 + 2 * a - c + 0.4 * (2 * a - 1) * (2 * c - 1)
    effects = variants.effects(found)
    assert [each.points for each in effects] == pytest.approx([2.0, 0.0, -1.0])
    assert effects[0].half_width == pytest.approx(2.776 * math.sqrt(0.8**2 / 4), rel=1e-3)


def test_the_page_says_which_changes_help_and_whether_any_recipe_is_better():
    numbers = {
        "vary": {"kernel": ["3", "5"], "channels": ["24", "48"], "shift": ["0", "0.1"]},
        "epochs": 10,
        "minutes": [1] * 8,
        "multiply_adds": [1e6] * 8,
        "images": 100,
    }
    better = variants.page({**numbers, "val": [0.6] * 4 + [0.625] * 4})
    assert "- a first kernel of 5 instead of 3: **+2.5 ± 0.0 points**\n" in better
    assert "\n- 48 instead of 24 filters in the first layer: **+0.0 ± 0.0 points**\n" in better
    assert "The best of them has 62.5 %, the final recipe itself at this size 60.0 %." in better
    assert "%. Shown to help: a first kernel of 5 instead of 3.\n" in better
    worse = variants.page({**numbers, "val": [0.6] + [0.5] * 7})
    assert "none of them is better than the final recipe itself (60.0 %). None of the" in worse


def test_the_page_is_what_the_kept_numbers_make():
    numbers = json.loads((variants.HOME / variants.NUMBERS).read_text(encoding="utf-8"))
    written = (variants.HOME / variants.PAGE).read_text(encoding="utf-8")
    assert written == variants.page(numbers)
    assert list(numbers["vary"]) == list(variants.CHANGES)
    rows = [line for line in written.splitlines() if line.startswith("| ") and "---" not in line]
    assert len(rows) == 1 + len(numbers["val"])
    for row, share in zip(rows[1:], numbers["val"], strict=True):
        assert f" {100 * share:.1f} " in row
