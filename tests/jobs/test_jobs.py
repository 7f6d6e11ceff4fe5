"""Does an interrupted run, resumed, give the same bytes as one without interruption?"""

import dataclasses
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from networks_on_paper import noisy_images, small_classifier
from PIL import Image
from small_analyses import bytes_of, every_analysis, shards_of_five  # noqa: F401 - a fixture

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.data.load import load_images
from interpret_kit.errors import (
    CannotWrite,
    JobMismatch,
    OutputExists,
    UnreadableImage,
    UsageError,
)
from interpret_kit.results.lock import alone_in


class Killed(BaseException):
    """Stands for whatever ends a process."""


def run_until(analysis, classifier, images, job, most):
    """Run a job that is killed once more than this many images are done."""

    def progress(done, _total):
        if done > most:
            raise Killed

    with pytest.raises(Killed):
        analysis.run(classifier, images, batch_size=3, job=job, resume=True, progress=progress)


@every_analysis
def test_a_resumed_job_has_the_bytes_of_a_run_without_one(analysis, classifier, images, tmp_path):
    plain = bytes_of(analysis.run(classifier, images, batch_size=3))
    for most in (2, 6, 13):
        run_until(analysis, classifier, images, tmp_path / "job", most)
    kept = {each.name for each in (tmp_path / "job" / "shards").iterdir()}
    assert kept == {"000000.state", "000001.state"}
    resumed = analysis.run(
        small_classifier(), noisy_images(), batch_size=3, job=tmp_path / "job", resume=True
    )
    assert bytes_of(resumed) == plain


@every_analysis
def test_shards_that_are_done_are_not_computed_again(analysis, images, tmp_path):
    classifier = small_classifier()
    whole = analysis.run(classifier, images, job=tmp_path / "job")
    first = min((tmp_path / "job" / "shards").iterdir())
    first.unlink()
    seen = []
    fold_of = type(analysis).begin

    def begin(self, *arguments):
        fold = fold_of(self, *arguments)
        add = fold.add
        fold.add = lambda batch: (seen.extend(batch.ids.tolist()), add(batch))
        return fold

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(analysis), "begin", begin)
        again = analysis.run(classifier, images, job=tmp_path / "job", resume=True)
    assert seen == [0, 1, 2, 3, 4]
    assert bytes_of(again) == bytes_of(whole)


