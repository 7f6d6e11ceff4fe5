"""Are images at URLs read as those on the disk, and does a server that fails stop the run?"""

import io

import fsspec
import pytest
from networks_on_paper import CLASSES, noise, small_classifier
from range_server import serving
from small_analyses import bytes_of, shards_of_five  # noqa: F401 - a fixture
from tar_files import png, samples, tar_bytes

from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.data.containers import opening
from interpret_kit.data.load import load_images
from interpret_kit.errors import NoImages, NothingThere, NotSupported, RunError

COUNTS = Misclassifications(ablate="2:1,4", mistakes=5)


def tars():
    """Seventeen images of noise in three tar files."""
    photos, files = noise(17), {}
    for part in range(3):
        members = []
        for number in range(6 * part, min(6 * part + 6, 17)):
            members.append((f"{number:02}.png", png(photos[number])))
            members.append((f"{number:02}.cls", str(number % 5).encode()))
        files[f"train-{part}.tar"] = tar_bytes(members)
    return {**files, "classes.txt": "\n".join(CLASSES).encode()}


def parquets():
    """The same images in three Parquet files, of which two stay open."""
    pa = pytest.importorskip("pyarrow", reason="needs interpret-kit[data]")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs interpret-kit[data]")
    photos, files = noise(17), {"classes.txt": "\n".join(CLASSES).encode()}
    for part, numbers in enumerate([range(6), range(6, 12), range(12, 17)]):
        held = io.BytesIO()
        columns = {"image": [png(photos[each]) for each in numbers]}
        columns["label"] = [each % 5 for each in numbers]
        parquet.write_table(pa.table(columns), held, row_group_size=4)
        files[f"train-{part}.parquet"] = held.getvalue()
    return files


def spec_of(files, place):
    (suffix,) = {name.rpartition(".")[2] for name in files} - {"txt"}
    return f"{place}/train-{{0..{len(files) - 2}}}.{suffix}"


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(opening, "_PAUSES", (0.0, 0.0))
    monkeypatch.setattr(opening, "_REMOTE_BLOCK", 2048)  # several requests for each file


@pytest.fixture
def http():
    pytest.importorskip("aiohttp", reason="needs interpret-kit[data]")


@pytest.mark.parametrize("kind", [tars, parquets])
def test_the_bytes_are_those_of_the_same_files_on_the_disk(kind, http, tmp_path):
    for name, content in kind().items():
        (tmp_path / name).write_bytes(content)
    arrays, facts, *_ = bytes_of(COUNTS.run(small_classifier(), spec_of(kind(), tmp_path)))
    with serving(kind()) as server:
        spec, job = spec_of(kind(), server.url), tmp_path / "job"
        assert bytes_of(COUNTS.run(small_classifier(), spec))[:2] == (arrays, facts)
        COUNTS.run(small_classifier(), spec, job=job)
        (job / "shards" / "000002.state").unlink()
        resumed = COUNTS.run(small_classifier(), spec, job=job, resume=True)
        assert bytes_of(resumed)[:2] == (arrays, facts)
        assert server.requests > 17  # parts, not whole files


@pytest.mark.parametrize("kind", [tars, parquets])
def test_a_server_that_dies_in_the_middle_stops_the_run_and_the_job_is_resumed(
    kind, http, tmp_path
):
    with serving(kind()) as server:
        spec, job = spec_of(kind(), server.url), tmp_path / "job"
        whole = bytes_of(COUNTS.run(small_classifier(), spec))

        def dies(done, _total):
            if done >= 5:
                server.failing = range(10**9)

        with pytest.raises(RunError, match=r"^http://.*train-.* cannot be read \(.*\); check the"):
            COUNTS.run(small_classifier(), spec, job=job, progress=dies)
        assert 0 < len(list((job / "shards").iterdir())) < 4
        server.failing = range(0)
        resumed = COUNTS.run(small_classifier(), spec, job=job, resume=True)
        assert bytes_of(resumed) == whole
        assert not resumed.origin.unreadable


