"""Can the errors be caught as Python's own, and do they keep their sentence?"""

import pickle

import pytest

import interpret_kit as ik
from interpret_kit import errors
from interpret_kit.data.load import load_images
from interpret_kit.errors import NothingThere
from interpret_kit.results.atomic import whole_folder

KINDS = [each for each in vars(errors).values() if getattr(each, "exit_code", None)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_an_error_is_its_sentence_also_after_pickling(kind):
    error = kind("no file 'a'; similar names: b")
    copy = pickle.loads(pickle.dumps(error))
    assert str(error) == str(copy) == "no file 'a'; similar names: b"
    assert type(copy) is kind
    assert error.exit_code == (2 if isinstance(error, errors.UsageError) else 1)


@pytest.mark.parametrize(
    ("call", "builtin", "said"),
    [
        (
            lambda: ik.load_images("nowhere/at/all"),
            FileNotFoundError,
            "there is no folder 'nowhere'",
        ),
        (lambda: ik.load_result("nowhere/at/all"), FileNotFoundError, "there is no folder"),
        (lambda: ik.load_images(3), TypeError, "3 is not a path"),
        (lambda: ik.Occlusion(window=-1), ValueError, "window"),
        (
            lambda: ik.Occlusion().run("resnet18", "shapes"),
            TypeError,
            r"^run\(\) expects a Classifier",
        ),
        (
            lambda: ik.compare("a", "b", "shapes"),
            TypeError,
            r"^compare\(\) expects .* first, not a str",
        ),
        (lambda: ik.write_atlas(None, "shapes", "at"), TypeError, r"^write_atlas\(\) expects"),
        (lambda: ik.Classifier("resnet18"), TypeError, "an nn.Module, not a str"),
        (lambda: ik.IncrementalOcclusion(3), TypeError, "a network or a function, not an int"),
        (lambda: ik.load_images([]), ValueError, "no images were given"),
    ],
)
def test_an_error_is_caught_as_the_builtin_of_its_kind(call, builtin, said):
    with pytest.raises(builtin, match=said):
        call()


def test_a_missing_file_without_a_similar_name_says_what_its_folder_holds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        NothingThere, match=r"no file 'x\.jpg'; check the path: the current .* empty$"
    ):
        load_images("x.jpg")
    for name in (*"edcba", ".hidden"):
        (tmp_path / "photos" / name).mkdir(parents=True)
    for where in ("photos/nothere.jpg", "photos/nothere/x.jpg"):
        with pytest.raises(NothingThere, match=r"photos holds a, b, c, d and 1 more$"):
            load_images(where)


def test_a_result_that_is_there_is_a_file_that_exists(tmp_path):
    (tmp_path / "other.txt").write_text("mine")
    with (
        pytest.raises(FileExistsError, match="holds files but no result"),
        whole_folder(tmp_path, force=True),
    ):
        raise AssertionError("refused before")


def test_an_error_on_the_way_is_not_mistaken_for_a_full_disk(tmp_path):
    with (
        pytest.raises(errors.NothingThere, match=r"^no such thing$"),
        whole_folder(tmp_path / "out", force=False),
    ):
        raise errors.NothingThere("no such thing")
    assert not (tmp_path / "out").exists()
