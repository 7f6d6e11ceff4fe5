"""Do workers of a Ray cluster count, die and come back? Without torch: they start in a moment."""

import os
import sys

import pytest
from counting_work import NotThere, Positions

from interpret_kit.errors import NothingThere, NotSupported, UsageError
from interpret_kit.jobs.ray_cluster import RayCluster
from interpret_kit.jobs.schedule import Part, Schedule

PARTS = [Part(0, range(3)), Part(1, range(3, 6)), Part(2, range(6, 8))]


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """A cluster of two CPUs on this machine, for all tests that need one."""
    ray = pytest.importorskip(
        "ray", reason="Ray is not installed: pip install 'interpret-kit[ray]'"
    )
    support = os.path.dirname(__import__("counting_work").__file__)  # noqa: PTH120
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", support)
        patch.setenv("RAY_DISABLE_IMPORT_WARNING", "1")
        ray.init(
            address="local",
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="error",
        )
        yield RayCluster(workers=2)
        ray.shutdown()


def counted_by(cluster, work):
    with cluster.crew(work, len(PARTS)) as workers:
        return {part.shard: state for part, state in Schedule(PARTS, workers).states()}


def test_what_a_killed_worker_was_at_is_counted_again_and_a_deadly_image_left_out(
    cluster, tmp_path
):
    """Position 4 ends its process once, 7 each time: the shard three times, then the image."""
    states = counted_by(cluster, Positions(deadly=(7,), folder=str(tmp_path), once=4))
    counted = {shard: state["counted"].tolist() for shard, state in sorted(states.items())}
    assert counted == {0: [0, 1, 2], 1: [3, 4, 5], 2: [6]}
    assert len(list(tmp_path.glob("died-*"))) == 1 + 3 + 3
    assert os.getpid() not in {int(state["process"]) for state in states.values()}


def test_errors_come_back_as_they_were_raised(cluster):
    with pytest.raises(UsageError, match=r"^worker \d has no such layer$") as found:
        counted_by(cluster, Positions(refuses=True))
    assert type(found.value) is UsageError
    with pytest.raises(NotSupported, match=r"\(no attribute 'Net' in your script\); define"):
        counted_by(cluster, NotThere())


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (
        pytest.raises(
            NotSupported, match=r"pip install 'interpret-kit\[ray\]', or use `workers=2`"
        ),
        RayCluster().crew(Positions(), 1),
    ):
        pass


@pytest.mark.parametrize(
    "error",
    [
        ConnectionError("Could not find any running Ray instance.\nMore lines."),
        Exception("Could not find any running Ray instance."),  # Ray raises bare ones, too
    ],
)
def test_a_cluster_that_is_not_there_is_refused_in_a_sentence(error, monkeypatch):
    class Ray:
        @staticmethod
        def is_initialized():
            return False

        @staticmethod
        def init(**_):
            raise error

    monkeypatch.setitem(sys.modules, "ray", Ray)
    with (
        pytest.raises(NothingThere, match=r"at auto \(Could not .* instance\); start one with"),
        RayCluster().crew(Positions(), 1),
    ):
        pass


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"workers": -1}, "`workers` is -1; give an integer of at least 0"),
        ({"workers": 1.5}, r"`workers` is 1\.5; give an integer"),
        ({"cpus_per_worker": 0}, "`cpus_per_worker` is 0; it must be at least 1"),
        ({"gpus_per_worker": -1}, r"`gpus_per_worker` is -1; give 1, or a share: 0\.5"),
        ({"address": " "}, "`address` is ' '; give 'auto' for the cluster of this machine"),
    ],
)
def test_clusters_that_make_no_sense_are_refused(given, told):
    with pytest.raises(UsageError, match=told):
        RayCluster(**given)


@pytest.mark.parametrize(
    ("there", "given", "workers"),
    [
        ({"CPU": 8}, {}, 8),
        ({"CPU": 8}, {"cpus_per_worker": 3}, 2),
        ({"CPU": 8, "GPU": 2}, {"gpus_per_worker": 0.5}, 4),
        ({"CPU": 8}, {"workers": 3}, 3),
    ],
)
def test_a_cluster_has_as_many_workers_as_there_is_room_for(there, given, workers):
    class Ray:
        @staticmethod
        def cluster_resources():
            return there

    assert RayCluster(**given)._count(Ray) == workers


def test_a_cluster_without_a_gpu_has_no_room_for_workers_that_need_one():
    class Ray:
        @staticmethod
        def cluster_resources():
            return {"CPU": 8.0}

    with pytest.raises(UsageError, match=r"has 8 CPUs and 0 GPUs, but .* 1 and 1; reduce"):
        RayCluster(gpus_per_worker=1)._count(Ray)
