"""Does the documentation site build, lead nowhere wrong, and show code that runs?"""

import html
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from small_runs import CLASSES, write_images, write_run

import interpret_kit as ik

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for page in (ROOT / "docs").rglob("*.md")
    if re.search(r"^```python$", page.read_text(), re.M)
)
AXES = re.compile(r"^((?!assert )\S[^#\n]*?) +# \(([a-z0-9, ]+)\)", re.M)
SIZES = {"images": 8, "classes": 4, "height": 24, "width": 24, "batch": 2, "top": 3, "4": 4}
LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=\"?([^\" >]+)")
LINK = re.compile(r"<a\b[^>]*?\bhref=\"?([^\" >]+)")
ANCHOR = re.compile(r"\b(?:id|name)=\"?([^\" >]+)")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of 24 x 24 and four classes, and 8 photos, where the pages expect them."""
    root = tmp_path_factory.mktemp("reader")
    (root / "photos").mkdir()
    for name in CLASSES:
        write_images(root / "photos" / name, 2)
    write_run(root / "runs" / "mine")
    return root


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_python_of_a_page_runs_and_gives_arrays_of_the_axes_stated_beside_it(
    page, folder, tmp_path, monkeypatch
):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    names = {"ik": ik}
    for code in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        drawn_elsewhere = code.replace(", figures=True", "")
        exec(compile(drawn_elsewhere, str(page), "exec"), names)
        for line, axes in AXES.findall(code):
            shape = np.shape(eval(line.split(" = ")[0], names))
            stated = [each.strip() for each in axes.split(",") if each.strip()]
            assert len(shape) == len(stated), line
            given = dict(zip(stated, shape, strict=True))
            assert given == given | {name: SIZES[name] for name in given.keys() & SIZES}, line


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, as ``make docs`` builds it."""
    pytest.importorskip("material", reason="needs mkdocs-material: pip install -e '.[dev]'")
    pytest.importorskip("mkdocstrings_handlers.python", reason="needs mkdocstrings[python]")
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    root = tmp_path_factory.mktemp("docs")
    package = root / "sources" / "interpret_kit"
    package.mkdir(parents=True)
    for each in (*(ROOT / "interpret_kit").iterdir(), ROOT / "trainers", ROOT / "cli"):
        (package / each.name).symlink_to(each)
    config = load_config(str(ROOT / "mkdocs.yml"), site_dir=str(root / "site"), strict=True)
    config.plugins["mkdocstrings"].config["handlers"]["python"]["paths"] = [str(root / "sources")]
    build(config)
    return root / "site"


def test_no_page_loads_anything_from_elsewhere_and_all_links_lead_somewhere(site):
    pages = {page: page.read_text() for page in site.rglob("*.html") if page.name != "404.html"}
    anchors = {page: set(map(html.unescape, ANCHOR.findall(text))) for page, text in pages.items()}
    assert len(pages) > 20
    lost = []
    for page, text in pages.items():
        loaded = LOADED.findall(text)
        assert [each for each in loaded if re.match(r"(https?:)?//", each)] == []
        for link in loaded + LINK.findall(text):
            name, _, anchor = unquote(html.unescape(link)).partition("#")
            if re.match(r"[a-z]+:", name):
                continue
            there = (page.parent / name).resolve() if name else page
            if not there.is_file() or (anchor and there in pages and anchor not in anchors[there]):
                lost.append((str(page.relative_to(site)), link))
    assert lost == []


def test_the_reference_documents_each_public_name_and_the_arrays_of_each_result(site):
    text = "".join(page.read_text() for page in (site / "api").glob("*.html"))
    there = set(ANCHOR.findall(text))
    assert [each for each in ik.__all__ if f"interpret_kit.{each}" not in there] == []
    assert "interpret_kit.AblationResult.broken" in there
    assert (
        "Probability of the target with the window there, in [0, 1]. Axes: (images, rows, cols)."
        in text
    )
    assert "step between windows" in text.lower()
