"""Do the first lines of a user of PyTorch work: own folders, torchvision, a normalising loader?"""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from networks_on_paper import drawn, small_classifier
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms

import interpret_kit as ik
from interpret_kit.errors import ClassMismatch, InterpretError, UsageError
from interpret_kit.results import registry
from interpret_kit.results.load import load_result

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
SCALE = {"size": 32, "mean": MEAN, "std": STD}


@pytest.fixture(scope="module")
def network():
    return drawn(torchvision.models.resnet18(num_classes=3))


@pytest.fixture
def folder(tmp_path):
    """Class folders whose names are nobody's classes; images of 32 x 32 noise."""
    generator = np.random.default_rng(0)
    for name in ("fieldfare", "redwing"):
        (tmp_path / "birds" / name).mkdir(parents=True)
        for k in range(2):
            levels = generator.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(levels).save(tmp_path / "birds" / name / f"{k}.png")
    return tmp_path / "birds"


def test_a_torchvision_network_is_never_given_a_guessed_scale(network):
    with pytest.raises(
        UsageError,
        match=r"which size, mean, std .*`size=\(224, 224\)`, `mean=\(0.4",
    ):
        ik.Classifier(network)


def test_labels_that_are_not_classes_are_dropped_with_a_note_where_none_are_needed(network, folder):
    result = ik.Occlusion(window=16, stride=16).run(
        ik.Classifier(network, **SCALE), folder, engine="full"
    )
    assert result.labels.tolist() == [-1] * 4
    (note,) = [each for each in result.notes() if "fieldfare" in each]
    assert "dropped" in note
    with pytest.raises(ClassMismatch, match="fieldfare"):
        ik.Misclassifications().run(ik.Classifier(network, **SCALE), folder)
    ik.Ablation(layer=1, filters=[0], labels="predicted").run(
        ik.Classifier(network, **SCALE), folder, engine="full"
    )


def test_a_single_file_keeps_the_label_of_its_class_folder(network, folder):
    names = {"redwing": 0, "fieldfare": 1, "ring ouzel": 2}
    classifier = ik.Classifier(network, **SCALE, classes=names)
    file = folder / "fieldfare" / "1.png"
    result = ik.Occlusion(window=16, stride=16, target="label").run(classifier, file, engine="full")
    assert (result.labels.tolist(), result.target.tolist()) == ([1], [1])


def test_a_single_file_keeps_the_label_of_its_labels_csv(network, tmp_path):
    for name in ("a", "b"):
        Image.new("RGB", (32, 32)).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text("file,label\na.png,redwing\nb.png,fieldfare\n")
    classifier = ik.Classifier(network, **SCALE, classes=["redwing", "fieldfare", "ring ouzel"])
    result = ik.Occlusion(window=32, target="label").run(classifier, tmp_path / "b.png")
    assert result.target.tolist() == [1]


def test_a_normalising_loader_gives_the_results_of_the_folder(network, folder):
    normalising = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    dataset = torchvision.datasets.ImageFolder(folder, normalising)
    loader = DataLoader(dataset, batch_size=3)
    classifier = ik.Classifier(network, **SCALE, classes=[*dataset.classes, "ring ouzel"])
    analysis = ik.Misclassifications()
    expected = analysis.run(classifier, folder)
    found = analysis.run(classifier, ik.load_images(loader, normalized=(MEAN, STD)))
    np.testing.assert_array_equal(found.confusion, expected.confusion)
    # One image in the network's own terms, without us.
    with torch.no_grad():
        own = torch.cat([network(pixels) for pixels, _ in loader]).argmax(1)
    labels = torch.tensor(dataset.targets)
    truth = torch.zeros(3, 3, dtype=torch.int64).index_put_(
        (labels, own), torch.ones(4, dtype=torch.int64), accumulate=True
    )
    assert sorted(found.confusion.flatten().tolist()) == sorted(truth.flatten().tolist())
    with pytest.raises(UsageError, match=r"load_images\(\.\.\., normalized=\(\(0.485"):
        analysis.run(classifier, loader)


@pytest.mark.parametrize(
    ("name", "home"),
    [
        *[("train", "train"), ("resume", "train"), ("Recipe", "recipe"), ("sweep", "sweep.runner")],
        ("write_report", "report.page"),
    ],
)
def test_what_trains_and_reports_is_a_name_of_the_package_and_shows_an_example(name, home):
    home = home if home.startswith("report") else f"trainers.{home}"
    assert getattr(ik, name).__module__ == f"interpret_kit.{home}"
    lines = inspect.getdoc(getattr(ik, name)).splitlines()
    assert f"ik.{name}(" in "".join([each for each in lines if each.startswith("    ")][:2])