def test_requests_that_fail_are_sent_again(http):
    with serving(tars()) as server:
        whole = bytes_of(COUNTS.run(small_classifier(), spec_of(tars(), server.url)))
        for first in range(2, server.requests, 9):
            server.requests, server.failing = 0, range(first, first + 2)
            found = bytes_of(COUNTS.run(small_classifier(), spec_of(tars(), server.url)))
            assert found == whole


def test_a_server_of_whole_files_only_is_refused_with_what_to_do(http):
    with serving(tars()) as server:
        server.ranges = False
        with pytest.raises(NotSupported, match=r"does not serve parts of files; download it, and"):
            len(load_images(f"{server.url}/train-0.tar"))


def test_what_is_not_there_or_cannot_be_reached_is_named(http):
    with serving(tars()) as server:
        with pytest.raises(NothingThere, match=r"there is no file http://.*/train-9\.tar$"):
            load_images(f"{server.url}/train-9.tar")
        gone = server.url
    with pytest.raises(RunError, match=r"classes\.txt cannot be read \(Cannot connect to"):
        load_images(f"{gone}/train-0.tar")


def test_a_missing_aiohttp_is_named_with_what_to_install(monkeypatch):
    def without_aiohttp(_url):
        raise ImportError('HTTPFileSystem requires "requests" and "aiohttp" to be installed')

    monkeypatch.setattr(fsspec.core, "url_to_fs", without_aiohttp)
    with pytest.raises(NotSupported, match=r"https:// needs aiohttp; pip install 'interpret-kit\["):
        load_images("https://example.org/x.tar")


# --- any file system of fsspec: one in memory that fails ---


@pytest.fixture
def bucket(monkeypatch):
    """Two tar files and class names, and a list of the errors that the next openings raise."""
    system = fsspec.filesystem("memory")
    for number in range(2):
        system.pipe(f"/urls/train-{number}.tar", tar_bytes(samples([number, 2])))
    system.pipe("/urls/classes.txt", b"ant\nbee\ncat\n")
    errors, open_ = [], type(system).open

    def opened(self, path, *args, **settings):
        if errors and (error := errors.pop(0)) is not None:
            raise error
        return open_(self, path, *args, **settings)

    monkeypatch.setattr(type(system), "open", opened)
    yield errors
    system.rm("/urls", recursive=True)


SPEC = "memory://urls/train-{0..1}.tar"


def test_an_error_that_passes_changes_nothing(bucket):
    bucket += [TimeoutError("slow"), OSError("reset")] * 9
    bucket[2::3] = [None] * 6  # each file is opened at the third attempt
    images = load_images(SPEC)
    assert (len(images), images.labels.tolist()) == (4, [0, 2, 1, 2])
    assert images.classes == ("ant", "bee", "cat")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (OSError("reset by\npeer."), RunError, r"classes\.txt cannot be read \(reset by peer\); c"),
        (TimeoutError(), RunError, r"classes\.txt cannot be read \(TimeoutError\); check the addr"),
    ],
)
def test_class_names_that_cannot_be_read_stop_the_run(bucket, error, kind, said):
    bucket += [error] * 3
    with pytest.raises(kind, match=said):
        load_images(SPEC)


def test_class_names_that_are_not_there_or_hidden_are_none(bucket):
    bucket += [FileNotFoundError("x"), PermissionError("x")]
    assert load_images(SPEC).classes == ()
    bucket += [None, PermissionError("x")]
    with pytest.raises(RunError, match=r"no permission to read memory://urls/train-0\.tar; check"):
        load_images(SPEC)


def test_a_file_that_is_damaged_is_still_named_beside_others(bucket):
    fsspec.filesystem("memory").pipe("/urls/train-0.tar", b"no tar file")
    assert load_images(SPEC).omitted[0].names == ("train-0.tar, as it is not a tar file",)
    fsspec.filesystem("memory").pipe("/urls/train-1.tar", b"")
    with pytest.raises(NoImages, match=r"contains no images .*train-1\.tar, as it is empty"):
        load_images(SPEC)
