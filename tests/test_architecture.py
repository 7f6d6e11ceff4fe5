"""Does the code keep to its layout? Every "only" of the design, checked file by file."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
# From the bottom to the top: each may import those below it, and what stands in its own folder.
ORDER = [
    "errors", "models", "data", "results", "jobs", "incremental", "captum_api", "analyses",
    "render", "report", "atlas", "trainers", "cli",
]  # fmt: skip
ANYWHERE = {"background_imports"}  # needs nothing of ours
ABOVE = {"__init__", "__main__"}  # the package itself: names and registers what is in it
MOST_FILES = 12  # beside each other, apart from __init__.py


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


def modules():
    """Every module by its dotted name: the folders of trainers and cli lie beside the package."""
    found = {}
    for top, prefix in [("interpret_kit", ()), ("trainers", ("trainers",)), ("cli", ("cli",))]:
        for file in files(top):
            inside = file.relative_to(ROOT / top).with_suffix("").parts
            name = [*prefix, *(part for part in inside if part != "__init__")]
            found[".".join(["interpret_kit", *name])] = file
    return found


def layer_of(name):
    """The folder of the package that a module lies in."""
    return [*name.split("."), "__init__"][1]


def imported_modules(file, known):
    """The modules of ours that a file imports: at the top, in functions, for types alone."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {each if each in known else node.module for each in whole}
    return {each for each in found if each.split(".")[0] == "interpret_kit"}


def test_imports_point_down():
    known = modules()
    for name, file in known.items():
        own = layer_of(name)
        if own in ABOVE:
            continue
        allowed = set(ORDER[: ORDER.index(own) + 1]) | ANYWHERE if own in ORDER else {own}
        tops = {each: layer_of(each) for each in imported_modules(file, known)}
        wrong = sorted(each for each, top in tops.items() if top not in allowed)
        assert not wrong, f"{file.relative_to(ROOT)} imports {', '.join(wrong)}"


def test_no_module_imports_itself_by_way_of_others():
    known = modules()
    left = {name: imported_modules(file, known) & known.keys() for name, file in known.items()}
    left = {name: others - {"interpret_kit"} for name, others in left.items()}
    while free := {name for name, others in left.items() if not others & left.keys()}:
        left = {name: others for name, others in left.items() if name not in free}
    assert not left, f"these import each other: {', '.join(sorted(left))}"


@pytest.mark.parametrize("package", ["interpret_kit", "trainers"])
def test_the_library_needs_nothing_of_the_command_line(package):
    for file in files(package):
        wrong = imports(file) & {"click", "rich"}
        assert not wrong, f"{file.relative_to(ROOT)} imports {', '.join(sorted(wrong))}"


# Aliases that several modules define for themselves.
PER_MODULE = {"Array", "Floats", "Dims", "Pair", "Part", "Reader", "Size", "State"}


def test_a_public_class_or_type_has_a_name_of_its_own():
    homes = {}
    for file in files("interpret_kit", "trainers", "cli"):
        for name in _public_types(ast.parse(file.read_text())):
            homes.setdefault(name, []).append(str(file.relative_to(ROOT)))
    twice = {name: found for name, found in homes.items() if len(found) > 1}
    assert not {name: found for name, found in twice.items() if name not in PER_MODULE}


def _public_types(tree):
    """The classes and type aliases of a module: CapWords, without a leading underscore."""
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            name = node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            name = target.id if isinstance(target, ast.Name) else ""
        else:
            continue
        if re.fullmatch(r"[A-Z]+[a-z]\w*", name):
            yield name


def test_folders_hold_few_files():
    for top in ("interpret_kit", "trainers", "cli"):
        for folder in {file.parent for file in files(top)}:
            beside = [each.name for each in folder.glob("*.py") if each.name != "__init__.py"]
            assert len(beside) <= MOST_FILES, f"{folder.relative_to(ROOT)}: group its files"


def test_only_render_imports_matplotlib():
    home = ROOT / "interpret_kit" / "render"
    for file in files("interpret_kit", "trainers", "cli"):
        typing_only = "if TYPE_CHECKING:\n    from matplotlib" in file.read_text()
        drawing = "matplotlib" in imports(file) and not typing_only
        assert not drawing or home in file.parents, f"{file.relative_to(ROOT)} imports matplotlib"


def test_one_file_registers_hooks():
    hooks = re.compile(r"\.register_(\w+_)?hook\(")
    found = {
        str(file.relative_to(ROOT))
        for file in files("interpret_kit", "trainers", "cli")
        if hooks.search(file.read_text())
    }
    assert found == {"interpret_kit/models/layers/hooks.py"}


def test_one_file_opens_image_files():
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
    "file", files("interpret_kit", "trainers", "cli"), ids=lambda file: str(file.relative_to(ROOT))
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


TEXT = {"read_text": 1, "write_text": 2}  # the number of arguments, the last of which is encoding


def without_encoding(text):
    """The lines on which text is read or written in whatever encoding the user's locale has."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        name, named = node.func.attr, {each.arg for each in node.keywords}
        first = next((each.value for each in node.args if isinstance(each, ast.Constant)), "")
        opens_text = name == "open" and ("newline" in named or first in {"r", "w", "a", "x"})
        given = len(node.args) >= TEXT.get(name, 99) or not named.isdisjoint({"encoding", "mode"})
        member = isinstance(node.func.value, ast.Name) and node.func.value.id == "archive"
        if (name in TEXT or opens_text) and not (given or member):
            yield node.lineno


@pytest.mark.parametrize(
    "file", files("interpret_kit", "trainers", "cli"), ids=lambda file: str(file.relative_to(ROOT))
)
def test_text_has_the_same_bytes_in_every_locale(file):
    assert list(without_encoding(file.read_text("utf-8"))) == []


def test_an_encoding_that_is_missing_is_found():
    lines = ["a.read_text()", 'a.write_text("x")', 'a.open("w")', 'a.open(newline="")']
    good = ['a.read_text("utf-8")', 'a.write_text(x, "utf-8")', 'a.open("rb")', "Image.open(x)"]
    assert list(without_encoding("\n".join([*lines, *good]))) == [1, 2, 3, 4]
