"""Is a study that was written in Python the one of a TOML file, or refused in a line?"""

import json

import numpy as np
import pytest

import interpret_kit as ik
from interpret_kit.errors import UsageError


def test_tuples_ranges_and_arrays_are_kept_as_json_keeps_them():
    study = ik.Study(
        recipe={"channels": (8, 16)},
        vary={"kernel": range(3, 8, 2), "lr": np.array([0.5, 0.25]), "fc": ([], (4,))},
        seeds=np.arange(2),
        report=[50] * 12,
    )
    assert dict(study.vary) == {"kernel": [3, 5, 7], "lr": [0.5, 0.25], "fc": [[], [4]]}
    assert dict(study.recipe) == {"channels": [8, 16]}
    assert (study.seeds, study.report) == ((0, 1), (50.0,) * 12)
    assert ik.Study(**json.loads(json.dumps(dict(study.fields())))) == study


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"vary": {"lr": 0.1}}, "^`vary` lr is 0.1; it must be a list of at least one value$"),
        ({"vary": {"fc": "32"}}, "^`vary` fc is '32'; it must be a list of at least one value$"),
        ({"vary": {"lr": []}}, r"^`vary` lr is \[\]; it must be a list of at least one value$"),
        ({"vary": {"lr": [1, 1]}}, r"^`vary` lr is \[1, 1\]; a value is listed twice$"),
        ({"vary": ["lr"]}, r"^`vary` is \['lr'\]; give a dict .*, as in vary={'kernel': \[3, 5\]}"),
        ({"recipe": ik.Recipe()}, "^`recipe` is Recipe.*; give a dict .*recipe={'data': 'photos/'"),
        ({"seeds": 3}, "^`seeds` is 3; it must be a list of at least one value$"),
        ({"seeds": [0, -1]}, r"^`seeds` is \[0, -1\]; they must be integers of at least 0$"),
        ({"report": [1, 2]}, r"^`report` is \[1, 2\]; .* one accuracy .* for each of 1 recipes$"),
        ({"scale": 2}, "^`scale` is 2; it must be above 0 and at most 1$"),
        ({"scale": None}, "^`scale` is None; it must be above 0"),
        ({"title": None}, "^`title` is None; give text$"),
    ],
)
def test_what_makes_no_study_is_refused(fields, said):
    with pytest.raises(UsageError, match=said):
        ik.Study(**fields)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"vary": {"lrr": [1]}}, "^no field of a recipe 'lrr'; similar names: lr"),
        ({"recipe": {"kernels": 3}}, "^no field of a recipe 'kernels'; similar names: kernel"),
        ({"vary": {"lr": ["a"]}}, "^`lr` is 'a'; it must be: number$"),
        ({"vary": {"seed": [1, 2]}}, "^each trial has its own seed; list them as `seeds`"),
        ({"vary": {"lr": [1]}, "recipe": {"lr": 1}}, r"^`lr` is in \[recipe\] and in \[vary\]"),
    ],
)
def test_fields_that_no_recipe_has_are_refused_before_anything_is_written(tmp_path, fields, said):
    with pytest.raises(UsageError, match=said):
        ik.sweep(ik.Study(**fields), tmp_path / "out")
    assert not (tmp_path / "out").exists()
