"""How are named arrays saved so that reading them detects a damaged or misplaced file?

The rest of the file after its first line is an uncompressed .npz archive. The first line is a
SHA-256 of the archive and of its owner: the file of another job, or of another shard, is refused.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from interpret_kit.data.decoding.regular_files import open_regular
from interpret_kit.errors import RunError
from interpret_kit.results.atomic import write_whole

Array = NDArray[Any]
_DIGEST = 64  # hexadecimal digits


class DamagedState(RunError):
    """A file that is not what was written."""


def write_state(file: Path, state: Mapping[str, Array], of: str) -> None:
    """Write the arrays as one file, whole or not at all.

    Args:
        file: where to.
        state: arrays by name.
        of: their owner, which must be given again to read them.

    Raises:
        OSError: if there is no space or no permission.
    """
    archive = io.BytesIO()
    np.savez(archive, **state)  # type: ignore[arg-type]
    payload = archive.getvalue()
    write_whole(file, _digest(of, payload) + b"\n" + payload)


def read_state(file: Path, of: str) -> dict[str, Array]:
    """Read what `write_state` has written.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedState: it was changed or cut, belongs to something else, or cannot be read.
    """
    try:
        with open_regular(file) as opened:
            content = opened.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DamagedState(f"{file} cannot be read ({error.strerror or error})") from error
    digest, payload = content[:_DIGEST], content[_DIGEST + 1 :]
    if digest != _digest(of, payload):
        raise DamagedState(f"{file} is damaged, or of another job")
    with np.load(io.BytesIO(payload), allow_pickle=False) as archive:
        return dict(archive)


def _digest(of: str, payload: bytes) -> bytes:
    digest = hashlib.sha256(f"{of}\n".encode())
    digest.update(payload)
    return digest.hexdigest().encode()
