"""Do names of the hub and folders that timm saved lead to their networks, or to what to do?"""

import json

import pytest
import timm
import torch
from huggingface_hub import constants, errors
from networks_on_paper import drawn
from timm.models import save_for_hf

from interpret_kit.errors import BadWeights, NothingThere, UsageError, WeightsUnavailable
from interpret_kit.models.loading import load as loading
from interpret_kit.models.loading.load import load_classifier
from interpret_kit.models.loading.timm_names import repository_of

ARCH = "test_resnet"
LABELS = {"label_names": ["cat", "dog", "emu"], "label_descriptions": {"emu": "a large bird"}}


@pytest.fixture(scope="module")
def network():
    return drawn(timm.create_model(ARCH, num_classes=3), seed=2).eval()


@pytest.fixture
def folder(tmp_path, network):
    save_for_hf(network, str(tmp_path / "net"), model_config=dict(LABELS), safe_serialization=True)
    return tmp_path / "net"


def assert_answers_as(classifier, theirs):
    """The same logits for pixels that are normalised by hand."""
    pixels = torch.rand(2, 3, *classifier.size, generator=torch.Generator().manual_seed(1))
    cfg = theirs.pretrained_cfg
    mean, std = (torch.tensor(cfg[each]).view(-1, 1, 1) for each in ("mean", "std"))
    assert classifier.size == tuple(cfg["input_size"][1:])
    with torch.no_grad():
        torch.testing.assert_close(classifier(pixels), theirs.eval()((pixels - mean) / std))


@pytest.mark.parametrize("spelled", ["{}", "local-dir:{}", "{}/model.safetensors"])
def test_a_folder_that_timm_saved_loads_as_timm_loads_it(folder, spelled):
    classifier = load_classifier(spelled.format(folder), device="cpu")
    assert_answers_as(classifier, timm.create_model(f"local-dir:{folder}", pretrained=True))
    assert (classifier.classes, classifier.notes) == (("cat", "dog", "emu"), ())
    assert classifier.class_index("a large bird") == 2


def test_its_preprocessing_and_other_names_can_be_said(folder):
    said = {"classes": ["x", "y", "z"], "size": 64, "mean": 0.4}
    classifier = load_classifier(folder, device="cpu", **said)
    assert classifier.classes == ("x", "y", "z")
    assert (classifier.size, classifier.preprocessing.mean) == ((64, 64), (0.4, 0.4, 0.4))


def test_a_folder_of_pickled_weights_without_names_says_so(tmp_path, network):
    save_for_hf(network, str(tmp_path))
    assert (tmp_path / "pytorch_model.bin").is_file()
    for spec in (tmp_path, tmp_path / "pytorch_model.bin"):
        classifier = load_classifier(spec, device="cpu")
        assert_answers_as(classifier, network)
        assert classifier.classes == ("class 0", "class 1", "class 2")
        assert "does not name its classes" in classifier.notes[0]


def test_arguments_of_the_network_are_kept(tmp_path):
    network = timm.create_model("test_vit", num_classes=3, img_size=(96, 64))
    drawn(network, seed=4)
    save_for_hf(network, str(tmp_path), model_args={"img_size": [96, 64]}, safe_serialization=True)
    config = json.loads((tmp_path / "config.json").read_text())
    config["pretrained_cfg"] |= {"input_size": [3, 96, 64], "a_later_key": 1}
    (tmp_path / "config.json").write_text(json.dumps(config))
    classifier = load_classifier(tmp_path, device="cpu")
    assert torch.equal(classifier.network.pos_embed, network.pos_embed)
    assert classifier.size == (96, 64)


def test_the_older_form_of_a_config_is_read(folder):
    config = json.loads((folder / "config.json").read_text())
    flat = {**config["pretrained_cfg"], "architecture": ARCH, "labels": {"0": "cat", "2": "emu"}}
    (folder / "config.json").write_text(json.dumps(flat))
    assert load_classifier(folder, device="cpu").classes == ("cat", "class 1", "emu")


def test_a_run_is_recognised_and_checked_without_torch(folder):
    from interpret_kit.models.loading.recorded_runs import check_model, run_config, size_of

    check_model(folder)
    assert (size_of(folder), run_config(folder)) == (None, None)


def change(folder, **changes):
    config = json.loads((folder / "config.json").read_text()) | changes
    (folder / "config.json").write_text(json.dumps(config))


def test_a_folder_that_asks_for_other_weights_is_refused(folder):
    change(folder, model_args={"checkpoint_path": "evil.pth"})
    with pytest.raises(BadWeights, match=r"would load other weights \(checkpoint_path\); refused"):
        load_classifier(folder)


