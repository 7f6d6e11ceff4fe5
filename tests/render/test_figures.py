from collections import Counter
from dataclasses import replace
from io import BytesIO

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.cbook import is_math_text
from PIL import Image

from interpret_kit.analyses.ablation import Ablation, AblationResult
from interpret_kit.analyses.activations import Activations, ActivationsResult
from interpret_kit.analyses.misclassifications import Misclassifications, MisclassificationsResult
from interpret_kit.analyses.occlusion import Occlusion, OcclusionResult
from interpret_kit.analyses.top_patches import TopPatches, TopPatchesResult
from interpret_kit.errors import UsageError
from interpret_kit.incremental.occlusion.grid import WindowGrid
from interpret_kit.render import draw, scales
from interpret_kit.render.occlusion import informative_windows
from interpret_kit.render.page import DPI, Area, Page, file_names, fitted, image_part
from interpret_kit.render.scales import COUNTS, SIGNED, Scale, overlay
from interpret_kit.results.result import Origin

CLASSES = ("$x^2$", "<b>cat</b>", "日本\n語", "a name that is long " * 12)
RED_OVER_BLUE = 255 * 0.8 * (0.80 - 0.10)  # of the hottest pixel: cover times (red less blue)


def origin(images, classes=CLASSES):
    names = {each: f"photo_${each}$.png" for each in range(images)}
    return Origin("net", "weights", classes, "photos", "contents", names)


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def occlusion(images=2, size=(20, 60), window=10, **changed):
    """A window that hurts more the further right it lies; the first image twice as much."""
    grid = WindowGrid(size, (window, window), (window, window))
    rows, cols = grid.shape
    fall = np.linspace(0, 0.8, cols) * np.ones((rows, 1)) / np.arange(1, images + 1)[:, None, None]
    arrays = {
        "confidence": (0.9 - fall).astype(np.float32),
        "predicted": np.ones((images, rows, cols), np.int64),
        "attribution": grid.spread(fall),
        "target": np.ones(images, np.int64),
        "uncovered": np.full(images, 0.9, np.float32),
        "uncovered_predicted": np.ones(images, np.int64),
        "ids": np.arange(images),
        "labels": np.full(images, -1),
        "input_images": noise(images, *size),
    } | changed
    return OcclusionResult(
        Occlusion(), origin(images), **arrays, window=(window, window), stride=(window, window)
    )


def activations(maps):
    images, filters = maps.shape[:2]
    statistics = {name: np.ones(filters, np.float32) for name in ("mean", "std", "peak", "active")}
    return ActivationsResult(
        Activations(),
        origin(images),
        maps=maps,
        chosen=np.arange(filters),
        ids=np.arange(images),
        input_images=noise(images, 20, 60),
        layer="block.$conv$#2",
        module="block.act",
        **statistics,
    )


def top_patches(full, image_size=(16, 32), labels=(3,), dead=(False,), inexact=""):
    """One filter whose top patches would be ``full`` boxes if the image were larger."""
    full = np.array([full])
    height, width = image_size
    top = full.shape[1]
    return TopPatchesResult(
        TopPatches(),
        origin(1),
        layer=np.array([0]),
        filter=np.array([7]),
        values=np.ones((1, top), np.float32),
        images=np.zeros((1, top), np.int64),
        rows=np.zeros((1, top), np.int64),
        cols=np.zeros((1, top), np.int64),
        boxes=full.clip(0, (height, width, height, width)),
        full_boxes=full,
        labels=np.array([labels * top]),
        dead=np.array(dead),
        shown=np.array([0]),
        input_image_ids=np.array([0]),
        input_images=noise(1, *image_size),
        layers=("stem/conv",),
        inexact=(inexact,),
    )


def ablation(broken, repaired=None, layer=None, layers=("conv1",)):
    """Filters numbered 10, 11, ... and 40 images, half of them right, in four classes."""
    broken = np.array(broken)
    none = np.zeros(0, np.int64)
    count = len(broken)
    return AblationResult(
        Ablation(),
        origin(1),
        layer=np.zeros(count, np.int64) if layer is None else np.array(layer),
        filter=10 + np.arange(count),
        total=np.full(4, 10),
        correct=np.full(4, 5),
        broken=broken,
        repaired=np.zeros_like(broken) if repaired is None else np.array(repaired),
        confidence_lost=np.zeros(count, np.float32),
        flip_row=none,
        flip_id=none,
        flip_label=none,
        flip_before=none,
        flip_after=none,
        layers=layers,
        ablated_at=layers,
    )


def misclassifications(confusion, before=None, mistakes=0, ablated=(), classes=CLASSES):
    confusion = np.array(confusion)
    return MisclassificationsResult(
        Misclassifications(),
        origin(max(mistakes, 1), classes),
        confusion=confusion,
        confusion_before=confusion if before is None else np.array(before),
        mistake_id=np.arange(mistakes),
        mistake_label=np.zeros(mistakes, np.int64),
        mistake_predicted=np.full(mistakes, 2),
        mistake_confidence=np.linspace(0.9, 0.5, mistakes, dtype=np.float32),
        input_images=noise(mistakes, 20, 60),
        ablated=ablated,
    )