@every_analysis
def test_a_damaged_shard_is_computed_again(analysis, classifier, images, tmp_path, caplog):
    whole = analysis.run(classifier, images, job=tmp_path / "job")
    files = sorted((tmp_path / "job" / "shards").iterdir())
    content = bytearray(files[1].read_bytes())
    content[len(content) // 2] ^= 1
    files[1].write_bytes(content)
    files[2].write_bytes(files[2].read_bytes()[:-9])
    files[3].write_bytes(b"")
    again = analysis.run(classifier, images, job=tmp_path / "job", resume=True)
    assert bytes_of(again) == bytes_of(whole)
    assert [each for each in caplog.messages if "computed again" in each] == [
        f"{file} is damaged, or of another job: the shard is computed again" for file in files[1:]
    ]


@every_analysis
def test_the_state_of_a_fold_is_arrays_that_restore_it(analysis, classifier, images):
    from interpret_kit.analyses.progress import RunProgress
    from interpret_kit.models.probing.evaluation import evaluating

    with evaluating(classifier):
        fold = analysis.begin(classifier, images, RunProgress(5, 17))
        fresh = fold.empty().state()
        for batch in images.read(classifier.preprocessing, 5):
            fold.add(batch)
    state = fold.tally.state()
    other = fold.empty()
    other.restore(state)
    back = other.state()
    assert back.keys() == state.keys()
    for name, array in state.items():
        assert not array.dtype.hasobject
        np.testing.assert_array_equal(back[name], array)
    other.restore(fresh)  # of nothing seen
    assert other.state().keys() == fresh.keys()


def test_float_sums_are_made_shard_by_shard_in_order():
    # 1e16 + 1 is 1e16 in float64, and 1 + 1 is 2: the grouping shows.
    from interpret_kit.analyses.counting.tally import Sums

    shards = [[1e16], [1.0, 1.0]]
    total = Sums(1, np.float64)
    for shard in shards:
        part = Sums(1, np.float64)
        for value in shard:
            part.values += value
        total.merge(part)
    assert total.values[0] == 1e16 + 2
    assert ((1e16 + 1) + 1) != 1e16 + 2


CHANGED = {
    "weights": lambda c, i, a: (other_weights(c), i, a, {}),
    "labels or contents": lambda c, i, a: (c, dataclasses.replace(i, labels=4 - i.labels), a, {}),
    "there were 17 images, but there are now 16": lambda c, i, a: (c, i.take(16), a, {}),
    "top was 3, but is now 4": lambda c, i, a: (c, i, dataclasses.replace(a, top=4), {}),
    "batch_size was 32, but is now 7": lambda c, i, a: (c, i, a, {"batch_size": 7}),
    "it is a top_patches job, but this is ablation": lambda c, i, _: (c, i, Ablation(), {}),
}


def other_weights(classifier):
    with torch.no_grad():
        classifier.network.head.bias[0] += 1
    return classifier


@pytest.mark.parametrize("reason", CHANGED)
def test_a_job_of_something_else_is_not_resumed(reason, classifier, images, tmp_path):
    analysis = TopPatches(layer="all", top=3)
    analysis.run(classifier, images, job=tmp_path / "job")
    kept = {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()}
    classifier, images, analysis, settings = CHANGED[reason](classifier, images, analysis)
    with pytest.raises(JobMismatch, match=rf"cannot resume .*job: .*{reason}"):
        analysis.run(classifier, images, job=tmp_path / "job", resume=True, **settings)
    assert {each: each.read_bytes() for each in tmp_path.rglob("*") if each.is_file()} == kept


def test_a_job_of_another_version_is_not_resumed(classifier, images, tmp_path):
    TopPatches().run(classifier, images, job=tmp_path / "job")
    file = tmp_path / "job" / "job.json"
    record = json.loads(file.read_text())
    record["versions"]["torch"] = "1.0"
    file.write_text(json.dumps(record))
    with pytest.raises(JobMismatch, match=r"torch was 1\.0, but is now "):
        TopPatches().run(classifier, images, job=tmp_path / "job", resume=True)
    for damage in ("", "[]", "{}", '{"format": 1}', json.dumps({**record, "fields": 3})):
        file.write_text(damage)
        with pytest.raises(OutputExists, match=r"job\.json cannot be read"):
            TopPatches().run(classifier, images, job=tmp_path / "job", resume=True)


def test_a_job_folder_is_refused_before_anything_is_computed(classifier, images, tmp_path):
    def no_forward(*_):
        raise AssertionError("computed")

    TopPatches().run(classifier, images, job=tmp_path / "job")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    classifier.network.forward = no_forward
    with pytest.raises(OutputExists, match="already holds a job; resume it with `resume=True`"):
        TopPatches().run(classifier, images, job=tmp_path / "job")
    with pytest.raises(OutputExists, match="holds files but no job"):
        TopPatches().run(classifier, images, job=tmp_path / "other", resume=True)
    with pytest.raises(OutputExists, match="is a file; give a folder"):
        TopPatches().run(classifier, images, job=tmp_path / "file")
    with pytest.raises(UsageError, match="no job to resume: give its folder as `job`"):
        TopPatches().run(classifier, images, resume=True)
    for job in ("", 3, "a\0b"):
        with pytest.raises(UsageError, match="give a folder, such as jobs/mine"):
            TopPatches().run(classifier, images, job=job)


def test_a_job_at_which_another_process_is_at_work_is_refused(classifier, images, tmp_path):
    TopPatches().run(classifier, images, job=tmp_path / "job")
    with (
        alone_in(tmp_path / "job"),
        pytest.raises(OutputExists, match=r"process \d+ .*is writing to .*use another job folder"),
    ):
        TopPatches().run(classifier, images, job=tmp_path / "job", resume=True)


def test_a_full_disk_is_reported_in_a_sentence_and_keeps_what_was_done(
    classifier, images, tmp_path, monkeypatch
):
    plain = bytes_of(TopPatches().run(classifier, images))
    write = os.fsync
    synced = []

    def full(descriptor):
        synced.append(descriptor)
        if len(synced) > 5:
            raise OSError(28, "No space left on device")
        write(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CannotWrite, match="No space left on device; what was computed before"):
        TopPatches().run(classifier, images, job=tmp_path / "job")
    monkeypatch.setattr(os, "fsync", write)
    resumed = TopPatches().run(classifier, images, job=tmp_path / "job", resume=True)
    assert bytes_of(resumed) == plain


def test_files_that_could_not_be_read_are_remembered(classifier, images, tmp_path):
    for i, image in enumerate(images.uint8_images(range(12), classifier.preprocessing)):
        file = tmp_path / "photos" / ("ant" if i < 8 else "eel") / f"{i:02d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    for broken in range(5):  # a whole shard, and one of the next
        (tmp_path / "photos" / "ant" / f"{broken:02d}.png").write_text("no image")
    (tmp_path / "photos" / "ant" / "06.png").write_text("no image")
    photos = load_images(tmp_path / "photos")
    analysis = Misclassifications(mistakes=2)
    plain = analysis.run(classifier, photos)
    assert [image for image, _ in plain.origin.unreadable] == [0, 1, 2, 3, 4, 6]
    assert plain.confusion.sum() == 6
    run_until(analysis, classifier, photos, tmp_path / "job", 2)
    with pytest.raises(UnreadableImage, match=r"ant/00\.png"):
        analysis.run(
            classifier, photos, batch_size=3, job=tmp_path / "job", resume=True, strict=True
        )
    resumed = analysis.run(classifier, photos, batch_size=3, job=tmp_path / "job", resume=True)
    assert resumed.origin == plain.origin


# For each number: a process that is killed in its n-th write.
KILLED = textwrap.dedent(
    """
    import os, signal, sys
    sys.path.insert(0, sys.argv[1])
    import torch
    torch.set_num_threads(1)
    from networks_on_paper import noisy_images, small_classifier
    from interpret_kit.analyses.ablation import Ablation

    Ablation.shard = 5
    writes = 0
    replace = os.fsync

    def dies(descriptor):
        global writes
        writes += 1
        if writes == at:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(descriptor)

    os.fsync = dies
    for at in map(int, sys.argv[3:]):
        if (process := os.fork()) == 0:
            Ablation(layer="all").run(
                small_classifier(), noisy_images(), job=sys.argv[2], resume=True
            )
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL
    """
)


def test_killed_between_any_two_writes_and_resumed_gives_the_same_bytes(
    classifier, images, tmp_path
):
    """Writes are of file and folder, of the job and of each shard; three of them kill."""
    analysis = Ablation(layer="all")
    plain = bytes_of(analysis.run(classifier, images))
    support = str(Path(__file__).parent.parent / "support")
    command = [sys.executable, "-c", KILLED, support, str(tmp_path / "job"), "1", "4", "3"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    resumed = analysis.run(classifier, images, job=tmp_path / "job", resume=True)
    assert bytes_of(resumed) == plain
