"""Are graphs kept for the next process, never trusted, and never in the way?"""

import functools
import json
import operator
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from interpret_kit.data import torchvision_sets as published
from interpret_kit.errors import RunError
from interpret_kit.incremental.graph import traced as suffix
from interpret_kit.incremental.graph.export import trace
from interpret_kit.incremental.graph.traced import TracedNetwork, traced_example
from interpret_kit.incremental.graph_cache import store as kept
from interpret_kit.incremental.graph_cache.serialize import Unspeakable, read_graph, spelled
from interpret_kit.incremental.graph_cache.structure import structure
from interpret_kit.models.loading.efficientnet_lite0 import embedded_network
from interpret_kit.models.probing.evaluation import evaluating

pytestmark = pytest.mark.usefixtures("no_kept_graphs")


class Net(nn.Module):
    """Two convolutions, a skip, a concatenation, and a product."""

    def __init__(self, slope=0.1):
        super().__init__()
        self.slope = slope
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(8, 5)

    def forward(self, images):
        maps = nn.functional.leaky_relu(self.norm(self.one(images)), self.slope)
        maps = torch.cat([maps, self.two(maps) + maps], 1)
        return self.head(maps.mean((2, 3)))


class Doubled(Net):
    def forward(self, images):
        return 2 * super().forward(images)


def network(kind=Net, seed=0, **arguments):
    torch.manual_seed(seed)
    made = kind(**arguments).eval()
    made.norm.running_mean.uniform_(-1, 1)
    return made


def images(*size):
    return torch.rand(2, 3, *(size or (9, 7)), generator=torch.Generator().manual_seed(1))


def graph_files():
    return sorted((published.cache_folder() / "graphs").glob("*"))


def outputs_of(traced, inputs):
    with torch.no_grad():
        return traced.run(inputs, ())[traced.output]


def assert_right(made, inputs):
    """Tracing it, or finding its graph, gives what it computes."""
    with torch.no_grad():
        expected = made(inputs)
    torch.testing.assert_close(outputs_of(TracedNetwork(made, inputs), inputs), expected)


@pytest.fixture
def traces(monkeypatch):
    """Networks that are traced from now on."""
    seen = []

    def tracing(made, inputs):
        seen.append(made)
        return trace(made, inputs)

    monkeypatch.setattr(suffix, "trace", tracing)
    return seen


@functools.cache
def graph_of_net():
    return trace(network(), traced_example(images()))


@pytest.fixture
def traces_of_net(monkeypatch):
    """Networks traced from now on, all of them like `network()`: their graphs are equal."""
    seen = []
    monkeypatch.setattr(suffix, "trace", lambda made, _: seen.append(made) or graph_of_net())
    return seen


def test_a_graph_that_was_written_and_read_is_the_same():
    graph = graph_of_net()
    again = read_graph(json.loads(json.dumps(spelled(graph))))
    for one, other in zip(graph.nodes, again.nodes, strict=True):
        facts = ("name", "op", "target", "shape", "modules", "dtype")
        assert [getattr(one, each) for each in facts] == [getattr(other, each) for each in facts]
        assert [each.name for each in one.inputs] == [each.name for each in other.inputs]
        assert list(one.arguments) == list(other.arguments)
    assert again.pixels.name == graph.pixels.name
    assert [each.name for each in again.outputs] == [each.name for each in graph.outputs]
    convolution = next(each for each in again.nodes if each.op == "conv2d")
    assert convolution.arguments["padding"] == [1, 1]
    assert convolution.arguments["groups"] == 1


def test_a_network_is_traced_once_whatever_its_weights(traces):
    first, other = network(), network(seed=5)
    for made in (first, first, other):
        assert_right(made, images())
    assert traces == [first]
    assert len(graph_files()) == 1


@pytest.mark.parametrize(
    ("kind", "arguments", "size"),
    [(Net, {"slope": 0.3}, (9, 7)), (Net, {}, (8, 8)), (Doubled, {}, (9, 7))],
)
def test_another_setting_size_or_code_is_traced_again(traces, kind, arguments, size):
    assert_right(network(), images())
    made = network(kind, **arguments)
    assert_right(made, images(*size))
    assert len(traces) == len(graph_files()) == 2


class Helped(Net):
    """What it computes stands in everything but its `forward`."""

    def forward(self, images):
        maps = self.bounded(self.one(images) * 9) * LARGEST
        return self.head(torch.cat([maps, self.two(maps)], 1).mean((2, 3)))

    def bounded(self, maps):
        return _bounded(maps)


LARGEST = 9.0


def _bounded(maps):
    return maps.clamp(0, LARGEST)


def _unbounded(maps):
    return maps.relu()


class Configured(Net):
    """Its activation is a function that it was given."""

    def __init__(self, act):
        super().__init__()
        self.act = act

    def forward(self, images):
        maps = self.act(self.norm(self.one(images)))
        return self.head(torch.cat([maps, self.two(maps)], 1).mean((2, 3)))


