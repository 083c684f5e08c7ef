"""Reads a page as the tests need it: whether it is whole, what it fetches, what its tables hold."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = ("meta", "link")  # have no end


class Html(HTMLParser):
    """A page that was read.

    Attributes:
        open: tags that were opened and not closed. seen: all tags.
        fetched: what it needs from elsewhere.
        rows: (class, cells) of each row of its tables.
    """

    def __init__(self, text: str):
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.fetched: list[str] = []
        self.rows: list[tuple[str, list[str]]] = []
        self.feed(text)

    @property
    def cells(self) -> list[str]:
        return [cell for _, cells in self.rows for cell in cells]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        links = [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        self.fetched += [link for link in links if not link.startswith("#")]
        self.seen.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append((dict(attrs).get("class") or "", []))
        elif tag in ("td", "th"):
            self.rows[-1][1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][1][-1] += data
