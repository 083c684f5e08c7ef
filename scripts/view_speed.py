"""Measures a page that `mreactor-view` made, in Chromium without a graphics card.

    python scripts/view_speed.py reactions/view/clips/talk.html
    python scripts/view_speed.py reactions/view/index.html

Says when the page could be used, how large its files are, and, of a clip's page, how many frames a
second its heads had while it played, and on how many cores. Needs playwright and Chromium (Debian's
`chromium`).
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

FLAGS = ("--no-sandbox", "--enable-unsafe-swiftshader", "--mute-audio")
SIZE = {"width": 1280, "height": 900}  # pixels
SECONDS = 6  # of playing
PLAY = f"""new Promise(done => {{
  let frames = 0; const start = performance.now(); mreactor.page.clock.play();
  const count = () => {{ frames++; const spent = performance.now() - start;
    spent < {1000 * SECONDS} ? requestAnimationFrame(count) : done(1000 * frames / spent); }};
  requestAnimationFrame(count); }})"""
READY = (
    "mreactor.readyAfter ?? performance.timing.loadEventEnd - performance.timing.navigationStart"
)


def processor_seconds() -> float:
    """Spent by every process below this one."""
    children: dict[int, list[int]] = {}
    spent: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rsplit(") ", 1)[1].split()
        except OSError:  # it has ended
            continue
        children.setdefault(int(fields[1]), []).append(int(folder.name))
        spent[int(folder.name)] = int(fields[11]) + int(fields[12])
    total, todo = 0, list(children.get(os.getpid(), []))
    while todo:
        process = todo.pop()
        total += spent[process]
        todo += children.get(process, [])
    return total / os.sysconf("SC_CLK_TCK")


def main(path: str) -> None:
    with sync_playwright() as playwright:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=[*FLAGS])
        page = browser.new_page(viewport=SIZE)
        files: set[str] = set()
        page.on("request", lambda request: files.add(request.url))
        ready: list[float] = []
        for _ in range(5):
            page.goto(Path(path).absolute().as_uri())
            page.wait_for_timeout(1500)
            ready.append(page.evaluate(READY))
        sizes = [
            Path(page.evaluate("u => decodeURI(new URL(u).pathname)", url)).stat().st_size
            for url in files
            if url.startswith("file:")
        ]
        print(f"load: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
        print(f"ready after {statistics.median(ready):.0f} ms (median of {len(ready)})")
        print(f"{len(sizes)} files, {sum(sizes) / 1e6:.2f} MB with the sound")
        if page.evaluate("!!mreactor.given.clip"):
            before = processor_seconds()
            rate = page.evaluate(PLAY)
            spent = (processor_seconds() - before) / SECONDS
            scale = page.evaluate("mreactor.page.scale")
            print(f"{rate:.1f} frames a second at {scale:.2f} of the pixels, on {spent:.2f} cores")
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
