"""How does the report show two filters of each layer? Its third section, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from report_markdown import figure, name, table

Numbers = dict[str, Any]

MOST = 3  # classes of each filter in a table; the others are summed up


def filters(network: Numbers, chosen: Sequence[Any], test: Numbers) -> list[str]:
    """Describe two filters of each layer: what they respond to, and what they are for."""
    parts = [
        "## 3. What do its filters respond to, and what are they for?",
        "For each layer, this section shows the two filters whose ablation breaks the most test "
        "images: first their responses to the eight images above, then the patches of all test "
        "images that activate them most, then the classes of the images that they break. A filter "
        "is ablated by setting its feature map to zero at the convolution's output.",
    ]
    for number, (layer, pair) in enumerate(zip(network["layers"], chosen, strict=True), 1):
        parts += _layer(number, layer, pair, test)
    return parts


def _layer(number: int, layer: Numbers, pair: Sequence[Numbers], test: Numbers) -> list[str]:
    rows, cols = layer["feature_map"]
    both = " and ".join(str(each["filter"]) for each in pair)
    high, wide = layer["receptive_field"]
    return [
        f"### Layer {number}: filters {both} of {layer['filters']}",
        "\n".join(_in_a_line(each) for each in pair),
        figure(f"filters/layer{number}-responses", f"Responses of filters {both}",
               f"Responses: feature maps of {rows} x {cols} units."),
        figure(f"filters/layer{number}-patches", f"Patches that activate filters {both}",
               f"Top patches: the receptive field is {high} x {wide} px."),
        _classes(pair, test),
    ]  # fmt: skip


def _in_a_line(each: Numbers) -> str:
    """Describe a filter in one line: what activates it, what it breaks."""
    worst = [f"*{name(label)}* ({each['classes'][label][0]})" for label in broken_most(each)[:1]]
    most = f", most of all {worst[0]}" if worst else ""
    often = [f"*{name(label)}* ({n})" for label, n in each["top_patch_classes"] if n > 1]
    patches = f" Among its top patches: {', '.join(often)}." if often else ""
    return (
        f"- **Filter {each['filter']}** breaks {each['broken']} images{most}, and repairs "
        f"{each['repaired']}.{patches}"
    )


def broken_most(each: Numbers) -> list[str]:
    """List the classes of the images that a filter breaks, the most frequent first."""
    found: dict[str, list[int]] = each["classes"]
    return sorted((k for k in found if found[k][0]), key=lambda k: (-found[k][0], k))


def _classes(pair: Sequence[Numbers], test: Numbers) -> str:
    """Tabulate the classes that the filters flip most, the others, and all."""
    correct = test["correct_by_class"]
    flips = {
        label: [n for each in pair for n in each["classes"].get(label, (0, 0))] for label in correct
    }
    order = sorted(correct, key=lambda label: (-sum(flips[label][::2]), label))
    worst = {label for each in pair for label in broken_most(each)[:MOST]}
    shown = [label for label in order if label in worst]
    others = [label for label in order if label not in worst]
    rows = [(name(label), correct[label], *flips[label]) for label in shown]
    for what, labels in ((f"{len(others)} others", others), ("**all**", order)):
        sums = [sum(column) for column in zip(*(flips[label] for label in labels), strict=True)]
        rows += [(what, sum(correct[label] for label in labels), *sums)] if labels else []
    columns = [f"{what} {each['filter']}" for each in pair for what in ("broken by", "repaired by")]
    return table(("class", "correct before", *columns), rows)