BROKEN = [[3, 1, 0, 0], [0, 0, 0, 0], [0, 2, 4, 0]]
CONFUSION = [[3, 0, 1, 0], [0, 2, 2, 0], [0, 0, 5, 0], [0, 0, 0, 0]]
RESULTS = {
    "occlusion": occlusion,
    "occlusion that changes predictions": lambda: occlusion(
        labels=np.array([0, 3]), predicted=np.arange(24).reshape(2, 2, 6) % 4
    ),
    "occlusion that costs nothing": lambda: occlusion(
        confidence=np.full((2, 2, 6), 0.9), attribution=np.zeros((2, 20, 60))
    ),
    "occlusion at one position": lambda: occlusion(images=1, size=(10, 10)),
    "activations": lambda: activations(np.random.default_rng(0).normal(size=(9, 12, 5, 15))),
    "activation of one unit": lambda: activations(np.zeros((1, 1, 1, 1))),
    "top patches": lambda: top_patches([(-2, -3, 6, 5)] * 11),
    "top patches of a dead filter": lambda: top_patches([(0, 0, 1, 1)], dead=(True,), labels=(-1,)),
    "top patches of all": lambda: top_patches([(-9, -9, 50, 50)]),
    "top patches that are inexact": lambda: top_patches([(0, 0, 16, 32)], inexact="mean over all"),
    "ablation": lambda: ablation(BROKEN, repaired=BROKEN[::-1]),
    "ablation without flips": lambda: ablation([[0, 0, 0, 0]]),
    "ablation of many filters": lambda: ablation(np.eye(4, dtype=int).repeat(40, 0)),
    "misclassifications": lambda: misclassifications(CONFUSION, mistakes=10),
    "misclassifications before and after": lambda: misclassifications(
        CONFUSION, before=np.diag([4, 4, 5, 0]), ablated=(("conv$3$", (1, 2)),), mistakes=1
    ),
    "no misclassification": lambda: misclassifications(np.diag([1, 0, 0, 0])),
    "misclassifications in 50 classes": lambda: misclassifications(
        np.eye(50, dtype=int), classes=tuple(f"class {k}" for k in range(50))
    ),
}


def rendered(figure):
    """Pixels (height, width, 3) of the saved figure."""
    stream = BytesIO()
    figure.savefig(stream, format="png")
    return np.asarray(Image.open(stream).convert("RGB")).astype(int)


def shown(figure, index):
    """The ``index``-th image of a figure: its pixels, and left, top, right, bottom in inches."""
    image = figure.ground.images[index]
    left, right, bottom, top = image.get_extent()
    return np.asarray(image.get_array()), (left, top, right, bottom)


def words(figure):
    return [text.get_text() for text in figure.findobj(mpl.text.Text)]


@pytest.mark.parametrize("make", RESULTS.values(), ids=RESULTS.keys())
def test_every_result_is_drawn_within_its_page_without_warnings_or_mathematics(make):
    settings = dict(mpl.rcParams)
    for name, figure in draw(make()).items():
        assert name.replace("_", "").replace("-", "").isalnum()
        height, width = rendered(figure).shape[:2]
        assert width <= 1600
        for text in figure.texts:  # title and note
            corners = text.get_window_extent()
            assert 0 <= corners.x0 < corners.x1 <= width
            assert 0 <= corners.y0 < corners.y1 <= height
        for text in words(figure):
            assert not is_math_text(text)
            assert "\\\\$" not in text, "escaped twice"
    assert dict(mpl.rcParams) == settings


def test_a_name_keeps_its_dollars_and_loses_its_line_breaks():
    assert fitted(" $a$ \n b").replace(r"\$", "$") == "$a$ b"


def test_a_name_is_shortened_to_its_place_and_says_so():
    short = fitted("a name that is long", inches=0.5, size=8)
    assert short.endswith("…")
    assert "a name that is long".startswith(short[:-1])
    assert fitted("a name that is long", inches=5, size=8) == "a name that is long"


def test_a_name_is_measured_in_the_font_that_is_set():
    kept = []
    for font in ("DejaVu Sans", "DejaVu Sans Mono"):  # an "i" of 2.2 points, and of 4.8
        with mpl.rc_context({"font.sans-serif": [font]}):
            kept.append(fitted("i" * 10, inches=0.5, size=8))
    assert kept == ["i" * 10, "iiiiii…"]


def test_file_names_of_layers_are_safe_and_differ():
    labels = ("conv1", "block.0/conv", "block_0.conv", "Conv1", "conv1#2", "日")
    expected = ["conv1", "block_0_conv", "block_0_conv_2", "Conv1_2", "conv1_2", "_"]
    expected[4] = "conv1_2_2"  # "conv1_2" is "Conv1_2" on some file systems
    assert file_names(labels) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cats/Käthe 1.JPG", "7_cats_Kathe_1"),
        ("image 7", "7"),  # of an array
        ("7.png", "7_7"),
        ("shard-1.tar: a/b.c.jpg", "7_shard-1_tar_a_b_c"),
        ("\u202egnp.cat/..", "7_gnp_cat"),
        ("a/../../etc/passwd\0\n", "7_a_etc_passwd"),
        ("猫.png", "7"),
        ("x" * 300 + ".png", "7_" + "x" * 80),
    ],
)
def test_a_figure_is_called_after_its_image_safely(name, expected):
    assert image_part(7, name) == expected


def test_figures_of_images_of_the_same_name_have_names_of_their_own():
    result = occlusion()
    same = replace(result.origin, names={0: "a/b.png", 1: "a_b.jpg"})
    names = set(draw(replace(result, origin=same)))
    assert names == {
        "overview",
        *("image_0_a_b", "windows_0_a_b", "image_1_a_b", "windows_1_a_b"),
    }


# Colours and scales


