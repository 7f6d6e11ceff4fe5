"""Why does a network not accept its inputs? One sentence instead of torch's error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from interpret_kit.errors import BadWeights, InterpretError, NotSupported, UsageError, WrongType
from interpret_kit.models.probing.network_kinds import computing_type, dense, is_exported

_OTHER_SIZE = re.compile(
    r"cannot be multiplied|invalid for input of size|[Kk]ernel size|[Oo]utput size|too small|"
    r"Input (image )?(height|width|size)|must match the size|match(es)? (the )?(model|input)"
)
_OTHER_CHANNELS = re.compile(r"expected input(\[[\d, ]+\]) to have (\d+) channels")
_OTHER_TYPE = re.compile(r"should be the same|same dtype|expected scalar type|expected m1 and m2")
_NO_KERNEL = re.compile(r"not implemented for '(Half|BFloat16|Double)'")


def refuse_unusable(network: object, name: str) -> None:
    """Refuse an object that cannot compute.

    Raises:
        UsageError: if it is not an nn.Module, has lazy modules that were never run, or weights on
            "meta".
        BadWeights: if weights, or statistics of a normalisation, are NaN or infinite.
    """
    refuse_without_values(network, name)
    assert isinstance(network, nn.Module)
    refuse_not_finite(network, name)


def refuse_without_values(network: object, name: str) -> None:
    """Refuse an object that has no weights to read.

    Raises:
        UsageError: if it is not an nn.Module, has lazy modules that were never run, or weights on
            "meta".
    """
    refuse_other_than_network(network)
    assert isinstance(network, nn.Module)
    for weight_name, weight in [*network.named_parameters(), *network.named_buffers()]:
        if nn.parameter.is_lazy(weight):
            raise UsageError(
                f"{name}: {weight_name!r} has no shape yet (a lazy module); run the network once, "
                "network(torch.zeros(1, 3, 224, 224)), before it is analysed"
            )
        if weight.is_meta:
            raise UsageError(
                f"{name}: {weight_name!r} is on the device 'meta', without values; make the "
                "network on 'cpu', or load its weights after network.to_empty(device='cpu')"
            )


def refuse_not_finite(network: nn.Module, name: str) -> None:
    """Refuse a network that has diverged.

    Raises:
        BadWeights: if weights, or statistics of a normalisation, are NaN or infinite.
    """
    for weight_name, weight in _learned(network):
        if weight.is_floating_point() and not torch.isfinite(dense(weight.detach())).all():
            raise not_finite(name, weight_name)


def refuse_other_than_network(network: object) -> None:
    """Refuse anything but an nn.Module.

    Raises:
        WrongType: with its type.
    """
    if not isinstance(network, nn.Module):
        raise WrongType(
            f"the network must be an nn.Module, not {article(network)}; give the module itself, or "
            "ik.load_classifier('resnet18') for a network of that name"
        )


def not_finite(name: str, weight_name: str) -> BadWeights:
    """Make the error for a weight that is NaN or infinite."""
    return BadWeights(
        f"{name}: weight {weight_name!r} holds values that are not finite (NaN or "
        "infinite); training has diverged, use an earlier checkpoint"
    )


def refuse_not_finite_maps(values: Tensor, layer: str) -> None:
    """Refuse values that were read from the feature maps of a layer, unless all are finite.

    Raises:
        BadWeights: naming the layer.
    """
    if not torch.isfinite(values).all():
        raise BadWeights(
            f"the feature maps of layer {layer} are not finite (NaN or infinite) for some of the "
            "images; check the weights, or use network.float() if it computes in half precision"
        )


def _learned(network: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yield parameters and the statistics of normalisations; other buffers may be infinite.

    A mask holds -inf, and an observer inf before its first batch.
    """
    yield from network.named_parameters()
    for name, module in network.named_modules():
        if isinstance(module, nn.modules.batchnorm._NormBase):
            yield from ((f"{name}.{each}".lstrip("."), b) for each, b in module.named_buffers())


