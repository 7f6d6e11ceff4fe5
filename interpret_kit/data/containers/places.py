"""Which tar or Parquet files are meant? One, several, a pattern, a folder of them, or a URL."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from interpret_kit.data.containers.opening import file_system, is_url, reading_remotely
from interpret_kit.data.folders.scanning import holds_images, real
from interpret_kit.data.folders.splits import ORDER, split_in, split_of
from interpret_kit.data.paths import is_there, missing_file
from interpret_kit.errors import NothingThere, NotSupported, UsageError, shortened
from interpret_kit.models.argument_values import at_home

TAR, PARQUET = ".tar", ".parquet"
_CALLED = {TAR: "tar", PARQUET: "Parquet"}
_COMPRESSED = re.compile(r"\.(tar\.\w+|tgz|tbz2?|txz)$", re.IGNORECASE)
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")
_PATTERN, _WILD = re.compile(r"[*?\[{]"), re.compile(r"[*?\[]")
_MOST_FILES = 1_000_000  # that a pattern may stand for


@dataclass(frozen=True)
class ContainerFiles:
    """Files of one kind that contain images, in their order."""

    kind: str  # TAR or PARQUET
    addresses: tuple[str, ...]  # absolute paths, or URLs
    split: str | None = None

    def names(self) -> tuple[str, ...]:
        """Return what the files are called in messages: relative to the folder of all of them."""
        levels = zip(*(each.split("/")[:-1] for each in self.addresses), strict=False)
        common = sum(1 for _ in itertools.takewhile(lambda level: len(set(level)) == 1, levels))
        return tuple(_path_of("/".join(each.split("/")[common:])) for each in self.addresses)


def kind_of_container(address: str) -> str | None:
    """Return TAR or PARQUET by the suffix of a path, a pattern or a URL; None for others.

    Raises:
        NotSupported: it is a compressed tar file.
    """
    path = _path_of(address)
    if _COMPRESSED.search(path):
        raise NotSupported(
            f"{address} is compressed, so its images cannot be read one by one; decompress it, and "
            "give the .tar file"
        )
    return next((each for each in _CALLED if path.lower().endswith(each)), None)


def container_files(paths: Sequence[str | Path], split: str | None) -> ContainerFiles | None:
    """Find the tar or Parquet files that are meant; None if none of the paths is of their kind.

    Raises:
        NothingThere: a file is missing, or there is no such split.
        NotSupported: they are compressed.
        UsageError: there are files of several kinds.
    """
    given = [_in_full(each) for each in paths]
    if len(given) == 1 and _may_be_folder(given[0]):
        found, files = _of_split(list(_in_folder(given[0])), split, given[0])
    elif any(map(kind_of_container, given)):
        other = next((each for each in given if kind_of_container(each) is None), None)
        if other is not None:
            raise UsageError(f"{other} is not a tar or Parquet file, as others are; give one kind")
        files = [each for pattern in given for each in _expanded(pattern)]
        found, files = (None, files) if split is None else _of_split(files, split, "")
    else:
        return None
    kinds = Counter(map(kind_of_container, files))
    if len(kinds) > 1:
        number = " and ".join(f"{count} {_CALLED[str(kind)]}" for kind, count in kinds.items())
        raise UsageError(f"there are {number} files; give those of one kind, as in '*{TAR}'")
    kind = next(iter(kinds), None)
    return None if kind is None else ContainerFiles(kind, tuple(files), found)


def _in_full(path: str | Path) -> str:
    text = os.fspath(path)
    return text if is_url(text) else at_home(path).absolute().as_posix()


def _path_of(address: str) -> str:
    """Return the path in a URL, without what follows "?"."""
    return urlsplit(address).path if is_url(address) and "?" in address else address


def _may_be_folder(address: str) -> bool:
    """Return whether this is a folder without images, or a URL that may be a folder."""
    if is_url(address):
        plain = not PurePosixPath(_path_of(address)).suffix and not _PATTERN.search(address)
        return plain and not address.startswith(("http://", "https://"))
    path = Path(address)
    return is_there(path) and path.is_dir() and not holds_images(path, real(path))


def _in_folder(folder: str) -> Iterator[str]:
    """Yield the tar and Parquet files in a folder and those below, sorted in each."""
    if is_url(folder):
        yield from _in_remote_folder(folder)
        return
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            if not name.startswith(".") and name.lower().endswith(tuple(_CALLED)):
                yield Path(place, name).as_posix()


def _in_remote_folder(url: str) -> Iterator[str]:
    with reading_remotely(url):
        system, path = file_system(url)
        there = sorted(system.find(path)) if system.isdir(path) else []
    for each in there:
        if each.lower().endswith(tuple(_CALLED)):
            yield str(system.unstrip_protocol(each))


def _expanded(pattern: str) -> Iterator[str]:
    """Yield the files that a path, a pattern or a URL stands for.

    Raises:
        NothingThere: a file is missing, or none matches.
    """
    for each in [pattern] if _exists(pattern) else _without_braces(pattern):
        if _exists(each) or not _WILD.search(_path_of(each)):
            yield _there(each)
            continue
        matching = _matching(each)
        if not matching:
            raise NothingThere(f"no file matches {each!r}; give a file, or a folder of them")
        yield from matching


def _exists(address: str) -> bool:
    return not is_url(address) and is_there(Path(address))


def _there(address: str) -> str:
    if is_url(address):  # whether it is there is seen when it is opened
        return address
    path = Path(address)
    if not is_there(path):
        raise missing_file(path)
    if path.is_dir():
        raise UsageError(f"{path} is a folder; give the files, or one folder without that suffix")
    return address


def _matching(pattern: str) -> list[str]:
    if not is_url(pattern):
        root = Path(Path(pattern).anchor)
        inside = Path(pattern).relative_to(root).as_posix()
        return sorted(each.as_posix() for each in root.glob(inside))
    with reading_remotely(pattern):
        system, path = file_system(pattern)
        return [str(system.unstrip_protocol(each)) for each in sorted(system.glob(path))]


def _without_braces(pattern: str) -> Iterator[str]:
    """Expand {000..099} and {a,b}, as a shell does; other braces stay."""
    parts: list[list[str]] = []
    for position, text in enumerate(_BRACES.split(pattern)):
        parts.append(_alternatives(text) if position % 2 else [text])
    number = 1
    for each in parts:
        number *= len(each)
    if number > _MOST_FILES:
        raise UsageError(f"{pattern} stands for {number} files; give at most {_MOST_FILES}")
    return ("".join(each) for each in itertools.product(*parts))


def _alternatives(inside: str) -> list[str]:
    found = _RANGE.fullmatch(inside)
    if found is None:
        return inside.split(",") if "," in inside else [f"{{{inside}}}"]
    first, last = int(found[1]), int(found[2])
    step = 1 if last >= first else -1
    if abs(last - first) >= _MOST_FILES:
        raise UsageError(f"{{{inside}}} stands for too many files; give at most {_MOST_FILES}")
    padded = any(len(each) > 1 and each[0] == "0" for each in found.groups())
    width = max(map(len, found.groups())) if padded else 0
    return [str(each).zfill(width) for each in range(first, last + step, step)]


def _of_split(
    files: Sequence[str], asked: str | None, folder: str
) -> tuple[str | None, Sequence[str]]:
    """Keep the files of one split, if their names or folders say that they are of several.

    Raises:
        NothingThere: there is no such split.
    """
    by_split: Mapping[str | None, list[str]] = _by_split(files, folder)
    known = [each for each in ORDER if each in by_split]
    if None in by_split or (len(known) < 2 and asked is None):
        if asked is not None:
            raise NothingThere(
                f"no split {asked!r}: {shortened(files, most=1)} and the others are not all named "
                "after splits, as in train-000.tar and val-000.tar; omit `split`"
            )
        return None, files
    chosen = known[0] if asked is None else split_of(asked) or asked
    if chosen not in by_split:
        there = f"no split {asked!r} in {folder or files[0]}; available: {', '.join(known)}"
        raise NothingThere(there)
    return chosen, by_split[chosen]


def _by_split(files: Sequence[str], folder: str) -> Mapping[str | None, list[str]]:
    """Group files by the first split that their folders, or their names, denote."""
    found = defaultdict(list)
    for each in files:
        *inner, name = _path_of(each.removeprefix(folder)).strip("/").split("/")
        split = next(filter(None, map(split_of, inner if folder else [])), None)
        found[split or split_in(name.partition(".")[0])].append(each)
    return found