def test_the_hottest_pixel_of_the_overlay_is_the_hottest_of_the_map():
    values = np.random.default_rng(1).uniform(-0.3, 0.4, (8, 30))
    values[2, 17], values[5, 3] = 0.5, -0.5
    shown = overlay(noise(8, 30), values, Scale(-0.5, 0.5, SIGNED)).astype(int)
    redness = shown[..., 0] - shown[..., 2]
    assert np.unravel_index(redness.argmax(), redness.shape) == (2, 17)
    assert np.unravel_index(redness.argmin(), redness.shape) == (5, 3)


def test_the_colour_over_an_image_is_in_proportion_to_the_value_whatever_the_image():
    values = np.linspace(0, 0.5, 240).reshape(8, 30)
    shown = overlay(noise(8, 30), values, Scale(-0.5, 0.5, SIGNED)).astype(int)
    redness = shown[..., 0] - shown[..., 2]
    np.testing.assert_allclose(redness, RED_OVER_BLUE * values / 0.5, atol=1)


def test_a_signed_scale_is_white_at_zero_and_reaches_equally_far():
    scale = Scale.signed(np.array([-3.0, 1.0]), at_least=0.01)
    assert (scale.low, scale.high) == (-3, 3)
    assert scale.rgb(np.zeros(1)).tolist() == [[255, 255, 255]]


def test_a_map_of_nothing_is_not_blown_up():
    assert Scale.signed(np.array([1e-9]), at_least=0.01).high == 0.01


def test_numbers_are_black_on_light_and_white_on_dark():
    scale = Scale(0, 1, COUNTS)
    assert (scale.ink(0.0), scale.ink(1.0)) == ("black", "white")


# Pages


def test_a_part_of_a_place_lies_where_the_box_lies_in_the_frame():
    place = Area(1, 2, 4, 3)
    assert place.part((2, 1, 4, 3), (0, 0, 6, 8)) == Area(1.5, 3, 1, 1)


def test_an_image_is_drawn_at_its_place_the_right_way_up():
    page = Page(3, 2, "title")
    corners = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [0, 0, 0]]], np.uint8)
    page.image(corners, Area(1, 0.5, 1, 1))
    pixels = rendered(page)
    for row, col in np.ndindex(2, 2):
        y = int((page.header + 0.5 + 0.25 + 0.5 * row) * DPI)
        x = int((1 + 0.25 + 0.5 * col) * DPI)
        assert pixels[y, x].tolist() == corners[row, col].tolist()


# Occlusion


def test_an_image_that_is_not_square_keeps_its_orientation():
    hot = np.zeros((1, 20, 60))
    hot[0, :10, 50:] = 0.6  # top right
    figure = draw(occlusion(images=1, attribution=hot))["image_0_photo_0"]
    left, top, right, bottom = shown(figure, 1)[1]
    assert (right - left) / (bottom - top) == pytest.approx(60 / 20)
    pixels = rendered(figure)
    x = (np.array([1 / 12, 11 / 12]) * (right - left) + left) * DPI
    y = (np.array([1 / 4, 3 / 4]) * (bottom - top) + top + figure.header) * DPI
    redness = pixels[..., 0] - pixels[..., 2]
    found = redness[np.ix_(y.astype(int), x.astype(int))]
    np.testing.assert_allclose(found, [[0, RED_OVER_BLUE], [0, 0]], atol=2)


def is_bar(axes):
    """Whether this is the colour bar of an occlusion map; its label may have two lines."""
    return axes.get_ylabel().split() == ["drop", "in", "confidence"]


def test_maps_of_one_result_share_their_scale():
    result = occlusion()  # the second image's map is half of the first one's
    figures = draw(result)
    redness = [shown(figures["overview"], k)[0].astype(int) @ np.array([1, 0, -1]) for k in (1, 3)]
    expected = RED_OVER_BLUE * result.attribution / result.attribution.max()
    np.testing.assert_allclose(redness, expected, atol=1)
    for name in ("image_0_photo_0", "image_1_photo_1"):
        bars = [axes for axes in figures[name].axes if is_bar(axes)]
        assert [axes.get_ylim() for axes in bars] == [pytest.approx((-0.8, 0.8))]


def test_each_map_can_have_its_own_scale_and_the_overview_states_it():
    result = occlusion()
    figures = result.figures(scale="each")
    redness = [shown(figures["overview"], k)[0].astype(int) @ np.array([1, 0, -1]) for k in (1, 3)]
    largest = np.array([0.8, 0.4])
    expected = RED_OVER_BLUE * result.attribution / largest[:, None, None]
    np.testing.assert_allclose(redness, expected, atol=1)
    said = [each for each in words(figures["overview"]) if each.startswith("full colour")]
    assert said == ["full colour at ±0.8", "full colour at ±0.4"]
    for name, limit in zip(("image_0_photo_0", "image_1_photo_1"), largest, strict=True):
        (bar,) = filter(is_bar, figures[name].axes)
        assert bar.get_ylim() == pytest.approx((-limit, limit))


def test_a_scale_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(UsageError, match="`scale` is 'eahc'; give 'shared' or 'each'"):
        occlusion().save(tmp_path / "out", scale="eahc")
    assert not list(tmp_path.iterdir())


def test_the_confidence_array_is_printed_number_by_number():
    confidence = np.random.default_rng(2).uniform(size=(1, 2, 6))
    figure = draw(occlusion(images=1, confidence=confidence))["image_0_photo_0"]
    (axes,) = [axes for axes in figure.axes if axes.get_xlabel() == "col"]
    printed = {text.get_position(): text.get_text() for text in axes.texts}
    expected = {(c, r): f"{confidence[0, r, c]:.2f}" for r, c in np.ndindex(2, 6)}
    assert printed == expected


