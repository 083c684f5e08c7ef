"""The pages in a real Chromium, opened from a file: they play, show what the data say, and ask for
nothing else."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.runs import waving, write_clip, write_run

from mreactor_ref.data.layout import VIEW_DATA
from mreactor_ref.features.action_units import unit_shapes
from mreactor_ref.signals import AU_SLICE
from mreactor_runtime.view.pages import write_view
from mreactor_runtime.view.script import call

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed"),
]
BAD = "x<img src=x onerror=alert(1)>"
FLAGS = (
    *("--no-sandbox", "--enable-unsafe-swiftshader"),
    *("--autoplay-policy=no-user-gesture-required", "--mute-audio"),
)
NO_WEBGL = "HTMLCanvasElement.prototype.getContext = (get => function (kind, ...rest) {\n" + (
    "return kind === 'webgl2' ? null : get.call(this, kind, ...rest) })"
    "(HTMLCanvasElement.prototype.getContext)"
)
Page = Any


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two clips that are done, one with a name that is HTML, and one that failed."""
    folder = tmp_path_factory.mktemp("run")
    for clip in ("a", BAD):
        write_clip(folder / "clips", clip, 4)
    write_run(
        folder / "out",
        {"a": waving(), BAD: waving(3, 50)},
        failed={"bad": f"{BAD}: cannot be read (<script>alert(2)</script>)"},
        source=folder / "clips",
        subject=BAD,
    )
    write_view(folder / "out")
    return folder / "out" / "view"


