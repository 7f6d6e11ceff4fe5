import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from interpret_kit.analyses.counting import units as counted_units
from interpret_kit.analyses.counting.accumulators import Confusion, FilterStatistics
from interpret_kit.analyses.counting.units import TopK, strongest_units

few = settings(max_examples=60, derandomize=True, deadline=None)


def read(top):
    """Per filter: (value, image, position), the strongest first."""
    columns = (top.best.values, top.best.images, top.best.positions)
    return [list(zip(*(each[:, f].tolist() for each in columns), strict=True)) for f in range(2)]


def one_big_sort(maps, ids, k, per_image):
    """The same in plain Python: all units in a list, sorted once."""
    found = []
    for f in range(maps.shape[1]):
        units = []
        for image, own in zip(ids, maps[:, f].reshape(len(maps), -1).tolist(), strict=True):
            ranked = sorted(enumerate(own), key=lambda unit: (-unit[1], unit[0]))
            units += [(value, image, place) for place, value in ranked[:per_image]]
        found.append(sorted(units, key=lambda unit: (-unit[0], unit[1], unit[2]))[:k])
    return found


# Few different values, so that most are ties; -0.0 ties with 0.0.
activations = st.sampled_from([-2.0, -1.5, -0.0, 0.0, 1.0, 3.0])


@st.composite
def streams(draw):
    images = draw(st.integers(1, 7))
    values = draw(st.lists(activations, min_size=images * 12, max_size=images * 12))
    ids = sorted(draw(st.sets(st.integers(0, 40), min_size=images, max_size=images)))
    return torch.tensor(values).view(images, 2, 2, 3), ids


@few
@given(streams(), st.integers(1, 9), st.integers(1, 7), st.data())
def test_the_top_is_that_of_one_big_sort_however_it_is_split_and_merged(stream, k, per_image, data):
    maps, ids = stream
    layout = data.draw(st.sampled_from([torch.contiguous_format, torch.channels_last]))
    shards = [TopK(k) for _ in range(3)]
    order = data.draw(st.permutations(range(len(ids))))
    while order:
        size = data.draw(st.integers(1, len(order)))
        chunk, order = order[:size], order[size:]
        seen = maps[chunk].contiguous(memory_format=layout)
        units = strongest_units(seen, torch.tensor(ids)[chunk], per_image)
        shards[data.draw(st.integers(0, 2))].add(units)
    for other in data.draw(st.permutations(shards[1:])):
        shards[0].merge(other)
    assert read(shards[0]) == one_big_sort(maps, ids, k, per_image)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_long_stream_of_many_filters_has_the_top_of_one_big_sort(layout):
    # Longer than what waits to be sorted, and wider than the vectors of a CPU.
    source = torch.Generator().manual_seed(3)
    maps = torch.randint(-3, 4, (300, 70, 5, 4), generator=source).float().div(4)
    top = TopK(4)
    for first in range(0, 300, 9):
        some = maps[first : first + 9].contiguous(memory_format=layout)
        top.add(strongest_units(some, torch.arange(first, first + len(some)), 1))
    columns = (top.best.values, top.best.images, top.best.positions)
    found = [list(zip(*(each[:, f].tolist() for each in columns), strict=True)) for f in range(70)]
    assert found == one_big_sort(maps, range(300), 4, 1)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_units_in_memory_that_is_reused_have_the_top_of_one_big_sort(layout):
    source = torch.Generator().manual_seed(4)
    maps = torch.randint(-3, 4, (300, 2, 5, 4), generator=source).float().div(4)
    top, earlier, memory = TopK(4), TopK(4), set()
    for first in range(0, 300, 9):
        ids = torch.arange(first, min(first + 9, 300))
        room = top.room(ids, 2, torch.float32)
        units = strongest_units(maps[ids].contiguous(memory_format=layout), ids, 1, room)
        top.add(units)
        memory.add(units.values.untyped_storage().data_ptr())
        if first == 198:
            earlier.merge(top)  # must not change when the memory of its units is overwritten
    assert len(memory) == 1
    assert read(top) == one_big_sort(maps, range(300), 4, 1)
    assert read(earlier) == one_big_sort(maps[:207], range(207), 4, 1)


def test_activations_that_are_all_negative_have_a_top():
    maps = -torch.arange(1.0, 25).view(2, 2, 2, 3)
    top = TopK(2)
    top.add(strongest_units(maps, torch.tensor([5, 9]), 1))
    assert read(top) == [[(-1, 5, 0), (-13, 9, 0)], [(-7, 5, 0), (-19, 9, 0)]]