def test_a_confidence_array_too_fine_for_numbers_is_drawn_without():
    figure = draw(occlusion(images=1, size=(20, 160)))["image_0_photo_0"]
    (axes,) = [axes for axes in figure.axes if axes.get_xlabel() == "col"]
    assert not axes.texts
    assert np.asarray(axes.images[0].get_array()).shape == (2, 16, 3)


def test_windows_that_change_the_prediction_are_outlined():
    predicted = np.ones((1, 2, 6), np.int64)
    predicted[0, 1, 3:5] = 2
    figure = draw(occlusion(images=1, predicted=predicted))["image_0_photo_0"]
    (axes,) = [axes for axes in figure.axes if axes.get_xlabel() == "col"]
    segments = {tuple(map(tuple, segment)) for segment in axes.collections[0].get_segments()}
    over, under = ({((c - 0.5, y), (c + 0.5, y)) for c in (3, 4)} for y in (0.5, 1.5))
    assert segments == over | under | {((x, 0.5), (x, 1.5)) for x in (2.5, 4.5)}


def at(figure, start):
    """The text of a page that starts like this, on one line, and its left and top in inches."""
    (found,) = [text for text in figure.findobj(mpl.text.Text) if text.get_text().startswith(start)]
    return " ".join(found.get_text().split()), *found.get_position()


def test_each_sentence_stands_under_the_panel_whose_outline_it_describes():
    predicted, confidence = np.ones((1, 2, 6), np.int64), np.full((1, 2, 6), 0.9)
    predicted[0, 1, 3], confidence[0, 0, 2] = 3, 0.4
    result = occlusion(images=1, predicted=predicted, confidence=confidence)
    figure = draw(result)["image_0_photo_0"]
    (image, overlaid) = (shown(figure, k)[1] for k in (0, 1))
    lowest, left, top = at(figure, "Outlined: the window with")
    assert lowest == "Outlined: the window with the lowest confidence, at row 0, col 2."
    assert left == pytest.approx(image[0])
    assert image[3] < top < image[3] + 0.2
    changes, left, top = at(figure, "Outlined: the window that")
    assert changes == (
        "Outlined: the window that changes the prediction (1 of 12), to “a name that is long a "
        "name that i…” (1)."
    )
    (axes,) = [axes for axes in figure.axes if axes.get_xlabel() == "col"]
    (x0, y0), width = axes.get_position().p0, figure.get_figwidth()
    assert left == pytest.approx(x0 * width)
    bottom = figure.get_figheight() * (1 - y0) - figure.header
    assert bottom < top < bottom + 0.6
    assert at(figure, "Full colour")[1] == pytest.approx(overlaid[0])


def test_a_weak_map_is_not_drawn_in_full_colour_and_its_largest_change_is_given():
    weak = np.full((1, 20, 60), 0.01)
    weak[0, 0, 0] = -0.025
    figure = draw(occlusion(images=1, attribution=weak))["image_0_photo_0"]
    redness = shown(figure, 1)[0].astype(int) @ np.array([1, 0, -1])
    np.testing.assert_allclose(redness[1:], RED_OVER_BLUE * 0.01 / 0.05, atol=1)
    said = "Full colour at ±0.05; largest mean of the windows over a pixel:"
    assert at(figure, "Full colour")[0] == f"{said} 0.03."
    figure = draw(occlusion(images=1, attribution=weak / 10))["image_0_photo_0"]
    assert at(figure, "Full colour")[0] == f"{said} less than 0.01."


def test_the_overview_names_each_image_and_cuts_a_long_name_at_its_start():
    result = occlusion()
    names = {0: f"{'a long folder/' * 12}cat 1.png", 1: "b/cat 2.png"}
    named = replace(result, origin=replace(result.origin, names=names))
    said = [each for each in words(draw(named)["overview"]) if each.endswith(".png")]
    assert said[0].startswith("…")
    assert said[0].endswith("a long folder/cat 1.png")
    assert len(said[0]) < 70
    assert said[1] == "b/cat 2.png"


def test_a_title_shows_a_small_drop():
    near = {"confidence": np.full((1, 2, 6), 0.8969), "uncovered": np.full(1, 0.9041)}
    titles = words(draw(occlusion(images=1, **near))["image_0_photo_0"])
    assert "Occlusion sensitivity for “<b>cat</b>”: confidence 0.904, lowest 0.897" in titles


def test_the_most_telling_windows_are_the_worst_and_those_that_change_the_prediction():
    predicted = np.ones((1, 2, 6), np.int64)
    predicted[0, 0, :2] = 2, 3
    confidence = np.array([[[0.8, 0.7, 0.9, 0.9, 0.6, 0.5], [0.9, 0.9, 0.9, 0.9, 0.9, 0.1]]])
    result = occlusion(images=1, predicted=predicted, confidence=confidence)
    assert informative_windows(result, 0, most=3) == [11, 1, 0]
    assert informative_windows(result, 0, most=5) == [11, 5, 4, 1, 0]


