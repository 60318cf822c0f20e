"""How the package reads, held to the figures that `python -m tests.house` prints."""

from __future__ import annotations

import pytest

from tests.house import Measures, measure

pytestmark = pytest.mark.slow  # the integration runs the command itself


@pytest.fixture(scope="module")
def measures() -> Measures:
    return measure()


def test_there_are_few_rooms_on_few_floors(measures: Measures) -> None:
    assert measures.modules <= 10
    assert measures.floors <= 11
    assert measures.circles == []


def test_lines_can_be_read(measures: Measures) -> None:
    assert measures.density <= 4.8
    assert measures.nested == []
    assert measures.conditional_share <= 20
    assert measures.skipped == []


def test_files_and_functions_are_short(measures: Measures) -> None:
    assert measures.longest[0] <= 500, measures.longest
    assert measures.long_functions == []


def test_docstrings_begin_with_a_verb_or_name_the_thing(measures: Measures) -> None:
    assert measures.openings == []
    assert measures.is_no == []


def test_errors_show_the_value(measures: Measures) -> None:
    assert measures.showing >= 0.95, measures.silent
