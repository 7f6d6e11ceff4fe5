import pickle
import tracemalloc

import pytest

from interpret_kit.data.load import load_images
from interpret_kit.data.packed_text import PackedText


def test_texts_are_read_as_they_were_appended():
    texts = ["a.png", "", "é/ü.png", "bad\udcff.png", "a.png"]
    packed = PackedText(texts[:3])
    for text in texts[3:]:
        packed.append(text)
    assert (list(packed), len(packed)) == (texts, 5)
    assert [packed[position] for position in (4, 0, 2, 1, 3)] == [
        "a.png", "a.png", "é/ü.png", "", "bad\udcff.png",
    ]  # fmt: skip
    assert list(pickle.loads(pickle.dumps(packed))) == texts
    with pytest.raises(IndexError):
        packed[5]


def test_a_listed_file_takes_less_than_500_bytes_at_the_peak_and_100_afterwards(tmp_path):
    count = 1500  # in 3 folders; names of 17 characters
    for number in range(count):
        place = tmp_path / f"class{number % 3}" / f"{number:07}.png"
        place.parent.mkdir(exist_ok=True)
        place.touch()
    load_images(tmp_path)  # imports, caches
    tracemalloc.start()
    try:
        images = load_images(tmp_path)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(images) == count
    assert (held / count < 100, peak / count < 500) == (True, True), (held / count, peak / count)
