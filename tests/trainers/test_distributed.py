"""Do several processes learn what one learns, and does only the first write?"""

import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from small_runs import small_recipe, write_splits

from interpret_kit.trainers.images.loader import Share
from interpret_kit.trainers.train import train


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("batch", [1, 7, 16, 17])
def test_shares_are_all_of_a_batch_and_hold_pairs_from_both_ends(processes, batch):
    shares = [Share(rank, processes).rows(batch).tolist() for rank in range(processes)]
    assert sorted(row for share in shares for row in share) == list(range(batch))
    for share in shares:
        assert share == sorted(share)
        assert [batch - 1 - row for row in share] == share[::-1]
    assert max(map(len, shares)) - min(map(len, shares)) <= 2


# `python -m torch.distributed.run --standalone --nproc-per-node=2 -m interpret_kit`, but that both
# processes share one import.
LAUNCH = """
import runpy, sys
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
import interpret_kit.cli.train, interpret_kit.trainers.train

def work():
    try:
        runpy.run_module("interpret_kit", run_name="__main__")
    except SystemExit as end:
        assert not end.code

here = LaunchConfig(
    min_nodes=1, max_nodes=1, nproc_per_node=2, start_method="fork",
    rdzv_backend="c10d", rdzv_endpoint="localhost:0", run_id="two",
)
elastic_launch(here, work)()
"""


def test_two_processes_learn_what_one_learns_and_one_of_them_writes(tmp_path):
    # Batches of 7 are shares of 4 and 3; 6 of them an epoch, 24 steps. No batch normalisation,
    # as its statistics are those of a share. Shifts, crops, colours and rectangles are at work.
    folder = write_splits(tmp_path / "colours")
    options = "--size 8 --channels 4,6 --fc 8 --epochs 4 --batch-size 7 --lr 0.02 --no-batch-norm"
    options += " --ema 0.9 --clip 1 --colour 0.3 --crop 0.6 --erase 0.5 --label-smoothing 0.1"
    command = [sys.executable, "-c", LAUNCH, "train", "--data", str(folder)]
    command += [*options.split(), "--device", "cpu", "--out", "two"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "2 processes" in done.stdout
    assert [line.split(":")[0] for line in done.stdout.splitlines() if "loss" in line] == [
        f"epoch {k} of 4" for k in (1, 2, 3, 4)
    ]
    recipe = small_recipe(
        folder, batch_size=7, batch_norm=False, ema=0.9, clip=1.0, colour=0.3, crop=0.6, erase=0.5,
        label_smoothing=0.1,
    )  # fmt: skip
    one = train(recipe, tmp_path / "one", "cpu")
    assert {each.name for each in tmp_path.iterdir()} == {"colours", "one", "two"}
    assert len(list((tmp_path / "two").iterdir())) == len(list((tmp_path / "one").iterdir()))
    alone, together = (load_file(tmp_path / each / "last.safetensors") for each in ("one", "two"))
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=0, atol=1e-5)
    moved = (alone["conv1.weight"] - start(recipe)).abs().max()
    assert moved > 0.01, "they have learned something"
    assert one.metrics["epochs"] == 4


def start(recipe):
    from interpret_kit.models.loading.load import create
    from interpret_kit.trainers.learner import network_arguments

    with torch.random.fork_rng():
        torch.manual_seed(recipe.seed)
        return create(recipe.arch, **network_arguments(recipe, 3)).conv1.weight.detach()
