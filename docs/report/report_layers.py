"""How does the report compare the layers? Its fourth section, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from report_markdown import figure, percent, table

Numbers = dict[str, Any]

LITTLE = 0.1  # a rank correlation nearer to 0 counts as none


def layers(numbers: Numbers) -> list[str]:
    """Compare all filters of all layers: per filter, per layer, at once, and at another site."""
    here, there = numbers["ablation"], numbers["after_activation"]
    return [
        "## 4. Are later layers more important?",
        f"Every filter of every layer is ablated once, and all {here['images']} test images are "
        f"classified again; {here['correct']} of them are correct with all filters intact.",
        figure("ablation", "Images broken per filter, layer by layer", "Each dot is one filter."),
        "**Per filter.** What is the effect of a single filter?",
        per_filter(here["layers"]),
        "The mean is the expected number of images that a random filter of the layer breaks. The "
        "last column is the probability that a random filter of this layer breaks more images "
        "than a random filter of the layer before; 50 % means no difference.",
        "Over all filters, Spearman's rank correlation between the layer of a filter and the "
        "number of images it breaks (1: always more in later layers, -1: always fewer, 0: no "
        "order) is "
        f"{by_filter(here)}",
        "**Per layer.** What is the total effect of a layer's filters, still ablated one by one?",
        per_layer(here["layers"], numbers["network"]["layers"]),
        f"{by_layer(here['layers'])} A layer with more filters has more chances to break an "
        "image, which the sum does not correct for.",
        *at_once(numbers["at_once"], here),
        "**Where is the feature map set to zero?** After a convolution, batch normalisation turns "
        "a zero feature map into a constant. If it is ablated after the activation instead, it "
        "stays zero:",
        sites(here["layers"], there["layers"]),
        f"After the activation, the rank correlation is {by_filter(there)} "
        f"{by_layer(there['layers'])}",
        *matches(numbers["match"]),
    ]


def per_filter(lines: Sequence[Numbers]) -> str:
    """Tabulate what one filter of each layer does."""
    rows = [
        (
            k,
            line["filters"],
            line["mean"],
            f"{line['median']:g}",
            line["most"],
            line["repaired"] / line["filters"],
            percent(line["flips_nothing"]),
            percent(line["beats_layer_before"]) if k > 1 else "",
        )
        for k, line in enumerate(lines, 1)
    ]
    columns = ("layer", "filters", "broken, mean", "median", "most", "repaired, mean")
    return table((*columns, "flip nothing", "beats the layer before"), rows)


def per_layer(lines: Sequence[Numbers], networks: Sequence[Numbers]) -> str:
    """Tabulate what all filters of each layer do, one at a time."""
    rows = [
        (
            k,
            line["sum"],
            line["repaired"],
            line["sum"] - line["repaired"],
            percent(line["top_tenth"]),
            percent(line["fragile"]),
            network["dead"],
        )
        for k, (line, network) in enumerate(zip(lines, networks, strict=True), 1)
    ]
    columns = ("layer", "broken, sum", "repaired, sum", "net", "by the worst tenth")
    return table((*columns, "correct images that some filter breaks", "dead filters"), rows)


def rho(compared: Numbers) -> str:
    """Format the rank correlation."""
    found = compared["spearman"]
    return "not defined" if found is None else f"{found:.2f}"


def every(compared: Numbers) -> int:
    """Count the filters of all layers."""
    return sum(int(line["filters"]) for line in compared["layers"])


def by_filter(compared: Numbers) -> str:
    """State the result per filter, by the sign of the rank correlation."""
    found = compared["spearman"]
    if found is None or abs(found) < LITTLE:
        return f"{rho(compared)}: depth predicts next to nothing of what a filter breaks."
    more = "more" if found > 0 else "fewer"
    return f"{rho(compared)}: filters of later layers tend to break {more} images."


def by_layer(lines: Sequence[Numbers]) -> str:
    """State the result per layer, by the order of the sums."""
    sums = [line["sum"] for line in lines]
    steps = [b - a for a, b in pairwise(sums)]
    if all(step > 0 for step in steps):
        return "In total, each layer breaks more images than the one before."
    if all(step < 0 for step in steps):
        return "In total, each layer breaks fewer images than the one before."
    most, least = sums.index(max(sums)) + 1, sums.index(min(sums)) + 1
    return (
        f"The sums neither rise nor fall steadily with depth: layer {most} breaks the most images "
        f"({max(sums)}), layer {least} the fewest ({min(sums)})."
    )


def at_once(lines: Sequence[Numbers], compared: Numbers) -> list[str]:
    """Tabulate the accuracy with a share of a layer's filters ablated at once."""
    share, draws, images = lines[0]["share"], len(lines[0]["correct"]), compared["images"]
    rows = [
        (
            k,
            line["filters"],
            percent(line["accuracy"]),
            f"{percent(min(line['correct']) / images)} to {percent(max(line['correct']) / images)}",
        )
        for k, line in enumerate(lines, 1)
    ]
    return [
        f"**Several at once.** A single filter can be redundant. With {100 * share:.0f} % of a "
        f"layer's filters ablated together, in {draws} random draws, the accuracy of "
        f"{percent(compared['correct'] / images)} falls to:",
        table(("layer", "filters ablated", "accuracy, mean", "lowest to highest"), rows),
    ]


def sites(here: Sequence[Numbers], there: Sequence[Numbers]) -> str:
    """Tabulate ablation before the normalisation beside ablation after the activation."""
    rows = [
        (k, a["mean"], b["mean"], a["sum"], b["sum"])
        for k, (a, b) in enumerate(zip(here, there, strict=True), 1)
    ]
    columns = ("broken per filter, at the convolution", "broken per filter, after the activation")
    return table(("layer", *columns, "sum, at the convolution", "sum, after the activation"), rows)


def matches(lines: Sequence[Numbers]) -> list[str]:
    """Tabulate whether filters break the classes that activate them."""
    rows = [
        (k, percent(each["own"]), f"{percent(each['shuffled'])} ± {100 * each['interval']:.1f}")
        for k, each in enumerate(lines, 1)
    ]
    gains = [each["own"] - each["shuffled"] for each in lines]
    above = sum(gain > each["interval"] for gain, each in zip(gains, lines, strict=True))
    below = sum(gain < -each["interval"] for gain, each in zip(gains, lines, strict=True))
    most = f" The difference is largest in layer {gains.index(max(gains)) + 1}: "
    most += f"{100 * max(gains):.1f} points."
    return [
        "**Does a filter break the classes that activate it?** Of the images that a "
        "filter breaks, the table shows the share whose class is also a class of its nine top "
        "patches. For comparison, it shows the same share with the patches of any filter of its "
        "layer, which is the chance level: the mean, and 1.96 standard deviations, over "
        "permutations of these patches among the layer's filters.",
        table(("layer", "its own patches", "patches of any filter of the layer"), rows),
        f"The share is clearly above chance in {above} of {len(lines)} layers, and clearly below "
        f"in {below}.{most if above else ''}",
    ]
