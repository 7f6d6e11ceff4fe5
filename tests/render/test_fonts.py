"""Are names drawn in letters that some installed font has, and is it said if none has?"""

import logging

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from matplotlib.text import Text
from networks_on_paper import noise, small_classifier

from interpret_kit import ImageSet, Misclassifications
from interpret_kit.models.classifier import Classifier
from interpret_kit.render.fonts import families

NAMES = ("猫", "犬", "ant", "été", "Ω")


@pytest.fixture
def result():
    classifier = Classifier(
        small_classifier().network, small_classifier().preprocessing, classes=NAMES
    )
    images = ImageSet.from_arrays(noise(6), [0, 1, 2, 3, 4, 0], NAMES)
    return Misclassifications().run(classifier, images)


@pytest.fixture
def cat_font(tmp_path):
    """A font with one letter, 猫: a full square."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "cat"])
    builder.setupCharacterMap({ord("猫"): "cat"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "cat": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "cat": (1000, 0)})
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": "Only Cats", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "cats.ttf")
    before = list(fontManager.ttflist)
    fontManager.addfont(tmp_path / "cats.ttf")
    yield
    fontManager.ttflist[:] = before


def test_letters_that_no_font_has_are_named(result, caplog, monkeypatch):
    usual = [each for each in fontManager.ttflist if "DejaVu" in each.name]
    monkeypatch.setattr(fontManager, "ttflist", usual)
    with caplog.at_level(logging.WARNING):
        result.figures()
    (message,) = [each.getMessage() for each in caplog.records]
    assert message.startswith("no installed font has all glyphs of ")
    assert "猫" in message
    assert "犬" in message
    assert "été" not in message
    assert message.endswith("the figures show boxes instead; install Noto Sans CJK")


def test_a_font_that_has_the_letters_draws_them(result, cat_font, caplog, monkeypatch):
    usual = [each for each in fontManager.ttflist if each.name in {"DejaVu Sans", "Only Cats"}]
    monkeypatch.setattr(fontManager, "ttflist", usual)
    with caplog.at_level(logging.WARNING):
        figures = result.figures()
    (message,) = [each.getMessage() for each in caplog.records]
    assert "猫" not in message.partition(":")[0]  # 犬 is still missing
    cats = [
        text
        for figure in figures.values()
        for text in figure.findobj(Text)
        if "猫" in text.get_text()
    ]
    assert cats
    assert all("Only Cats" in text.get_fontfamily() for text in cats)
    for figure in figures.values():
        figure.canvas.draw()  # warnings are errors: not one for a missing family


def test_usual_letters_take_the_usual_font():
    for text in ("ant", "été", "Ω → “x”…", ""):
        assert families(text) == ["sans-serif"]


def test_the_square_is_drawn(cat_font, monkeypatch):
    from interpret_kit.render.fonts import cover
    from interpret_kit.render.page import Page

    page = Page(3, 1, "猫")
    cover([page])
    page.canvas.draw()
    ink = np.asarray(page.canvas.buffer_rgba())[..., 0] < 128
    filled = ink[np.ix_(ink.any(1), ink.any(0))]
    assert filled.size > 100
    assert filled.mean() > 0.95  # a box of a missing letter is an outline
