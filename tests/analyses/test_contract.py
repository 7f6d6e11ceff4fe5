"""What every analysis promises, tested for all of them."""

import dataclasses
import functools
import json

import numpy as np
import pytest
import torch
from float_rules import assert_near, in_double, terms_of
from networks_on_paper import (
    CLASSES,
    HALVES,
    FragileNet,
    SmallNet,
    noisy_images,
    pixels_of,
    small_classifier,
)
from odd_surroundings import odd_surroundings
from PIL import Image

from interpret_kit.analyses import ANALYSES
from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.attribution import Attribution
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.progress import RunProgress
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.data.load import load_images
from interpret_kit.errors import (
    NoImages,
    NothingThere,
    OutputExists,
    RunError,
    UnreadableImage,
    WrongType,
)
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.probing.evaluation import evaluating
from interpret_kit.results import registry
from interpret_kit.results.load import load_result

SMALL = [
    Occlusion(window=(5, 4), stride=3, fill="mean"),
    Attribution(method="guided-gradcam,ig,saliency,occlusion", steps=4, fill="mean"),
    Activations(layer="conv1", top=3),
    TopPatches(layer="all", top=3, per_image=2),
    Ablation(layer="all"),
    Misclassifications(ablate="2:1,4", mistakes=5),
]
every_analysis = pytest.mark.parametrize("analysis", SMALL, ids=lambda each: each.name)


@functools.cache
def answer(analysis):
    """What the analysis says of the usual classifier and images."""
    return analysis.run(small_classifier(), noisy_images())


@functools.cache
def truth(analysis):
    """The same in float64."""
    return analysis.run(in_double(small_classifier()), noisy_images())


@functools.cache
def terms():
    """Half of the logits' terms: as far as probabilities can move with them."""
    classifier = small_classifier()
    return terms_of(classifier, pixels_of(noisy_images(), classifier)) / 2


def assert_same_but_for_rounding(analysis, other):
    """Counts, ids and classes equal, floats as near to the truth as those of the usual answer."""
    one, exact = answer(analysis), truth(analysis)
    for field in one.array_fields():
        mine, theirs = getattr(other, field.name), getattr(one, field.name)
        assert mine.dtype == theirs.dtype, field.name
        if np.issubdtype(mine.dtype, np.floating) and mine.size:
            right = getattr(exact, field.name)
            assert_near(mine, right, theirs=theirs, terms=max(terms(), np.abs(right).max()))
        else:
            np.testing.assert_array_equal(mine, theirs, err_msg=field.name)
    for field in one.fact_fields():
        assert getattr(one, field.name) == getattr(other, field.name), field.name


def assert_same(one, other, rtol=0.0, atol=0.0):
    """All numbers equal: counts, ids and classes exactly, floats within the tolerances."""
    for field in one.array_fields():
        first, second = getattr(one, field.name), getattr(other, field.name)
        assert first.dtype == second.dtype, field.name
        inexact = np.issubdtype(first.dtype, np.floating)
        bounds = {"rtol": rtol, "atol": atol} if inexact else {"rtol": 0, "atol": 0}
        np.testing.assert_allclose(second, first, **bounds, err_msg=field.name)
    for field in one.fact_fields():
        assert getattr(one, field.name) == getattr(other, field.name), field.name


def snapshot(classifier):
    """All that an analysis must leave alone."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return {
        "modes": {name: each.training for name, each in classifier.named_modules()},
        "hooks": {
            name: [list(getattr(each, kind)) for kind in hooks]
            for name, each in classifier.named_modules()
        },
        "flags": {name: each.requires_grad for name, each in classifier.named_parameters()},
        "identity": {name: id(each) for name, each in classifier.named_modules()},
        "overrides": {name: "forward" in vars(each) for name, each in classifier.named_modules()},
        "recording": torch.is_grad_enabled(),
        "chance": torch.get_rng_state().tolist(),
    }


def tensors(classifier):
    """Copies of weights, buffers and gradients."""
    state = {name: each.clone() for name, each in classifier.state_dict().items()}
    grads = {name: each.grad for name, each in classifier.named_parameters()}
    return state, {name: None if each is None else each.clone() for name, each in grads.items()}


def lived_in(network):
    """A classifier with a mixed pattern of modes, flags, gradients and a hook of its owner's."""
    classifier = Classifier(network, size=(12, 10), **HALVES)
    classifier.train()
    network.norm1.eval()
    network.act2.eval()
    network.conv1.weight.requires_grad_(False)
    network.conv2.weight.grad = torch.full_like(network.conv2.weight, 0.25)
    network.conv2.register_forward_hook(lambda *_: None)
    return classifier


