"""Can the weights of a timm model be had: from the cache, or from the hub?"""

from __future__ import annotations

TIMEOUT = 5  # seconds
_FILES = ("model.safetensors", "pytorch_model.bin")


def refuse_without_network(name: str) -> None:
    """Ask the hub once whether it answers, unless the weights of ``name`` are cached.

    Its client would try again for most of a minute, and write of each try.

    Raises:
        OSError: or another error of the hub's client, if it does not answer.
    """
    import timm
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.utils import get_session  # type: ignore[attr-defined]

    settings = timm.get_pretrained_cfg(name)
    repository = settings.hf_hub_id if settings else None
    if not repository:
        return
    cached = (try_to_load_from_cache(repository, file) for file in _FILES)
    if not any(isinstance(each, str) for each in cached):
        get_session().head(constants.ENDPOINT, timeout=TIMEOUT)  # any answer will do
