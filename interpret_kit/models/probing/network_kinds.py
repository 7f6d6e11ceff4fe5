"""What kind of network is this: wrapped, compiled, scripted, exported, quantised, half precision?

torch lets one network be called through many kinds of object. Wrappers that only affect speed are
removed; networks whose modules cannot be read are recognised.
"""

from __future__ import annotations

import copy
from itertools import chain

import torch
from torch import Tensor, fx, nn

# Wrapper classes that only call the network inside, and its attribute; by name, so that their
# modules (torch._dynamo takes seconds) are not imported for a network that is not wrapped.
_WRAPPERS = {
    "OptimizedModule": "_orig_mod",
    "DataParallel": "module",
    "DistributedDataParallel": "module",
    "AveragedModel": "module",
    "ModelEmaV2": "module",
    "ModelEmaV3": "module",
}
_HALVES = (torch.float16, torch.bfloat16)


def unwrapped(network: nn.Module) -> nn.Module:
    """Return the network inside `torch.compile`, DataParallel, an EMA, or several of these.

    Wrapped modules inside it are unwrapped, too, in a copy of their parents: the copy shares all
    other modules and all tensors, and the network itself is not changed.
    """
    network = _inside(network)
    if not (isinstance(network, nn.Module) and any(map(_is_wrapper, network.modules()))):
        return network
    return _without_wrappers(network, {})


def _without_wrappers(module: nn.Module, made: dict[int, nn.Module]) -> nn.Module:
    """Return the module without wrappers inside; ``made`` holds the copies by id."""
    module = _inside(module)
    if opaque(module):
        return module
    if id(module) not in made:
        children = {
            name: None if each is None else _without_wrappers(each, made)
            for name, each in module._modules.items()
        }
        if any(each is not module._modules[name] for name, each in children.items()):
            own = type(module).__new__(type(module))
            hooks = {k: copy.copy(v) for k, v in vars(module).items() if k.endswith("_hooks")}
            own.__dict__.update({**vars(module), **hooks, "_modules": children})
            made[id(module)] = own
        else:
            made[id(module)] = module
    return made[id(module)]


def _is_wrapper(module: nn.Module) -> bool:
    return _inside(module) is not module


def _inside(network: nn.Module) -> nn.Module:
    """Return the module inside a wrapper; None if this is not one."""
    while True:
        for base in type(network).__mro__:
            if base.__name__ in _WRAPPERS and base.__module__.startswith(("torch.", "timm.")):
                network = getattr(network, _WRAPPERS[base.__name__])
                break
        else:
            return network


def is_scripted(module: nn.Module) -> bool:
    """Return whether the module is TorchScript: hooks on it are refused, or never run."""
    return isinstance(module, torch.jit.ScriptModule)


def is_exported(module: nn.Module) -> bool:
    """Return whether the module is a program of `torch.export`, which has no submodules."""
    # Recognised by its ``eval``, which only raises.
    return isinstance(module, fx.GraphModule) and "eval" in vars(module)


def opaque(network: nn.Module) -> str:
    """Return why no module inside the network can be read; empty if they can."""
    if is_scripted(network):
        return "it is TorchScript, which runs without its modules"
    if is_exported(network):
        return "it is an exported program, which has no modules"
    return ""


def whole_passes_only(network: nn.Module) -> str:
    """Return why incremental evaluation is not exact for this network; empty if it is."""
    if any(map(is_quantised, network.modules())):
        return "it is quantised"
    halves = {each.dtype for each in network.parameters()} & {*_HALVES}
    if halves:
        return f"it computes in {', '.join(sorted(map(str, halves)))}"
    return opaque(network)


def is_quantised(module: nn.Module) -> bool:
    """Return whether the module computes with integers (torch.ao, eager mode)."""
    return ".quantized" in type(module).__module__


def is_convolution(module: nn.Module) -> bool:
    """Return whether the module is a 2-D convolution, perhaps quantised or fused with a ReLU."""
    quantised = is_quantised(module) and type(module).__name__ in {"Conv2d", "ConvReLU2d"}
    return isinstance(module, nn.Conv2d) or quantised


def computing_type(network: nn.Module) -> torch.dtype:
    """Return the floating type that the network takes: that of its first weights."""
    mixing = (nn.Conv2d, nn.Linear)  # normalisations and position embeddings may have another type
    weights = (each.weight for each in network.modules() if isinstance(each, mixing))
    for each in chain[object](weights, network.parameters()):
        if isinstance(each, Tensor) and each.is_floating_point() and each.dtype.itemsize > 1:
            return each.dtype
    return torch.float32


def is_half(tensor: Tensor) -> bool:
    """Return whether values have 16 bits: too coarse for sums, differences and ranks."""
    return tensor.dtype in _HALVES


def widened(tensor: Tensor) -> Tensor:
    """Return quantised or 16-bit values as float32; others as they are."""
    if tensor.is_quantized:
        return tensor.dequantize()
    return tensor.float() if is_half(tensor) else tensor


def dense(tensor: Tensor) -> Tensor:
    """Return a tensor in strided layout: a sparse one, or one in oneDNN's own, is converted."""
    return tensor if tensor.layout == torch.strided else tensor.to_dense()
