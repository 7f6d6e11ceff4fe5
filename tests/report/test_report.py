"""Does a page show everything, open from disk, load nothing, and escape every name?"""

from pathlib import Path
from urllib.parse import unquote

import pytest
from networks_on_paper import HALVES, SmallNet, noise, noisy_images, small_classifier
from pages import Page, assert_safe_and_whole
from PIL import Image
from small_runs import write_run

from interpret_kit.analyses import ANALYSES
from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.attribution import Attribution
from interpret_kit.analyses.comparing.run import compare
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.data.load import load_images
from interpret_kit.errors import NothingThere, OutputExists, UsageError
from interpret_kit.models.classifier import Classifier
from interpret_kit.report.page import Front, Section, write_report
from interpret_kit.report.units import unbroken
from interpret_kit.report.words import KINDS
from interpret_kit.results import registry
from interpret_kit.results.atomic import MARKER
from interpret_kit.results.load import load_result

SCRIPT, HANDLER, IMAGE = "<script>alert(1)<", '" onerror="alert(1)', "<img src=x onerror=alert(1)>"
CLASSES = (SCRIPT, HANDLER, IMAGE)
SMALL = [
    Occlusion(window=5, stride=4),
    Attribution(method="gradcam,saliency"),
    Activations(layer=1, top=2),
    TopPatches(layer="all", top=2),
    Ablation(layer="all"),
    Misclassifications(ablate="2:1", mistakes=3),
]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A page of all analyses, in which the names of everything would be markup."""
    folder = tmp_path_factory.mktemp("hostile")
    for number, (name, pixels) in enumerate(zip(CLASSES, noise(3), strict=True)):
        file = folder / "images" / name / f"{number}{IMAGE if number % 2 else HANDLER}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    classifier = Classifier(
        SmallNet((12, 10), classes=3),
        size=(12, 10),
        **HALVES,
        classes=CLASSES,
        name=f"{SCRIPT}/run",
    )
    images = load_images(folder / "images")
    sections = []
    for analysis in SMALL:
        place = folder / "out" / f'{analysis.name} "#?%41:é&<b>'
        analysis.run(classifier, images).save(place, figures=True)
        sections.append(Section(place, f"{analysis.name} {SCRIPT}", text=IMAGE, part=HANDLER))
    front = Front(SCRIPT, IMAGE, ((HANDLER, SCRIPT),))
    return Page(write_report(folder / "out", sections, front))


def test_names_are_shown_and_never_obeyed(hostile):
    assert_safe_and_whole(hostile)
    assert not hostile.all("b")
    for name in (*CLASSES, f"{SCRIPT}/run"):
        assert name in hostile.text


def test_every_figure_and_every_table_is_on_the_page(hostile):
    linked = {file.resolve() for file in hostile.files()}
    written = {
        file.resolve()
        for file in hostile.folder.rglob("*")
        if file.is_file() and file.parent != hostile.folder and file.name != MARKER
    }
    assert linked == written


def test_figures_say_what_they_show_and_how_large_they_are(hostile):
    photos = hostile.all("img")
    assert len({each["src"] for each in photos}) == len(photos) > 10
    for each in photos:
        assert each["loading"] == "lazy"
        assert each["alt"].strip()
        with Image.open(hostile.folder / unquote(each["src"])) as figure:
            assert figure.size == (int(each["width"]), int(each["height"]))
    alts = {each["alt"] for each in photos}
    assert "Top patches: layer conv1" in alts
    assert f"Occlusion map and confidence array: {CLASSES[1]}/1{IMAGE}.png" in alts


def test_every_kind_of_figure_is_explained(hostile):
    assert set(KINDS) == {*registry.RESULTS, "training"}
    assert "Other figures" not in hostile.text
    few = {  # what is not drawn of three images: one per class, at most two changed predictions
        "ablation": {"layers", "filters", "classes"},
        "misclassifications": {"classes"},
    }
    for name in ANALYSES:
        said = {each.name for each in KINDS[name] if " ".join(each.reading.split()) in hostile.text}
        assert said == {each.name for each in KINDS[name]} - few.get(name, set())


def test_a_page_says_what_was_asked_and_of_what(hostile):
    for asked in ("window 5 side of the window", "ablate 2:1 filters to ablate"):
        assert asked in hostile.text
    assert "fingerprint of the model" in hostile.text
    assert "torch " in hostile.text


def test_no_line_breaks_between_a_number_and_its_unit():
    assert unbroken("95 % of 32 x 24 px in 3 s") == "95\u00a0% of 32 x 24\u00a0px in 3\u00a0s"
    others = "3 %} 5 pxl, 4 scales, {% if n > 2 %}, a % b"
    assert unbroken(others) == others
    assert unbroken("{{ n }} px {% endif %}") == "{{ n }}\u00a0px {% endif %}"


def test_a_result_that_was_not_saved_is_refused_and_one_folder_is_a_section(tmp_path, classifier):
    result = Misclassifications().run(classifier, noisy_images(3))
    for given in (result, [result]):
        with pytest.raises(
            TypeError, match=r"save the MisclassificationsResult first, .*result.sa"
        ):
            write_report(tmp_path, given)
    saved = str(result.save(tmp_path / "counts"))
    one, two = (
        write_report(tmp_path / name, each).read_text("utf-8")
        for name, each in (("one", saved), ("two", [saved]))
    )
    assert one == two
    assert "../counts/manifest.json" in one


def test_figures_come_in_the_order_of_the_result_and_the_first_are_unfolded(tmp_path, classifier):
    for k, pixels in enumerate(noise(12)):
        Image.fromarray(pixels).save(tmp_path / f"n{k:02}.png")
    result = Occlusion(window=5, stride=5).run(classifier, load_images(tmp_path))
    result.save(tmp_path / "out/x")
    for name in ("overview", *(f"image_{k}" for k in range(12)), "mine"):
        Image.new("RGB", (2, 2)).save(tmp_path / f"out/x/{name}.png")
    page = Page(write_report(tmp_path / "out", [Section(tmp_path / "out/x")]))
    names = [Path(each["src"]).stem for each in page.all("img")]
    assert names == ["overview", *(f"image_{k}" for k in range(12)), "mine"]
    assert "10 more: n02.png, n03.png" in page.text
    assert "Other figures mine" in page.text
    assert "images: 10 of 12 rows" in page.text


def test_figures_of_an_analysis_without_explanations_are_shown_all_the_same(
    tmp_path, classifier, images, monkeypatch
):
    result = Activations(layer=1, top=1).run(classifier, images)
    result.save(tmp_path / "result", figures=True)
    monkeypatch.delitem(KINDS, "activations")  # as those of a user's own class
    text = write_report(tmp_path, tmp_path / "result").read_text()
    assert "Other figures" in text
    assert "result/filters.png" in text


def test_a_section_without_a_title_is_called_by_its_question(tmp_path, classifier, images):
    Misclassifications().run(classifier, images).save(tmp_path / "counts")
    page = Page(write_report(tmp_path, [Section(tmp_path / "counts")]))
    assert "Which classes fail?" in page.text
    assert page.all("img") == []


def test_each_section_names_its_model_and_so_does_a_title_that_is_there_twice(tmp_path, images):
    first, second = small_classifier(), small_classifier(seed=2)
    first.name, second.name = "runs/a", "runs/b<i>"
    for name, each in (("a", first), ("b", second)):
        Misclassifications().run(each, images).save(tmp_path / name)
    compare(first, second, images).save(tmp_path / "both")
    compare(first, first, images, ablate="2:1").save(tmp_path / "ablated")
    write_run(tmp_path / "photos-1")
    folders = [tmp_path / each for each in ("a", "b", "both", "photos-1")]
    page = Page(write_report(tmp_path / "page", folders))
    assert_safe_and_whole(page)
    for line in ("misclassifications: runs/a", "misclassifications: runs/b<i>"):
        assert f" {line} Which classes fail?" in page.text
    for line in ("Which classes fail? (runs/a)", "Which classes fail? (runs/b<i>)"):
        assert page.text.count(line) == 1
    assert " comparison: runs/a and runs/b<i> Which classes and images" in page.text
    assert " training: photos-1 How accurate" in page.text
    assert "How accurate is the network? (" not in page.text
    alone = Page(write_report(tmp_path / "alone", tmp_path / "ablated"))
    assert "comparison: runs/a Which classes and images" in alone.text


def test_a_page_still_works_where_its_folder_was_moved_to(tmp_path, classifier, images):
    Activations(layer=1).run(classifier, images).save(tmp_path / "here/maps", figures=True)
    write_report(tmp_path / "here", [Section(tmp_path / "here/maps")])
    (tmp_path / "here").rename(tmp_path / "there")
    page = Page(tmp_path / "there/index.html")
    assert page.all("img")
    assert_safe_and_whole(page)


def test_results_elsewhere_are_linked_to_where_they_are(tmp_path, classifier, images):
    Misclassifications().run(classifier, images).save(tmp_path / "results/a", figures=True)
    page = Page(write_report(tmp_path / "pages/one", [Section(tmp_path / "results/a")]))
    assert_safe_and_whole(page)


def test_a_run_is_shown_with_its_scores_and_choices(tmp_path):
    write_run(tmp_path / "run")
    Image.new("RGB", (30, 20)).save(tmp_path / "run/curves.png")
    (tmp_path / "run/history.csv").write_text("epoch,val_accuracy\n1,0.125\n2,0.25\n")
    page = Page(write_report(tmp_path, [Section(tmp_path / "run")]))
    assert_safe_and_whole(page)
    assert "epoch val_accuracy 1 0.125 2 0.25" in page.text
    assert "architecture ikit_convnet" in page.text
    assert [each["width"] for each in page.all("img")] == ["30"]


def test_a_page_is_replaced_only_if_told_so(tmp_path, classifier, images):
    Misclassifications().run(classifier, images).save(tmp_path / "counts")
    sections = [Section(tmp_path / "counts")]
    write_report(tmp_path, sections, Front("first"))
    with pytest.raises(OutputExists, match="exists already; give `force=True` to replace it"):
        write_report(tmp_path, sections, Front("second"))
    with pytest.raises(NothingThere, match="misspelt"):  # rather than that the page exists
        write_report(tmp_path, [tmp_path / "misspelt"])
    assert "first" in Page(tmp_path / "index.html").text
    write_report(tmp_path, sections, Front("second"), force=True)
    assert "second" in Page(tmp_path / "index.html").text
    (tmp_path / "index.html").write_text("<title>mine</title>")
    with pytest.raises(OutputExists, match=r"index\.html is not a page that interpret_kit wrote"):
        write_report(tmp_path, sections, Front("third"), force=True)
    assert (tmp_path / "index.html").read_text() == "<title>mine</title>"


def test_a_page_is_not_written_into_a_file(tmp_path):
    (tmp_path / "page").write_text("mine")
    with pytest.raises(OutputExists, match=r"page is a file; give another folder for the page$"):
        write_report(tmp_path / "page", tmp_path)
    assert (tmp_path / "page").read_text() == "mine"


def test_a_run_is_not_a_result_and_is_reported_to_be_a_network(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(
        NothingThere,
        match=f"this is a trained model: analyse it with `ik.load_classifier.'{tmp_path}'",
    ):
        load_result(tmp_path)


def test_nothing_is_written_if_a_section_is_not_a_result(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingThere, match="no result in"):
        write_report(tmp_path / "page", [Section(tmp_path / "empty")])
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize(
    "content",
    [b"nothing", b"\x89PNG\r\n\x1a\n", b"GIF89a" + bytes(30)],
    ids=["short", "cut", "gif"],
)
def test_a_figure_that_is_not_a_png_image_is_named(tmp_path, content):
    result = Misclassifications().run(small_classifier(), noisy_images(2))
    result.save(tmp_path / "result")
    (tmp_path / "result" / "classes.png").write_bytes(content)
    with pytest.raises(UsageError, match=r"classes\.png is not a PNG image; delete it"):
        write_report(tmp_path, tmp_path / "result")