@contextmanager
def explained(
    network: nn.Module, inputs: Tensor, name: str, *, bare: bool = False
) -> Iterator[None]:
    """Explain the error if the network fails on inputs (batch, channels, height, width).

    Args:
        network: the network that is run in the block.
        inputs: its inputs.
        name: its name.
        bare: whether the inputs come from the caller, not from a preprocessing.

    Raises:
        UsageError: if they do not fit; any other error is the network's own, and is not changed.
    """
    try:
        yield
    except InterpretError:
        raise
    except (RuntimeError, ValueError, AssertionError) as error:
        why = _why(network, inputs, str(error), bare)
        if why:
            raise UsageError(f"{name} {why}") from error
        raise


def _why(network: nn.Module, inputs: Tensor, said: str, bare: bool) -> str:
    """Explain the error; empty for an error of another kind."""
    channels = _OTHER_CHANNELS.search(said)
    devices = {each.device for each in network.parameters()} | {inputs.device}
    if len(devices) > 1:
        return f"and the images are on different devices, {' and '.join(map(str, devices))}"
    if channels and channels[1] == str(list(inputs.shape)):
        taken, made = int(channels[2]), inputs.shape[1]
        if bare:
            return f"takes inputs of {taken} channels, but these have {made}"
        return (
            f"takes images of {taken} channels, but its preprocessing makes {made}: mean and std "
            f"have {made} numbers each; give {_channels_for(taken)}"
        )
    return _of_words(network, inputs, said)


def _of_words(network: nn.Module, inputs: Tensor, said: str) -> str:
    words = " ".join(said.rpartition("RuntimeError: ")[2].split())[
        :120
    ]  # TorchScript's message is last
    if _NO_KERNEL.search(said):
        return f"cannot compute in {inputs.dtype} on {inputs.device} ({words}); use network.float()"
    taken = computing_type(network)
    if _OTHER_TYPE.search(said) and inputs.dtype != taken:
        return f"computes in {taken}, but its inputs are {inputs.dtype}; give inputs.to({taken})"
    if _OTHER_TYPE.search(said):
        return f"mixes floating-point types ({words}); use a single one, as with network.float()"
    if "Guard failed" in said and any(map(is_exported, network.modules())):
        return (
            f"was exported for other inputs than {tuple(inputs.shape)} ({words}); export it with "
            "dynamic_shapes=({0: torch.export.Dim('batch')},)"
        )
    if _OTHER_SIZE.search(said):
        channels, height, width = inputs.shape[1:]
        return (
            f"does not take images of {height} x {width} with {channels} channels ({words}); give "
            "the size that it was made for, as in `size=(224, 224)` (height, width)"
        )
    return ""


def _channels_for(taken: int) -> str:
    if taken == 1:
        return "one each for a gray network, as in `mean=(0.5,)` and `std=(0.5,)`"
    if taken == 3:
        return "three each, one for red, green and blue"
    return "a module that computes its channels from the 3 of an RGB image, and then calls it"


def article(value: object) -> str:
    """Name the type of a value for an error: "a Tensor", "an ImageSet"."""
    if isinstance(value, type):
        return f"the class {value.__name__} (call it: {value.__name__}())"
    kind = type(value).__name__
    return "None" if value is None else f"{'an' if kind[0] in 'AEIOaeio' else 'a'} {kind}"


def rows_of(output: object, batch: int, name: str) -> Tensor:
    """Check that the output has a row for each image; (batch,) becomes (batch, 1).

    Raises:
        NotSupported: if it does not.
    """
    found = tensor_of(output, batch, name)
    # One row per image: a forward that squeezes returns (classes,) for a batch of one.
    if found.dim() not in {1, 2} or len(found) != batch:
        raise _no_logits(f"shape {tuple(found.shape)}", batch, name)
    return found if found.dim() == 2 else found.unsqueeze(1)


def tensor_of(output: object, batch: int, name: str) -> Tensor:
    """Check that the output is a tensor.

    Raises:
        NotSupported: if it is not.
    """
    if not isinstance(output, Tensor):
        raise _no_logits(type(output).__name__, batch, name)
    return output


def _no_logits(what: str, batch: int, name: str) -> NotSupported:
    return NotSupported(
        f"{name} returned {what} for {batch} images, not logits (batch, classes); wrap the "
        "network in a module whose forward returns its logits"
    )
