"""Why can a file not be read as weights? What it is instead, and what to do.

Nothing in the file is run or imported: only its first bytes, the names in its archive and the error
of torch are read.
"""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path

from interpret_kit.errors import shortened
from interpret_kit.models.checkpoints.safe_types import plain_types

_HEAD = 512  # bytes
COPY_AGAIN = "copy or download it again"
# First bytes of files that are mistaken for weights, in lower case.
_BEGINNINGS = (
    (b"version https://git-lfs", "is a Git LFS pointer, not the weights; fetch them: git lfs pull"),
    (b"<!doctype html", f"is an HTML page, not the weights behind its link; {COPY_AGAIN}"),
    (b"<html", f"is an HTML page, not the weights behind its link; {COPY_AGAIN}"),
    (b"\x89hdf", "is an HDF5 file (Keras, TensorFlow), not weights of PyTorch"),
    (b"\x93numpy", "is a NumPy array, not named weights of PyTorch"),
    (b"gguf", "is a GGUF file, not weights of PyTorch"),
    (b"\x89png", "is an image, not weights"),
    (b"\xff\xd8\xff", "is an image, not weights"),
    (b"\x1f\x8b", "is compressed (gzip); unpack it, and give the file inside"),
    (b"bzh", "is compressed (bzip2); unpack it, and give the file inside"),
    (b"\xfd7zxz", "is compressed (xz); unpack it, and give the file inside"),
    (b"\x28\xb5\x2f\xfd", "is compressed (zstd); unpack it, and give the file inside"),
    (b"7z\xbc\xaf", "is compressed (7z); unpack it, and give the file inside"),
    (b"rar!", "is compressed (RAR); unpack it, and give the file inside"),
)
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_MAGIC = b"\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"  # first bytes of files of torch before 1.6
_PICKLES = {bytes((128, protocol)) for protocol in range(2, 6)}
_NO_CODE = "contains code, which is never run"


def why_no_weights(path: Path, said: str) -> str:
    """Describe a file that could not be read, as the end of a sentence that begins with its name.

    Args:
        path: the file.
        said: the error message of torch or safetensors.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if not head:
        return f"is empty (0 bytes); {COPY_AGAIN}"
    if zipfile.is_zipfile(path):
        return _of_archive(path, said)
    return _of_beginning(path, head) or _of_pickle(path, head, said)


def _of_beginning(path: Path, head: bytes) -> str:
    for beginning, what in _BEGINNINGS:
        if head.lstrip().lower().startswith(beginning):
            return what
    if head[257:262] == b"ustar":
        return "is a tar archive; unpack it, and give the file inside"
    if path.suffix.lower() in {".onnx", ".tflite", ".pb"}:
        return f"is a network in the format {path.suffix[1:]}, not weights of PyTorch"
    if _is_text(head):
        return f"is a text file, not weights; it begins with {_first_words(head)!r}"
    return ""


def _of_archive(path: Path, said: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error):
        return f"is a damaged or truncated archive; {COPY_AGAIN}"
    last = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in last:
        return (
            "is TorchScript, not weights; in Python, "
            f"ik.Classifier(torch.jit.load({str(path)!r}), size=..., mean=..., std=...)"
        )
    if last & {"archive_format", "serialized_exported_program.json"}:
        return (
            "is an exported program, not weights; in Python, "
            f"ik.Classifier(torch.export.load({str(path)!r}).module(), size=..., mean=..., std=...)"
        )
    if "data.pkl" in last:
        return _of_pickle(path, b"", said)
    if names and all(name.endswith(".npy") for name in names):
        return "is an archive of NumPy arrays (.npz), not weights of PyTorch"
    return f"is a ZIP archive ({shortened(names, most=2)}); unpack it, and give the file inside"


def _of_pickle(path: Path, head: bytes, said: str) -> str:
    """Describe why a pickle is refused: objects that are not plain data, or damaged bytes."""
    found = _refused_types(path, said)
    if any(name.startswith(("torch.nn.modules.", "torch.fx.")) for name in found):
        return (
            f"is a whole network ({found[0]}) and so {_NO_CODE}; where its class can be imported, "
            "save network.state_dict() with torch.save, and give that"
        )
    pythons = not found and head[:2] in _PICKLES and head[4:14] != _MAGIC
    if pythons or found == ["torch.storage._load_from_bytes"]:
        return (
            f"is a plain Python pickle and so {_NO_CODE}; save network.state_dict() with "
            "torch.save, and give that"
        )
    if found:
        return (
            f"{_NO_CODE} ({shortened(found, most=4)}); save its state_dict alone, with "
            "safetensors.torch.save_file or torch.save, and give that"
        )
    return f"is not a file of weights, or it is damaged or truncated; {COPY_AGAIN}"


def _refused_types(path: Path, said: str) -> list[str]:
    from torch.serialization import get_unsafe_globals_in_checkpoint

    named = _GLOBAL.findall(said)
    if not named or not zipfile.is_zipfile(path):
        return named[:1]
    try:
        listed: list[str] = get_unsafe_globals_in_checkpoint(path)
    except Exception:  # damaged bytes make pickle raise almost any error
        listed = []
    return [*named[:1], *(each for each in listed if each not in named and _is_code(each))]


def _is_code(name: str) -> bool:
    """Return whether a type is not one of the safe ones (`plain_types`)."""
    return name not in {each[1] for each in plain_types()}


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # otherwise a character is incomplete
            return False
        text = head[: error.start].decode("utf-8")
    return all(each.isprintable() or each.isspace() for each in text)


def _first_words(head: bytes) -> str:
    return " ".join(head.decode("utf-8", "ignore").split())[:40]
