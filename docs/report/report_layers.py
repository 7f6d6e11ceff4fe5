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
        f"classified again; {here['correct']} of them are correct with all filters.",
        figure("ablation", "Images broken per filter, layer by layer", "Each dot is one filter."),
        "**Per filter.** What does one filter do?",
        per_filter(here["layers"]),
        "The mean is what a filter drawn at random from the layer breaks. The last column: how "
        "often a random filter of this layer breaks more than a random one of the layer before; "
        "50 % means no difference.",
        "Over all filters, Spearman's rank correlation of a filter's layer and the images it "
        "breaks (1: always more in later layers, -1: always less, 0: no order) is "
        f"{by_filter(here)}",
        "**Per layer.** What do all of its filters do, still one at a time?",
        per_layer(here["layers"], numbers["network"]["layers"]),
        f"{by_layer(here['layers'])} A layer with more filters has more chances to break an "
        "image; a hundredth of the sum is what one per cent of its filters break.",
        *at_once(numbers["at_once"], here),
        "**Where is the zero?** Behind a convolution with batch normalisation, a zero feature map "
        "becomes a constant. Ablated after the activation, it stays zero:",
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
        return f"{rho(compared)}: depth says next to nothing about what a filter breaks."
    return f"{rho(compared)}: the later its layer, the {'more' if found > 0 else 'less'} it breaks."


def by_layer(lines: Sequence[Numbers]) -> str:
    """State the result per layer, by the order of the sums."""
    sums = [line["sum"] for line in lines]
    steps = [b - a for a, b in pairwise(sums)]
    if all(step > 0 for step in steps):
        return "Summed up, each layer breaks more than the one before."
    if all(step < 0 for step in steps):
        return "Summed up, each layer breaks less than the one before."
    most, least = sums.index(max(sums)) + 1, sums.index(min(sums)) + 1
    return (
        f"Summed up, the layers do not rise or fall throughout: layer {most} breaks most "
        f"({max(sums)}), layer {least} least ({min(sums)})."
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
        f"**At once.** One filter can be redundant. With {100 * share:.0f} % of a layer's filters "
        f"ablated together, drawn at random {draws} times, the accuracy of "
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
    most = f" Most in layer {gains.index(max(gains)) + 1}: {100 * max(gains):.1f} points."
    return [
        "**Does a filter break the classes that activate it?** The share of the images that a "
        "filter breaks whose class is among its nine top patches; and, for comparison, the same "
        "share with the patches of any filter of its layer, which is chance: its mean, and 1.96 "
        "standard deviations, over the permutations of these patches among the layer's filters.",
        table(("layer", "its own patches", "patches of any filter of the layer"), rows),
        f"Its own are clearly more than chance in {above} of {len(lines)} layers, and clearly less "
        f"in {below}.{most if above else ''}",
    ]