def test_windows_that_mostly_overlap_are_shown_once():
    grid = WindowGrid((20, 60), (10, 10), (10, 2))  # neighbours share 8 of 10 columns
    shape = (1, *grid.shape)
    result = occlusion(
        images=1, confidence=np.linspace(0.9, 0.1, 52).reshape(shape), predicted=np.ones(shape, int)
    )
    object.__setattr__(result, "stride", (10, 2))
    boxes = grid.boxes()[informative_windows(result, 0)]
    assert boxes[:4, 1].tolist() == [50, 42, 34, 26]  # two columns shared: less than a third


def test_the_strip_shows_each_mask_where_the_window_is():
    figure = draw(occlusion(images=1, size=(10, 20)))["windows_0_photo_0"]
    frames, windows = figure.ground.patches[::2], figure.ground.patches[1::2]
    shares = [(w.get_x() - f.get_x()) / f.get_width() for f, w in zip(frames, windows, strict=True)]
    assert shares == pytest.approx([0.5, 0.0])  # the right one is worse, and comes first
    assert [w.get_width() / f.get_width() for f, w in zip(frames, windows, strict=True)] == (
        pytest.approx([0.5, 0.5])
    )
    gray = shown(figure, 0)[0][:, 10:]
    assert (gray == 128).all()


def test_the_first_dozen_images_are_drawn_and_the_overview_says_so():
    figures = draw(occlusion(images=13, size=(10, 10)))
    expected = {"overview"} | {
        f"{kind}_{k}_photo_{k}" for kind in ("image", "windows") for k in range(12)
    }
    assert set(figures) == expected
    titles = [" ".join(text.split()) for text in words(figures["overview"])]
    assert "Occlusion sensitivity of the first 12 of 13 images" in titles


def test_one_image_needs_no_overview():
    assert set(draw(occlusion(images=1))) == {"image_0_photo_0", "windows_0_photo_0"}


# Activations


def test_each_filter_has_its_own_scale_for_all_images_and_states_it():
    maps = np.zeros((2, 3, 1, 3))
    maps[0, 0, 0], maps[1, 0, 0], maps[1, 1, 0] = (0, 2, 4), (0, 0, 1), (0.1, 0.2, 0)
    plain = np.full((2, 20, 60, 3), 7, np.uint8)  # its only grey level becomes 3/4 of white
    figure = draw(replace(activations(maps), input_images=plain))["layer_block__conv__2"]
    levels = np.array([[0, 0.5, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0.25], [0.5, 1, 0], [0, 0, 0]])
    pixels = [shown(figure, k)[0] for k in (1, 2, 3, 5, 6, 7)]  # 0 and 4 are the images
    assert {each.shape for each in pixels} == {(20, 60, 3)}  # 20 columns for each unit
    cells = np.array(pixels)[:, 10, 10::20].reshape(-1, 3)
    colours = {level: {tuple(each) for each in cells[levels.ravel() == level]} for level in (0, 1)}
    assert colours[0] == {(191, 191, 191)}  # the image alone
    assert len(colours[1]) == 1
    brightness = [cells[levels.ravel() == level].mean() for level in (0, 0.25, 0.5, 1)]
    steps = -np.diff(brightness) / np.diff([0, 0.25, 0.5, 1])
    assert steps.min() > 50  # each step is seen
    said = [each for each in words(figure) if each.startswith(("full colour", "zero"))]
    assert said == ["full colour at 4", "full colour at 0.2", "zero everywhere"]


def test_a_dark_image_is_seen_under_a_map_of_zeros():
    dark = np.zeros((1, 20, 60, 3), np.uint8)
    dark[:, :, 30:] = 10
    result = replace(activations(np.zeros((1, 1, 2, 2))), input_images=dark)
    under = shown(draw(result)["layer_block__conv__2"], 1)[0]
    assert under[0, [0, 59], 0].tolist() == [191, 255]


def test_maps_with_negative_activations_are_white_at_zero():
    maps = np.zeros((1, 1, 1, 3))
    maps[0, 0, 0] = -2, 0, 1
    white = np.full((1, 20, 60, 3), 255, np.uint8)
    white[0, 0, ::2] = 0  # so that the other rows are the lightest
    result = replace(activations(maps), input_images=white)
    pixels = shown(draw(result)["layer_block__conv__2"], 1)[0]
    blue, zero, red = pixels[10, [0, 30, 59]].astype(int)
    assert zero.tolist() == [255, 255, 255]
    assert blue[2] - blue[0] > red[0] - red[2] > 0


def test_each_chosen_filter_is_numbered():
    figure = draw(activations(np.ones((1, 3, 2, 2))))["layer_block__conv__2"]
    assert [text for text in words(figure) if text.startswith("filter ")] == [
        "filter 0",
        "filter 1",
        "filter 2",
    ]


# Top patches


def test_the_patch_beyond_the_image_is_hatched_and_keeps_its_geometry():
    result = top_patches([(-2, -3, 6, 5)])
    figure = draw(result)["layer_stem_conv"]
    patch, (left, top, right, bottom) = shown(figure, 0)
    np.testing.assert_array_equal(patch, result.input_images[0, :6, :5])
    (full,) = [each for each in figure.ground.patches if each.get_hatch()]
    assert full.get_width() == pytest.approx(full.get_height())  # 8 x 8 px
    unit = full.get_width() / 8
    assert left - full.get_x() == pytest.approx(3 * unit)
    assert top - full.get_y() == pytest.approx(2 * unit)
    assert (right - left, bottom - top) == pytest.approx((5 * unit, 6 * unit))


