"""How long does an atlas take beyond its analyses, how large is it, and how fast do pages open?

    python benchmarks/atlas.py --data photos/ --model runs/mine

Two networks, each in a process of its own: the default network of `ikit train` (or ``--model``)
over ``--images`` images, and timm's ResNet-50 with random weights over ``--few`` images of 64 x 64
pixels, once with all of its 26,560 filters, once with its first layers of about a tenth of them.
Building is all but the analyses: a pass that records activations, the image files, and the pages.
Memory is the largest resident memory of the whole process, and that while building. Pages are
opened from disk in Chromium, with playwright, at 1440 x 900 pixels, until the load event.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from clock import Report, options
from machine import MIB, resident, why_missing

import interpret_kit as ik

ANALYSES = {"top patches", "ablation", "occlusion", "maps"}  # stages of the progress
DEFAULT, ALL, TENTH = "the default network", "ResNet-50", "ResNet-50, a tenth"
SHARE = 0.1
VISITS = 5  # times that a page is opened
KINDS = {
    "network": ["index.html"],
    "layer": ["layers/*/index.html"],
    "filter": ["layers/*/[0-9]*.html"],
    "class": ["classes/*.html"],
    "image": ["images/*.html"],
}


class Stages:
    """How long each stage of an atlas takes, by the calls of its progress: seconds, CPU seconds."""

    def __init__(self) -> None:
        self.last, self.seconds = _now(), dict[str, np.ndarray]()
        self.peak = 0.0  # MiB before building began

    def __call__(self, what: str, _done: float, _total: float) -> None:
        """Count the time since the last call for this stage."""
        if what == "images" and what not in self.seconds:
            self.peak = resident("VmHWM") / MIB
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        now = _now()
        self.seconds[what] = self.seconds.get(what, np.zeros(2)) + now - self.last
        self.last = now


def _now() -> np.ndarray:
    """Seconds, and CPU seconds of this process."""
    return np.array([time.perf_counter(), time.process_time()])


def built(name: str, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Write an atlas, and measure this process."""
    images = ik.load_images(asked.data)
    if name == DEFAULT:
        classifier = _default(asked.model, images)
        images = images.spread(asked.images)
        settings = ik.AtlasSettings(ablation_images=asked.ablation_images)
    else:
        classifier, images = _resnet(images), images.spread(asked.few)
        layers = _first_layers(classifier) if name == TENTH else "all"
        settings = ik.AtlasSettings(layer=layers, ablation_images=2, occlusion_images=1)
    stages = Stages()
    ik.write_atlas(classifier, images, folder, settings, progress=stages)
    analyses = sum(each for what, each in stages.seconds.items() if what in ANALYSES)
    end = _now() - stages.last
    beyond = {k: v.round(1).tolist() for k, v in stages.seconds.items() if k not in ANALYSES}
    building = sum(stages.seconds.values()) + end - analyses
    return {
        "images": len(images),
        "analyses (s)": round(float(analyses[0]), 1),
        "building (s)": round(float(building[0]), 1),
        "its CPU (s)": round(float(building[1]), 1),
        "stages": beyond,
        "peak (MiB)": round(max(stages.peak, resident("VmHWM") / MIB)),
        "peak of building": round(resident("VmHWM") / MIB),
        **_sizes(folder),
    }


def _default(model: str, images: ik.ImageSet) -> ik.Classifier:
    import torch

    from interpret_kit.models.convnet import ConvNet

    if model:
        return ik.load_classifier(model)
    torch.manual_seed(0)
    network, half = ConvNet(num_classes=len(images.classes)), (0.5, 0.5, 0.5)
    return ik.Classifier(network, size=(64, 64), mean=half, std=half, classes=images.classes)


def _resnet(images: ik.ImageSet) -> ik.Classifier:
    import timm
    import torch

    torch.manual_seed(0)
    names = (*images.classes, *(f"class {k}" for k in range(len(images.classes), 1000)))
    half = (0.5, 0.5, 0.5)
    network = timm.create_model("resnet50", pretrained=False)
    return ik.Classifier(
        network, size=(64, 64), mean=half, std=half, classes=names, name="resnet50"
    )


