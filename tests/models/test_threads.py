"""Can two threads use one classifier?"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch._dynamo
from networks_on_paper import noisy_images, pixels_of, small_classifier
from torch import nn

from interpret_kit import FilterAblation, IncrementalOcclusion
from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.incremental.graph.export import trace
from interpret_kit.incremental.graph.reasons import Untraceable
from interpret_kit.models.probing.evaluation import alone_with, evaluating


def test_two_threads_on_one_classifier_get_the_numbers_of_one(classifier, images):
    analysis = Ablation(layer="all")
    pixels = pixels_of(images, classifier)
    alone = analysis.run(small_classifier(), noisy_images())
    expected = small_classifier()(pixels)
    classifier.network.train()
    started = threading.Barrier(2)
    within = threading.Event()

    def ablate():
        started.wait()
        return analysis.run(classifier, images, batch_size=4, progress=lambda *_: within.set())

    def predict():
        started.wait()
        within.wait()  # in the middle of the ablation, with its hooks and its mode
        return classifier(pixels)

    with ThreadPoolExecutor(2) as pool, torch.no_grad():
        ablating, predicting = pool.submit(ablate), pool.submit(predict)
        result, outputs = ablating.result(60), predicting.result(60)
    assert result.score == alone.score
    assert (result.broken == alone.broken).all()
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-5)
    assert all(each.training for each in classifier.network.modules())
    assert not any(each._forward_hooks for each in classifier.network.modules())


class Meeting:
    """Holds two threads in the middle of a forward pass at the same time, if they can get there.

    The first waits for the second to enter, the second for the first to leave: unless one is kept
    out, the first restores the modes of the network under the second.
    """

    def __init__(self):
        self.entered = {"first": threading.Event(), "second": threading.Event()}
        self.left = threading.Event()

    def __call__(self, *_):
        name = threading.current_thread().name
        if name in self.entered and not self.entered[name].is_set():
            self.entered[name].set()
            awaited = self.entered["second"] if name == "first" else self.left
            awaited.wait(0.3)

    def run(self, name, call):
        threading.current_thread().name = name
        try:
            return call()
        finally:
            if name == "first":
                self.left.set()


CALLS = {
    "analysis": lambda c, x: Misclassifications().run(c, noisy_images()).confusion.tolist(),
    "ablation": lambda c, x: FilterAblation(c, "conv1").attribute(x, target=1).tolist(),
    "occlusion": lambda c, x: (
        IncrementalOcclusion(c.network).attribute(x, (3, 6, 6), (3, 4, 4), target=1).tolist()
    ),
}


@pytest.mark.parametrize(
    ("first", "second"),
    [("analysis", "ablation"), ("ablation", "occlusion"), ("occlusion", "analysis")],
)
def test_calls_of_any_form_wait_for_each_other(first, second):
    pixels = pixels_of(noisy_images(), small_classifier())[:2]
    expected = [CALLS[each](small_classifier(), pixels) for each in (first, second)]
    classifier, meeting = small_classifier(), Meeting()
    classifier.network.train()
    classifier.network.register_forward_pre_hook(meeting)
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(meeting.run, "first", lambda: CALLS[first](classifier, pixels))
        meeting.entered["first"].wait(10)
        other = pool.submit(meeting.run, "second", lambda: CALLS[second](classifier, pixels))
        found = [one.result(60), other.result(60)]
    for mine, right in zip(found, expected, strict=True):
        torch.testing.assert_close(torch.tensor(mine), torch.tensor(right), rtol=1e-4, atol=1e-5)
    assert all(each.training for each in classifier.network.modules())


def test_the_last_of_two_evaluations_lets_networks_run_compiled_again():
    compilations = []

    def backend(graph, _inputs):
        compilations.append(graph)
        return graph.forward

    doubled = torch.compile(lambda x: x * 2, backend=backend)
    begun, entered, left = (threading.Event() for _ in range(3))

    def first():
        with evaluating(small_classifier()):
            begun.set()
            entered.wait(60)
        left.set()

    def second():
        with evaluating(small_classifier()):
            entered.set()
            left.wait(60)
            doubled(torch.ones(2))  # not compiled: it may have hooks
        return len(compilations)

    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(first)
        assert begun.wait(60)
        other = pool.submit(second)
        one.result(60)
        assert other.result(60) == 0
    doubled(torch.ones(2))
    assert len(compilations) == 1


class Waiting(nn.Module):
    """A network that waits in the middle of its forward pass while another thread works."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 2, 3)
        self.reached, self.resume = threading.Event(), threading.Event()

    def forward(self, pixels):
        maps = self.conv(pixels)
        self.reached.set()
        self.resume.wait(60)
        return self.last(maps)


class Around(nn.Module):
    """A network with a part, which may have another name, too: torch.export traces it its way."""

    def __init__(self, part, alias=None):
        super().__init__()
        self.part, self.alias = part, alias

    def forward(self, pixels):
        return self.part(pixels)


class Entering(nn.Module):
    """A module in whose forward pass the trace of a network in another thread continues."""

    def __init__(self, other):
        super().__init__()
        self.other = [other]

    def forward(self, pixels):
        self.other[0].resume.set()
        time.sleep(0.2)  # the other network leaves its part meanwhile
        return pixels + 1


def test_a_network_can_run_while_another_thread_traces_another_one():
    def calls(graph):
        return [(node.op, node.modules) for node in graph.nodes]

    pixels, waiting = torch.ones(1, 3, 8, 8), Waiting()
    traced, other = Around(waiting, waiting.last), Around(Entering(waiting))
    waiting.resume.set()
    expected = calls(trace(traced, pixels))
    waiting.reached.clear()
    waiting.resume.clear()
    with ThreadPoolExecutor(1) as pool:
        tracing = pool.submit(trace, traced, pixels)
        assert waiting.reached.wait(60)
        assert (other(pixels) == 2).all()
        assert calls(tracing.result(60)) == expected


def test_networks_run_uncompiled_also_if_another_thread_traces_one_at_the_start():
    compilations = []

    def backend(graph, _inputs):
        compilations.append(graph)
        return graph.forward

    tripled, traced = torch.compile(lambda x: x * 3, backend=backend), Waiting()
    with ThreadPoolExecutor(1) as pool:
        tracing = pool.submit(trace, traced, torch.ones(1, 3, 8, 8))
        assert traced.reached.wait(60)
        with evaluating(small_classifier()):
            traced.resume.set()
            tracing.result(60)
            tripled(torch.ones(2))  # not compiled: it may have hooks
    assert not compilations


def test_a_trace_does_not_wait_for_a_thread_that_waits_to_trace():
    pixels, inner = torch.ones(1, 3, 8, 8), nn.Conv2d(3, 2, 1)
    reached, held = threading.Event(), threading.Event()

    class Ensemble(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = inner

        def forward(self, pixels):
            reached.set()
            held.wait(60)
            with alone_with(self.inner):  # as a Classifier in it does
                return self.inner(pixels)

    def trace_inner():
        assert reached.wait(60)
        with alone_with(inner):
            held.set()
            return trace(inner, pixels)

    with ThreadPoolExecutor(2) as pool:
        whole, part = pool.submit(trace, Ensemble(), pixels), pool.submit(trace_inner)
        with pytest.raises(Untraceable):
            whole.result(60)
        assert "conv2d" in [node.op for node in part.result(60).nodes]
    assert "conv2d" in [node.op for node in trace(Ensemble(), pixels).nodes]
