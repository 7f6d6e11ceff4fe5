"""Is what the tests trace, with kernels that are made once, what torch alone traces?"""

import pytest
import torch
from incremental_networks import SIZE, made
from kept_overrides import kept
from torch.export import exported_program

from interpret_kit.incremental.graph.export import trace

OVERRIDE = "_override_composite_implicit_decomp"


def operations(name):
    graph = trace(made(name), torch.zeros(1, 3, *SIZE))
    return [(each.name, each.op, str(dict(each.arguments)), each.shape) for each in graph.nodes]


def test_a_trace_with_kernels_that_were_kept_is_that_of_torch_alone(monkeypatch):
    original = getattr(getattr(exported_program, OVERRIDE, None), "original", None)
    if original is None:
        pytest.skip("this torch has no such kernels to keep")
    names, used = ("residual", "channels last"), []

    def counted(operators):
        used.append(operators)
        return original(operators)

    monkeypatch.setattr(exported_program, OVERRIDE, counted)
    alone = [operations(name) for name in names]
    assert len(used) >= len(names)
    assert {op for each in alone for _, op, *_ in each} >= {"conv2d", "linear", "layer_norm"}
    used.clear()
    monkeypatch.setattr(exported_program, OVERRIDE, kept(counted))
    assert [operations(name) for name in names] == alone
    made_once = len(used)
    assert [operations(name) for name in names] == alone
    assert len(used) == made_once
