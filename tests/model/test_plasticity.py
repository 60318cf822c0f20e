"""Texts of learning rules: what is accepted, and what is refused with the name."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import brian2 as b2
import numpy as np
import pytest

import neurosim as ns
from neurosim.errors import ModelError
from neurosim.experiments import modelfile
from neurosim.model import rules
from neurosim.model.dimensions import Quantity, quantity
from neurosim.model.equations.plasticity import split
from neurosim.model.plasticity import Plasticity

RIGHT = "delta_post*x_pre/tau_w"
# Expressions that would do something else than compute a number
EXPRESSIONS = [
    "x_pre.__class__",
    "().__class__.__bases__[0].__subclasses__()",
    "__import__('os').system('touch planted')",
    "eval('1')",
    "exec('1')",
    "open('planted', 'w')",
    "getattr(x_pre, 'real')",
    "lambda: 1",
    "[x for x in (1, 2)]",
    "{'a': 1}",
    "x_pre[0]",
    "x_pre if w > 0 else 0",
    "w > 0",
    "w == 0",
    "not w",
    "w and x_pre",
    "w @ x_pre",
    "w % 2",
    "w // 2",
    "w << 3",
    "w | 1",
    "~w",
    "w := 1",
    "f'{w}'",
    "'text'",
    "b'text'",
    "1j*w",
    "None",
    "True",
    "...",
    "9**9**9",
    "2**1e9",
    "w**w",
    "w**65",
    "1e400",
    "1/0",
    "w/0",
    "0/0",
    "sqrt(-1)",
    "log(-1)",
    "exp(1e9)",
    "exp(exp(exp(exp(exp(exp(exp(w)))))))",
    "system(1)",
    "rand()",
    "randn()",
    "poisson(1)",
    "int(w)",
    "clip(w, 0, 1)",
    "exprel(w)",
    "ceil(w)",
    "max(w)",
    "max(w, 0, 1)",
    "abs()",
    "sin(x=w)",
    "sin(*[w])",
    "numpy.sin(w)",
    "np.sin(w)",
    "sympy.Symbol('w')",
    "Symbol('w')",
    "ns::mapped(0)",
    "std::system(0)",
    "0; system(0)",
    "0 /* */",
    "0 // comment",
    "0 # comment",
    "0 \\ 1",
    "{{w}}",
    "{% set w = 1 %}",
    "${w}",
    "`w`",
    "w\x00",
    "w\u200b",
    "ｗ",  # a full-width w, which Python reads as w
    "lam_mid",
    "other",
    "l2*w",
    "step_length",
    "_ptr_array",
    "__file__",
    "i",
    "N",
    "rule_mean0",
    "x_pre_pre.y",
    "(" * 300 + "w" + ")" * 300,
    "+".join(["w"] * 400),
    "*".join(["(x_pre + x_post + w)"] * 40),
    "tanh(" * 50 + "w" + ")" * 50,
    "x" * 600,
    "",
]
NAMES = [
    "__class__",
    "_w",
    "w__w",
    "int",
    "double",
    "return",
    "lambda",
    "class",
    "operator",
    "t",
    "dt",
    "tau_w",
    "l2",
    "memory",
    "N",
    "i",
    "exp",
    "rand_1",
    "rule_share",
    "x_pre",
    "delta_post",
    "a b",
    "a;b",
    "a{{b}}",
    "a\nb",
    "a" * 50,
    "é",
    "1a",
    "",
    "xi",
]


@pytest.mark.parametrize("text", EXPRESSIONS)
def test_an_expression_that_is_no_formula_is_refused(text: str, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    for make in (
        lambda: Plasticity(f"dw/dt = ({text})/tau_w : 1"),
        lambda: Plasticity(f"dw/dt = {RIGHT} : 1", after=f"w = {text}"),
        lambda: Plasticity(f"h = {text} : 1", f"dw/dt = {RIGHT}*h : 1"),
    ):
        if text in ("rand()", "randn()") and "after" in repr(make.__code__.co_consts):
            continue  # allowed there
        with pytest.raises(ModelError):
            make()
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_not_free_is_refused(name: str) -> None:
    right = f"dw/dt = {RIGHT} : 1"
    with pytest.raises(ModelError):
        Plasticity(f"d{name}/dt = -{name}/tau_w : 1", right)
    with pytest.raises(ModelError):
        Plasticity(f"dw/dt = {RIGHT}*{name} : 1", parameters={name: 1.0})
    with pytest.raises(ModelError):
        Plasticity(f"dw/dt = {RIGHT}*{name} : 1", modulators=(name,))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Plasticity("dw/dt = x_pre : 1"), r"unit 1 on .* allowed: s\^-1"),
        (lambda: Plasticity("dw/dt = x_pre/tau_w + 1 : 1"), r"joins the units s\^-1 and 1"),
        (lambda: Plasticity("dw/dt = x_pre*exp(t)/tau_w : 1"), "argument with a unit"),
        (lambda: Plasticity("dw/dt = y*x_pre/tau_w : 1"), "reads 'y', which is not at a synapse"),
        (lambda: Plasticity("dw/dt = x_pre/tau_w"), "equation = .*allowed: 'dw/dt"),
        (lambda: Plasticity("dw/dt = x_pre/tau_w : volt"), "equation = "),
        (lambda: Plasticity("de/dt = x_pre/tau_w : 1"), "leave w as it is"),
        (lambda: Plasticity(f"dw/dt = {RIGHT} : 1", f"dw/dt = {RIGHT} : 1"), "given twice"),
        (lambda: Plasticity(f"dw/dt = {RIGHT} : 1", parameters={"c": 1}), "'c' is read by no line"),
        (lambda: Plasticity(f"dw/dt = {RIGHT} : 1", modulators="r"), "'r' is read by no line"),
        (lambda: Plasticity(f"dw/dt = {RIGHT} : 1", gated="e"), "gated = 'e'; allowed: w"),
        (lambda: Plasticity(f"dw/dt = {RIGHT} : 1", reset="w"), "reset = 'w'"),
        (
            lambda: Plasticity(f"dw/dt = r*{RIGHT} : 1", modulators={"r": 1.0}),
            "modulators = {.r.: 1.0}; allowed: names",
        ),
        (lambda: Plasticity(f"dw/dt = {RIGHT} : 1", after="e = 1"), "after = 'e = 1'; allowed"),
        (lambda: Plasticity(3), "equations = 3"),
        (lambda: Plasticity("dw/dt = x_pre*xi/sqrt(tau_w) : 1"), "noise 'x_pre.*factor"),
        (lambda: Plasticity("dw/dt = w*xi*xi : 1"), "noise"),
        (Plasticity, "a rule has no equations"),
        (lambda: Plasticity("h = x_pre : 1", f"dw/dt = {RIGHT} : 1"), "read by no line"),
        (lambda: Plasticity(f"dw/dt = {RIGHT}*decy : 1", parameters={"decay": 1}), "'decay'?"),
        (lambda: Plasticity("dw/dt = x_pre/(50*ms) : 1"), "'ms', .*try parameters="),
        (lambda: Plasticity("dw/dt = w^2/tau_w : 1"), "BitXor is not allowed, try"),
        (lambda: Plasticity(after="w = x_post"), "'x_post', which assignments cannot read"),
        (lambda: Plasticity(after="w = w + rand"), "did you mean rand"),
        (lambda: Plasticity(after="w += 1"), "try w = w"),
        (lambda: Plasticity(after="w = rand() < 1"), r"'rand\(\) < 1'.*rand\(\), randn\(\)"),
        (lambda: Plasticity(f"dw/dt = {RIGHT}*w0 : 1", parameters={"w": 1}), "from the projection"),
        (lambda: Plasticity(f"dw/dt = {RIGHT}*k : 1", parameters={"k": "2 Hzz"}), "or a rate"),
        (lambda: Plasticity(f"dw/dt = {RIGHT}*c : 1", parameters={"c": [1, 2]}), "c = "),
        (lambda: Plasticity(f"dw/dt = {RIGHT}*c : 1", parameters={"c": "1 kg"}), "c = '1 kg'"),
        (lambda: Plasticity(f"dw/dt = {RIGHT}*c : 1", parameters={"c": np.nan}), "c = nan"),
        (lambda: ns.Projection("a", "b", plasticity="ojaa"), "ojaa.* did you mean|allowed: none"),
        (lambda: ns.Projection("a", "b", plasticity=3), "plasticity of a->b = 3"),
        (lambda: ns.Projection("a", "b", plasticity={"rule": "oja", "x": 1}), "oja = "),
        (lambda: ns.Projection("a", "b", plasticity={"lines": []}), "key of a rule = 'lines'"),
        (
            lambda: ns.Network.mlp([2, 2], plasticity={"input->x": "oja"}),
            "projection of plasticity = 'input->x'",
        ),
        (lambda: ns.Population("i", 2, clamped=True, bias_plasticity="oja"), "None where clamped"),
    ],
)
def test_messages_name_what_is_wrong(make: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        make()


@pytest.mark.parametrize(
    ("given", "value", "power", "plain"),
    [
        (0.1, 0.1, 0, 0.1),
        ("50 ms", 0.05, 1, "0.05 s"),
        ("5 Hz", 5.0, -1, "5.0 Hz"),
        ("2.5 kHz", 2500.0, -1, "2500.0 Hz"),
        (5 * b2.Hz, 5.0, -1, "5.0 Hz"),
        (50 * b2.ms, 0.05, 1, "0.05 s"),
    ],
)
def test_times_and_rates_are_read_with_their_units(
    given: Any, value: float, power: int, plain: Any
) -> None:
    found = quantity("k", given)
    assert found == Quantity(value, power)
    assert found.plain == plain
    line = {0: "dw/dt = -k*w/tau_w : 1", 1: "dw/dt = -w/k : 1", -1: "dw/dt = -k*w : 1"}[power]
    assert Plasticity(line, parameters={"k": given}).constants == {"k": value}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("dw/dt = y_pre*x_post/tau_w : 1", "reads y_pre, which input does not have"),
        ("dw/dt = lam_pre*x_post/tau_w : 1", "reads lam_pre, which input does not have; .*x_pre"),
        ("dw/dt = dleta_post*x_pre/tau_w : 1", r"reads dleta_post, .*did you mean delta_post\?"),
    ],
)
def test_a_variable_that_an_end_lacks_is_refused_before_the_run(rule: str, words: str) -> None:
    net = ns.Network.mlp([2, 3], loss="mse", plasticity=Plasticity(rule))
    with pytest.raises(ModelError, match=words):
        ns.Simulation(net, ns.Flow.adjoint())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "rk4"}, "method = 'rk4' with the rule of input->hidden1"),
        ({"method": "heun"}, "method = 'heun' with the rule"),
    ],
)
def test_methods_with_stages_are_refused(options: Any, words: str) -> None:
    net = ns.Network.mlp([2, 2, 2], plasticity="oja")
    with pytest.raises(ModelError, match=words):
        ns.Simulation(net, ns.Flow.adjoint(), **options)


def test_what_has_no_meaning_with_a_rule_is_refused() -> None:
    net = ns.Network.mlp([2, 2, 2], plasticity="momentum")
    sim = ns.Simulation(net, ns.Flow.adjoint())
    X, Y = [[0, 1]], [1]
    plain = ns.Simultaneous(duration=0.01)
    with pytest.raises(ModelError, match="rule of its own with LocalPropagation"):
        sim.train(X, Y, ns.LocalPropagation(epochs=2))
    with pytest.raises(ModelError, match="has the variables v at each synapse"):
        sim.train(X, Y, ns.Pruning(schedule=plain, rest=0.01))
    with pytest.raises(ModelError, match="modulator = 'reward'"):
        sim.train(X, Y, plain, modulators={"reward": 1.0})
    third = ns.Network.mlp([2, 2, 2], plasticity="three_factor")
    sim = ns.Simulation(third, ns.Flow.adjoint())
    for given, words in (
        (None, "reads the modulator 'reward', which has no value"),
        ({"reward": [1.0, 2.0]}, "a number or a function of time"),
        ({"reward": "much"}, "reward"),
        ({"reward": lambda t: "much"}, "reward.t. = 'much'"),
    ):
        with pytest.raises(ModelError, match=words):
            sim.train(X, Y, plain, modulators=given)
    shown = ns.Presentations(batch=1, present=0.01, epochs=2)
    with pytest.raises(ModelError, match="an array of shape"):
        sim.train(X, Y, shown, modulators={"reward": [1.0]})


@pytest.mark.parametrize("text", ["x # y", "x\n#include <stdlib.h>"])
def test_a_comment_in_a_formula_is_not_dropped(text: str) -> None:
    with pytest.raises(ModelError, match=r"loss = .* it has a comment"):
        ns.Loss("output", text).term  # noqa: B018


def test_a_rule_is_equal_by_value_and_survives_copies() -> None:
    rule = rules.three_factor("20 ms")
    assert rule == rules.three_factor("20 ms")
    assert rule != rules.three_factor("30 ms")
    assert pickle.loads(pickle.dumps(rule)) == rule
    assert Plasticity.from_description(rule.describe()) == rule
    assert eval(repr(rule), {"Plasticity": Plasticity}) == rule
    for make in rules.LIBRARY.values():
        own = make()
        assert Plasticity.from_description(own.describe()) == own
        split(own)


def test_a_variable_may_be_moved_by_assignments_alone() -> None:
    rule = Plasticity(
        "dw/dt = delta_post*x_pre/tau_w : 1  # the gradient",
        "moved : 1",
        "old : 1",
        after="moved = moved + abs(w - old); old = w",
    )
    assert rule.variables == ("w", "moved", "old")
    net = ns.Network.mlp([2, 2], loss="mse", plasticity=rule)
    first = net.weights["input->output"].copy()
    sim = ns.Simulation(net, ns.Flow.augmented(tau_w=0.1), dt=1e-3)
    schedule = ns.Simultaneous(duration=0.02, reports=1)
    log = sim.train([[0.5, 1.0]], [[1.0, 0.0]], schedule, record=("w", "moved"))
    w = np.vstack([log.run.traces.w.values, log.run.network.weights["input->output"].ravel()])
    expected = np.abs(first).ravel() + np.abs(np.diff(w, axis=0))[:-1].sum(axis=0)
    expected += (w[1] - w[0]) * np.sign(first.ravel())  # the first step is from old = 0
    expected -= np.abs(w[1] - w[0])
    np.testing.assert_allclose(log.run.traces.moved.values[-1], expected, rtol=1e-12)


def test_a_network_without_a_loss_is_made_by_mlp() -> None:
    net = ns.Network.mlp([4, 2], loss=None, plasticity="oja", bias_plasticity="none")
    assert not net.losses
    with pytest.raises(ModelError, match="exits"):
        ns.Network.mlp([4, 2, 2], loss=None, exits=0.1)


def test_values_that_are_not_finite_end_the_run_by_name() -> None:
    rule = Plasticity(f"dw/dt = {RIGHT} : 1", "dq/dt = (log(q) - q)/tau_w : 1")
    net = ns.Network.mlp([4, 3], plasticity=rule)
    sim = ns.Simulation(net, ns.Flow.augmented(tau_w=0.1), dt=2e-3)
    with pytest.raises(ns.errors.DivergenceError, match="q of the rule of input->output") as found:
        sim.train(np.ones((6, 4)), np.arange(6) % 3, ns.Simultaneous(duration=0.04, reports=1))
    assert "tau_w" not in str(found.value)
    assert found.value.run is not None


def test_a_fixed_run_says_why_it_has_no_variable_of_a_rule() -> None:
    net = ns.Network.mlp([4, 3], plasticity="eligibility")
    sim = ns.Simulation(net, ns.Flow.adjoint())
    with pytest.raises(ModelError, match="'e' is a variable of the rule of input->output"):
        sim.relax(np.ones((1, 4)), [0], duration=0.01, record="e")


def test_none_is_not_plastic() -> None:
    net = ns.Network.mlp([2, 2], plasticity="none")
    own = net.projections["input->output"]
    assert own.options == ns.Projection("input", "output", plastic=False).options
    assert not ns.Population("a", 2, bias_plasticity="none").plastic_bias


def test_networks_keep_their_rules() -> None:
    rule = rules.eligibility("20 ms")
    net = ns.Network.mlp([2, 3, 2], plasticity={"input->hidden1": rule}, bias_plasticity="oja")
    for other in (
        net.copy(),
        ns.Network.from_description(net.describe(), net.weights, net.biases),
        ns.Network.from_networkx(net.to_networkx()),
    ):
        assert other.projections["input->hidden1"].plasticity == rule
        assert other.projections["hidden1->output"].plasticity is None
        assert other.populations["output"].bias_plasticity == rules.oja()


MODEL = """
[network]
sizes = [4, 5, 3]
plasticity = {equations = ["de/dt = (delta_post*x_pre - e)/tau_e : 1", "dw/dt = r*e/tau_w : 1"], \
parameters = {tau_e = "20 ms"}, modulators = ["r"]}
bias_plasticity = "momentum"
[flow]
preset = "augmented"
[simulation]
dt = "1 ms"
backend = "numpy"
record = ["e"]
every = "10 ms"
modulators = {r = 0.5}
[data]
name = "iris"
[train]
schedule = "presentations"
batch = 8
present = "20 ms"
epochs = 1
"""


HEBBIAN = """
[[network.populations]]
name = "input"
size = 4
clamped = true
[[network.populations]]
name = "out"
size = 2
activation = "linear"
bias_plasticity = "none"
[[network.projections]]
pre = "input"
post = "out"
plasticity = "oja"
[flow]
preset = "adjoint"
tau_w = "1 s"
[simulation]
dt = "10 ms"
backend = "numpy"
record = ["w"]
every = "100 ms"
[data]
name = "iris"
[train]
schedule = "simultaneous"
duration = "1 s"
reports = 2
"""


def test_a_model_file_has_rules(tmp_path: Path) -> None:
    path = tmp_path / "rule.toml"
    path.write_text(MODEL)
    model = modelfile.load(path)
    log = model.run(model.simulation(), model.data())
    assert "e" in log.run.traces
    rule = log.run.network.projections["input->hidden1"].plasticity
    assert rule.modulators == ("r",)
    assert rule.constants == {"tau_e": 0.02}
    swept = ns.sweep(
        model,
        {"network.plasticity.parameters.tau_e": ["20 ms", "40 ms"]},
        measure="accuracy",
    )
    assert swept.sizes["network.plasticity.parameters.tau_e"] == 2


def test_models_with_rules_are_checked_at_rest() -> None:
    """The messages hold backpropagation's gradient, whatever a rule makes of them."""
    from neurosim.analysis.check import check

    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(3, 4)), rng.normal(size=(3, 2))
    for rule in ("three_factor", "oja"):
        net = ns.Network.mlp([4, 5, 2], loss="mse", seed=1, plasticity=rule, bias_plasticity="bcm")
        report = check(net, ns.Flow.augmented(), X, Y)
        assert report.passed
        assert len(report.rows) == 7
    hebbian = ns.Network.mlp([4, 2], loss=None, plasticity="oja", bias_plasticity="none")
    report = check(hebbian, ns.Flow.adjoint(), X, None)
    assert report.passed
    assert not any("gradient at rest" in row.name for row in report.rows)


def test_a_hebbian_model_is_reported_without_accuracy(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from neurosim.cli import app

    path = tmp_path / "oja.toml"
    path.write_text(HEBBIAN)
    options = ["--out", str(tmp_path / "o"), "--set", "output.formats=['svg']"]
    found = CliRunner().invoke(app, ["run", str(path), *options])
    assert found.exit_code == 0, found.output
    assert "accuracy" not in found.output
    assert "the network has no loss" in found.output


@pytest.mark.parametrize("text", [text for text in EXPRESSIONS if '"' not in text][:60:4])
def test_a_model_file_with_another_text_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "rule.toml"
    quoted = text.replace("\\", "\\\\").replace("\x00", "\\u0000")
    path.write_text(MODEL.replace("delta_post*x_pre - e", quoted))
    with pytest.raises(ModelError):
        modelfile.load(path).network()
