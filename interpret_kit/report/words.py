"""How is each figure read? Plain words for someone who sees it for the first time."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """Figures of one kind; their files are called ``name`` or ``name_...``."""

    name: str
    title: str
    reading: str


KINDS: dict[str, tuple[Kind, ...]] = {
    "occlusion": (
        Kind(
            "overview",
            "All pictures",
            "Beside each picture, the same picture in gray with colour where covering it matters. "
            "Red: covered there, the classifier is less sure of the class named below, so that "
            "place speaks for the class. Blue: it becomes surer, so that place speaks against it. "
            "All pictures share one scale.",
        ),
        Kind(
            "image",
            "Heat map and confidence array",
            "Left, the picture, and the place of the window that hurts most. Middle, how much "
            "confidence is lost where the picture is covered. Right, what the classifier still "
            "believes for every place of the window; outlined are the places where it changes "
            "its mind.",
        ),
        Kind(
            "windows",
            "Single windows",
            "Above, the mask: black is covered. Below, what the classifier was shown, what it then "
            "predicted, and how sure it still was. A class after an arrow is a changed answer.",
        ),
    ),
    "activations": (
        Kind(
            "layer",
            "Maps",
            "A row is a picture, a column is a filter. Each map shows where in the picture the "
            "filter answers, and how strongly; all maps share one scale. Deep layers have fewer "
            "and larger cells.",
        ),
        Kind(
            "filters",
            "All filters of the layer",
            "From the mean of each filter (dot) to the strongest answer that it gives anywhere "
            "(tip). The red ones are those shown above.",
        ),
    ),
    "top_patches": (
        Kind(
            "layer",
            "Galleries",
            "A row is a filter; from left to right, the places in all of the images that excite it "
            "most. The frame is exactly the part of the picture that the filter can see there. "
            "What the patches of a row have in common is what the filter answers to. "
            "Only the filters with the strongest answers are drawn; the tables have all.",
        ),
    ),
    "ablation": (
        Kind(
            "layers",
            "Layers compared",
            "A dot is a filter: how many images it breaks when it is silenced, that is, how many "
            "were right before and are wrong now. A layer whose dots lie far right has filters "
            "that nothing else replaces.",
        ),
        Kind(
            "filters",
            "Filters of a layer",
            "Up, images that break without the filter; down, images that become right without it. "
            "The filters come in order of what they break.",
        ),
        Kind(
            "classes",
            "Classes that break",
            "Left, a row for each of the filters that break most, a column for each class: a "
            "filter with one dark cell serves a single class. Right, the same as frequencies for "
            "the two filters that break most.",
        ),
    ),
    "misclassifications": (
        Kind(
            "classes",
            "Accuracy per class",
            "The worst classes come first. With a filter silenced, a line leads from the accuracy "
            "before to the one after.",
        ),
        Kind(
            "confusion",
            "Confusion matrix",
            "A row is a true class, a column what it is taken for. What lies off the diagonal is "
            "wrong; a dark cell there is a pair of classes that the classifier mixes up.",
        ),
        Kind(
            "mistakes",
            "The surest mistakes",
            "The images that the classifier was most certain of, and wrong about: the first place "
            "to look for wrong labels, and for what a class is mistaken for.",
        ),
    ),
    "sweep": (
        Kind(
            "sweep",
            "Accuracy by recipe",
            "Each dot is a trial. Where the dots of neighbours overlap, the seed matters as much "
            "as the choice. A gap between train and val is what was learned by heart.",
        ),
    ),
    "training": (
        Kind(
            "curves",
            "Epoch by epoch",
            "Loss should fall and accuracy rise. Where the line of the training images goes on "
            "improving and that of the validation images does not, the network learns by heart.",
        ),
    ),
}