@pytest.mark.parametrize(
    ("filters", "drawn", "said"),
    [
        (1, 1, "The filter, with the patches that activate it most."),
        (3, 3, "All filters, each with the patches that activate it most."),
        (3, 2, "Of 3 filters, the 2 with the highest peaks, each with the patches"),
        (3, 1, "Of 3 filters, the one with the highest peak, with the patches"),
    ],
)
def test_top_patches_say_which_filters_are_drawn(filters, drawn, said):
    one = top_patches([(-2, -3, 6, 5)])
    rows = {
        name: np.repeat(getattr(one, name), filters, axis=0)
        for name in ("layer", "filter", "values", "images", "rows", "cols", "boxes", "full_boxes")
    }
    rows |= {"labels": np.repeat(one.labels, filters, axis=0), "dead": np.zeros(filters, bool)}
    result = replace(one, **rows, shown=np.arange(drawn))
    text = " ".join(" ".join(words(draw(result)["layer_stem_conv"])).split())
    assert said in text


def test_activations_say_why_filters_are_chosen_unless_all_or_named():
    why = "numbered: those with the largest peak of an image, averaged over the images."
    all_of_three = activations(np.ones((2, 3, 2, 2)))
    two = replace(all_of_three, maps=np.ones((2, 2, 2, 2)), chosen=np.array([2, 0]))
    named = replace(two, analysis=Activations(filters="2,0"))
    for result, said in ((all_of_three, False), (two, True), (named, False)):
        text = " ".join(" ".join(words(draw(result)["filters"])).split())
        assert (why in text) == said
        assert "are red and numbered" in text


def test_the_box_lies_where_the_patch_was_cut():
    figure = draw(top_patches([(4, 8, 12, 24)]))["layer_stem_conv"]
    whole, (left, top, right, bottom) = shown(figure, 1)
    assert whole.shape == (16, 32, 3)
    (box,) = [each for each in figure.ground.patches if not each.get_fill()]
    width, height = right - left, bottom - top
    assert ((box.get_x() - left) / width, (box.get_y() - top) / height) == pytest.approx(
        (0.25, 0.25)
    )
    assert (box.get_width() / width, box.get_height() / height) == pytest.approx((0.5, 0.5))


def test_patches_that_are_nearly_the_whole_image_are_not_cut():
    figure = draw(top_patches([(-9, -9, 50, 41)]))["layer_stem_conv"]
    assert len(figure.ground.images) == 1
    assert any("Only whole images are shown" in " ".join(text.split()) for text in words(figure))
    left, _, right, bottom = shown(figure, 0)[1]
    (cross,) = figure.ground.lines  # in the middle of columns -9 to 41, and at the lower edge
    assert cross.get_xdata()[0] == pytest.approx(left + (right - left) / 2)
    assert cross.get_ydata()[0] == pytest.approx(bottom)


def test_a_dead_filter_is_said_to_be_dead():
    figure = draw(top_patches([(0, 0, 1, 1)], dead=(True,)))["layer_stem_conv"]
    assert "dead: never above 0" in words(figure)


def test_the_classes_of_the_drawn_patches_add_up():
    result = top_patches([(0, 0, 4, 4)] * 11)
    labels = np.array([[1, 0, 0, 1, 1, 0, 2, 0, 1, 2, 2]])  # the last two are not drawn
    said = words(draw(replace(result, labels=labels))["layer_stem_conv"])
    start = said.index("peak 1")
    assert said[start + 1 : start + 4] == ["4 <b>cat</b>", r"4 \$x^2\$", "and 1 other"]
    labels = np.array([[1, 1, 0, 2, -1, 3, -1, 2, 2, 2, 2]])
    said = words(draw(replace(result, labels=labels))["layer_stem_conv"])
    assert said[start + 1 : start + 4] == ["3 日本 語", "2 <b>cat</b>", "and 4 others"]


def test_at_most_nine_patches_are_drawn_per_filter():
    assert len(draw(top_patches([(0, 0, 4, 4)] * 11))["layer_stem_conv"].ground.images) == 2 * 9


def test_the_label_of_a_colour_bar_is_no_longer_than_the_bar():
    maps = np.abs(noise(1, 4, 3)[..., 0].reshape(1, 1, 4, 3).astype(np.float32))
    for values, largest in ((maps, "activation"), (-maps, "magnitude")):
        result = replace(activations(values), input_images=noise(1, 60, 60))
        figure = draw(result)["layer_block__conv__2"]
        width = rendered(figure).shape[1]
        (axes,) = [axes for axes in figure.axes if axes.get_ylabel()]
        label = axes.yaxis.label
        assert " ".join(label.get_text().split()) == f"share of the filter's largest {largest}"
        corners, bar = label.get_window_extent(), axes.get_window_extent()
        assert bar.height == pytest.approx(1.2 * DPI)
        assert corners.height <= bar.height + 2  # pixels of hinting
        assert corners.x1 < width
        assert corners.y0 > 0


# Ablation


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (
            [[0, 0, 0, 3], [0, 2, 0, 0], [4, 0, 1, 0]],
            "newly misclassified, the most damaging first: 12, 10, 11.",
        ),
        (
            [[0, 0, 0, 3], [0, 0, 0, 0]],
            "Only the ablation of filter 10 makes any image newly miscl",
        ),
    ],
)
def test_the_caption_lists_the_filters_in_the_order_of_the_bars(broken, said):
    figure = draw(ablation(np.pad(broken, ((0, 0), (0, 2)))))["filters_conv1"]
    assert said in " ".join(" ".join(words(figure)).split())


