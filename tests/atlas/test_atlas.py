"""Does an atlas show the numbers of the network, resolve its links, and escape every name?"""

import copy
import dataclasses
import json
import re
from collections import Counter
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest
import torch
from networks_on_paper import CLASSES as CLASSES_ON_PAPER
from networks_on_paper import noise, noisy_images, small_classifier
from pages import Page
from PIL import Image
from small_atlas import CLASSES, DEAD, LONGEST, MARKUP, PER_CLASS, SETTINGS

import interpret_kit as ik
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.atlas.selection import most_frequent_of
from interpret_kit.atlas.sheets.sprites import TOP, SheetPlan
from interpret_kit.atlas.sheets.tiles import PATCH
from interpret_kit.data.load import load_images
from interpret_kit.errors import NoImages, OutputExists, UsageError
from interpret_kit.models.probing.evaluation import evaluating

SCRIPTS = {"search.js", "atlas.js"}


@pytest.fixture(scope="module")
def predicted(atlas):
    """The predicted class of each image by id, one forward pass each."""
    found = {}
    labelled = atlas.images.with_classes_of(atlas.classifier)
    for image in labelled.ids.tolist():
        pixels = labelled.uint8_images([image], atlas.classifier.preprocessing)
        pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            found[image] = int(atlas.classifier(pixels).argmax())
    return found


def labels(atlas):
    labelled = atlas.images.with_classes_of(atlas.classifier)
    return dict(zip(labelled.ids.tolist(), labelled.labels.tolist(), strict=True))


def words(file):
    """The text of a page without its markup, in one line."""
    return " ".join("".join(Page(file).words).split())


def test_the_accuracy_is_that_of_a_loop_over_the_images(atlas, predicted):
    correct = sum(predicted[image] == label for image, label in labels(atlas).items())
    share = 100 * correct / len(predicted)
    said = words(atlas.folder / "index.html")
    assert f"{share:.1f} % of {len(predicted)} images are classified correctly" in said


def test_no_line_breaks_between_a_number_and_its_unit(atlas):
    pages = sorted(atlas.folder.rglob("*.html"))
    texts = ["".join(Page(each).words) for each in pages]
    broken = [re.findall(r".{9}\d\s(?<!\u00a0)(?:%|px)", each) for each in texts]
    assert dict(zip(pages, broken, strict=True)) == {each: [] for each in pages}
    assert any("95\u00a0% interval" in each for each in texts)
    assert any("at 90\u00a0%, nine in ten" in each for each in texts)


def test_each_class_page_counts_its_mistakes_and_confusions(atlas, predicted):
    for k in range(len(CLASSES)):
        mine = [predicted[image] for image, label in labels(atlas).items() if label == k]
        wrong = [each for each in mine if each != k]
        said = words(atlas.folder / f"classes/{k}.html")
        count = len(wrong) or "None"
        assert f"{count} of {PER_CLASS} images {'is' if len(wrong) < 2 else 'are'} miscl" in said
        shown = re.findall(r'<h3 id="as-(\d+)">', atlas.page(f"classes/{k}.html"))
        assert set(map(int, shown)) == set(wrong)


def test_classes_that_tie_as_the_most_frequent_confusion_are_all_named(atlas, predicted):
    table = words(atlas.folder / "index.html")
    for k in range(len(CLASSES)):
        wrong = Counter(
            predicted[i] for i, label in labels(atlas).items() if k == label != predicted[i]
        )
        most = max(wrong.values(), default=0)
        tied = [CLASSES[each] for each in sorted(wrong) if wrong[each] == most]
        names = " or ".join(tied) if len(tied) < 3 else f"{', '.join(tied[:2])} or 1 other"
        each = " each" if len(tied) > 1 else ""
        if tied:
            said = f"Most often, they are predicted as {names} ({most}{each})."
            if most == wrong.total():
                said = f"{'It is' if most == 1 else 'All of these are'} predicted as {names}."
            assert said in words(atlas.folder / f"classes/{k}.html")
            assert f"{names} ({most}{each})" in table


