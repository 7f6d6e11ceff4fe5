import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from networks_on_paper import noise, small_classifier
from PIL import Image

from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.errors import CannotWrite, OutputExists, RunError
from interpret_kit.results import save
from interpret_kit.results.atomic import MARKER, check_free, mark, whole_folder, write_whole
from interpret_kit.results.load import load_result
from interpret_kit.results.save import manifest
from interpret_kit.results.sweeps.study import Study
from interpret_kit.results.table import Table, write_csv
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.runs.folder import History, RunFolder
from interpret_kit.trainers.sweep.runner import check_out


@pytest.fixture
def result(classifier, images):
    return Misclassifications(mistakes=2).run(classifier, images)


def left_in(folder):
    return sorted(each.name for each in folder.iterdir() if each.name != MARKER)


def fill(folder, name="new"):
    (folder / name).write_text(name)


def an_output(folder):
    folder.mkdir()
    fill(folder, "manifest.json")
    mark(folder)


def test_a_folder_appears_whole(tmp_path):
    with whole_folder(tmp_path / "a" / "b", force=False) as aside:
        fill(aside)
        assert not (tmp_path / "a" / "b").exists()
    assert left_in(tmp_path / "a") == ["b"]
    assert left_in(tmp_path / "a" / "b") == ["new"]


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_was_not_finished_leaves_everything_as_it_was(tmp_path, there):
    if there:
        an_output(tmp_path / "out")

    def breaks():
        with whole_folder(tmp_path / "out", force=True) as aside:
            fill(aside)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        breaks()
    assert left_in(tmp_path) == (["out"] if there else [])
    if there:
        assert left_in(tmp_path / "out") == ["manifest.json"]


@pytest.mark.parametrize(
    ("error", "raised", "said"),
    [
        (OSError(28, "No space left on device"), CannotWrite, "out: No space left on device"),
        (KeyboardInterrupt("Ctrl-C"), KeyboardInterrupt, "Ctrl-C"),
    ],
)
def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path, monkeypatch, error, raised, said
):
    an_output(tmp_path / "out")
    replace = Path.replace

    def full(self, target):
        if (self / "new").exists():
            raise error
        return replace(self, target)

    def put():
        with whole_folder(tmp_path / "out", force=True) as aside:
            fill(aside)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(raised, match=said):
        put()
    assert left_in(tmp_path) == ["out"]
    assert left_in(tmp_path / "out") == ["manifest.json"]


def test_an_empty_folder_is_free_and_a_file_never_is(tmp_path):
    (tmp_path / "empty").mkdir()
    with whole_folder(tmp_path / "empty", force=False) as aside:
        fill(aside, "manifest.json")
    assert left_in(tmp_path / "empty") == ["manifest.json"]
    with pytest.raises(OutputExists, match="exists already; give another folder, or `force=True`"):
        check_free(tmp_path / "empty", force=False)
    check_free(tmp_path / "empty", force=True)
    for force in (False, True):
        with pytest.raises(OutputExists, match=r"manifest\.json is a file; give another folder"):
            check_free(tmp_path / "empty" / "manifest.json", force=force)


NOT_OURS = {
    "documents": {"thesis.txt": "mine"},
    "a website": {"index.html": "<h1>mine</h1>", "thesis.txt": ""},
    "an extension of a browser": {"manifest.json": '{"name": "mine", "version": "1"}'},
    "a marker of something else": {".interpret_kit": "", "manifest.json": "{}"},
    "a model of another library": {"config.json": "{}", "model.safetensors": ""},
    "a copy of a run without its marker": {"config.json": "{}", "resume.pt": ""},
    "a sweep of something else": {"study.json": '{"title": "t"}', "trials/a": ""},
}


@pytest.mark.parametrize("files", NOT_OURS.values(), ids=NOT_OURS)
def test_force_deletes_only_what_has_a_marker_of_ours(tmp_path, files, result):
    for name, text in files.items():
        (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "out" / name).write_text(text)
    study, out = Study("s", "q", {"data": str(tmp_path)}, {"lr": [0.1]}, (0,)), tmp_path / "out"
    for replace in (
        lambda: result.save(out, force=True),
        lambda: RunFolder(out, Recipe()).check(force=True),
        lambda: check_out(out, study, force=True),
    ):
        with pytest.raises(OutputExists, match="holds files but no "):
            replace()
    if "config.json" in files:
        with pytest.raises(OutputExists, match="holds files but no run"):
            RunFolder(out, Recipe()).save_history(History())  # the first to be written
    assert {each: (out / each).read_text() for each in files} == files


def test_a_link_to_a_marker_does_not_count(tmp_path):
    an_output(tmp_path / "ours")
    (tmp_path / "mine").mkdir()
    fill(tmp_path / "mine", "thesis.txt")
    (tmp_path / "mine" / MARKER).symlink_to(tmp_path / "ours" / MARKER)
    with pytest.raises(OutputExists, match=r"no result \(no \.interpret_kit, which early ver"):
        check_free(tmp_path / "mine", force=True)


def test_all_of_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    """So that a power failure leaves all of it, or nothing."""
    done, sync, replace = [], os.fsync, Path.replace

    def synced(number):
        done.append(Path(f"/proc/self/fd/{number}").readlink().name)
        sync(number)

    def renamed(self, target):
        done.append(f"to {target.name}")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    with whole_folder(tmp_path / "all" / "out", force=False) as aside:
        (aside / "below").mkdir()
        fill(aside / "below", "a.txt")
    at = done.index("to out")
    assert {"a.txt", "below", MARKER, aside.name} <= set(done[:at])
    assert done[at + 1 :] == ["all"]
    done.clear()
    write_whole(tmp_path / "b.txt", "b")
    assert done == [".b.txt.part", "to b.txt", tmp_path.name]


