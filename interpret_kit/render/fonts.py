"""Which installed fonts have the glyphs of a name, and what happens if none does?"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from functools import lru_cache

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text

from interpret_kit.errors import shortened

_log = logging.getLogger(__name__)

# Tried first because they cover many scripts: opening every font of a system takes long.
LIKELY = ("Noto Sans", "Source Han", "WenQuanYi", "PingFang", "Hiragino", "Microsoft", "Arial Uni")
LAST_RESORT = "Last Resort"  # matplotlib's own: it draws every letter as a box
CJK = range(0x2E80, 0xA000)  # radicals, kana and ideographs
HANGUL = range(0xAC00, 0xD7B0)


def families(text: str) -> list[str]:
    """Return the font families to draw a text with, the default one first."""
    return ["sans-serif", *_more_families(frozenset(_strange(text)))]


def cover(figures: Iterable[Figure]) -> None:
    """Set fallback fonts for glyphs that the default font lacks; warn about those none has."""
    names: dict[str, None] = {}
    for figure in figures:
        for text in figure.findobj(Text):
            assert isinstance(text, Text)
            content = text.get_text()
            strange = _strange(content)
            if not strange:
                continue
            text.set_fontfamily(families(content))
            if strange - _covered(frozenset(strange)):
                names[" ".join(content.split())] = None
    if names:
        kind = "Noto Sans CJK" if any(map(_is_cjk, "".join(names))) else "one of the Noto fonts"
        _log.warning(
            "no installed font has all glyphs of %s: the figures show boxes instead; install %s",
            shortened(names, most=4),
            kind,
        )


def _is_cjk(letter: str) -> bool:
    return ord(letter) in CJK or ord(letter) in HANGUL


def _strange(text: str) -> set[str]:
    """Return the characters that the default font lacks."""
    if text.isascii():
        return set()
    usual = _letters(findfont(FontProperties()))
    return {each for each in text if each.isprintable() and ord(each) not in usual}


@lru_cache(maxsize=64)
def _letters(file: str) -> frozenset[int]:
    return frozenset(get_font(file).get_charmap())


def _covered(strange: frozenset[str]) -> set[str]:
    """Return the characters that a font of `_more_families` has."""
    files = _files()
    found: set[int] = set()
    for family in _more_families(strange):
        found |= _letters(files[family])
    return {each for each in strange if ord(each) in found}


def _more_families(strange: frozenset[str]) -> tuple[str, ...]:
    return _families_for(strange, len(fontManager.ttflist)) if strange else ()


@lru_cache(maxsize=256)
def _families_for(strange: frozenset[str], _fonts: int) -> tuple[str, ...]:
    """Choose families that together have these characters; ``_fonts`` renews the cache."""
    files = _files()
    chosen, left = [], {ord(each) for each in strange}
    for name in sorted(files, key=lambda each: not each.startswith(LIKELY)):
        if left and left & _readable(files[name]):
            chosen.append(name)
            left -= _readable(files[name])
    return tuple(chosen)


def _files() -> dict[str, str]:
    """Return one font file of each scalable family."""
    files: dict[str, str] = {}
    for entry in fontManager.ttflist:
        if entry.size == "scalable" and not entry.name.startswith(LAST_RESORT):
            files.setdefault(entry.name, entry.fname)
    return files


def _readable(file: str) -> frozenset[int]:
    try:
        font = get_font(file)
    except (OSError, RuntimeError):  # such as a colour emoji font
        return frozenset()
    return _letters(file) if font.scalable else frozenset()