def assert_never_confused(traces, one, change):
    """A graph kept before a change is not used after it, even if one image does not tell.

    On black images the bounded and the unbounded map are equal.
    """
    black, bright = torch.zeros(2, 3, 9, 7), 20 * images()
    TracedNetwork(one, black)
    other = change() or one
    with torch.no_grad():
        expected = other(bright)
    got = outputs_of(TracedNetwork(other, black), bright)
    torch.testing.assert_close(got, expected)
    assert len(traces) == len(graph_files()) == 2


CHANGES = {
    "a method": lambda patch: patch.setattr(Helped, "bounded", lambda _self, x: _unbounded(x)),
    "a function": lambda patch: patch.setitem(globals(), "_bounded", _unbounded),
    "a number": lambda patch: patch.setitem(globals(), "LARGEST", 11.0),
    "a default": lambda patch: patch.setattr(Helped.bounded, "__defaults__", (3.0,)),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_graph_is_not_used_after_the_code_that_forward_calls_has_changed(
    traces, monkeypatch, change
):
    made = network(Helped)
    assert_never_confused(traces, made, lambda: change(monkeypatch))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (torch.relu, nn.functional.relu6),
        (_unbounded, _bounded),
        (functools.partial(torch.clamp, min=0), functools.partial(torch.clamp, min=0, max=0.5)),
        (_unbounded, functools.partial(nn.functional.hardtanh, min_val=0.0, max_val=0.5)),
    ],
    ids=["of torch", "one's own", "partial", "partial or not"],
)
def test_a_graph_is_not_used_for_another_function_among_the_attributes(traces, one, other):
    made, another = network(Configured, act=one), network(Configured, act=other)
    assert_never_confused(traces, made, lambda: another)


def test_a_network_whose_code_cannot_be_read_is_not_kept(traces):
    class Hidden(Net):
        def forward(self, images):
            return super().forward(self.hidden(images))

    made = network(Hidden)
    made.hidden = operator.methodcaller("mul", 2)
    assert_right(made, images())
    made.hidden = operator.methodcaller("mul", 3)
    assert_right(made, images())
    assert len(traces) == 2


def test_a_setting_is_part_of_what_a_network_does_and_its_mode_is_not():
    made = network()
    evaluated = structure(made)
    assert structure(made.train()) == evaluated
    made.slope = 0.2
    assert structure(made) != evaluated


HASHED = """
from torch import nn
from interpret_kit.incremental.graph_cache.structure import structure
class Named(nn.Sequential):
    kinds = {"a", "b", "c"}
    def forward(self, images):
        return super().forward(images) if self.kind in {"one", "two", "three"} else images
made = Named(nn.Conv2d(3, 4, 3), nn.ReLU())
made.kind, made.act = "one", lambda maps: maps * 2
print(structure(made))
"""