def test_a_folder_with_too_few_names_or_no_weights_says_so(folder):
    change(folder, label_names=["cat", "dog"])
    with pytest.raises(UsageError, match="has 3 outputs, but 2 class names were given"):
        load_classifier(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadWeights, match=r"holds no weights: no model\.safetensors, pytorch_model"):
        load_classifier(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config.json": '{"model_type": "vit"}'}, r"holds a model of transformers \(vit\)"),
        (
            {"w.pth": ""},
            r"no config\.json; .*: `ik\.load_classifier.'.*net/w\.pth', arch='resnet18'",
        ),
        ({"a/config.json": "{}", "b/config.json": "{}"}, r"give one of them: .*net/a, .*net/b"),
        ({"trials.csv": ""}, "is a sweep"),
        ({"data.pkl": "", "version": "3"}, "is an unpacked checkpoint"),
        ({".metadata": "", "__0_0.distcp": ""}, r"dcp_to_torch .*net weights\.pth"),
        ({"saved_model.pb": ""}, "is a TensorFlow model"),
    ],
)
def test_a_folder_that_is_nearly_a_model_says_what_it_is(tmp_path, files, message):
    for name, text in files.items():
        file = tmp_path / "net" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with pytest.raises(NothingThere, match=message):
        load_classifier(tmp_path / "net")


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("hf-hub:me/net", "me/net"),
        ("hf_hub:me/net@v1", "me/net@v1"),
        ("HF-hub:net", "net"),
        ("timm/resnet18.a1_in1k", "timm/resnet18.a1_in1k"),
        ("https://huggingface.co/timm/resnet18.a1_in1k/tree/main", "timm/resnet18.a1_in1k"),
        ("resnet18.a1_in1k", ""),
        ("me/net", ""),
    ],
)
def test_names_of_repositories(name, repository):
    assert repository_of(name) == repository


def test_a_name_of_no_repository_says_how_to_name_one():
    with pytest.raises(
        UsageError, match=r"hf-hub: does not name a repository; give hf-hub:timm/resnet18"
    ):
        load_classifier("hf-hub:")
    with pytest.raises(NothingThere, match=r"no file or folder me/net; .* give hf-hub:me/net"):
        load_classifier("me/net")
    with pytest.raises(NothingThere, match=r"^https://a/b\.pth is a URL; download it, and"):
        load_classifier("https://a/b.pth")
    with pytest.raises(NothingThere, match="there is no folder nowhere; check the path"):
        load_classifier("local-dir:nowhere")


def cached(cache, repository, folder):
    """Lay a folder into the hub's cache, as if it had been downloaded."""
    place = cache / f"models--{repository.replace('/', '--')}"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text("0" * 40)
    (place / "snapshots").mkdir()
    (place / "snapshots" / ("0" * 40)).symlink_to(folder)


@pytest.mark.parametrize("name", ["hf-hub:me/net", "https://huggingface.co/me/net"])
def test_a_repository_in_the_cache_loads_without_a_network(monkeypatch, tmp_path, folder, name):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    cached(tmp_path / "cache", "me/net", folder)
    classifier = load_classifier(name, device="cpu")
    assert_answers_as(classifier, timm.create_model(f"local-dir:{folder}", pretrained=True))
    assert classifier.classes == ("cat", "dog", "emu")


def test_a_thousand_classes_are_imagenets_in_timms_repositories_only(monkeypatch):
    monkeypatch.setattr(
        "interpret_kit.models.loading.hub.refuse_without_network", lambda _name: None
    )
    make = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda _name, **_settings: make(ARCH))
    assert load_classifier(f"timm/{ARCH}.r160_in1k", device="cpu").classes[0] == "tench"
    theirs = load_classifier("hf-hub:me/net", device="cpu")
    assert theirs.classes[0] == "class 0"
    assert "`classes='imagenet'`" in theirs.notes[0]


def test_a_hub_that_is_off_says_what_works_without_it(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    message = (
        r"weights of hf-hub:me/net could not be downloaded .*a connection, use the embedded model"
    )
    with pytest.raises(WeightsUnavailable, match=message) as raised:
        load_classifier("hf-hub:me/net")
    assert "\n" not in str(raised.value)


def refused(kind, message):
    """An error of the hub's client, without the answer of a server that it is made of."""
    error = kind.__new__(kind)
    error.args = (message,)
    return error


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (
            refused(errors.RepositoryNotFoundError, "404"),
            NothingThere,
            "no repository me/net on the .* Hub, or",
        ),
        (
            refused(errors.RevisionNotFoundError, "404"),
            NothingThere,
            "no repository me/net on the .* Hub, or",
        ),
        (refused(errors.GatedRepoError, "403"), WeightsUnavailable, "me/net needs a login"),
        (refused(errors.EntryNotFoundError, "404"), NothingThere, "does not hold a timm model"),
        (KeyError("architecture"), NothingThere, r"does not hold a timm model \('architecture'\)"),
        (
            RuntimeError("Unknown model (x)"),
            NothingThere,
            r"timm [\d.]+\S* does not have this model",
        ),
        (
            errors.LocalEntryNotFoundError("no\nroute"),
            WeightsUnavailable,
            r"downloaded \(no\); without a connection",
        ),
        (errors.HFValidationError("bad"), WeightsUnavailable, r"could not be downloaded \(bad\)"),
        (OSError("no route to host\nand more"), WeightsUnavailable, "no route to host"),
    ],
)
def test_an_answer_of_the_hub_is_reported_in_one_sentence(monkeypatch, error, kind, message):
    def fails(*_arguments, **_settings):
        raise error

    monkeypatch.setattr(
        "interpret_kit.models.loading.hub.refuse_without_network", lambda _name: None
    )
    monkeypatch.setattr(timm, "create_model", fails)
    with pytest.raises(kind, match=message) as raised:
        loading.load_classifier("hf-hub:me/net")
    assert "\n" not in str(raised.value)
