"""Does what is installed hold what it should, and nothing else?"""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The wheel, built from what git tracks, or would; and what was printed meanwhile."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--verbose", "--no-deps", "--no-build-isolation"]
    command = [*build, "--wheel-dir", str(out), str(source)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    printed = ran.stdout + ran.stderr
    assert ran.returncode == 0, printed
    (wheel,) = out.glob("*.whl")
    return zipfile.ZipFile(wheel), printed


@pytest.fixture(scope="module")
def wheel(built):
    return built[0]


def test_setuptools_has_nothing_to_warn_of(built):
    warned = [line for line in built[1].splitlines() if "Warning:" in line]
    assert warned == []


def test_the_wheel_holds_the_data_that_pages_and_models_are_made_of(wheel):
    data = {name for name in wheel.namelist() if not name.endswith(".py")}
    expected = {
        each.relative_to(ROOT).as_posix()
        for pattern in ("*.html", "*.css", "*.js", "imagenet.tsv", "lite0.json")
        for each in (ROOT / "interpret_kit").rglob(pattern)
    }
    assert "interpret_kit/atlas/pages/templates/base.html" in expected
    assert {name for name in data if ".dist-info/" not in name} == {
        *expected,
        "interpret_kit/py.typed",
    }


def test_the_wheel_holds_one_package_with_cli_and_trainers_inside(wheel):
    code = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert {name.split("/")[0] for name in code} == {"interpret_kit"}
    expected = {"interpret_kit/py.typed"}
    for package, home in [("interpret_kit", ""), ("trainers", "trainers/"), ("cli", "cli/")]:
        inside = (file.relative_to(ROOT / package) for file in (ROOT / package).rglob("*.py"))
        expected |= {f"interpret_kit/{home}{file.as_posix()}" for file in inside}
    assert {name for name in code if name.endswith((".py", ".typed"))} == expected


def test_the_wheel_brings_the_command_and_the_licence(wheel):
    (entry,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "ikit = interpret_kit.cli.main:main" in wheel.read(entry).decode()
    assert any(name.endswith("/LICENSE") for name in wheel.namelist())


def test_the_editable_install_runs_the_code_of_this_repository(tmp_path):
    code = "import interpret_kit.cli.main as m, interpret_kit as k; print(m.__file__, k.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == [
        str(ROOT / "cli" / "main.py"),
        str(ROOT / "interpret_kit" / "__init__.py"),
    ]
