"""``[[extension]]`` of model files: what it builds, and that hostile text goes no further."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import neurosim as ns
from neurosim.errors import ModelError
from neurosim.experiments import modelfile
from neurosim.model import extension as extension_module
from neurosim.model.extension import Extension
from neurosim.model.extension_text import READABLE, TAKEN, read_equations
from tests.helpers.odd_models import toml

BASE: dict[str, Any] = {
    "network": {"sizes": [2, 4, 1], "loss": "mse", "seed": 1},
    "flow": {"preset": "damped"},
    "data": {"name": "xor"},
    "simulation": {"duration": "20 ms", "backend": "numpy"},
}
ADAPTING = {
    "population": "hidden1",
    "x": "-c/tau_x",
    "equations": """
        dc/dt = (strength*x - c)/tau_c : 1
        strength : 1 (shared)
        tau_c : second (shared)""",
    "parameters": {"strength": 0.2, "tau_c": "100 ms"},
}


def text_of(*extensions: dict[str, Any], **more: Any) -> str:
    return toml({**BASE, "extension": list(extensions), **more})


def test_a_table_builds_the_extension_of_its_keys() -> None:
    model = modelfile.loads(text_of(ADAPTING, {"population": "output", "dx": "-(x - 0.1)/(20*ms)"}))
    data = model.data()
    run = model.relax(model.simulation(), data)
    own = [
        Extension(
            "hidden1", ADAPTING["x"], "", ADAPTING["equations"], {"strength": 0.2, "tau_c": 0.1}
        ),
        Extension("output", dx="-(x - 0.1)/(20*ms)"),
    ]
    sim = ns.Simulation(model.network(), model.flow(), backend="numpy", extensions=own)
    expected = sim.relax(data.X, data.Y, duration=0.02)
    for n in ("hidden1", "output"):
        assert_array_equal(run.x[n], expected.x[n])
        assert_array_equal(run.lam[n], expected.lam[n])
    assert_allclose(run.x["output"], 0.1 * (1 - 0.95**20), rtol=1e-12)


def test_it_is_written_and_read_back_as_it_was() -> None:
    array = {
        **ADAPTING,
        "equations": "s : 1",
        "x": "s/tau_x",
        "parameters": {"s": [0.1, 0.2, 0, 1]},
    }
    for own in (ADAPTING, array):
        model = modelfile.loads(text_of(own, {"population": "output", "dlam": "-lam/tau_lam"}))
        written = modelfile.dump(model)
        assert written.count("[[extension]]") == 2
        again = modelfile.loads(written)
        assert again.tables == model.tables
        assert again.extensions() == model.extensions()


def test_max_and_min_are_those_of_activations() -> None:
    own = {"population": "hidden1", "dx": "(max(a, 0.1) - min(2*x, a))/tau_x"}
    model = modelfile.loads(text_of(own))
    sim, data = model.simulation(), model.data()
    run = sim.relax(data.X, data.Y, duration=sim.dt, start="forward")
    x = ns.reference.forward(model.network(), data.X)["hidden1"]
    a = np.arctanh(x)
    expected = x + 0.1 * (np.maximum(a, 0.1) - np.minimum(2 * x, a))
    assert_allclose(run.x["hidden1"], expected, rtol=0, atol=1e-13)


@pytest.mark.compiler
@pytest.mark.parametrize("backend", ["cython", "standalone"])
def test_every_backend_runs_it(backend: str) -> None:
    runs = []
    for name in ("numpy", backend):
        model = modelfile.loads(text_of(ADAPTING), overrides=[f"simulation.backend={name}"])
        runs.append(model.relax(model.simulation(), model.data()))
    for n, x in runs[1].x.items():
        assert_allclose(x, runs[0].x[n], rtol=0, atol=1e-13)


def test_parameters_are_set_by_their_keys() -> None:
    given = ["extension.0.parameters.tau_c=20 ms", "extension.0.parameters.strength=0.5"]
    model = modelfile.loads(text_of(ADAPTING), overrides=given)
    assert model.extensions()[0].parameters == {"strength": 0.5, "tau_c": 0.02}
    with pytest.raises(
        ModelError, match=r"extension.1.parameters.tau_c: entry '1'; allowed: 0 to 0"
    ):
        modelfile.loads(text_of(ADAPTING), overrides=["extension.1.parameters.tau_c=1"])


def test_a_sweep_over_a_parameter_measures_each_point(tmp_path: Any) -> None:
    """Against runs one by one; with strength 0 rest is backpropagation's."""
    path = tmp_path / "own.toml"
    path.write_text(text_of(ADAPTING))
    key = "extension.0.parameters.strength"
    tau = "extension.0.parameters.tau_c"
    found = ns.sweep(
        str(path),
        {key: [0, 0.3], tau: ["20 ms", 0.05]},
        measure=["alignment", "settle_time"],
        duration="3 s",
        jobs=1,
    )
    assert found[tau].values.tolist() == [0.02, 0.05]
    assert found[tau].attrs["units"] == "base unit"
    assert set(found.outcome.values.ravel()) == {"settled"}
    for strength in (0, 0.3):
        for time in (0.02, 0.05):
            model = modelfile.loads(text_of(ADAPTING)).changed({key: strength, tau: time})
            data = model.data()
            run = model.simulation().relax(data.X, data.Y, duration=3.0, settle=1e-6)
            expected = ns.alignment(run, ns.reference.backprop(run.network, run.X, run.Y)).worst
            point = found.sel({key: strength, tau: time})
            assert float(point.alignment) == pytest.approx(expected, abs=1e-9)
            assert 0 < float(point.settle_time) < 3
    assert np.allclose(found.alignment.sel({key: 0}), 1, atol=1e-9)
    assert (found.alignment.sel({key: 0.3}) < 1 - 1e-5).all()


