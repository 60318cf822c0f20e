"""The server of the explorer: who is answered, what commands do, what a frame holds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

import neurosim as ns
from neurosim.errors import FileError, ModelError
from neurosim.experiments import modelfile
from neurosim.explorer.controls import controls_of
from neurosim.explorer.explorer import Explorer, explore
from neurosim.explorer.measures import field, measures, spectrum
from neurosim.explorer.opening import open_model, open_simulation
from neurosim.explorer.playback import open_run
from neurosim.explorer.server import application
from neurosim.explorer.session import Exploration
from neurosim.explorer.tours import TOURS
from tests.helpers.problems import random_problem

HOST = "127.0.0.1:8000"
TOKEN = "secret"
SOCKET = f"ws://{HOST}/socket?token={TOKEN}"
ORIGIN = {"origin": f"http://{HOST}"}


def _exploration(**options: Any) -> Exploration:
    net, X, Y = random_problem([3, 4, 2], 1)
    sim = ns.Simulation(net, ns.Flow.augmented(rho=2))
    return Exploration(open_simulation(sim, X, Y, **options))


@pytest.fixture
def client() -> Iterator[TestClient]:
    app = application(_exploration(), TOKEN, lambda: [HOST, "localhost:8000"], lambda: None)
    with TestClient(app, base_url=f"http://{HOST}") as found:
        yield found


def unpacked(frame: bytes) -> tuple[dict[str, Any], np.ndarray, dict[str, np.ndarray]]:
    """Read a frame as the page does."""
    length = int.from_bytes(frame[:4], "little")
    header = json.loads(frame[4 : 4 + length])
    place = 4 + length
    samples, width = header["samples"], header["width"]
    times = np.frombuffer(frame, "<f8", samples, place)
    place += 8 * samples
    values = {}
    for name in header["variables"]:
        rows = np.frombuffer(frame, "<f4", samples * width, place)
        values[name] = rows.reshape(samples, width)
        place += rows.nbytes
    return header, times, values


# --- who is answered


def test_the_page_needs_the_token(client: TestClient) -> None:
    assert client.get("/").status_code == 403
    assert client.get("/", params={"token": "wrong"}).status_code == 403
    found = client.get("/", params={"token": TOKEN})
    assert found.status_code == 200
    assert "<title>neurosim explorer" in found.text
    assert "frame-ancestors" in found.headers["content-security-policy"]
    assert client.get("/download/run.nc").status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:9999", "127.0.0.1", ""])
def test_other_hosts_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/", params={"token": TOKEN}, headers={"host": host}).status_code == 403


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://127.0.0.1:8000", None])
def test_other_origins_get_no_socket(client: TestClient, origin: str | None) -> None:
    headers = {} if origin is None else {"origin": origin}
    with pytest.raises(WebSocketDisconnect):
        client.websocket_connect(SOCKET, headers=headers).__enter__()


def test_a_socket_without_the_token_is_closed(client: TestClient) -> None:
    with pytest.raises(WebSocketDisconnect):
        client.websocket_connect(f"ws://{HOST}/socket", headers=ORIGIN).__enter__()


def test_files_of_the_page_are_its_own_alone(client: TestClient) -> None:
    assert client.get("/page/main.js").status_code == 200
    assert client.get("/page/vendor/uPlot.LICENSE").status_code == 200
    assert client.get("/page/../session.py").status_code == 404
    assert client.get("/page/%2e%2e/session.py").status_code == 404
    assert client.get("/page/main.js", headers={"origin": "http://evil.example"}).status_code == 403


# --- frames and commands over the socket


def test_a_page_plays_sets_and_sees_the_new_value(client: TestClient) -> None:
    with client.websocket_connect(SOCKET, headers=ORIGIN) as socket:
        model = json.loads(socket.receive_text())
        assert model["type"] == "model"
        assert model["neurons"] == ["hidden1", "output"]
        socket.send_text('{"type": "ready"}')
        header, times, values = unpacked(socket.receive_bytes())
        assert header["samples"] == len(times) == header["step"]
        assert values["x"].shape == (len(times), 6)
        socket.send_text('{"type": "set", "key": "flow.rho", "value": 3.5, "id": 7}')
        settings = json.loads(socket.receive_text())
        rho = next(c for c in settings["controls"] if c["key"] == "flow.rho")
        assert rho["value"] == 3.5
        socket.send_text('{"type": "ready"}')
        after, more, _ = unpacked(socket.receive_bytes())
        assert after["done"] == 7
        assert more[0] > times[-1]
        socket.send_text("not JSON")
        socket.send_text('{"type": "set", "key": "flow.rho", "value": "__import__(\'os\')"}')
        error = json.loads(socket.receive_text())
        assert (error["type"], error["about"]) == ("error", "flow.rho")
        assert "flow.rho = " in error["text"]


def test_two_pages_see_the_same_run(client: TestClient) -> None:
    path = SOCKET
    with client.websocket_connect(path, headers=ORIGIN) as one:
        one.receive_text()
        one.send_text('{"type": "ready"}')
        first = unpacked(one.receive_bytes())
        one.send_text('{"type": "play", "on": false}')
        with client.websocket_connect(path, headers=ORIGIN) as other:
            other.receive_text()
            other.send_text('{"type": "ready"}')
            _, times, values = unpacked(other.receive_bytes())
            np.testing.assert_array_equal(times, first[1])
            np.testing.assert_array_equal(values["x"], first[2]["x"])
            other.send_text('{"type": "set", "key": "flow.rho", "value": 4}')
            for socket in (one, other):
                assert json.loads(socket.receive_text())["type"] == "settings"


def test_nothing_runs_without_a_page_that_is_ready(client: TestClient) -> None:
    with client.websocket_connect(SOCKET, headers=ORIGIN) as socket:
        socket.receive_text()
        socket.send_text('{"type": "ready"}')
        step = unpacked(socket.receive_bytes())[0]["step"]
        for _ in range(5):
            socket.send_text('{"type": "spectrum"}')
            socket.receive_text()
        socket.send_text('{"type": "ready"}')
        assert unpacked(socket.receive_bytes())[0]["step"] == 2 * step


def test_a_run_can_be_downloaded(client: TestClient, tmp_path: Path) -> None:
    with client.websocket_connect(SOCKET, headers=ORIGIN) as socket:
        socket.receive_text()
        socket.send_text('{"type": "step", "steps": 30}')
        found = client.get("/download/run.nc", params={"token": TOKEN})
    path = tmp_path / "run.nc"
    path.write_bytes(found.content)
    run = ns.load(path)
    assert isinstance(run, ns.Run)
    assert run.traces is not None
    assert run.traces.sizes["time"] == 30


# --- commands


def _ask(exploration: Exploration, **command: Any) -> dict[str, Any]:
    answers = exploration.do("page", command)
    return answers[0] if answers else {}


def test_every_command_answers_or_refuses_odd_values() -> None:
    exploration = _exploration()
    odd = [None, -1, 1e300, "text", [], {}, [1, 2, 3], {"hidden1": "x"}, True]
    keys = (
        "key",
        "value",
        "units",
        "x",
        "lam",
        "pattern",
        "steps",
        "on",
        "name",
        "seconds",
        "model",
        "tour",
        "h",
        "v",
        "low",
        "high",
        "count",
        "numbers",
        "patterns",
    )
    rng = np.random.default_rng(0)
    for name in [*exploration.commands(), "nothing", 3]:
        if name == "open":
            continue
        for _ in range(4):
            command: dict[str, Any] = {"type": name}
            for key in rng.permutation(keys)[:6]:
                command[str(key)] = odd[rng.integers(len(odd))]
            if name == "step" and command.get("steps") == 1e300:
                continue
            for answer in exploration.do("page", command):
                assert isinstance(answer["type"], str)
    assert np.isfinite(exploration.live.x["hidden1"]).all()


def test_commands_do_what_they_say() -> None:
    exploration = _exploration()
    live = exploration.live
    _ask(exploration, type="step", steps=40)
    assert live.steps == 40
    assert not exploration.playing
    _ask(exploration, type="clamp", units={"hidden1": [1]}, x=0.5)
    _ask(exploration, type="place", x={"output": {"0": 0.25}})
    assert live.x["output"][0, 0] == 0.25
    _ask(exploration, type="kick", x=0.1, units={"hidden1": [0]})
    assert _ask(exploration, type="release")["held"] == {}
    assert _ask(exploration, type="show", pattern=2)["patterns"] == [2]
    assert _ask(exploration, type="plastic", on=True)["plastic"] is True
    _ask(exploration, type="preset", name="adjoint")
    assert (live.flow.kappa, live.flow.gamma, live.flow.rho) == (0, 1, 0)
    assert "live.clamp(" in _ask(exploration, type="script")["text"]
    epoch = exploration.epoch
    _ask(exploration, type="rewind", seconds=100)
    assert (live.time, exploration.epoch) == (0.0, epoch + 1)
    assert _ask(exploration, type="open", model="../secret")["type"] == "error"
    opened = _ask(exploration, type="open", tour="xor")
    assert (opened["tour"], opened["patterns"]) == ("xor", [0, 1, 2, 3])


def test_a_link_restores_the_settings() -> None:
    one, other = _exploration(), _exploration()
    for key, value in {"flow.theta": 1.0, "flow.tau_x": 0.02, "network.l1": 1e-3}.items():
        one.live.set(key, value)
    one.live.show(3)
    one.live.plastic()
    numbers = {c["key"]: c["value"] for c in one.settings()["controls"]}
    _ask(other, type="restore", numbers=numbers, patterns=[3], plastic=True)
    assert other.live.numbers == pytest.approx(one.live.numbers)
    assert (other.live.patterns, other.live.is_plastic) == ((3,), True)


def test_a_divergence_pauses_and_can_be_undone() -> None:
    exploration = _exploration()
    for _ in range(30):
        exploration.advance()
    exploration.live.set("flow.tau_x", 1e-5)
    for _ in range(5):
        exploration.advance()
    assert not exploration.playing
    assert exploration.notice is not None
    assert "diverged at t = " in exploration.notice["text"]
    header, _, _ = unpacked(exploration.frame("page", 0.0, exploration.epoch)[0])
    assert header["notice"]["kind"] == "diverged"
    _ask(exploration, type="rewind", seconds=0.5)
    assert exploration.notice is None
    exploration.playing = True
    exploration.advance()
    assert exploration.playing


def test_every_tour_opens_and_its_steps_do_not_fail() -> None:
    for name, tour in TOURS.items():
        exploration = Exploration(open_model(tour.model, tour.sets, tour=name))
        for _, command in tour.steps:
            if command is not None:
                for answer in exploration.do("page", command):
                    assert answer["type"] != "error", (name, answer)
            exploration.live.run(3 * exploration.live.dt)


# --- what is shown, against something else


def test_the_field_is_the_slope_of_the_trajectory() -> None:
    exploration = _exploration()
    live = exploration.live
    live.run("20 ms")
    x, lam = live.x["hidden1"][0, 2], live.lam["output"][0, 1]
    axes = {"h": ["x", "hidden1", 2], "v": ["lam", "output", 1]}
    found = field(live, {**axes, "low": [x - 1, lam - 1], "high": [x + 1, lam + 1], "count": 3})
    middle = 4
    assert (found["h"][middle], found["v"][middle]) == (pytest.approx(x), pytest.approx(lam))
    live.run(live.dt)
    assert live.x["hidden1"][0, 2] - x == pytest.approx(found["dh"][middle] * live.dt)
    assert live.lam["output"][0, 1] - lam == pytest.approx(found["dv"][middle] * live.dt)


def test_measures_and_spectrum_are_those_of_the_analysis() -> None:
    exploration = _exploration()
    live = exploration.live
    live.run("10 ms")
    exact = ns.reference.backprop(live.network, live.X, live.Y)
    compared = ns.alignment(live.as_run(), exact)
    found = measures(live)
    assert found["cosine"] == pytest.approx(min(compared.cosine.values()))
    assert found["error"] == pytest.approx(max(compared.error.values()))
    modes = spectrum(live)()
    stable = ns.stability(live.network, live.flow, live.X, live.Y)
    np.testing.assert_array_equal(modes["re"], stable.eigenvalues.real)
    assert f"dt may be at most {1e3 * stable.max_step['euler']:.3g} ms" in modes["text"]


def test_controls_describe_every_number_or_the_key_that_stands_for_it() -> None:
    for name in ("deep", "events", "spikes", "tube", "basin"):
        sim = modelfile.load(name).simulation()
        numbers = open_model(name).live.numbers
        for control in controls_of(numbers, sim):
            assert control["low"] <= control["value"] <= control["high"], control
            assert control["text"]
            assert control["symbol"]


# --- starting and playing back


def test_explore_serves_until_it_is_stopped(capsys: pytest.CaptureFixture[str]) -> None:
    import httpx

    net, X, Y = random_problem([3, 4, 2], 1)
    page = explore(net, ns.Flow.augmented(), X, Y, browser=False, block=False)
    try:
        assert capsys.readouterr().out == page.url + "\n"
        assert page.url in page._repr_html_()
        assert httpx.get(page.url).status_code == 200
        with pytest.raises(ModelError, match=f"port = {page.port}.*allowed: a free port"):
            Explorer(_exploration(), page.port)
    finally:
        page.stop()
    with pytest.raises(httpx.HTTPError):
        httpx.get(page.url)


def test_a_saved_run_is_played_back(tmp_path: Path) -> None:
    net, X, Y = random_problem([3, 4, 2], 1)
    run = ns.Simulation(net, ns.Flow.augmented()).relax(
        X, Y, duration="30 ms", record=("x", "lam"), patterns=[2]
    )
    path = tmp_path / "run.nc"
    ns.save(run, path)
    playback = open_run(path)
    assert playback.describe()["playback"] is True
    for _ in range(40):
        playback.advance()
    _, times, values = unpacked(playback.frame("page", 0.0, -1)[0])
    assert run.traces is not None
    np.testing.assert_array_equal(times, run.traces.time)
    np.testing.assert_allclose(values["lam"], run.traces.lam[:, 0], atol=1e-6)
    assert _ask(playback, type="set", key="flow.rho", value=1)["type"] == "error"
    ns.save(ns.Simulation(net, ns.Flow.augmented()).relax(X, Y, duration="3 ms"), path)
    with pytest.raises(FileError, match="has no recorded x to play back"):
        open_run(path)
