"""How is a part of a benchmark attempted on a GPU, and which memory does it take there?"""

from __future__ import annotations

import argparse
import gc
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from functools import cache, partial

import torch
from clock import Report, Times, interleaved, seconds
from machine import MIB, Work
from torch import Tensor, nn
from windows import network

BATCHES = (32, 128, 512, 1024)  # of which peers have the fastest


class Bench:
    """The device, the report, and the time that may still be spent."""

    def __init__(self, name: str, question: str, asked: argparse.Namespace) -> None:
        """Take options of `clock.options` and ``seconds``, after which no part begins."""
        self.asked, self.device, self.short = asked, asked.device, asked.short
        self.end = time.perf_counter() + asked.seconds
        self.batches = (8,) if self.short else BATCHES
        self.report = Report(name, question, asked)
        torch.backends.cudnn.allow_tf32 = False  # that of products is off by default

    def attempt(self, what: str, work: Work) -> None:
        """Do one part; note it if there is no time left or it fails, and save the rest."""
        if time.perf_counter() > self.end:
            self.report.note(f"{what}: omitted, as the time was over.")
        else:
            try:
                work()
            except Exception as error:  # the other parts are worth having
                traceback.print_exc(file=sys.stderr)
                first = str(error).strip().partition("\n")[0]
                self.report.note(f"{what}: failed with {type(error).__name__}: {first}")
        gc.collect()
        torch.cuda.empty_cache()
        self.report.save()

    def fastest(self, work: Callable[[int], object], most: int) -> int:
        """The batch size at which it takes the least time; those that exceed memory do not."""
        took: dict[int, float] = {}
        for batch in self.batches:
            if took and batch >= 2 * most:  # more rows than there are
                break
            try:
                work(batch)
                took[batch] = min(seconds(partial(work, batch), self.device) for _ in range(2))
            except torch.OutOfMemoryError:
                torch.cuda.empty_cache()
                break
        return min(took, key=lambda each: took[each])

    def peak(self, work: Work) -> float:
        """MiB that a call allocates on the GPU, beyond what was allocated before."""
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        work()
        return round((torch.cuda.max_memory_allocated(self.device) - before) / MIB, 1)

    def peaks(self, contenders: Mapping[str, Work]) -> dict[str, object]:
        """The peak of each contender, as facts of a report."""
        if not self.device.startswith("cuda"):
            return {}
        return {f"{name}, peak MiB": self.peak(work) for name, work in contenders.items()}

    def times(self, contenders: Mapping[str, Work]) -> Times:
        """Seconds of each contender, in turn."""
        return interleaved(contenders, self.asked.rounds, device=self.device)

    def add(
        self, what: Mapping[str, object], contenders: Mapping[str, Work], facts: dict[str, object]
    ) -> None:
        """Time contenders, and report them, with their peaks, against the first one."""
        found = facts | self.peaks(contenders)
        self.report.add(what, self.times(contenders), next(iter(contenders)), found)

    @cache  # noqa: B019 - one bench a process
    def network(self, name: str) -> tuple[nn.Module, Tensor]:
        """A network on the device, channels last, and an image."""
        made, image = network(name)
        image = image.to(self.device).contiguous(memory_format=torch.channels_last)
        return made.to(self.device), image
