"""The frame of the interactive pages: one head for all, that lets nothing in from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files

from mreactor_runtime.report.page import STYLE

ASSETS = files("mreactor_runtime.view") / "assets"
STYLE_FILE = "view.css"
# Scripts, styles, sounds and pictures from files; nothing inline, no network. `file:` stands beside
# 'self', for browsers differ in whether a file's own origin is 'self'.
POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; "
    "media-src 'self' file:; img-src 'self' file: data:; connect-src 'none'; "
    "base-uri 'none'; form-action 'none'"
)


def frame(title: str, root: str, scripts: Sequence[str], body: str) -> bytes:
    """A whole page.

    Args:
        title: in words, escaped here.
        root: the address of the pages' folder, as seen from the page: "" or "../".
        scripts: addresses of its scripts in their order, escaped here.
        body: HTML.
    """
    tags = "".join(f'<script defer src="{escape(address)}"></script>\n' for address in scripts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width,initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{escape(title)}</title>\n"
        f'<link rel="icon" href="data:,">\n'
        f'<link rel="stylesheet" href="{root}assets/{STYLE_FILE}">\n{tags}</head>\n'
        f"<body>\n{body}\n</body>\n</html>\n"
    ).encode()


def style() -> bytes:
    """The style sheet: that of all reports, and what only these pages have."""
    return (STYLE + (ASSETS / STYLE_FILE).read_text(encoding="utf-8")).encode()


def asset_scripts() -> dict[str, bytes]:
    """The scripts of the pages, by name."""
    return {
        entry.name: entry.read_bytes() for entry in ASSETS.iterdir() if entry.name.endswith(".js")
    }
