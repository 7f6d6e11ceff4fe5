"""Does what is installed hold what it should, and nothing else?"""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from what git tracks, or would."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(out), str(source)], check=True)
    (built,) = out.glob("*.whl")
    return zipfile.ZipFile(built)


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