def test_what_has_seen_nothing_has_nothing_and_merges():
    empty, top = TopK(3), TopK(3)
    empty.merge(TopK(3))
    assert empty.best is None
    top.add(strongest_units(torch.zeros(1, 2, 1, 1), torch.tensor([4]), 1))
    top.merge(empty)
    empty.merge(top)
    assert read(top) == read(empty) == [[(0.0, 4, 0)]] * 2


def test_a_top_holds_no_more_units_than_were_seen():
    top = TopK(100)
    top.add(strongest_units(torch.rand(3, 2, 2, 2), torch.arange(3), 100))
    assert len(top.best) == 3 * 4


def test_large_ids_keep_their_order_among_ties():
    ids = torch.tensor([2**40, 2**40 + 1])
    top = TopK(3)
    top.add(strongest_units(torch.ones(2, 2, 3, 3), ids, 2))
    assert [unit[1:] for unit in read(top)[0]] == [(2**40, 0), (2**40, 1), (2**40 + 1, 0)]


def test_statistics_are_over_all_units_of_all_images():
    # Filter 0: 0, 2, 4, 6; filter 1: all -3.
    maps = torch.tensor([[[0.0, 2], [-3, -3]], [[4, 6], [-3, -3]]]).view(2, 2, 1, 2)
    statistics = FilterStatistics()
    statistics.add(maps)
    read = {name: each.tolist() for name, each in statistics.read().items()}
    assert read["mean"] == [3, -3]
    assert read["std"] == pytest.approx([5**0.5, 0])
    assert read["peak"] == [6, -3]
    assert read["active"] == [0.75, 0]


def test_statistics_do_not_depend_on_the_batches():
    maps = torch.randn(9, 4, 3, 2, generator=torch.Generator().manual_seed(0)) + 1000
    whole, first, second = FilterStatistics(), FilterStatistics(), FilterStatistics()
    whole.add(maps)
    first.add(maps[:2])
    second.add(maps[2:8])
    second.add(maps[8:])
    first.merge(second)
    first.merge(FilterStatistics())
    units = maps.transpose(0, 1).flatten(1).double().numpy()
    expected = {"mean": units.mean(1), "std": units.std(1), "peak": units.max(1)}
    for name, values in expected.items():
        np.testing.assert_allclose(first.read()[name], values, rtol=1e-6)
        np.testing.assert_allclose(whole.read()[name], values, rtol=1e-6)
    assert FilterStatistics().read() == {}


def test_confusion_counts_true_by_predicted():
    counts, other = Confusion(3), Confusion(3)
    counts.add(torch.tensor([0, 0, 2]), torch.tensor([0, 1, 1]))
    other.add(torch.tensor([2]), torch.tensor([1]))
    counts.merge(other)
    counts.add(torch.tensor([], dtype=torch.int64), torch.tensor([], dtype=torch.int64))
    assert counts.counts.tolist() == [[1, 1, 0], [0, 0, 0], [0, 2, 0]]


@pytest.mark.parametrize("per_image", [1, 3])
def test_units_sorted_by_a_gpu_are_those_sorted_by_a_cpu(per_image, monkeypatch):
    """In another order of merging, too, and to the last bit: -0.0 and all ties included."""
    source = torch.Generator().manual_seed(7)
    maps = torch.randint(-3, 4, (600, 5, 3, 4), generator=source).float().div(4)
    maps[::7] *= -1

    def top():
        halves = TopK(6), TopK(6)
        for first in range(0, 600, 50):
            units = strongest_units(
                maps[first : first + 50], torch.arange(first, first + 50), per_image
            )
            halves[first % 100 == 0].add(units)
        halves[0].merge(halves[1])
        return halves[0].state()

    expected = top()
    monkeypatch.setattr(counted_units, "sorts", lambda _device: True)
    found = top()
    assert all(found[name].tobytes() == expected[name].tobytes() for name in expected)
    assert expected["values"].max() == 0.75


def test_nothing_is_copied_from_a_gpu_before_the_top_is_read(monkeypatch):
    """Neither to be compared nor to be sorted: each copy waits for what was launched before."""
    monkeypatch.setattr(counted_units, "sorts", lambda _device: True)
    seen = []

    class Watching(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(func._schema.name)
            return func(*args, **(kwargs or {}))

    maps, top = torch.rand(300, 4, 3, 3), TopK(2)
    ids = torch.arange(1200)
    monkeypatch.setattr(torch.Tensor, "numpy", None)
    with Watching():
        for first in range(0, 1200, 300):
            top.add(strongest_units(maps, ids[first : first + 300], 1))
        assert len(top.best) == 2
    assert "aten::sort" in seen
    assert not {"aten::_local_scalar_dense", "aten::nonzero"} & set(seen)