def test_the_hash_of_a_network_is_the_same_in_another_process(capsys):
    exec(HASHED, {"__name__": "__main__"})  # with this process's own order of a set
    other = subprocess.run(
        [sys.executable, "-c", HASHED],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert capsys.readouterr().out == other.stdout != ""


def test_code_that_was_changed_behind_its_back_is_found_out(traces):
    made, factor = network(), [1.0]

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = made

        def forward(self, pixels):
            return self.inner(pixels) * factor[0]

    whole = Scaled().eval()
    assert_right(whole, images())
    factor[0] = 3.0
    assert_right(whole, images())
    assert len(traces) == 2
    assert len(graph_files()) == 2
    factor[0] = 1.0
    assert_right(whole, images())
    assert len(traces) == 2, "the first graph is at hand"


def broken(change):
    """Change the kept file as JSON."""
    (file,) = graph_files()
    saved = json.loads(file.read_text())
    saved = change(saved) or saved
    file.write_text(json.dumps(saved))


def with_operator(saved, op, overload):
    node = next(each for each in saved["nodes"] if each["op"] == "leaky_relu")
    node["op"], node["overload"] = op, overload


DAMAGE = {
    "another list": lambda saved: [1, 2],
    "a number": lambda saved: 3,
    "no nodes": lambda saved: {"nodes": [], "pixels": 0, "outputs": []},
    "a node that comes later": lambda saved: saved["nodes"][-1]["inputs"].append(10**6),
    "a negative node": lambda saved: saved["nodes"][-1]["inputs"].append(-1),
    "no such operator": lambda saved: with_operator(saved, "no_such_operator", "default"),
    "no operator's name": lambda saved: with_operator(saved, "__class__", "__init__"),
    "one that writes into its argument": lambda saved: with_operator(saved, "relu_", "default"),
    "one that opens files": lambda saved: with_operator(saved, "from_file", "default"),
    "another computation": lambda saved: with_operator(saved, "relu", "default"),
    "no device": lambda saved: saved["nodes"][-1]["arguments"].update(bias={"device": "nowhere"}),
    "a wrong slope": lambda saved: next(
        each["arguments"].update(negative_slope=0.7)
        for each in saved["nodes"]
        if each["op"] == "leaky_relu"
    ),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_ignored_and_replaced(traces_of_net, change):
    made = network()
    assert_right(made, images())
    (file,) = graph_files()
    sound = file.read_text()
    broken(change)
    assert_right(made, images())
    assert len(traces_of_net) == 2
    assert file.read_text() == sound


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 10**5])
def test_a_file_that_is_not_json_is_ignored_and_replaced(traces_of_net, content):
    made = network()
    assert_right(made, images())
    (file,) = graph_files()
    file.write_bytes(content)
    assert_right(made, images())
    assert len(traces_of_net) == 2
    assert json.loads(file.read_text())["nodes"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions as on POSIX")
def test_a_file_that_others_can_write_is_not_read(traces):
    made = network()
    assert_right(made, images())
    (file,) = graph_files()
    assert file.stat().st_mode & 0o077 == 0, "nobody else reads or writes it"
    assert file.parent.stat().st_mode & 0o022 == 0
    file.chmod(0o666)
    assert list(kept.kept_graphs(made, traced_example(images()))) == []
    assert_right(made, images())
    assert len(traces) == 2
    assert list(kept.kept_graphs(made, traced_example(images())))


def test_a_cache_that_cannot_be_written_is_gone_without(traces, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("IKIT_CACHE", str(tmp_path / "file"))
    for _ in range(2):
        assert_right(network(), images())
    assert len(traces) == 2


def test_without_a_home_folder_there_is_no_cache(traces, monkeypatch):
    def homeless(_path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("IKIT_CACHE", raising=False)
    monkeypatch.setattr(published.Path, "expanduser", homeless)
    with pytest.raises(RunError, match="there is no home folder; set IKIT_CACHE to a folder"):
        published.cache_folder()
    assert_right(network(), images())
    assert list(kept.kept_graphs(network(), traced_example(images()))) == []
    assert len(traces) == 1


def test_a_full_disk_leaves_no_half_of_a_file(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept.Path, "replace", full)
    assert_right(network(), images())
    assert graph_files() == []


def test_a_network_with_hooks_is_not_kept(traces):
    made = network()
    made.one.register_forward_hook(lambda _module, _inputs, output: output * 2)
    for _ in range(2):
        assert_right(made, images())
    assert len(traces) == 2
    assert graph_files() == []


def test_a_graph_with_tensors_of_its_code_is_not_kept(traces):
    class Shifted(Net):
        def forward(self, images):
            return super().forward(images) + torch.tensor([1.0, 2, 3, 4, 5])

    made = network(Shifted)
    with pytest.raises(Unspeakable, match="tensors of its own"):
        spelled(trace(made, traced_example(images())))
    for _ in range(2):
        assert_right(made, images())
    assert len(traces) == 2


def test_the_graph_of_the_embedded_network_is_what_tracing_gives():
    made = embedded_network()
    inputs = torch.zeros(2, 3, 224, 224)
    example = traced_example(inputs)
    assert tuple(example.shape) == kept.EMBEDDED_SHAPE
    assert kept.is_shipped(made, example)
    (shipped,) = kept.kept_graphs(made, example)
    traced = trace(made, example)
    assert [each.op for each in shipped.nodes] == [each.op for each in traced.nodes]
    assert [each.shape for each in shipped.nodes] == [each.shape for each in traced.nodes]
    assert [each.modules for each in shipped.nodes] == [each.modules for each in traced.nodes]
    assert list(kept.kept_graphs(made, traced_example(torch.zeros(2, 3, 64, 64)))) == []


def test_the_graph_of_the_embedded_network_is_not_that_of_a_changed_one():
    made = embedded_network()
    example = traced_example(torch.zeros(2, 3, 224, 224))
    made.blocks[1][0].bn1.act = nn.ReLU()
    assert list(kept.kept_graphs(made, example)) == []


def test_the_embedded_network_is_not_traced(traces):
    made = embedded_network()
    inputs = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with evaluating(made):
        assert_right(made, inputs)
    assert traces == []


FIRST = """
import sys
from click.testing import CliRunner
from interpret_kit.cli.main import ikit
ran = CliRunner().invoke(ikit, ["occlusion", "noise.png", "--model", "embedded", "--out", "out"])
assert ran.exit_code == 0, ran.output
print(*sorted({"timm", "torchvision", "captum", "torch._dynamo", "sympy"} & set(sys.modules)))
"""


def test_a_first_answer_imports_nothing_that_it_does_not_need(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    ran = subprocess.run(
        [sys.executable, "-c", FIRST],
        cwd=tmp_path,
        env={**os.environ, "IKIT_OCCLUSION_WINDOW": "75", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == []


def test_the_structure_of_a_network_is_found_in_the_cache_too(traces):
    made = network()
    first, again = (suffix.graph_of(made, images()[:1]) for _ in range(2))
    assert traces == [made]
    assert [each.name for each in again.nodes] == [each.name for each in first.nodes]
    assert_right(made, images())
    assert traces == [made], "it serves the outputs as well"


def test_the_structure_of_a_network_for_one_image_is_traced_for_one():
    class Alone(Net):
        def forward(self, images):
            if len(images) != 1:
                raise ValueError("one image at a time")
            return super().forward(images)

    graph = suffix.graph_of(network(Alone), images()[:1])
    assert [each.shape for each in graph.outputs] == [(1, 5)]
    assert graph_files() == []
