"""Is what is known of a model without loading it the same as what the loaded one says?"""

import pytest
import timm
from small_runs import write_run
from torch.nn import Conv2d

from interpret_kit.analyses.inputs.names import check_layers
from interpret_kit.errors import ClassNotFound, LayerNotFound
from interpret_kit.models.classes.lookup import ClassLookup
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.known import NothingKnown, Undecided, known_model
from interpret_kit.models.loading.load import create, load_classifier


@pytest.mark.parametrize(
    "choices",
    [
        {},
        {"batch_norm": (True, False), "pool": (0, 2), "activation": ("identity", "silu")},
        {"batch_norm": False, "pool": 0, "activation": "tanh", "fc": (4,), "dropout": 0.5},
        {"pool": 2, "global_pool": True},
    ],
)
def test_the_layers_of_a_run_are_those_of_its_network(tmp_path, choices):
    arguments = {"channels": (2, 3), "fc": (), "num_classes": 4, "size": (24, 24), **choices}
    write_run(tmp_path / "run", arguments=arguments)
    known = known_model(tmp_path / "run")
    network = create("ikit_convnet", **arguments)
    classifier = Classifier(network, size=(24, 24), mean=(0.5,) * 3, std=(0.5,) * 3)
    real = [(each.label, each.number, each.filters) for each in classifier.layers()]
    assert [(each.label, each.number, each.filters) for each in known.layers] == real


def test_the_mistakes_are_reported_as_by_the_loaded_classifier(tmp_path):
    write_run(tmp_path / "run")
    known, loaded = known_model(tmp_path / "run"), load_classifier(tmp_path / "run")
    assert (known.name, known.classes) == (loaded.name, loaded.classes)
    for spec in ("3", "conv7", "1,act3"):
        with pytest.raises(LayerNotFound) as early:
            known.find_layers(spec)
        with pytest.raises(LayerNotFound) as late:
            loaded.find_layers(spec)
        assert str(early.value) == str(late.value)
    for spec in ("blue", 4, "dark blue"):
        with pytest.raises(ClassNotFound) as early:
            known.class_index(spec)
        with pytest.raises(ClassNotFound) as late:
            loaded.class_index(spec)
        assert str(early.value) == str(late.value)
    with pytest.raises(LayerNotFound, match="no filter 3 in layer conv2; it has 3 filters, from 0"):
        check_layers(known, "last", (0, 3))


def test_what_only_the_network_knows_is_left_to_it(tmp_path):
    write_run(tmp_path / "run")
    write_run(tmp_path / "other", architecture="resnet18")
    known = known_model(tmp_path / "run")
    for unknown, spec in (
        (known, "head"),
        (known, "fc1,all"),
        (known_model(tmp_path / "other"), "99"),
        (known_model(None), "blocks"),
        (NothingKnown(), "last"),
    ):
        with pytest.raises(Undecided):
            unknown.find_layers(spec)
    with pytest.raises(LayerNotFound, match="no layer 3; the layers are numbered from 1 to 2"):
        known.find_layers("head,3")
    assert known_model("resnet18") is None


def test_the_classes_and_layers_of_the_embedded_model_are_known_without_it():
    known = known_model(None)
    network = timm.create_model("tf_efficientnet_lite0")
    modules = [(name, each) for name, each in network.named_modules() if isinstance(each, Conv2d)]
    assert [(each.label, each.filters) for each in known.layers] == [
        (name, each.out_channels) for name, each in modules
    ]
    assert [each.number for each in known.layers] == list(range(1, 50))
    assert [each.label for each in known.find_layers("last,conv_stem")] == [
        "conv_head",
        "conv_stem",
    ]
    assert (len(known.classes), known.class_index("tench")) == (1000, 0)
    assert known.class_index("n02119789") == known.class_index("kit_fox") == 278
    assert known.classes_called("nothing") == ()


def test_a_class_is_found_by_its_name_before_a_synonym_of_others():
    lookup = ClassLookup(("cat", "Big-Cat", "7"), (("big cat", "tom"), ("tom",), ()))
    assert (lookup.called("big cat"), lookup.called("tom")) == ((1,), (0, 1))
    assert [lookup.index(each, "net") for each in ("7", 1, "CAT")] == [2, 1, 0]
    with pytest.raises(ClassNotFound, match="'tom' names several classes: give one of the indic"):
        lookup.index("tom", "net")
