"""How do a number and its unit stay on one line of a page? A no-break space is between them."""

from __future__ import annotations

import re

from jinja2.ext import Extension

# In a template, "}}" ends a number, and "%}" is not a unit.
_BEFORE_UNIT = re.compile(r"(?<=[\d}]) (?=(?:%(?!\})|(?:px|MB|GB|ms|s|h)\b))")


def unbroken(text: str) -> str:
    """Replace the space between a number and its unit: "95 %" and "32 px" stay on one line."""
    return _BEFORE_UNIT.sub("\u00a0", text)


class UnbrokenUnits(Extension):
    """Does so in the templates' own text; the names that are filled in stay as they are."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:  # noqa: ARG002
        """Change a template before it is parsed."""
        return unbroken(source)
