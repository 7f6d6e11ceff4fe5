"""Do two networks compute the same function, apart from the values of their weights? A hash.

A traced graph depends on everything that the Python code of a network reads while it runs: its
modules and their attributes, the methods of their classes, and the functions and values that these
refer to. Objects of torch, timm and the like are hashed by name only, because the file name of a
cached graph contains their versions; all other references are followed recursively.
"""

from __future__ import annotations

import functools
import hashlib
import sys
from collections.abc import Callable, Iterable, Mapping
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# Packages of which kept graphs name the versions, so that their code need not be hashed.
VERSIONED = ("torch", "torchvision", "timm", "numpy")

_PLAIN = (bool, int, float, complex, str, bytes, type(None), type(...))
_UNREAD = {"__doc__", "__annotations__", "__dict__", "__weakref__", "_abc_impl"}
# Hooks, of which a network that is kept has none, and the mode, which is eval while it is traced.
_OF_EVERY_MODULE = set(vars(nn.Module())) - {"_modules"}


class Unknown(Exception):
    """A network contains something whose code cannot be read."""


def structure(network: nn.Module) -> str:
    """Hash the modules, their settings and code, and the shapes of their weights.

    Raises:
        Unknown: if the network contains something callable whose code cannot be read.
    """
    walk = _Walk()
    walk.say(repr(network))  # with it the code that torch.fx generates
    try:
        walk.add(network)
    except RecursionError:
        raise Unknown("its objects are nested too deeply") from None
    return walk.digest.hexdigest()


class _Walk:
    """Goes once through all objects that a network leads to."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.met: dict[int, tuple[int, object]] = {}  # number, and the object, kept alive

    def say(self, text: str) -> None:
        self.digest.update(f"{len(text)}:{text}".encode(errors="surrogatepass"))

    def add(self, value: Any) -> None:
        if type(value) in _PLAIN:
            self.say(f"{type(value).__name__} {value!r}")
        elif id(value) in self.met:
            self.say(f"again {self.met[id(value)][0]}")
        else:
            self.met[id(value)] = len(self.met), value
            add = next((add for kind, add in _KINDS if isinstance(value, kind)), _Walk.add_object)
            add(self, value)

    def each(self, kind: str, values: Iterable[Any]) -> None:
        held = list(values)
        self.say(f"{kind} {len(held)}")
        for value in held:
            self.add(value)

    def add_tensor(self, tensor: Tensor) -> None:
        # Its values do not matter: they are read when the graph is run, or not kept.
        self.say(f"tensor {tensor.dtype} {tuple(tensor.shape)}")

    def add_array(self, array: np.ndarray[Any, Any]) -> None:
        self.say(f"array {array.dtype} {array.shape}")
        self.each("of", array.flat if array.dtype.hasobject else [array.tobytes()])

    def add_module(self, module: nn.Module) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            raise Unknown("a part of it is TorchScript")
        self.add(type(module))
        for name, tensor in sorted({**module._parameters, **module._buffers}.items()):
            self.each(name, [tensor])
        self.named({k: v for k, v in vars(module).items() if k not in _OF_EVERY_MODULE})

    def add_code(self, code: CodeType) -> None:
        self.each(code.co_name, [code.co_code, code.co_names, code.co_varnames, code.co_consts])

    def add_function(self, function: FunctionType) -> None:
        self.say(f"function {function.__module__}.{function.__qualname__}")
        if _is_versioned(function):
            return
        self.each("called with", [function.__defaults__, function.__kwdefaults__])
        self.add(function.__code__)
        self.each("closure", function.__closure__ or ())
        self.read(function.__globals__, _names(function.__code__))

    def read(self, namespace: Mapping[str, Any], names: Iterable[str]) -> None:
        """Take in the values of a module that have these names, and of the modules among them."""
        for name in sorted(set(names) & namespace.keys()):
            value = namespace[name]
            if not isinstance(value, ModuleType):
                self.each(name, [value])
            elif not _is_versioned_name(value.__name__) and id(value) not in self.met:
                self.met[id(value)] = len(self.met), value
                self.read(vars(value), names)

    def add_class(self, kind: type) -> None:
        self.say(f"class {kind.__module__}.{kind.__qualname__}")
        if not _is_versioned(kind):
            self.each("of", kind.__mro__[1:])
            self.named({k: v for k, v in vars(kind).items() if k not in _UNREAD})

    def add_cell(self, cell: CellType) -> None:
        try:
            self.each("cell", [cell.cell_contents])
        except ValueError:
            self.say("empty cell")

    def add_builtin(self, function: BuiltinFunctionType) -> None:
        self.say(f"builtin {function.__module__} {function.__qualname__}")

    def named(self, values: Mapping[str, Any]) -> None:
        for name in sorted(values):
            self.each(name, [values[name]])

    def add_object(self, value: Any) -> None:
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:  # as of functools.lru_cache
            self.each("wrapped", [wrapped])
        elif not _is_versioned(type(value)):
            self.add(type(value))
            slots = [n for each in type(value).__mro__ for n in getattr(each, "__slots__", ())]
            held = {name: getattr(value, name, None) for name in slots if name not in _UNREAD}
            self.named({**held, **getattr(value, "__dict__", {})})
        elif " at 0x" not in repr(value):
            self.say(f"{type(value)} {value!r}")
        elif callable(value):
            raise Unknown(f"the code of {value!r} cannot be read")
        else:
            self.say(f"{type(value)}")


def _sorted(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=repr)  # a set has no order of its own


_KINDS: list[tuple[type | tuple[type, ...], Callable[[_Walk, Any], None]]] = [
    (Tensor, _Walk.add_tensor),
    (np.ndarray, _Walk.add_array),
    (nn.Module, _Walk.add_module),
    (Mapping, lambda walk, held: walk.each("mapping", (e for pair in held.items() for e in pair))),
    ((list, tuple), lambda walk, held: walk.each(type(held).__name__, held)),
    ((set, frozenset), lambda walk, held: walk.each("set", _sorted(held))),
    (CodeType, _Walk.add_code),
    (FunctionType, _Walk.add_function),
    (MethodType, lambda walk, it: walk.each("method", [it.__func__, it.__self__])),
    (functools.partial, lambda walk, it: walk.each("partial", [it.func, it.args, it.keywords])),
    ((staticmethod, classmethod), lambda walk, it: walk.each("method", [it.__func__])),
    (property, lambda walk, it: walk.each("property", [it.fget])),
    (functools.cached_property, lambda walk, it: walk.each("property", [it.func])),
    (type, _Walk.add_class),
    (ModuleType, lambda walk, it: walk.say(it.__name__)),
    (CellType, _Walk.add_cell),
    (BuiltinFunctionType, _Walk.add_builtin),
]


def _names(code: CodeType) -> set[str]:
    """The names that a function reads, and the functions inside it."""
    inner = [each for each in code.co_consts if isinstance(each, CodeType)]
    return set(code.co_names).union(*map(_names, inner))


def _is_versioned(named: Any) -> bool:
    return _is_versioned_name(getattr(named, "__module__", None) or "")


def _is_versioned_name(module: str) -> bool:
    top = module.partition(".")[0]
    return top in VERSIONED or top in sys.stdlib_module_names
