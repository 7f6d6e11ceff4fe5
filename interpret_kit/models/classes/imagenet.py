"""What are the 1000 classes of ImageNet called?

``imagenet.tsv`` has one class per line, in the usual order of the outputs: its synset in WordNet
3.0, and all lemmas of the synset. Reading it is fast; timm's ``ImageNetInfo`` has the same names,
but importing timm takes seconds.
"""

from __future__ import annotations

from importlib.resources import files
from typing import NamedTuple


class ImageNetNames(NamedTuple):
    """The names of the 1000 ImageNet classes, in the usual order of the outputs."""

    classes: tuple[str, ...]
    synonyms: tuple[tuple[str, ...], ...]  # synset, and all lemmas, of each class


def imagenet_names() -> ImageNetNames:
    """The first lemma of each class, with its synset if two classes share it (crane)."""
    table = files("interpret_kit.models.classes") / "imagenet.tsv"
    lines = table.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("\t") for line in lines]
    lemmas = [names.split(", ") for _, names in pairs]
    firsts = [each[0] for each in lemmas]
    classes = tuple(
        f"{first} ({synset})" if firsts.count(first) > 1 else first
        for first, (synset, _) in zip(firsts, pairs, strict=True)
    )
    synonyms = tuple((synset, *each) for (synset, _), each in zip(pairs, lemmas, strict=True))
    return ImageNetNames(classes, synonyms)
