"""What do many tests share? Small images and a small classifier, always the same."""

import gc
import os
import shutil
from functools import cache

import pytest
import torch
from kept_overrides import NEEDED, kept
from networks_on_paper import noisy_images, small_classifier
from torch._subclasses import fake_impls
from torch.export import exported_program

from interpret_kit.cli.common import progress_lines
from interpret_kit.data import torchvision_sets as published
from interpret_kit.incremental import worth


def pytest_collection_finish():
    """Leave what was imported and collected out of garbage collection, a tenth of the time.

    And look for garbage rarely: a trace makes many objects that stay.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Networks as small as these wait for threads longer than they work."""
    torch.set_num_threads(int(os.environ.get("IKIT_TEST_THREADS", "1")))


@pytest.fixture(autouse=True, scope="session")
def shipped_tuning():
    """Nothing is measured, so that all runs choose alike; tests of what is measured say so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IKIT_TUNING", "fixed")
        yield


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory):
    """Keep decoded images and graphs where the tests are, not in the cache of who runs them.

    Tests that a test starts find it by ``IKIT_TEST_CACHE``.
    """
    folder = os.environ.get("IKIT_TEST_CACHE") or str(tmp_path_factory.mktemp("cache"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IKIT_CACHE", folder)
        yield


@pytest.fixture(autouse=True, scope="session")
def disk_not_awaited():
    """No test cuts the power, so none needs to wait until its files are on the disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _file: None)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_progress_in_logs():
    """On a slow machine, a line about the progress would stand between those that are compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(progress_lines, "PAUSE", progress_lines.MOST_PAUSE)
        yield


@pytest.fixture(autouse=True, scope="session")
def composite_operators_listed_once():
    """torch.export lists all composite operators for each trace: a quarter of a small one."""
    name = "_collect_all_valid_cia_ops"  # private to torch: where it is missing, nothing is saved
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(exported_program, name):
            patch.setattr(exported_program, name, cache(getattr(exported_program, name)))
        yield


@pytest.fixture(autouse=True, scope="session")
def composite_operators_overridden_once(composite_operators_listed_once):
    """torch.export makes kernels for each of them for each trace: another quarter."""
    name = "_override_composite_implicit_decomp"  # private to torch, too
    with pytest.MonkeyPatch.context() as patch:
        if hasattr(exported_program, name) and vars(fake_impls).keys() >= NEEDED:
            patch.setattr(exported_program, name, kept(getattr(exported_program, name)))
        yield


@pytest.fixture(autouse=True, scope="session")
def no_stacks_in_traces():
    """Torch keeps a Python stack for each operation of a trace, which nothing here reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.fx.config, "do_not_emit_stack_traces", True, raising=False)
        yield


@pytest.fixture
def no_kept_graphs(own_cache):
    """A test that needs a network to be traced, although one like it was traced before.

    All others share graphs: a trace takes a second, its checks against the network none.
    """
    graphs = published.cache_folder() / "graphs"
    shutil.rmtree(graphs, ignore_errors=True)
    yield
    shutil.rmtree(graphs, ignore_errors=True)


@pytest.fixture
def auto_tries(monkeypatch):
    """The engine "auto" tries incremental evaluation however little there is to compute.

    For tests of what it then does; others choose an engine.
    """
    monkeypatch.setattr(worth, "MARGIN", float("inf"))


@pytest.fixture
def classifier():
    """Two convolutions of 4 and 6 filters, on pixels of 12 x 10; five classes."""
    return small_classifier()


@pytest.fixture
def images():
    """17 images of noise, 12 x 10, with labels."""
    return noisy_images()
