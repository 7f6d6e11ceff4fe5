"""How many images a second does a training learn from, and what does the rest of it cost?

Ours against a plain loop of torchvision (`ImageFolder`, `DataLoader`, the same network, batch and
class of augmentation), each an epoch at a time, from its second epoch on. Of the plain loops,
with 0, 1 and 2 workers and in both memory formats, the best is what counts.

    python benchmarks/training.py [--data FOLDER]  # generated pictures, as JPEG files, by default
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from clock import Report, Times, interleaved, options
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from interpret_kit.loading import create
from interpret_kit.shapes import shape_images
from interpret_kit.trainers.loop import learn, train
from interpret_kit.trainers.pace import Sums
from interpret_kit.trainers.processes import accelerated
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.run import RunFolder
from interpret_kit.trainers.setup import make_learner
from interpret_kit.trainers.start import checkpoint, load_data

WORKERS = (0, 1, 2)
Work = Callable[[], object]


@contextmanager
def ours(recipe: Recipe, device: str) -> Iterator[tuple[Work, Sums]]:
    """A call that learns for an epoch; the sums of all of them."""
    with tempfile.TemporaryDirectory() as out, accelerated(device, recipe.precision) as machine:
        data = load_data(recipe, machine, None)
        learner = make_learner(recipe, data, machine)
        point = checkpoint(RunFolder(Path(out), recipe), learner, data, None)
        total = Sums()

        def epoch() -> None:
            point.sums = Sums()
            learn(point, None)
            total.images += point.sums.images
            total.seconds += point.sums.seconds
            total.learning += point.sums.learning

        yield epoch, total


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


def write_pictures(root: Path, each: int) -> Path:
    """Write generated pictures as JPEG files, ``each`` of 33 classes to learn from."""
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


def compare(report: Report, recipe: Recipe, asked: argparse.Namespace) -> float:
    """Epoch against epoch, in turn; returns how many images an epoch learns from."""
    folder = Path(recipe.data) / "train"
    with ours(recipe, asked.device) as (epoch, total):
        contenders: dict[str, Work] = {"ours": epoch}
        formats = {"": torch.contiguous_format, ", channels last": torch.channels_last}
        for workers in WORKERS:
            for name, memory in formats.items():
                made = plain(recipe, folder, workers, memory)
                contenders[f"plain, {workers} workers{name}"] = made
        times = interleaved(contenders, asked.rounds, device=asked.device)
    images = total.images / (asked.rounds + 1)
    kept = {name: times[name] for name in ("ours", best_of(times, "plain"))}
    speeds = {name: images / statistics.median(each) for name, each in times.items()}
    shown = {"pictures": asked.data.name if asked.data else "generated, JPEG"}
    what = shown | {"images": round(images), "batch": recipe.batch_size}
    facts = {
        f"images/s {name}": round(images / statistics.median(each)) for name, each in kept.items()
    }
    share = round(total.learning_share, 3)
    report.add(what, kept, base="ours", facts=facts | {"share in steps": share})
    rows = [(name, round(speed)) for name, speed in speeds.items()]
    report.table("images/s of all ways, an epoch", ("way", "images/s"), rows)
    return images


def whole_run(report: Report, recipe: Recipe, images: float, device: str) -> None:
    """The share of steps in whole epochs, with validation, checkpoints and events."""
    with tempfile.TemporaryDirectory() as out:
        history = train(replace(recipe, epochs=3), Path(out) / "run", device).history
    rows = []
    for epoch in (1, 2):  # from the second on
        speed, share = (history[name][epoch] for name in ("images_per_second", "learning_share"))
        in_steps = share * images / speed / history["seconds"][epoch]
        rows.append((epoch + 1, round(speed), round(share, 3), round(in_steps, 3)))
    columns = ("epoch", "images/s", "steps, of the pass", "steps, of the epoch with validation")
    report.table("a whole run of ours", columns, rows)


def main() -> None:
    """Compare, and save."""
    parser = options(__doc__)
    parser.add_argument("--data", type=Path, help="a folder with a train and a val folder")
    asked = parser.parse_args()
    report = Report("training", "How many images a second does a training learn from?", asked)
    with tempfile.TemporaryDirectory() as made:
        folder = asked.data or write_pictures(Path(made), 10 if asked.short else 60)
        recipe = Recipe(data=str(folder))
        images = compare(report, recipe, asked)
        whole_run(report, recipe, images, asked.device)
    report.save()


if __name__ == "__main__":
    main()