def test_bars_are_the_counts_with_the_filter_that_breaks_most_first():
    figure = draw(ablation(BROKEN, repaired=[[0, 0, 0, 1], [0, 0, 2, 0], [0, 0, 0, 0]]))
    (axes,) = figure["filters_conv1"].axes
    assert [bar.get_height() for bar in axes.patches] == [6, 4, 0, 0, -1, -2]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["12", "10", "11"]


def test_with_few_changed_predictions_drops_in_confidence_are_drawn_instead_of_counts():
    few = [[0, 0, 1, 0], [2, 0, 0, 0], [0, 0, 0, 0]]
    lost = np.array([0.02, 0.3, -0.1], np.float32)
    result = replace(ablation(few), confidence_lost=lost)
    figures = draw(result)
    assert set(figures) == {"confidence", "confidence_conv1"}
    (axes,) = figures["confidence_conv1"].axes
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([0.3, 0.02, -0.1])
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["11", "10", "12"]
    axes = figures["confidence"].axes[0]
    clouds = [each.get_offsets()[:, 0] for each in axes.collections if len(each.get_offsets())]
    np.testing.assert_allclose(clouds[-2], [-0.1, 0.02, 0.3], rtol=1e-6)
    np.testing.assert_allclose(clouds[-1], [0.22 / 3], rtol=1e-6)  # the mean
    said = " ".join(" ".join(words(figures["confidence"])).split())
    assert (
        "when the filter is ablated; shown because ablating a filter changes at most 2 pred" in said
    )
    caption = " ".join(" ".join(words(figures["confidence_conv1"])).split())
    assert "Every drop is 0." not in caption
    none = draw(replace(result, confidence_lost=0 * lost))["confidence_conv1"]
    assert "Every drop is 0. Ablated at" in " ".join(" ".join(words(none)).split())
    assert "layers" in draw(ablation([[0, 0, 3, 0], *few[1:]]))


@pytest.mark.parametrize(
    ("lost", "written"),
    [
        ([0.02, -1.4e-5], ["0.020", "0.000"]),
        ([0.25, -0.003], ["0.250", "-0.003"]),
        ([2.5e-5, -1.4e-5], ["0.000025", "-0.000014"]),
        ([0, 0], ["0.000", "0.000"]),
    ],
)
def test_mean_drops_of_layers_have_the_same_decimals(lost, written):
    few = ablation([[0, 0, 1, 0]] * 2, layer=[0, 1], layers=("a", "b"))
    result = replace(few, confidence_lost=np.array(lost, np.float32))
    axes = draw(result)["confidence"].axes[0]
    assert [text.get_text() for text in axes.texts] == written


def test_the_numbers_by_class_are_those_of_the_result():
    axes = draw(ablation(BROKEN))["classes_conv1"].axes
    printed = {text.get_position(): int(text.get_text()) for text in axes[0].texts}
    # Rows: filters 12, 10, 11. Columns: classes 2, 0 and 1, by 4, 3 and 3 broken images.
    expected = [[4, 0, 2], [0, 3, 1], [0, 0, 0]]
    assert printed == {(c, r): expected[r][c] for r, c in np.ndindex(3, 3)}
    assert [text.get_text() for text in axes[0].get_yticklabels()] == [
        "filter 12",
        "filter 10",
        "filter 11",
    ]


def test_the_two_filters_that_break_most_have_their_frequencies():
    axes = draw(ablation(BROKEN))["classes_conv1"].axes[1:]
    assert [place.get_title(loc="left") for place in axes] == [
        "filter 12: 6 images",
        "filter 10: 4 images",
    ]
    assert [[bar.get_width() for bar in place.patches] for place in axes] == [[4, 2], [3, 1]]


def test_the_figure_of_classes_is_as_wide_as_its_content():
    few = draw(ablation(BROKEN))["classes_conv1"]
    assert few.get_figwidth() < 8
    heat, *tables = few.axes
    assert len({table.get_subplotspec().colspan.start for table in tables}) == 1  # stacked
    assert heat.get_subplotspec().colspan.stop == 1


def test_layers_are_compared_by_their_filters():
    layers = ("conv1", "conv2")
    axes = draw(ablation(BROKEN, layer=[0, 0, 1], layers=layers))["layers"].axes[0]
    clouds = [each.get_offsets().tolist() for each in axes.collections if len(each.get_offsets())]
    dots = [sorted(x for x, _ in cloud) for cloud in clouds]
    # Of each layer: the middle half as a line, without dots; its filters; their mean.
    assert [dots[k] for k in (1, 2, 4, 5)] == [[0, 4], [2], [6], [6]]
    assert [text.get_text() for text in axes.texts[:2]] == ["2.00", "6.00"]


def test_a_layer_that_breaks_nothing_has_no_image_of_broken_classes():
    figures = draw(ablation([[0, 3, 0, 0], [0, 0, 0, 0]], layer=[0, 1], layers=("a", "b")))
    assert set(figures) == {"layers", "filters_a", "classes_a", "filters_b"}


# Misclassifications


def test_the_confusion_matrix_is_coloured_by_share_of_its_row_and_keeps_classes_that_occur():
    axes = draw(misclassifications(CONFUSION))["confusion"].axes[0]
    shares = np.array([[0.75, 0, 0.25], [0, 0.5, 0.5], [0, 0, 1]])
    expected = mpl.colormaps["Blues"](shares)[..., :3] * 255
    np.testing.assert_allclose(np.asarray(axes.images[0].get_array()), expected, atol=1)
    printed = {text.get_position(): text.get_text() for text in axes.texts}
    assert printed == {(0, 0): "3", (2, 0): "1", (1, 1): "2", (2, 1): "2", (2, 2): "5"}