def _first_layers(classifier: ik.Classifier) -> str:
    """The first layers with at least a tenth of all filters, as a selector."""
    layers = classifier.find_layers("all")
    counts = np.cumsum([each.filters for each in layers])
    return f"1-{int(np.searchsorted(counts, SHARE * counts[-1])) + 1}"


def _sizes(folder: Path) -> dict[str, Any]:
    files = [each for each in folder.rglob("*") if each.is_file()]
    pages = [each for each in files if each.suffix == ".html"]
    largest = max(pages, key=lambda each: each.stat().st_size)
    return {
        "filters": sum(each.stem.isdigit() for each in (folder / "layers").glob("*/*.html")),
        "files": len(files),
        "MB": round(sum(each.stat().st_size for each in files) / 1e6, 1),
        "largest page": largest.relative_to(folder).as_posix(),
        "its MB": round(largest.stat().st_size / 1e6, 2),
    }


def opened(folder: Path) -> Iterator[tuple[str, str, float, float, float]]:
    """Open the largest page of each kind: kind, address, MB, median and largest seconds."""
    from playwright.sync_api import sync_playwright

    took = "performance.getEntriesByType('navigation')[0].loadEventEnd"
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"))
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        for kind, patterns in KINDS.items():
            found = [file for each in patterns for file in folder.glob(each)]
            largest = max(found, key=lambda each: each.stat().st_size)
            times = []
            for _ in range(VISITS):
                page.goto(largest.as_uri(), wait_until="load")
                page.wait_for_function(f"{took} > 0")
                times.append(page.evaluate(took) / 1000)
            size = round(largest.stat().st_size / 1e6, 2)
            address = largest.relative_to(folder).as_posix()
            middle, most = round(float(np.median(times)), 2), round(max(times), 2)
            yield (kind, address, size, middle, most)
        browser.close()


def apart(name: str, asked: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Do `built` in a process of its own."""
    given = {"data": asked.data, "model": asked.model, "images": asked.images, "few": asked.few}
    given |= {"ablation-images": asked.ablation_images, "threads": asked.threads}
    command = [sys.executable, __file__, "--one", name, "--folder", str(folder)]
    command += [word for key, each in given.items() for word in (f"--{key}", str(each))]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Write the atlases, measure them, and save the tables."""
    parser = options(__doc__)
    parser.add_argument("--data", default="shapes", help="labelled images")
    parser.add_argument("--model", default="", help="a run; default: the network, not trained")
    parser.add_argument("--images", type=int, default=2000, help="of the default network")
    parser.add_argument("--few", type=int, default=66, help="images of ResNet-50")
    parser.add_argument("--ablation-images", type=int, default=500, help="of the default network")
    parser.add_argument("--only", nargs="+", default=[DEFAULT, TENTH, ALL], help="some networks")
    parser.add_argument("--keep", type=Path, help="folder in which the atlases are kept")
    parser.add_argument("--one", help="write one atlas in this process, to --folder")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.one:
        if asked.threads:
            import torch

            torch.set_num_threads(asked.threads)
        print(json.dumps(built(asked.one, asked, asked.folder)))
        return
    if asked.short:
        asked.only, asked.images, asked.ablation_images = [DEFAULT], 33, 4
    report = Report("atlas", "How long does an atlas take to build, and how large is it?", asked)
    columns, pages, missing = [], [], _why_no_browser()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        for name in asked.only:
            folder = (asked.keep or Path(place)) / name.replace(" ", "-")
            columns.append({"network": name, **apart(name, asked, folder)})
            print(columns[-1], flush=True)
            pages += [] if missing else [(name, *each) for each in opened(folder)]
    names = [each for each in columns[0] if each != "stages"]
    report.table("atlases", names, [[each[key] for key in names] for each in columns])
    title = "the largest page of each kind, opened from disk"
    heads = ("network", "page", "address", "MB", "load event (s)", "slowest")
    if pages:
        report.table(title, heads, pages)
    report.note(missing)
    report.save()


def _why_no_browser() -> str | None:
    if shutil.which("chromium") is None:
        return "No page was opened: chromium is not installed."
    return why_missing("playwright") and "No page was opened: playwright is not installed."


if __name__ == "__main__":
    main()
