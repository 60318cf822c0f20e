"""The explorer in a real browser: every control, view and download, tours, divergence, reload.

It needs Playwright and Chromium, and is not collected by default; the integration installs them and
runs ``python -m pytest tests/explorer/browser.py``. ``CHROMIUM`` names the browser.
"""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import neurosim as ns
from neurosim.experiments import modelfile

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
VIEWS = ("traces", "spectrum", "phase", "fit", "network", "maps", "raster")
PATIENCE = 15_000  # ms


def start(*arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start the command, and return its process and its URL."""
    command = "from neurosim.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "explore", *arguments, "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    process, found = start("xor")
    yield found
    process.terminate()
    process.wait(10)


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    found = context.new_page()
    errors: list[str] = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("request", partial(_own, errors, url.split("/?", maxsplit=1)[0]))
    found.goto(url)
    opened(found)
    yield found
    assert errors == []
    context.close()


def _own(errors: list[str], base: str, request: Any) -> None:
    if not request.url.startswith((base, base.replace("http", "ws"), "data:", "blob:")):
        errors.append(f"a request to {request.url}")


def opened(page: Any) -> None:
    """Wait until a page has drawn some frames."""
    until(page, "window.explorer !== undefined && explorer.drawn > 2")


def until(page: Any, condition: str) -> None:
    """Wait until a condition in JavaScript holds.

    Playwright's own function needs eval, which the page's policy forbids.
    """
    for _ in range(PATIENCE // 50):
        if page.evaluate(f"Boolean({condition})"):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{condition} did not come true in {PATIENCE} ms")


def command(page: Any, **given: Any) -> None:
    """Send a command, and wait until a frame says that it is done."""
    number = page.evaluate("command => explorer.send(command)", given)
    until(page, f"explorer.done >= {number}")


def open_model(page: Any, name: str) -> None:
    epoch = page.evaluate("explorer.epoch")
    page.select_option("#model", name)  # opens it anew, also where it is the present one
    until(page, f"explorer.epoch > {epoch} && explorer.samples.count > 3")
    assert page.evaluate("explorer.model.name") == name


def close_dialog(page: Any) -> None:
    """Press Escape, and wait until the page takes keys again."""
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('dialog[open]')")


def show_views(page: Any, *names: str) -> None:
    page.evaluate("names => { explorer.shown = names; explorer.layOut(); }", list(names))


def test_every_control_sets_its_number_and_refuses_others(page: Any) -> None:
    for model in ("deep", "events"):
        open_model(page, model)
        page.evaluate("for (const d of document.querySelectorAll('details')) d.open = true")
        for control in page.evaluate("explorer.model.controls"):
            key = control["key"]
            row = page.locator(f'.control[data-key="{key}"]')
            number = page.evaluate("explorer.connection.number")
            value = f"explorer.model.controls.find(own => own.key === {key!r}).value"
            before = page.evaluate(value)
            row.locator("input[type=range]").evaluate(
                "own => { own.value = 300; own.dispatchEvent(new Event('input')); }"
            )
            until(page, f"explorer.connection.number > {number}")
            error = f"document.querySelector('[data-key=\"{key}\"] .error').textContent"
            until(page, f"{value} !== {before} || {error}")
            now = page.evaluate(value)
            text = row.locator("input[type=text]")
            text.fill("alert(1)")
            text.press("Enter")
            until(page, f"{error}.includes('alert(1)')")
            assert page.evaluate(value) == now, key
        command(page, type="reset")


def read_png(content: bytes) -> None:
    image = Image.open(io.BytesIO(content)).convert("RGB")
    assert min(image.size) > 100
    colours = image.resize((64, 64)).getcolors(4096)
    assert colours is not None
    assert len(colours) > 3, "an empty picture"


def read_svg(content: bytes) -> None:
    root = ET.fromstring(content)
    assert root.tag.endswith("svg")
    assert len(list(root.iter())) > 1


def read_csv(content: bytes) -> None:
    rows = list(csv.reader(io.StringIO(content.decode())))
    assert len(rows) > 1
    assert len(rows[1]) >= 2


READERS: dict[str, Callable[[bytes], None]] = {"PNG": read_png, "SVG": read_svg, "CSV": read_csv}


def test_every_view_and_every_download(page: Any) -> None:
    open_model(page, "events")
    for name in VIEWS:
        show_views(page, name)
        page.wait_for_timeout(600)
        card = page.locator(f'.view[data-view="{name}"]')
        assert card.bounding_box()["height"] > 300
        for kind, read in READERS.items():
            with page.expect_download() as download:
                card.get_by_role("button", name=f"as {kind}").click()
            read(Path(download.value.path()).read_bytes())
    with page.expect_download() as download:
        page.click("#netcdf")
    path = Path(download.value.path()).with_suffix(".nc")
    shutil.copy(download.value.path(), path)
    run = ns.load(path)
    assert isinstance(run, ns.Run)
    assert run.traces is not None


def test_views_are_shown_moved_and_hidden(page: Any) -> None:
    show_views(page, "traces", "fit")
    page.get_by_role("button", name="Network", exact=True).click()
    page.get_by_role("button", name="Move Network forward").click()
    assert page.evaluate("explorer.shown") == ["traces", "network", "fit"]
    page.get_by_role("button", name="Hide Traces").click()
    assert page.locator(".view").count() == 2


def test_a_session_as_python_and_as_a_model_file(page: Any) -> None:
    open_model(page, "deep")
    page.fill('.control[data-key="flow.rho"] input[type=text]', "5")
    page.press('.control[data-key="flow.rho"] input[type=text]', "Enter")
    until(page, "explorer.model.journal.join().includes('flow.rho')")
    page.click("#reset")
    page.click("#kick")
    page.click("#script")
    page.wait_for_selector("#text-dialog[open]")
    names: dict[str, Any] = {}
    exec(page.inner_text("#text-body"), names)
    assert names["live"].flow.rho == 5
    close_dialog(page)
    page.click("#model-file")
    page.wait_for_selector("#text-dialog[open]")
    assert modelfile.loads(page.inner_text("#text-body")).flow().rho == 5
    close_dialog(page)


def test_each_tour_is_walked(page: Any) -> None:
    for tour in page.evaluate("explorer.model.tours"):
        epoch = page.evaluate("explorer.epoch")
        page.select_option("#tour", tour["name"])
        until(page, f"explorer.epoch > {epoch} && explorer.samples.count > 3")
        assert page.evaluate("explorer.model.tour") == tour["name"]
        assert page.inner_text("#guide-title") == tour["title"]
        assert page.evaluate("explorer.shown") == tour["views"]
        for button in page.locator("#guide-steps button").all():
            button.click()
            page.wait_for_timeout(120)
        assert page.inner_text("#error-action") == ""
    page.click("#guide-close")
    assert page.locator("#guide").is_hidden()


def test_a_divergence_pauses_and_offers_to_go_back(page: Any) -> None:
    open_model(page, "xor")
    until(page, "explorer.samples.times[explorer.samples.count - 1] > 0.05")
    command(page, type="set", key="flow.tau_x", value=1e-4)
    page.wait_for_selector("#notice:not([hidden])", timeout=PATIENCE)
    assert "diverged at t = " in page.inner_text("#notice-text")
    page.click("#notice-back")
    page.wait_for_selector("#notice", state="hidden", timeout=PATIENCE)
    assert page.evaluate("explorer.model.controls.find(c => c.key === 'flow.tau_x').value") == 0.01


def test_units_keys_and_playback(page: Any) -> None:
    open_model(page, "xor")
    show_views(page, "network", "traces")
    page.locator('.view[data-view="network"] canvas').focus()
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#unit-name") == "hidden1[0]"
    page.click("#clamp")
    until(page, "explorer.model.held.hidden1?.[0] === 0")
    page.click("#release")
    until(page, "!explorer.model.held.hidden1")
    page.locator("#stage").click(position={"x": 900, "y": 20})
    page.keyboard.press("Space")
    until(page, "!explorer.playing")
    step = int(page.inner_text("#frame-note").split()[1])
    page.keyboard.press(".")
    until(page, f"document.querySelector('#frame-note').textContent.includes('step {step + 1} ')")
    page.keyboard.press("l")
    until(page, "explorer.model.plastic")
    page.keyboard.press("k")
    until(page, "explorer.model.journal.at(-1)?.startsWith('kick')")
    page.keyboard.press("r")
    until(page, "explorer.samples.count <= 1")
    page.keyboard.press("?")
    page.wait_for_selector("#keys[open]")
    close_dialog(page)
    page.keyboard.press("Space")
    until(page, "explorer.playing")
    page.click("#keep")
    assert page.evaluate("explorer.reference.count") >= 0


def test_a_click_in_the_phase_plane_starts_there(page: Any) -> None:
    open_model(page, "xor")
    show_views(page, "phase")
    until(page, "explorer.views.get('phase').found")
    page.locator('.view[data-view="phase"] canvas').click(position={"x": 300, "y": 200})
    until(page, "explorer.model.journal.at(-1)?.startsWith('place')")


def test_a_reload_a_link_and_a_second_tab(page: Any, url: str) -> None:
    open_model(page, "deep")
    command(page, type="set", key="flow.rho", value=6.5)
    page.reload()
    opened(page)
    rho = "explorer.model.controls.find(c => c.key === 'flow.rho').value"
    assert page.evaluate(rho) == 6.5
    assert page.evaluate("explorer.samples.count") > 5
    other = page.context.new_page()
    other.goto(url)
    opened(other)
    command(other, type="set", key="flow.rho", value=7)
    until(page, f"{rho} === 7")
    other.close()
    page.click("#link")
    until(page, "location.hash.length > 10")
    link = page.url
    command(page, type="set", key="flow.rho", value=2)
    third = page.context.new_page()
    third.goto(link)
    opened(third)
    until(third, f"{rho} === 7")
    third.close()


class _Foreign(BaseHTTPRequestHandler):
    """A page of another origin."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<title>foreign</title>")

    def log_message(self, *given: Any) -> None:
        pass


