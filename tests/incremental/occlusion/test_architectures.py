import pytest
import torch
from incremental_answers import (
    answered_incrementally,
    answered_whole,
    examined,
    noise_image,
    one_aside,
    planned,
    spans,
)
from small_families import FAMILIES
from torch import nn

from interpret_kit.incremental.occlusion.engine import IncrementalNetwork


def with_statistics(network, seed):
    """Draw the statistics of the normalisations, so that windows are seen to the end."""
    generator = torch.Generator().manual_seed(seed)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            for each, low, high in (
                (layer.running_mean, -0.3, 0.3),
                (layer.running_var, 0.3, 1.2),
                (layer.weight, 0.7, 1.3),
                (layer.bias, -0.3, 0.3),
            ):
                each.data.copy_(low + (high - low) * torch.rand(each.shape, generator=generator))
    return network.eval()


@pytest.mark.parametrize("name", FAMILIES)
def test_patches_give_the_outputs_of_single_forward_passes_and_a_shift_is_caught(name, monkeypatch):
    side = 64
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = with_statistics(FAMILIES[name](9), seed=1).double()
    # Deep random networks blow up the rounding of single precision; a wrong cell shows in both.
    seen, fill = (noise_image(k, size=(side, side)).double() for k in (0, 1))
    fill = fill[0]
    under = examined(network, seen)
    windows = spans((side, side), (16, 16), (9, 9), most=2)
    wanted = answered_whole(network, *windows, seen, fill)

    def error(found):
        return float((answered_incrementally(found, seen, fill) - wanted).abs().max())

    assert error(IncrementalNetwork(under.traced, *windows)) <= under.allowed
    assert error(planned(under.traced, windows)) <= under.allowed

    one_aside(monkeypatch)
    assert not error(planned(under.traced, windows)) <= under.allowed
