"""Saved results are read as they were declared, or refused by the file and the field."""

import json
import os
import random
import shutil

import numpy as np
import pytest
from networks_on_paper import noisy_images, small_classifier

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.attribution import Attribution
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.errors import RunError
from interpret_kit.results import load, registry
from interpret_kit.results.holds import DECLARED
from interpret_kit.results.load import load_result

SMALL = [
    Occlusion(window=(5, 4), stride=4),
    Attribution(method="gradcam,ig", steps=2),
    Activations(layer="conv1", top=3),
    TopPatches(layer="conv1", top=3),
    Ablation(layer="conv1"),
    Misclassifications(mistakes=3),
]
VALUES = [None, -1, 0, "x", [], {}, 10**30, True, 1e9, ["a"]]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder, classifier = tmp_path_factory.mktemp("saved"), small_classifier()
    return {e.name: e.run(classifier, noisy_images(8)).save(folder / e.name) for e in SMALL}


def changed(source, folder, field, value):
    """Copy a result with another array, or another part of the manifest."""
    folder.mkdir(exist_ok=True)
    manifest = json.loads((source / "manifest.json").read_text())
    with np.load(source / "arrays.npz") as stored:
        arrays = dict(stored)
    if field in arrays:
        arrays[field] = value(arrays[field])
    else:
        part, name = field.split(".")
        manifest[part][name] = value
    (folder / "manifest.json").write_text(json.dumps(manifest))
    np.savez(folder / "arrays.npz", **arrays)
    return folder


def test_every_array_is_declared():
    registry.import_all()
    for name, kinds in DECLARED.items():
        assert {e.name for e in registry.RESULTS[name].array_fields()} == set(kinds)


@pytest.mark.parametrize(
    ("analysis", "field", "value", "reason"),
    [
        ("occlusion", "confidence", lambda a: a + 1, r"arrays\.npz: confidence goes up to 1\.\d+"),
        ("occlusion", "confidence", lambda a: a[..., None], "confidence has 4 axes"),
        (
            "occlusion",
            "target",
            lambda a: a + 5,
            "target goes up to .*, but must be at most 4",
        ),
        ("occlusion", "ids", lambda a: a + 90, "ids holds 90, which is not the id of an image"),
        (
            "occlusion",
            "labels",
            lambda a: a - 9,
            "labels goes down to -9, but must be at least -1",
        ),
        (
            "occlusion",
            "input_images",
            lambda a: a[:-1],
            "input_images has 7 images, but there are 8",
        ),
        ("occlusion", "uncovered", lambda a: a.astype(str), "uncovered is of type <U"),
        ("occlusion", "uncovered", lambda a: a.astype(object), "allow_pickle=False"),
        ("occlusion", "origin.classes", ["a", 1], r"manifest\.json: classes\[1\] is 1, not text"),
        ("occlusion", "facts.window", [5, -4], r"window is \(5, -4\), but must be at least 1"),
        ("occlusion", "facts.crop", "all", "crop is 'all', not a number"),
        ("top_patches", "shown", lambda a: a + 50, "shown goes up to"),
        ("top_patches", "layer", lambda a: a + 1, "layer goes up to 1, but must be at most 0"),
        ("ablation", "flip_row", lambda a: a - 100, "flip_row goes down to"),
        ("ablation", "facts.layers", [], "layer goes up to 0"),
        ("misclassifications", "confusion", lambda a: a - 99, "confusion goes down to"),
        ("activations", "chosen", lambda a: a[:0], "chosen has 0 chosen|chosen has no chosen"),
    ],
)
def test_what_is_not_as_declared_is_named(saved, tmp_path, analysis, field, value, reason):  # noqa: PLR0917
    with pytest.raises(RunError, match=rf"is damaged \(.*{reason}.*; run the analysis again"):
        load_result(changed(saved[analysis], tmp_path / "occlusion", field, value))


def test_an_archive_that_unpacks_to_many_times_its_size_is_refused(saved, tmp_path, monkeypatch):
    monkeypatch.setattr(load, "_MOST_UNPACKED", 10**6)
    load_result(saved["occlusion"])
    bomb = changed(saved["occlusion"], tmp_path / "bomb", "uncovered", lambda a: a)
    with np.load(bomb / "arrays.npz") as stored:
        arrays = {**stored, "uncovered": np.zeros(10**7, np.uint8)}
    np.savez_compressed(bomb / "arrays.npz", **arrays)
    with pytest.raises(RunError, match=r"arrays\.npz unpacks to 100\d+ bytes, at most \d+ are"):
        load_result(bomb)


def test_mutated_results_are_read_or_refused(saved, tmp_path):
    drawn = random.Random(0)
    read, refused = 0, 0
    acts = [lambda a: a[:-1], lambda a: a[None], lambda a: a[:0], lambda a: a.astype(float)]
    for _ in range(60):
        source = saved[drawn.choice(SMALL).name]
        manifest = json.loads((source / "manifest.json").read_text())
        part = drawn.choice(["origin", "facts", "fields", *manifest["arrays"]])
        field, value = part, drawn.choice(acts)
        if manifest.get(part):
            field, value = f"{part}.{drawn.choice(list(manifest[part]))}", drawn.choice(VALUES)
        elif part in manifest:
            continue
        mutated = changed(source, tmp_path / "one", field, value)
        try:
            result = load_result(mutated)  # anything but this error is a crash
        except RunError:
            refused += 1
            continue
        result.tables()
        assert len(repr(result).splitlines()) <= 10
        read += 1
    assert (read > 0, refused > read) == (True, True)


def test_arrays_in_a_pipe_are_refused_instead_of_waited_for(saved, tmp_path):
    folder = shutil.copytree(saved["misclassifications"], tmp_path / "copy")
    (folder / "arrays.npz").unlink()
    os.mkfifo(folder / "arrays.npz")
    with pytest.raises(RunError, match=r"copy is damaged \(it is not a regular file\); run the"):
        load_result(folder)
