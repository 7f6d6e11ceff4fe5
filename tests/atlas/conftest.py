"""One atlas and one comparison for all tests that only look at them."""

import pytest
from small_atlas import write_small_atlas
from small_comparison import write_small_comparison


@pytest.fixture(scope="session")
def atlas(tmp_path_factory):
    """An atlas of two layers of 4 and 6 filters, and what it was made of."""
    return write_small_atlas(tmp_path_factory.mktemp("atlas"))


@pytest.fixture(scope="session")
def comparison(tmp_path_factory):
    """Two networks compared: the second has the filters of the first, in another order."""
    return write_small_comparison(tmp_path_factory.mktemp("comparison"))
