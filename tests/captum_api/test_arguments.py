"""What does a caller of the attributions in Captum's form see who gives what does not fit?"""

import captum
import numpy as np
import pytest
import torch
from networks_on_paper import SmallNet, noisy_images, small_classifier

from interpret_kit import FilterAblation, IncrementalOcclusion
from interpret_kit.errors import ClassNotFound, DoesNotFit, UsageError

WINDOW = (3, 5, 4)


def noise(count):
    """Pixels of noise in [0, 1], (count, 3, 12, 10)."""
    return torch.rand(count, 3, 12, 10, generator=torch.Generator().manual_seed(0))


NETWORKS = {"network": SmallNet().eval(), "classifier": small_classifier()}
both = pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
not_inputs = pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (noisy_images(2), "not an ImageSet; give .* an analysis"),
        (np.zeros((2, 3, 12, 10), np.float32), r"not a ndarray; give torch.from_numpy\(array\)"),
        ([torch.zeros(2, 3, 12, 10)], "not a list"),
        ("photo.jpg", "not a str"),
        (None, "not None"),
    ],
)
counts = pytest.mark.parametrize(
    ("count", "said"),
    [
        (0, "is 0; it must be at least 1"),
        (-2, "is -2; it must be at least 1"),
        (1.5, "is 1.5; give an integer"),
        ("4", "is '4'; give an integer"),
        (True, "is True; give an integer"),
        (None, "is None; give an integer"),
    ],
)


@both
@not_inputs
def test_filter_ablation_takes_tensors(network, inputs, said):
    with pytest.raises(UsageError, match=said):
        FilterAblation(network, 1).attribute(inputs, target=0)


@both
@not_inputs
def test_occlusion_takes_tensors(network, inputs, said):
    with pytest.raises(UsageError, match=said):
        IncrementalOcclusion(network).attribute(inputs, WINDOW, target=0)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (noise(2)[:0], r"inputs of shape \(0, 3, 12, 10\): there is no image; give at"),
        (noise(2)[0], r"inputs of shape \(3, 12, 10\): they must be .*inputs\[None\]"),
        (noise(2) * torch.inf, "not finite"),
        (noise(2)[:, :1], "SmallNet takes inputs of 3 channels, but these have 1$"),
        (noise(2).long(), "computes in torch.float32, but its inputs are torch.int64"),
    ],
)
def test_filter_ablation_says_which_inputs_do_not_fit(inputs, said):
    with pytest.raises(UsageError, match=said):
        FilterAblation(SmallNet(), 1).attribute(inputs, target=0)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        (noise(2)[0], r"for inputs of shape \(3, 12, 10\); .*a single image is inputs\[None\]"),
        (noise(2).long(), "computes in torch.float32, but its inputs are torch.int64"),
    ],
)
def test_occlusion_says_which_inputs_do_not_fit(inputs, said):
    with pytest.raises(UsageError, match=said):
        IncrementalOcclusion(SmallNet()).attribute(inputs, WINDOW, target=0)


@both
@counts
def test_perturbations_per_eval_is_an_integer_of_at_least_one(network, count, said):
    with pytest.raises(UsageError, match=f"`perturbations_per_eval` {said}"):
        FilterAblation(network, 1).attribute(noise(2), target=0, perturbations_per_eval=count)
    with pytest.raises(UsageError, match=f"`perturbations_per_eval` {said}"):
        IncrementalOcclusion(network).attribute(
            noise(2), WINDOW, target=0, perturbations_per_eval=count
        )


