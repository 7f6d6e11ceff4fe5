"""One atlas for all tests that only look at it."""

import pytest
from small_atlas import write_small_atlas


@pytest.fixture(scope="session")
def atlas(tmp_path_factory):
    """An atlas of two layers of 4 and 6 filters, and what it was made of."""
    return write_small_atlas(tmp_path_factory.mktemp("atlas"))
