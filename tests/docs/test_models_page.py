"""Is the table of architectures made of comparisons that can fail?"""

import json
import sys
from pathlib import Path

import pytest
import timm

sys.path.append(str(Path(__file__).parents[2] / "docs" / "models"))
import make_models
import models_check
from models_check import FULL, REFUSED, WORKS, WRONG, Outcome, check, make_subject


def small(name, size):
    return make_subject(lambda: timm.create_model(name, num_classes=10), size)


@pytest.mark.parametrize(("name", "size"), [("test_convnext", 32), ("test_vit", 160)])
def test_a_network_is_evaluated_incrementally_with_the_numbers_of_brute_force(name, size):
    outcomes = check(small(name, size))
    assert [each.analysis for each in outcomes] == list(models_check.CHECKS)
    assert {each.how for each in outcomes} == {WORKS}, outcomes


def test_another_gray_under_the_window_counts_as_wrong(monkeypatch):
    subject = small("test_convnext", 32)
    monkeypatch.setattr(models_check, "GRAY", 100 / 255)
    monkeypatch.setattr(models_check, "CHECKS", {"occlusion": models_check.CHECKS["occlusion"]})
    (outcome,) = check(subject)
    assert outcome.how == WRONG
    assert outcome.error > 100


def test_the_page_counts_outcomes_and_gives_each_reason_once(monkeypatch, tmp_path):
    entries = {"one": [("a", 32), ("b", 64)], "two": [("c", 32)]}
    monkeypatch.setattr(make_models, "ARCHITECTURES", entries)
    names = list(models_check.CHECKS)
    works = [Outcome(each, WORKS) for each in names]
    full = [Outcome(each, FULL, "it takes turns") for each in names[:1]] + works[1:]
    refused = [Outcome("all", REFUSED, "another")]
    page = make_models.page({"a": works, "b": full, "c": refused})
    assert "3 architectures of 2 families" in page.replace("\n", " ")
    assert "9 works, 1 full forward passes, 1 refused, 0 WRONG" in page
    assert "| b | one | 64 | full forward passes (1) | works |" in page
    assert "| c | two | 32 | " + " | ".join(["refused (2)"] * 5) in page
    assert page.count("it takes turns") == page.count("another") == 1


def test_an_outcome_is_kept_and_read_back(monkeypatch, tmp_path):
    monkeypatch.setattr(make_models, "SAVED", tmp_path)
    (tmp_path / "a.json").write_text(
        json.dumps([{"analysis": "occlusion", "how": WORKS, "why": "", "error": 0.25}])
    )
    assert make_models._read("a") == [Outcome("occlusion", WORKS, "", 0.25)]