def test_every_analysis_is_under_contract():
    assert {type(each) for each in SMALL} == set(ANALYSES.values())
    assert {each.name for each in SMALL} == set(ANALYSES)


@every_analysis
def test_the_classifier_comes_back_as_it_was(analysis, images):
    classifier = lived_in(SmallNet())
    before, (state, grads) = snapshot(classifier), tensors(classifier)
    analysis.run(classifier, dataclasses.replace(images.take(6), classes=()))
    assert snapshot(classifier) == before
    torch.testing.assert_close(tensors(classifier), (state, grads), rtol=0, atol=0)


@every_analysis
def test_the_classifier_comes_back_as_it_was_when_a_forward_breaks(analysis, images):
    network = FragileNet()
    classifier = lived_in(network)
    before, (state, grads) = snapshot(classifier), tensors(classifier)
    nameless = dataclasses.replace(images.take(4), classes=())
    assert len(classifier.classes) == 5  # which takes a forward pass, the first time
    network.passes = 0
    analysis.run(classifier, nameless, batch_size=2)
    passes, broken = network.passes, 0
    for breaks_at in range(1, passes + 1, max(1, passes // 8)):
        network.passes, network.breaks_at = 0, breaks_at
        try:
            analysis.run(classifier, nameless, batch_size=2)
        except RuntimeError:
            broken += 1
        assert snapshot(classifier) == before
    assert broken >= 2  # top patches can do without their last forward, that of the trace
    torch.testing.assert_close(tensors(classifier), (state, grads), rtol=0, atol=0)


@every_analysis
def test_the_classifier_comes_back_as_it_was_when_the_progress_bar_breaks(
    analysis, classifier, images
):
    classifier.train()
    before = snapshot(classifier)

    def breaks(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        analysis.run(classifier, images, batch_size=4, progress=breaks)
    assert snapshot(classifier) == before


@every_analysis
def test_the_answer_is_that_of_eval_mode_whatever_the_modes(analysis, classifier, images):
    expected = answer(analysis)
    classifier.train()
    assert_same(expected, analysis.run(classifier, images))


@every_analysis
def test_the_batch_size_does_not_change_the_answer(analysis, classifier, images):
    whole = answer(analysis)
    for batch_size in (1, 7, 64):
        other = analysis.run(classifier, images, batch_size=batch_size)
        assert_same_but_for_rounding(analysis, other)
        assert other.origin == whole.origin


@every_analysis
@pytest.mark.parametrize("swapped", [False, True])
def test_shards_merge_in_either_order_to_the_whole(analysis, classifier, images, swapped):
    whole = answer(analysis)
    with evaluating(classifier):
        first, second = (
            analysis.begin(classifier, images, RunProgress(5, len(images))) for _ in range(2)
        )
        batches = list(images.read(classifier.preprocessing, 5))
        for batch in batches[:3]:
            first.add(batch)
        second.add(batches[3])
        if swapped:
            first, second = second, first
        first.merge(second)
        merged = first.finish(whole.origin)
    assert_same_but_for_rounding(analysis, merged)


@every_analysis
def test_a_fold_that_has_seen_nothing_merges(analysis, classifier, images):
    whole = answer(analysis)
    with evaluating(classifier):
        idle, busy = (
            analysis.begin(classifier, images, RunProgress(32, len(images))) for _ in range(2)
        )
        for batch in images.read(classifier.preprocessing, 32):
            busy.add(batch)
        idle.merge(busy)
        idle.merge(analysis.begin(classifier, images, RunProgress(32, len(images))))
        assert_same(whole, idle.finish(whole.origin))


@every_analysis
def test_progress_goes_up_to_all_images(analysis, classifier, images):
    seen = []
    analysis.run(classifier, images, batch_size=7, progress=lambda *each: seen.append(each))
    assert seen == sorted(seen)
    assert {(7, 17), (14, 17)} <= set(seen)
    assert seen[-1] == (17, 17)


@every_analysis
def test_an_analysis_cannot_be_changed_once_made(analysis):
    for field in dataclasses.fields(analysis):
        assert field.metadata["help"]
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(analysis, field.name, "other")
    assert dict(analysis.fields()) == dataclasses.asdict(analysis)


@every_analysis
def test_a_result_cannot_be_changed_once_made(analysis):
    result = answer(analysis)
    assert type(result) is registry.RESULTS[analysis.name]
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.analysis = None


@every_analysis
def test_arrays_have_the_axes_that_they_declare(analysis):
    result = answer(analysis)
    lengths = {"classes": 5, "images": 17, "height": 12, "width": 10}
    for field in result.array_fields():
        values, axes = getattr(result, field.name), field.metadata["axes"].split()
        assert isinstance(values, np.ndarray)
        assert values.ndim == len(axes), field.name
        for axis, length in zip(axes, values.shape, strict=True):
            known = int(axis) if axis.isdigit() else lengths.setdefault(axis, length)
            assert length == known, (field.name, axis)
        assert field.metadata["meaning"]


@every_analysis
def test_a_saved_result_comes_back_equal(analysis, tmp_path):
    result = answer(analysis)
    folder = result.save(tmp_path / "new" / "result")
    back = load_result(folder)
    assert type(back) is type(result)
    assert back.analysis == analysis
    assert back.origin == result.origin
    assert_same(result, back)
    assert back.tables() == result.tables()
    assert [each.name for each in folder.parent.iterdir()] == ["result"]


@every_analysis
def test_the_manifest_is_plain_json_and_names_every_file(analysis, tmp_path):
    result = answer(analysis)
    folder = result.save(tmp_path / "result")

    def no_such_constant(text):
        raise AssertionError(f"{text} is not JSON")

    text = (folder / "manifest.json").read_text(encoding="utf-8")
    manifest = json.loads(text, parse_constant=no_such_constant)
    assert manifest["analysis"] == analysis.name
    assert manifest["origin"]["classes"] == list(CLASSES)
    assert manifest["origin"]["weights"] == small_classifier().fingerprint
    assert manifest["origin"]["contents"] == noisy_images().fingerprint
    assert {each.name for each in folder.iterdir()} == {
        ".interpret_kit",
        "manifest.json",
        "arrays.npz",
        *manifest["tables"],
    }
    for name, saved in manifest["arrays"].items():
        assert saved["shape"] == list(getattr(result, name).shape)


@every_analysis
def test_tables_have_as_many_cells_as_columns(analysis):
    result = answer(analysis)
    for table in (*result.tables().values(), result.summary()):
        assert {len(row) for row in table.rows} <= {len(table.columns)}
        assert all(isinstance(cell, (str, int, float)) for row in table.rows for cell in row)


@every_analysis
def test_an_existing_result_is_kept_unless_forced(analysis, classifier, images, tmp_path):
    folder = analysis.run(classifier, images.take(4)).save(tmp_path / "result")
    kept = (folder / "manifest.json").read_bytes()
    result = analysis.run(classifier, images.take(6))
    with pytest.raises(OutputExists, match="or `force=True` to replace it"):
        result.save(folder)
    assert (folder / "manifest.json").read_bytes() == kept
    (folder / "stale.csv").write_text("of the last run")
    result.save(folder, force=True)
    assert not (folder / "stale.csv").exists()
    assert_same(result, load_result(folder))
    assert [each.name for each in tmp_path.iterdir()] == ["result"]


@pytest.fixture
def photos(tmp_path, images):
    """Six images in folders of two classes; the third is not an image."""
    preprocessing = Classifier(SmallNet(), size=(12, 10), **HALVES).preprocessing
    photos = images.uint8_images(range(6), preprocessing)
    for i, photo in enumerate(photos):
        file = tmp_path / "photos" / ("ant" if i < 4 else "eel") / f"{i}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(photo).save(file)
    (tmp_path / "photos" / "ant" / "2.png").write_text("no image at all")
    return load_images(tmp_path / "photos")


@every_analysis
def test_an_unreadable_file_is_named_and_left_out_and_no_id_moves(analysis, classifier, photos):
    result = analysis.run(classifier, photos, batch_size=4)
    ((image, why),) = result.origin.unreadable
    assert (image, result.origin.names[image]) == (2, "ant/2.png")
    assert why
    without = analysis.run(classifier, photos.only([0, 1, 3, 4, 5]), batch_size=4)
    assert_same(without, result, rtol=1e-6)


@every_analysis
def test_strict_makes_an_unreadable_file_an_error(analysis, classifier, photos):
    with pytest.raises(UnreadableImage, match=r"ant/2\.png"):
        analysis.run(classifier, photos, strict=True)


@every_analysis
def test_no_image_that_can_be_read_is_an_error_that_says_so(analysis, classifier, photos):
    with pytest.raises(NoImages, match=r"2\.png"):
        analysis.run(classifier, photos.only([2]))
    with pytest.raises(NoImages, match="there are no images in"):
        analysis.run(classifier, photos.only([]))


@pytest.mark.parametrize(
    "analysis", [each for each in SMALL if each.needs_labels], ids=lambda each: each.name
)
def test_images_without_labels_are_left_out_of_what_is_counted(analysis, classifier, images):
    labels = np.where(images.ids % 3 == 0, -1, images.labels)
    some = dataclasses.replace(images, labels=labels)
    assert_same(
        analysis.run(classifier, images.only(np.flatnonzero(labels >= 0))),
        analysis.run(classifier, some),
        rtol=1e-6,
    )
    with pytest.raises(NoImages, match="have no labels; give"):
        analysis.run(classifier, dataclasses.replace(images, labels=np.full(17, -1)))


@every_analysis
def test_labels_are_matched_to_the_classes_by_name(analysis, classifier, images):
    renamed = dataclasses.replace(images, labels=4 - images.labels, classes=CLASSES[::-1])
    assert_same(answer(analysis), analysis.run(classifier, renamed))


@every_analysis
def test_the_surroundings_of_a_run_change_nothing_and_are_put_back(analysis, classifier, images):
    expected = answer(analysis)
    with odd_surroundings() as still_there:
        result = analysis.run(classifier, images)
        still_there()
    assert_same(expected, result)


@every_analysis
def test_numbers_of_numpy_in_a_question_can_be_saved(analysis, classifier, images, tmp_path):
    numbers = {name: np.int64(value) for name, value in analysis.fields() if type(value) is int}
    result = dataclasses.replace(analysis, **numbers).run(classifier, images)
    assert load_result(result.save(tmp_path / "result")).analysis == analysis


@every_analysis
def test_a_damaged_result_is_an_error_that_says_so(analysis, tmp_path):
    folder = answer(analysis).save(tmp_path / "result")
    whole = (folder / "arrays.npz").read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"no arrays", whole[:80] + b"xxxx" + whole[84:]):
        (folder / "arrays.npz").write_bytes(damage)
        with pytest.raises(RunError, match="run the analysis again"):
            load_result(folder)
    (folder / "manifest.json").write_text('{"format": 1, "analysis": "occlusion", "fields": []}')
    with pytest.raises(RunError, match="run the analysis again"):
        load_result(folder)
    with pytest.raises(NothingThere, match=r"no manifest\.json"):
        load_result(tmp_path)


@every_analysis
def test_every_result_can_be_drawn(analysis, classifier, images):
    pytest.importorskip(f"interpret_kit.render.{analysis.name}")
    import matplotlib.pyplot as plt
    from matplotlib.figure import Figure

    figures = analysis.run(classifier, images.take(5)).figures()
    assert figures
    for name, figure in figures.items():
        assert name.replace("_", "").replace("-", "").isalnum(), f"{name} is part of a file name"
        assert isinstance(figure, Figure)
    plt.close("all")


def test_the_path_of_a_model_is_answered_with_how_to_load_it():
    with pytest.raises(WrongType, match=r"not a str; give ik\.load_classifier\('runs/mine'\)"):
        Misclassifications().run("runs/mine", "photos/")
