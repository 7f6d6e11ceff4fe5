import copy
import logging
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from interpret_kit.incremental.graph.export import PIXELS, WEIGHT, trace
from interpret_kit.incremental.graph.reasons import Untraceable

IMAGE = torch.zeros(1, 3, 12, 8)


class Block(nn.Module):
    """Convolution, normalisation and an activation that works in place."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x):
        return self.act(self.norm(self.conv(x)))


class Residual(nn.Module):
    """A block that is called three times, twice as ``block`` and once as ``alias``."""

    def __init__(self):
        super().__init__()
        self.block = Block()
        self.alias = self.block
        self.nothing = nn.Identity()
        self.pair = Pair()

    def forward(self, x):
        first = self.block(x)
        second = self.alias(self.nothing(first))
        second += first
        one, two = self.pair(second)
        return self.block(one * two)


class Pair(nn.Module):
    def forward(self, x):
        return x + 1, x + 2


def evaluated(graph, network, image):
    """What the graph computes, operation by operation."""
    weights = dict(network.named_parameters(remove_duplicate=False))
    weights.update(network.named_buffers(remove_duplicate=False))
    values = {graph.pixels: image}
    for node in graph.nodes:
        if node.op == WEIGHT:
            values[node] = weights[node.name]
        elif node.op != PIXELS:
            given = torch.fx.node.map_aggregate(
                dict(node.arguments),
                lambda each: values.get(each, each) if hashable(each) else each,
            )
            values[node] = (
                values[node.inputs[0]][node.arguments["index"]]
                if node.op == "getitem"
                else node.target(**given)
            )
    return values


def hashable(value):
    return not isinstance(value, list | dict)


def state_of(network):
    return {
        name: (
            module.training,
            {key: id(value) for key, value in vars(module).items()},
            [(key, id(value), value.requires_grad) for key, value in module._parameters.items()],
            [(key, id(value), value.clone()) for key, value in module._buffers.items()],
            list(module._forward_hooks),
        )
        for name, module in network.named_modules()
    }


def assert_same_state(before, after):
    assert before.keys() == after.keys()
    for name, (*rest, buffers, hooks) in before.items():
        *rest_after, buffers_after, hooks_after = after[name]
        assert rest == rest_after
        assert hooks == hooks_after
        for one, other in zip(buffers, buffers_after, strict=True):
            assert one[:2] == other[:2]
            assert torch.equal(one[2], other[2])


@pytest.fixture(scope="module")
def residual():
    torch.manual_seed(0)
    return Residual().eval()


@pytest.fixture(scope="module")
def graph(residual):
    return trace(residual, IMAGE)


def test_each_node_comes_after_its_inputs(graph):
    met = set()
    for node in graph.nodes:
        assert met.issuperset(node.inputs)
        met.add(node)


def test_nothing_in_the_graph_works_in_place(graph):
    for node in graph.nodes:
        assert not getattr(getattr(node.target, "_schema", None), "is_mutable", False)


def test_the_graph_computes_what_the_network_does(residual, graph):
    image = torch.rand(IMAGE.shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = evaluated(graph, residual, image)[graph.outputs[0]]
        torch.testing.assert_close(found, residual(image))


def test_arguments_have_the_operators_names_and_defaults():
    convolution = nn.Conv2d(3, 5, (3, 1), stride=2)
    node = trace(convolution, IMAGE).outputs[0]
    assert node.op == "conv2d"
    assert node.shape == (1, 5, 5, 4)  # (12 - 3) // 2 + 1, (8 - 1) // 2 + 1
    assert node.arguments["input"].op == PIXELS
    assert node.arguments["weight"].name == "weight"
    assert list(node.arguments["stride"]) == [2, 2]
    assert node.arguments["groups"] == 1


def test_every_call_of_a_module_has_its_own_output(residual, graph):
    kept = []
    handle = residual.block.conv.register_forward_hook(
        lambda module, inputs, output: kept.append(output.clone())
    )
    image = torch.rand(IMAGE.shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        residual(image)
    handle.remove()
    assert len(kept) == 3
    with torch.no_grad():
        values = evaluated(graph, residual, image)
    for call, output in enumerate(kept, start=1):
        node = graph.output_of("block.conv", call)
        assert node.op == "conv2d"
        torch.testing.assert_close(values[node], output)


def test_the_output_of_a_norm_is_the_map_before_the_activation_overwrites_it(graph):
    norm, block = graph.output_of("block.norm"), graph.output_of("block")
    assert norm is not block
    assert block.op == "relu"
    assert norm in block.inputs
    assert block is graph.output_of("block.act")


def test_a_node_lists_its_modules_from_the_outside_in(graph):
    assert graph.output_of("block.conv", 3).modules == (("block", 3), ("block.conv", 3))


def test_an_unused_branch_of_a_module_is_not_its_output():
    class Gate(nn.Module):
        def forward(self, x):
            kept = x * 2
            _ = kept.mean()
            return kept

    network = nn.Sequential(Gate(), nn.ReLU())
    assert trace(network, IMAGE).output_of("0").op == "mul"


@pytest.mark.parametrize(
    ("name", "call", "said"),
    [
        (
            "block.convv",
            1,
            r"call 1 of 'block.convv' computes nothing that is traced; similar names: block.conv",
        ),
        ("block", 4, r"call 4 of 'block' computes nothing that is traced"),
        ("nothing", 1, r"call 1 of 'nothing' computes nothing that is traced"),
        ("pair", 1, r"call 1 of 'pair' returns 2 tensors; name a module inside it"),
    ],
)
def test_a_call_without_one_output_is_refused_with_its_reason(graph, name, call, said):
    with pytest.raises(Untraceable, match=said):
        graph.output_of(name, call)


def test_in_place_changes_of_a_part_reach_the_whole():
    class Shift(nn.Module):
        def forward(self, x):
            x = x * 1
            x[:, :1] += 5
            return F.relu_(x.view(1, -1)), x

    graph = trace(Shift(), IMAGE)
    image = torch.full(IMAGE.shape, -1.0)
    values = evaluated(graph, Shift(), image)
    flat, whole = (values[each] for each in graph.outputs)
    assert whole[:, 0].eq(4).all()
    assert whole[:, 1:].eq(0).all()
    assert torch.equal(flat, whole.flatten(1))


class Restless(Residual):
    """Counts, keeps and assigns while it runs, as people's networks do."""

    def __init__(self):
        super().__init__()
        self.register_buffer("runs", torch.zeros(()))
        self.last = None
        self.fails = False

    def forward(self, x):
        self.runs += 1
        self.last = super().forward(x)
        self.note = "ran"
        if self.fails and self.last.sum() > 0:
            return self.last
        return self.last * 2


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_comes_back_as_it_was(fails):
    network = Restless().train()
    network.block.norm.eval()
    network.fails = fails
    network.block.conv.bias.requires_grad_(False)
    network.block.register_forward_hook(lambda module, inputs, output: output * 2)
    before = state_of(network)
    if fails:
        with pytest.raises(
            Untraceable, match=r"the forward\(\) of Restless branches on the values of a tensor"
        ):
            trace(network, IMAGE)
    else:
        trace(network, IMAGE)
    assert_same_state(before, state_of(network))
    assert torch.is_grad_enabled()