def test_residuals_of_a_sweep_are_those_of_the_extended_flow(tmp_path: Any) -> None:
    """The flow's own right-hand side does not vanish where this network rests."""
    path = tmp_path / "own.toml"
    path.write_text(text_of(ADAPTING))
    key = "extension.0.parameters.strength"
    with pytest.warns(ns.MeasureWarning, match="the spectrum with extensions = .* is not known"):
        found = ns.sweep(
            str(path), {key: [0.3]}, measure=["residual", "max_step"], duration="3 s", jobs=1
        )
    assert 0 < float(found["residual"][0]) < 1e-4  # of the flow alone 0.05 and more
    assert np.isnan(found["max_step"][0])


def test_the_command_checks_it(tmp_path: Any) -> None:
    from typer.testing import CliRunner

    from neurosim.cli import app

    path = tmp_path / "own.toml"
    path.write_text(text_of(ADAPTING))
    found = CliRunner().invoke(app, ["check", str(path)], env={"COLUMNS": "250"})
    assert found.exit_code == 0, found.output
    assert "off by" in found.output
    assert "where rest is backpropagation's" in found.output


# --- hostile text

CODE = "__import__('os').system('touch pwned')"
EXPRESSIONS = [
    CODE,
    "().__class__.__bases__",
    "x.__class__",
    "x.real",
    "(x).conjugate()",
    "x.__init__.__globals__",
    "__builtins__",
    "__x__/tau_x",
    "x__y/tau_x",
    "_x/tau_x",
    "eval(x)",
    "exec(x)",
    "open(x)",
    "getattr(x, a)",
    "print(x)",
    "exp(x)(a)",
    "exp(x, a)",
    "exp(*x)",
    "max(x, key=a)",
    "foo(x)/tau_x",
    "system(x)",
    "timestep(x, tau_x)",
    "poisson(x)",
    "rand()/tau_x",
    "lambda: x",
    "(lambda: x)()",
    "[x for x in a]",
    "x if x else a",
    "x := 1",
    "x[0]",
    "{x}",
    "{{7*7}}",
    "{{ config.__class__ }}",
    "{% for i in range(9) %}",
    "${x}",
    "`id`",
    "x; import os",
    "x\nimport os",
    "x # comment",
    "x // comment",
    "x /* comment */",
    "x */ system(0); /*",
    'x"); system("id"); ("',
    "'a'",
    '"a"',
    "f'{x}'",
    "x\\\n+ a",
    "#include <stdlib.h>",
    "x && a",
    "x || a",
    "x & a",
    "x << 30",
    "x % a",
    "x @ a",
    "~x",
    "not x",
    "x < a",
    "x == a",
    "x = a",
    "9**9**9",
    "9**9**9**9*x",
    "x**x",
    "x**1000",
    "((10**12)**64)**64",
    "(-1)**0.5",
    "1e400",
    "9" * 400,
    "1j*x",
    "True",
    "None",
    "...",
    "x/0",
    "(" * 300 + "x" + ")" * 300,
    "-" * 300 + "x",
    "+".join(["x"] * 400),
    "x" * 100_000,
    "exp(" * 60 + "x" + ")" * 60,
    "max(x, " * 9 + "a" + ")" * 9,
    "ｘ/tau_x",
    "x\u0000",
    "x\u202e/tau_x",
    "é",
    "xi/tau_x",
    "unknown/tau_x",
    "w/tau_x",
    "x_pre/tau_x",
    "20*mV",
]
LINES = [
    f"c = {CODE} : 1",
    "dc/dt = x.y : 1",
    "dc/dt = x/tau_x",
    "dc/dt = x/tau_x : 1; import os",
    "dc/dt = x/tau_x : 1 # comment",
    "dc/dt = x/tau_x : __import__",
    "dc/dt = x/tau_x : volt*x",
    "dc/dt = x/tau_x : 1 (__class__)",
    "dc/dt = x/tau_x : 1 (unless refractory)",
    "dc/dt = x/tau_x : 1 (shared)",
    "dc/dt = x/tau_x : 1) (",
    "dc.d/dt = x/tau_x : 1",
    "d__class__/dt = x/tau_x : 1",
    "d_c/dt = x/tau_x : 1",
    "dc__d/dt = x/tau_x : 1",
    "dx/dt = 1/tau_x : 1",
    "lam : 1",
    "kappa : 1",
    "dint/dt = x/tau_x : 1",
    "double : 1",
    "asm = x : 1",
    "std : 1",
    "main : 1",
    "NULL : 1",
    "namespace : 1",
    "lambda : 1",
    "import : 1",
    "None : 1",
    "exp : 1",
    "len : 1",
    "range : 1",
    "ms : 1",
    "N : 1",
    "i : 1",
    "t : second",
    "dt : second",
    "xi : 1",
    "pi = 3 : 1",
    "rate_x : 1",
    "c_pre : 1",
    "c\u00e9 : 1",
    "c-d : 1",
    "c[0] : 1",
    "{{c}} : 1",
    "c(0) : 1",
    "c;d : 1",
    "c*/ : 1",
    "1c : 1",
    "c" * 31 + " : 1",
    "c : 1\nc : 1",
    "c = 9**9**9 : 1",
    "c : (x)",
    "nonsense",
    "c = d : 1\nd = 2*c : 1",
    "c = c : 1",
    "c0 : 1\n" + "\n".join(f"c{n + 1} = c{n}*c{n} : 1" for n in range(38)),
    "\n".join(f"c{number} : 1" for number in range(41)),
]
HOSTILE = [(key, text) for key in ("x", "dlam") for text in EXPRESSIONS]
HOSTILE += [("equations", text) for text in LINES]


