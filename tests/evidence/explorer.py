"""Figures of the explorer: frames, latency, memory, the Hopf point, start. Start at `ROWS`.

Those of the page need Playwright and Chromium, as `tests/explorer/browser.py` does.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

import neurosim as ns
from neurosim.experiments import modelfile
from neurosim.explorer.opening import open_model

LARGE = """
[network]
sizes = [784, 256, 10]
loss = "mse"
[flow]
preset = "augmented"
rho = 2
[simulation]
dt = "0.5 ms"
[data]
name = "random"
patterns = 4
features = 784
outputs = 10
"""
STEPS = 1_000_000
SPAN = 10  # s of counting frames


@contextmanager
def page_of(*arguments: str) -> Iterator[Any]:
    """Open the page of a command in headless Chromium."""
    from playwright.sync_api import sync_playwright

    from tests.explorer.browser import CHROMIUM, opened, start

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        process, url = start(*arguments)
        try:
            page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
            page.goto(url)
            opened(page)
            yield page
        finally:
            process.terminate()
            process.wait(10)
            browser.close()


def _frames_per_second(page: Any) -> float:
    """Count the frames drawn once every trace has 1000 points, 1/s.

    A kick every 150 ms keeps the traces moving, as flat ones are cheaper to draw.
    """
    from tests.explorer.browser import until

    page.evaluate("() => { explorer.shown = ['traces']; explorer.layOut(); }")
    until(page, "explorer.samples.count === 1000")
    page.evaluate("() => { setInterval(() => explorer.send({type: 'kick', x: 0.3}), 150); }")
    first = page.evaluate("[explorer.drawn, performance.now()]")
    page.wait_for_timeout(1000 * SPAN)
    last = page.evaluate("[explorer.drawn, performance.now()]")
    return float(1000 * (last[0] - first[0]) / (last[1] - first[1]))


def frames() -> str:
    """Frames per second of `deep`, and of 784-256-10 that learns."""
    load = os.getloadavg()[0]
    with page_of("deep") as page:
        small = _frames_per_second(page)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.toml"
        path.write_text(LARGE)
        with page_of(str(path)) as page:
            page.evaluate("explorer.send({type: 'plastic', on: true})")
            page.evaluate("explorer.send({type: 'speed', steps: 20})")
            large = _frames_per_second(page)
    return (
        f"deep, 192 traces of 1000 points: {small:.1f} frames/s; 784-256-10 learning, 532 traces: "
        f"{large:.1f} frames/s ({os.cpu_count()} cores, load average {load:.1f})"
    )


def latency() -> str:
    """Time from a slider's move to the first frame computed with the new value, median of 50."""
    script = """value => new Promise(done => {
        const slider = document.querySelector('[data-key="flow.rho"] input[type=range]');
        const began = performance.now();
        const own = explorer.frame.bind(explorer);
        const before = explorer.connection.number;
        explorer.connection.onFrame = frame => {
            own(frame);
            if (explorer.connection.number > before && frame.done > before) {
                explorer.connection.onFrame = own;
                done(performance.now() - began);
            }
        };
        slider.value = value;
        slider.dispatchEvent(new Event('input'));
    })"""
    with page_of("deep") as page:
        times = [page.evaluate(script, 200 + 10 * k) for k in range(50)]
    return f"median {median(times):.0f} ms, largest {max(times):.0f} ms, 50 moves of rho in deep"


def memory() -> str:
    """Growth of memory over 1e6 steps, and the distance of the state from that of a plain run."""
    spec = modelfile.load("xor")
    data = spec.data()
    sim = ns.Simulation(spec.network(), spec.flow(), backend="numpy")
    live = sim.live(data.X, data.Y)
    live.run("2 s")
    before = _resident()
    peak = before
    for _ in range(STEPS // 2000 - 1):
        live.run("2 s")
        peak = max(peak, _resident())
    run = sim.relax(data.X, data.Y, duration=STEPS * sim.dt)
    off = max(float(np.abs(live.x[n] - run.x[n]).max()) for n in run.x)
    grown = (peak - before) / 1e6
    return f"{live.steps} steps: {grown:.1f} MB more at most; off a plain run by {off:.1e}"


def _resident() -> int:
    """Return the resident memory of this process, bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def hopf() -> str:
    """Theta at which a live session begins to ring, beside the Hopf point of `continuation`."""
    spec = modelfile.load("basin")
    data = spec.data()
    # of the first pattern, which the tour shows
    branch = ns.continuation(
        spec.network(), spec.flow(), data.X[:1], data.Y[:1], over="flow.theta", start=1.2, stop=0.6
    )
    predicted = branch.hopf[0].parameter
    live = open_model("basin", {"start.x": 1e-4, "start.lam": 1e-4}).live
    low, high = 0.6, 1.2
    for _ in range(8):
        middle = (low + high) / 2
        live.reset()
        live.set("flow.theta", middle)
        live.run("3 s")
        sizes = []
        for _ in range(2):
            live.run("2 s")
            _, values = live.samples(live.time - 1)
            sizes.append(float(np.ptp(values["x"][:, 0], axis=0).max()))
        if sizes[1] > sizes[0]:
            low = middle
        else:
            high = middle
    found = (low + high) / 2
    off = abs(found / predicted - 1)
    return f"rings below theta = {found:.4f}; continuation: {predicted:.4f}; {off:.2%} apart"


def start_up() -> str:
    """Time from the command to the first frame that is drawn, with a warm cache."""
    from playwright.sync_api import sync_playwright

    from tests.explorer.browser import CHROMIUM, start, until

    times = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for _ in range(3):
            page = browser.new_page()
            began = time.perf_counter()
            process, url = start("deep")
            page.goto(url)
            until(page, "window.explorer !== undefined && explorer.drawn > 0")
            times.append(time.perf_counter() - began)
            page.close()
            process.terminate()
            process.wait(10)
        browser.close()
    load = os.getloadavg()[0]
    return f"{min(times):.1f} s at best of 3, {max(times):.1f} s at worst (load average {load:.1f})"


ROWS = {
    "explorer frames": frames,
    "explorer latency": latency,
    "explorer memory": memory,
    "explorer hopf": hopf,
    "explorer start": start_up,
}
