"""Do the pages about two networks show how they differ, and which filters are each other's?"""

import re
from dataclasses import replace
from urllib.parse import unquote

import numpy as np
import pytest
from networks_on_paper import CLASSES, SmallNet, noisy_images, plain, small_classifier
from pages import Page
from small_comparison import DEAD, NAMES, NEITHER, ORDER, SETTINGS

import interpret_kit as ik
from interpret_kit.errors import ClassMismatch, UsageError


def words(file):
    """The text of a page without its markup, in one line."""
    return " ".join("".join(Page(file).words).split())


def pairs(file):
    """Number in A, number in B and correlation of the pairs of a layer."""
    found = re.findall(
        r'data-number="-?(\d+)".*?data-correlation="([^"]+)".*?href="\.\./b/layers/\d/(\d+)\.html',
        file.read_text("utf-8"),
        re.DOTALL,
    )
    return {int(first): (int(second), float(value)) for first, value, second in found}


def test_both_accuracies_and_the_images_that_changed_are_those_of_a_loop(comparison):
    said, labels = words(comparison.folder / "index.html"), comparison.images.labels.tolist()
    first, second = (
        [p == y for p, y in zip(each, labels, strict=True)] for each in comparison.predicted
    )
    assert (sum(first), sum(second)) == (16, 14)
    assert f"A {NAMES[0]} classifies 88.9 % of 18 images correctly" in said
    assert f"B {NAMES[1]} 77.8 %" in said
    only = sum(a and not b for a, b in zip(first, second, strict=True))
    assert only == 3
    assert "3 images are classified correctly by A only, and 1 by B only." in said
    # Of four tosses of a fair coin, one or none, or three or four are heads: 2 * 5 / 16.
    assert "A split this uneven could be due to chance (exact McNemar test: p = 0.62)." in said
    assert "1 more is misclassified by both, as different classes." in said
    assert comparison.predicted[0][NEITHER] != comparison.predicted[1][NEITHER]


def test_each_changed_image_is_shown_with_both_predictions_in_the_classes_of_the_first(comparison):
    page = Page(comparison.folder / "index.html")
    shown = [each["src"] for each in page.all("img") if each["src"].startswith("images/changed")]
    assert shown == [
        f"images/changed-{image}{side}.webp" for image in changed(comparison) for side in ENDINGS
    ]
    said = words(comparison.folder / "index.html")
    assert re.search(r"Correct by B only 1 image ant A eel true class \S+ % B ant true class", said)
    assert "Correct by A only 3 images" in said


ENDINGS = ("", "-a", "-b")


def changed(comparison):
    """The images that only A or only B classifies correctly, the most changed of each first."""
    result = ik.compare(*comparison.classifiers, comparison.images)
    change = np.abs(result.second_confidence - result.first_confidence)
    return [
        image
        for flags in (result.broken, result.repaired)
        for image in result.ids[flags][np.argsort(-change[flags])].tolist()
    ]


def test_both_maps_of_an_image_have_the_scale_of_the_larger_one(comparison):
    occlusion = ik.Occlusion(window=4, stride=3, target="label")
    limits = []
    for classifier in comparison.classifiers:
        images = comparison.images.only([changed(comparison)[0]])
        limits.append(np.abs(occlusion.run(classifier, images, engine="full").attribution).max())
    # Full colour is a drop of 5 percentage points at least.
    title = f"A; the strongest red is {100 * max(0.05, *limits):.1f}\u00a0%"
    maps = [
        each
        for each in Page(comparison.folder / "index.html").all("img")
        if "-a.webp" in each["src"]
    ]
    assert maps[0]["title"] == title


def test_permuted_filters_are_paired_with_a_correlation_of_one(comparison):
    found = pairs(comparison.folder / "layers/2.html")
    assert {first: ORDER[second] for first, (second, _) in found.items()} == {
        first: first for first in range(6) if first != DEAD
    }
    assert [value for _, value in found.values()] == pytest.approx([1] * 5, abs=1e-5)
    same = pairs(comparison.folder / "layers/1.html")
    # Filter 2 does not fire on any of these images, in either.
    assert {first: second for first, (second, _) in same.items()} == {0: 0, 1: 1, 3: 3}
    said = words(comparison.folder / "index.html")
    assert "In all layers, the median correlation of their filters is 1.00." in said
    assert "5 of 6" in said


def test_a_dead_filter_has_no_partner_and_no_correlation(comparison):
    page = words(comparison.folder / "layers/2.html")
    assert "1 of 6 filters of A has no counterpart in B" in page
    assert f"there is nothing to correlate. A {DEAD} dead" in page
    assert f"B {ORDER.index(DEAD)} dead" in page
    for file in comparison.pages:
        assert not re.search(r"\bnan\b|\binf\b", file.read_text("utf-8"), re.IGNORECASE)


def test_the_table_of_classes_counts_the_images_of_each(comparison):
    labels, expected = comparison.images.labels, []
    flags = [np.array(each) == labels for each in comparison.predicted]
    for k in np.unique(labels).tolist():
        first, second = (each[labels == k] for each in flags)
        only = (first & ~second).sum(), (second & ~first).sum()
        expected.append((CLASSES[k], len(first), first.sum(), second.sum(), *only))
    expected.sort(key=lambda row: -row[4] - row[5])
    table = (comparison.folder / "index.html").read_text("utf-8").rpartition("<tbody>")[2]
    cells = [re.findall(r'data-v="([^"]+)"', row)[:6] for row in table.split("<tr>")[1:]]
    assert [(name, *map(int, numbers)) for name, *numbers in cells] == expected


def test_the_pages_escape_names_and_load_only_files_of_their_folder(comparison):
    for file in comparison.pages:
        page, source = Page(file), file.read_text("utf-8")
        found = [unquote(each).partition("#")[0] for each in page.addresses()]
        assert [each for each in found if each and not (file.parent / each).is_file()] == []
        assert all(
            e == "" or (file.parent / e).resolve().is_relative_to(comparison.folder) for e in found
        )
        assert NAMES[0] not in source
        assert NAMES[0] in words(file)
        (policy,) = [each["content"] for each in page.all("meta") if "http-equiv" in each]
        assert policy.startswith("default-src 'none'")
        assert not re.search(r"https?:|//[a-z]|javascript:|style=", source)
        assert all(each["alt"] for each in page.all("img"))
        for classifier in comparison.classifiers:
            assert f"weights {classifier.fingerprint}" in words(file)
    for side in "ab":
        atlas = Page(comparison.folder / side / "layers/1/0.html")
        assert "../../../index.html" in atlas.addresses()


def test_networks_that_cannot_be_compared_are_refused_before_anything_is_computed(tmp_path):
    first, images = small_classifier(), noisy_images(4)
    other = plain(SmallNet(classes=3), (12, 10), classes=CLASSES[:3], name="three")
    with pytest.raises(ClassMismatch, match=r"small and three do not have the same classes: "):
        ik.write_atlas_comparison(first, other, images, tmp_path / "site")
    with pytest.raises(TypeError, match=r"^write_atlas_comparison\(\) expects a Classifier second"):
        ik.write_atlas_comparison(first, None, images, tmp_path / "site")
    with pytest.raises(UsageError, match="larger than the image"):
        ik.write_atlas_comparison(
            first, first, images, tmp_path / "site", replace(SETTINGS, window=99)
        )
    assert list(tmp_path.iterdir()) == []
