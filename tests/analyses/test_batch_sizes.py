"""Does a run continue with smaller batches when memory runs out, and find a fast batch size?"""

import pytest
import torch
from networks_on_paper import CLASSES, noisy_images, small_classifier
from small_analyses import SMALL, bytes_of, shards_of_five  # noqa: F401 - a fixture
from torch import nn

from interpret_kit.analyses import batch_sizes
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.errors import JobMismatch, RunError, UsageError, WrongType
from interpret_kit.models.classifier import Classifier

ON_A_GPU = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore.")
OF_A_LIBRARY = RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")
ON_THE_CPU = RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")


class Full(nn.Module):
    """A network for which memory suffices for a number of images."""

    def __init__(self, error=ON_A_GPU):
        super().__init__()
        self.inner, self.room, self.error = small_classifier().network, [99], error

    def forward(self, pixels):
        if len(pixels) > self.room[0]:
            raise self.error
        return self.inner(pixels)


@pytest.fixture
def full():
    def make(room, error=ON_A_GPU):
        network = Full(error)
        scale = {"mean": (0.3, 0.4, 0.5), "std": (0.2, 0.25, 0.3)}
        classifier = Classifier(network, size=(12, 10), **scale, classes=CLASSES)
        _ = classifier.examined
        network.room[0] = room
        return classifier

    return make


def said(caplog):
    """The messages, without those of torch."""
    return [each.getMessage() for each in caplog.records if each.name == batch_sizes.__name__]


RUN_HERE = [each for each in SMALL if each.name not in {"activations", "top_patches"}]
"""Without those that name or trace layers: what halves the batch is the same for all."""


@pytest.mark.parametrize("analysis", RUN_HERE, ids=lambda each: each.name)
def test_the_batch_is_halved_until_it_fits_and_the_result_is_that_of_such_batches(
    analysis, full, caplog
):
    images, seen = noisy_images(), []
    plain = analysis.run(full(99), images, batch_size=2, engine="full")
    classifier = full(2)
    small = analysis.run(
        classifier, images, batch_size=8, engine="full", progress=lambda *at: seen.append(at)
    )
    assert bytes_of(small) == bytes_of(plain)
    assert seen[-1] == (17, 17)
    assert max(done for done, _ in seen) == 17
    # Shards of five images: a batch of 5 does not fit, nor does one of 4.
    assert said(caplog) == [
        "out of memory with 8 images per forward pass: continuing with 4",
        "out of memory with 4 images per forward pass: continuing with 2",
    ]


@pytest.mark.parametrize(
    "error",
    [MemoryError(), ON_THE_CPU, ON_A_GPU, OF_A_LIBRARY],
    ids=["", "cpu", "gpu", "library"],
)
def test_memory_of_any_device_may_run_out(error, full, caplog):
    plain = Misclassifications().run(full(99), noisy_images(), batch_size=2)
    again = Misclassifications().run(full(3, error), noisy_images(), batch_size=4)
    assert bytes_of(again) == bytes_of(plain)
    assert said(caplog) == ["out of memory with 4 images per forward pass: continuing with 2"]


def test_no_room_for_one_image_is_an_error_in_a_sentence(full):
    told = r"not enough memory for one image \(CUDA out of memory\. .* 2\.00 GiB\); use another dev"
    with pytest.raises(RunError, match=told):
        Misclassifications().run(full(0), noisy_images(), batch_size=4)


def test_other_errors_of_the_network_are_passed_on(full):
    error = RuntimeError("no such kernel")
    with pytest.raises(RuntimeError, match="no such kernel") as found:
        Misclassifications().run(full(3, error), noisy_images(), batch_size=4)
    assert found.value is error


def test_a_job_whose_batch_was_halved_is_resumed_with_the_size_that_was_given(full, tmp_path):
    images, job = noisy_images(), tmp_path / "job"
    first = Misclassifications().run(full(2), images, batch_size=4, job=job)
    (job / "shards" / "000001.state").unlink()
    again = Misclassifications().run(full(2), images, batch_size=4, job=job, resume=True)
    assert bytes_of(again) == bytes_of(first)


@pytest.mark.parametrize(
    ("seconds", "most", "found"),
    [
        ({4: 4, 8: 6, 16: 11.5}, 99, 8),  # 1, 0.75 and 0.72 s per image
        ({4: 4, 8: 7.7}, 99, 4),  # 0.9625 s
        ({4: 4, 8: 4, 16: 4, 32: 4}, 20, 16),
        ({4: 4, 8: ON_A_GPU}, 99, 4),
        ({4: ON_THE_CPU}, 99, 1),
        ({3: 3}, 3, 3),
    ],
)
def test_the_batch_is_doubled_until_that_does_not_pay(seconds, most, found, monkeypatch):
    def measured(_classifier, size):
        if isinstance(seconds[size], Exception):
            raise seconds[size]
        return seconds[size]

    monkeypatch.setattr(batch_sizes, "_seconds", measured)
    assert batch_sizes.fastest_batch(small_classifier(), most) == found


def test_no_larger_batch_is_tried_than_there_is_memory_for(monkeypatch):
    monkeypatch.setattr(batch_sizes, "_seconds", lambda _, size: 1.0)
    room = 8 * 3 * 12 * 10 * 4 * batch_sizes.MAPS  # bytes of 8 images
    monkeypatch.setattr(batch_sizes, "free_memory", lambda: room)
    assert batch_sizes.fastest_batch(small_classifier(), 99) == 8


def test_an_automatic_batch_size_is_kept_by_the_job(classifier, images, tmp_path, monkeypatch):
    job = tmp_path / "job"
    monkeypatch.setattr(batch_sizes, "_seconds", lambda _, size: 1.0 if size < 5 else 9.0)
    first = Misclassifications().run(classifier, images, batch_size="auto", job=job)
    monkeypatch.setattr(batch_sizes, "_seconds", lambda *_: pytest.fail("tried again"))
    again = Misclassifications().run(classifier, images, batch_size="auto", job=job, resume=True)
    assert bytes_of(again) == bytes_of(first)
    with pytest.raises(JobMismatch, match="batch_size was 4, but is now 8"):
        Misclassifications().run(classifier, images, batch_size=8, job=job, resume=True)


@pytest.mark.parametrize(
    ("given", "error", "told"),
    [
        ("large", UsageError, "`batch_size` is 'large'; give an integer of at least 1, or 'auto'"),
        (0, UsageError, "`batch_size` is 0; it must be at least 1"),
        (1.5, WrongType, r"`batch_size` is 1\.5; give an integer"),
    ],
)
def test_other_batch_sizes_are_refused(given, error, told, classifier, images):
    with pytest.raises(error, match=told):
        Misclassifications().run(classifier, images, batch_size=given)
