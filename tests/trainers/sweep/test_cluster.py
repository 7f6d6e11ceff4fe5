"""Are trials on a Ray cluster done once each, a few at once, and named if their worker dies?"""

import os
from functools import partial

import pytest
from inline_cluster import Inline, WorkerCrashed

from interpret_kit.errors import CannotWrite
from interpret_kit.trainers.sweep.cluster import KILLED, on_cluster


def crash():
    raise WorkerCrashed


def fill_disk():
    raise CannotWrite("no space")


@pytest.mark.parametrize(("workers", "most"), [(2, 2), (0, 3)])
def test_each_trial_is_done_once_and_no_more_run_than_may(workers, most, tmp_path):
    cluster = Inline(workers=workers, cpus_per_worker=3, gpus_per_worker=0.5)
    work = [partial(os.mkdir, tmp_path / "a"), crash, partial(os.mkdir, tmp_path / "b")]
    assert dict(on_cluster(work, cluster)) == {0: 0, 1: KILLED, 2: 0}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "b"]
    assert cluster.most == most
    assert cluster.settings == {"num_cpus": 3, "num_gpus": 0.5, "max_retries": 2}


def test_an_error_that_concerns_all_trials_is_raised_as_it_was():
    with pytest.raises(CannotWrite, match=r"^no space$"):
        list(on_cluster([fill_disk], Inline()))
