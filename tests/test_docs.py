"""The documentation: nothing public is left out, every block of code runs, no link is dead."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

import neurosim as ns
from tests.evidence.__main__ import differences

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
sys.path.insert(0, str(DOCS))
import generated  # noqa: E402  the generator of the reference

PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*/*.md")), DOCS / "index.md"]
PAGES = [page for page in PAGES if "generated" not in page.parts and "gallery" not in page.parts]
# the cells of tutorials are executed where the site is built
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)#:\s]+\.(?:md|rst|png|toml))(?:#[^)]*)?\)")
MOST_WORDS, MOST_CELL = 600, 60


@pytest.fixture(autouse=True)
def _no_figures_left() -> Iterator[None]:
    yield
    plt.close("all")


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= MOST_WORDS


def test_cells_of_tables_are_short() -> None:
    pages = dict(generated.pages())
    texts = {page.name: page.read_text(encoding="utf-8") for page in PAGES} | pages
    long = []
    for name, text in texts.items():
        for line in text.splitlines():
            if line.startswith("|"):
                cells = re.split(r"(?<!\\)\|", line.strip("|"))
                long += [f"{name}: {cell}" for cell in cells if len(cell.strip()) > MOST_CELL]
    assert long == []


def test_every_public_name_has_a_page_and_an_example() -> None:
    on_pages = [name for names in generated.topics().values() for name in names]
    assert len(on_pages) == len(set(on_pages))
    assert set(on_pages) | set(generated.MODULES) >= set(ns.__all__)
    examples = generated.examples()
    assert {name for name in ns.__all__ if name not in examples} == set()
    functions = [name for name in on_pages if not isinstance(getattr(ns, name), type)]
    assert [name for name in functions if f"ns.{name}(" not in examples[name]] == []


def test_pages_do_not_differ_by_case_alone() -> None:
    names = [name.lower() for name, _ in generated.pages()]
    assert len(names) == len(set(names))


def test_every_key_of_a_model_file_is_on_its_page() -> None:
    from neurosim.experiments.schema import TABLES

    text = dict(generated.pages())["model-files.md"]
    for place, table in TABLES.items():
        if place:
            section = text.split(f"## [{'.'.join(place)}]\n", 1)[1].split("\n## ", 1)[0]
            assert all(f"`{key}` (" in section for key in table.model_fields), place


def test_no_internal_link_is_dead() -> None:
    written = {f"generated/{name}" for name, _ in generated.pages()}
    dead = []
    for page in [*PAGES, ROOT / "CONTRIBUTING.md"]:
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            path = (page.parent / target).resolve()
            made = path.parent.name == "generated" and f"generated/{path.name}" in written
            if not (path.exists() or made or path.parts[-2] == "gallery"):
                dead.append(f"{page.name}: {target}")
    assert dead == []


def test_the_page_on_citing_has_the_entry_of_the_repository() -> None:
    entry = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    page = (DOCS / "howto" / "cite.md").read_text(encoding="utf-8")
    for name, pattern in (("title", r'^title: "(.+)"'), ("version", r"^version: (.+)")):
        (value,) = re.findall(pattern, entry, re.MULTILINE)
        assert f"{name} = {{{value}}}" in page


def test_a_figure_that_changes_is_seen() -> None:
    kept = {"same": "1", "moved": "1"}
    found = {"same": "1", "moved": "2", "more": "3"}
    assert differences(kept, found) == ["changed: moved: 1 -> 2", "new: more: 3"]


@pytest.mark.slow
def test_the_examples_of_the_reference_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "examples"}
    for name, code in generated.examples().items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(code, name, "exec"), names)


WITH_CODE = [page for page in PAGES if BLOCK.search(page.read_text(encoding="utf-8"))]


@pytest.mark.slow
@pytest.mark.parametrize("page", WITH_CODE, ids=lambda page: page.stem)
def test_blocks_of_code_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "page"}
    for code in BLOCK.findall(page.read_text(encoding="utf-8")):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(code, page.name, "exec"), names)
