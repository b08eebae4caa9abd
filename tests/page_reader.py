"""Reads a page as a strict reader would: every tag closed in its order, and what it says and asks for noted."""

from html.parser import HTMLParser

VOID = ("meta", "img", "br")


class Page(HTMLParser):
    """Tags, the addresses that they name, the words, figures and table cells of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.words, self.open, self.kinds, self.cells = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.kinds += [value for name, value in attributes if name == "class"]
        self.addresses += [
            value for name, value in attributes if name in ("src", "href", "srcset", "action", "data", "xlink:href")
        ]
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def assert_stands_alone(text):
    """Nothing is fetched, nothing runs, and the page forbids both. Returns the page as it was read."""
    page = Page(text)
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not {"script", "link", "iframe", "object", "embed", "a", "form", "base"} & set(page.tags)
    bare = text.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not any(words in bare for words in ("http:", "https:", "url(", "@import", "javascript:"))
    assert "default-src 'none'" in text and 'name="viewport"' in text
    return page
