"""What is inside a trained network? Analyses it and writes docs/report/README.md.

    python docs/report/make_report.py RUN DATA     # analyses, figures and page: minutes
    python docs/report/make_report.py --rewrite    # the page alone, from numbers/report.json

RUN is the output folder of `ikit train`, or a trial of `ikit sweep`. DATA is the folder of its
images, with a `test` split and, for "Does it look at the object?", a `boxes.csv` with the columns
path (relative to DATA, such as test/ox/3.jpg), x0, y0, x1, y1.
Results are cached (--cache): an analysis is not repeated for the same weights and images.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import interpret_kit as ik
from interpret_kit.analyses.ablation import AblationResult
from interpret_kit.analyses.top_patches import TopPatchesResult
from interpret_kit.errors import NothingThere
from interpret_kit.models.loading.recorded_runs import HISTORY
from interpret_kit.render.page import image_part
from interpret_kit.render.training.curves import draw_history
from interpret_kit.results.table import write_csv
from interpret_kit.trainers.runs.folder import History

HOME = Path(__file__).parent
sys.path.append(str(HOME.parent / "studies"))  # the report names its images as the studies do

import report_analyses as analyses  # noqa: E402
import report_figures as figures  # noqa: E402
import report_measures as measures  # noqa: E402
from report_analyses import Subject  # noqa: E402
from report_measures import Array  # noqa: E402
from report_text import page  # noqa: E402

NUMBERS, FILTERS, EPOCHS = "numbers/report.json", "numbers/filters.csv", "numbers/history.csv"
PAGE, VERDICT = "README.md", "verdict.md"


def main() -> None:
    """Make the whole report, or only its page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?", help="folder of a training run")
    parser.add_argument("data", type=Path, nargs="?", help="folder of its images")
    parser.add_argument("--rewrite", action="store_true", help="write the page only")
    parser.add_argument("--out", type=Path, default=HOME, help="folder of the report")
    parser.add_argument(
        "--cache", type=Path, default=Path("ikit-out/report"), help="folder of the results"
    )
    given = parser.parse_args()
    if not given.rewrite:
        if given.data is None:
            parser.error("give RUN and DATA, or --rewrite")
        analyse(Subject.load(given.run, given.data, given.cache), given.out)
    try:
        write(given.out)
    except NothingThere as error:
        parser.error(str(error))


def write(out: Path) -> None:
    """Write the page from its numbers, and fill those of the verdict in.

    Raises:
        NothingThere: a number is missing, because an earlier version of the program wrote them.
    """
    numbers = json.loads((out / NUMBERS).read_text())
    template = out / VERDICT
    try:
        verdict = template.read_text().format_map(numbers) if template.is_file() else ""
        studies = (HOME.parent / "studies" / PAGE).read_text(encoding="utf-8")
        text = page(numbers, re.sub(r"(\d)%", r"\1 %", verdict), studies)
    except KeyError as missing:
        raise NothingThere(
            f"{out / NUMBERS} has no {missing}: repeat the analyses with make_report.py RUN DATA"
        ) from missing
    (out / PAGE).write_text(text)


def analyse(subject: Subject, out: Path) -> None:
    """Run the analyses, draw the figures, and write the numbers."""
    folder = out / "figures"
    (out / NUMBERS).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(subject.run / HISTORY, out / EPOCHS)
    history = History.read(subject.run / HISTORY)
    curves = draw_history(history.columns, history.best_epoch)
    figures.save(curves, folder / "history.png")
    images = subject.images
    patches = subject.result("patches", ik.TopPatches(layer="all"), images)
    counts = subject.result("ablation", ik.Ablation(layer="all"), images)
    after_activation = subject.result(
        "ablation-after-activation", ik.Ablation(layer="all", site="activation"), images
    )
    correct = subject.predicted() == images.labels
    shown = analyses.spread_classes(correct, images.labels, analyses.EIGHT)
    numbers = {
        "network": analyses.network_numbers(subject, patches),
        "test": fail(subject, folder),
        "occlusion": look(subject, (correct, shown), folder),
        "filters": portray(subject, (counts, patches), shown, folder),
        "ablation": analyses.comparison(counts),
        "after_activation": analyses.comparison(after_activation),
        "at_once": analyses.at_once(subject),
        "match": measures.broken_among_top_patches(counts, patches.labels),
    }
    figures.save(counts.figures()["layers"], folder / "ablation.png")
    write_csv(analyses.every_filter(counts, patches), out / FILTERS)
    (out / NUMBERS).write_text(json.dumps(rounded(numbers), indent=1) + "\n")


