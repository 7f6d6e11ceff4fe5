"""Are timm's names known without importing it?"""

import sys

import pytest
import timm

from interpret_kit.errors import NothingThere
from interpret_kit.models.loading.timm_names import CONVNET, names_in_source, refuse_unknown


def test_the_names_in_its_source_files_are_those_that_timm_makes_networks_of():
    names = names_in_source()
    theirs = {each for each in timm.list_models() if each != CONVNET}  # registered by other tests
    assert theirs - names == set()
    assert [each for each in names if not timm.is_model(each)] == []
    assert "tv_resnet50" in names - theirs  # an old name


def test_names_are_looked_up_only_where_nobody_can_have_registered_more(monkeypatch):
    refuse_unknown("my_network")
    monkeypatch.delitem(sys.modules, "timm")
    for known in ("resnet50", "resnet50.a1_in1k", "tv_resnet50", CONVNET):
        refuse_unknown(known)
    with pytest.raises(
        NothingThere, match=r"'my_network' is not a .*; timm\.list_models\(\) lists"
    ):
        refuse_unknown("my_network")
    monkeypatch.setattr("interpret_kit.models.loading.timm_names.names_in_source", frozenset)
    refuse_unknown("my_network")  # of a timm that is laid out otherwise, nothing is known
