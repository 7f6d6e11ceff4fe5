"""Where do the weights of a timm model come from? The cache, or the Hugging Face Hub."""

from __future__ import annotations

from typing import Any

from torch import nn

from interpret_kit.errors import InterpretError, NothingThere, WeightsUnavailable
from interpret_kit.models.checkpoints.weights import first_line
from interpret_kit.models.loading.architectures import listed_models
from interpret_kit.models.loading.timm_names import no_such_model, repository_of

TIMEOUT = 5  # seconds
_FILES = ("model.safetensors", "pytorch_model.bin")


def create_pretrained(name: str, offline: str, **arguments: Any) -> nn.Module:
    """Make a network by its name, with its weights from timm or the hub.

    Args:
        name: of the architecture, and perhaps of its weights: "resnet18.a1_in1k"; or of a
            repository, as `repository_of` reads it.
        offline: advice for error messages.
        arguments: for ``timm.create_model``; with another ``num_classes``, the head is new.

    Raises:
        NothingThere: if there is no such architecture or repository.
        WeightsUnavailable: if there are no such weights, or they cannot be downloaded.
    """
    import timm

    repository = repository_of(name)
    if not repository and not timm.is_model(name.partition(".")[0]):
        raise no_such_model(name, listed_models())
    try:
        refuse_without_network(name)
        spelled = f"hf-hub:{repository}" if repository else name
        network: nn.Module = timm.create_model(spelled, pretrained=True, **arguments)
    except Exception as error:  # the hub client raises errors of many libraries
        raise _told(error, repository, name, offline) from error
    return network


def _told(error: Exception, repository: str, name: str, offline: str) -> InterpretError:
    """Explain the error: no such repository, not one of timm's, or no connection."""
    if isinstance(error, InterpretError):
        return error
    kinds = {each.__name__ for each in type(error).__mro__}
    if repository and "GatedRepoError" in kinds:
        return WeightsUnavailable(f"{repository} needs a login to the hub: hf auth login")
    if repository and kinds & {"RepositoryNotFoundError", "RevisionNotFoundError"}:
        return NothingThere(
            f"there is no repository {repository} on the Hugging Face Hub, or it is private; "
            "check the name"
        )
    not_timms = "EntryNotFoundError" in kinds and "LocalEntryNotFoundError" not in kinds
    if repository and (not_timms or isinstance(error, KeyError)):
        return NothingThere(
            f"{repository} does not hold a timm model ({first_line(error)}); in Python, load it "
            "with "
            "its own library, and give ik.Classifier(network, size=..., mean=..., std=...)"
        )
    if str(error).startswith("Unknown model"):
        import timm

        return NothingThere(f"{name}: timm {timm.__version__} does not have this model ({error})")
    return WeightsUnavailable(
        f"the pretrained weights of {name} could not be downloaded ({first_line(error)}); {offline}"
    )


def refuse_without_network(name: str) -> None:
    """Check once that the hub responds, unless the weights of ``name`` are cached.

    Its client would retry for most of a minute, and log every attempt.

    Raises:
        OSError: or another error of the hub's client, if it does not respond.
    """
    import timm
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    repository: str | None = repository_of(name)
    if not repository:
        settings = timm.get_pretrained_cfg(name)
        repository = settings.hf_hub_id if settings else None
    if not repository:
        return
    owner_and_name, _, revision = repository.partition("@")
    cached = (try_to_load_from_cache(owner_and_name, e, revision=revision or None) for e in _FILES)
    if not any(isinstance(each, str) for each in cached):
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)  # any response will do
