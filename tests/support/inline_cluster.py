"""A Ray cluster without Ray: its tasks are done here, when they are waited for."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

from interpret_kit.jobs.ray_cluster import RayCluster


class TaskError(Exception):
    """Raised in place of an error of a task."""

    def __init__(self, cause):
        super().__init__(cause)
        self.cause = cause


class WorkerCrashed(Exception):
    """Raised for a task whose worker died."""


class Inline(RayCluster):
    """A cluster that does its tasks in this process, when they are waited for."""

    @contextmanager
    def connected(self):
        self.__dict__["most"] = 0
        errors = SimpleNamespace(
            RayTaskError=TaskError, WorkerCrashedError=WorkerCrashed, OutOfMemoryError=MemoryError
        )

        def remote(**settings):
            self.__dict__["settings"] = settings
            return lambda function: SimpleNamespace(remote=partial(partial, function))

        def wait(running, num_returns):
            assert num_returns == 1
            self.__dict__["most"] = max(self.most, len(running))
            return running[-1:], running[:-1]

        def get(task):
            try:
                return task()
            except WorkerCrashed:
                raise
            except Exception as error:
                raise TaskError(error) from error

        yield SimpleNamespace(remote=remote, wait=wait, get=get, exceptions=errors, cancel=None)
