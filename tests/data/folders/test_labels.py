"""Which row of a labels.csv means which image, and which mean none?"""

import unicodedata

import pytest
from PIL import Image

from interpret_kit.data.load import load_images
from interpret_kit.errors import ClassMismatch, UsageError

NFC, NFD = (unicodedata.normalize(form, "é.png") for form in ("NFC", "NFD"))


def folder(path, table, *names, encoding="utf-8", called="labels.csv"):
    for name in names:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(path / name)
    (path / called).write_text(table, encoding=encoding)
    return path


def labels(images):
    return {
        images.name(image): images.classes[label] if label >= 0 else None
        for image, label in enumerate(images.labels.tolist())
    }


def omitted(images):
    return {each.reason: each.names for each in images.omitted}


def test_case_and_the_encoding_of_accents_do_not_count_where_one_file_is_meant(tmp_path):
    images = load_images(
        folder(tmp_path, f"file,class\n{NFC},x\na.png,x\nB.png,y\n", NFD, "a.png", "b.png")
    )
    assert labels(images) == {NFD: "x", "a.png": "x", "b.png": "y"}
    assert images.omitted == ()


@pytest.mark.parametrize(
    "row",
    [
        "./sub/a.png",
        "sub\\a.png",
        ".\\sub\\a.png",
        "Sub/A.PNG",
        "  sub/a.png ",
        "photos/sub/a.png",
        "photos\\sub\\a.png",
        "/home/somebody/photos/sub/a.png",
        "C:\\Users\\somebody\\photos\\sub\\a.png",
        "../photos/sub/a.png",
        "sub/a",
        "a.png",
        '"sub/a.png"',
    ],
)
def test_a_path_is_found_however_it_is_written(tmp_path, row):
    table = f"file,label\n{row},cat\nsub/b.png,dog\n"
    images = load_images(folder(tmp_path / "photos", table, "sub/a.png", "sub/b.png"))
    assert labels(images) == {"sub/a.png": "cat", "sub/b.png": "dog"}
    assert images.omitted == ()


def test_rows_that_may_mean_several_files_mean_none(tmp_path):
    if (tmp_path / "q").touch() or (tmp_path / "Q").exists():
        pytest.skip("the file system takes a and A for one name")
    (tmp_path / "q").unlink()
    table = "file,label\na.PNG,cat\nc.png,dog\nok.png,ox\n"
    names = ("A.png", "a.png", "one/c.png", "two/c.png", "ok.png")
    images = load_images(folder(tmp_path, table, *names))
    assert {name for name, label in labels(images).items() if label} == {"ok.png"}
    assert omitted(images)["rows of labels.csv without a file"] == ("a.PNG (cat)", "c.png (dog)")
    assert len(omitted(images)["images without a row in labels.csv"]) == 4


def test_a_file_that_is_named_exactly_is_not_meant_by_another_row(tmp_path):
    images = load_images(folder(tmp_path, "file,label\na.png,cat\nA.png,dog\n", "a.png"))
    assert labels(images) == {"a.png": "cat"}
    assert omitted(images) == {"rows of labels.csv without a file": ("A.png (dog)",)}


def test_rows_without_a_file_and_files_without_a_row_are_said_with_their_class(tmp_path):
    images = load_images(folder(tmp_path, "file,label\na.png,cat\nz.png,ox\n", "a.png", "b.png"))
    assert images.classes == ("cat",)
    assert omitted(images) == {
        "images without a row in labels.csv": ("b.png",),
        "rows of labels.csv without a file": ("z.png (ox)",),
    }


@pytest.mark.parametrize(
    "table",
    [
        "file;label\na.png;crane, bird\n",
        "file\tlabel\na.png\tcrane, bird\n",
        'File , Label \na.png,"crane, bird"\n',
        'file, label\na.png, "crane, bird"\n',
        "label|file\ncrane, bird|a.png\n",
        "\ufefffile;LABEL\r\na.png;crane, bird\r\n\r\n",
        'file,label\na.png,"crane, bird"\na.png,"crane, bird"\n',
        'file,label,\na.png,"crane, bird",\n',
    ],
)
def test_tables_come_with_several_separators(tmp_path, table):
    assert labels(load_images(folder(tmp_path, table, "a.png"))) == {"a.png": "crane, bird"}


def test_the_table_is_found_whatever_its_case_and_is_not_left_over(tmp_path):
    images = load_images(folder(tmp_path, "file,label\na.png,ox\n", "a.png", called="Labels.CSV"))
    assert labels(images) == {"a.png": "ox"}
    assert images.omitted == ()


@pytest.mark.parametrize(
    ("table", "match"),
    [
        ("file,label\na.png,cat\nA.PNG,dog\n./A.PNG,cat\n", "gives A.PNG two labels, 'dog' and"),
        ("file,label\nA.PNG,cat\na.PNG,dog\n", "gives a.png two labels, 'cat' and 'dog'; keep one"),
    ],
)
def test_rows_that_contradict_each_other_are_refused(tmp_path, table, match):
    with pytest.raises(ClassMismatch, match=match):
        load_images(folder(tmp_path, table, "a.png"))


def test_a_name_with_a_comma_that_is_not_quoted_is_refused_and_not_cut(tmp_path):
    with pytest.raises(UsageError, match=r"3 fields under 2 columns: a\.png, crane, bird;"):
        load_images(folder(tmp_path, "file,label\na.png,crane, bird\n", "a.png"))


def test_a_named_file_keeps_the_label_of_the_table_beside_or_above_it(tmp_path):
    folder(tmp_path, "file,label\na.png,cat\nsub/b.png,dog\n", "a.png", "sub/b.png", "c.png")
    assert labels(load_images(tmp_path / "a.png")) == {"a.png": "cat"}
    assert labels(load_images(tmp_path / "sub" / "b.png")) == {"b.png": "dog"}
    several = load_images([tmp_path / "c.png", tmp_path / "sub" / "b.png"])
    assert labels(several) == {"c.png": None, "sub/b.png": "dog"}


def test_an_unrelated_table_beside_a_named_file_is_reported_but_not_an_error(tmp_path):
    folder(tmp_path, "id,price\n1,2\n", "a.png")
    images = load_images(tmp_path / "a.png")
    assert labels(images) == {"a.png": None}
    (note,) = images.notes
    assert note.startswith("no labels: ")
    assert "has the columns id, price; it needs 'file'" in note


@pytest.mark.parametrize("before", ["sep=;\n", "\n\n", "SEP=;\r\n\r\n", "\ufeffsep=;\n"])
def test_what_programs_put_before_the_header_is_passed_over(tmp_path, before):
    Image.new("RGB", (2, 2)).save(tmp_path / "1.png")
    (tmp_path / "labels.csv").write_text(f"{before}file;class\n1.png;a,b\n", newline="")
    assert load_images(tmp_path).classes == ("a,b",)


@pytest.mark.parametrize("names", ["class", "name"])
def test_of_several_label_columns_the_one_with_names_counts(tmp_path, names):
    for name in ("1.png", "2.png"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    table = f"file,label,{names}\n1.png,0,dog\n2.png,1,cat\n"
    (tmp_path / "labels.csv").write_text(table)
    listing = load_images(tmp_path)
    assert (listing.classes, listing.labels.tolist()) == (("cat", "dog"), [1, 0])
    (tmp_path / "labels.csv").write_text("file,label\n1.png,7\n2.png,5\n")
    assert load_images(tmp_path).classes == ("5", "7")
