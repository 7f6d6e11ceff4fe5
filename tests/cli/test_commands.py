"""Do the commands take what they say, and say what they took?"""

import json
import os

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from small_runs import CLASSES, write_images, write_run

import interpret_kit as ik
from interpret_kit.cli.main import ikit
from interpret_kit.data.shapes import PER_CLASS
from interpret_kit.results.save import manifest

NAMED = {
    "occlusion": "photos/3.png --window 12 --stride 12",
    "attribution": "photos/3.png --method gradcam,ig --steps 2",
    "activations": "photos/3.png --layer 1",
    "top-patches": "--layer all --top 2",
    "ablation": "--layer all",
    "misclassifications": "--ablate 2:1",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with one run, and the labelled images that it says it was made with."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("IKIT_")]:
        monkeypatch.delenv(name)
    write_run(tmp_path / "runs" / "mine")
    for name in ("red", "green"):
        write_images(tmp_path / "labelled" / name, count=5)
    write_images(tmp_path / "photos", count=14)
    return tmp_path


def write_unfinished(folder, epochs):
    """Write a run as a training of 30 epochs leaves it after some of them."""
    write_run(folder, recipe={"epochs": 30}, metrics={"epochs": 2})
    rows = ["epoch,train_loss", *(f"{k + 1},0.5" for k in range(epochs))]
    (folder / "history.csv").write_text("\n".join(rows) + "\n")
    (folder / "resume.pt").write_bytes(b"")


@pytest.fixture
def drawn():
    """A test that asks for this gets figures."""


@pytest.fixture(autouse=True)
def undrawn(request, monkeypatch):
    """Omit the figures unless a test is about them: they take most of the time."""
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr("interpret_kit.render.draw", lambda result, **how: {})


def run(line):
    """Run a command that must succeed."""
    result = CliRunner().invoke(ikit, line.split(), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result


@pytest.mark.usefixtures("place")
class TestWhichModel:
    def first_line(self, line="layers"):
        return run(line).stdout.splitlines()[0]

    def test_the_one_named_comes_first(self, monkeypatch):
        monkeypatch.setenv("IKIT_MODEL", "elsewhere")
        assert self.first_line("layers --model runs/mine") == "model: runs/mine (--model)"

    def test_then_the_variable(self, place, monkeypatch):
        write_run(place / "other")
        monkeypatch.setenv("IKIT_MODEL", "other")
        assert self.first_line() == "model: other (IKIT_MODEL)"

    def test_the_variable_of_one_command_is_named_too(self, place, monkeypatch):
        write_run(place / "other")
        monkeypatch.setenv("IKIT_LAYERS_MODEL", "other")
        assert self.first_line() == "model: other (IKIT_LAYERS_MODEL)"

    def test_then_the_newest_run(self, place):
        write_run(place / "runs" / "a-newer-one")
        os.utime(place / "runs" / "mine" / "config.json", (0, 0))
        assert self.first_line() == "model: runs/a-newer-one (the newest run under ./runs)"

    def test_a_finished_run_comes_before_a_newer_one_that_is_still_training(self, place):
        write_unfinished(place / "runs" / "newer", epochs=4)
        line = self.first_line()
        assert line == "model: runs/mine (the newest finished run under ./runs)"

    def test_a_run_that_has_not_ended_says_how_far_it_got(self, place):
        write_unfinished(place / "only" / "runs" / "newer", epochs=4)
        os.chdir(place / "only")
        state = "unfinished, epoch 4 of 30"
        line = self.first_line()
        assert line == f"model: runs/newer (the newest run under ./runs; {state})"
        assert (
            self.first_line("layers --model runs/newer") == f"model: runs/newer (--model; {state})"
        )
        (place / "only/runs/newer/resume.pt").unlink()  # as killed between its two last files
        assert self.first_line("layers --model runs/newer").endswith(f"{state})")
        (place / "only/runs/newer/history.csv").unlink()  # as killed in its first epoch's end
        assert self.first_line().endswith("unfinished, epoch 1 of 30)")

    def test_a_run_without_a_whole_epoch_is_reported(self, place):
        (place / "runs" / "begun").mkdir()
        (place / "runs" / "begun" / ".lock").write_text("process 1 on here")
        result = CliRunner().invoke(ikit, ["layers", "--model", "runs/begun"])
        assert result.exit_code == 2
        assert "runs/begun is a training run that has not finished an epoch: wait" in result.stderr
        assert self.first_line() == "model: runs/mine (the newest run under ./runs)"

    def test_then_the_embedded_one(self, monkeypatch, tmp_path_factory):
        monkeypatch.chdir(tmp_path_factory.mktemp("no-runs"))
        line = self.first_line()
        assert line.startswith("model: embedded (")
        assert "no --model, no IKIT_MODEL, no run under ./runs" in line


@pytest.mark.usefixtures("place")
class TestWhichImages:
    def second_line(self, line):
        return run(f"top-patches {line}").stdout.splitlines()[1]

    def test_those_named_come_first(self):
        line = self.second_line("photos/0.png photos/1.png")
        assert line == "images: 2 of 2 files (named)"

    def test_the_variable_for_images_is_for_commands_that_name_none(self, monkeypatch):
        monkeypatch.setenv("IKIT_DATA", "labelled")
        assert self.second_line("photos/0.png") == "images: photos/0.png (named)"

    def test_then_data(self, monkeypatch):
        monkeypatch.setenv("IKIT_DATA", "labelled")
        assert self.second_line("--data photos") == "images: 14 of photos (--data)"

    def test_then_the_variable(self, monkeypatch):
        monkeypatch.setenv("IKIT_DATA", "photos")
        assert self.second_line("") == "images: 14 of photos (IKIT_DATA)"

    def test_then_those_the_run_was_made_with(self):
        why = "the data set of runs/mine, mostly its training images"
        assert self.second_line("") == f"images: 10 of labelled ({why})"

    def test_then_shapes_and_how_to_give_others(self, place, monkeypatch):
        monkeypatch.setitem(PER_CLASS, "test", 1)
        write_run(place / "runs" / "mine", data=None)
        line = self.second_line("--most 2")
        assert line.startswith("images: 2 of the 33 ")
        assert "of shapes, split test" in line
        assert "ikit top-patches photo.jpg" in line

    def test_the_splits_of_a_run_are_named(self, place):
        (place / "labelled").rename(place / "moved")
        (place / "labelled").mkdir()
        (place / "moved").rename(place / "labelled" / "test")
        line = "images: 10 of labelled, split test (the data set of runs/mine)"
        assert self.second_line("") == line
        (place / "labelled" / "test").rename(place / "labelled" / "val")
        assert self.second_line("").endswith("the data set of runs/mine, its validation set)")

    def test_images_that_are_gone_are_reported_as_those_of_the_run(self, place):
        (place / "labelled").rename(place / "moved")
        result = CliRunner().invoke(ikit, ["occlusion"])
        assert result.exit_code == 2
        assert "the data set of runs/mine; use others with --data" in result.stderr

    def test_eight_are_taken_where_each_is_drawn_and_none_is_named(self):
        run("occlusion --data photos --window 12 --stride 12 --out few")
        names = ik.load_result("few").origin.names
        assert len(names) == 8
        assert list(names) == ik.load_images("photos").spread(8).ids.tolist()

    def test_all_that_are_named_are_taken(self):
        result = run("occlusion photos --window 12 --stride 12")
        assert "images: 14 of photos (named)" in result.stdout


@pytest.mark.usefixtures("place")
class TestEveryAnalysis:
    @pytest.mark.parametrize("name", NAMED)
    def test_tells_writes_and_says_where(self, place, name, drawn):
        result = run(f"{name} {NAMED[name]}")
        folder = place / "ikit-out" / f"{name}-1"
        lines = result.stdout.splitlines()
        assert lines[0] == "model: runs/mine (the newest run under ./runs)"
        assert lines[1].startswith("images: ")
        assert lines[-1].startswith(f"wrote ikit-out/{name}-1 (")
        for column in ik.load_result(folder).summary().columns:
            assert column in result.stdout
        assert {"manifest.json", "arrays.npz"} < {each.name for each in folder.iterdir()}
        assert list(folder.glob("*.png"))
        assert list(folder.glob("*.csv"))
        assert not result.stderr

    @pytest.mark.parametrize("name", NAMED)
    def test_prints_the_manifest_and_nothing_else(self, place, name):
        result = run(f"{name} {NAMED[name]} --json --out here")
        assert json.loads(result.stdout) == json.loads((place / "here/manifest.json").read_text())
        assert result.stderr.startswith("model: runs/mine")

    @pytest.mark.parametrize("name", NAMED)
    def test_is_silent_when_quiet(self, place, name):
        result = run(f"{name} {NAMED[name]} --quiet --out here")
        assert (result.stdout, result.stderr) == ("", "")
        assert (place / "here" / "manifest.json").is_file()

    @pytest.mark.parametrize("line", ["predict photos/3.png", "layers"])
    def test_what_saves_nothing_has_no_quiet_output_but_json(self, line):
        assert run(f"{line} --quiet").stdout == ""
        assert json.loads(run(f"{line} --quiet --json").stdout)

    def test_only_json_when_both_quiet_and_json(self):
        result = run("misclassifications --quiet --json")
        assert json.loads(result.stdout)["analysis"] == "misclassifications"
        assert result.stderr == ""

    def test_gives_what_the_python_api_gives(self):
        run("occlusion photos/3.png --window 12x8 --stride 6x4 --target green --out here")
        found = ik.load_result("here")
        asked = ik.Occlusion(window="12x8", stride="6x4", target="green")
        expected = asked.run(ik.load_classifier("runs/mine"), ik.load_images("photos/3.png"))
        assert found.analysis == expected.analysis
        np.testing.assert_array_equal(found.confidence, expected.confidence)

    def test_takes_full_float32_on_a_gpu(self, monkeypatch):
        monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
        run("occlusion photos/3.png --window 12 --out here")
        assert not torch.backends.cudnn.allow_tf32

    def test_takes_numbers_as_numbers(self):
        run("occlusion photos/3.png --window 12 --stride 6 --out here")
        assert ik.load_result("here").analysis == ik.Occlusion(window=12, stride=6)

    def test_takes_options_from_variables(self, monkeypatch):
        monkeypatch.setenv("IKIT_OCCLUSION_WINDOW", "12")
        monkeypatch.setenv("IKIT_QUIET", "1")
        assert run("occlusion photos/3.png --out here").stdout == ""
        assert ik.load_result("here").analysis == ik.Occlusion(window=12)

    def test_takes_the_next_free_folder(self, place):
        for _ in range(2):
            run("misclassifications --quiet")
        names = {each.name for each in (place / "ikit-out").iterdir()}
        assert names == {"misclassifications-1", "misclassifications-2"}

    def test_replaces_a_result_only_by_force(self):
        run("occlusion photos/3.png --window 12 --out here")
        assert (
            CliRunner().invoke(ikit, ["occlusion", "photos/3.png", "--out", "here"]).exit_code == 2
        )
        run("occlusion photos/3.png --window 8 --out here --force")
        assert ik.load_result("here").analysis.window == 8

    def test_shows_twelve_rows_and_says_where_the_others_are(self):
        lines = run("occlusion photos --window 12 --stride 12").stdout.splitlines()
        assert sum(".png " in line and "wrote" not in line for line in lines) == 12
        assert "2 more rows are in images.csv" in lines

    def test_names_and_counts_what_cannot_be_read_even_when_quiet(self, place):
        (place / "photos" / "0.png").write_text("broken")
        (place / "photos" / "1.png").write_bytes(b"")
        result = run("top-patches photos --quiet")
        assert result.stdout == ""
        assert result.stderr.startswith("2 files could not be read: 0.png (it is not a JPEG")
        assert "1.png (the file is empty)" in result.stderr

    def test_goes_without_labels_where_nobody_asked_for_these_images(self, place, monkeypatch):
        monkeypatch.setitem(PER_CLASS, "test", 1)
        write_run(place / "runs" / "mine", data=None)
        run("occlusion --most 1 --window 12 --stride 12 --out here")
        assert (ik.load_result("here").labels == -1).all()
        result = CliRunner().invoke(ikit, ["misclassifications"])
        assert result.exit_code == 2
        assert "are not classes of runs/mine" in result.stderr


@pytest.mark.usefixtures("place")
class TestShow:
    def test_draws_the_figures_again(self, place, drawn):
        run("occlusion photos/3.png --window 12 --out here")
        before = {each.name: each.read_bytes() for each in (place / "here").iterdir()}
        for figure in (place / "here").glob("*.png"):
            figure.unlink()
        result = run("show here")
        after = {each.name: each.read_bytes() for each in (place / "here").iterdir()}
        assert after.keys() == before.keys()
        assert all(after[name] == before[name] for name in before if not name.endswith(".png"))
        assert result.stdout.splitlines()[0] == "occlusion of photos/3.png by runs/mine"
        assert "target" in result.stdout

    def test_writes_other_formats_beside_the_figures(self, place, drawn):
        run("misclassifications --format svg,pdf --out here")
        folder = place / "here"
        stems = {each.stem for each in folder.glob("*.svg")}
        pdfs = {each.name: each.read_bytes() for each in folder.glob("*.pdf")}
        assert pdfs.keys() == {f"{each}.pdf" for each in stems} != set()
        assert not list(folder.glob("*.png"))
        for figure in folder.glob("*.svg"):
            figure.unlink()
        lines = run("show here --format svg").stdout.splitlines()
        assert lines[-1].startswith("drew ")
        assert lines[-1].endswith(".svg in here")
        assert {each.stem for each in folder.glob("*.svg")} == stems
        assert all((folder / name).read_bytes() == old for name, old in pdfs.items())

    def test_only_occlusion_maps_have_a_scale(self, monkeypatch):
        scales = []
        monkeypatch.setattr(
            "interpret_kit.render.draw", lambda result, scale="none": scales.append(scale) or {}
        )
        run("occlusion photos/3.png --window 12 --scale each --out here")
        run("show here --scale each")
        run("show here")
        run("activations photos/3.png --out there")
        run("show there")
        assert scales == ["each", "each", "shared", "none", "none"]
        refused = CliRunner().invoke(ikit, ["show", "there", "--scale", "each"])
        assert refused.exit_code == 2
        assert "--scale only applies to occlusion, but this is a result of act" in refused.stderr

    def test_copies_a_result_elsewhere(self):
        run("occlusion photos/3.png --window 12 --out here")
        result = run("show here --out there --json")
        here, there = ik.load_result("here"), ik.load_result("there")
        assert json.loads(result.stdout) == json.loads(json.dumps(manifest(here)))
        np.testing.assert_array_equal(here.confidence, there.confidence)


@pytest.mark.usefixtures("place")
class TestOtherCommands:
    def test_layers_are_numbered_from_one(self):
        rows = [line.split() for line in run("layers").stdout.splitlines()]
        assert ["1", "conv1", "2", "24", "x", "24", "3", "x", "3", "1", "x", "1"] in rows
        assert ["2", "conv2", "3", "12", "x", "12", "3", "x", "3", "1", "x", "1"] in rows

    def test_all_layers_have_kinds(self):
        rows = [line.split() for line in run("layers --all").stdout.splitlines()]
        assert ["pool2", "3", "6", "x", "6", "MaxPool2d"] in rows
        listed = json.loads(run("layers --all --json").stdout)
        assert [each["number"] for each in listed if each["kind"] == "Conv2d"] == [1, 2]

    def test_predictions_are_those_of_the_classifier(self):
        said = json.loads(run("predict photos --json --batch-size 3 --top 4").stdout)
        classifier, images = ik.load_classifier("runs/mine"), ik.load_images("photos")
        (batch,) = images.read(classifier.preprocessing)
        expected = classifier.probabilities(batch.pixels).detach().numpy()
        assert [each["image"] for each in said] == [images.name(k) for k in range(14)]
        for each, row in zip(said, expected, strict=True):
            found = {name["class"]: name["probability"] for name in each["predicted"]}
            values = list(found.values())
            assert values == sorted(values, reverse=True)
            np.testing.assert_allclose([found[name] for name in CLASSES], row, atol=1e-6)

    def test_a_report_is_a_page_about_saved_results(self, place):
        said = run("report runs/mine --title <Mine> --out page").stdout
        page = place / "page" / "index.html"
        assert said == f"open {page} in a browser\n"
        assert "<h1>&lt;Mine&gt;</h1>" in page.read_text()
        assert "../runs/mine/config.json" in page.read_text()
        refused = CliRunner().invoke(ikit, ["report", "runs/mine", "--out", "page"])
        assert refused.exit_code == 2
        assert "index.html exists already" in refused.stderr
        assert run("report runs/mine --out page --force --json").stdout == (
            '{\n  "page": "page/index.html"\n}\n'
        )
        nothing = CliRunner().invoke(ikit, ["report"])
        assert nothing.exit_code == 2
        assert "as in: ikit report ikit-out/*" in nothing.stderr

    def test_predictions_are_shown_in_percent(self):
        lines = run("predict photos/0.png --top 2").stdout.splitlines()
        (first,) = [line for line in lines if "0.png" in line and "%" in line]
        assert sum(line.endswith("%") or "%" in line for line in lines) == 2
        assert any(name in first for name in CLASSES)

    def test_training_reports_each_epoch_and_how_to_resume(self, place):
        line = "train --data labelled --size 16 --channels 4,6 --fc none --epochs 3 --batch-size 4"
        lines = run(f"{line} --device cpu").stdout.splitlines()
        assert lines[:2] == ["data: labelled (--data)", "writing the run to runs/labelled-1"]
        assert lines[2] == "on cpu, float32, torch.compile disabled (not faster on a CPU)"
        assert [line.split(":")[0] for line in lines[3:6]] == [f"epoch {k} of 3" for k in (1, 2, 3)]
        assert any("validation accuracy" in line and "in the best epoch" in line for line in lines)
        assert lines[-1] == "next: ikit occlusion --model runs/labelled-1"
        config = json.loads((place / "runs/labelled-1/config.json").read_text())
        assert config["arguments"]["channels"] == [4, 6]
        assert config["arguments"]["fc"] == []
        # The new run is the newest, hence the default.
        assert run("layers").stdout.startswith("model: runs/labelled-1 (the newest run")

    def test_training_on_one_image_per_class_is_refused_before_anything_is_written(self, place):
        for name in ("red", "green"):
            write_images(place / "single" / name, count=1)
        refused = CliRunner().invoke(ikit, ["train", "--data", "single", "--out", "new"])
        assert (refused.exit_code, refused.stdout) == (1, "data: single (--data)\n")
        assert "Error: none of the 2 labelled images can be held out" in refused.stderr
        assert not (place / "new").exists()

    def test_training_prints_its_config(self, monkeypatch):
        monkeypatch.setenv("IKIT_DATA", "labelled")
        monkeypatch.setenv("IKIT_TRAIN_EPOCHS", "1")
        line = "train --size 16 --channels 4 --batch-size 4 --device cpu --json --out runs/new"
        result = run(line)
        assert json.loads(result.stdout)["recipe"]["epochs"] == 1
        assert "data: labelled (IKIT_DATA)" in result.stderr

    def test_training_replaces_a_run_with_force_and_resumes_one(self):
        line = "train --data labelled --size 16 --channels 4 --epochs 1 --batch-size 4 --out run"
        begun = run(f"{line} --device cpu --resume").stdout
        assert "nothing to resume in run; starting a new run" in begun
        assert "test accuracy" in run(f"{line} --device cpu --force").stdout
        said = run(f"{line} --device cpu --resume").stdout
        assert "run was already finished" in said
        assert "nothing to resume" not in said
        assert "epoch 1 of 1" not in said
        alone = run("train --resume --out run --device cpu").stdout  # with the run's own recipe
        assert alone.startswith("data: labelled (the data set of run)\n")
        assert "run was already finished" in alone
        assert "wrote" not in alone
        said = run("train --resume --out run --device cpu --epochs 2").stdout
        assert (
            "\nresuming after epoch 1 with 2 epochs instead of 1: from here on, the learning rate "
            "follows the cosine schedule of 2 epochs\nepoch 2 of 2: loss"
        ) in said
        other = CliRunner().invoke(ikit, ["train", "--resume", "--out", "run", "--epochs", "1"])
        assert other.exit_code == 2
        assert "cannot resume run with --epochs 1: it has already trained 2" in other.stderr

    def test_training_says_how_many_images_it_used_if_these_are_not_those_asked_for(self):
        line = "train --data labelled --size 16 --channels 4 --epochs 1 --device cpu"
        lines = run(f"{line} --batch-size 64 --data-share 0.0001").stdout.splitlines()
        share = "--data-share is 0.0001: used 2 of 9 training images, at least one of each class"
        assert share in lines
        step = "there are only 2 training images: each step used all of them"
        assert f"--batch-size is 64, but {step}" in lines
        assert "_size is" not in run(f"{line} --batch-size 8").stdout.replace("-", "_")

    def test_training_is_silent_when_quiet(self):
        line = "train --data labelled --size 16 --channels 4 --epochs 1 --batch-size 4 --quiet"
        result = run(f"{line} --device cpu")
        assert (result.stdout, result.stderr) == ("", "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("train photos/", "(photos/); give images with --data or the output folder with --out"),
        ("layers resnet18", "(resnet18); give a model with --model"),
        ("jobs here there", "(there)"),
    ],
)
def test_what_is_typed_without_its_option_is_refused_with_the_options_that_take_it(line, said):
    result = CliRunner().invoke(ikit, line.split())
    assert result.exit_code == 2
    assert result.stderr.endswith(f"Error: Got unexpected extra argument {said}\n")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("misclasifications", "Did you mean 'misclassifications'?"),
        ("oclusion", "Did you mean 'occlusion'?"),
        ("top_patches", "Did you mean 'top-patches'?"),
        ("Occlusion", "Did you mean 'occlusion'?"),
        ("my photo.jpg", "To analyse an image: ikit occlusion 'my photo.jpg'"),
        ("xyz", "The commands are: layers, predict, train, sweep, occlusion, attribution, "),
    ],
)
def test_a_command_that_does_not_exist_is_answered_with_what_to_type(typed, said):
    result = CliRunner().invoke(ikit, [typed])
    assert result.exit_code == 2
    assert f"Error: No such command '{typed}'. {said}" in result.stderr


@pytest.mark.parametrize("typed", ["0", "-3", "many", "1.5"])
@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("predict --top", "'--top'"),
        ("occlusion --batch-size", "'--batch-size'"),
        ("sweep x --jobs", "'--jobs' / '--workers'"),
    ],
)
def test_a_count_below_one_is_answered_in_words(line, option, typed):
    result = CliRunner().invoke(ikit, [*line.split(), typed])
    said = f"Error: Invalid value for {option}: '{typed}' is not an integer of at least 1."
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (2, said)
