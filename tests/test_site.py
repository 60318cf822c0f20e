"""The walk through the built site sees dead links, missing clicks and missing answers."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.site import MOST_CLICKS, QUESTIONS, dead_links, unanswered

FRONT = '<nav><a href="a.html">Guide</a></nav><article><a href="a.html#deep">In depth</a></article>'
GUIDE = """
<nav><a href="index.html">Home</a><a href="https://example.org/none">elsewhere</a></nav>
<article><section id="top"><h1>Guide<a href="#top">\N{PILCROW SIGN}</a></h1>First.
<section id="deep"><br>The <b>answer</b>
is 42.</section></section></article>
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(FRONT)
    (tmp_path / "a.html").write_text(GUIDE)
    return tmp_path


def question(*clicks: str, answer: str = "The answer is 42.") -> dict[str, object]:
    return {"asked": "What?", "paths": [list(clicks)], "answer": [answer]}


@pytest.mark.parametrize("clicks", [("In depth",), ("Guide",), ("Guide", "Home", "In depth")])
def test_an_answer_is_found(site: Path, clicks: tuple[str, ...]) -> None:
    assert unanswered(site, question(*clicks)) == []


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        (question("Tutorials"), "index.html has no link 'Tutorials'"),
        (question("Guide", "elsewhere"), "a.html has no link 'elsewhere'"),
        (question("In depth", answer="First."), "'First.' is not there"),
        (question(*["Guide", "Home"] * 2), f"4 clicks; allowed: at most {MOST_CLICKS}"),
    ],
)
def test_a_missing_answer_is_seen(site: Path, asked: dict[str, object], wrong: str) -> None:
    (found,) = unanswered(site, asked)
    assert wrong in found


def test_dead_links_are_seen(site: Path) -> None:
    assert dead_links(site) == []
    (site / "b.html").write_text('<a href="c.html"></a><a href="a.html#none"></a><a href="#x"></a>')
    assert dead_links(site) == ["b.html: c.html", "b.html: a.html#none", "b.html: #x"]


def test_there_are_fourteen_questions() -> None:
    questions = tomllib.loads(QUESTIONS.read_text(encoding="utf-8"))["question"]
    assert len(questions) == 14
    assert all(question["paths"] and question["answer"] for question in questions)
