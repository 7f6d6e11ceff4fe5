"""Is a run's config.json what its schema declares?"""

import json
import random
from contextlib import suppress

import pytest

from interpret_kit.errors import BadWeights, InterpretError
from interpret_kit.models.loading.load import load_run
from interpret_kit.models.loading.recorded_runs import check_model, read_config, unfinished
from interpret_kit.models.schema import misfit

GOOD = {
    "architecture": "convnet",
    "arguments": {"filters": [4]},
    "size": [8, 8],
    "mean": [0.5, 0.5, 0.5],
    "std": [0.5, 0.5, 0.5],
    "crop": 1.0,
    "interpolation": "bilinear",
    "crop_mode": "center",
    "classes": ["ant", "bee"],
    "recipe": {"epochs": 3},
    "metrics": {"val_accuracy": 0.5},
    "finished": True,
}


def write(folder, config):
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("size", -1, "size is -1, not a list"),
        ("size", [-1, 8], "`size` is .*-1, 8.*integers from 1"),
        ("size", [8, 8, 8], r"size is \[8, 8, 8\], not a list of 2"),
        ("size", [10**30, 8], r"size\[0\] is 10+.*, not an integer"),
        ("size", [1e9, 8], r"size\[0\] is 1000000000.0, not an integer"),
        ("std", [0, 0, 0], ".*their standard deviation above 0"),
        ("std", [0.5, None, 0.5], r"std\[1\] is None, not a number"),
        ("mean", [float("nan")] * 3, ".*the pixels' mean is in"),
        ("mean", "0.5", "mean is '0.5', not a list"),
        ("crop", 0, "`crop` is 0: it must be a fraction"),
        ("crop", True, "crop is True, not a number"),
        ("interpolation", ["bicubic"], "interpolation is .*, not text"),
        ("interpolation", "cubic", "no interpolation 'cubic'"),
        ("classes", [], "classes is empty"),
        ("classes", [1, 2], r"classes\[0\] is 1, not text"),
        ("arguments", [4], "arguments is .*, not an object"),
        ("architecture", 3, "architecture is 3, not text"),
        ("metrics", {"val_accuracy": "high"}, r"metrics\['val_accuracy'\] is 'high', not a number"),
        ("finished", "yes", "finished is 'yes', not true or false"),
    ],
)
def test_a_field_of_another_type_or_range_is_named_with_its_file(tmp_path, field, value, reason):
    assert read_config(write(tmp_path, GOOD)) == GOOD
    with pytest.raises(BadWeights, match=rf"config\.json: ({reason})"):
        check_model(write(tmp_path, {**GOOD, field: value}))


@pytest.mark.parametrize("arguments", [{"filters": "many"}, {"filters": [0]}, {"nonsense": 1}])
def test_arguments_that_make_no_network_are_refused(tmp_path, arguments):
    with pytest.raises(InterpretError) as refused:
        load_run(write(tmp_path, {**GOOD, "arguments": arguments}))
    assert len(str(refused.value).splitlines()) == 1


def test_mutated_configurations_are_read_or_refused(tmp_path):
    drawn = random.Random(0)
    values = [None, -1, 0, 1e400, "x", [], {}, [None], [[1]], {"a": 1}, True, 10**30, [-1, 8]]
    for _ in range(150):
        config = dict(GOOD)
        for field in drawn.sample(list(GOOD), 2):
            config[field] = drawn.choice(values)
        text = bytearray(json.dumps(config).encode())
        for _ in range(drawn.randrange(3)):
            text[drawn.randrange(len(text))] = drawn.randrange(256)
        (tmp_path / "config.json").write_bytes(text)
        unfinished(tmp_path)
        with suppress(InterpretError):  # anything else is a crash
            check_model(tmp_path)


def test_types_of_values_from_json():
    assert misfit("a", [[1, "x"]], tuple[tuple[int, str], ...]) is None
    assert misfit("a", [[1, 2]], tuple[tuple[int, str], ...]) == "a[0][1] is 2, not text"
    assert misfit("a", {"b": 1}, dict[str, int | None]) is None
    assert misfit("a", {"b": 1.5}, dict[str, int | None]) == "a['b'] is 1.5, not an integer"
    assert misfit("a", True, int) == "a is True, not an integer"
    assert misfit("a", 1, float) is None
