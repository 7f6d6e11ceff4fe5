"""Do both ways agree with other kernels than this machine's best, and with more threads?"""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

TESTS = Path(__file__).parents[1]
ABLATED = (
    "incremental/ablation/test_engine.py"
    "::test_each_network_returns_the_outputs_of_full_forward_passes"
)
OCCLUDED = (
    "incremental/occlusion/test_engine.py"
    "::test_single_precision_is_as_near_to_the_truth_as_full_forward_passes"
)
DEAD = "incremental/graph/test_verify.py::test_logits_that_cancel_do_not_refuse_dead_filters[0]"
WEAK = "test_filter_ablation.py::test_a_weak_filter_is_as_exact_as_the_scores_it_changes"
# Each compares in float32 with the truth, most in float64 too; together they go every way.
AGREEMENT = [
    "incremental/test_kernels.py::test_kernels_and_threads_are_those_that_the_environment_names",
    *(f"{ABLATED}[{name}]" for name in ("branches", "chain")),
    *(f"{OCCLUDED}[{name}]" for name in ("residual", "channels last")),
    DEAD,
    f"captum_api/{WEAK}",
]
# What PyTorch's own kernels may use, what oneDNN's may, and threads.
SETTINGS = [("default", "SSE41", "2"), ("avx2", "AVX2", "1")]
ON_X86 = platform.machine().lower() in ("x86_64", "amd64")


def test_kernels_and_threads_are_those_that_the_environment_names():
    used = torch.backends.cpu.get_cpu_capability().lower()
    assert used == os.environ.get("ATEN_CPU_CAPABILITY", used)
    assert torch.get_num_threads() == int(os.environ.get("IKIT_TEST_THREADS", "1"))


@pytest.mark.skipif(not ON_X86, reason="these are names of x86 instruction sets")
@pytest.mark.parametrize(("native", "onednn", "threads"), SETTINGS)
def test_both_ways_agree_with_these_kernels(native, onednn, threads):
    if native == "avx2" and not torch.cpu._is_avx2_supported():
        pytest.skip("this CPU has no AVX2")
    setting = {
        "ATEN_CPU_CAPABILITY": native,
        "ONEDNN_MAX_CPU_ISA": onednn,
        "OMP_NUM_THREADS": threads,
        "IKIT_TEST_THREADS": threads,
        "OMP_WAIT_POLICY": "PASSIVE",  # a thread that waits leaves its core to other tests
        "IKIT_TEST_CACHE": os.environ["IKIT_CACHE"],  # graphs are the same with any kernels
    }
    command = [sys.executable, "-m", "pytest", "--assert=plain", "-p", "no:cacheprovider"]
    command += ["-p", "no:xdist", "-o", "addopts=--import-mode=importlib -q", *AGREEMENT]
    environment = {**os.environ, **setting}
    found = subprocess.run(
        command, cwd=TESTS, env=environment, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout[-4000:] + found.stderr[-2000:]
    assert f"{len(AGREEMENT)} passed" in found.stdout
