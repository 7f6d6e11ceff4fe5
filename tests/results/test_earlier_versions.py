"""Are results that earlier versions saved still read?"""

import json

import numpy as np
import pytest

from interpret_kit import Misclassifications, TopPatches
from interpret_kit.results.load import load_result

# What each array was called when these results were saved.
OLD_NAMES = {"input_images": "pictures", "input_image_ids": "picture_ids"}


def as_saved_before(folder):
    """Give the arrays of a saved result the names that they had before."""
    with np.load(folder / "arrays.npz") as stored:
        arrays = {OLD_NAMES.get(name, name): stored[name] for name in stored}
    np.savez_compressed(folder / "arrays.npz", **arrays)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["arrays"] = {
        OLD_NAMES.get(name, name): about for name, about in manifest["arrays"].items()
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize("analysis", [Misclassifications(mistakes=2), TopPatches("all", top=2)])
def test_arrays_that_were_called_pictures_are_read(analysis, classifier, images, tmp_path):
    saved = analysis.run(classifier, images)
    folder = saved.save(tmp_path / "old")
    as_saved_before(folder)
    read = load_result(folder)
    assert len(read.input_images) > 0
    for each in saved.array_fields():
        np.testing.assert_array_equal(getattr(read, each.name), getattr(saved, each.name))


def test_the_earlier_name_of_the_filters_to_ablate_is_read(classifier, images, tmp_path):
    saved = Misclassifications(ablate="2:1", mistakes=2).run(classifier, images)
    folder = saved.save(tmp_path / "old")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["fields"]["silence"] = manifest["fields"].pop("ablate")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert load_result(folder).analysis == saved.analysis
