"""Pages of the findings: their tables are those of the kept numbers, and nothing is typed."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from neurosim.errors import FileError
from neurosim.experiments import studies
from neurosim.experiments.studies.page import page_table
from neurosim.experiments.studies.runner import as_dataset
from tests.evidence.findings import COMMAND, FINDINGS, FOLDER, read, texts

INCLUDED = re.compile(r"```\{(?:include|image)\} (\S+)\n")
STUDIES = sorted(path.stem for path in FOLDER.glob("*.json") if path.stem in studies.built_in())


MEASURED = [page for page in FINDINGS if (FOLDER / f"{page}.json").exists()]


@pytest.mark.parametrize("page", MEASURED)
def test_tables_are_those_of_the_kept_numbers(page: str) -> None:
    kept = read(page)
    assert not kept["about"]["commit"].endswith("-dirty")
    prose = (FOLDER / f"{FINDINGS[page].page or page}.md").read_text(encoding="utf-8")
    assert f"`{COMMAND} {page}`" in prose
    included = INCLUDED.findall(prose)
    assert f"{page}.png" in included
    for words in FINDINGS[page].said(kept["found"]):
        assert words in " ".join(prose.split())
    for name, text in texts(page, kept).items():
        assert name in included
        assert (FOLDER / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize("name", STUDIES)
def test_tables_of_studies_are_those_of_the_kept_cells(name: str) -> None:
    kept = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    study = studies.load(name)
    assert kept["about"]["settings"] == study.tables  # the built-in ones, in full
    rows = []
    for row in kept["cells"]:
        rows.append({**row["cell"], **row["numbers"], "reason": row["reason"]})
    assert [row["cell"] for row in kept["cells"]] == study.cells
    table = page_table(study, as_dataset(study, rows), kept["about"])
    assert (FOLDER / f"{name}-table.txt").read_text(encoding="utf-8") == table


def test_no_file_of_a_page_has_the_name_of_a_study() -> None:
    assert set(FINDINGS) & set(studies.built_in()) == set()


def test_whatever_is_included_is_there() -> None:
    missing = []
    for page in FOLDER.glob("*.md"):
        for name in INCLUDED.findall(page.read_text(encoding="utf-8")):
            if not (page.parent / name).exists():
                missing.append(f"{page.name}: {name}")
    assert missing == []


def test_a_page_needs_all_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = ["study.seeds=2", "study.depths=[6]", "study.speeds=[0.1]", 'study.wirings=["plain"]']
    study = studies.load("skips", few)
    found = iter([0.5, 0.7])
    monkeypatch.setattr(type(study), "measure", lambda *_: {"cosine": next(found)})
    data, _ = studies.run(study, tmp_path)
    paths = studies.write(study, data, tmp_path, page=tmp_path / "page")[-3:]
    assert [path.name for path in paths] == ["skips.json", "skips-table.txt", "skips.png"]
    text = paths[1].read_text(encoding="utf-8")
    assert "| 6 | 0.1 | plain | 0.600 ± 0.100 | +0.000 | +0.000 |\n" in text
    assert "standard deviation (divided by n) over n = 2 seeds" in text
    data["cosine"][{"seed": 0}] = np.nan
    with pytest.raises(FileError, match="has no result yet; a page needs all"):
        studies.write(study, data, tmp_path, page=tmp_path / "page")
