"""Which folders may be replaced? Those with a marker file that this library wrote.

Other files do not tell: a website has an index.html, an extension of a browser a manifest.json,
and a model of another library a config.json.
"""

from __future__ import annotations

from pathlib import Path

MARKER = ".interpret_kit"
_SIGNED = b"written by interpret_kit"


def mark(folder: Path) -> None:
    """Mark a folder as an output of this library.

    Raises:
        OSError: no permission, or no space.
    """
    if not is_ours(folder):
        (folder / MARKER).unlink(missing_ok=True)  # a link would lead elsewhere
        (folder / MARKER).write_bytes(_SIGNED + b"; force may replace this folder\n")


def is_ours(folder: Path) -> bool:
    """Whether a folder is marked."""
    file = folder / MARKER
    try:
        if file.is_symlink() or not file.is_file():
            return False
        with file.open("rb") as opened:
            return opened.read(len(_SIGNED)) == _SIGNED
    except OSError:
        return False
