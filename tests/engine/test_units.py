"""Translation units: calls in place of the statements that Brian2 repeats for each array."""

from __future__ import annotations

import pytest

import neurosim as ns
from neurosim.engine import cache
from neurosim.engine.plan import Plan
from neurosim.engine.standalone.codegen import StandaloneEngine
from neurosim.engine.standalone.units import BY_NAME, ONCE, shortened


@pytest.mark.compiler
def test_arrays_are_set_and_written_by_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every array, with this version of Brian2."""
    monkeypatch.setattr(cache, "program", lambda *_, **__: True)
    net = ns.Network.mlp([4, 3, 2], loss="mse", seed=0)
    engine = StandaloneEngine(Plan(net, 5, 1e-3, learns=True), (), 1)
    written = (engine.directory / "objects.cpp").read_text()
    compiled = (engine.directory / ONCE).read_text()
    arrays = written.count("ofstream outfile__array")
    assert arrays > 50
    assert compiled.count('write_array("_array') == arrays
    assert "outfile__array" not in compiled
    assert compiled.count("return set_array(name, ") == written.count("if (name == ")
    assert len(compiled) < 0.6 * len(written)


def test_what_is_written_in_another_way_stays() -> None:
    other = 'if (name == "hidden1.x") {\n    set_otherwise(name);\n}\n'
    assert shortened(other) == other
    assert shortened(BY_NAME + other).endswith(BY_NAME + other)