def test_a_class_without_images_is_marked_in_the_confusion_matrix_and_not_counted():
    confusion = [[3, 0, 1, 1], [0, 2, 2, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    figure = draw(misclassifications(confusion, classes=("a", "b", "c", "d")))["confusion"]
    said = " ".join(" ".join(words(figure)).split())
    assert "2 of 4 classes have images. Hatched: 2 without images, but predicted. Colour" in said
    axes = figure.axes[0]
    rows = [tick.get_text() for tick in axes.get_yticklabels()]
    assert rows == ["a", "b", "c (no images)", "d (no images)"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["a", "b", "c", "d"]
    hatched = [each.get_bbox().extents.tolist() for each in axes.patches if each.get_hatch()]
    assert hatched == [[-0.5, 1.5, 3.5, 2.5], [-0.5, 2.5, 3.5, 3.5]]
    assert "Hatched" not in " ".join(words(draw(misclassifications(CONFUSION))["confusion"]))


def test_accuracies_have_wilson_intervals_and_zero_percent_has_no_bar():
    figure = draw(misclassifications([[5, 5, 0], [10, 0, 0], [0, 0, 4]], classes=tuple("abc")))
    (axes,) = figure["classes"].axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["b  (10)", "a  (10)", "c  (4)"]
    assert [bar.get_width() for bar in axes.patches] == [0, 50, 100]  # and no grey track
    (whiskers,) = axes.collections
    ends = np.array(whiskers.get_segments())[..., 0]
    # Wilson: z^2 / (n + z^2) for none of n, and symmetric; 0.2366 to 0.7634 for 5 of 10.
    square = 1.959964**2
    zero, one = square / (10 + square), 4 / (4 + square)
    expected = 100 * np.array([[0, zero], [0.2366, 0.7634], [one, 1]])
    np.testing.assert_allclose(ends, expected, atol=1e-2)
    assert [text.get_text() for text in axes.texts] == ["0.0 %", "50.0 %", "100.0 %"]


def test_of_many_classes_those_in_the_most_frequent_confusions_are_named():
    count = 60
    confusion = np.diag(np.full(count, 5))
    confusion[50, 7], confusion[7, 2] = 3, 2
    confusion[np.arange(10, 45), np.arange(11, 46)] = 1  # 36 classes; with the others 39
    classes = tuple(f"class {k}" for k in range(count))
    figure = draw(misclassifications(confusion, classes=classes))["confusion"]
    named = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert named == [f"class {k}" for k in (2, 7, *range(10, 46), 50)]
    said = " ".join(" ".join(words(figure)).split())
    assert "60 of 60 classes have images. The 39 most confused ones are shown." in said
    (cells,) = (each.get_array() for each in figure.axes[0].get_images())
    diagonal = COUNTS(np.array([5 / 5, 5 / 7, 5 / 6]))[:, :3] * 255  # of all of its images
    np.testing.assert_allclose(np.asarray(cells)[[0, 1, 2], [0, 1, 2]], diagonal, atol=1)


def test_many_classes_without_a_confusion_are_those_with_the_most_images():
    confusion = np.diag(np.arange(1, 61))
    classes = tuple(f"class {k}" for k in range(60))
    figure = draw(misclassifications(confusion, classes=classes))["confusion"]
    named = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert named == [f"class {k}" for k in range(20, 60)]


def test_classes_of_one_or_two_images_have_no_figure_of_accuracies():
    assert "classes" not in draw(misclassifications([[2, 0], [1, 1]], classes=("a", "b")))
    assert "classes" in draw(misclassifications([[2, 1], [1, 1]], classes=("a", "b")))


def test_classes_are_sorted_by_accuracy_before_and_after():
    before = np.diag([4, 3, 5, 0]) + np.eye(4, k=1, dtype=int) * [0, 0, 1, 0]
    result = misclassifications(CONFUSION, before=before, ablated=(("conv1", (1,)),))
    figure = draw(result)["classes"]
    axes = figure.axes[0]
    was, now = (each.get_offsets()[:, 0].tolist() for each in axes.collections[1:3])
    assert now == pytest.approx([50, 75, 100])
    assert was == pytest.approx([75, 100, 100])
    # Where both are equal, a ring shows around the dot.
    ring, dot = axes.collections[1:3]
    assert ring.get_sizes()[0] > 2 * dot.get_sizes()[0]
    assert not len(ring.get_facecolor())
    assert "A ring around a dot: no change." in " ".join(words(figure))
    counts = [tick.get_text().rpartition("  ")[2] for tick in axes.get_yticklabels()]
    assert counts == ["(4)", "(4)", "(5)"]


def test_without_a_mistake_there_is_no_image_of_mistakes():
    assert set(draw(misclassifications(np.diag([3, 0, 0, 0])))) == {"confusion", "classes"}


def test_mistakes_are_shown_with_their_confidence():
    figure = draw(misclassifications(CONFUSION, mistakes=3))["mistakes"]
    assert len(figure.ground.images) == 3
    assert Counter(words(figure))["0.70"] == 1
    assert [each for each in words(figure) if each.startswith("photo")] == [
        rf"photo_\${k}\$.png" for k in range(3)
    ]


def test_no_colour_map_is_a_rainbow():
    names = {each.name for each in vars(scales).values() if hasattr(each, "N")}
    assert names == {"signed", "one sign", "viridis", "activation", "Blues"}
