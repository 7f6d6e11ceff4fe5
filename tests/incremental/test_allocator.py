import pytest

from interpret_kit.incremental import allocator as memory


@pytest.fixture(autouse=True)
def _another_library():
    """Forget the C library before a test that replaces it, and the replacement after it."""
    memory._glibc.cache_clear()
    yield
    memory._glibc.cache_clear()


@pytest.fixture
def settings(monkeypatch):
    """The settings of the allocator, in order."""
    calls = []
    monkeypatch.setattr(memory, "_set", calls.append)
    return calls


def test_the_outermost_block_keeps_memory_and_gives_it_back(settings):
    with memory.kept_memory(), memory.kept_memory():
        assert settings == [memory._KEEP]
    assert settings == [memory._KEEP, memory._RETURN]


def test_memory_is_given_back_after_an_exception(settings):
    with pytest.raises(ZeroDivisionError), memory.kept_memory():
        raise ZeroDivisionError
    assert settings == [memory._KEEP, memory._RETURN]


@pytest.mark.parametrize(("held", "trimmed"), [(1, []), (200, [0])])
def test_a_little_memory_stays_for_the_next_block(monkeypatch, held, trimmed):
    calls = []

    class Library:
        def mallopt(self, option, value):
            """Take it."""

        def malloc_trim(self, pad):
            calls.append(pad)

    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("glibc", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: Library())
    monkeypatch.setattr(memory, "_free_bytes", lambda library: held * 2**20)
    with memory.kept_memory():
        pass
    assert calls == trimmed


@pytest.mark.skipif(memory.platform.libc_ver()[0] != "glibc", reason="it is glibc that is asked")
def test_free_memory_is_counted():
    library = memory.ctypes.CDLL(None)
    with memory.kept_memory():  # a freed block stays with the process
        block = bytearray(100 * 2**20)
        in_use = memory._free_bytes(library)
        del block
        assert memory._free_bytes(library) - in_use > 90 * 2**20


@pytest.mark.parametrize(("library", "asked"), [("", []), ("glibc", [None])])
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
    for _ in range(2):
        with memory.kept_memory():
            pass
    assert opened == asked  # once for all blocks
