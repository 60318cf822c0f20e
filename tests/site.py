"""Walk the built site: ``python -m tests.site FOLDER``.

The command fails if an internal link of a page is dead, or if a question of
``docs/questions.toml`` is not answered after at most `MOST_CLICKS` clicks from the front page. A
click names the visible text of a link; a link in the article is preferred to one in a menu. The
answer must stand in the section that the last click leads to.
"""

from __future__ import annotations

import sys
import tomllib
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

QUESTIONS = Path(__file__).parent.parent / "docs" / "questions.toml"
MOST_CLICKS = 3
VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr")


@dataclass
class Link:
    """A link: where it leads, its visible text, and whether it stands in the article."""

    href: str
    in_article: bool
    text: str = ""


@dataclass
class Page:
    """Links, anchors and text of a page; an anchor has the span of its element in the text."""

    links: list[Link] = field(default_factory=list)
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)
    text: str = ""

    def section(self, anchor: str) -> str:
        """Return the text of the element with an anchor, or of the article."""
        first, last = self.spans[anchor or "<article>"]
        return squeezed(self.text[first:last])


class Reader(HTMLParser):
    """Collect links, anchors and text of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.open: list[tuple[str, list[str], int, Link | None]] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        given = dict(attrs)
        names = [name for name in (given.get("id"), given.get("name")) if name]
        start = len(self.page.text)
        if tag in VOID:
            self.page.spans |= dict.fromkeys(names, (start, start))
            return
        if tag == "article":
            names.append("<article>")
        link = None
        href = given.get("href")
        if tag == "a" and href:
            inside = any(element[0] == "article" for element in self.open)
            link = Link(href, inside)
            self.page.links.append(link)
        self.hidden += tag in ("script", "style")
        self.open.append((tag, names, start, link))

    def handle_data(self, data: str) -> None:
        """Add text."""
        if not self.hidden:
            self.page.text += data

    def handle_endtag(self, tag: str) -> None:
        """Close an element, with those in it that the page left open."""
        while tag in [element[0] for element in self.open]:
            closed, names, start, link = self.open.pop()
            self.hidden -= closed in ("script", "style")
            end = len(self.page.text)
            self.page.spans |= dict.fromkeys(names, (start, end))
            if link is not None:
                link.text = squeezed(self.page.text[start:end])
            if closed == tag:
                return


def squeezed(text: str) -> str:
    """Return a text with single spaces, without the sign of permanent links."""
    return " ".join(text.replace("\N{PILCROW SIGN}", "").split()).removesuffix("#").strip()


@cache
def read(path: Path) -> Page:
    """Return a page of the site."""
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.page


def target(page: Path, href: str) -> tuple[Path, str] | None:
    """Return path and anchor of an internal link; None if it leads elsewhere."""
    parts = urlsplit(href)
    if parts.scheme or parts.netloc:
        return None
    path = page
    if parts.path:
        path = (page.parent / unquote(parts.path)).resolve()
    if path.is_dir():
        path = path / "index.html"
    return path, unquote(parts.fragment)


def dead_links(site: Path) -> list[str]:
    """Return the internal links that lead to no file, or to no anchor of a page."""
    dead = []
    for page in sorted(site.rglob("*.html")):
        for link in read(page).links:
            found = target(page, link.href)
            if found is None:
                continue
            path, anchor = found
            anchored = path.suffix == ".html" and anchor
            if not path.exists() or (anchored and anchor not in read(path).spans):
                dead.append(f"{page.relative_to(site)}: {link.href}")
    return dead


def walk(site: Path, clicks: list[str]) -> tuple[Path, str]:
    """Return the page and the anchor that clicks lead to from the front page.

    Raises
    ------
    ValueError
        There are too many clicks, or a page has no such link.
    """
    if len(clicks) > MOST_CLICKS:
        raise ValueError(f"{len(clicks)} clicks; allowed: at most {MOST_CLICKS}")
    page, anchor = site / "index.html", ""
    for click in clicks:
        links = [link for link in read(page).links if link.text == click]
        links.sort(key=lambda link: not link.in_article)
        found = target(page, links[0].href) if links else None
        if found is None:
            raise ValueError(f"{page.relative_to(site)} has no link {click!r}")
        page, anchor = found
    return page, anchor


def unanswered(site: Path, question: dict[str, Any]) -> list[str]:
    """Return what is wrong with the paths to the answer of a question; nothing if all is well."""
    wrong = []
    for clicks in question["paths"]:
        way = " > ".join(clicks)
        try:
            page, anchor = walk(site, clicks)
            text = read(page).section(anchor)
        except (ValueError, KeyError, OSError) as error:
            wrong.append(f"{question['asked']} {way}: {error}")
            continue
        for part in question["answer"]:
            if squeezed(part) not in text:
                wrong.append(f"{question['asked']} {way}: {part!r} is not there")
    return wrong


def main(arguments: list[str]) -> int:
    """Check links and questions, and print what is wrong; return 1 if anything is."""
    if len(arguments) != 1:
        sys.exit("usage: python -m tests.site FOLDER")
    site = Path(arguments[0]).resolve()
    questions = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["question"]
    wrong = [f"dead link: {link}" for link in dead_links(site)]
    paths = []
    for question in questions:
        wrong += unanswered(site, question)
        paths += question["paths"]
    for line in wrong:
        print(line)
    most = max(map(len, paths))
    print(f"{len(questions)} questions, {len(paths)} paths of at most {most} clicks")
    print(f"{len(wrong)} wrong")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