def test_each_class_page_counts_the_images_of_other_classes_that_are_predicted_as_it(
    atlas, predicted
):
    for k in range(len(CLASSES)):
        count = sum(predicted[i] == k != label for i, label in labels(atlas).items())
        said = {0: "No image of another class is", 1: "1 image of another class is"}
        expected = said.get(count, f"{count} images of other classes are")
        assert f"{expected} predicted as this one." in words(atlas.folder / f"classes/{k}.html")


@pytest.mark.parametrize(
    ("found", "most"),
    [([], ([], 0)), ([(4, 2)], ([4], 2)), ([(1, 3), (7, 3), (0, 2)], ([1, 7], 3))],
)
def test_the_most_frequent_confusions_are_those_with_the_highest_count(found, most):
    assert most_frequent_of(found) == most


def test_the_damage_on_the_wall_is_that_of_zeroed_filters(atlas):
    ablated_on = atlas.images.with_classes_of(atlas.classifier).spread(SETTINGS.ablation_images)
    pixels = ablated_on.uint8_images(ablated_on.ids.tolist(), atlas.classifier.preprocessing)
    pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    truth = torch.from_numpy(ablated_on.labels)
    expected = {}
    for filter_ in range(6):
        other = copy.deepcopy(atlas.classifier)
        with torch.no_grad(), evaluating(atlas.classifier), evaluating(other):
            other.network.conv2.weight[filter_] = 0
            before, after = atlas.classifier(pixels).argmax(1), other(pixels).argmax(1)
        expected[filter_] = int(((before == truth) & (after != truth)).sum())
    tiles = [each for each in Page(atlas.folder / "layers/2/index.html").all("li") if each]
    shown = {-int(each["data-number"]): int(each["data-damage"]) for each in tiles}
    assert shown == expected
    assert list(shown.values()) == sorted(shown.values(), reverse=True)
    assert max(expected.values()) > 0


def test_all_filters_and_classes_that_tie_are_named(atlas):
    said, damage = words(atlas.folder / "index.html"), {}
    for layer, name in ((1, "conv1"), (2, "conv2")):
        tiles = [
            each for each in Page(atlas.folder / f"layers/{layer}/index.html").all("li") if each
        ]
        damage |= {f"{name}:{-int(t['data-number'])}": int(t["data-damage"]) for t in tiles}
    most = max(damage.values())
    tied = sorted(name for name, count in damage.items() if count == most)
    listed = " and ".join([", ".join(tied[:-1]), tied[-1]] if len(tied) > 1 else tied)
    assert len(tied) <= 4
    filters = "filters are" if len(tied) > 1 else "filter is"
    assert f"The most important {filters} {listed}: ablating" in said
    for name, count in damage.items():
        others = sum(each == count for each in damage.values()) - 1
        of_filter = words(atlas.folder / f"layers/{name[4]}/{name.partition(':')[2]}.html")
        rank = 1 + sum(each > count for each in damage.values())
        tie = f", tied with {others} other{'s' * (others > 1)}" if others else ""
        assert (f"its rank among 10 filters is {rank}{tie}." in of_filter) == (count > 0)
    # All classes but one image of each are correct.
    assert "The hardest classes are" in said
    assert "and 1 more: 80.0 % of the images of each are classified correctly." in said


def test_an_atlas_of_some_layers_says_of_how_many(atlas, with_photo, tmp_path):
    assert "analysed here" not in words(atlas.folder / "index.html")
    settings = dataclasses.replace(SETTINGS, layer=2, method="occlusion")
    page = ik.write_atlas(
        with_photo.classifier, with_photo.images, tmp_path / "site", settings, engine="full"
    )
    counted = "1 of the 2 convolutions and transformer blocks of the network is analysed here."
    assert f"{counted} ikit layers lists all of them; ikit atlas --layer chooses" in words(page)


def test_a_dead_filter_is_said_to_be_dead(atlas):
    tiles = [each for each in Page(atlas.folder / "layers/1/index.html").all("li") if each]
    assert {-int(t["data-number"]) for t in tiles if t["data-dead"] == "1"} == {DEAD}
    assert "This filter is dead" in words(atlas.folder / f"layers/1/{DEAD}.html")
    assert "1 of 4 filters is dead" in words(atlas.folder / "layers/1/index.html")