def test_a_foreign_page_gets_nothing(browser: Any, url: str) -> None:
    server = HTTPServer(("127.0.0.1", 0), _Foreign)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page = browser.new_page()
    page.goto(f"http://127.0.0.1:{server.server_port}/")
    socket = url.replace("http", "ws").replace("/?", "/socket?")
    outcome = page.evaluate(
        """url => new Promise(done => {
            const socket = new WebSocket(url);
            socket.onmessage = () => done("message");
            socket.onclose = () => done("closed");
        })""",
        socket,
    )
    assert outcome == "closed"
    answer = page.evaluate("url => fetch(url).then(r => r.status, () => 'refused')", url)
    assert answer in ("refused", 403)
    page.close()
    server.shutdown()


def test_everything_has_a_name_and_nothing_is_cut_off(page: Any) -> None:
    for width, height in ((1280, 800), (1920, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        for theme in ("light", "dark"):
            page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
            show_views(page, *VIEWS[:4])
            page.wait_for_timeout(200)
            nameless = page.evaluate(
                """() => [...document.querySelectorAll("button, input, select, canvas.own")]
                .filter(own => own.offsetParent && !(own.textContent.trim()
                || own.getAttribute("aria-label") || own.closest("label")?.textContent.trim()))
                .map(own => own.outerHTML.slice(0, 80))"""
            )
            assert nameless == []
            cut = page.evaluate(
                """() => [...document.querySelectorAll("#bar button, #bar output, .view")]
                .filter(own => own.offsetParent).map(own => own.getBoundingClientRect())
                .filter(box => box.right > innerWidth + 1 || box.left < 0).length"""
            )
            assert cut == 0
            assert page.evaluate("document.documentElement.scrollWidth") <= width
