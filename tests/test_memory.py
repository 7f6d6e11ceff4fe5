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


def test_nothing_happens_without_glibc(monkeypatch):
    monkeypatch.setattr(memory.platform, "libc_ver", lambda: ("", ""))
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda name: pytest.fail("called the C library"))
    with memory.kept_memory():
        pass
