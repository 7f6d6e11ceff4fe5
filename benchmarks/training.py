"""How many images per second does training process, and what does the rest of it cost?

Ours against a plain loop of torchvision (`ImageFolder`, `DataLoader`, the same network, batch and
class of augmentation), each in a process of its own, an epoch at a time, from its second on. Of
the plain loops, with 0, 1 and 2 workers and in both memory formats, the best is what counts.

    python benchmarks/training.py [--data FOLDER]  # by default: generated images, as JPEG files
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from apart import Prepared, apart
from clock import Report, Times, interleaved, options
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from interpret_kit.data.shapes import shape_images
from interpret_kit.models.loading.load import create
from interpret_kit.trainers.distributed import accelerated
from interpret_kit.trainers.learner import make_learner
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.checkpoint import Checkpoint
from interpret_kit.trainers.runs.folder import RunFolder
from interpret_kit.trainers.runs.resume import checkpoint, load_data
from interpret_kit.trainers.timing import EpochSums
from interpret_kit.trainers.train import learn, train

WORKERS = (0, 1, 2)
FORMATS = {"": torch.contiguous_format, ", channels last": torch.channels_last}
Work = Callable[[], object]


def ours(recipe: Recipe, device: str) -> Work:
    """A call that learns for an epoch."""
    stack = ExitStack()  # open as long as the process lives
    out = stack.enter_context(tempfile.TemporaryDirectory())
    machine = stack.enter_context(accelerated(device, recipe.precision))
    data = load_data(recipe, machine, None)
    learner = make_learner(recipe, data, machine)
    point = checkpoint(RunFolder(Path(out), recipe), learner, data, None)
    return partial(_our_epoch, point, stack)


def _our_epoch(point: Checkpoint, _held: ExitStack) -> None:
    point.sums = EpochSums()
    learn(point, None)


def plain(recipe: Recipe, folder: Path, workers: int, memory: torch.memory_format) -> Work:
    """A call that learns for an epoch, as one writes it down."""
    side = recipe.input_size
    change = transforms.Compose(
        [
            transforms.Resize(side),
            transforms.RandomCrop(side, padding=side[0] // 16, padding_mode="edge"),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.25,) * 3),
        ]
    )
    images = ImageFolder(str(folder), change)
    loader = DataLoader(
        images,
        recipe.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    network = create(recipe.arch, **recipe.arguments, num_classes=len(images.classes))
    network.to(memory_format=memory)
    optimizer = torch.optim.AdamW(network.parameters(), recipe.lr, weight_decay=0.05)
    return lambda: _plain_epoch(network, loader, optimizer, memory)


def _plain_epoch(
    network: nn.Module,
    loader: DataLoader[tuple[torch.Tensor, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    memory: torch.memory_format,
) -> float:
    network.train()
    total = 0.0
    for pixels, labels in loader:
        loss = F.cross_entropy(network(pixels.contiguous(memory_format=memory)), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        total += loss.item()
    return total / len(loader)


def write_images(root: Path, each: int) -> Path:
    """Write generated images as JPEG files, ``each`` of 33 classes to train on."""
    for split, count in (("train", each), ("val", max(1, each // 10))):
        drawn = shape_images(split, count)
        for index, (pixels, label) in enumerate(zip(drawn.pixels, drawn.labels, strict=True)):
            folder = root / split / drawn.names[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / f"{index}.jpg", quality=90)
    return root


def best_of(times: Times, start: str) -> str:
    """The contender of that kind with the shortest median."""
    kind = [name for name in times if name.startswith(start)]
    return min(kind, key=lambda name: statistics.median(times[name]))


def compare(report: Report, recipe: Recipe, asked: argparse.Namespace) -> None:
    """Epoch against epoch, in turn, from the second on."""
    folder = Path(recipe.data) / "train"
    contenders: dict[str, Prepared] = {"ours": (ours, recipe, asked.device)}
    for workers in WORKERS:
        for name, memory in FORMATS.items():
            contenders[f"plain, {workers} workers{name}"] = (plain, recipe, folder, workers, memory)
    with apart(contenders) as work:
        times = interleaved(work, asked.rounds, warm_up=0, device=asked.device)
    images = trained_on(recipe)
    kept = {name: times[name] for name in ("ours", best_of(times, "plain"))}
    speeds = {name: images / statistics.median(each) for name, each in times.items()}
    shown = {"data": asked.data.name if asked.data else "generated, JPEG"}
    facts = {f"images/s {name}": round(speeds[name]) for name in kept}
    report.add(shown | {"images": images, "batch": recipe.batch_size}, kept, "ours", facts=facts)
    mine = statistics.median(times["ours"])
    rows = [
        (name, round(speeds[name]), round(statistics.median(each) / mine, 2))
        for name, each in times.items()
    ]
    columns = ("configuration", "images/s", "time / ours")
    report.table("images/s of each configuration, over one epoch", columns, rows)


def trained_on(recipe: Recipe) -> int:
    """Images of an epoch: both leave out what does not fill a batch."""
    images = sum(1 for _ in (Path(recipe.data) / "train").glob("*/*"))
    return images // recipe.batch_size * recipe.batch_size


def whole_run(report: Report, recipe: Recipe, device: str) -> None:
    """The share of steps in whole epochs, with validation, checkpoints and events."""
    with tempfile.TemporaryDirectory() as out:
        history = train(replace(recipe, epochs=3), Path(out) / "run", device).history
    rows = []
    for epoch in (1, 2):  # from the second on
        speed, share = (history[name][epoch] for name in ("images_per_second", "learning_share"))
        in_steps = share * trained_on(recipe) / speed / history["seconds"][epoch]
        rows.append((epoch + 1, round(speed), round(share, 3), round(in_steps, 3)))
    columns = ("epoch", "images/s", "steps / training pass", "steps / epoch with validation")
    report.table("a complete run of ours", columns, rows)


def main() -> None:
    """Compare, and save."""
    parser = options(__doc__, device="cpu")
    parser.add_argument("--data", type=Path, help="a folder with a train and a val folder")
    asked = parser.parse_args()
    report = Report("training", "How many images per second does training process?", asked)
    with tempfile.TemporaryDirectory() as made:
        folder = asked.data or write_images(Path(made), 10 if asked.short else 60)
        recipe = Recipe(data=str(folder))
        compare(report, recipe, asked)
        whole_run(report, recipe, asked.device)
    report.save()


if __name__ == "__main__":
    main()
