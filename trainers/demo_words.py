"""What does the page of the demo say? The folder, title and introduction of each section."""

from __future__ import annotations

Words = tuple[str, str, str]  # the folder of a result, the title and the text of its section

TRAINED = "A network trained on the spot"
IMAGENET = "A network trained on ImageNet, and photos"
UNIFORM = "military uniform"  # what ImageNet calls the photo

INTRODUCTION = (
    "Four questions about two image classifiers. Where does the classifier look? What does each "
    "filter respond to? What is each filter for? Which classes are misclassified? The first "
    "classifier was trained a moment ago, on generated images with known ground truth; the second "
    "is a common ImageNet network. Click a figure to enlarge it; each section ends with its tables "
    "and with everything needed to reproduce them."
)

ATLAS_LINKS = {
    "atlas": (
        "Atlas of the trained network",
        "a page for each of its layers, filters and classes.",
    ),
    "photo-atlas": (
        "Atlas of the ImageNet network",
        "three of its layers, on photos; ablating a filter shows what its predictions depend on.",
    ),
}
TRAINING = (
    "run",
    "How accurate is it?",
    "Each image shows one object on a textured background, one of 11 shapes in one of 3 textures: "
    "33 classes. Position, size, angle and colours are independent of the class, so only the "
    "object reveals it.",
)
OCCLUSION = (
    "occlusion",
    "Where does it look?",
    "Occlusion of a few test images by a gray square, with a stride of a third of its side. The "
    "confidence of a network that relies on the object, and not on the background, drops only "
    "where the object is occluded.",
)
ATTRIBUTION = (
    "attribution",
    "Do other methods agree?",
    "The same images, explained by occlusion, Grad-CAM, integrated gradients and saliency. They "
    "measure different things; a region that all of them mark is more convincing.",
)
ACTIVATIONS = (
    "activations-{}",
    "What does layer {} respond to in these images?",
    "The filters with the strongest activations on the same images. Early layers respond to edges "
    "and textures all over the image; late ones at few positions, or not at all.",
)
TOP_PATCHES = (
    "top-patches",
    "What does each filter respond to?",
    "For every filter of every layer, the patches of the test images that activate it most.",
)
ABLATION = (
    "ablation",
    "What is each filter for?",
    "Every filter of every layer is ablated in turn, and a third of the test images are classified "
    "again.",
)
MISTAKES = (
    "misclassifications",
    "Which classes are misclassified?",
    "All test images, counted by class.",
)
WITHOUT_FILTER = (
    "misclassifications-ablated",
    "Which classes are misclassified without its most important filter?",
    "The same counts after ablating the filter that broke most images above: the difference is "
    "what that filter is for.",
)
PHOTO_GUESS = (
    "photo-occlusion",
    "Where does it look for its top prediction?",
    "Each photo is occluded by a gray square. Red marks what the network's own prediction depends "
    "on, whether or not it is correct. Photos: {}.",
)
PHOTO_UNIFORM = (
    "photo-occlusion-uniform",
    "Where does it see the uniform?",
    "This photo shows Grace Hopper, a computer scientist and rear admiral, in her uniform. The "
    "same windows, for the confidence in “military uniform”, which need not be the prediction. "
    "Blue marks evidence against it.",
)
PHOTO_ACTIVATIONS = (
    "photo-activations-{}",
    "What does layer {} respond to in the photos?",
    "The filters with the strongest activations.",
)