@pytest.fixture
def open_page(browser: Any) -> Iterator[Any]:
    """Opens a file in a page where nothing may go wrong, ask a network, or be alerted."""
    problems: list[str] = []
    opened: list[Page] = []

    def open_file(path: Path, hash: str = "", script: str = "", **options: Any) -> Page:
        page = browser.new_context(**options).new_page()
        opened.append(page)
        page.on("console", lambda m: m.type in ("error", "warning") and problems.append(m.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("requestfailed", lambda request: problems.append(f"failed: {request.url}"))
        page.on(
            "request",
            lambda r: r.url.startswith(("file:", "data:")) or problems.append(f"asked: {r.url}"),
        )
        page.add_init_script(script)
        page.goto(path.as_uri() + hash)
        until(page, "mreactor.page && (mreactor.readyAfter || !mreactor.given.clip)")
        return page

    yield open_file
    for page in opened:
        page.context.close()
    assert [text for text in problems if "GL Driver Message" not in text] == []


def until(page: Page, expression: str) -> None:
    """Wait for an expression; the page's policy keeps the waiting of playwright itself out."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(expression)


def wait_for_time(page: Page, seconds: float) -> None:
    until(page, f"Math.abs(mreactor.page.clock.time - {seconds}) < 0.03")


def test_heads_have_the_weights_that_the_data_say(open_page, pages):
    page = open_page(pages / "clips" / "a.html")
    with np.load(pages.parent / "a.npz") as file:
        attributes, coefficients = file["attributes"], file["coefficients"]
    for frame in (0, 31, 99):
        page.evaluate(f"mreactor.page.seek({(frame + 0.5) / 25})")
        wait_for_time(page, (frame + 0.5) / 25)
        page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(done)))")
        for k in (0, 7):
            shown = page.evaluate(
                f"(c => [[...c.weights], [...c.turn]])(mreactor.page.listeners.cells[{k}])"
            )
            wanted = unit_shapes(attributes[k, frame, AU_SLICE][None])[0]
            assert np.abs(np.array(shown[0]) - wanted).max() < 0.02
            assert np.abs(np.array(shown[1]) - coefficients[k, frame, 52:55]).max() < 0.01


def test_it_plays_in_step_with_the_sound(open_page, pages):
    page = open_page(pages / "clips" / "a.html")
    assert page.evaluate("!!mreactor.page.clock.media")
    page.click("button[aria-label=Play]")
    until(page, "mreactor.page.clock.time > 1.2")
    until(page, "document.querySelector('.utterance.said .spoken')")
    assert page.evaluate("mreactor.page.clock.playing && mreactor.page.clock.media.currentTime > 1")
    page.click("button[aria-label=Pause]")
    until(page, "!mreactor.page.clock.playing")


def test_the_picture_changes_with_time(open_page, pages):
    page = open_page(pages / "clips" / "a.html")
    shots: list[bytes] = []
    for seconds in (0.1, 2.0):
        page.evaluate(f"mreactor.page.seek({seconds})")
        wait_for_time(page, seconds)
        page.wait_for_timeout(500)
        shots.append(page.locator(".face").first.screenshot())
    assert shots[0] != shots[1]
    assert min(map(len, shots)) > 5000  # a head, and not an empty wall


def test_keys(open_page, pages):
    page = open_page(pages / "clips" / "a.html")
    page.keyboard.press("ArrowRight")
    wait_for_time(page, 1)
    page.keyboard.press(".")
    wait_for_time(page, 1.06)
    page.keyboard.press("End")
    wait_for_time(page, 4)
    page.keyboard.press("Home")
    wait_for_time(page, 0)
    page.keyboard.press("3")
    page.keyboard.press("p")
    page.keyboard.press("n")
    page.keyboard.press("p")
    page.keyboard.press("[")
    state = page.evaluate("({...mreactor.page.state, speed: mreactor.page.clock.speed})")
    assert (state["chosen"], state["pins"], state["speed"]) == (3, [2, 3], 0.75)
    assert page.locator(".pinned").count() == 2
    assert page.text_content("[role=status]") == "Speed 0.75"
    page.keyboard.press("Space")
    until(page, "mreactor.page.clock.playing")
    page.keyboard.press("Space")
    page.keyboard.press("?")
    assert page.is_visible("dialog[open]")


def test_a_link_keeps_time_and_choice(open_page, pages):
    page = open_page(pages / "clips" / "a.html")
    page.evaluate("mreactor.page.seek(2.5)")
    page.click("text=AU4")
    page.click("[aria-label='Pin listener 6']")
    page.click("text=Listener 5")
    until(page, "location.hash.includes('t=2.5')")
    hash = page.evaluate("location.hash")
    page = open_page(pages / "clips" / "a.html", hash)
    wait_for_time(page, 2.5)
    state = page.evaluate("mreactor.page.state")
    assert state == {"chosen": 4, "pins": [5], "channels": ["AU12", "valence", "AU4"]}
    assert page.locator("figure").count() == 3


def test_search_sort_and_filter(open_page, pages):
    page = open_page(pages / "index.html")
    rows = page.locator("tbody tr")
    assert rows.count() == 3
    page.click("th button:text('Length')")
    assert rows.nth(0).locator("th").text_content() == BAD
    assert page.get_attribute("th:has-text('Length')", "aria-sort") == "ascending"
    page.keyboard.press("/")
    page.keyboard.type("cannot be read")
    assert rows.count() == 1
    assert page.locator(".remedy").text_content() == "<script>alert(2)</script>"
    page.fill("[type=search]", "")
    page.select_option("select", "done")
    assert rows.count() == 2
    page.click(f"a:text-is('{BAD}')")
    page.wait_for_url("**/clips/*.html", wait_until="load")
    until(page, "mreactor.page?.clip")
    assert page.evaluate("mreactor.page.clip.reactions") == 3
    assert page.text_content("h1") == BAD


def test_five_thousand_clips_are_there_in_two_seconds(browser, pages, tmp_path):
    shutil.copytree(pages, tmp_path / "view")
    data = tmp_path / "view" / VIEW_DATA
    run = json.loads(data.read_text().removeprefix("mreactor.run(").rstrip().removesuffix(");"))
    row = next(row for row in run["rows"] if row["status"] == "done")
    run["rows"] = [row | {"id": f"session/{i:04}"} for i in range(5000)]
    data.write_bytes(call("run", run))
    page = browser.new_page()
    page.goto((tmp_path / "view" / "index.html").as_uri(), wait_until="load")
    assert "5000" in page.text_content("body")
    timing = "performance.timing.loadEventEnd - performance.timing.navigationStart"
    assert page.evaluate(timing) < 2000
    page.fill("[type=search]", "4999")
    assert page.locator("tbody tr").count() == 1
    page.close()


def test_a_clip_of_ten_minutes_opens_and_plays_from_its_end(open_page, tmp_path):
    minutes = 10
    write_run(tmp_path / "out", {"long": waving(10, minutes * 60 * 25)})
    write_view(tmp_path / "out")
    page = open_page(tmp_path / "out" / "view" / "clips" / "long.html")
    page.evaluate(f"mreactor.page.seek({minutes * 60 - 2})")
    wait_for_time(page, minutes * 60 - 2)
    page.keyboard.press("Space")
    until(page, f"mreactor.page.clock.time > {minutes * 60 - 1.5}")
    assert page.evaluate("mreactor.page.clip.reactions") == 10


def test_a_sound_that_is_gone_is_said_and_the_heads_still_move(browser, pages, tmp_path):
    shutil.copytree(pages, tmp_path / "view")
    page = browser.new_page()
    page.goto((tmp_path / "view" / "clips" / "a.html").as_uri())
    page.wait_for_selector("#trouble:not([hidden])")
    assert "silent clock" in page.text_content("#trouble")
    page.keyboard.press("Space")
    until(page, "mreactor.page.clock.time > 0.3")
    page.close()


def test_without_webgl_heads_are_drawn_simply(open_page, pages):
    page = open_page(pages / "clips" / "a.html", script=NO_WEBGL)
    assert page.evaluate("mreactor.page.plain")
    assert "no WebGL 2" in page.text_content("#note-list")
    assert len(page.locator(".face").first.screenshot()) > 5000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_runs_over_the_side(open_page, pages, scheme, width):
    for path in (pages / "index.html", pages / "clips" / "a.html"):
        page = open_page(path, color_scheme=scheme, viewport={"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_every_button_and_field_has_a_name(open_page, pages):
    for path in (pages / "index.html", pages / "clips" / "a.html"):
        page = open_page(path)
        nameless = page.evaluate(
            "[...document.querySelectorAll('button, input, select, canvas[role], audio')].filter("
            "e => !(e.getAttribute('aria-label') || e.textContent.trim())).length"
        )
        assert nameless == 0
        assert page.evaluate("document.documentElement.lang && document.title") != ""
