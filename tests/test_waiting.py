"""Batches of windows that wait for each other: none is lost or mixed up, not too many wait."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from interpret_kit.graph.waiting import Waiting

HEAD, TAIL = SimpleNamespace(whole=("mean", "linear")), SimpleNamespace(whole=("linear",))


class Doubling:
    """A network behind its maps ``a`` and ``b``: it answers with 2 a + b."""

    def __init__(self):
        self.asked = []

    def finish(self, values, operations, rows):
        assert {len(each) for each in values.values()} == {rows}
        self.asked.append((operations, rows))
        return 2 * values["a"] + values["b"]


def batch(first, count, size=1):
    """Positions, and maps that tell them."""
    positions = np.arange(first, first + count)
    told = torch.from_numpy(positions)[:, None].float().expand(-1, size)
    return positions, {"a": told, "b": -told}


def answered(network, *batches):
    """What comes after each batch, and at the end, as counts; each answer is its position's."""
    waiting, counts, positions = Waiting(network), [], []

    def take(answers):
        counts.append(0)
        for some, outputs in answers:
            assert torch.equal(outputs[:, 0], torch.from_numpy(some).float())
            counts[-1] += len(some)
            positions.extend(some.tolist())

    for plan, *told in batches:
        take(waiting.joined_by(plan, *batch(*told)))
    take(waiting.answered())
    return counts, positions


def test_batches_wait_until_there_are_enough_rows():
    counts, positions = answered(
        network := Doubling(), (HEAD, 0, 100), (HEAD, 100, 100), (HEAD, 200, 56), (HEAD, 256, 3)
    )
    assert counts == [0, 0, 256, 0, 3]
    assert positions == list(range(259))
    assert network.asked == [(HEAD.whole, 256), (HEAD.whole, 3)]


def test_other_operations_do_not_wait_together():
    counts, positions = answered(
        network := Doubling(), (HEAD, 5, 2), (TAIL, 7, 4), (TAIL, 11, 1), (HEAD, 0, 5)
    )
    assert counts == [0, 2, 0, 5, 5]
    assert sorted(positions) == list(range(12))
    assert [rows for _, rows in network.asked] == [2, 5, 5]


@pytest.mark.parametrize(("size", "waits"), [(2**18 - 1, True), (2**18, False)])
def test_large_maps_do_not_wait(size, waits):
    # Two maps for each of eight windows: 16 MiB at 2^18 numbers a map.
    counts, _ = answered(Doubling(), (HEAD, 0, 8, size))
    assert counts == ([0, 8] if waits else [8, 0])


def test_without_batches_there_is_no_answer():
    assert answered(Doubling()) == ([0], [])
