"""Do workers of a Ray cluster count, die and come back? Most without torch, which takes seconds."""

import contextlib
import gc
import os
import socket
import sys
import threading
from concurrent.futures import Future

import pytest
from counting_work import NotThere, Positions
from deadly_images import with_deadly
from networks_on_paper import noisy_images, small_classifier
from small_analyses import SMALL, bytes_of, shards_of_five  # noqa: F401 - a fixture

from interpret_kit.analyses.counting import workers as counting_workers
from interpret_kit.errors import NothingThere, NotSupported, UsageError
from interpret_kit.jobs import ray_cluster
from interpret_kit.jobs.processes import packed
from interpret_kit.jobs.ray_cluster import RayCluster, RayWorkers
from interpret_kit.jobs.schedule import Part, Schedule

pytestmark = pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
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
        ray_cluster._connect(ray, "local", num_cpus=2)
        gc.collect()  # now, of attempts to start it that were too slow
        yield RayCluster(workers=2)
        ray.shutdown()


def counted_by(cluster, work):
    with cluster.crew(work, len(PARTS)) as workers:
        return {part.shard: state for part, state in Schedule(PARTS, workers).states()}


def test_a_deadly_image_is_left_out(cluster, tmp_path):
    """Position 7 ends its process each time: the shard three times, then the image."""
    states = counted_by(cluster, Positions(deadly=(7,), folder=str(tmp_path)))
    counted = {shard: state["counted"].tolist() for shard, state in sorted(states.items())}
    assert counted == {0: [0, 1, 2], 1: [3, 4, 5], 2: [6]}
    assert len(list(tmp_path.glob("died-*"))) == 3 + 3
    assert os.getpid() not in {int(state["process"]) for state in states.values()}


def test_every_analysis_has_the_bytes_of_one_process_although_a_worker_is_killed(
    cluster, tmp_path, monkeypatch
):
    """All with the same two workers: each imports torch once, and the killed one twice."""
    ray = pytest.importorskip("ray")
    workers = RayWorkers(ray, cluster, Positions(), 2)

    def crew(work, _where, most):
        assert most == 4
        workers._sent = [ray.put(packed(work, ray.cloudpickle.dumps))]
        return contextlib.nullcontext(workers)

    monkeypatch.setattr(counting_workers, "_crew", crew)
    images, classifier = with_deadly(noisy_images(), 12, once=tmp_path / "died"), small_classifier()
    for analysis in SMALL:
        plain = bytes_of(analysis.run(classifier, images, batch_size=3))
        shared = analysis.run(classifier, images, batch_size=3, workers=cluster)
        assert bytes_of(shared) == plain, analysis.name
    assert (tmp_path / "died").exists()


def test_the_address_of_a_cluster_is_reached(cluster):
    ray = pytest.importorskip("ray")
    RayCluster(ray.get_runtime_context().gcs_address).check()


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


@pytest.mark.parametrize("prefix", ["", "ray://"])
def test_a_closed_port_is_refused_in_a_sentence_and_at_once(prefix, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # does not listen
        address = f"{prefix}127.0.0.1:{taken.getsockname()[1]}"
        told = rf"no Ray cluster at {address} \(Connection refused\); start one with 'ray start"
        monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
        with pytest.raises(NothingThere, match=told):
            RayCluster(address).check()


def test_the_port_of_another_program_is_refused(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            with server.accept()[0] as connection:
                connection.send(b"HTTP/1.1 400")
                connection.recv(99)

        answers = threading.Thread(target=answer)
        answers.start()
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr("importlib.util.find_spec", lambda _: True)
        with pytest.raises(NothingThere, match=r":\d+ \(another program answers there\); start"):
            RayCluster().check()
        answers.join()


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

        @staticmethod
        def shutdown():
            pass

    monkeypatch.setitem(sys.modules, "ray", Ray)
    with (
        pytest.raises(NothingThere, match=r"at auto \(Could not .* instance\); start one with"),
        RayCluster().crew(Positions(), 1),
    ):
        pass


def test_a_cluster_that_starts_too_slowly_is_started_again(monkeypatch):
    began = []

    class Ray:
        @staticmethod
        def is_initialized():
            return False

        @staticmethod
        def init(**given):
            began.append(given["address"])
            if len(began) < 3:
                raise Exception("The current node timed out during startup.")

        @staticmethod
        def shutdown():
            began.append("ended")

    with ray_cluster._connected(Ray, "local"):
        assert began == ["local", "ended", "local"]
    began.clear()
    with pytest.raises(NothingThere, match=r"at auto \(The current node timed out"):
        ray_cluster._connect(Ray, "auto")
    assert began == ["auto", "ended"]


def test_what_is_waited_for_is_said_if_it_takes_long(monkeypatch):
    monkeypatch.setattr(ray_cluster, "_PATIENCE", 0.01)
    awaited, told = Future(), threading.Event()
    monkeypatch.setattr(ray_cluster._log, "warning", lambda *said: (said_.append(said), told.set()))
    said_ = []
    ray_cluster._tell_if_slow(awaited, "a worker")
    assert told.wait(10)
    assert said_ == [("waiting for %s", "a worker")]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"workers": -1}, "`workers` is -1; give an integer of at least 0"),
        ({"workers": 1.5}, r"`workers` is 1\.5; give an integer"),
        ({"cpus_per_worker": 0}, "`cpus_per_worker` is 0; it must be at least 1"),
        ({"gpus_per_worker": -1}, r"`gpus_per_worker` is -1; give 1, or a fraction such as 0\.5"),
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
