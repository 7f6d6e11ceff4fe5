"""A page as a browser would see it."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class Page(HTMLParser):
    """The elements of a page, as a browser would see them, and its text."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.folder, self.source = file.parent, file.read_text(encoding="utf-8")
        self.elements, self.words = [], []
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]

    def addresses(self):
        """All that the page refers to, apart from its own sections."""
        found = [each.get("src") or each.get("href") or "" for _, each in self.elements]
        return [each for each in found if each and not each.startswith("#")]

    def files(self):
        return [self.folder / unquote(address) for address in self.addresses()]


def assert_safe_and_whole(page):
    """What holds for every page: it loads nothing, runs nothing, and every link leads somewhere."""
    assert not {"script", "link", "iframe", "object", "embed", "base"} & {
        t for t, _ in page.elements
    }
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    assert not re.search(r"https?://|@import|url\(|javascript:", page.source)
    for address in page.addresses():
        parts = urlsplit(address)
        assert (parts.scheme, parts.netloc) == ("", ""), address
    assert [file for file in page.files() if not file.is_file()] == []
