"""Names that a stranger chose: of classes and files in tables, and of folders to write to."""

import csv

import pytest

from interpret_kit.data.load import load_images
from interpret_kit.errors import CannotWrite, InterpretError, OutputExists, UsageError
from interpret_kit.jobs.folder import job_argument
from interpret_kit.models.loading.recorded_runs import check_model
from interpret_kit.results.atomic import check_free, whole_folder
from interpret_kit.results.load import load_result
from interpret_kit.results.table import Table, write_csv
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.folder import RunFolder


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
        ("+1+cmd", "'+1+cmd"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        (" =1+1", "' =1+1"),
        ("\t=1+1", "\\t=1+1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        ("a\x1b[31m\r\nb\x85", "a\\x1b[31m\\r\\nb\\x85"),
        ("-0.5", "-0.5"),
        (-0.5, "-0.5"),
        (None, ""),
        ("cat, dog", "cat, dog"),
        ("Zürich=1", "Zürich=1"),
    ],
)
def test_no_cell_is_a_formula_or_steers_a_terminal(tmp_path, cell, written):
    write_csv(Table(("image", "=class"), ((cell, "x"),)), tmp_path / "a.csv")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [["image", "'=class"], [written, "x"]]


IMPOSSIBLE = ["a" * 300, "p/" * 2100 + "p", "a\0b", "x/" + "ö" * 130]


@pytest.mark.parametrize("name", IMPOSSIBLE, ids=["name", "path", "zero", "bytes"])
def test_a_path_that_no_file_can_have_is_refused_in_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    run = RunFolder(tmp_path / name, Recipe())
    for use in (
        lambda: check_free(tmp_path / name, force=True),
        lambda: check_model(name),
        lambda: load_result(name),
        lambda: run.check(force=False),
    ):
        with pytest.raises(UsageError, match=r"is too long: a name of|null byte"):
            use()
    for use in (lambda: job_argument(name, resume=False), lambda: load_images(name)):
        with pytest.raises(UsageError) as refused:
            use()
        assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("force", [False, True])
def test_a_link_is_not_replaced_by_a_result(tmp_path, force):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "manifest.json").write_text("{}")
    for name, target in (("link", "real"), ("dangling", "gone"), ("self", "self")):
        (tmp_path / name).symlink_to(tmp_path / target)
        with (
            pytest.raises(OutputExists, match=f"{name} is a link to .*{target}; give the folder"),
            whole_folder(tmp_path / name, force=force),
        ):
            raise AssertionError("the work has begun")
        assert (tmp_path / name).is_symlink()
    assert (tmp_path / "real" / "manifest.json").read_text() == "{}"
    with pytest.raises(CannotWrite, match="dangling: it is a broken link"):
        RunFolder(tmp_path / "dangling", Recipe()).check(force=False)
    below = pytest.raises(InterpretError, match="cannot write")
    with below, whole_folder(tmp_path / "dangling" / "in", force=force):
        raise AssertionError("the work has begun")
