"""Which images are the 33 animal classes, and how does a reader get the same folders?"""

from __future__ import annotations

from collections.abc import Iterable

CLASSES = {
    "african_elephant": "n02504458", "alligator": "n01698640", "bee": "n02206856",
    "black_stork": "n02002724", "boa_constrictor": "n01742172", "brown_bear": "n02132136",
    "bullfrog": "n01641577", "camel": "n02437312", "centipede": "n01784675",
    "chihuahua": "n02085620", "chimpanzee": "n02481823", "cougar": "n02125311",
    "dragonfly": "n02268443", "fire_salamander": "n01629819", "german_shepherd": "n02106662",
    "golden_retriever": "n02099601", "goldfish": "n01443537", "goose": "n01855672",
    "grasshopper": "n02226429", "guinea_pig": "n02364673", "jellyfish": "n01910747",
    "king_penguin": "n02056570", "koala": "n01882714", "ladybug": "n02165456",
    "lion": "n02129165", "lobster": "n01983481", "monarch_butterfly": "n02279972",
    "ox": "n02403003", "red_panda": "n02509815", "scorpion": "n01770393",
    "snail": "n01944390", "tabby_cat": "n02123045", "tarantula": "n01774750",
}  # fmt: skip
"""WordNet id of each class, by the name of its folder."""

VALIDATION = (
    17, 24, 26, 44, 56, 58, 62, 64, 98, 100, 108, 118, 127, 130, 150, 153, 164, 188, 196, 199,
    201, 210, 231, 247, 256, 274, 277, 285, 295, 307, 311, 326, 333, 366, 367, 370, 393, 404,
    405, 415, 419, 420, 431, 433, 436, 452, 459, 481, 492, 493,
)  # fmt: skip
"""Numbers of the validation images among the 500 training images of a class, from 0."""

NAME = "33 animal classes of Tiny ImageNet"


def named(classes: Iterable[str], otherwise: str) -> str:
    """Name the data set, if these are its classes."""
    return NAME if set(classes) == set(CLASSES) else otherwise


def about(classes: tuple[str, ...]) -> str:
    """Explain how to build the folders; empty for other classes."""
    if not named(classes, ""):
        return ""
    listed = ", ".join(f"`{folder}` {wordnet}" for folder, wordnet in CLASSES.items())
    numbers = ", ".join(map(str, VALIDATION))
    return f"""The images are {NAME} (200 classes of ImageNet at 64 x 64 pixels, with 500
training and 50 validation images each, published for Stanford's course CS231n). To build the same
folders, called `tiny33` below, from `tiny-imagenet-200`, for each class:

- `val/CLASS/`: those 50 of its 500 training images, `train/ID/images/ID_N.JPEG`, whose numbers N
  are listed below, the same for all classes;
- `train/CLASS/`: the other 450;
- `test/CLASS/`: its 50 images in `val/images/`, according to `val/val_annotations.txt`. The studies
  do not use them.

<details><summary>Folders with their WordNet ids, and the 50 numbers</summary>

{listed}.

{numbers}.

</details>"""
