"""Are rates rounded so that two measurements agree, and kernels replaced only by faster ones?"""

import pytest
import torch

from interpret_kit.incremental.measured.choices import SHIPPED
from interpret_kit.incremental.measured.measure import (
    in_turn,
    is_faster,
    measured,
    one_thread,
    rounded,
    seconds_each,
)


@pytest.mark.parametrize(
    ("rate", "expected"),
    [(1.0, 1.0), (1.15, 1.0), (0.86, 1.0), (2.1, 2.0), (1.4, 2**0.5), (1e9, 32.0), (0.0, 1 / 32)],
)
def test_rates_are_powers_of_the_root_of_two_from_the_shipped_one(rate, expected):
    assert rounded(rate * 3, 3) == pytest.approx(3 * expected)


@pytest.mark.parametrize(
    ("other", "shipped", "faster"),
    [
        ([5, 5, 5], [10, 10, 10], True),
        ([9, 9, 9], [10, 10, 10], False),  # by too little
        ([5, 5, 30], [10, 10, 10], True),  # one round was disturbed
        ([5, 30, 30], [10, 10, 10], False),
        ([5, 5, 5], [10, 10, 4], False),  # the shipped one is as fast, left alone
    ],
)
def test_a_kernel_is_replaced_by_a_margin_in_most_rounds(other, shipped, faster):
    assert is_faster(other, shipped) == faster


def test_works_are_run_in_turn():
    order = []
    works = {name: lambda name=name: order.append(name) for name in "ab"}
    times = in_turn(works, rounds=2)
    assert order == ["a", "b"] * 3
    assert [len(each) for each in times.values()] == [2, 2]


def test_this_machine_is_measured():
    found = measured()
    for name, value in found.plain().items():
        shipped = getattr(SHIPPED, name)
        assert type(value) is type(shipped)
        assert value > 0


def test_seconds_are_those_of_one_multiply_add_byte_or_call():
    # Not rounded, which would bound them. No machine is a thousand times as fast or as slow as the
    # one of the shipped rates; a whole task has millions of multiply-adds, or bytes.
    with torch.no_grad(), one_thread():
        found = seconds_each()
    shipped = {name: getattr(SHIPPED, name) for name in found}
    assert found.keys() == {"multiply_add", "byte", "gathered_byte", "call"}
    for name, value in found.items():
        assert shipped[name] / 1e3 < value < shipped[name] * 1e3, name
