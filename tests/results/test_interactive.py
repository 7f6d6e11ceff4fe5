"""Do results compare, print and show themselves as a user of notebooks expects?"""

import builtins
import dataclasses
import pickle
import tracemalloc
import webbrowser
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from networks_on_paper import noisy_images, small_classifier

import interpret_kit as ik
from interpret_kit.analyses import ANALYSES
from interpret_kit.analyses.occlusion import OcclusionResult
from interpret_kit.errors import RunError, WrongType
from interpret_kit.render import attribution, occlusion
from interpret_kit.results import mapped, registry
from interpret_kit.results.table import Table

QUESTIONS = {
    **{name: kind() for name, kind in ANALYSES.items()},
    "occlusion": ik.Occlusion(window=6, stride=6),
}


@pytest.fixture(scope="module")
def results():
    classifier, images = small_classifier(), noisy_images()
    return {name: each.run(classifier, images) for name, each in QUESTIONS.items()}


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("name", QUESTIONS)
def test_results_are_equal_if_their_contents_are(name, results, tmp_path):
    result = results[name]
    copy = ik.load_result(result.save(tmp_path / "saved"))
    assert copy == result
    assert hash(copy) == hash(result)
    assert copy in [result]
    assert pickle.loads(pickle.dumps(result)) == result
    field = result.array_fields()[0].name
    values = getattr(result, field).copy()
    values.flat[0] += 1
    assert dataclasses.replace(result, **{field: values}) != result
    assert result != "a result"


def test_nan_is_equal_to_itself_and_another_type_is_not(results):
    result = results["occlusion"]
    lost = np.full_like(result.confidence, np.nan)
    one, other = (dataclasses.replace(result, confidence=lost.copy()) for _ in range(2))
    assert one == other
    wide = dataclasses.replace(result, confidence=result.confidence.astype(np.float64))
    assert wide != result


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_representation_has_at_most_ten_lines_and_says_what_was_run_on_what(name, results):
    lines = repr(results[name]).splitlines()
    assert len(lines) <= 10
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith(f"{type(results[name]).__name__} of ")
    assert "small" in lines[1]
    assert "17 images of arrays" in lines[1]


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_notebook_shows_the_summary_and_the_main_figure(name, results):
    page = Tags(results[name]._repr_html_())
    images = [attrs["src"] for tag, attrs in page.found if tag == "img"]
    assert [each[:22] for each in images] == ["data:image/png;base64,"]
    assert [tag for tag, _ in page.found].count("table") == 1
    assert results[name].summary().columns[0] in page.text


FEWER = {"top_patches": ("filter ", 2), "activations": ("image ", 5)}  # rows in a preview


@pytest.mark.parametrize("name", QUESTIONS)
def test_a_preview_is_the_first_figure_as_large_as_a_screen(name, results, monkeypatch):
    monkeypatch.setattr(occlusion, "MOST_IMAGES", 3)  # with figures of their own, which are unused
    monkeypatch.setattr(attribution, "MOST_IMAGES", 1)
    shown, first = (
        [text.get_text() for text in figure.findobj(Text)]
        for figure in (
            registry.preview(results[name]),
            next(iter(results[name].figures().values())),
        )
    )
    if name in FEWER:
        begin, most = FEWER[name]
        rows, of_all = (
            [each for each in said if each.startswith(begin)] for said in (shown, first)
        )
        assert rows == of_all[:most]
        assert len(of_all) > most
    else:
        assert shown == first
    assert registry.preview(results[name]).get_figheight() * 80 <= 720  # pixels in a notebook


def test_a_notebook_draws_the_preview_alone(results, monkeypatch):
    monkeypatch.setattr(registry, "draw", lambda *_, **__: pytest.fail("all figures are drawn"))
    assert "<img" in results["occlusion"]._repr_html_()


def test_names_in_a_notebook_are_escaped(results):
    result = results["occlusion"]
    names = dict.fromkeys(result.origin.names, "<script>alert(1)</script>")
    marked = dataclasses.replace(result, origin=dataclasses.replace(result.origin, names=names))
    page = Tags(marked._repr_html_())
    assert "script" not in [tag for tag, _ in page.found]
    assert "<script>alert(1)</script>" in page.text


def test_show_opens_a_page_with_every_figure_or_says_how_to_keep_them(monkeypatch):
    result = QUESTIONS["occlusion"].run(small_classifier(), noisy_images(1))
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or True)
    result.show()
    page = Tags(Path(opened[0].removeprefix("file://")).read_text(encoding="utf-8"))
    Path(opened[0].removeprefix("file://")).unlink()
    shown = [tag for tag, _ in page.found].count("img")
    assert shown == len(result.figures()) > 1
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    with pytest.raises(RunError, match="no browser to show it in; write the figures with"):
        result.show()


def test_a_class_loads_its_own_results_only(results, tmp_path):
    folder = results["occlusion"].save(tmp_path / "maps")
    loaded = OcclusionResult.load(folder)
    assert loaded == results["occlusion"]
    assert loaded.analysis.window == 6
    assert ik.Result.load(str(folder)) == loaded
    with pytest.raises(TypeError, match=r"of class OcclusionResult, not Act.*OcclusionResult.load"):
        type(results["activations"]).load(folder)
    with pytest.raises(WrongType, match="not AblationResult"):
        type(results["ablation"]).load(folder)


def test_a_table_shows_its_first_rows_and_how_many_more_there_are():
    table = Table(("class", "images"), tuple((f"<b>{k}", 10 * k) for k in range(14)))
    lines = repr(table).splitlines()
    assert lines[:3] == ["class  images", "<b>0   0", "<b>1   10"]
    assert lines[12:] == ["<b>11  110", "and 2 more rows"]
    page = Tags(table._repr_html_())
    assert [tag for tag, _ in page.found].count("tr") == 13
    assert "<b>11" in page.text
    assert "and 2 more rows" in page.text
    assert repr(Table(("a",), (("\x1b[31mred\n",), (None,)))) == "a\n[31mred\n"


def test_a_table_becomes_a_data_frame_or_says_what_to_install(monkeypatch):
    table = Table(("image", "drop"), (("a.jpg", 0.5), ("b.jpg", None)))
    made = {}

    class Pandas:
        @staticmethod
        def DataFrame(rows, columns):
            return made.update(rows=rows, columns=columns) or "frame"

    real = builtins.__import__

    def importing(name, *given, **settings):
        if name == "pandas":
            if not allowed:
                raise ImportError("no pandas")
            return Pandas
        return real(name, *given, **settings)

    monkeypatch.setattr(builtins, "__import__", importing)
    allowed = True
    assert table.to_pandas() == "frame"
    assert made == {"rows": list(table.rows), "columns": ["image", "drop"]}
    allowed = False
    with pytest.raises(RunError, match=r"^to_pandas\(\) needs pandas: pip install pandas$"):
        table.to_pandas()


def test_results_are_compared_piece_by_piece(results, monkeypatch):
    one = results["misclassifications"]
    large = np.zeros((4096, 256), np.float32)
    large[:, 0] = np.nan
    other = large.copy()
    monkeypatch.setattr(mapped, "PIECE", 2**16)
    tracemalloc.start()
    assert dataclasses.replace(one, mistake_confidence=large) == dataclasses.replace(
        one, mistake_confidence=other
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < large.size / 4  # a comparison of all elements takes a byte for each
    other[-1, -1] = 1
    assert dataclasses.replace(one, mistake_confidence=large) != dataclasses.replace(
        one, mistake_confidence=other
    )