def test_the_result_of_every_analysis_is_a_name_of_the_package():
    registry.import_all()
    for kind in (*registry.RESULTS.values(), *registry.QUESTIONS.values()):
        if kind.__module__.startswith("interpret_kit."):
            assert getattr(ik, kind.__name__) is kind
    assert ik.load_result is load_result


def test_a_type_checker_sees_every_name_where_it_is_imported_from():
    """The names of `_HOMES`, which Python imports lazily, beside the imports for type checkers."""
    tree = ast.parse(Path(ik.__file__).read_text(encoding="utf-8"))
    (block,) = [each for each in tree.body if isinstance(each, ast.If)]
    typed = {each.names[0].name: each.module for each in block.body}
    lazily = {name: f"interpret_kit.{home}" for name, home in ik._HOMES.items()}
    assert typed == lazily
    assert all(getattr(ik, name).__name__ == name for name in ik.__all__)


def test_a_result_is_loaded_by_its_class_without_importing_torch(tmp_path):
    code = """
import sys, interpret_kit as ik
try:
    ik.OcclusionResult.load("nowhere")
except FileNotFoundError as error:
    print(error, "torch" in sys.modules)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout == (
        "there is no folder nowhere; check the path: the current folder is empty; give the folder "
        "an analysis wrote False\n"
    )


PIXELS = np.zeros((2, 12, 10, 3), np.uint8)


@pytest.mark.parametrize(
    ("call", "kind", "said"),
    [
        (lambda: ik.load_images("shapes", 1), TypeError, "^`split` is 1; give `split='train'`"),
        (lambda: images().take("3"), TypeError, "^`count` is '3'; give an integer"),
        (lambda: images().spread(0), ValueError, "^`count` is 0; it must be at least 1$"),
        (lambda: images().only(1), TypeError, r"^`ids` is 1; give the ids.* `only\(\[0, 3\]\)`$"),
        (lambda: images().only(["a"]), TypeError, r"^`ids` is \['a'\]; give the ids"),
        (lambda: images().decode(2), FileNotFoundError, "no image 2 in arrays; ids go from 0 to 1"),
        (lambda: ik.load_result(None), TypeError, "^None is not a folder; give the folder an"),
        (lambda: ik.load_images([(PIXELS[0], [0, 1])]), ValueError, "^2 labels for 1 image: give"),
        (lambda: images(labels=["a", "b"]), ValueError, "names go into `classes`"),
        (lambda: images(labels=[[0, 1], [1, 0]]), ValueError, r"give labels.argmax\(1\)$"),
        (
            lambda: ik.train({"data": "photos"}, "out"),
            TypeError,
            r"give a Recipe, as in ik\.train\(ik\.Recipe\(data='photos/'\), 'runs/photos'\)$",
        ),
        (lambda: ik.resume("photos", "out"), TypeError, "^`recipe` is 'photos'; give a Recipe"),
        (lambda: ik.train(ik.Recipe(), None), TypeError, "^`out` is None; give a path, as in `out"),
        (
            lambda: ik.sweep({"lr": [1]}, "out"),
            TypeError,
            "^`study` is .*; give an ik.Study, as in",
        ),
        (lambda: ik.load_classifier(torch.nn.ReLU()), TypeError, r"ik.Classifier\(network, size="),
        (lambda: ik.load_classifier(small_classifier()), TypeError, "loaded already; use it as it"),
        (
            lambda: ik.load_classifier(3),
            TypeError,
            r"^3 is not a model; .*load_classifier\('resnet5",
        ),
        (lambda: small_classifier().class_index(None), TypeError, "as None; give its index or its"),
        (lambda: small_classifier().classes_called(None), TypeError, "called None; give its name"),
        (lambda: small_classifier().class_index(True), TypeError, "as True; give its index or its"),
        (
            lambda: ik.write_report("out", []),
            ValueError,
            "^`sections` is empty; give at least one folder",
        ),
        (lambda: ik.write_report("out", None), TypeError, r"^`sections` is None; .*\['out/occ"),
        (lambda: ik.write_report("out", [3]), TypeError, "^a section is 3; give the folder of a s"),
        (lambda: ik.write_report(None, ["x"]), TypeError, "^`folder` is None; give a path, as in"),
        (
            lambda: ik.write_report("out", ["x"], "Birds"),
            TypeError,
            r"give Front\(title='Birds'\)$",
        ),
        (lambda: ik.Recipe(lr="0.1"), TypeError, "^`lr` is '0.1'; give a number, as in `lr=0.003`"),
        (
            lambda: ik.Recipe(size="64"),
            TypeError,
            "^`size` is '64'; give a number, as in",
        ),
        (lambda: ik.Recipe(augment="yes"), TypeError, "^`augment` is 'yes'; give True or False$"),
        (lambda: ik.Recipe(epochs=None), TypeError, "^`epochs` is None; give a number"),
    ],
)
def test_what_other_libraries_take_is_refused_with_what_to_write_instead(call, kind, said):
    with pytest.raises(InterpretError, match=said) as error:
        call()
    assert isinstance(error.value, kind)


def test_a_misspelt_name_of_the_package_is_known_to_the_interpreter():
    with pytest.raises(AttributeError, match="no attribute 'occlusion'") as error:
        ik.occlusion  # noqa: B018
    assert (error.value.name, error.value.obj) == ("occlusion", ik)  # by which it suggests names


TRAIN = "ik.train(ik.Recipe(data='photos/'), 'runs/photos')"
RESUME = "ik.resume(None, 'runs/photos')"
STUDY = "ik.Study(recipe={'data': 'photos/'}, vary={'lr': [0.003, 0.01]})"
SWEEP = f"ik.sweep({STUDY}, 'sweeps/lr')"
REPORT = "ik.write_report('out', ['out/occlusion', 'out/ablation'])"


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (ik.train, f"train() is missing a required argument: 'recipe'; call it as in {TRAIN}"),
        (
            lambda: ik.train("photos/"),
            f"train() is missing a required argument: 'out'; call it as in {TRAIN}",
        ),
        (
            lambda: ik.train(ik.Recipe(), "out", epochs=3),
            f"train() got an unexpected keyword argument 'epochs'; call it as in {TRAIN}",
        ),
        (
            lambda: ik.train(ik.Recipe(), "out", "cpu", None, 3),
            f"train() got too many positional arguments; call it as in {TRAIN}",
        ),
        (
            lambda: ik.train(ik.Recipe(), "out", recipe=None),
            f"train() got multiple values for argument 'recipe'; call it as in {TRAIN}",
        ),
        (
            lambda: ik.resume("runs/a"),
            f"resume() is missing a required argument: 'out'; call it as in {RESUME}",
        ),
        (ik.sweep, f"sweep() is missing a required argument: 'study'; call it as in {SWEEP}"),
        (
            lambda: ik.sweep("study.toml", "out", jobs=2),
            f"sweep() got an unexpected keyword argument 'jobs'; call it as in {SWEEP}",
        ),
        (
            lambda: ik.sweep(ik.Study(), "out", 2),
            "`how` is 2; give a How, as in interpret_kit.trainers.sweep.runner.How(jobs=2)",
        ),
        (
            lambda: ik.compare("runs/a", "photos/"),
            "compare() is missing a required argument: 'images'; call it as in ik.compare(first, "
            "second, 'photos/')",
        ),
        (
            ik.write_report,
            f"write_report() is missing a required argument: 'folder'; call it as in {REPORT}",
        ),
        (
            lambda: ik.load_classifier("resnet18", pretrained=False),
            "load_classifier() got an unexpected keyword argument 'pretrained'; call it as in "
            "ik.load_classifier('resnet50')",
        ),
        (
            lambda: ik.load_classifier(device=0),
            "`device` is 0; give its name, as in `device='cpu'`",
        ),
    ],
)
def test_a_call_that_fits_no_signature_is_refused_with_one_that_does(call, said):
    with pytest.raises(UsageError) as error:
        call()
    assert (str(error.value), isinstance(error.value, TypeError)) == (said, True)


@pytest.mark.parametrize(
    ("call", "what"),
    [
        (ik.load_images, "file"),
        (lambda url: ik.load_images([url, "b.jpg"]), "file"),
        (ik.load_result, "folder"),
        (lambda url: ik.sweep(url, "out"), "file"),
        (lambda url: ik.load_classifier(f"{url}/model.pth"), "file with `arch`"),
    ],
)
def test_a_url_is_refused_with_what_to_download(call, what, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=f"^https://a.org/b.* is a URL; .*give the {what}$"):
        call("https://a.org/b")


def test_a_url_cannot_be_trained_on():
    with pytest.raises(UsageError, match=r"^https://a.org/b cannot be trained on: training needs"):
        ik.train(ik.Recipe(data="https://a.org/b"), "out")


def test_a_folder_to_write_is_not_a_url():
    with pytest.raises(UsageError, match=r"^`folder` is the URL s3://b; give a path, as in"):
        ik.write_report("s3://b", ["out"])


def images(**settings):
    return ik.ImageSet.from_arrays(PIXELS, **settings)


def test_a_recipe_takes_numpy_integers_one_width_and_paths():
    recipe = ik.Recipe(data=Path("photos"), epochs=np.int64(3), channels=[np.int32(8), 16], fc=64)
    assert recipe == ik.Recipe(data="photos", epochs=3, channels=(8, 16), fc=(64,))
    assert [type(each) for each in (recipe.epochs, *recipe.channels)] == [int] * 3
