"""Is each shard counted once, whichever workers die, and is the image found that ends them?"""

from collections import Counter
from concurrent.futures import Future

import numpy as np
import pytest

from interpret_kit.errors import RunError
from interpret_kit.jobs.schedule import MOST_DEADLY, Part, Schedule


class Died(Exception):
    """Stands for the death of a worker."""


class Scripted:
    """Workers that end at once: their state is the positions counted, or they die."""

    died, deaths = (Died,), 1

    def __init__(self, count, dies):
        self.count, self.dies = count, dies
        self.tried = Counter()
        self.starts = Counter()

    def start(self, worker):
        self.starts[worker] += 1
        return done(None)

    def submit(self, worker, part):
        counted = [each for each in part.images if each not in part.without]
        self.tried[part] += 1
        if self.dies(counted, part):
            return failed(Died())
        return done({"counted": np.array(counted)})

    def not_started(self, worker):
        return RunError(f"worker {worker} does not start")


def done(value):
    future = Future()
    future.set_result(value)
    return future


def failed(error):
    future = Future()
    future.set_exception(error)
    return future


def parts(images=17, size=5):
    starts = range(0, images, size)
    return [Part(k, range(start, min(start + size, images))) for k, start in enumerate(starts)]


def counted_by(workers, **sizes):
    """The positions counted, by shard."""
    return {
        part.shard: state["counted"].tolist()
        for part, state in Schedule(parts(**sizes), workers).states()
    }


def deadly(*images):
    return lambda counted, _part: bool(set(images) & set(counted))


WHOLE = {0: [0, 1, 2, 3, 4], 1: [5, 6, 7, 8, 9], 2: [10, 11, 12, 13, 14], 3: [15, 16]}


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_each_shard_is_counted_once_by_any_number_of_workers(workers):
    here = Scripted(workers, deadly())
    assert counted_by(here) == WHOLE
    assert set(here.tried.values()) == {1}


def test_a_shard_whose_worker_died_twice_is_counted_whole():
    deaths = Counter()

    def twice(_counted, part):
        deaths[part.shard] += 1
        return part.shard == 1 and deaths[1] <= 2

    here = Scripted(2, twice)
    assert counted_by(here) == WHOLE
    assert here.tried[Part(1, range(5, 10))] == 3
    assert sum(here.starts.values()) == 2 + 2  # and two were started again


@pytest.mark.parametrize(
    ("images", "workers"), [((7,), 2), ((5, 9), 1), ((15, 16), 3), ((0, 12), 2)]
)
def test_images_that_end_their_worker_are_left_out_and_no_other(images, workers):
    here = Scripted(workers, deadly(*images))
    assert counted_by(here) == {
        shard: [each for each in whole if each not in images] for shard, whole in WHOLE.items()
    }
    # Each is known by three deaths alone: a single one may be chance.
    for image in images:
        alone = [
            part for part in here.tried if part.probe and part.images == range(image, image + 1)
        ]
        assert [here.tried[part] for part in alone] == [3]


def test_the_deadly_image_of_many_is_found_by_bisection():
    here = Scripted(1, deadly(300))
    assert counted_by(here, images=512, size=512) == {0: [k for k in range(512) if k != 300]}
    # The shard three times; both halves of each of 9 steps, the image two times more; the rest.
    assert sum(here.tried.values()) == 3 + 2 * 9 + 2 + 1


def test_a_half_that_died_by_chance_costs_no_image():
    chance = []

    def dies(counted, part):
        if part == Part(1, range(8, 10), probe=True) and not chance:
            chance.append(part)
            return True
        return 6 in counted

    assert counted_by(Scripted(2, dies))[1] == [5, 7, 8, 9]


def test_an_engine_that_retries_by_itself_is_believed_at_once():
    here = Scripted(2, deadly(7))
    here.deaths = 3
    assert counted_by(here)[1] == [5, 6, 8, 9]
    assert set(here.tried.values()) == {1}


def test_images_that_end_their_worker_only_together_are_an_error_that_says_so():
    here = Scripted(2, lambda counted, _part: {5, 9} <= set(counted))
    with pytest.raises(
        RunError,
        match=r"images 6 to 10 .* 3 times, but none .* individually; .* smaller batch size",
    ):
        counted_by(here)


def test_a_network_that_ends_its_worker_on_any_image_is_not_tried_on_all():
    here = Scripted(2, lambda counted, _part: bool(counted))
    with pytest.raises(
        RunError,
        match="unlikely to be the cause; try a few of them with `workers=0`",
    ):
        counted_by(here, images=512, size=512)
    assert sum(here.tried.values()) < 100
    assert MOST_DEADLY == 8


def test_a_worker_that_does_not_start_ends_the_run():
    here = Scripted(2, deadly())
    here.start = lambda worker: failed(Died()) if worker else done(None)
    with pytest.raises(RunError, match="worker 1 does not start"):
        counted_by(here)


def test_workers_for_which_there_is_no_room_are_not_waited_for():
    here = Scripted(2, deadly())
    here.start = lambda worker: Future() if worker else done(None)  # the second never begins
    assert counted_by(here) == WHOLE


def test_an_error_of_the_work_is_raised_as_it_is():
    here = Scripted(2, deadly())
    here.submit = lambda worker, part: failed(ValueError("no such layer"))
    with pytest.raises(ValueError, match="no such layer"):
        counted_by(here)