class Audit:
    """Python's audit events of evaluation, while `events` is a list; a hook cannot be removed."""

    events: list[str] | None = None
    hooked = False

    @classmethod
    def hook(cls, event: str, arguments: Any) -> None:
        if cls.events is not None and event in ("exec", "os.system", "subprocess.Popen", "import"):
            cls.events.append(f"{event} {arguments}")


@contextlib.contextmanager
def audited() -> Iterator[list[str]]:
    if not Audit.hooked:
        sys.addaudithook(Audit.hook)
        Audit.hooked = True
    Audit.events = []
    try:
        yield Audit.events
    finally:
        Audit.events = None


def test_the_audit_sees_an_evaluation() -> None:
    with audited() as events:
        eval("1 + 1")
    assert len(events) == 1


@pytest.fixture
def untouched(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    """Fail where text reaches an `Extension`, SymPy or Python's evaluation, or leaves a file."""

    def reached(self: Any) -> None:
        pytest.fail(f"the text reached {self!r}")

    monkeypatch.setattr(extension_module.Extension, "__post_init__", reached)
    monkeypatch.chdir(tmp_path)
    with audited() as events:
        yield
    assert events == []
    assert list(tmp_path.iterdir()) == []


def test_there_are_enough_of_them() -> None:
    assert len(EXPRESSIONS) + len(LINES) >= 50


@pytest.mark.parametrize(("key", "text"), HOSTILE, ids=[str(n) for n in range(len(HOSTILE))])
@pytest.mark.usefixtures("untouched")
def test_hostile_text_is_refused_by_name(key: str, text: str) -> None:
    own = {"population": "hidden1", key: text}
    given = toml({**BASE, "extension": [own]})
    with pytest.raises(ModelError, match=rf"extension\[0\]\.{key}") as refused:
        modelfile.loads(given)
    assert len(str(refused.value)) < 2500
    assert "allowed: " in str(refused.value)


def test_a_comment_is_refused_as_such() -> None:
    own = {"population": "hidden1", "equations": "c : 1 # text"}
    with pytest.raises(ModelError, match="contains '#'; allowed: letters"):
        modelfile.loads(text_of(own))


WRONG_VALUES = [
    ({"tau_c": "100 ms"}, r"extension\[0\].parameters.strength is missing"),
    ({"strength": "10 ms"}, "parameters.strength = '10 ms'; allowed: a value of the unit 1"),
    ({"strength": float("nan")}, "strength = nan"),
    ({"strength": 10**400}, "strength = 1000"),
    ({"strength": True}, "strength = True; allowed: a finite number"),
    ({"strength": {"a": 1}}, "strength = {'a': 1}"),
    ({"strength": []}, r"entries of extension\[0\].parameters.strength = 0"),
    ({"strength": [[[1]]]}, r"strength = \[1\]"),
    ({"strength": "1 parsec"}, "strength = '1 parsec'; allowed: a number"),
    ({"strength": CODE}, "strength = .*touch pwned.*; allowed: a number"),
    ({"tau_c": "5 Hz"}, "tau_c = '5 Hz'; allowed: a value of the unit second"),
    ({"__class__": 1}, "parameters = '__class__'; allowed: c, strength, tau_c"),
    ({"{{7*7}}": 1}, "parameters = '{{7"),
]


@pytest.mark.parametrize(("values", "words"), WRONG_VALUES)
def test_values_of_another_kind_are_refused(values: dict[str, Any], words: str) -> None:
    own = {**ADAPTING, "parameters": {"strength": 0.2, "tau_c": 0.1, **values}}
    if values == {"tau_c": "100 ms"}:
        own["parameters"] = values
    with pytest.raises(ModelError, match=words):
        modelfile.loads(text_of(own))


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ({"x": "1/tau_x"}, r"extension\[0\].population is missing"),
        ({"population": "hidden1", "dy": "1/tau_x"}, "a key of extension.* = 'dy'.*allowed: popul"),
        ({"population": 3}, "population = 3; allowed: text"),
        ({"population": "hidden1", "x": "1/tau_x", "dx": "1/tau_x"}, "dx = .* beside x = "),
    ],
)
def test_keys_are_those_of_an_extension(own: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        modelfile.loads(text_of(own))


def test_two_tables_of_one_right_hand_side_are_refused() -> None:
    twice = {"population": "hidden1", "dx": "-x/tau_x"}
    with pytest.raises(ModelError, match="beside dx = '-x / tau_x'; allowed: one dx"):
        modelfile.loads(text_of(twice, twice))


def test_a_population_that_the_network_does_not_have_is_refused() -> None:
    model = modelfile.loads(text_of({"population": "hiden1", "x": "1/tau_x"}))
    with pytest.raises(ModelError, match=r"population of an extension = 'hiden1'.*'hidden1'"):
        model.simulation()


def test_what_a_population_does_not_have_is_refused_when_it_is_built() -> None:
    """`y` is a word of the grammar; hidden1 has no loss."""
    model = modelfile.loads(text_of({"population": "hidden1", "x": "y/tau_x"}))
    with pytest.raises(ModelError, match=r"does not fit its population: .*y"):
        model.relax(model.simulation(), model.data())


def test_names_of_the_engine_are_taken() -> None:
    """Every variable of a network with all that adds variables, so that none is hidden."""
    net = ns.Network.mlp([2, 3, 2], constraint="tube", epsilon=0.1, loss="cross_entropy")
    sim = ns.Simulation(net, ns.Flow.augmented(1.0), backend="numpy", transport="events")
    sim.relax(np.zeros((1, 2)), [0], duration=0.002)
    names = set()
    for population in net.populations:
        names |= set(sim.network[population].variables)
    plain = {n for n in names if not n.startswith("_") and not n.endswith("_space")}
    free = []
    for name in sorted(plain - set(TAKEN)):
        try:
            read_equations("equations", f"{name} : 1", READABLE)
            free.append(name)
        except ModelError:
            continue
    assert free == []


def test_what_python_writes_is_not_narrowed() -> None:
    """A user's own Extension takes Brian2's notation, as before."""
    own = Extension(
        "hidden1",
        x="0.1*sqrt(2/tau_x)*xi + clip(J, 0, 1)/tau_x",
        equations="J = rand() : 1 (constant over dt)  # a comment\nflag = x > 0.5 : boolean",
    )
    net = ns.Network.mlp([2, 4, 1], loss="mse")
    sim = ns.Simulation(net, ns.Flow.damped(), backend="numpy", extensions=own)
    assert np.isfinite(sim.relax([[0, 1]], [[1]], duration=0.01).x["hidden1"]).all()


def test_tables_are_described() -> None:
    """The keys are the constructor's, with its descriptions."""
    from neurosim.experiments.schema import ExtensionTable

    fields = ExtensionTable.model_fields
    assert list(fields) == ["population", "x", "lam", "equations", "parameters", "dx", "dlam"]
    assert "Right-hand sides in 1/s" in str(fields["dx"].description)
    assert json.dumps(ExtensionTable.model_json_schema())
