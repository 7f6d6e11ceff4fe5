"""How is each kind of figure read? An explanation for readers who see it for the first time."""

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
            "All images",
            "Next to each image, the same image in gray, coloured where occlusion changes the "
            "confidence in the class named below. Red: the confidence drops when the region is "
            "occluded, so the region supports the class. Blue: the confidence rises, so the region "
            "counts against it. The figure says whether all images share one colour scale.",
        ),
        Kind(
            "image",
            "Occlusion map and confidence array",
            "Left: the image, with the window that lowers the confidence most. Middle: the mean "
            "drop in confidence when a pixel is occluded. Right: the confidence in the target for "
            "every position of the window; positions where the predicted class changes are "
            "outlined.",
        ),
        Kind(
            "windows",
            "Single windows",
            "Above: the mask, black where the image is occluded. Below: the occluded image, the "
            "predicted class, and the confidence in the target. An arrow marks a changed "
            "prediction.",
        ),
    ),
    "attribution": (
        Kind(
            "image",
            "Attribution maps side by side",
            "The image, and the map of each method. Each map is divided by the 99th percentile of "
            "its magnitudes: colours compare the pixels of a map, not the maps. Red supports the "
            "class, blue counts against it; green marks methods that have no sign. Where methods "
            "disagree, none of them is conclusive.",
        ),
    ),
    "activations": (
        Kind(
            "layer",
            "Activation maps",
            "A row is an image, a column is a filter. Each map shows where in the image the filter "
            "is active: the darker, the more strongly, on a scale of each filter's own that is the "
            "same for all images. Deeper layers usually have coarser maps.",
        ),
        Kind(
            "filters",
            "All filters of the layer",
            "Each line runs from the mean activation of a filter (dot) to its maximum (tip). The "
            "filters in red are those shown above.",
        ),
    ),
    "top_patches": (
        Kind(
            "layer",
            "Top patches",
            "A row is a filter; from left to right, the patches among all images that activate it "
            "most. A box marks the receptive field: the part of the image on which that activation "
            "depends. What the patches of a row have in common suggests what the filter detects. "
            "Only the filters with the highest peaks are drawn; the tables list all.",
        ),
    ),
    "ablation": (
        Kind(
            "layers",
            "Comparison of the layers",
            "A dot is a filter, and its position the number of newly misclassified images when it "
            "is ablated: correct with all filters, misclassified without this one. A layer whose "
            "dots lie far to the right has filters that others cannot compensate for.",
        ),
        Kind(
            "filters",
            "Filters of a layer",
            "Up: images that are newly misclassified when the filter is ablated. Down: images that "
            "are newly correct. Filters are ordered by the number of newly misclassified images.",
        ),
        Kind(
            "confidence",
            "Drop in confidence",
            "If no filter changes more than two predictions, counts say little. How far the "
            "confidence drops says more: first by layer, with a dot for each filter, then filter "
            "by filter.",
        ),
        Kind(
            "classes",
            "Newly misclassified images by class",
            "Left: a row for each of the filters whose ablation has the largest effect, a column "
            "for each class. A filter with a single dark cell matters for one class only. Right: "
            "the class frequencies of the two filters with the largest effect.",
        ),
    ),
    "misclassifications": (
        Kind(
            "classes",
            "Accuracy per class",
            "The least accurate classes come first. If filters are ablated, a line joins the "
            "accuracy with all filters (ring) and the accuracy with these ablated (dot).",
        ),
        Kind(
            "confusion",
            "Confusion matrix",
            "A row is a true class, a column a predicted class. Cells off the diagonal are "
            "mistakes; a dark one is a pair of classes that the classifier confuses.",
        ),
        Kind(
            "mistakes",
            "Most confident misclassifications",
            "The misclassified images with the highest confidence: the first place to look for "
            "wrong labels, and for what a class is confused with.",
        ),
    ),
    "comparison": (
        Kind(
            "classes",
            "Changes by class",
            "Left: images of a class that only the first classifier classifies correctly. Right: "
            "images that only the second does. The two bars of a class can differ by "
            "chance: q in the table is the false discovery rate if this class, and all with a "
            "smaller q, are said to have changed.",
        ),
        Kind(
            "changes",
            "The images that changed",
            "The images whose true class lost or gained the most probability. Under each image: "
            "the true class, and the prediction of the classifier that misclassifies it: the "
            "second one (now), or the first one (was).",
        ),
        Kind(
            "occlusion",
            "Occlusion maps by both classifiers",
            "The same images, with the drop in the probability of the true class when a region is "
            "occluded, on one colour scale. Red supports the true class, blue counts against it.",
        ),
    ),
    "sweep": (
        Kind(
            "sweep",
            "Accuracy by recipe",
            "Each dot is a trial. If the dots of neighbouring recipes overlap, the seed matters as "
            "much as the hyper-parameter. A gap between train and val indicates overfitting.",
        ),
    ),
    "training": (
        Kind(
            "curves",
            "Learning curves",
            "The loss should fall and the accuracy rise. If the training set's curve keeps "
            "improving while that of the validation set does not, the network overfits.",
        ),
    ),
}
