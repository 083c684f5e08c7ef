"""Takes docs/view.png: the speaker and the listeners of a page that `mreactor-view` made.

    mreactor-infer --input examples/clips --report
    python scripts/view_picture.py reactions/view/clips/talk.html 4.2 [docs/view.png]

Needs playwright and Chromium (Debian's `chromium`).
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

SIZE = {"width": 1180, "height": 900}  # pixels


def main(page_file: str, seconds: str, path: str = "docs/view.png") -> None:
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--enable-unsafe-swiftshader"]
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        page = browser.new_page(viewport=SIZE)
        page.goto(f"{Path(page_file).absolute().as_uri()}#t={seconds}")
        page.wait_for_timeout(3000)  # the video finds its place, the heads are drawn
        page.locator("#stage").screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
