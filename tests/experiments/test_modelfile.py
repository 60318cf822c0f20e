"""Model files: what they build, overrides, the way back to TOML, and that bad ones are refused."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neurosim.data import datasets
from neurosim.errors import DataError, FileError, ModelError, NeurosimError
from neurosim.experiments import modelfile
from neurosim.experiments.schema import Tables
from neurosim.model.flow import Flow
from neurosim.model.schedules import Presentations, Simultaneous

XOR = """
# What it shows.
# More.
[network]
sizes = [2, 4, 1]
loss = "mse"
[flow]
preset = "augmented"
[data]
name = "xor"
"""
GRAPH = """
[[network.populations]]
name = "input"
size = 3
clamped = true
[[network.populations]]
name = "a"
size = 2
activation = "a/(1+abs(a))"
[[network.projections]]
pre = "input"
post = "a"
weights = [[1, 0, 2.5], [0, -1, 0]]
mask = [[1, 0, 1], [0, 1, 0]]
[[network.projections]]
pre = "a"
post = "a"
gain = 0.2
[[network.losses]]
population = "a"
weight = 0.5
[flow]
tau_x = { a = "5 ms" }
[data]
name = "random"
features = 3
outputs = 2
"""


TRAIN = "train={schedule='simultaneous', duration='1 s', "


def built(*overrides: str, text: str = XOR) -> modelfile.ModelFile:
    model = modelfile.loads(text, overrides=overrides)
    model.network(), model.flow(), model.data(), model.simulation(), model.schedule()
    return model


def test_layers() -> None:
    model = built("network.seed=3", "network.gain=2", "network.activation=relu")
    net = model.network()
    assert repr(net) == "Network(2-4-1, 2 projections, 17 parameters, mse on output)"
    assert net.populations["hidden1"].activation == "relu"
    assert model.comment == "What it shows."
    assert model.schedule() is None


def test_any_graph() -> None:
    model = built(text=GRAPH)
    net = model.network()
    assert net.order() is None
    np.testing.assert_array_equal(net.weights["input->a"].toarray(), [[1, 0, 2.5], [0, -1, 0]])
    assert net.losses["a"].weight == 0.5
    assert model.flow().time("tau_x", "a") == 5e-3


@pytest.mark.parametrize("name", modelfile.built_in())
def test_built_in_models_are_whole(name: str) -> None:
    model = modelfile.load(name)
    assert model.comment
    assert len(model.comment) < 100
    net = model.network()
    try:
        data = model.data()
    except FileError as error:  # two packages bring data of their own
        pytest.skip(str(error))
    assert data.X.shape[1] == sum(net.populations[n].size for n in net.inputs)
    assert model.simulation().dt < 1
    duration = model.tables.simulation.duration
    assert sum(way is not None for way in (model.schedule(), model.tables.stream, duration)) == 1


def test_the_models_are_there() -> None:
    assert set(modelfile.built_in()) >= {
        "xor",
        "moons",
        "wine",
        "digits",
        "oscillator",
        "deep",
        "ring",
        "events",
        "spikes",
        "stream",
    }


def test_a_preset_derives_after_the_overrides() -> None:
    flow = built("flow.rho=4", "flow.tau_x=20 ms").flow()
    assert flow == Flow.augmented(rho=4, tau_x=20e-3)
    assert flow.tau_lam == pytest.approx(5e-3)
    assert built("flow.rho=4", "flow.tau_lam=1 ms").flow().tau_lam == pytest.approx(1e-3)


def test_schedules() -> None:
    model = built("train.schedule=simultaneous", "train.duration=4 s")
    assert model.schedule() == Simultaneous(duration=4.0)
    model = built(
        "train.schedule=presentations", "train.batch=2", "train.present=0.1", "train.shuffle=false"
    )
    assert model.schedule() == Presentations(batch=2, present=0.1, shuffle=False)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("flow.rho=2", 2.0),
        ("flow.rho=2.5e-1", 0.25),
        ("flow.tau_x=10 ms", "10 ms"),
        ("flow.tau_x='10 ms'", "10 ms"),
        ("flow.tau_x=0.01", 0.01),
        ("flow.preset=adjoint", "adjoint"),
        ('flow.preset="adjoint"', "adjoint"),
        ("network.sizes=[2, 3, 4, 1]", [2, 3, 4, 1]),
        (" network.seed = 7 ", 7),
    ],
)
def test_override(override: str, value: Any) -> None:
    table, key = override.partition("=")[0].strip().split(".")
    assert getattr(getattr(modelfile.loads(XOR, overrides=[override]).tables, table), key) == value


def test_overrides_reach_into_lists_and_mappings() -> None:
    model = modelfile.loads(GRAPH, overrides=["network.populations.1.size=4", "flow.tau_x.a=7 ms"])
    assert model.tables.network.populations is not None
    assert model.tables.network.populations[1].size == 4
    assert model.flow().time("tau_x", "a") == pytest.approx(7e-3)
    assert built("flow={preset='damped'}").flow() == Flow.damped()


plain = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**62), 2**62)


@given(value=plain)
@settings(deadline=None)
def test_any_text_survives_quoting(value: str) -> None:
    quoted = json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    model = modelfile.loads(XOR, overrides=[f"network.activation={quoted}"])
    assert model.tables.network.activation == value


@given(text=st.text(max_size=40))
@settings(deadline=None)
def test_no_override_ends_in_anything_but_our_own_errors(text: str) -> None:
    for override in (
        text,
        f"flow.rho={text}",
        f"flow.{text}=1",
        f"network.sizes={text}",
        f"{text}.rho=1",
    ):
        with contextlib.suppress(NeurosimError):
            modelfile.loads(XOR, overrides=[override])


@given(text=st.text(max_size=200))
@settings(deadline=None)
def test_no_text_ends_in_anything_but_our_own_errors(text: str) -> None:
    for source in (text, XOR + text, f"[network]\n{text}"):
        with contextlib.suppress(NeurosimError):
            modelfile.loads(source)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """A model of valid types; not every one can be built."""
    time = st.one_of(st.floats(1e-6, 1e3), st.sampled_from(["10 ms", "1.5 s", "20us"]))
    optional: dict[str, Any] = {
        "flow": {
            "kappa": numbers,
            "rho": numbers,
            "tau_x": time,
            "tau_w": st.dictionaries(plain, time, max_size=3),
        },
        "simulation": {
            "dt": time,
            "backend": plain,
            "record": st.lists(plain, max_size=3),
            "start": st.sampled_from(["zero", "forward"]),
            "patterns": st.lists(st.integers(0, 100), max_size=3),
        },
        "output": {
            "folder": st.sampled_from(["out", "a/b"]),
            "formats": st.lists(st.sampled_from(["png", "svg"])),
        },
    }
    raw = {
        table: draw(st.fixed_dictionaries({}, optional=keys)) for table, keys in optional.items()
    }
    entry = st.fixed_dictionaries(
        {"name": plain, "size": st.integers()},
        optional={"activation": plain, "clamped": st.booleans()},
    )
    edge = st.fixed_dictionaries(
        {"pre": plain, "post": plain},
        optional={"gain": numbers, "weights": st.lists(st.lists(numbers, max_size=2))},
    )
    layers = st.fixed_dictionaries(
        {"sizes": st.lists(st.integers())}, optional={"loss": plain, "gain": numbers}
    )
    graph = st.fixed_dictionaries({"populations": st.lists(entry), "projections": st.lists(edge)})
    raw["network"] = draw(layers | graph)
    raw["data"] = draw(
        st.fixed_dictionaries(
            # the path of a file would become absolute
            {"name": plain.filter(lambda name: not datasets.is_path(name))},
            optional={"test": numbers, "seed": st.integers()},
        )
    )
    return raw


@given(raw=tables())
@settings(deadline=None)
def test_round_trip(raw: dict[str, Any]) -> None:
    given_tables = Tables.model_validate(raw)
    text = modelfile.dump(given_tables)
    assert modelfile.loads(text).tables == given_tables
    assert modelfile.dump(modelfile.loads(text)) == text


@pytest.mark.parametrize("name", modelfile.built_in())
def test_round_trip_of_built_in_models(name: str) -> None:
    model = modelfile.load(name)
    assert modelfile.loads(modelfile.dump(model)).tables == model.tables


def test_a_data_file_is_found_beside_its_model(tmp_path: Path) -> None:
    np.savez(tmp_path / "mine.npz", X=np.eye(4)[:, :2], y=np.arange(4) % 2)
    path = tmp_path / "mine.toml"
    path.write_text(XOR.replace('"xor"', '"mine.npz"') + "test = 0\n")
    model = modelfile.load(path)
    assert model.name == "mine"
    assert model.data().X.shape == (4, 2)
    again = modelfile.loads(
        modelfile.dump(model.effective())
    )  # wherever the effective model is written to
    assert again.data().X.shape == (4, 2)


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for source in ("xor", "xor.toml", "models/xor.toml", Path("models/xor.toml")):
        assert modelfile.find(source) == modelfile.built_in()["xor"]
    (tmp_path / "xor.toml").write_text(XOR)
    assert modelfile.find("xor.toml") == Path("xor.toml")  # the user's own comes first
    for source, words in {
        "xro": "model = 'xro'; allowed: .*did you mean 'xor'",
        "elsewhere/xor.toml": "model = 'elsewhere/xor.toml'",
        str(tmp_path): "model = ",
        "a\0b": "model = ",
        "x" * 5000: "is not a path",
    }.items():
        with pytest.raises(FileError, match=words):
            modelfile.find(source)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[network]\nsizes = [2,,]", "is not TOML.*line 2"),
        (b"a = 1\na = 2", "is not TOML"),
        (b"\xff\xfe", "not text in UTF-8"),
        (b"a = " + b"[" * 100_000, "is not TOML"),
        (b"#" * 2_000_000, "has 2000000 bytes; allowed: at most 1000000"),
    ],
)
def test_files_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(FileError, match=words):
        modelfile.load(path)


@pytest.mark.parametrize(
    ("override", "error", "words"),
    [
        (
            "flow.roh=2",
            ModelError,
            "--set flow.roh: unknown key; allowed: .*did you mean 'flow.rho'",
        ),
        ("flwo.rho=2", ModelError, "--set flwo.rho: .*did you mean 'flow.rho'"),
        ("rho=2", ModelError, "--set rho: .*did you mean 'flow.rho'"),
        ("data.nam=3", ModelError, "did you mean 'data.name'"),
        ("flow.rho", ModelError, "--set 'flow.rho'; allowed: TABLE.KEY=VALUE"),
        ("=2", ModelError, "TABLE.KEY=VALUE"),
        ("flow..rho=2", ModelError, "TABLE.KEY=VALUE"),
        ("flow.rho=two", ModelError, "flow.rho = 'two'; allowed: a number"),
        ("flow.rho=true", ModelError, "flow.rho = True; allowed: a number"),
        ("flow.rho=-1", ModelError, "flow.rho = -1.0; allowed: a finite number >= 0"),
        ("flow.rho=nan", ModelError, "flow.rho = nan"),
        ("flow.rho=[1]", ModelError, r"flow.rho = \[1\]"),
        ("flow.rho=1\n[network]\nseed=2", ModelError, "flow.rho = "),
        ("flow.tau_x=-10 ms", ModelError, "flow.tau_x = '-10 ms'; allowed: a finite time > 0"),
        ("flow.tau_x=10 m", ModelError, "flow.tau_x = '10 m'; allowed: a number and one of s"),
        ("flow.tau_x={hiden1='5 ms'}", ModelError, "'hiden1'.*did you mean 'hidden1'"),
        ("flow.tau_x={hidden1=-1}", ModelError, r"flow.tau_x\['hidden1'\] = -1"),
        ("flow.tau_x.hidden1=5 ms", None, ""),
        (
            "flow.preset=augmentd",
            ModelError,
            "flow.preset = 'augmentd'; .*did you mean 'augmented'",
        ),
        ("flow.theta=1", ModelError, r"a key of flow \(augmented\) = 'theta'"),
        ("flow={theta=1.0}", ModelError, "flow.theta = 1.0 belongs to preset = 'rotated'"),
        ("flow={preset='adjoint', roh=2}", ModelError, "a key of flow = 'roh'.*did you mean 'rho'"),
        ("network.sizes=7", ModelError, "network.sizes = 7; allowed: a list"),
        (
            "network.sizes=[2, 1.5]",
            ModelError,
            r"network.sizes\[1\] = 1.5; allowed: a whole number",
        ),
        ("network.sizes=[2]", ModelError, "at least two layers"),
        ("network.sizes=[2, 0, 1]", ModelError, "size of hidden1 = 0"),
        (
            "network.sizes=[2, 200000, 1]",
            ModelError,
            "units of network = 200003; allowed: at most 100000",
        ),
        (
            "network.sizes=[2, 40000, 40000, 1]",
            ModelError,
            "synapses of network = .*at most 50000000",
        ),
        ("network.activation=tan", ModelError, "activation = 'tan'.*did you mean 'tanh'"),
        ("network.activation=__import__('os').getcwd()", ModelError, "is not a plain formula"),
        ("network.activation=9**9**9**9", ModelError, "is not a plain formula"),
        ("network.loss=mes", ModelError, "loss = 'mes'.*did you mean 'mse'"),
        ("network.l1=-1", ModelError, "l1 of input->hidden1 = -1"),
        ("network.populations=[]", ModelError, "network.populations beside network.sizes"),
        ("network=3", ModelError, "network = 3; allowed: a table"),
        ("network={}", ModelError, "network.sizes is missing"),
        ("data={}", ModelError, "data.name is missing"),
        ("data={nam='xor'}", ModelError, "a key of data = 'nam'.*did you mean 'name'"),
        ("data.name=xro", ModelError, "data.name = 'xro'.*did you mean 'xor'"),
        ("data.noise=0.1", ModelError, r"a key of data \(xor\) = 'noise'"),
        ("simulation.dt=0", ModelError, "simulation.dt = 0; allowed: a finite time > 0"),
        ("simulation.backend=numpi", ModelError, "backend = 'numpi'.*did you mean 'numpy'"),
        ("simulation.method=eular", ModelError, "method = 'eular'.*did you mean 'euler'"),
        ("simulation.start=cold", ModelError, "simulation.start = 'cold'; allowed: zero, forward"),
        ("simulation.record=x", ModelError, "simulation.record = 'x'; allowed: a list"),
        (
            "train.schedule=simultanous",
            ModelError,
            "train.schedule = 'simultanous'.*did you mean 'simultaneous'",
        ),
        ("train.batch=3", ModelError, "train.schedule is missing"),
        ("train={schedule='simultaneous'}", ModelError, "train.duration is missing"),
        (
            "train={schedule='simultaneous', batch=3}",
            ModelError,
            r"a key of train \(simultaneous\) = 'batch'",
        ),
        (
            "train={schedule='presentations', duration='1 s'}",
            ModelError,
            r"train \(presentations\) = 'duration'",
        ),
        ("train={schedule='presentations', batch=0}", ModelError, "batch = 0"),
        (
            TRAIN + "pruning={evry=2}}",
            ModelError,
            "a key of train.pruning = 'evry'.*did you mean 'every'",
        ),
        (TRAIN + "growing={split=0}}", ModelError, "split = 0; allowed: a whole number >= 1"),
        (
            TRAIN + "growing={}, pruning={}}",
            ModelError,
            "train has both pruning and growing beside .*; allowed: one of them",
        ),
        *(
            (
                f"train={{schedule='local_propagation', {name}={{}}}}",
                ModelError,
                f"train.{name} beside train.schedule = 'local_propagation'.*allowed: simultaneous",
            )
            for name in ("pruning", "growing")
        ),
        ("network.group_l1=-1", ModelError, "row_l1 of input->hidden1 = -1"),
        (
            "output.folder=../up",
            ModelError,
            r"output.folder = '../up'; allowed: a relative path without '\.\.'",
        ),
        ("output.folder=/etc", ModelError, "output.folder = '/etc'"),
        (
            "output.formats=['gif']",
            ModelError,
            r"output.formats\[0\] = 'gif'; allowed: png, pdf, svg",
        ),
    ],
)
def test_refused(override: str, error: type[NeurosimError] | None, words: str) -> None:
    if error is None:
        built(override)
        return
    with pytest.raises(error, match=words):
        built(override)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("network.populations.5.size=4", "entry '5'; allowed: 0 to 1"),
        ("network.populations.a.size=4", "unknown key"),
        ("network.populations.1.sise=4", "did you mean 'network.populations.size'"),
        ("network.populations.1=4", r"network.populations\[1\] = 4; allowed: a table"),
        ("network.activation=tanh", "network.activation beside .*populations"),
        ("network.projections.1.pre=aa", "an end of aa->a = 'aa'.*did you mean 'a'"),
        ("network.projections.0.weights=[[1, 2]]", "weights of input->a have shape"),
        ("network.projections.0.mask=[[1, 2, 3]]", "mask of input->a"),
        ("network.losses.0.kind=msee", "did you mean 'mse'"),
    ],
)
def test_graphs_refused(override: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        built(override, text=GRAPH)


def test_whole_tables_are_needed() -> None:
    for table in ("network", "flow", "data"):
        text = XOR.replace(f"[{table}]", "[output]").replace(
            'sizes = [2, 4, 1]\nloss = "mse"\n', ""
        )
        with pytest.raises(ModelError):
            built(text=text)


def test_relax_needs_a_duration_and_train_a_table() -> None:
    model = built()
    with pytest.raises(ModelError, match=r"simulation\.duration is missing"):
        model.relax(model.simulation(), model.data())
    with pytest.raises(ModelError, match="train is missing"):
        model.train(model.simulation(), model.data())


def test_relax_and_train_are_the_simulation_s() -> None:
    model = built("simulation.duration=20 ms", "simulation.record=['x']", "simulation.every=10 ms")
    run = model.relax(model.simulation(), model.data())
    assert run.steps == 20
    assert run.traces is not None
    assert run.traces.x.sizes["time"] >= 2
    model = built("train={schedule='simultaneous', duration='20 ms', reports=2}")
    simulation = model.simulation()
    log = model.train(simulation, model.data())
    assert log.run.steps == 20
    assert not np.array_equal(
        simulation.net.weights["input->hidden1"], model.network().weights["input->hidden1"]
    )


def test_a_wrong_fit_of_data_is_told() -> None:
    model = built("network.sizes=[3, 4, 1]", "simulation.duration=20 ms")
    with pytest.raises(DataError, match=r"X has shape \(4, 2\); allowed: \(patterns, 3\)"):
        model.relax(model.simulation(), model.data())
