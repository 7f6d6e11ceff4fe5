"""Does the demo, made small, leave a page of everything, and nothing else?"""

import html
import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pages import Page, assert_safe_and_whole
from small_runs import write_squares

import interpret_kit as ik
from interpret_kit.analyses import ANALYSES
from interpret_kit.cli.main import ikit
from interpret_kit.errors import OutputExists
from interpret_kit.results.atomic import mark
from interpret_kit.trainers import demo
from interpret_kit.trainers.recipe import Recipe

PAGES = ("index.html", "atlas/index.html", "photo-atlas/index.html")
CLASSES = ("<img src=x onerror=alert(1)>", '" onerror="alert(1)', "plain")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """Three classes of images to learn, 16 x 16, and few filters on few of them."""
    folder = tmp_path_factory.mktemp("data") / "images"
    counts = {"train": 8, "val": 2, "test": 4}
    write_squares(folder, CLASSES, counts, ending=f"{CLASSES[1]}.png")
    recipe = Recipe(data=str(folder), size=16, channels=(4, 6), fc=(), epochs=1, batch_size=8)
    return demo.Demo(
        recipe, shown=2, counted=12, ablated=6, layers=(1, 2), window=6, photo_window=112,
        photo_layers=(1,), photo_atlas=(3,), photos=1,
        atlas_images=9, atlas_ablated=6,
    )  # fmt: skip


@pytest.fixture(scope="module")
def shown(small, tmp_path_factory):
    """The demo's folder, which is named like markup, and its progress reports."""
    folder = tmp_path_factory.mktemp("work")
    reports = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        page = demo.write_demo("demo <b>", small, progress=lambda *now: reports.append(now))
        assert page == Path("demo <b>/index.html")
    return folder, Page(folder / page), reports


def test_the_page_links_to_what_is_there_and_loads_nothing(shown):
    _, page, _ = shown
    assert_safe_and_whole(page)
    for name in CLASSES:
        assert name in page.text


def test_every_analysis_has_a_section(shown):
    _, page, _ = shown
    folders = {file.parent for file in page.folder.rglob("manifest.json")}
    names = {json.loads((each / "manifest.json").read_text())["analysis"] for each in folders}
    assert names == set(ANALYSES)
    assert len(page.all("section")) == len(folders) + 2, "one for each, the run, what to type next"
    for part in (demo.TRAINED, demo.IMAGENET):
        assert page.text.count(part) == 2, "in the contents and as a heading"


def test_only_the_demos_folder_is_written(shown):
    folder, page, _ = shown
    assert list(folder.iterdir()) == [page.folder]
    assert {each.name for each in page.folder.rglob(".*")} == {".interpret_kit"}


def test_the_run_can_be_asked_again_and_gives_the_same_numbers(shown, small):
    _, page, _ = shown
    saved = ik.load_result(page.folder / "misclassifications")
    classifier = ik.load_classifier(page.folder / "run")
    again = saved.analysis.run(classifier, ik.load_images(small.recipe.data))
    np.testing.assert_array_equal(again.confusion, saved.confusion)
    assert again.origin.weights == saved.origin.weights


def test_results_name_the_place_where_things_are_and_not_where_they_were_made(shown):
    _, page, _ = shown
    models = {ik.load_result(page.folder / name).origin.model for name in ("occlusion", "ablation")}
    assert models == {str(Path("demo <b>/run"))}
    photos = ik.load_result(page.folder / "photo-occlusion").origin
    assert photos.images == str(Path("demo <b>/photos"))
    assert photos.names == {0: "military uniform/grace_hopper.jpg"}


def test_the_ablated_filter_is_the_one_that_broke_most(shown):
    _, page, _ = shown
    broken = ik.load_result(page.folder / "ablation").broken.sum(1)
    ((layer, (filter_,)),) = ik.load_result(page.folder / "misclassifications-ablated").ablated
    row = ["conv1", "conv2"].index(layer) * 4 + filter_
    assert broken[row] == broken.max()


