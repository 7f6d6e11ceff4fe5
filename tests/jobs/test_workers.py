"""Does a run that workers share give the bytes of one process, whatever happens to them?"""

import contextlib
import pickle
from concurrent.futures import Future

import pytest
import torch
from deadly_images import with_deadly
from networks_on_paper import noisy_images, small_classifier
from small_analyses import bytes_of, every_analysis, shards_of_five  # noqa: F401 - a fixture
from torch import nn

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.counting import workers as counting_workers
from interpret_kit.analyses.counting.work import ENDS
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.errors import JobMismatch, NotSupported, UnreadableImage, UsageError, WrongType
from interpret_kit.jobs.schedule import Part
from interpret_kit.models.classifier import Classifier


class Died(Exception):
    """Stands for the death of a worker."""


class Inline:
    """Workers in this process that are sent the work as others are, and take shards in turn."""

    died, deaths = (Died,), 1

    def __init__(self, work, count, deadly=()):
        self.sent, self.count, self.deadly = pickle.dumps(work), count, set(deadly)
        self.parts = []

    def start(self, worker):
        self.begun = getattr(self, "begun", {})
        return self._future(lambda: self.begun.update({worker: self._begin(worker)}))

    def _begin(self, worker):
        return pickle.loads(self.sent).begin(worker)

    def submit(self, worker, part):
        self.parts.append(part)
        return self._future(lambda: self._counted(worker, part))

    def _counted(self, worker, part):
        if self.deadly & {*part.images} - part.without:
            raise Died
        return self.begun[worker](part)

    def _future(self, call):
        future = Future()
        try:
            future.set_result(call())
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def inline(monkeypatch):
    """Workers in this process instead of others, which start in a moment; those that were made."""
    made = []
    deadly = []

    def crew(work, where, most):
        made.append(Inline(work, min(where, most), deadly))
        return contextlib.nullcontext(made[-1])

    monkeypatch.setattr(counting_workers, "_crew", crew)
    made_and_deadly = type("Made", (), {"workers": made, "deadly": deadly})
    return made_and_deadly


@every_analysis
def test_the_bytes_are_those_of_one_process(analysis, classifier, images, inline):
    plain = bytes_of(analysis.run(classifier, images, batch_size=3))
    for count in (1, 2, 9):
        shared = analysis.run(small_classifier(), images, batch_size=3, workers=count)
        assert bytes_of(shared) == plain
    assert [each.count for each in inline.workers] == [1, 2, 4]  # there are four shards


@every_analysis
def test_an_image_that_ends_its_process_is_named_and_all_others_are_counted(
    analysis, classifier, images, inline
):
    inline.deadly.append(7)
    shared = analysis.run(classifier, images, batch_size=3, workers=2)
    assert shared.origin.unreadable == ((7, ENDS),)
    assert ENDS == "it ended the process that analysed it 3 times"
    inline.deadly.clear()
    others = analysis.run(classifier, images.only([*range(7), *range(8, 17)]), batch_size=3)
    counts = [name for name in ("total", "ids", "images") if hasattr(shared, name)]
    for name in counts:  # shards differ, and so the last bits of sums may
        assert getattr(shared, name).tolist() == getattr(others, name).tolist()


def test_a_job_is_resumed_by_workers_and_by_one_process(classifier, images, tmp_path, inline):
    analysis = Ablation(layer="all")
    plain = bytes_of(analysis.run(classifier, images))
    job = tmp_path / "job"
    analysis.run(classifier, images, job=job, workers=2)
    (job / "shards" / "000002.state").unlink()
    seen = []
    again = analysis.run(
        classifier, images, job=job, resume=True, workers=3, progress=lambda *at: seen.append(at)
    )
    assert bytes_of(again) == plain
    assert inline.workers[-1].parts == [Part(2, range(10, 15))]
    assert seen == [(12, 17), (17, 17)]
    (job / "shards" / "000000.state").unlink()
    assert bytes_of(analysis.run(classifier, images, job=job, resume=True)) == plain
    assert bytes_of(analysis.run(classifier, images, job=job, resume=True, workers=2)) == plain
    assert len(inline.workers) == 2  # nothing was left to count


def test_a_strict_run_stops_at_an_image_that_ends_its_process(classifier, images, inline):
    inline.deadly.append(7)
    with pytest.raises(UnreadableImage, match="cannot read image 7: it ended the process that"):
        TopPatches().run(classifier, images, workers=2, strict=True)


def test_two_processes_of_which_one_is_killed_give_the_same_bytes(tmp_path):
    """The one test here with processes of its own, which import torch."""
    analysis = Occlusion(window=(5, 4), stride=3, fill="mean")
    images = with_deadly(noisy_images(), 12, once=tmp_path / "died")
    plain = bytes_of(analysis.run(small_classifier(), images))
    assert bytes_of(analysis.run(small_classifier(), images, workers=2)) == plain
    assert (tmp_path / "died").exists()


def test_a_job_keeps_its_number_of_threads_however_it_is_resumed(
    classifier, images, tmp_path, inline
):
    """They decide the last bits: two workers have one thread each of four, or as many as before."""
    used = []

    def begin(self, *arguments):
        used.append(torch.get_num_threads())
        return begun(self, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        begun = Misclassifications.begin
        patch.setattr(Misclassifications, "begin", begin)
        torch.set_num_threads(4)
        try:
            Misclassifications().run(classifier, images, job=tmp_path / "job", workers=3)
            Misclassifications().run(classifier, images, job=tmp_path / "job", resume=True)
            Misclassifications().run(classifier, images, workers=2)
            assert torch.get_num_threads() == 4
        finally:
            torch.set_num_threads(1)
    assert used == [1, 1, 1, 1, 1, 2, 2, 2]  # here and in each worker


def test_another_batch_size_is_still_refused(classifier, images, tmp_path, inline):
    TopPatches().run(classifier, images, job=tmp_path / "job", workers=2)
    with pytest.raises(JobMismatch, match="batch_size was 32, and is 4"):
        TopPatches().run(
            classifier, images, job=tmp_path / "job", resume=True, workers=2, batch_size=4
        )


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ("2", WrongType, r"workers is '2'; give a number of processes, as in workers=2, or .*Ray"),
        (True, WrongType, "workers is True; give a number"),
        (1.5, WrongType, r"workers is 1\.5; give a number"),
        (-1, UsageError, "workers is -1; it must be at least 0"),
    ],
)
def test_other_workers_are_refused_in_a_sentence(classifier, images, given, error, told):
    with pytest.raises(error, match=told):
        TopPatches().run(classifier, images, workers=given)


def test_a_network_that_cannot_be_sent_is_refused_in_a_sentence(images):
    class Local(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_classifier().network

        def forward(self, pixels):
            return self.inner(pixels)

    local = Classifier(Local(), size=(12, 10), mean=(0.5,) * 3, std=(0.5,) * 3)
    with pytest.raises(NotSupported, match=r"cannot be sent to other processes \(.*Local.*\); def"):
        TopPatches(layer="inner.conv1").run(local, images, workers=2)
