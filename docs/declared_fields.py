"""Document the fields of analyses, results and recipes by what they declare with their values.

An extension of griffe, which reads the sources for the API reference: `parameter` and `array` keep
the help text of a field in its metadata, where griffe does not look.
"""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

import griffe

DECLARATIONS = ("array(", "parameter(")


class DeclaredFields(griffe.Extension):
    """Add the meaning and the default of declared fields to the attributes of a class."""

    def on_class_members(self, *, cls: griffe.Class, **_given: Any) -> None:
        """Read the fields of a class that declares some, from the class itself."""
        if not any(str(each.value).startswith(DECLARATIONS) for each in cls.attributes.values()):
            return
        found = getattr(importlib.import_module(cls.module.path), cls.name)
        for field in dataclasses.fields(found) if dataclasses.is_dataclass(found) else ():
            if field.name in cls.attributes and field.metadata:
                _describe(cls.attributes[field.name], field)


def _describe(attribute: griffe.Attribute, field: dataclasses.Field[Any]) -> None:
    if "axes" in field.metadata:
        axes = ", ".join(field.metadata["axes"].split())
        text = f"{field.metadata['meaning']}. Axes: ({axes})."
        attribute.value = None
    else:
        text = f"{field.metadata['help']}."
        attribute.value = repr(field.default)
    attribute.docstring = griffe.Docstring(text[0].upper() + text[1:], parent=attribute)
