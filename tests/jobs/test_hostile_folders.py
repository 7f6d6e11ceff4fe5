"""Does a job give the right bytes, or one sentence, whatever happened to its folder meanwhile?"""

import json
import os
import shutil

import pytest
from networks_on_paper import noisy_images, small_classifier
from PIL import Image
from small_analyses import bytes_of, shards_of_five  # noqa: F401 - a fixture

from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.data import sources
from interpret_kit.data.load import load_images
from interpret_kit.errors import CannotWrite, JobMismatch, NothingThere, OutputExists
from interpret_kit.jobs.folder import job_argument
from interpret_kit.jobs.status import status_of
from interpret_kit.results.lock import alone_in

COUNTS = Misclassifications(ablate="2:1,4", mistakes=5)
AGAIN = "is damaged, or of another job: the shard is computed again"


@pytest.fixture
def job(tmp_path):
    """A job of 17 images that is done: shards of 5, 5, 5 and 2."""
    COUNTS.run(small_classifier(), noisy_images(), job=tmp_path / "job")
    return tmp_path / "job"


def shard(job, number):
    return job / "shards" / f"{number:06d}.state"


def resumed(job):
    return bytes_of(COUNTS.run(small_classifier(), noisy_images(), job=job, resume=True))


@pytest.fixture(scope="module")
def whole():
    """The bytes of the same run without a job."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Misclassifications, "shard", 5)
        return bytes_of(COUNTS.run(small_classifier(), noisy_images()))


def test_shards_that_changed_places_are_counted_again(job, whole, caplog):
    kept = shard(job, 0).rename(job / "kept")
    shard(job, 2).rename(shard(job, 0))
    kept.rename(shard(job, 2))
    assert resumed(job) == whole
    assert [each for each in caplog.messages if AGAIN in each] == [
        f"{shard(job, number)} {AGAIN}" for number in (0, 2)
    ]


def test_a_shard_of_another_job_is_counted_again(job, whole, tmp_path, caplog):
    other = small_classifier()
    other.network.head.bias.data[0] += 1
    COUNTS.run(other, noisy_images(), job=tmp_path / "other")
    shutil.copy(shard(tmp_path / "other", 1), shard(job, 1))
    assert resumed(job) == whole
    assert f"{shard(job, 1)} {AGAIN}" in caplog.messages
    # The same job in another folder has the same shards.
    shutil.copytree(job, tmp_path / "copy")
    caplog.clear()
    assert resumed(tmp_path / "copy") == whole
    assert not caplog.messages


@pytest.mark.parametrize("what", ["folder", "pipe", "link to nothing", "link to a device"])
def test_what_takes_the_place_of_a_shard_is_not_read(job, whole, what):
    file = shard(job, 1)
    file.unlink()
    if what == "folder":
        file.mkdir()
        with pytest.raises(CannotWrite, match=r"cannot write to .*job: Is a directory; what was"):
            resumed(job)
        return
    if what == "pipe":
        os.mkfifo(file)
    else:
        file.symlink_to("/dev/zero" if "device" in what else "gone")
    assert resumed(job) == whole
    assert file.is_file()
    assert not file.is_symlink()


def test_nothing_is_written_through_a_link_in_the_folder(job, whole, tmp_path):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    shard(job, 1).unlink()
    (job / "shards" / ".000001.state.part").symlink_to(mine)
    assert resumed(job) == whole
    assert mine.read_text() == "mine"


RECORDS = {
    "count": ["17", 0, -3, 1.5, True, None, 10**30],
    "shard": ["5", 0, -5, None],
    "analysis": [None, 3, ["ablation"]],
    "fields": [[], None],
    "weights": [None, 7],
    "format": [1, "2", None],
    "more": [1],
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_with_other_values_is_refused_in_a_sentence(job, name):
    record = json.loads((job / "job.json").read_text())
    for value in RECORDS[name]:
        (job / "job.json").write_text(json.dumps({**record, name: value}))
        for read in (status_of, resumed):
            with pytest.raises(OutputExists, match=r"job\.json cannot be read: it is damaged, or"):
                read(job)
    (job / "job.json").write_text("[" * 100_000)
    with pytest.raises(OutputExists, match=r"job\.json cannot be read"):
        status_of(job)


@pytest.mark.parametrize("threads", [10**9, -1, "two"])
def test_a_number_of_threads_that_no_machine_has_is_another_job(job, threads):
    record = json.loads((job / "job.json").read_text())
    record["settings"]["threads"] = threads
    (job / "job.json").write_text(json.dumps(record))
    with pytest.raises(JobMismatch, match=f"threads was {threads}, but is now 1"):
        resumed(job)


def test_files_that_are_not_shards_of_the_job_do_not_count(job):
    for name in ("999999.state", "x.state", "00x.state", "²²²²²².state", "000001.part"):
        (job / "shards" / name).write_bytes(b"")
    shard(job, 3).unlink()
    status = status_of(job)
    assert (status.shards_done, status.shards, status.images_done) == (3, 4, 15)


@pytest.mark.parametrize("times", [[9e8, 1e9, 5], [7, 7, 7], [5, 1e9, 9e8]])
def test_a_clock_that_jumps_gives_no_speed_below_zero(job, times):
    for number, time in enumerate(times):
        os.utime(shard(job, number), (time, time))
    shard(job, 3).unlink()
    status = status_of(job)
    assert status.images_per_second is None or status.images_per_second > 0
    assert status.seconds_left is None or status.seconds_left > 0


def test_a_pause_does_not_count_for_the_speed(job):
    for number, time in enumerate([100, 102, 1e9, 1e9 + 2]):
        os.utime(shard(job, number), (time, time))
    assert status_of(job).images_per_second == 2.5


def test_a_second_process_is_refused_before_it_reads_an_image(job, photos, monkeypatch):
    def no_reading(_path):
        raise AssertionError("an image was read")

    monkeypatch.setattr(sources, "read_file", no_reading)
    with alone_in(job), pytest.raises(OutputExists, match=r"is writing to .*use another job"):
        COUNTS.run(small_classifier(), photos, job=job, resume=True)


def test_a_folder_that_is_removed_in_the_middle_is_one_sentence(tmp_path):
    def remove(_done, _total):
        shutil.rmtree(tmp_path / "job", ignore_errors=True)

    with pytest.raises(CannotWrite, match=r"cannot write to .*job: No such file or directory; w"):
        COUNTS.run(small_classifier(), noisy_images(), job=tmp_path / "job", progress=remove)


def test_a_home_that_does_not_exist_is_named():
    with pytest.raises(NothingThere, match="no home folder for '~nobody-here/job'"):
        job_argument("~nobody-here/job", resume=False)


# --- images that change while a job runs, or is paused ---


@pytest.fixture
def photos(tmp_path):
    """Twelve images in files: shards of 5, 5 and 2."""
    pixels = noisy_images().uint8_images(range(12), small_classifier().preprocessing)
    for i, image in enumerate(pixels):
        file = tmp_path / "photos" / ("ant" if i < 8 else "eel") / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return tmp_path / "photos"


def test_a_renamed_image_is_another_job(photos, tmp_path):
    COUNTS.run(small_classifier(), photos, job=tmp_path / "job")
    (photos / "ant" / "03.png").rename(photos / "ant" / "03b.png")
    with pytest.raises(JobMismatch, match="the images have changed"):
        COUNTS.run(small_classifier(), photos, job=tmp_path / "job", resume=True)


@pytest.mark.parametrize("change", ["gone", "other"])
def test_an_image_that_was_lost_for_a_while_is_counted_when_the_job_is_resumed(
    photos, tmp_path, change
):
    whole = bytes_of(COUNTS.run(small_classifier(), photos))
    file = photos / "eel" / "11.png"
    content = file.read_bytes()

    def lose(*_):
        if change == "gone":
            file.unlink(missing_ok=True)
        else:
            file.write_bytes((photos / "ant" / "00.png").read_bytes())

    images = load_images(photos)
    without = COUNTS.run(small_classifier(), images, job=tmp_path / "job", progress=lose)
    ((image, why),) = without.origin.unreadable
    assert (image, "during the run" in why) == (11, True)
    file.write_bytes(content)
    again = COUNTS.run(small_classifier(), photos, job=tmp_path / "job", resume=True)
    assert bytes_of(again) == whole
