"""What is inside a trained network? Runs every analysis on it, and writes docs/report.md.

    python docs/make_report.py RUN DATA      # computes, draws, writes; minutes
    python docs/make_report.py --rewrite     # only the page, from docs/report.json

RUN is a folder of `ikit train`, or a trial of `ikit sweep`. DATA is the folder of its images,
with a `test` split and, for "does it look at the object?", a `boxes.csv` of path (from DATA on,
such as test/ox/3.jpg), x0, y0, x1, y1.
Results are kept (--kept) and read again when the same is asked of the same.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import report_answers as answers
import report_measures as measures
import report_pictures as pictures
from report_answers import Subject
from report_measures import Array
from report_text import page

import interpret_kit as ik
from interpret_kit.analyses.ablation import AblationResult
from interpret_kit.analyses.top_patches import TopPatchesResult
from interpret_kit.errors import NothingThere
from interpret_kit.models.loading.recorded_runs import HISTORY
from interpret_kit.render.curves import draw_history
from interpret_kit.results.table import write_csv
from interpret_kit.trainers.runs.folder import History

HOME = Path(__file__).parent
NUMBERS, FILTERS, LEARNED, TEXT, VERDICT = (
    "report.json", "report_filters.csv", "report_history.csv", "report.md", "report_verdict.md"
)  # fmt: skip


def main() -> None:
    """Make all of it, or only the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?", help="folder of a run")
    parser.add_argument("data", type=Path, nargs="?", help="folder of its images")
    parser.add_argument("--rewrite", action="store_true", help="only the page, of kept numbers")
    parser.add_argument("--out", type=Path, default=HOME, help="folder of the page")
    parser.add_argument("--kept", type=Path, default=Path("ikit-out/report"), help="for results")
    given = parser.parse_args()
    if not given.rewrite:
        if given.data is None:
            parser.error("say RUN and DATA, or --rewrite")
        ask(Subject.load(given.run, given.data, given.kept), given.out)
    try:
        write(given.out)
    except NothingThere as error:
        parser.error(str(error))


def write(out: Path) -> None:
    """Write the page of the numbers; the verdict's own are filled in, too.

    Raises:
        NothingThere: a number is missing, as an older program wrote them.
    """
    numbers = json.loads((out / NUMBERS).read_text())
    verdict = out / VERDICT
    try:
        said = verdict.read_text().format_map(numbers) if verdict.is_file() else ""
        text = page(numbers, re.sub(r"(\d)%", r"\1 %", said))
    except KeyError as missing:
        raise NothingThere(
            f"{out / NUMBERS} has no {missing}: make a new report, make_report.py RUN DATA"
        ) from missing
    (out / TEXT).write_text(text)


def ask(subject: Subject, out: Path) -> None:
    """Run every analysis, draw the figures, and write the numbers."""
    folder = out / "pictures" / "report"
    shutil.copyfile(subject.run / HISTORY, out / LEARNED)
    curves = draw_history(History.read(subject.run / HISTORY).columns)
    pictures.save(curves, folder / "history.png")
    images = subject.images
    patches = subject.answer("patches", ik.TopPatches(layer="all"), images)
    counts = subject.answer("ablation", ik.Ablation(layer="all"), images)
    elsewhere = subject.answer(
        "ablation-after-activation", ik.Ablation(layer="all", site="activation"), images
    )
    right = subject.predicted() == images.labels
    shown = answers.spread_classes(right, images.labels, answers.EIGHT)
    numbers = {
        "network": answers.network_numbers(subject, patches),
        "test": fail(subject, folder),
        "occlusion": look(subject, (right, shown), folder),
        "filters": portray(subject, (counts, patches), shown, folder),
        "ablation": answers.comparison(counts),
        "elsewhere": answers.comparison(elsewhere),
        "together": answers.together(subject),
        "match": measures.breaks_what_excites(counts, patches.labels),
    }
    pictures.save(counts.figures()["layers"], folder / "ablation.png")
    write_csv(answers.every_filter(counts, patches), out / FILTERS)
    (out / NUMBERS).write_text(json.dumps(rounded(numbers), indent=1) + "\n")


def fail(subject: Subject, folder: Path) -> dict[str, Any]:
    """Which classes fail, and what are they predicted as?"""
    counts = subject.answer("failures", ik.Misclassifications(mistakes=8), subject.images)
    figures = counts.figures()
    pictures.save(figures["classes"], folder / "classes.png")
    if "mistakes" in figures:
        pictures.save(figures["mistakes"], folder / "mistakes.png")
    return answers.accuracy_numbers(counts)


def look(subject: Subject, which: tuple[Array, Array], folder: Path) -> dict[str, Any]:
    """Where do decisions rest? Of right images (images,), bool, and of the rows to show."""
    right, shown = which
    ask = ik.Occlusion(window=answers.WINDOW, stride=answers.STRIDE)
    ids, boxes = subject.images.ids, subject.boxes
    eight = subject.answer("occlusion", ask, subject.images.only(ids[shown]))
    for k, drawn in enumerate(pictures.occlusion_pages(eight, boxes_of(boxes, shown)), 1):
        pictures.save(drawn, folder / f"occlusion-{k}.png", scaled=True)
    lines = answers.occlusion_numbers(eight)
    closest = max(range(len(lines)), key=lambda i: lines[i]["changing"])
    figures = eight.figures()
    for kind, scaled in (("image", True), ("windows", False)):
        figure = figures[f"{kind}_{eight.ids[closest]}"]
        pictures.save(figure, folder / f"closely-{kind}.png", scaled=scaled)
    found = {"window": answers.WINDOW, "stride": answers.STRIDE, "pictures": lines}
    found |= {"closest": closest, "peaks": [], "without_box": 0}
    if boxes is None:
        return found
    every = subject.answer("occlusion-of-all", ask, subject.images.only(ids[right]))
    peaks = answers.peak_numbers(every, boxes[right])
    boxed = peaks[0]["images"] if peaks else 0
    return found | {"peaks": peaks, "without_box": int(right.sum()) - boxed}


def boxes_of(boxes: Array | None, rows: Array) -> Array | None:
    """The boxes of some images, where there are any."""
    return None if boxes is None else boxes[rows]


def portray(
    subject: Subject, of: tuple[AblationResult, TopPatchesResult], shown: Array, folder: Path
) -> list[list[dict[str, Any]]]:
    """Draw what the filters that break most respond to, layer by layer; their numbers."""
    counts, patches = of
    chosen = measures.worst_filters(counts, answers.TWO)
    galleries = pictures.patch_pages(patches, chosen, subject.classifier, subject.images)
    seen = subject.images.only(subject.images.ids[shown])
    for number, (rows, gallery) in enumerate(zip(chosen, galleries, strict=True), 1):
        pictures.save(gallery, folder / f"layer{number}-patches.png")
        filters = ",".join(map(str, counts.filter[rows]))
        name = f"responses-{number}"
        maps = subject.answer(name, ik.Activations(layer=number, filters=filters), seen)
        page = pictures.responses_page(maps, f"What two filters of layer {number} answer to")
        pictures.save(page, folder / f"layer{number}-responses.png", scaled=True)
    return answers.filter_numbers(counts, patches, chosen)


def rounded(told: Any) -> Any:
    """Shorten all floats to six places, and NaN as None."""
    if isinstance(told, dict):
        return {key: rounded(each) for key, each in told.items()}
    if isinstance(told, list | tuple):
        return [rounded(each) for each in told]
    if isinstance(told, float):
        return round(told, 6) if math.isfinite(told) else None
    return told


if __name__ == "__main__":
    main()
