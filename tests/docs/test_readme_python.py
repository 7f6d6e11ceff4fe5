"""Do the lines of Python in the README work on a user's own images and networks?"""

import contextlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from networks_on_paper import drawn
from PIL import Image
from small_runs import write_colours
from torch.utils.data import DataLoader
from torchvision import transforms

import interpret_kit as ik
from interpret_kit.models.loading.recorded_runs import EMBEDDED_NAME

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
FIRST, SECOND, THIRD = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Class folders that are not ImageNet's, with two images of 64 x 64 in each."""
    root, generator = tmp_path_factory.mktemp("birds"), np.random.default_rng(0)
    for name in ("fieldfare", "redwing"):
        (root / name).mkdir()
        for k in range(2):
            levels = generator.integers(0, 256, (64, 64, 3), np.uint8)
            Image.fromarray(levels).save(root / name / f"{k}.png")
    return root


def shortened(code, *changes):
    """Change what costs time in lines of the README; each must be there."""
    for old, new in changes:
        assert old in code, old
        code = code.replace(old, new)
    return code


def run(code, given, folder):
    """Run lines of the README with another classifier or images; return what they have named.

    Figures are left out: the tour draws them.
    """
    for name in given:
        code, replaced = re.subn(rf"^{name} = .*$", f"{name} = given[{name!r}]", code, flags=re.M)
        assert replaced == 1, name
    names = {"ik": ik, "given": given}
    with contextlib.chdir(folder):
        exec(compile(code, "README.md", "exec"), names)
    return names["result"]


def test_the_first_lines_explain_a_photo_with_the_embedded_model(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "photo.jpg")
    lines = shortened(FIRST, (", figures=True", ""), ("window=56, stride=28", "112, 112"))
    result = run(lines, {}, tmp_path)
    assert (result.origin.model, result.origin.images) == (EMBEDDED_NAME, "photo.jpg")
    assert result.attribution.shape == (1, 224, 224)
    assert "shapes" not in FIRST  # whose classes are not those of the model


def test_the_first_lines_explain_a_folder_of_other_classes_than_imagenets(folder, tmp_path):
    lines = shortened(FIRST, (", figures=True", ""), ("window=56, stride=28", "112, 112"))
    result = run(lines, {"images": ik.load_images(folder).only([0, 3])}, tmp_path)
    assert result.origin.images == str(folder)
    assert result.labels.tolist() == [-1, -1]
    assert [each for each in result.notes() if "fieldfare" in each]
    assert ik.OcclusionResult.load(tmp_path / "out" / "occlusion") == result


def test_the_first_lines_explain_a_torchvision_network_and_a_loader_that_normalises(
    folder, tmp_path
):
    network = drawn(torchvision.models.resnet18(num_classes=3))
    steps = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
    dataset = torchvision.datasets.ImageFolder(folder, transforms.Compose(steps))
    loader = DataLoader(dataset, batch_size=3)
    names = [*dataset.classes, "ring ouzel"]
    classifier = ik.Classifier(network, size=64, mean=MEAN, std=STD, classes=names)
    given = {"classifier": classifier, "images": ik.load_images(loader, normalized=(MEAN, STD))}
    result = run(shortened(FIRST, (", figures=True", "")), given, tmp_path)
    assert result.labels.tolist() == dataset.targets == [0, 0, 1, 1]
    with torch.no_grad():
        own = torch.cat([network(pixels) for pixels, _ in loader]).softmax(1)
    np.testing.assert_allclose(result.uncovered, own.amax(1), rtol=1e-4)


def test_the_lines_for_a_network_of_ones_own_run(tmp_path):
    result = run(shortened(SECOND, ("rand(8, 3, 64, 96)", "rand(2, 3, 64, 96)")), {}, tmp_path)
    assert result.analysis == ik.Ablation(layer=[1, 3], filters=range(8), labels="predicted")
    assert result.broken.shape == (16, 2)
    assert result.total.sum() == 2


def test_the_lines_that_train_a_network_and_compare_recipes_run(tmp_path):
    write_colours(tmp_path / "photos", 4, seed=0)
    small = ("channels=(48, 96, 192)", "channels=(4,), size=8, epochs=1, batch_size=4")
    quick = '"epochs": 1, "channels": (4,), "size": 8, "batch_size": 4'
    lines = shortened(THIRD, small, ('"epochs": 10', quick), ("runs/photos", "runs/a"))
    result = run(lines, {}, tmp_path)
    assert (tmp_path / "runs/a/model.safetensors").is_file()
    assert [row[0] for row in result.summary().rows] == ["3", "5"]
    assert result.val_accuracy.shape == (2, 2)
