"""Are names that are kept as one text those of a dictionary, in a fraction of its memory?"""

import tracemalloc

import numpy as np
import pytest

from interpret_kit.data.image_names import ImageNames

NAMES = {0: "ant/a.png", 3: "", 4: "größe/日本.png", 9: "z", 10: "a\n'b'"}


@pytest.mark.parametrize("names", [NAMES, {}], ids=["some", "none"])
def test_the_names_are_those_of_a_dictionary(names):
    kept = ImageNames(np.array(list(names), np.int64), names.values())
    assert kept == names
    assert names == kept
    assert list(kept.items()) == list(names.items())
    assert len(kept) == len(names)
    assert repr(kept) == repr(names)
    assert kept != {**names, 11: "more"}


@pytest.mark.parametrize("image", [-1, 1, 11])
def test_an_image_without_a_name_is_a_key_error(image):
    kept = ImageNames(np.array(list(NAMES)), NAMES.values())
    assert kept.get(image) is None
    with pytest.raises(KeyError, match=str(image)):
        kept[image]


def test_a_name_takes_its_bytes_and_eight_more():
    ids = np.arange(20_000)
    tracemalloc.start()
    kept = ImageNames(ids, (f"class/{each:06d}.png" for each in ids))  # 16 bytes each
    taken = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept[19_999] == "class/019999.png"
    assert taken / len(ids) < 1.2 * 24
