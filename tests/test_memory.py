import pytest

from interpret_kit import memory


@pytest.fixture
def told(monkeypatch):
    """What the allocator is told, in order."""
    calls = []
    monkeypatch.setattr(memory, "_set", calls.append)
    return calls


def test_the_outermost_block_keeps_memory_and_gives_it_back(told):
    with memory.kept_memory(), memory.kept_memory():
        assert told == [memory._KEEP]
    assert told == [memory._KEEP, memory._RETURN]


def test_memory_is_given_back_after_an_exception(told):
    with pytest.raises(ZeroDivisionError), memory.kept_memory():
        raise ZeroDivisionError
    assert told == [memory._KEEP, memory._RETURN]


@pytest.mark.parametrize(("library", "asked"), [("", []), ("glibc", [None, None])])
def test_the_c_library_is_asked_only_if_it_is_glibc(monkeypatch, library, asked):
    opened = []

    class Library:
        def __init__(self, name):
            opened.append(name)

        def mallopt(self, option, value):
            """Take it."""

        def malloc_trim(self, pad):
            """Take it."""

    monkeypatch.setattr(memory.platform, "libc_ver", lambda: (library, ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", Library)
    with memory.kept_memory():
        pass
    assert opened == asked  # once to keep, once to give back