def test_a_network_is_traced_in_eval_mode():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Dropout(0.5)).train()
    image = torch.rand(IMAGE.shape, generator=torch.Generator().manual_seed(3))
    graph = trace(network, IMAGE)
    network.eval()
    with torch.no_grad():
        found = evaluated(graph, network, image)[graph.outputs[0]]
        torch.testing.assert_close(found, network(image))


def test_hooks_are_part_of_what_the_network_computes():
    network = nn.Sequential(nn.ReLU())
    network[0].register_forward_hook(lambda module, inputs, output: output + 3)
    assert trace(network, IMAGE).outputs[0].op == "add"


def test_failing_to_trace_says_why_in_one_line_and_nothing_else(capfd):
    class Leaves(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else x * 2

    level = logging.root.manager.disable
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with pytest.raises(Untraceable) as failure:
            trace(Leaves(), IMAGE)
    assert not warned
    assert capfd.readouterr() == ("", "")
    assert logging.root.manager.disable == level
    assert "\n" not in str(failure.value)


class Slow(Block):
    """Takes a while to be traced; the event is set when that begins."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.begun = seconds, threading.Event()

    def forward(self, x):
        self.begun.set()
        time.sleep(self.seconds)
        return super().forward(x)


def test_two_networks_that_are_traced_at_once_leave_logs_and_stderr_as_they_were():
    # Unless the second waits, it finds what the first has set, and sets that again as it ends.
    first, second = Slow(0.2).eval(), Slow(0.4).eval()
    before = logging.root.manager.disable, sys.stderr, warnings.filters[:]
    with ThreadPoolExecutor(2) as pool:
        one = pool.submit(trace, first, IMAGE)
        assert first.begun.wait(60)
        other = pool.submit(trace, second, IMAGE)
        graphs = [each.result(60) for each in (one, other)]
    assert (logging.root.manager.disable, sys.stderr, warnings.filters[:]) == before
    assert [[node.op for node in each.nodes[-2:]] for each in graphs] == [["getitem", "relu"]] * 2


def test_a_copy_of_a_network_gives_the_same_graph(residual, graph):
    again = trace(copy.deepcopy(residual), IMAGE)
    assert [repr(node) for node in again.nodes] == [repr(node) for node in graph.nodes]
