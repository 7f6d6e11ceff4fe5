"""The project is written in the words of its field: each word below has one that a reader knows."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

HERE = Path(__file__)  # holds the words themselves
ROOT = HERE.parents[1]

HELD = (  # to hold another folder or file to these words, add its path
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "README.md",
    "benchmarks",
    "cli",
    "docs",
    "examples",
    "tests",
    "interpret_kit/captum_api",
    "interpret_kit/incremental",
    "interpret_kit/jobs",
    "trainers",
    "interpret_kit/analyses",
    "interpret_kit/atlas",
    "interpret_kit/background_imports.py",
    "interpret_kit/data",
    "interpret_kit/errors.py",
    "interpret_kit/models",
    "interpret_kit/render",
    "interpret_kit/report",
    "interpret_kit/results",
)

WRITE_INSTEAD = {
    r"pictur\w+": "image, figure",
    r"silenc\w+": "ablate, ablated, ablation",
    r"whole numbers?": "integer",
    r"processors?(?! seconds)": "CPU",
    r"soon(er|est)": "faster, N x as fast",
    r"(whole )?forwards": "forward passes, full forward passes",
    r"whole forward": "full forward pass",
    r"in parts": "incremental(ly)",
    r"taken for": "predicted as, confused with",
    r"surest": "most confident",
    r"broken[ -]off": "interrupted",
    r"(go|goes|going|went|gone) on": "resume, continue",
    r"(leave|leaves|leaving|left)\b[^.;:]{0,40}\baway": "omit, drop",
    r"(?<!there )(is|are|was|were) no(?= [a-z])(?! (longer|more|faster|slower))": ("is not a ..."),
    r"(as|unless|was|is|are) told": "name the option, or what happens",
    r"so (many|much)": "the number, N, this many",
    r"learn(s|ed|ing)? from": "train on, training set",
    r"learned by heart": "overfitting",
    r"answer(s|ed|ing)? to": "respond to",
    r"images that are (right|wrong)": "correct, misclassified",
    r"anew": "again",
    r"heed(s|ed)?": "use, ignore",
}

EXCEPTIONS = {
    r"\|in parts\|": "a word that no message may hold",
    r"\]\([^)]*\)": "the target of a link",
    r"^pictures$|^picture_ids$|^silenced_at$|^silence$|called pictures are read": (
        "a name in results that earlier versions saved"
    ),
    r"`(\w+\.)?pictures?`|`(--)?silence`": "a name of earlier versions",
    r"\bpics? pictures?\b.*|^.*\bpictures photos\b.*": "names of folders that users have",
}

_EXCEPTIONS = re.compile("|".join(EXCEPTIONS))
_WORDS = {
    re.compile(rf"\b{each}\b", re.IGNORECASE): better for each, better in WRITE_INSTEAD.items()
}
_ANY_WORD = re.compile(rf"\b({'|'.join(WRITE_INSTEAD)})\b", re.IGNORECASE)


class Text(NamedTuple):
    """A name, a string, a comment or a paragraph, without line breaks."""

    line: int
    words: str


@pytest.mark.parametrize("path", HELD)
def test_the_words_are_those_of_the_field(path):
    files = [ROOT / path] if (ROOT / path).is_file() else sorted((ROOT / path).rglob("*"))
    texts = [(file, text) for file in files if file != HERE for text in texts_of(file)]
    assert texts, f"{path} holds no text: is it the right path?"
    found = [
        f"{file.relative_to(ROOT)}:{text.line}: {words!r}: write {better}"
        for file, text in texts
        for words, better in problems(text.words)
    ]
    assert not found, "\n".join(found)


def problems(words: str) -> Iterator[tuple[str, str]]:
    """Each word that a reader of the field would not know, and what to write."""
    if not _ANY_WORD.search(words):  # as almost always, in a fraction of the time
        return
    said = _EXCEPTIONS.sub(" ", words)
    for pattern, better in _WORDS.items():
        for match in pattern.finditer(said):
            yield match[0], better


def texts_of(file: Path) -> list[Text]:
    """What a file says; nothing of a file that is neither Python nor prose."""
    if file.suffix == ".py":
        source = file.read_text(encoding="utf-8")
        nodes = list(ast.walk(ast.parse(source)))
        return [*_names(nodes), *_strings(nodes), *_comments(source)]
    if file.suffix in {".md", ".toml"}:
        return _paragraphs(file.read_text(encoding="utf-8"))
    return []


def _names(nodes: list[ast.AST]) -> Iterator[Text]:
    """The names that the file gives, not those of others that it uses: in words."""
    for node in nodes:
        name = ""
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            name = node.name
        elif isinstance(node, ast.arg):
            name = node.arg
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            name = node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            name = node.attr
        if name:
            yield Text(node.lineno, _in_words(name))


def _in_words(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).replace("_", " ").strip()


def _strings(nodes: list[ast.AST]) -> Iterator[Text]:
    """Strings, those beside each other as one, with {} for what an f-string fills in."""
    inner = {id(part) for each in nodes if isinstance(each, ast.JoinedStr) for part in each.values}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            parts = (
                str(each.value) if isinstance(each, ast.Constant) else "{}" for each in node.values
            )
            yield Text(node.lineno, _one_line("".join(parts)))
        elif (
            isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inner
        ):
            yield Text(node.lineno, _one_line(node.value))


def _comments(source: str) -> Iterator[Text]:
    """Comments, those in lines that follow each other as one."""
    block: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if block and token.start[0] != block[-1].start[0] + 1:
            yield _joined(block)
            block = []
        block.append(token)
    if block:
        yield _joined(block)


def _joined(block: list[tokenize.TokenInfo]) -> Text:
    lines = (each.string.lstrip("# ") for each in block)
    return Text(block[0].start[0], _one_line(" ".join(lines)))


def _paragraphs(text: str) -> list[Text]:
    """Lines up to an empty one are one text."""
    found, line = [], 1
    for part in re.split(r"(\n\s*\n)", text):
        if part.strip():
            found.append(Text(line, _one_line(part)))
        line += part.count("\n")
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())


SAMPLE = '''
"""Which pictures
are there?"""

def silenced_rows(whole_numbers):  # as told, unless it is
    # broken
    # off
    raise ValueError(f"{whole_numbers!r} is " "no file; leave it "
                     f"away")
'''


def test_names_strings_and_comments_are_read_across_their_lines(tmp_path):
    (tmp_path / "sample.py").write_text(SAMPLE)
    found = sorted(
        (text.line, words)
        for text in texts_of(tmp_path / "sample.py")
        for words, _ in problems(text.words)
    )
    # The comment at the end of line 5 and those of lines 6 and 7 follow each other: one text.
    assert found == [
        (2, "pictures"),
        (5, "as told"),
        (5, "broken off"),
        (5, "silenced"),
        (5, "whole numbers"),
        (8, "is no"),
        (8, "leave it away"),
    ]


@pytest.mark.parametrize(
    "words",
    [
        "there is no file",
        "the loss is no longer finite",
        "this is no faster than that",
        "![A network](pictures/network.png)",
    ],
)
def test_what_the_field_says_passes(words):
    assert list(problems(words)) == []
