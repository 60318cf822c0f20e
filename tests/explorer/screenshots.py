"""Take screenshots of every view: ``python -m tests.explorer.screenshots FOLDER``.

Light and dark, 1280 x 800 and 1920 x 1080; it needs what `tests/explorer/browser.py` needs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.explorer.browser import CHROMIUM, opened, start, until

SIZES = ((1280, 800), (1920, 1080))
# name, model or tour, views, command sent after 3 s
SCENES = (
    ("deep", "deep", ("traces", "spectrum", "phase", "network"), {"type": "kick", "x": 0.3}),
    ("xor", "tour:xor", ("traces", "fit", "network", "maps"), {"type": "plastic", "on": True}),
    ("events", "tour:events", ("traces", "raster", "network", "maps"), {"type": "kick", "x": 0.2}),
    ("basins", "tour:basins", ("traces", "phase"), {"type": "kick", "x": 1.0, "lam": 1.0}),
)


def main() -> None:
    """Take all screenshots, or those of the scenes that are named."""
    parser = argparse.ArgumentParser("python -m tests.explorer.screenshots")
    parser.add_argument("folder", type=Path)
    parser.add_argument("scenes", nargs="*")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    process, url = start("deep")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(url)
        opened(page)
        for name, source, views, command in SCENES:
            if asked.scenes and name not in asked.scenes:
                continue
            kind, _, tour = source.partition(":")
            opening = {"type": "open", "tour": tour} if tour else {"type": "open", "model": kind}
            epoch = page.evaluate("explorer.epoch")
            page.evaluate("command => explorer.send(command)", opening)
            until(page, f"explorer.epoch > {epoch} && explorer.samples.count > 3")
            page.evaluate("v => { explorer.shown = v; explorer.layOut(); }", list(views))
            page.evaluate("explorer.send({ type: 'speed', steps: 20 })")
            page.wait_for_timeout(2500)
            page.evaluate("command => explorer.send(command)", command)
            page.wait_for_timeout(4500)
            again = command["type"] == "kick"
            for width, height in SIZES:
                page.set_viewport_size({"width": width, "height": height})
                for theme in ("light", "dark"):
                    if page.evaluate("document.documentElement.dataset.theme") != theme:
                        page.click("#theme")
                    page.wait_for_timeout(1200)
                    if again:  # what it moves has left the window
                        page.evaluate("command => explorer.send(command)", command)
                        page.wait_for_timeout(300)
                    page.screenshot(path=asked.folder / f"{name}-{theme}-{width}.png")
        browser.close()
    process.terminate()


if __name__ == "__main__":
    main()
