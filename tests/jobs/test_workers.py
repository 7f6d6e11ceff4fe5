"""Does a run that workers share give the bytes of one process, whatever happens to them?"""

import pytest
import torch
from deadly_images import with_deadly
from inline_workers import workers_inline  # noqa: F401 - a fixture
from networks_on_paper import noisy_images, small_classifier
from small_analyses import bytes_of, every_analysis, shards_of_five  # noqa: F401 - a fixture
from torch import nn

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.errors import JobMismatch, NotSupported, UnreadableImage, UsageError, WrongType
from interpret_kit.jobs.schedule import Part
from interpret_kit.models.classifier import Classifier


@every_analysis
def test_the_bytes_are_those_of_one_process(analysis, classifier, images, inline):
    plain = bytes_of(analysis.run(classifier, images, batch_size=3))
    assert bytes_of(analysis.run(small_classifier(), images, batch_size=3, workers=2)) == plain
    assert [part.shard for part in inline.made[0].parts] == [0, 1, 2, 3]


@pytest.mark.parametrize(("workers", "used"), [(1, 1), (3, 3), (9, 4)])
def test_there_are_no_more_workers_than_shards(classifier, images, inline, workers, used):
    plain = bytes_of(Misclassifications().run(classifier, images))
    assert bytes_of(Misclassifications().run(classifier, images, workers=workers)) == plain
    assert [each.count for each in inline.made] == [used]


def test_an_image_that_ends_its_process_is_named_and_all_others_are_counted(
    classifier, images, inline
):
    analysis = Ablation(layer="all")
    inline.deadly.add(7)
    shared = analysis.run(classifier, images, workers=2)
    assert shared.origin.unreadable == ((7, "it ended the process that analysed it 3 times"),)
    others = analysis.run(classifier, images.only([*range(7), *range(8, 17)]))
    for each in shared.array_fields():
        told, expected = getattr(shared, each.name), getattr(others, each.name)
        if each.name != "confidence_lost":  # other shards, and so other last bits of sums
            assert told.tolist() == expected.tolist(), each.name
    assert shared.total.sum() == 16


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
    assert inline.made[-1].parts == [Part(2, range(10, 15))]
    assert seen == [(12, 17), (17, 17)]
    (job / "shards" / "000000.state").unlink()
    assert bytes_of(analysis.run(classifier, images, job=job, resume=True)) == plain
    assert bytes_of(analysis.run(classifier, images, job=job, resume=True, workers=2)) == plain
    assert len(inline.made) == 2  # nothing was left to count


def test_a_strict_run_stops_at_an_image_that_ends_its_process(classifier, images, inline):
    inline.deadly.add(7)
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

    begun = Misclassifications.begin
    with pytest.MonkeyPatch.context() as patch:
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
    with pytest.raises(JobMismatch, match="batch_size was 32, but is now 4"):
        TopPatches().run(
            classifier, images, job=tmp_path / "job", resume=True, workers=2, batch_size=4
        )


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        (
            "2",
            WrongType,
            r"`workers` is '2'; give a number of processes, as in `workers=2`, or .*Ray",
        ),
        (True, WrongType, "`workers` is True; give a number"),
        (1.5, WrongType, r"`workers` is 1\.5; give a number"),
        (-1, UsageError, "`workers` is -1; it must be at least 0"),
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
