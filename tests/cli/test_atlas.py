"""Does `ikit atlas` write the pages, and say how to make them again?"""

import json
import shutil
import sys
import webbrowser

import pytest
from click.testing import CliRunner
from pages import Page
from small_runs import CLASSES, save_run, write_images, write_run

from interpret_kit.analyses.occlusion import OcclusionFold
from interpret_kit.cli.main import ikit
from interpret_kit.models.loading.load import create


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run of two layers, and labelled images."""
    folder = tmp_path_factory.mktemp("atlas command")
    write_run(folder / "run")
    for name in ("red", "green"):
        write_images(folder / "photos" / name, count=3)
    return folder


def run(place, *options):
    line = ["atlas", "--model", str(place / "run"), "--data", str(place / "photos"), *options]
    return CliRunner().invoke(ikit, line, env={"IKIT_ATLAS_ABLATION_IMAGES": "4"})


def test_the_command_opens_the_first_page_and_its_foot_makes_it_again(place, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    monkeypatch.chdir(place)
    settings = ["--layer", "2", "--window", "12", "--engine", "full", "--out", "my site"]
    settings += ["--photo", "photos/red/0.png", "--photo", "photos/green/1.png"]
    result = run(place, *settings, "--open", "--json", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    told = json.loads(result.stdout)
    page = place / "my site" / "index.html"
    assert told["page"] == "my site/index.html"
    assert told["pages"] == len([*page.parent.rglob("*.html")])
    assert opened == [page.as_uri()]
    again = (
        f"ikit atlas --model '{place / 'run'}' --layer 2 --ablation-images 4 --window 12 "
        f"--data '{place / 'photos'}' --out 'my site' --photo photos/red/0.png "
        "--photo photos/green/1.png --engine full"
    )
    for name in ("photo-0", "photo-1"):
        assert f"images/{name}.html" in Page(page).addresses()
        said = "".join(Page(page.parent / "images" / f"{name}.html").words)
        assert "its true class is not known" in said
    assert again in " ".join("".join(Page(page).words).split())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--window", "99"], "a window of 99x99 px is larger than the image of 24x24 px"),
        (["--layer", "7"], "no layer 7; the layers are numbered from 1 to 2"),
        (["--ablation-images", "0"], "--ablation-images is 0; it must be at least 1"),
        (["--force"], "--force replaces the folder given with --out"),
        (["--compare", "run", "run"], "--compare names both models, and --model"),
        (["--out", "taken/site"], "site.parts holds files that are not the parts of an atlas"),
    ],
)
def test_mistakes_are_one_line(place, options, said, monkeypatch):
    monkeypatch.chdir(place)
    (place / "taken/site.parts").mkdir(parents=True, exist_ok=True)
    (place / "taken/site.parts/thesis.tex").touch()
    result = run(place, *options)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_an_update_computes_what_has_changed_and_force_computes_everything(place, monkeypatch):
    monkeypatch.chdir(place)
    settings = ["--layer", "2", "--window", "12", "--engine", "full", "--json"]
    settings += ["--method", "occlusion"]

    def told(*options):
        result = run(place, *settings, *options)
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout), result.stderr

    first, _ = told()
    parts = ["predictions", "top patches", "ablation", "occlusion"]
    assert (first["computed"], first["reused"], first["parts"]) == (parts, [], "ikit-atlas.parts")
    again = run(place)
    assert again.exit_code == 2
    assert "ikit-atlas exists already; --update replaces it and computes only" in again.stderr
    second, said = told("--update", "--photo", "photos/red/0.png")
    photo = ["photo 0.png"]
    assert (second["computed"], second["reused"]) == (photo, parts)
    assert f"reused: {', '.join(parts)}; computed: {', '.join(photo)}" in said
    assert "kept ikit-atlas.parts (0." in said
    both = run(place, "--update", "--force", "--out", "ikit-atlas")
    assert (both.exit_code, "drop one of them" in both.stderr) == (2, True)
    third, _ = told("--force", "--out", "ikit-atlas")
    assert (third["computed"], third["reused"]) == (parts, [])


def test_ctrl_c_gives_the_command_that_resumes(place, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.chdir(place)
    monkeypatch.setattr(OcclusionFold, "add", stop)
    line = ["--model", "run", "--data", "photos", "--out", "new", "--engine", "full"]
    monkeypatch.setattr(sys, "argv", ["ikit", "atlas", "--force", *line])
    result = CliRunner().invoke(ikit, ["atlas", *line])
    again = "ikit atlas --model run --data photos --out new --engine full --update"
    assert result.stderr.splitlines() == [f"Error: stopped by Ctrl-C; resume with: {again}"]
    shutil.rmtree(place / "new.parts")


def test_what_resumes_an_atlas_has_its_model_and_images(tmp_path, monkeypatch):
    def stop(*_, parts, **__):
        parts.place.mkdir()
        raise KeyboardInterrupt

    write_run(tmp_path / "runs" / "mine")
    for name in ("red", "green"):
        write_images(tmp_path / "photos" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("interpret_kit.atlas.build.write_atlas", stop)
    monkeypatch.setenv("IKIT_ATLAS_PHOTO", "photos/red/0.png photos/green/1.png")
    monkeypatch.setenv("IKIT_FORCE", "1")  # together with --update, it would be refused
    monkeypatch.setattr(sys, "argv", ["ikit", "atlas", "--data", "photos", "--engine", "full"])
    result = CliRunner().invoke(ikit, sys.argv[1:])
    assert result.stderr.splitlines() == [
        "Error: stopped by Ctrl-C; resume with: IKIT_FORCE= ikit atlas --data photos --engine full "
        "--model runs/mine --photo photos/red/0.png --photo photos/green/1.png --out ikit-atlas "
        "--update"
    ]


def test_one_model_is_not_compared(place):
    line = ["atlas", "--compare", str(place / "run"), "--data", str(place / "photos")]
    result = CliRunner().invoke(ikit, line)
    assert result.exit_code == 2
    assert "--compare needs two models, and only" in result.stderr


def test_two_models_are_compared_though_one_has_more_layers(place, monkeypatch):
    monkeypatch.chdir(place)
    arguments = {"channels": (2, 2, 4), "kernel": 3, "fc": (), "num_classes": 4, "size": (24, 24)}
    config = json.loads((place / "run/config.json").read_text())
    network = create("ikit_convnet", **arguments)
    save_run(place / "deeper", network, config | {"arguments": arguments, "classes": CLASSES})
    line = ["atlas", "--compare", "run", "deeper", "--data", "photos", "--out", "both", "--json"]
    options = ["--ablation-images", "4", "--engine", "full", "--method", "occlusion"]
    result = CliRunner().invoke(ikit, [*line, *options])
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    assert "model A: run\nmodel B: deeper" in result.stderr
    assert told["computed"][0] == "predictions of A"
    said = " ".join("".join(Page(place / "both/index.html").words).split())
    assert "A run classifies" in said
    assert "Layer conv3 is only in B." in said
    assert "2, 2" in said
    assert "3, 2" in said
    assert "--method occlusion --compare run deeper --data photos --out both" in said
