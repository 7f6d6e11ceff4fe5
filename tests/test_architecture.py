"""Does the code keep to its layout? Every "only" of the design, checked file by file."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FORBIDDEN = {
    "interpret_kit": {"interpret_kit.trainers", "interpret_kit.cli", "click", "rich"},
    "trainers": {"interpret_kit.cli", "click", "rich"},
}


def files(*packages):
    return [file for package in packages for file in sorted((ROOT / package).rglob("*.py"))]


def imports(file):
    """Everything a file imports, wherever in it, as dotted names and their parents."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return {".".join(name.split(".")[:k]) for name in names for k in range(1, 5)}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_point_one_way(package):
    for file in files(package):
        wrong = imports(file) & FORBIDDEN[package]
        assert not wrong, f"{file.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


def test_only_render_imports_matplotlib():
    home = ROOT / "interpret_kit" / "render"
    for file in files("interpret_kit", "trainers", "cli"):
        typing_only = "if TYPE_CHECKING:\n    from matplotlib" in file.read_text()
        drawing = "matplotlib" in imports(file) and not typing_only
        assert not drawing or home in file.parents, f"{file.relative_to(ROOT)} imports matplotlib"


def test_only_layers_registers_hooks():
    hooks = re.compile(r"\.register_(\w+_)?hook\(")
    found = {
        str(file.relative_to(ROOT))
        for file in files("interpret_kit", "trainers", "cli")
        if hooks.search(file.read_text())
    }
    assert found == {"interpret_kit/models/layers/find.py"}


def test_only_decoding_opens_image_files():
    opening = re.compile(r"Image\.open\(|imread\(|imdecode\(|read_image\(")
    found = {
        str(file.relative_to(ROOT))
        for file in files("interpret_kit", "trainers", "cli")
        if opening.search(file.read_text())
    }
    assert found == {"interpret_kit/data/decoding/decode.py"}


def test_nothing_runs_what_a_user_typed():
    for file in files("interpret_kit", "trainers", "cli"):
        for node in ast.walk(ast.parse(file.read_text())):
            called = node.func.id if _is_plain_call(node) else ""
            assert called not in {"eval", "exec", "compile"}, f"{file.name}:{node.lineno}"


def _is_plain_call(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name)


def test_the_library_does_not_print():
    for file in files("interpret_kit", "trainers"):
        for node in ast.walk(ast.parse(file.read_text())):
            assert not (_is_plain_call(node) and node.func.id == "print"), f"{file}:{node.lineno}"


@pytest.mark.parametrize(
    "module",
    [
        "interpret_kit",
        "interpret_kit.analyses",
        "interpret_kit.data.image_set",
        "interpret_kit.trainers.recipe",
        "interpret_kit.trainers.sweep.study",
        "interpret_kit.cli.main",
    ],
)
def test_help_needs_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'captum' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "file", files("interpret_kit", "trainers", "cli"), ids=lambda file: file.name
)
def test_files_stay_short_and_say_what_they_answer(file):
    text = file.read_text()
    assert text.count("\n") <= 300, "split it: a file answers one question"
    tree = ast.parse(text)
    assert not tree.body or ast.get_docstring(tree), "the first line says what the file answers"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, f"{node.name} is too long"


def test_every_public_name_is_there():
    import interpret_kit

    for name in interpret_kit.__all__:
        assert getattr(interpret_kit, name).__name__ == name