def test_the_tiles_of_a_sheet_are_the_patches_of_the_images(atlas):
    tops = TopPatches(layer="all", top=TOP).run(atlas.classifier, atlas.images)
    plan = SheetPlan(4, PATCH)
    preprocessing = atlas.classifier.preprocessing
    sheet = np.asarray(Image.open(atlas.folder / "layers/1/patches-0.webp").convert("RGBA"))
    assert sheet.shape[:2] == plan.size(0)[::-1]
    for row, rank in np.ndindex(4, TOP):
        (pixels,) = atlas.images.uint8_images([tops.images[row, rank]], preprocessing)
        opaque = np.dstack([pixels, np.full(pixels.shape[:2], 255)])
        y, x = np.array([tops.rows[row, rank], tops.cols[row, rank]])
        field = np.pad(opaque, ((1, 1), (1, 1), (0, 0)))[y : y + 3, x : x + 3]  # of a 3 x 3 kernel
        large = field.repeat(PATCH // 3, 0).repeat(PATCH // 3, 1)
        _, x, y, width, height = plan.tile_of(row, rank)
        tile = sheet[y : y + height, x : x + width].astype(int)
        assert (tile[..., 3] == large[..., 3]).all()
        seen = large[..., 3] == 255
        assert np.abs(tile - large)[seen].mean() < 8  # levels of 256


def test_every_link_leads_to_a_file_of_the_folder(atlas):
    for file in atlas.pages:
        page = Page(file)
        found = [unquote(each).partition("#")[0] for each in page.addresses()]
        missing = [each for each in found if each and not (file.parent / each).is_file()]
        outside = [e for e in found if not (file.parent / e).resolve().is_relative_to(atlas.folder)]
        assert (missing, outside) == ([], []), file


def test_addresses_hold_no_name_of_the_data(atlas):
    slug = re.compile(
        r"\.interpret_kit|index\.html|assets/(atlas\.css|atlas\.js|search\.js)|classes/\d+\.html"
        r"|images/(cover|\d+(-occlusion|-maps)?)\.webp|images/\d+\.html"
        r"|layers/\d+/(index\.html|\d+\.html|(patches|maps)-\d+\.webp)"
    )
    files = [each for each in atlas.folder.rglob("*") if each.is_file()]
    names = [each.relative_to(atlas.folder).as_posix() for each in files]
    assert [each for each in names if not slug.fullmatch(each)] == []


def test_names_are_text_and_never_markup(atlas):
    for file in atlas.pages:
        page, source = Page(file), file.read_text("utf-8")
        assert all(each.get("src") != "x" for each in page.all("img")), file
        for tag, attributes in page.elements:
            bad = [name for name in attributes if name.startswith("on") or name == "style"]
            assert not bad, (file, tag)
        assert {each["src"].rpartition("/")[2] for each in page.all("script")} == SCRIPTS
        assert "<script>" not in source
        assert MARKUP not in source
    for k, name in enumerate(CLASSES):
        assert name in words(atlas.folder / f"classes/{k}.html")
    assert any(LONGEST in words(each) for each in (atlas.folder / "images").glob("*.html"))


def test_every_page_forbids_what_is_not_its_own_and_says_how_it_was_made(atlas):
    for file in atlas.pages:
        page = Page(file)
        (policy,) = [each["content"] for each in page.all("meta") if "http-equiv" in each]
        rules = dict(each.strip().split(" ", 1) for each in policy.split(";"))
        assert rules["default-src"] == "'none'"
        assert "unsafe" not in policy
        assert not re.search(r"https?:|//[a-z]|javascript:", file.read_text("utf-8"))
        said = words(file)
        assert f"weights {atlas.classifier.fingerprint}" in said
        assert f"contents {atlas.images.with_classes_of(atlas.classifier).fingerprint}" in said
        assert "ikit atlas --fast" in said
        for image in page.all("img"):
            assert image["alt"], file


def test_style_and_script_are_small_and_load_nothing(atlas):
    files = [atlas.folder / "assets" / name for name in ("atlas.css", "atlas.js")]
    assert sum(each.stat().st_size for each in files) < 60_000
    for file in files:
        assert not re.search(r"https?:|@import|url\(|fetch\(|innerHTML|eval\(", file.read_text())
    listed = (atlas.folder / "assets/search.js").read_text().partition("=")[2]
    assert json.loads(listed.rstrip(";\n"))["classes"] == list(CLASSES)


def test_an_image_page_holds_the_confidence_of_each_window(atlas):
    page = sorted((atlas.folder / "images").glob("*.html"))[0]
    image = int(page.stem)
    result = ik.Occlusion(window=4, stride=3).run(atlas.classifier, atlas.images.only([image]))
    cells = [each for each in Page(page).all("rect") if "data-c" in each]
    shown = [float(each["data-c"]) for each in cells]
    assert shown == pytest.approx(100 * result.confidence[0].ravel(), abs=0.006)
    assert [int(each["data-p"]) for each in cells] == result.predicted[0].ravel().tolist()
    boxes = [list(map(int, each["data-box"].split())) for each in cells]
    assert boxes == result.grid.boxes().tolist()


def test_an_image_page_shows_the_maps_of_other_methods(atlas):
    page = sorted((atlas.folder / "images").glob("*.html"))[0]
    image, said = int(page.stem), words(page)
    for title in ("Grad-CAM", "Guided Grad-CAM", "Integrated gradients", "Saliency"):
        (drawing,) = [e for e in Page(page).all("svg") if e["aria-label"].startswith(f"{title} of")]
        assert drawing["viewbox"].split()[2:] == ["30", "36"]  # three times 10 x 12 px
    (pixels,) = atlas.images.uint8_images([image], atlas.classifier.preprocessing)
    pixels = torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255
    pixels.requires_grad_()
    gray = torch.full_like(pixels, 128 / 255)
    output, there = atlas.classifier(pixels), atlas.classifier(gray)
    target = int(output.argmax())
    change = float((output - there).detach()[0, target])
    assert f"the change of the output {change:.3g}." in said
    # Saliency, the last of four maps: green where the gradient is largest, white where it is least.
    output[0, target].backward()
    gradient = pixels.grad[0].abs().amax(0)
    sheet = np.asarray(Image.open(page.with_name(f"{image}-maps.webp")).convert("RGB")).astype(int)
    assert sheet.shape == (36, 4 * (2 + 30 + 2), 3)
    for place, colour in ((gradient.argmax(), (51, 129, 96)), (gradient.argmin(), (255,) * 3)):
        row, col = divmod(int(place), 10)
        middle = sheet[3 * row + 1, 3 * 34 + 2 + 3 * col + 1]
        assert middle == pytest.approx(colour, abs=40)  # WebP is not exact; white is far from green


@pytest.fixture(scope="module")
def with_photo(tmp_path_factory):
    """An atlas of six images, on two of which filters were ablated, and of a photo."""
    classifier, images = small_classifier(), noisy_images(6)
    classifier.network.act1, classifier.network.act2 = torch.nn.ReLU6(), torch.nn.ReLU6()
    photo = Image.fromarray(np.full((12, 10, 3), 90, np.uint8))
    settings = dataclasses.replace(SETTINGS, ablation_images=2)
    site = tmp_path_factory.mktemp("photo") / "site"
    ik.write_atlas(classifier, images, site, settings, photos=[photo], engine="full")
    return SimpleNamespace(site=site, classifier=classifier, images=images, photo=photo)


def test_photos_have_pages_with_the_confidence_of_each_window(with_photo):
    classifier, photo = with_photo.classifier, with_photo.photo
    page = with_photo.site / "images/photo-0.html"
    expected = ik.Occlusion(window=4, stride=3).run(classifier, [photo])
    shown = [float(each["data-c"]) for each in Page(page).all("rect") if "data-c" in each]
    assert shown == pytest.approx(100 * expected.confidence[0].ravel(), abs=0.006)
    predicted = classifier.classes[expected.uncovered_predicted[0]]
    assert f"Predicted as {predicted} with a confidence" in words(page)
    assert "true class is not known" in words(page)
    why = "guided-gradcam changes the gradients of nn.ReLU modules, and small has none (its"
    assert f"Guided Grad-CAM cannot be applied to this network: {why}" in words(page)
    assert len([e for e in Page(page).all("image") if e["href"].endswith("photo-0-maps.webp")]) == 3
    assert "images/photo-0.html" in Page(with_photo.site / "index.html").addresses()


def test_of_a_class_without_an_ablated_image_nothing_is_said_to_be_known(with_photo):
    images = with_photo.images.with_classes_of(with_photo.classifier)
    ablated_on = set(images.spread(2).labels.tolist())
    for label in set(images.labels.tolist()):
        said = words(with_photo.site / f"classes/{label}.html")
        unknown = "not known: filters were ablated on 2 images, and none of them is of this class"
        assert (unknown in said) == (label not in ablated_on)
    assert len(ablated_on) < len(set(images.labels.tolist()))


def test_only_small_fields_that_all_reach_beyond_the_edge_hint_at_the_padding(atlas):
    tops = ik.TopPatches(layer="all").run(atlas.classifier, atlas.images)
    clipped = (tops.boxes != tops.full_boxes).any(2).all(1)
    sides = tops.full_boxes[:, 0, 2:] - tops.full_boxes[:, 0, :2]
    small = (2 * sides <= atlas.classifier.size).all(1)
    assert (clipped & ~small & ~tops.dead).any()
    for row, (layer, number) in enumerate(zip(tops.layer, tops.filter, strict=True)):
        said = words(atlas.folder / f"layers/{layer + 1}/{number}.html")
        expected = clipped[row] and small[row] and not tops.dead[row]
        assert ("respond to the zero-padding" in said) == expected


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    for k, pixels in enumerate(noise(4)):
        file = tmp_path / "images" / CLASSES_ON_PAPER[k % 2] / f"{k}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    file.write_bytes(file.read_bytes()[:60])
    images = load_images(tmp_path / "images")
    page = ik.write_atlas(small_classifier(), images, tmp_path / "site", SETTINGS, engine="full")
    assert "of 3 images are classified correctly" in words(page)
    assert f"1 could not be read: {file.parent.name}/3.png (" in words(page)


def test_an_atlas_is_not_overwritten_and_a_failed_one_leaves_nothing(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "mine.txt").write_text("mine")
    with pytest.raises(OutputExists, match="site exists already; give another folder"):
        ik.write_atlas(small_classifier(), noisy_images(4), tmp_path / "site")

    def stop(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ik.write_atlas(small_classifier(), noisy_images(4), tmp_path / "other", progress=stop)
    assert [each.name for each in tmp_path.iterdir()] == ["site"]


def test_what_cannot_be_shown_is_refused_in_a_sentence(tmp_path):
    classifier, images = small_classifier(), noisy_images(4)
    with pytest.raises(NoImages, match="label"):
        ik.write_atlas(classifier, images.unlabelled(), tmp_path / "a")
    with pytest.raises(UsageError, match="larger than the image"):
        ik.write_atlas(classifier, images, tmp_path / "a", ik.AtlasSettings(window=99))
    with pytest.raises(TypeError, match=r"`settings` is 3; give AtlasSettings\("):
        ik.write_atlas(classifier, images, tmp_path / "a", 3)
    with pytest.raises(UsageError, match="`ablation_images` is 0; it must be at least 1"):
        ik.AtlasSettings(ablation_images=0)


@pytest.mark.parametrize("correct", [True, False])
def test_one_image_is_enough(correct, tmp_path):
    classifier = small_classifier()
    result = ik.Misclassifications().run(classifier, noisy_images(1))
    label = (int(result.confusion.sum(0).argmax()) + (not correct)) % len(CLASSES_ON_PAPER)
    images = ik.ImageSet.from_arrays(noise(1), [label], CLASSES_ON_PAPER)
    settings = dataclasses.replace(SETTINGS, method="occlusion")
    page = ik.write_atlas(classifier, images, tmp_path / "site", settings, engine="full")
    said = words(page)
    outcome = "classified correctly" if correct else "misclassified"
    assert f"The only image is {outcome}." in said
    assert ("No single filter matters" in said) == ("The scale, from 0 to" not in said)
    assert correct or "No single filter matters" in said
    of_class = words(page.parent / f"classes/{label}.html")
    assert f"Its only image is {outcome}: an error rate" in of_class
    assert ("It is predicted as " in of_class) == (not correct)
    assert [*page.parent.glob("images/*-maps.webp")] == []
    assert "By other methods" not in words(page.parent / "images/0.html")