@both
@pytest.mark.parametrize(
    ("window", "kind", "said"),
    [
        (5, UsageError, r"sliding_window_shapes is 5 .*, as in \(3, 16, 16\)"),
        ((5, 4), UsageError, r"is \(5, 4\) for inputs of shape \(2, 3, 12, 10\); give a side for"),
        ((3, 2.5, 4), UsageError, r"is \(3, 2.5, 4\)"),
        ("5x4", UsageError, "is '5x4'"),
        (None, UsageError, "is None"),
        ((WINDOW, WINDOW), UsageError, "for 1 inputs; give a tuple with one entry for each"),
        ((3, 0, 4), DoesNotFit, r"windows \(3, 0, 4\) with strides 1: all must be at least 1"),
        ((3, -1, 4), DoesNotFit, "all must be at least 1"),
        ((3, 13, 4), DoesNotFit, r"are larger than the inputs, \(3, 12, 10\)"),
        ((4, 5, 4), DoesNotFit, "are larger than the inputs"),
    ],
)
def test_windows_that_do_not_fit_are_one_sentence(network, window, kind, said):
    with pytest.raises(kind, match=said):
        IncrementalOcclusion(network).attribute(noise(2), window, target=0)


@both
@pytest.mark.parametrize(
    ("strides", "kind", "said"),
    [
        (0, DoesNotFit, r"windows \(3, 5, 4\) with strides 0: all must be at least 1"),
        (-1, DoesNotFit, "all must be at least 1"),
        ((3, 0, 2), DoesNotFit, "all must be at least 1"),
        ((3, 6, 2), DoesNotFit, r"strides \(3, 6, 2\) leave gaps between windows \(3, 5, 4\)"),
        (1.5, UsageError, r"strides is 1.5 for windows \(3, 5, 4\); give an integer, or a step"),
        ((2, 2), UsageError, r"strides is \(2, 2\)"),
        ("2", UsageError, "strides is '2'"),
    ],
)
def test_strides_that_do_not_fit_are_one_sentence(network, strides, kind, said):
    with pytest.raises(kind, match=said):
        IncrementalOcclusion(network).attribute(noise(2), WINDOW, strides=strides, target=0)


@pytest.mark.parametrize("fill", ["black", np.zeros(3), [0.0], torch.zeros(3), noise(3)])
def test_baselines_that_do_not_fit_are_one_sentence(fill):
    with pytest.raises(UsageError, match=r"for inputs of shape \(2, 3, 12, 10\); give a number"):
        IncrementalOcclusion(SmallNet()).attribute(noise(2), WINDOW, target=0, baselines=fill)


@pytest.mark.parametrize("window", [WINDOW, (1, 5, 4)], ids=["all channels", "one channel"])
@pytest.mark.parametrize(
    ("target", "kind", "said"),
    [
        (5, ClassNotFound, "no class 5 in the outputs; there are 5, from 0 to 4"),
        ([0, 7], ClassNotFound, "no class 7 in the outputs|index 7 is out of bounds"),
        ((0, 1), UsageError, r"target \(0, 1\) does not name one output of each input"),
    ],
)
def test_targets_that_the_outputs_lack_are_one_sentence(window, target, kind, said):
    with pytest.raises(kind, match=said):
        IncrementalOcclusion(SmallNet()).attribute(noise(2), window, target=target)


@pytest.mark.parametrize("given", [None, "resnet18", 5, noisy_images(1)])
def test_anything_but_a_network_is_refused_at_once(given):
    with pytest.raises(UsageError, match=r"the network must be an nn\.Module, not "):
        FilterAblation(given, layer=1)
    with pytest.raises(UsageError, match=r"forward_func is a network or a function, not "):
        IncrementalOcclusion(given)


@pytest.mark.parametrize(
    ("window", "strides"),
    [
        ([3, 5, 4], [3, 2, 3]),
        ((np.int64(3), np.int64(5), np.int64(4)), (3, np.int64(2), 3)),
        (torch.Size([3, 5, 4]), ((3, 2, 3),)),
        ((WINDOW,), (3, 2, 3)),
    ],
)
def test_lists_and_integers_of_numpy_are_sides(window, strides):
    network, inputs = SmallNet().eval().double(), noise(2).double()
    expected = captum.attr.Occlusion(network).attribute(inputs, WINDOW, (3, 2, 3), target=1)
    found = IncrementalOcclusion(network).attribute(inputs, window, strides, target=1)
    # The means over windows are float32.
    most = 4 * torch.finfo(torch.float32).eps * float(expected.abs().max())
    torch.testing.assert_close(found, expected, rtol=0, atol=most)
