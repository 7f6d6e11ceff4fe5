"""Which networks has timm? Read from its source files, as importing it takes seconds."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from interpret_kit.errors import NothingThere, UsageError, close_files, close_names
from interpret_kit.models.loading.model_folders import close_runs

CONVNET = "ikit_convnet"  # ours, which `timm_registration` adds

_REGISTERED = re.compile(r"^@register_model\s+def\s+(\w+)", re.MULTILINE)
_RENAMED = re.compile(
    r"^register_model_deprecations\(__name__,\s*\{(.*?)^\}", re.MULTILINE | re.DOTALL
)
_PREFIX = re.compile(r"hf[-_]hub:|(https?://)?(www\.)?(huggingface\.co|hf\.co)/", re.IGNORECASE)
_OF_TIMM = re.compile(r"timm/[\w.@-]+")
_OLD_NAME = re.compile(r"""["']([\w-]+)[^"']*["']\s*:""")


@cache
def names_in_source() -> frozenset[str]:
    """Names without tags, old ones included; none if timm is not laid out as it is now."""
    spec = find_spec("timm")
    if spec is None or spec.origin is None:
        return frozenset()
    names: set[str] = set()
    for file in (Path(spec.origin).parent / "models").glob("*.py"):
        text = file.read_text(encoding="utf-8")
        names.update(_REGISTERED.findall(text))
        for renamed in _RENAMED.findall(text):
            names.update(_OLD_NAME.findall(renamed))
    return frozenset(names)


def refuse_unknown(name: str) -> None:
    """Refuse the name of an architecture, perhaps with a tag, that timm does not have.

    Only in a process that has not imported timm: in others, the caller may have registered more,
    and looking a name up takes no time.

    Raises:
        NothingThere: naming the closest names.
    """
    if "timm" in sys.modules or name == CONVNET:
        return
    known = names_in_source()
    if known and name.partition(".")[0] not in known:
        raise no_such_model(name, {*known, CONVNET})


def no_such_model(name: str, known: Iterable[str]) -> NothingThere:
    """Make the error for a name that is neither a file nor one of the ``known`` architectures."""
    path = Path(name)
    runs = close_runs(path)
    if "/" in name or "\\" in name:
        hub = f"; for a repository of the Hugging Face Hub, give hf-hub:{name}" * (
            name.count("/") == 1
        )
        return NothingThere(
            f"there is no file or folder {name}{runs or f'{close_files(path)}{hub}'}"
        )
    others = close_names(name, sorted(known))
    if not others.startswith("similar names"):  # the first of more than a thousand
        others = "" if runs else "timm.list_models() lists timm's models"
    elif runs:
        others = others.replace("names", "timm models", 1)
    ends = f"{runs}{others and f'; {others}'}"
    return NothingThere(f"{name!r} is not a file, run folder or timm model{ends}")


def repository_of(name: str) -> str:
    """Return the repository of the Hugging Face Hub, as OWNER/NAME; "" if none is named.

    It is given as ``hf-hub:OWNER/NAME``, by its URL, or as ``timm/NAME``.

    Raises:
        UsageError: for ``hf-hub:`` without a name.
    """
    if _OF_TIMM.fullmatch(name):
        return name
    prefix = _PREFIX.match(name)
    if not prefix:
        return ""
    parts = [part for part in name[prefix.end() :].split("/") if part]
    if not parts:
        raise UsageError(f"{name} does not name a repository; give hf-hub:timm/resnet18.a1_in1k")
    return "/".join(parts[:2])  # a URL may end with /tree/main
