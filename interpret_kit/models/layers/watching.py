"""What reads each tensor of a forward pass, and what do its dimensions hold?

Recorded during the forward pass: a dispatch mode sees every operation of any network, exportable
or not, including functions between the modules. A tensor is identified by its storage and by how
often that was overwritten: a view is the same tensor as its base, and a tensor that was changed in
place is another one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from interpret_kit.models.dispatching import DispatchMode
from interpret_kit.models.layers.dimension_rules import dims_of_outputs
from interpret_kit.models.layers.dimensions import BATCH, CHANNEL, COL, ROW, Dims, fresh, unknown
from interpret_kit.models.layers.layout import are_maps
from interpret_kit.models.layers.operations import LayerOperation

StorageVersion = tuple[int, int]  # a storage, and how often it had been overwritten
Key = tuple[
    StorageVersion, int, tuple[int, ...], tuple[int, ...]
]  # and the part of it that is viewed

_READS_ONLY_THE_SHAPE = ("empty", "zeros", "ones", "full", "rand", "randn", "new_")


class TensorWatch(DispatchMode):
    """Record what the operations of a block read, and when.

    with TensorWatch(images) as watch:
        network(images)
    watch.readings[contents]  # when they were read, by `watch.time`
    """

    def __init__(self, images: Tensor) -> None:
        """Start with the inputs of the network, (batch, channels, height, width)."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.time = 0  # increases with every operation and every call of `tick`
        self.readings: dict[StorageVersion, list[int]] = defaultdict(list)
        self.mixing: list[int] = []  # when positions were combined, as by attention
        self.adding: list[int] = []  # when feature maps were added to feature maps
        self._images = len(images)
        # A weak reference prevents the reuse of a storage's address, but does not keep its memory.
        self._storages: dict[int, StorageWeakRef] = {}
        self._dims: dict[tuple[Any, ...], Dims] = {}
        self._computed: set[int] = set()  # storages that depend on the images
        kinds = (BATCH, CHANNEL, ROW, COL) if images.dim() == 4 else ()
        if kinds:
            self._note(images, tuple(map(fresh, kinds, images.shape)))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation, and record what it read."""
        arguments = _by_name(func, args, kwargs or {})
        given = list(_tensors(arguments.values()))
        read = {self._contents(each) for each in given} - {None}
        before = {id(each): self.dims(each) for each in given}  # it may change shapes in place
        result = func(*args, **(kwargs or {}))
        time, name = self.tick(), func._schema.name.split("::")[-1]
        if name.startswith(_READS_ONLY_THE_SHAPE):
            return result
        outputs = list(_tensors([result]))
        storages = {each[0] for each in read if each is not None}
        is_view = not func._schema.is_mutable and {*map(_storage, outputs)} <= storages
        for each in read:
            if each is not None and not (is_view and outputs):
                self.readings[each].append(time)
        if storages & self._computed and outputs:
            pointwise = torch.Tag.pointwise in func.tags
            dims = partial(_looked_up, before)
            self._tell(LayerOperation(name, arguments, outputs, dims, self._images, pointwise))
        return result

    def tick(self) -> int:
        """Advance the clock by one, and return the time."""
        self.time += 1
        return self.time

    def key(self, value: object) -> Key | None:
        """Identify a tensor; None for anything else."""
        contents = self._contents(value)
        if not isinstance(value, Tensor) or contents is None:
            return None
        return contents, int(value.storage_offset()), tuple(value.shape), value.stride()

    def dims(self, value: object) -> Dims | None:
        """Return the dimensions of a tensor; None if it does not depend on the images."""
        storage = _storage(value)
        if not isinstance(value, Tensor) or storage not in self._computed:
            return None
        return self._dims.get(_place(value), unknown(value.shape))

    def return_from_network(self, output: object) -> None:
        """Mark the network's outputs as read."""
        time = self.tick()
        for each in _tensors([output]):
            contents = self._contents(each)
            if contents is not None:
                self.readings[contents].append(time)

    def _tell(self, operation: LayerOperation) -> None:
        found = dims_of_outputs(operation)
        for output, dims in zip(operation.outputs, found, strict=True):
            self._note(output, dims)
        for happens, times in (
            (operation.mixes, self.mixing),
            (_adds(operation) and are_maps(found[0], self._images), self.adding),
        ):
            if happens:
                times.append(self.time)

    def _note(self, output: Tensor, dims: Dims) -> None:
        contents = self._contents(output)
        if contents is not None:
            self._computed.add(contents[0])
            self._dims[_place(output)] = dims

    def _contents(self, value: object) -> StorageVersion | None:
        storage = _storage(value)
        if not isinstance(value, Tensor) or storage is None:
            return None
        if storage not in self._storages:
            weak = StorageWeakRef(value.untyped_storage())  # type: ignore[no-untyped-call]
            self._storages[storage] = weak
        return storage, 0 if value.is_inference() else value._version


def _looked_up(dims: Mapping[int, Dims | None], value: object) -> Dims | None:
    return dims.get(id(value))


def _storage(value: object) -> int | None:
    """Return the address of a tensor's storage; None if it has none, such as a sparse tensor."""
    try:
        return value.untyped_storage()._cdata if isinstance(value, Tensor) else None
    except (NotImplementedError, RuntimeError):
        return None


def _place(value: Tensor) -> tuple[Any, ...]:
    return _storage(value), value.storage_offset(), tuple(value.shape), value.stride()


def _by_name(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    schema = func._schema.arguments
    given = {each.name: value for each, value in zip(schema, args, strict=False)}
    return {each.name: each.default_value for each in schema} | given | dict(kwargs)


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)
        elif isinstance(value, dict):
            yield from _tensors(value.values())


def _adds(operation: LayerOperation) -> bool:
    name = operation.name.rstrip("_")
    if name == "_transformer_encoder_layer_fwd":
        return True
    terms = operation["self"], operation["other" if name == "add" else "tensor1"]
    if name not in ("add", "addcmul") or not all(isinstance(each, Tensor) for each in terms):
        return False
    return terms[0].shape == terms[1].shape and None not in map(operation.dims, terms)
