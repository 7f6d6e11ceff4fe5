"""Are batches of windows coalesced for the full-map tail: none lost or mixed up, not too many?"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from interpret_kit.incremental.occlusion.schedule import TailBatches
from interpret_kit.incremental.tuning import BATCH_BYTES

HEAD = SimpleNamespace(whole=("mean", "linear"), pasted=("a", "b"))
TAIL = SimpleNamespace(whole=("linear",), pasted=("a", "b"))


class Doubling:
    """A network behind its maps ``a`` and ``b``: it returns 2 a + b."""

    def __init__(self, **row_bytes):
        self.calls, self.bytes = [], {"a": 4, "b": 4, "linear": 4, "mean": 4, **row_bytes}

    def row_bytes(self, node):
        return self.bytes[node]

    def finish(self, values, operations, rows):
        assert {len(each) for each in values.values()} == {rows}
        self.calls.append((operations, rows))
        return 2 * values["a"] + values["b"]


def batch(first, count):
    """Positions, and maps that tell them."""
    positions = np.arange(first, first + count)
    outputs = torch.from_numpy(positions)[:, None].float()
    return positions, {"a": outputs, "b": -outputs}


def answered(network, *batches):
    """What comes after each batch, and at the end, as counts; each answer is its position's."""
    waiting, counts, positions = TailBatches(network, BATCH_BYTES), [], []

    def take(answers):
        counts.append(0)
        for some, outputs in answers:
            assert torch.equal(outputs[:, 0], torch.from_numpy(some).float())
            counts[-1] += len(some)
            positions.extend(some.tolist())

    for plan, *outputs in batches:
        take(waiting.add(plan, *batch(*outputs)))
    take(waiting.flush())
    return counts, positions


def test_batches_wait_until_there_are_enough_windows():
    counts, positions = answered(
        network := Doubling(), (HEAD, 0, 100), (HEAD, 100, 100), (HEAD, 200, 56), (HEAD, 256, 3)
    )
    assert counts == [0, 0, 256, 0, 3]
    assert positions == list(range(259))
    assert network.calls == [(HEAD.whole, 256), (HEAD.whole, 3)]


def test_those_that_wait_go_first_where_all_are_too_many():
    counts, positions = answered(Doubling(), (HEAD, 0, 200), (HEAD, 200, 57), (HEAD, 257, 300))
    assert counts == [0, 200, 357, 0]
    assert positions == list(range(557))


def test_other_operations_do_not_wait_together():
    counts, positions = answered(
        network := Doubling(), (HEAD, 5, 2), (TAIL, 7, 4), (TAIL, 11, 1), (HEAD, 0, 5)
    )
    assert counts == [0, 2, 0, 5, 5]
    assert sorted(positions) == list(range(12))
    assert [rows for _, rows in network.calls] == [2, 5, 5]


@pytest.mark.parametrize("large", ["a", "mean"])
def test_fewer_wait_where_maps_are_large(large):
    # Of 2 MiB, eight windows are 16 MiB.
    batches = [(HEAD, 0, 5), (HEAD, 5, 3), (HEAD, 8, 5), (HEAD, 13, 5), (HEAD, 18, 20)]
    counts, positions = answered(Doubling(**{large: 2**21}), *batches)
    assert counts == [0, 8, 0, 5, 5 + 20, 0]
    assert positions == list(range(38))


def test_nothing_waits_where_a_map_is_too_large_for_itself():
    counts, _ = answered(Doubling(linear=2**25), (HEAD, 0, 5), (TAIL, 5, 1))
    assert counts == [5, 1, 0]


def test_without_batches_there_is_no_answer():
    assert answered(Doubling()) == ([0], [])