def test_what_does_not_get_to_the_disk_is_not_put_in_place(tmp_path, monkeypatch):
    an_output(tmp_path / "out")

    def full(_number):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with (
        pytest.raises(CannotWrite, match=r"cannot write .*out: No space left on device"),
        whole_folder(tmp_path / "out", force=True) as aside,
    ):
        fill(aside)
    assert left_in(tmp_path) == ["out"]
    assert left_in(tmp_path / "out") == ["manifest.json"]


def test_a_folder_that_is_removed_while_it_is_written_is_one_sentence(tmp_path, result):
    remove = lambda: shutil.rmtree(next(tmp_path.glob(".out-*")))  # noqa: E731
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(result), "pages", lambda _: remove() or {})
        with pytest.raises(CannotWrite, match=r"cannot write .*out: No such file or directory"):
            result.save(tmp_path / "out")
    assert left_in(tmp_path) == []


def test_a_run_without_space_or_whose_folder_is_removed_is_one_sentence(tmp_path):
    run = RunFolder(tmp_path / "run", Recipe())

    def half(aside):
        aside.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(CannotWrite, match=r"cannot write .*history\.csv: No space left on device"):
        run.write("history.csv", half)
    assert left_in(tmp_path / "run") == []
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(CannotWrite, match=r"cannot write .*history\.csv: No such file or direct"):
        run.save_history(History())


def test_a_run_that_may_not_be_written_is_refused_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(CannotWrite, match=r"cannot write a run to .*run: no permission in "):
        RunFolder(tmp_path / "run", Recipe()).check(force=False)
    monkeypatch.undo()

    def read_only(*_args, **_settings):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(CannotWrite, match=r"cannot write a run to .*run: Read-only file system"):
        RunFolder(tmp_path / "run", Recipe()).save_history(History())


def test_a_place_without_permission_is_an_error_that_names_it(tmp_path, result):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(CannotWrite, match=r"cannot write .*file/out: "):
        result.save(tmp_path / "file" / "out")
    assert left_in(tmp_path) == ["file"]


def test_tables_are_written_with_their_columns_first(tmp_path):
    write_csv(Table(("class", "frequency"), (('a "b", c', 2), ("é", 0.5))), tmp_path / "t.csv")
    text = (tmp_path / "t.csv").read_text(encoding="utf-8")
    assert text == 'class,frequency\n"a ""b"", c",2\né,0.5\n'


def test_the_first_rows_of_a_table_are_a_table():
    table = Table(("n",), ((1,), (2,), (3,)))
    assert table.head(2) == Table(("n",), ((1,), (2,)))
    assert len(table.head(9)) == 3


def test_a_result_of_another_format_or_analysis_is_refused(tmp_path, result):
    folder = result.save(tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())
    for change in ({"format": 99}, {"analysis": "phrenology"}):
        (folder / "manifest.json").write_text(json.dumps({**manifest, **change}))
        with pytest.raises(RunError, match=r"this version reads format 1 for ablation, activ"):
            load_result(folder)


def test_a_result_whose_fields_are_unknown_here_is_refused(tmp_path, result):
    folder = result.save(tmp_path / "out")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["fields"]["depth"] = 3
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RunError, match=r"is damaged .*depth.*; run the analysis again"):
        load_result(folder)


def test_file_names_that_are_not_text_are_shown_as_well_as_they_can_be(tmp_path):
    folder = tmp_path / "photos" / "ant"
    folder.mkdir(parents=True)
    Image.fromarray(noise(1)[0]).save(folder / "plain.png")
    odd = Path(str(folder / "caf") + "\udce9.png")  # the byte 0xE9: Latin-1, not UTF-8
    try:
        (folder / "plain.png").rename(odd)
    except OSError:
        pytest.skip("this file system takes text only")
    classifier = small_classifier()
    result = Misclassifications().run(classifier, load_images(tmp_path / "photos"))
    back = load_result(result.save(tmp_path / "out"))
    assert back.origin == result.origin
    assert back.origin.names == {0: "ant/caf\ufffd.png"}


def test_class_names_of_any_script_are_kept(tmp_path):
    classes = ("ameise", "пчела", "猫", 'd"o,g', "eel\n")
    classifier = small_classifier()
    classifier._given_classes = classes
    images = ImageSet.from_arrays(noise(5), np.arange(5), classes)
    result = Misclassifications().run(classifier, images)
    back = load_result(result.save(tmp_path / "out"))
    assert back.origin.classes == classes
    assert back.tables() == result.tables()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_names_of_images_are_written_one_by_one_as_json_would(result, count, monkeypatch):
    monkeypatch.setattr(type(result), "tables", lambda _: {})  # which use all names
    names = {each: f'"names": {{}} \\ {each} größe' for each in range(count)}
    origin = dataclasses.replace(result.origin, names=names)
    result = dataclasses.replace(result, origin=origin)
    text = "".join(save._written(result))
    assert text == json.dumps(manifest(result), indent=2, default=save._plain) + "\n"
    assert json.loads(text)["origin"]["names"] == {str(k): name for k, name in names.items()}


def test_a_long_summary_is_cut_in_the_manifest(result, monkeypatch):
    whole = manifest(result)["results"]["summary"]
    assert len(whole) > 2
    monkeypatch.setattr(save, "MOST_RECORDS", 2)
    assert manifest(result)["results"]["summary"] == whole[:2]
