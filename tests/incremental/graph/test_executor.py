"""How is an exported network run, from one node to others, and with any number of rows?"""

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from interpret_kit.incremental.graph.traced import TracedNetwork


class Counting(TorchDispatchMode):
    """Counts the operations that run."""

    def __init__(self):
        super().__init__()
        self.calls = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        return func(*args, **(kwargs or {}))


class Positions(nn.Module):
    """Adds a position, made for every image of the batch: 1, 1.5, 2.25, ... by columns."""

    def __init__(self, depth):
        super().__init__()
        self.depth, self.read = depth, nn.Linear(4, 2)

    def forward(self, inputs):
        position = inputs.new_ones(len(inputs), 1, 4, 4)
        for _ in range(self.depth):
            position = position + position / 2
        return self.read((inputs + position).mean((1, 2)))


def test_what_counts_the_rows_is_computed_once_however_often_it_is_read():
    torch.manual_seed(0)
    network, inputs = Positions(depth=12).eval(), torch.rand(3, 3, 4, 4)
    traced = TracedNetwork(network, inputs)
    expected = network.read((inputs.double() + 1.5**12).mean((1, 2)).float())
    with torch.no_grad(), Counting() as counting:
        outputs = traced.run(inputs, ())[traced.output]
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=0)
    assert counting.calls < 60  # 2 for each step, and some; by following each path, 2 ** 12


class InDoubles(nn.Module):
    """Adds 1 + 2 ** -40, which float32 cannot hold, to a map of float32: the sum is float64."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.register_buffer("shift", torch.tensor([[[1 + 2.0**-40]]], dtype=torch.float64))

    def forward(self, inputs):
        return (self.conv(inputs) + self.shift).amax((2, 3))


def test_a_sum_in_float64_does_not_overwrite_a_map_in_float32():
    network, inputs = InDoubles().eval(), torch.rand(3, 3, 4, 4)
    for weight in network.parameters():
        nn.init.zeros_(weight)
    with torch.no_grad():
        traced = TracedNetwork(network, inputs)
        outputs = traced.run(inputs, ())[traced.output]
    assert torch.equal(outputs, torch.full((3, 2), 1 + 2.0**-40, dtype=torch.float64))
