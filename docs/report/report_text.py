"""How does the report's page read? Formats its numbers as Markdown; nothing is computed here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from earlier_report import KNOWN
from report_conclusions import conclusions
from report_filters import filters
from report_layers import every, layers, rho
from report_markdown import figure, name, percent, table
from studies_images import named

Numbers = dict[str, Any]

COMMAND = "python docs/report/make_report.py RUN DATA"
GUESSES = {"others": "another image's peak", "middle": "the centre of the image"}
PARTS = {  # of the recipe's table
    "network": (
        *("channels", "kernel", "pool", "batch_norm", "activation", "global_pool"),
        *("fc", "dropout"),
    ),
    "training": ("epochs", "batch_size", "optimizer", "lr", "schedule", "warmup"),
    "regularisation": ("weight_decay", "clip", "ema", "label_smoothing"),
    "augmentation": ("augment", "crop", "colour", "erase", "mixup", "cutmix"),
}


def page(numbers: Numbers, verdict: str, studies: str) -> str:
    """Write the whole page; ``studies`` is the page of the studies."""
    parts = [
        *opening(numbers),
        *accuracy(numbers["network"], numbers["test"]),
        *occlusion(numbers["occlusion"]),
        *filters(numbers["network"], numbers["filters"], numbers["test"]),
        *layers(numbers),
        *conclusions(numbers, studies),
        *([f"## Verdict\n\n{verdict.strip()}"] if verdict else []),
        *making(numbers["network"]),
    ]
    return "\n\n".join(parts) + "\n"


def opening(numbers: Numbers) -> list[str]:
    """Introduce the page, and summarise each result in a line."""
    test, peaks = numbers["test"], numbers["occlusion"]["peaks"]
    compared = numbers["ablation"]
    classes = test["correct_by_class"]
    images = named(classes, f"{len(classes)} classes")
    means = ", ".join(f"{line['mean']:.1f}" for line in compared["layers"])
    rows = [
        (
            "[How accurate is it?](#1-how-accurate-is-it)",
            f"{percent(test['accuracy'])} of the test images",
        ),
        (
            "[What are its filters for?](#3-what-do-its-filters-respond-to-and-what-are-they-for)",
            f"one filter breaks, on average, {means} images, from the first layer to the last",
        ),
        (
            "[Are later layers more important?](#4-are-later-layers-more-important)",
            f"rank correlation between depth and images broken, over {every(compared)} filters: "
            f"{rho(compared)}",
        ),
    ]
    if peaks:
        hits = f"at the object in {percent(peaks[0]['own'])} of the correctly classified images"
        hits += f" (a random point: {percent(peaks[0]['chance'])})"
        rows.insert(1, ("[Where does it look?](#2-where-does-it-look)", hits))
    return [
        "# What is inside a network of five convolutions?",
        f"The network was trained on {images}. This page analyses it on the {test['images']} test "
        "images: their misclassifications, occlusion, activations, top patches and ablation. "
        "Ablating a filter **breaks** the images that are newly misclassified: they are classified "
        "correctly with all filters, but not without this one. It **repairs** the images that are "
        "newly correct.",
        table(("question", "number"), rows),
    ]


def accuracy(network: Numbers, test: Numbers) -> list[str]:
    """Show the recipe, the training history, and the accuracy of each class."""
    pairs = [
        (name(best[0]), percent(best[3] / 100), name(worst[0]), percent(worst[3] / 100),
         name(worst[4]))
        for best, worst in zip(test["best"], test["worst"], strict=True)
    ]  # fmt: skip
    confused = [(name(a), name(b), n, of) for a, b, n, of in test["confusions"]]
    caption = "Under each image: its true class, the predicted class and its confidence."
    return [
        "## 1. How accurate is it?",
        f"**{percent(test['accuracy'])}** of {test['images']} test images are classified correctly "
        f"({test['correct']}; 95 % interval ± {100 * test['interval']:.1f}). The earlier report on "
        f"which this page is modelled reached {KNOWN} % with five convolutions, but on 33 other "
        "classes, so the two numbers are not comparable.",
        recipe(network),
        figure("history", "Loss and accuracy by epoch", _history(network["recipe"])),
        table(("best class", "accuracy", "worst class", "accuracy", "mostly predicted as"), pairs),
        figure("classes", "Accuracy of each class", "Accuracy of each class."),
        "The most frequent confusions:",
        table(("true class", "predicted as", "times", "of images"), confused),
        *([figure("mistakes", "Eight confident mistakes", f"Most confident mistakes. {caption}")]
          if test["correct"] < test["images"] else []),
    ]  # fmt: skip


def recipe(network: Numbers) -> str:
    """Tabulate the hyper-parameters, and the size of the network."""
    values = network["recipe"]
    rows = [
        (part, ", ".join(f"{name(k)} {_value(values[k])}" for k in names if _value(values[k])))
        for part, names in PARTS.items()
    ]
    trained_on = "train and val images" if values["val_too"] else "train images"
    share = f", {percent(values['data_share'])} of them" if values["data_share"] < 1 else ""
    minutes = network["metrics"].get("seconds", 0) / 60
    size = (
        f"{network['parameters'] / 1e6:.2f} million parameters, "
        f"{network['multiply_adds'] / 1e6:.0f} million multiply-adds per image"
    )
    rows += [("training set", trained_on + share), ("size", size)]
    rows += [("training", f"{minutes:.0f} minutes, {network['manner'].split(':')[0]}")]
    return table(("", "recipe"), rows)


def _value(value: object) -> str:
    """Format a hyper-parameter; empty if it is off."""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, list):
        return "-".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) and value else str(value or "")


def _history(recipe: Numbers) -> str:
    caption = "Loss and accuracy, epoch by epoch."
    if recipe["mixup"] or recipe["cutmix"]:
        caption += " The training images are mixed (mixup, cutmix), which makes them harder than"
        caption += " the test images, so the training accuracy may stay below the test accuracy."
    if recipe["val_too"]:
        caption += " The training set includes the val images, so there is no validation curve."
    return caption


def occlusion(numbers: Numbers) -> list[str]:
    """Show where it looks: eight images, one in detail, and all by their boxes."""
    shown, side = numbers["images"], numbers["window"]
    rows = [
        (name(each["class"]), f"{each['confidence']:.2f}", f"{each['worst']:.2f}",
         each["changing"], name(each["to"]) or "-")
        for each in shown
    ]  # fmt: skip
    pages = -(-len(shown) // 4)
    closest = shown[numbers["closest"]]
    return [
        "## 2. Where does it look?",
        f"Occlusion with a gray window of {side} x {side} px and a stride of "
        f"{numbers['stride']} px has {shown[0]['windows']} positions, each with a binary mask and "
        "a prediction. The figures show the first correctly classified test image of eight "
        "classes, chosen at equal steps through the alphabet.",
        *(figure(f"occlusion-{k}", f"Occlusion of test images, part {k} of {pages}",
                 "One colour scale for all eight images.") for k in range(1, pages + 1)),
        table(("image", "confidence", "lowest, occluded", "windows that change the prediction",
               "mostly to"), rows),
        "In detail, the image whose prediction is changed by the most windows, "
        f"*{name(closest['class'])}* ({closest['changing']} of {closest['windows']}):",
        figure("closely-image", "One image, its attribution and its confidence array",
               "Left: the worst window. Right: the confidence with the window at each position."),
        figure("closely-windows", "Masks, and the occluded images",
               "Above: binary masks. Below: the occluded images, and the predictions for them."),
        *peaks(numbers["peaks"], numbers["without_box"]),
    ]  # fmt: skip


def peaks(lines: Sequence[Numbers], without_box: int) -> list[str]:
    """Tabulate how often the peak lies in the object's box."""
    if not lines:
        return []
    rows = [
        ("all" if line["most"] == 1 else f"box at most {100 * line['most']:.0f} % of the image",
         line["images"], f"{percent(line['own'])} ± {100 * line['own_interval']:.1f}",
         percent(line["chance"]), percent(line["others"]), percent(line["middle"]))
        for line in lines
    ]  # fmt: skip
    columns = ("correct test images", "images", "peak in its box", "random point",
               "another image's peak", "centre of the image")  # fmt: skip
    smallest = f" On the smallest boxes it {against(lines[-1], 'middle')}."
    return [
        "**Does it look at the object?** The peak is the pixel with the largest attribution. "
        "Bounding boxes are large and objects are central, which makes many hits likely by chance; "
        "the table therefore includes three baselines that do not use the image.",
        table(columns, rows),
        "Compared image by image as a prediction of where the object is, the peak "
        f"{against(lines[0], 'others')} and {against(lines[0], 'middle')}."
        + (smallest if len(lines) > 1 else "")
        + (f" Excluded: {without_box} images with no box or an empty one." if without_box else ""),
    ]


def against(line: Numbers, other: str) -> str:
    """State whether the peak is the better guess: the paired difference and its interval."""
    share, error = line[f"above_{other}"], line[f"above_{other}_interval"]
    verdict = "does not differ significantly from"
    if error is not None and abs(share) > error:
        verdict = "beats" if share > 0 else "is beaten by"
    interval = "unknown" if error is None else f"{100 * error:.1f}"
    return f"{verdict} {GUESSES[other]} ({100 * share:+.1f} points ± {interval})"


def making(network: Numbers) -> list[str]:
    """Give the command that made the page."""
    versions = ", ".join(f"{each} {number}" for each, number in network["versions"].items())
    return [
        "## How this page was made",
        f"`{COMMAND}` runs the analyses, draws the figures and writes the page. RUN is the output "
        "folder of `ikit train`, or a trial of `ikit sweep`; DATA is the folder of its images, "
        "with a `boxes.csv` for the second section. The numbers are in "
        "[numbers/report.json](numbers/report.json), every epoch in "
        "[numbers/history.csv](numbers/history.csv), every filter in "
        "[numbers/filters.csv](numbers/filters.csv); `make_report.py --rewrite` makes the page "
        f"from them. Trained with {versions}.",
    ]
