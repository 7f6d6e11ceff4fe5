"""Are arrays saved piece by piece those of NumPy, and tables made row by row those of a tuple?"""

import mmap
import zipfile

import numpy as np
import pytest

from interpret_kit.analyses.recording import memory
from interpret_kit.analyses.recording.memory import free_memory, memory_argument
from interpret_kit.errors import UsageError, WrongType
from interpret_kit.results import mapped
from interpret_kit.results.table import Streamed, Table, write_csv

ARRAYS = {
    "plain": np.arange(5000, dtype=np.float32).reshape(50, 20, 5),
    "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "empty": np.empty((0, 3), np.int32),
    "no_width": np.empty((3, 0), np.int32),
    "number": np.array(7),
    "flags": np.array([True, False]),
}


def test_arrays_written_in_pieces_are_the_bytes_of_numpy(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "whole.npz", **ARRAYS)
    for piece in (1, 1000, 2**23):
        monkeypatch.setattr(mapped, "PIECE", piece)
        mapped.write_compressed(tmp_path / "pieces.npz", ARRAYS)
        with np.load(tmp_path / "pieces.npz") as found, np.load(tmp_path / "whole.npz") as whole:
            assert list(found) == list(whole)
            for name in found:
                assert found[name].dtype == whole[name].dtype
                assert found[name].shape == whole[name].shape
                assert found[name].tobytes() == whole[name].tobytes()


def test_rows_that_are_made_when_read_are_those_of_a_tuple(tmp_path):
    rows = tuple((i, f"row {i}") for i in range(7))
    made = []

    def make():
        for row in rows:
            made.append(row[0])
            yield row

    streamed = Streamed(7, make)
    assert streamed[2:5] == rows[2:5]
    assert made == [0, 1, 2, 3, 4]
    assert [streamed[i] for i in (0, 6, -1, -7)] == [rows[i] for i in (0, 6, -1, -7)]
    for chosen in (slice(None, None, -1), slice(1, 6, 2), slice(-3, None), slice(9, 12)):
        assert streamed[chosen] == rows[chosen]
    with pytest.raises(IndexError, match="out of range"):
        streamed[7]
    assert streamed == rows
    assert streamed != rows[:6]
    assert len(streamed) == 7
    tables = Table(("i", "name"), streamed), Table(("i", "name"), rows)
    assert tables[0] == tables[1]
    for name, table in zip("ab", tables, strict=True):
        write_csv(table, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(
    ("given", "number"),
    [("4G", 2**32), ("512M", 2**29), ("1.5k", 1536), ("2 GiB", 2**31), (" 7TB ", 7 * 2**40),
     ("100", 100), (np.int64(9), 9), (None, None)],
)  # fmt: skip
def test_memory_is_given_in_bytes_or_with_a_unit(given, number):
    assert memory_argument(given, "memory") == number


@pytest.mark.parametrize("given", ["", "much", "4X", "-1G", "0", 0, -5, "G", "9" * 400])
def test_what_is_not_a_size_is_refused(given):
    with pytest.raises(UsageError, match=r"^`memory` is .*; give a size such as 4G or 512M$"):
        memory_argument(given, "memory")


@pytest.mark.parametrize("given", [1.5, True, [4]])
def test_what_is_not_even_text_is_of_the_wrong_type(given):
    with pytest.raises(WrongType, match="give a size such as 4G"):
        memory_argument(given, "memory")


SYSTEM = {
    "/proc/meminfo": "MemTotal:  99 kB\nMemAvailable:  8000 kB\n",
    "/proc/self/cgroup": "12:cpu:/other\n0::/job/7\n",
    "/sys/fs/cgroup/job/7/memory.max": "5000000\n",
    "/sys/fs/cgroup/job/7/memory.stat": "anon 1200000\nfile 3700000\n",
}


@pytest.mark.parametrize(
    ("changed", "free"),
    [
        ({}, 3_800_000),  # the limit less what is used, without the cache of files
        ({"/sys/fs/cgroup/job/7/memory.max": "max\n"}, 8_192_000),
        ({"/proc/meminfo": "MemAvailable: 1000 kB\n"}, 1_024_000),
        ({"/sys/fs/cgroup/job/7/memory.stat": "anon 6000000\n"}, 0),
        ({"/proc/self/cgroup": ""}, 8_192_000),
        # A cluster limits the job, of which this process is one task without a limit of its own.
        ({"/proc/self/cgroup": "0::/job/7/task/0\n"}, 3_800_000),
    ],
)
def test_free_memory_is_within_the_limit_of_the_container(changed, free, monkeypatch):
    files = SYSTEM | changed

    class File:
        def __init__(self, name):
            self.name = name

        def read_text(self, _encoding):
            if self.name not in files:
                raise FileNotFoundError(self.name)
            return files[self.name]

    monkeypatch.setattr(memory, "Path", File)
    assert free_memory() == free


def test_some_memory_is_assumed_where_no_system_tells(monkeypatch):
    monkeypatch.setattr(memory, "_lines", lambda _: [])
    monkeypatch.setattr(memory.os, "sysconf_names", {})
    assert free_memory() == 2**32


def test_pages_that_were_read_of_a_mapped_file_are_dropped(tmp_path, monkeypatch):
    dropped = []

    class Noting(mmap.mmap):
        def madvise(self, advice):
            dropped.append(advice)

    (tmp_path / "a").write_bytes(bytes(40))
    with (tmp_path / "a").open("rb") as file:
        rows = np.frombuffer(Noting(file.fileno(), 0, access=mmap.ACCESS_READ), np.int32)
    monkeypatch.setattr(mapped, "PIECE", 16)
    found = [each["rows"].tolist() for each in mapped.pieces({"rows": rows.reshape(5, 2)})]
    assert found == [[[0, 0], [0, 0]]] * 2 + [[[0, 0]]]
    assert dropped == [mmap.MADV_DONTNEED] * 3


@pytest.mark.parametrize("most", [0, 2**28])
def test_arrays_of_a_large_archive_are_mapped_with_the_same_values(tmp_path, monkeypatch, most):
    monkeypatch.setattr(mapped, "IN_MEMORY", most)
    np.savez_compressed(tmp_path / "a.npz", **ARRAYS)
    with (tmp_path / "a.npz").open("rb") as file:
        found = mapped.read_compressed(file, ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found[name], array)
    assert found["plain"].flags.writeable is bool(most)


@pytest.mark.parametrize("most", [0, 2**28])
def test_damaged_and_hostile_archives_are_errors(tmp_path, monkeypatch, most):
    monkeypatch.setattr(mapped, "IN_MEMORY", most)
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    np.save(tmp_path / "a.npy", np.arange(3))
    with zipfile.ZipFile(tmp_path / "short.npz", "w") as archive:
        archive.writestr("a.npy", (tmp_path / "a.npy").read_bytes()[:-8])
    for name, said in (("objects", "(?i)object"), ("short", "16 bytes|could only read 16|EOF")):
        with (tmp_path / f"{name}.npz").open("rb") as file, pytest.raises(ValueError, match=said):
            mapped.read_compressed(file, ["a"])
