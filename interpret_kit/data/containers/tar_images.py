"""Which images does a tar file contain, and what are their labels? As WebDataset writes them.

Members with the same name up to the first dot are one sample: an image (000.jpg), and its label
(000.cls, or else 000.json with a ``label`` or ``cls``). Labels are looked up within a tar file, in
whatever order its members are. If a sample has an image with one dot in its name, others, such as
000.seg.png, are not used.
"""

from __future__ import annotations

from typing import NamedTuple

from interpret_kit.data.containers.opening import OpenFiles
from interpret_kit.data.containers.sample_labels import (
    Label,
    NotALabel,
    label_in_cls,
    label_in_json,
)
from interpret_kit.data.containers.tar_headers import (
    BLOCK,
    DamagedTar,
    TarMember,
    compression_of,
    tar_members,
)
from interpret_kit.data.decoding.formats import has_image_suffix, has_unread_suffix
from interpret_kit.data.folders.omitted import Note, Reason
from interpret_kit.errors import ClassMismatch, NotSupported

_Labels = dict[str, dict[str, Label]]  # by suffix, then by the name without it

_READERS = {".cls": label_in_cls, ".json": label_in_json}
_LONGEST_LABEL = 1 << 20  # bytes of a .cls or .json file


class TarImage(NamedTuple):
    """An image in a tar file."""

    name: str
    offset: int  # of its bytes in the tar file
    size: int  # bytes
    label: Label


def tar_images(files: OpenFiles, number: int, name: str, note: Note) -> list[TarImage]:
    """List the images of one tar file, in its order.

    Args:
        files: where to read.
        number: of the tar file among them.
        name: of the tar file, for notes.
        note: is called with what is not used.

    Raises:
        NotSupported: it is compressed.
        ClassMismatch: a sample has two labels.
        UnreadableImage: it cannot be opened.
    """
    images: list[TarMember] = []
    labels: _Labels = {suffix: {} for suffix in _READERS}
    for member in _members(files, number, name, note):
        stem, suffix = _split(member.name)
        said = f"{name}: {member.name}"
        reason = _why_not(member)
        if reason is not None:
            note(reason, said)
        elif suffix not in _READERS:
            images.append(member)
        else:
            label = _label(files, number, member, said, note)
            if labels[suffix].setdefault(stem, label) != label:
                raise ClassMismatch(f"{said} occurs twice, with different labels; keep one")
    plain = {_key(each.name) for each in images if _is_plain(each.name)}
    found = []
    for each in images:
        if _is_plain(each.name) or _key(each.name) not in plain:
            found.append(TarImage(*each[:3], _label_of(each.name, labels)))
        else:
            note(Reason.FURTHER, f"{name}: {each.name}")
    return found


def _members(files: OpenFiles, number: int, name: str, note: Note) -> list[TarMember]:
    """List the members up to the end, or to where the file is damaged, which is noted."""
    head = files.read(number, 0, BLOCK)
    program = compression_of(head)
    if program is not None:
        raise NotSupported(
            f"{name} is compressed with {program}, so its images cannot be read one by one; "
            f"decompress it ({program} -d) and give the .tar file"
        )
    found = []
    try:
        size = files.size(number)
        for member in tar_members(lambda start, count: files.read(number, start, count), size):
            found.append(member)
    except DamagedTar as error:
        note(Reason.DAMAGED, f"{name}, as {error}" if head else f"{name}, as it is empty")
    return found


def _why_not(member: TarMember) -> Reason | None:
    """Return why a member is neither an image nor a label."""
    base = _base(member.name)
    if not member.regular:
        return Reason.SPECIAL
    if base.startswith("._"):  # metadata of macOS
        return Reason.SYSTEM
    if has_image_suffix(base):
        return Reason.HIDDEN if base.startswith(".") else None
    if has_unread_suffix(base):
        return Reason.FORMAT
    return None if _split(base)[1] in _READERS else Reason.OTHER


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _split(name: str) -> tuple[str, str]:
    """Return a name without its last suffix, and that suffix in lower case."""
    stem, dot, suffix = name.rpartition(".")
    return (stem, dot + suffix.lower()) if dot and "/" not in suffix else (name, "")


def _key(name: str) -> str:
    """Return the name of a sample: that of a member up to the first dot, with its folder."""
    folder, slash, base = name.rpartition("/")
    return folder + slash + base.partition(".")[0]


def _is_plain(name: str) -> bool:
    return _base(name).count(".") == 1


def _label(files: OpenFiles, number: int, member: TarMember, said: str, note: Note) -> Label:
    try:
        if member.size > _LONGEST_LABEL:
            raise NotALabel
        content = files.read(number, member.offset, member.size)
        return _READERS[_split(member.name)[1]](content)
    except NotALabel:
        note(Reason.NOT_A_LABEL, said)
        return None


def _label_of(name: str, labels: _Labels) -> Label:
    for stem in (_split(name)[0], _key(name)):
        for of_kind in labels.values():
            if of_kind.get(stem) is not None:
                return of_kind[stem]
    return None