def test_the_command_that_the_demo_proposes_ablates_filters_on_the_photos(
    shown, monkeypatch, tmp_path
):
    folder, page, _ = shown
    (line,) = (line for line, _ in demo.next_commands(Path("demo <b>")) if "ablation" in line)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("interpret_kit.render.draw", lambda result, **how: {})
    words = [*shlex.split(line)[1:], "--layer", "3", "--out", str(tmp_path / "again"), "--quiet"]
    assert CliRunner().invoke(ikit, words, catch_exceptions=False).exit_code == 0
    said = ik.load_result(page.folder / "photo-occlusion").uncovered_predicted
    counts = ik.load_result(tmp_path / "again")
    assert np.flatnonzero(counts.total).tolist() == said.tolist(), "labelled as predicted"
    assert (counts.correct == counts.total).all()


def test_the_atlas_of_the_photos_has_pages_of_the_classes_that_occur(shown):
    _, page, _ = shown
    atlas = page.folder / "photo-atlas"
    assert atlas / "index.html" in page.files()
    occlusion = ik.load_result(page.folder / "photo-occlusion")
    occurring = {*occlusion.labels.tolist(), *occlusion.uncovered_predicted.tolist()}
    assert {each.name for each in (atlas / "classes").iterdir()} == {
        f"{label}.html" for label in occurring
    }
    assert len(list((atlas / "layers/3").glob("[0-9]*.html"))) == 16
    source = (atlas / "index.html").read_text("utf-8")
    assert source.count("<text") == 2 * len(occurring), "rows and columns of the confusion matrix"
    assert f"Of 1,000 classes, the {len(occurring)} shown are the true" in source


def test_the_page_links_to_an_atlas_of_the_trained_network(shown):
    _, page, _ = shown
    atlas = Page(page.folder / "atlas/index.html")
    assert page.folder / "atlas/index.html" in page.files()
    assert "of 9 images are classified correctly" in atlas.text
    filters = [len(list((page.folder / f"atlas/layers/{k}").glob("[0-9]*.html"))) for k in (1, 2)]
    assert filters == [4, 6]


def test_the_atlas_names_the_command_that_makes_it_again(shown, small, monkeypatch, tmp_path):
    folder, page, _ = shown
    source = (page.folder / "atlas/index.html").read_text("utf-8")
    line = html.unescape(re.search(r"Reproduce</dt><dd><code>(.*?)</code>", source)[1])
    words = shlex.split(line)
    assert words[words.index("--out") + 1] == str(Path("demo <b>/atlas"))
    monkeypatch.chdir(folder)
    words = [*words[1:], "--out", str(tmp_path / "again"), "--quiet"]
    assert CliRunner().invoke(ikit, words, catch_exceptions=False).exit_code == 0
    again = (tmp_path / "again/index.html").read_text("utf-8")
    assert again.split("<footer>")[0] == source.split("<footer>")[0]


def test_progress_ends_each_step_whole(shown):
    reports = shown[2]
    ends = {name: (done, total) for name, done, total in reports}
    assert all(done == total for done, total in ends.values())
    assert set(ends) >= {"run", "occlusion", "ablation", "atlas", "photo-atlas"}


def test_the_command_says_where_the_page_is_and_keeps_to_its_folder(small, tmp_path, monkeypatch):
    def written(out, asked, *, force, progress):
        progress("run", 1, 2)
        progress("occlusion", 1, 1)
        assert (asked, force) == (demo.Demo(device="cpu"), True)
        return Path(out) / "index.html"

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(demo, "write_demo", written)
    answer = CliRunner().invoke(ikit, ["demo", "--out", "here", "--force", "--device", "cpu"])
    assert answer.exit_code == 0, answer.output
    pages = [str(tmp_path / "here" / each) for each in PAGES]
    for said in ("run: 0.0 s", "--model here/run", *pages):
        assert said in answer.output
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_replaced_only_if_told_so(tmp_path, small):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(OutputExists, match="force=True"):
        demo.write_demo(tmp_path, small)
    answer = CliRunner().invoke(ikit, ["demo", "--out", str(tmp_path)])
    assert (answer.exit_code, len(answer.output.splitlines())) == (2, 1)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_an_interrupted_demo_leaves_what_was_there(tmp_path, small):
    def interrupt(name, done, total):
        if name == "occlusion":
            raise KeyboardInterrupt

    (tmp_path / "out").mkdir()
    (tmp_path / "out/index.html").write_text("of before")
    mark(tmp_path / "out")
    with pytest.raises(KeyboardInterrupt):
        demo.write_demo(tmp_path / "out", small, force=True, progress=interrupt)
    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*")} == {
        "out",
        "out/.interpret_kit",
        "out/index.html",
    }
