"""Do weights on a GPU, which are added up there, have a sum that shows every change?"""

import pytest
import torch

from interpret_kit.incremental.graph import fingerprint
from interpret_kit.incremental.graph.fingerprint import checksum


def test_the_sum_does_not_depend_on_the_pieces(monkeypatch):
    weight = torch.randn(7, 11, generator=torch.Generator().manual_seed(0))
    whole = checksum(weight)
    monkeypatch.setattr(fingerprint, "_AT_ONCE", 10)
    assert checksum(weight) == whole


KINDS = [torch.float32, torch.float64, torch.bfloat16, torch.complex128, torch.int8]


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_the_sum_shows_a_last_bit_an_exchange_and_signs(kind):
    weight = (torch.randn(4, 3, generator=torch.Generator().manual_seed(0)) * 9).to(kind)
    sums = {int(checksum(each)) for each in (weight, weight.flip(0), weight.flip(1), -weight)}
    last = weight.clone()
    view = last.view(fingerprint._WORDS[min(last.itemsize, 8)])
    view[3, 1] ^= 1
    assert len(sums | {int(checksum(last))}) == 5
    assert checksum(weight.T.contiguous().T) == checksum(weight)
    assert checksum(weight[:0]) == 0