def fail(subject: Subject, folder: Path) -> dict[str, Any]:
    """Draw which classes are misclassified, and return the numbers of accuracy and confusion."""
    counts = subject.result("failures", ik.Misclassifications(mistakes=8), subject.images)
    drawn = counts.figures()
    figures.save(drawn["classes"], folder / "classes.png")
    if "mistakes" in drawn:
        figures.save(drawn["mistakes"], folder / "mistakes.png")
    return analyses.accuracy_numbers(counts)


def look(subject: Subject, which: tuple[Array, Array], folder: Path) -> dict[str, Any]:
    """Occlude the correct images (images,), bool, and draw those of the rows to show."""
    correct, shown = which
    occlusion = ik.Occlusion(window=analyses.WINDOW, stride=analyses.STRIDE)
    ids, boxes = subject.images.ids, subject.boxes
    eight = subject.result("occlusion", occlusion, subject.images.only(ids[shown]))
    for k, drawn in enumerate(figures.occlusion_pages(eight, boxes_of(boxes, shown)), 1):
        figures.save(drawn, folder / f"occlusion-{k}.png", scaled=True)
    lines = analyses.occlusion_numbers(eight)
    closest = max(range(len(lines)), key=lambda i: lines[i]["changing"])
    closely = eight.figures()
    image = int(eight.ids[closest])
    part = image_part(image, eight.origin.names[image])
    for kind, scaled in (("image", True), ("windows", False)):
        figure = closely[f"{kind}_{part}"]
        figures.save(figure, folder / f"closely-{kind}.png", scaled=scaled)
    found = {"window": analyses.WINDOW, "stride": analyses.STRIDE, "images": lines}
    found |= {"closest": closest, "peaks": [], "without_box": 0}
    if boxes is None:
        return found
    every = subject.result("occlusion-of-all", occlusion, subject.images.only(ids[correct]))
    peaks = analyses.peak_numbers(every, boxes[correct])
    boxed = peaks[0]["images"] if peaks else 0
    return found | {"peaks": peaks, "without_box": int(correct.sum()) - boxed}


def boxes_of(boxes: Array | None, rows: Array) -> Array | None:
    """Return the boxes of some images, or None if there are no boxes."""
    return None if boxes is None else boxes[rows]


def portray(
    subject: Subject, of: tuple[AblationResult, TopPatchesResult], shown: Array, folder: Path
) -> list[list[dict[str, Any]]]:
    """Draw what the filters that break most respond to, and return their numbers by layer."""
    counts, patches = of
    chosen = measures.worst_filters(counts, analyses.TWO)
    galleries = figures.patch_pages(patches, chosen, subject.classifier, subject.images)
    seen = subject.images.only(subject.images.ids[shown])
    for number, (rows, gallery) in enumerate(zip(chosen, galleries, strict=True), 1):
        figures.save(gallery, folder / "filters" / f"layer{number}-patches.png")
        filters = ",".join(map(str, counts.filter[rows]))
        name = f"responses-{number}"
        maps = subject.result(name, ik.Activations(layer=number, filters=filters), seen)
        drawn = figures.responses_page(maps, f"Responses of two filters of layer {number}")
        figures.save(drawn, folder / "filters" / f"layer{number}-responses.png", scaled=True)
    return analyses.filter_numbers(counts, patches, chosen)


def rounded(numbers: Any) -> Any:
    """Round all floats to six decimals; NaN and infinity become None."""
    if isinstance(numbers, dict):
        return {key: rounded(each) for key, each in numbers.items()}
    if isinstance(numbers, list | tuple):
        return [rounded(each) for each in numbers]
    if isinstance(numbers, float):
        return round(numbers, 6) if math.isfinite(numbers) else None
    return numbers


if __name__ == "__main__":
    main()
