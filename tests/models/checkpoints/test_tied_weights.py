"""Are tensors that share memory saved once, and loaded back equal?"""

import random

import pytest
import timm
import torch
from safetensors import safe_open
from small_runs import save_run
from torch import nn

from interpret_kit.errors import BadWeights
from interpret_kit.models.checkpoints.digest import DIGEST, digest_of
from interpret_kit.models.checkpoints.weights import read_weights
from interpret_kit.models.loading.load import load_classifier, load_run, save_weights

CONFIG = {
    "architecture": "tied",
    "size": [8, 8],
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
    "classes": ["a", "b", "c"],
}


class Tied(nn.Module):
    """Two convolutions of one weight, a bias that is a part of another, and one bias twice."""

    def __init__(self, **_arguments):
        super().__init__()
        self.a = nn.Conv2d(3, 3, 3, padding=1)
        self.b = self.a
        self.c = nn.Conv2d(3, 2, 1)
        self.c.bias = nn.Parameter(self.a.bias.detach()[:2])
        self.head = nn.Linear(2, 3)
        self.head.bias = self.a.bias

    def forward(self, inputs):
        return self.head(self.c(self.b(self.a(inputs))).mean((2, 3)))


@pytest.fixture(autouse=True)
def _known_to_timm(monkeypatch):
    monkeypatch.setattr(timm, "is_model", lambda name: name == "tied")
    monkeypatch.setattr(timm, "create_model", lambda _name, **arguments: Tied(**arguments))


@pytest.fixture
def network():
    torch.manual_seed(4)
    return Tied()


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_a_tied_network_is_saved_once_and_comes_back_equal(tmp_path, network, memory_format):
    network.to(memory_format=memory_format)
    save_run(tmp_path, network, CONFIG)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert set(file.keys()) == {"a.weight", "a.bias", "c.weight", "c.bias", "head.weight"}
        assert {**file.metadata(), DIGEST: ""} == {
            DIGEST: "",
            "b.weight": "a.weight",
            "b.bias": "a.bias",
            "head.bias": "a.bias",
        }
    back = load_run(tmp_path).network
    assert back.b.weight is back.a.weight
    assert back.head.bias is back.a.bias
    for name, each in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], each), name


def test_what_safetensors_itself_saves_of_a_tied_network_loads(tmp_path, network):
    from safetensors.torch import save_model

    network.c.bias = nn.Parameter(network.c.bias.clone())  # it takes no parts of others
    save_model(network, str(tmp_path / "w.safetensors"))
    back = load_classifier(tmp_path / "w.safetensors", arch="tied", device="cpu").network
    for name, each in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], each), name


def test_a_tied_tensor_that_a_file_holds_twice_and_unlike_is_refused(tmp_path, network):
    weights = {name: each.clone() for name, each in network.state_dict().items()}
    weights["b.weight"] += 1
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(
        BadWeights, match=r"a\.weight and b\.weight are the same tensor in Tied, but d"
    ):
        load_classifier(tmp_path / "w.pth", arch="tied", device="cpu")


def test_the_metadata_of_a_network_without_ties_is_its_digest(tmp_path):
    save_weights(tmp_path / "w.safetensors", nn.Linear(2, 2))
    with safe_open(tmp_path / "w.safetensors", framework="pt") as file:
        assert set(file.metadata()) == {DIGEST}


def test_weights_that_were_changed_after_they_were_saved_are_refused(tmp_path, network):
    """Every bit counts: of values, of names, of shapes, of what is tied to what."""
    save_run(tmp_path, network, CONFIG)
    file = tmp_path / "model.safetensors"
    whole, drawn = file.read_bytes(), random.Random(0)
    right = network.state_dict()
    refused, silent = 0, set()
    for at in sorted(drawn.sample(range(len(whole)), 150)):
        content = bytearray(whole)
        content[at] ^= 1 << drawn.randrange(8)
        file.write_bytes(content)
        try:
            read = read_weights(file)
        except BadWeights:
            refused += 1
            continue
        assert read.keys() == right.keys()
        assert all(torch.equal(read[name], each) for name, each in right.items())
        silent.add(at)
    key = whole.index(DIGEST.encode())
    assert all(key <= each < key + len(DIGEST) for each in silent), "a digest of another name"
    file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(BadWeights, match="is damaged: it does not hold the weights that were sav"):
        load_run(tmp_path)


def test_weights_of_all_types_are_checked_with_their_shapes():
    types = [torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.complex64]
    weights = {str(each): torch.ones(3, 2).to(each) for each in types}
    weights |= {"scalar": torch.tensor(2.0), "empty": torch.ones(0, 3)}
    right = digest_of(weights, {})
    assert digest_of(dict(reversed(weights.items())), {}) == right
    changes = [{"scalar": torch.tensor([2.0])}, {"empty": torch.ones(3, 0)}]
    changes += [{str(torch.bool): torch.zeros(3, 2, dtype=torch.bool)}]
    assert len({right, *(digest_of({**weights, **each}, {}) for each in changes)}) == 4
