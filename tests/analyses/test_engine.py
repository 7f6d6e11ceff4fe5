"""Can one choose how outputs are computed, with the same numbers, and with the reason if not?"""

import numpy as np
import pytest
import torch
from networks_on_paper import noisy_images, plain, small_classifier
from torch import nn

import interpret_kit as ik
from interpret_kit.analyses import ANALYSES
from interpret_kit.errors import NotSupported, UsageError
from interpret_kit.incremental.ablation import backend as ablation
from interpret_kit.incremental.occlusion import backend as occlusion


class Branching(nn.Module):
    """Looks at a value on its way, so that it cannot be traced."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, pixels):
        maps = self.conv(pixels)
        return (maps if float(maps.sum()) < 1e9 else -maps).mean((2, 3))


@pytest.fixture
def ways(monkeypatch):
    """The ways that were taken, by class, in order."""
    taken = []
    for home, name in [
        (occlusion, "PartialOcclusion"),
        (occlusion, "FullOcclusion"),
        (ablation, "PartialAblation"),
        (ablation, "FullAblation"),
    ]:
        method = "image" if home is occlusion else "ablate"
        kind = getattr(home, name)
        original = getattr(kind, method)

        def spied(self, *given, original=original, name=name):
            taken.append("full" if name.startswith("Full") else "incremental")
            return original(self, *given)

        monkeypatch.setattr(kind, method, spied)
    return taken


@pytest.mark.parametrize("engine", ["full", "incremental"])
@pytest.mark.parametrize("analysis", [ik.Occlusion(window=5, stride=3), ik.Ablation(layer="conv2")])
def test_the_engine_is_the_one_that_was_chosen_and_the_numbers_are_those_of_auto(
    analysis, engine, ways
):
    classifier, images = small_classifier(), noisy_images(3)
    expected = analysis.run(classifier, images)
    ways.clear()
    found = analysis.run(classifier, images, engine=engine)
    assert set(ways) == {engine}
    for each in expected.array_fields():
        mine, theirs = getattr(found, each.name), getattr(expected, each.name)
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ANALYSES)
def test_every_analysis_takes_the_argument_and_refuses_other_words(name, classifier, images):
    analysis = ANALYSES[name]()
    with pytest.raises(UsageError, match="'fast'; give 'auto', 'full' or 'incremental'"):
        analysis.run(classifier, images, engine="fast")
    assert analysis.run(classifier, images, engine="full") is not None


@pytest.mark.parametrize("analysis", [ik.Occlusion(window=4), ik.Ablation(labels="predicted")])
def test_incremental_is_refused_with_the_reason(analysis):
    classifier = plain(Branching().eval(), (12, 10))
    with pytest.raises(
        NotSupported, match=r"^`engine='incremental'` is not available: .*; use `engine="
    ):
        analysis.run(classifier, noisy_images(1), engine="incremental")


def test_captums_form_has_the_same_choice(ways):
    network, inputs = small_classifier().network.eval(), torch.rand(2, 3, 12, 10)
    sides = (3, 5, 4)
    found = {
        engine: ik.IncrementalOcclusion(network, engine).attribute(inputs, sides, target=1)
        for engine in ("full", "incremental")
    }
    assert set(ways) == {"incremental"}  # "full" is Captum's own code
    torch.testing.assert_close(found["full"], found["incremental"], rtol=1e-4, atol=1e-6)
    lost = {
        engine: ik.FilterAblation(network, "conv2", engine).attribute(inputs, 1)
        for engine in ("full", "incremental")
    }
    torch.testing.assert_close(lost["full"], lost["incremental"], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "settings", "said"),
    [
        (lambda x: x.mean((2, 3)), {}, "forward_func is not a network, a Classifier"),
        (small_classifier().network, {"additional_forward_args": 1}, "additional_forward_args"),
        (small_classifier().network, {"sliding_window_shapes": (1, 4, 4)}, "windows over all"),
        (Branching(), {}, "depends on|cannot be|control flow|Branching"),
    ],
)
def test_captums_occlusion_says_why_it_is_left_to_captum(function, settings, said):
    given = {"sliding_window_shapes": (3, 4, 4), "target": 0, **settings}
    with pytest.raises(NotSupported, match=f"`engine='incremental'` is not available: .*({said})"):
        ik.IncrementalOcclusion(function, "incremental").attribute(
            torch.rand(1, 3, 12, 10), **given
        )


def test_captums_ablation_says_why_it_cannot_be_incremental():
    with pytest.raises(NotSupported, match="`engine='incremental'` is not available"):
        ik.FilterAblation(Branching().eval(), "conv", "incremental").attribute(
            torch.rand(1, 3, 12, 10), 0
        )


@pytest.mark.parametrize("name", ANALYSES)
def test_the_commands_that_have_the_choice_have_the_option(name):
    from interpret_kit.cli.main import ikit

    command = ikit.get_command(None, name.replace("_", "-"))
    options = {each.name: each for each in command.params}
    assert ("engine" in options) == (name in {"occlusion", "attribution", "ablation"})
    if "engine" in options:
        assert options["engine"].type.choices == ("auto", "full", "incremental")
        assert options["engine"].default == "auto"
