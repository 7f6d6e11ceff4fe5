"""Do the pages work in a real browser, from disk? Sorting, search, keys, pointing; no request.

The accessibility rules of axe-core are tested if the environment variable IKIT_AXE is the path of
its axe.min.js, which `.ci/browser.sh` downloads with npm.
"""

import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from networks_on_paper import noisy_images, small_classifier
from small_atlas import CLASSES, DEAD, LONGEST

import interpret_kit as ik
from interpret_kit.report.page import Front

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs the browser chromium")


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as started:
        found = started.chromium.launch(executable_path=CHROMIUM)
        yield found
        found.close()


class Visit:
    """A page in a window, and all that it logged and loaded."""

    def __init__(self, browser, atlas, width=1440, **settings):
        self.folder, self.errors, self.requests = atlas.folder, [], []
        context = browser.new_context(viewport={"width": width, "height": 900}, **settings)
        self.page = context.new_page()
        self.page.on("console", lambda said: self.errors.append(said.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", self.failed)

    def failed(self, request):
        if request.failure != "net::ERR_ABORTED":  # as by a key that leads on before all is there
            self.errors.append(request.url)

    def open(self, address):
        self.page.goto((self.folder / address).as_uri())
        return self.page

    def assert_quiet(self):
        inside = self.folder.as_uri() + "/"
        assert [each for each in self.requests if not each.startswith(inside)] == []
        assert self.errors == []


@pytest.fixture
def visit(browser, atlas):
    made = Visit(browser, atlas)
    yield made
    made.assert_quiet()
    made.page.context.close()


def an_image(atlas):
    return sorted((atlas.folder / "images").glob("*.html"))[0].name


def kinds(atlas):
    return ["index.html", "layers/2/index.html", "layers/2/1.html", "classes/3.html",
            f"images/{an_image(atlas)}"]  # fmt: skip


@pytest.mark.parametrize(("width", "scheme"), [(1440, "light"), (390, "dark")])
def test_every_kind_of_page_fits_and_loads_only_its_own_files(browser, atlas, width, scheme):
    visit = Visit(browser, atlas, width, color_scheme=scheme)
    for address in kinds(atlas):
        page = visit.open(address)
        wide = page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width, (address, wide)
        light = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (light == "rgb(251, 251, 249)") == (scheme == "light")
        pending = "[...document.images].filter((e) => e.complete && !e.naturalWidth).length"
        assert page.evaluate(pending) == 0
    visit.assert_quiet()
    visit.page.context.close()


def test_the_words_about_an_occluded_image_stand_below_it(visit):
    page = visit.open("classes/3.html")
    places = "e => [e, ...e.children].map((each) => each.getBoundingClientRect().toJSON())"
    figure, images, caption = page.locator("figure.pair").first.evaluate(places)
    assert images["width"] == figure["width"]
    assert caption["top"] >= images["bottom"]


def test_the_commands_of_a_report_wrap_on_a_phone(browser, tmp_path):
    result = ik.Misclassifications().run(small_classifier(), noisy_images(3))
    command = "ikit ablation --layer 48 --labels predicted --model embedded --data demo/photos"
    front = Front(commands=((command, "what the predictions depend on"),))
    ik.write_report(tmp_path, result.save(tmp_path / "counts"), front)
    visit = Visit(browser, SimpleNamespace(folder=tmp_path), 390)
    page = visit.open("index.html")
    widths = "e => [e.scrollWidth, e.clientWidth, e.getBoundingClientRect().height]"
    needed, there, height = page.locator("dt").evaluate(widths)
    assert needed <= there
    assert height > 40  # pixels: more than one line
    visit.assert_quiet()
    visit.page.context.close()


def compared(comparison):
    return [each.relative_to(comparison.folder).as_posix() for each in comparison.pages]


@pytest.mark.parametrize(("width", "scheme"), [(1440, "dark"), (390, "light")])
def test_the_pages_of_a_comparison_fit_sort_and_filter(browser, comparison, width, scheme):
    visit = Visit(browser, comparison, width, color_scheme=scheme)
    for address in compared(comparison):
        page = visit.open(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        page.keyboard.press("/")  # there is no search here
    read = "all => all.map((each) => Number(each.dataset.correlation))"
    page.select_option("#sort", "correlation")
    shown = page.locator(".pairs li").evaluate_all(read)
    assert shown == sorted(shown, reverse=True)
    page.select_option("#least", "0")
    assert page.inner_text("#count") == "0 of 5 pairs"
    page.select_option("#least", "1")
    assert page.inner_text("#count") == "5 of 5 pairs"
    page.locator(".pairs li a").nth(1).click()
    page.wait_for_url("**/b/layers/2/*.html")
    page.click("text=comparison")
    page.wait_for_url("**/site/index.html")
    visit.assert_quiet()
    visit.page.context.close()


BY_SIZE_AND_COLOUR = ["color-contrast", "scrollable-region-focusable", "target-size"]


@pytest.mark.skipif("IKIT_AXE" not in os.environ, reason="needs axe-core: IKIT_AXE")
@pytest.mark.parametrize(
    ("width", "scheme"),
    [(1440, "light"), (390, "dark")],
)
def test_axe_finds_no_serious_fault(browser, atlas, comparison, width, scheme):
    only = {"runOnly": BY_SIZE_AND_COLOUR} if scheme == "dark" else {}
    rules = Path(os.environ["IKIT_AXE"]).read_text("utf-8")
    faults, options = [], {"resultTypes": ["violations"], **only}
    for made, addresses in ((atlas, kinds(atlas)), (comparison, compared(comparison))):
        visit = Visit(browser, made, width, color_scheme=scheme, bypass_csp=True)
        for address in addresses:
            page = visit.open(address)
            page.evaluate(rules)
            for rule in page.evaluate("given => axe.run(given)", options)["violations"]:
                if rule["impact"] in {"serious", "critical"}:
                    faults += [(address, rule["id"], node["html"]) for node in rule["nodes"]]
        visit.page.context.close()
    assert faults == []


def numbers(page):
    return [int(e) for e in page.locator("#wall li:visible .title").evaluate_all(
        "all => all.map((each) => parseInt(each.textContent))")]  # fmt: skip


def test_the_wall_sorts_filters_and_takes_keys(visit):
    page = visit.open("layers/1/index.html")
    read = "(all, key) => all.map((each) => [each.dataset[key], each.dataset.number])"
    for key in ("peak", "selectivity", "place", "number", "damage"):
        page.select_option("#sort", key)
        pairs = page.locator("#wall li").evaluate_all(read, key)
        values = [(float(value), float(number)) for value, number in pairs]
        assert values == sorted(values, reverse=True)
    page.select_option("#alive", "1")
    assert numbers(page) == [DEAD]
    assert page.inner_text("#count") == "1 of 4 filters"
    page.select_option("#alive", "")
    page.select_option("#sort", "number")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_url("**/layers/1/1.html")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**/layers/1/2.html")


def test_the_search_finds_classes_layers_and_filters(visit):
    page = visit.open("layers/1/0.html")
    page.keyboard.press("/")
    page.keyboard.type("conv2:3")
    assert page.locator("#found a").first.inner_text().split("\n")[0] == "conv2:3"
    page.keyboard.press("Enter")
    page.wait_for_url("**/layers/2/3.html")
    page.fill("#search", "onerror")
    assert page.locator("#found bdi").all_inner_texts() == [CLASSES[0]]
    page.locator("#found a").click()
    page.wait_for_url("**/classes/0.html")
    assert page.inner_text("h1") == CLASSES[0]
    page.fill("#search", "zebra")
    assert page.inner_text("#found") == "There is no such class, layer or filter."


def test_pointing_at_the_grid_shows_the_window_and_its_numbers(visit, atlas):
    page = visit.open(f"images/{an_image(atlas)}")
    cell = page.locator(".grid rect").nth(4)
    cell.hover()
    said = page.inner_text("#cell")
    assert f"confidence {float(cell.get_attribute('data-c')):.1f}\u00a0%" in said
    assert CLASSES[int(cell.get_attribute("data-p"))] in said
    y0, x0, y1, x1 = map(int, cell.get_attribute("data-box").split())
    frame = page.locator(".window").first
    assert [int(frame.get_attribute(each)) for each in ("x", "y", "width", "height")] == [
        x0, y0, x1 - x0, y1 - y0,
    ]  # fmt: skip
    page.mouse.move(0, 0)
    page.focus(".grid")
    page.keyboard.press("ArrowRight")
    assert "row 1, column 2" in page.inner_text("#cell")  # 3 columns: the fifth cell was (1, 1)


def test_tables_sort_both_ways(visit):
    page = visit.open("index.html")
    heading = page.locator(".sortable").first.locator("th button").nth(2)
    column = page.locator(".sortable").first.locator("tbody td:nth-child(3)")
    shares = "all => all.map((each) => Number(each.dataset.v))"
    before = column.evaluate_all(shares)
    heading.click()
    assert column.evaluate_all(shares) == sorted(before)
    heading.click()
    assert column.evaluate_all(shares) == sorted(before, reverse=True)


def test_names_show_as_text_and_do_not_turn_the_line(visit, atlas):
    for k, name in enumerate(CLASSES):
        assert visit.open(f"classes/{k}.html").inner_text("h1") == name
    pages = (atlas.folder / "images").glob("*.html")
    (longest,) = [each for each in pages if LONGEST in each.read_text("utf-8").split("<h1")[1]]
    assert LONGEST in visit.open(f"images/{longest.name}").inner_text("h1")


def test_pages_can_be_read_without_scripts(browser, atlas):
    visit = Visit(browser, atlas, java_script_enabled=False)
    page = visit.open("layers/2/index.html")
    assert page.locator("#wall li").count() == 6
    assert not page.locator(".controls").is_visible()
    page.locator("#wall a").first.click()
    assert page.locator("h1").inner_text().startswith("conv2:")
    page.locator("label[for=plain]").click()
    assert not page.locator(".map").first.is_visible()
    visit.page.context.close()
