"""Are images in memory read as what they are, however a user of torch holds them?"""

import numpy as np
import pytest
import torch
from networks_on_paper import small_classifier
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import interpret_kit as ik
from interpret_kit.errors import NoImages, NothingThere, UsageError, WrongType

LEVELS = np.random.default_rng(0).integers(0, 256, (5, 12, 10, 3), np.uint8)  # what all hold
PIXELS = torch.from_numpy(LEVELS).permute(0, 3, 1, 2).float() / 255
LABELS = torch.tensor([4, 0, 2, 2, 1])
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMAL = (PIXELS - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


class Photos(Dataset):
    """As torchvision's: PIL images, integers, and the names of the classes."""

    classes = ("ant", "bee", "cat", "dog", "eel")

    def __len__(self):
        return 5

    def __getitem__(self, row):
        return Image.fromarray(LEVELS[row]), int(LABELS[row])


class Stream(IterableDataset):
    def __iter__(self):
        return iter(zip(PIXELS, LABELS, strict=True))


class Image_:  # noqa: N801
    """Stands for `datasets.Image`, which is recognised by its name."""


Image_.__name__ = "Image"


class ClassLabel:
    names = ("ant", "bee", "cat", "dog", "eel")


class Rows:
    """What `datasets.Dataset` shows of itself."""

    features = {"photo": Image_(), "note": "text", "kind": ClassLabel()}  # noqa: RUF012

    def __len__(self):
        return 5

    def __getitem__(self, row):
        return {"photo": Image.fromarray(LEVELS[row]), "note": "", "kind": int(LABELS[row])}


def held(images):
    """All pixels, (images, height, width, 3)."""
    return np.stack([np.asarray(images.decode(each)) for each in images.ids])


WITHOUT_LABELS = {
    "a tensor": PIXELS,
    "a tensor of bytes": torch.from_numpy(LEVELS).permute(0, 3, 1, 2),
    "a tensor with gradients": PIXELS.clone().requires_grad_(),
    "an array": LEVELS,
    "an array of floats": LEVELS / 255,
    "tensors": list(PIXELS),
    "arrays": list(LEVELS),
    "PIL images": [Image.fromarray(each) for each in LEVELS],
    "a generator": (each for each in PIXELS),
    "a loader without labels": DataLoader(PIXELS, batch_size=2),
}


@pytest.mark.parametrize("given", WITHOUT_LABELS.values(), ids=WITHOUT_LABELS)
def test_pixels_are_kept_level_by_level(given):
    images = ik.load_images(given)
    np.testing.assert_array_equal(held(images), LEVELS)
    assert images.labels.tolist() == [-1] * 5


WITH_LABELS = {
    "a batch": (PIXELS, LABELS),
    "pairs": list(zip(PIXELS, LABELS, strict=True)),
    "a TensorDataset": TensorDataset(PIXELS, LABELS),
    "a Dataset of PIL images": Photos(),
    "a stream": Stream(),
    "a DataLoader": DataLoader(TensorDataset(PIXELS, LABELS), batch_size=2),
    "a DataLoader of dicts": DataLoader(
        [{"pixel_values": p, "label": n} for p, n in zip(PIXELS, LABELS, strict=True)], batch_size=3
    ),
    "a datasets.Dataset": Rows(),
}


@pytest.mark.parametrize("given", WITH_LABELS.values(), ids=WITH_LABELS)
def test_labels_go_with_their_images(given):
    images = ik.load_images(given)
    np.testing.assert_array_equal(held(images), LEVELS)
    assert images.labels.tolist() == [4, 0, 2, 2, 1]


@pytest.mark.parametrize(
    "given", [Photos(), DataLoader(Photos(), collate_fn=lambda b: b[0]), Rows()]
)
def test_the_classes_of_a_data_set_are_known_by_name(given):
    assert ik.load_images(given).classes == ("ant", "bee", "cat", "dog", "eel")


def test_classes_may_be_a_mapping_or_tuples_of_synonyms():
    pairs = Photos()
    pairs.classes = None
    pairs.class_to_idx = {"eel": 4, "ant": 0, "bee": 1, "dog": 3, "cat": 2}
    assert ik.load_images(pairs).classes == Photos.classes
    pairs.classes = [("ant", "emmet"), ("bee",), ("cat", "house cat"), ("dog",), ("eel",)]
    assert ik.load_images(pairs).classes == Photos.classes


def test_a_subset_keeps_the_classes_and_names_of_labels_make_classes():
    some = ik.load_images(Subset(Photos(), [3, 0]))
    assert some.labels.tolist() == [2, 4]
    assert some.classes == ("ant", "bee", "cat", "dog", "eel")
    named = ik.load_images([(PIXELS[0], "dog"), (PIXELS[1], None), (PIXELS[2], "cat")])
    assert (named.classes, named.labels.tolist()) == (("cat", "dog"), [1, -1, 0])


@pytest.mark.parametrize(
    ("given", "shape"),
    [
        (PIXELS[0], (1, 12, 10, 3)),
        (LEVELS[0], (1, 12, 10, 3)),
        (Image.fromarray(LEVELS[0]), (1, 12, 10, 3)),
        (torch.zeros(1, 12, 10), (1, 12, 10, 3)),
        (torch.zeros(12, 10), (1, 12, 10, 3)),
    ],
)
def test_one_image_is_one_image(given, shape):
    assert held(ik.load_images(given)).shape == shape


def test_images_may_have_different_sizes_and_transparency_is_on_white():
    clear = Image.new("RGBA", (7, 5), (0, 0, 0, 0))
    images = ik.load_images([Image.new("L", (4, 5), 9), clear])
    assert [images.decode(each).size for each in images.ids] == [(4, 5), (7, 5)]
    assert images.decode(0).getpixel((0, 0)) == (9, 9, 9)
    assert images.decode(1).getpixel((0, 0)) == (255, 255, 255)


def test_a_normalisation_is_undone_to_the_level():
    loader = DataLoader(TensorDataset(NORMAL, LABELS), batch_size=2)
    np.testing.assert_array_equal(held(ik.load_images(loader, normalized=(MEAN, STD))), LEVELS)
    gray = ik.load_images((PIXELS[:, :1] - 0.5) / 0.25, normalized=(0.5, 0.25))
    np.testing.assert_array_equal(held(gray)[..., 0], LEVELS[..., 0])


def test_a_loader_that_shuffles_is_noted():
    images = ik.load_images(DataLoader(TensorDataset(PIXELS, LABELS), shuffle=True))
    assert sorted(images.labels.tolist()) == [0, 1, 2, 2, 4]
    (note,) = images.notes
    assert note.startswith("the images are numbered in the order in which the DataLoader, which")


def test_splits_of_a_datasets_dict_are_picked_by_name():
    splits = {"train": Rows(), "validation": Rows()}
    assert len(ik.load_images(splits, "train")) == len(ik.load_images(splits)) == 5
    with pytest.raises(NothingThere, match="no split 'test'; available: train, validation"):
        ik.load_images(splits, "test")


def test_every_run_takes_what_load_images_takes():
    classifier = small_classifier()
    expected = ik.Misclassifications().run(classifier, ik.load_images(Photos()))
    given = (ik.load_images(Photos()).only([1, 2]), DataLoader(TensorDataset(PIXELS, LABELS)))
    for images in (Photos(), given[1], (PIXELS, LABELS)):
        counts = ik.Misclassifications().run(classifier, images)
        np.testing.assert_array_equal(counts.confusion, expected.confusion)
    assert len(ik.Occlusion(window=4).run(classifier, given[0]).ids) == 2
    np.testing.assert_array_equal(
        ik.Occlusion(window=6).run(classifier, PIXELS[0]).input_images[0], LEVELS[0]
    )


@pytest.mark.parametrize(
    "given",
    [
        *[ik.ImageSet.from_arrays(LEVELS), PIXELS, LEVELS, LEVELS[0], list(LEVELS)],
        [Image.fromarray(each) for each in LEVELS],
        *[Photos(), DataLoader(TensorDataset(PIXELS, LABELS), batch_size=2), Rows()],
    ],
    ids=[
        *["an ImageSet", "a tensor", "an array", "one HWC image", "arrays", "PIL images"],
        *["a Dataset", "a DataLoader", "a datasets.Dataset"],
    ],
)
def test_a_run_reads_the_pixels_of(given):
    found = ik.Occlusion(window=10, target="dog").run(small_classifier(), given, engine="full")
    count = 1 if getattr(given, "ndim", 4) == 3 else 5
    assert found.target.tolist() == [3] * count  # "dog"
    np.testing.assert_array_equal(found.input_images[0], LEVELS[0])


def test_pixels_out_of_range_or_of_bytes_are_refused_in_the_same_words_everywhere():
    classifier = small_classifier()
    takers = (classifier, lambda x: ik.FilterAblation(classifier, 1).attribute(x, target=0))
    for given in (PIXELS * 255, NORMAL, PIXELS - 1):
        with pytest.raises(UsageError, match=r"^pixels range from .* before any norm") as expected:
            ik.ImageSet.from_arrays(given.permute(0, 2, 3, 1).numpy())
        for taker in takers:
            with pytest.raises(UsageError, match=r"^pixels range from ") as found:
                taker(given)
            assert str(found.value) == str(expected.value)
    for taker in takers:
        with pytest.raises(
            UsageError, match=r"^pixels of type torch.uint8: .*pixels.float\(\) / 25"
        ):
            taker((PIXELS * 255).byte())


@pytest.mark.parametrize(
    ("given", "kind", "said"),
    [
        (NORMAL, UsageError, r"before any normalisation; to undo it, .*normalized=\(\(0.485"),
        (DataLoader(NORMAL), UsageError, r"to undo it, call ik.load_images\(..., normalized="),
        (PIXELS * 255, UsageError, r"from 0 to 255, give pixels / 255"),
        (PIXELS * torch.nan, UsageError, "pixels range from nan"),
        (PIXELS.permute(0, 2, 3, 1), UsageError, r"channels last, tensor.permute\(0, 3, 1, 2\)"),
        (PIXELS[:, :2], UsageError, r"shape \(5, 2, 12, 10\): images are \(images, channels"),
        (PIXELS.long(), UsageError, "pixels of type int64: they must be uint8, or floats"),
        (PIXELS[:0], UsageError, "at least one"),
        (PIXELS.numpy(), UsageError, r"channels first, pixels.transpose\(0, 2, 3, 1\)"),
        ((PIXELS, LABELS[:3]), UsageError, "3 labels for 5 images: give one for each"),
        ([PIXELS[0], "a.jpg"], WrongType, "item 1 is 'a.jpg'; images in memory are tensors"),
        ([(PIXELS[0], 1.5)], WrongType, "the label of image 0 is 1.5; give a class by index"),
        (
            [{"photo": 1, "image": PIXELS[0]}, {"x": 1}],
            UsageError,
            "the columns x, but none called",
        ),
        (3.5, WrongType, "3.5 is not a path; give a file, a folder.*or images in memory"),
        (DataLoader(TensorDataset(PIXELS[:0])), NoImages, "the DataLoader is empty"),
    ],
)
def test_what_holds_no_pixels_is_refused_with_the_way_out(given, kind, said):
    with pytest.raises(kind, match=said):
        ik.load_images(given)


@pytest.mark.parametrize(
    ("given", "normalized", "said"),
    [
        (NORMAL, (0.5, 0.5), "normalized does not hold the mean and std that were used"),
        (NORMAL, 0.5, r"normalized is 0.5; give the mean and std, as in normalized=\(\(0.485"),
        (NORMAL, ((123.7, 116.3, 103.5), (58, 57, 57)), "divide both by 255"),
        (LEVELS, (MEAN, STD), "the pixels are uint8, so they are not normalized; omit it"),
        (Photos(), (MEAN, STD), "a PIL image is not normalized; omit it"),
        ("shapes", (MEAN, STD), "for float pixels in memory, and files have none; omit it"),
    ],
)
def test_a_normalisation_that_was_not_done_is_refused(given, normalized, said):
    with pytest.raises(UsageError, match=said):
        ik.load_images(given, normalized=normalized)


def test_images_in_memory_have_no_splits():
    with pytest.raises(UsageError, match="split 'val' of Tensor: it has no splits; omit `split`"):
        ik.load_images(PIXELS, "val")
