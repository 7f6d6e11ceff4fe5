"""How does a file or folder appear complete or not at all?

Atomic writes: the contents go to a temporary name beside the target, which is then renamed. Only
folders with a marker file of this library are replaced. Other file names would not be conclusive:
websites have an index.html, browser extensions a manifest.json, models of other libraries a
config.json.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from interpret_kit.errors import CannotWrite, InterpretError, OutputExists
from interpret_kit.models.argument_values import possible_path

MANIFEST = "manifest.json"  # of a result
MARKER = ".interpret_kit"
_SIGNED = b"written by interpret_kit"  # how the marker begins
_MANY = 200  # files, for each of which to wait for the disk would take seconds


def write_whole(file: Path, content: str | bytes) -> None:
    """Write a file atomically: readers find either all of it or the previous version.

    This holds after a power failure, too: file and folder are on the disk when this returns.
    """
    aside = file.with_name(f".{file.name}.part")
    aside.unlink(missing_ok=True)  # a link would lead elsewhere
    with aside.open("xb") as opened:
        opened.write(content.encode() if isinstance(content, str) else content)
    put(aside, file)


def put(aside: Path, target: Path) -> None:
    """Rename a file or folder, so that after a power failure it is complete or not there.

    Raises:
        OSError: among others, if some of it does not get to the disk.
    """
    parts = [aside, *(aside.rglob("*") if aside.is_dir() else ())]
    if len(parts) > _MANY and hasattr(os, "sync"):
        os.sync()
    else:
        for each in parts:
            if each.is_dir():
                _settle(each)
            else:
                with each.open("rb+") as file:
                    os.fsync(file.fileno())
    aside.replace(target)
    _settle(target.parent)


def _settle(folder: Path) -> None:
    """Put the names in a folder on the disk; some systems cannot."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def mark(folder: Path) -> None:
    """Mark a folder as an output of this library.

    Raises:
        OSError: no permission, or no space.
    """
    if not is_ours(folder):
        (folder / MARKER).unlink(missing_ok=True)  # a link would lead elsewhere
        (folder / MARKER).write_bytes(_SIGNED + b"; force may replace this folder\n")


def is_ours(folder: Path) -> bool:
    """Test whether a folder is marked."""
    file = folder / MARKER
    try:
        if file.is_symlink() or not file.is_file():
            return False
        with file.open("rb") as opened:
            return opened.read(len(_SIGNED)) == _SIGNED
    except OSError:
        return False


def check_free(folder: Path, *, force: bool) -> None:
    """Refuse an output folder that exists and is not empty, before the work starts.

    Raises:
        OutputExists: unless ``force`` is given and the folder is marked as ours.
        UsageError: no folder can have this name.
    """
    if possible_path(folder).is_symlink():  # to replace it would leave its target behind
        raise OutputExists(
            f"{folder} is a link to {folder.readlink()}; give the folder itself, or another one"
        )
    if folder.exists() and not folder.is_dir():
        raise OutputExists(f"{folder} is a file; give another folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not force:
        raise OutputExists(
            f"{folder} exists already; give another folder, or `force=True` to replace it"
        )
    if not is_ours(folder):
        raise OutputExists(
            f"{folder} holds files but no result (no {MARKER}, which early versions did not "
            "write), and `force` only replaces results; give another folder, or delete this one "
            "yourself"
        )


@contextmanager
def whole_folder(folder: Path, *, force: bool) -> Iterator[Path]:
    """Yield a temporary folder, which replaces ``folder`` when the block ends without an error.

    with whole_folder(Path("out/occlusion"), force=False) as aside:
        (aside / "manifest.json").write_text("{}")
    """
    check_free(folder, force=force)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    except OSError as error:
        raise CannotWrite(f"cannot write {folder}: {error.strerror or error}") from error
    try:
        yield aside
        mark(aside)
        aside.chmod(0o755)
        check_free(folder, force=force)  # another run may have taken the place meanwhile
        _put_in_place(aside, folder)
    except InterpretError:  # some are an OSError, too, and say more
        raise
    except OSError as error:
        raise CannotWrite(f"cannot write {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _put_in_place(aside: Path, folder: Path) -> None:
    if not folder.exists():
        put(aside, folder)
        return
    old = aside.with_name(f"{aside.name}-old")
    folder.replace(old)
    try:
        put(aside, folder)
    finally:  # also if Ctrl-C ends it, before or after the new folder is in its place
        if folder.exists():
            shutil.rmtree(old)
        else:
            old.replace(folder)
