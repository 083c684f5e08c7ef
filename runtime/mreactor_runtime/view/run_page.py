"""The page of a run: its clips in a table that is searched, sorted and filtered."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from mreactor_ref.data.layout import VIEW_DATA
from mreactor_ref.files import shown_hash
from mreactor_runtime.provenance import MARK
from mreactor_runtime.run.manifest import DONE, FAILED, Line
from mreactor_runtime.view.clip_data import Shown
from mreactor_runtime.view.folder import RunFolder
from mreactor_runtime.view.frame import frame
from mreactor_runtime.view.script import call

CLIPS = "clips"  # folder of the clips' pages
UNREADABLE = "unreadable"  # status of a clip whose result is not what its run wrote
MOST_SUBJECTS = 3  # of a clip in its row
REMEDY = re.compile(r"(.*?) \((.*)\)", re.DOTALL)  # as `MReactorError` writes it
BODY = """
<header class="top"><h1 id="title">Reactions</h1><ul class="facts" id="facts"></ul>
<p class="mark-ai">{mark}</p></header>
<noscript><p class="failed">This page draws with JavaScript, which is switched off.</p></noscript>
<main>
<div id="notes"></div>
<form class="search" id="search" role="search" aria-label="Clips"></form>
<p id="count" role="status" aria-live="polite"></p>
<div class="scroll"><table class="clips" id="clips"></table></div>
<nav class="pages" id="pages" aria-label="Pages of the table"></nav>
</main>
"""


def run_page() -> bytes:
    """The page; its data are in `run_data.js`."""
    scripts = ("assets/core.js", "assets/run.js", VIEW_DATA)
    return frame("Reactions - mreactor", "", scripts, BODY.strip().format(mark=MARK))


def run_script(folder: RunFolder, rows: Sequence[dict[str, Any]], notes: Sequence[str]) -> bytes:
    """The data of the page."""
    record = folder.record
    facts = {name: record.get(name) for name in ("engine", "dtype", "started")}
    seconds = record.get("seconds")
    facts["seconds"] = seconds if isinstance(seconds, int | float) else None
    parts = {
        "model": ("model", "name"),
        "sha256": ("model", "sha256"),
        "device": ("device", "name"),
        "versions": ("versions", "mreactor"),
        "seed": ("arguments", "seed"),
    }
    for name, (section, part) in parts.items():
        value = record.get(section)
        facts[name] = value.get(part) if isinstance(value, dict) else None
    if isinstance(facts["sha256"], str):
        facts["sha256"] = shown_hash(facts["sha256"])
    title = folder.path.absolute().name
    return call("run", {"title": title, "facts": facts, "notes": [*notes], "rows": rows})


def shown_row(line: Line, shown: Shown) -> dict[str, Any]:
    """The row of a clip that has a page."""
    return {
        "id": line["id"],
        "page": f"{CLIPS}/{quote(line['id'])}.html",
        "status": DONE,
        "seconds": round(shown.seconds, 2),
        "reactions": shown.reactions,
        "streams": shown.streams,
        "subjects": shown.subjects[:MOST_SUBJECTS],
        "more": max(0, len(shown.subjects) - MOST_SUBJECTS),
        "frdiv": round(shown.frdiv, 5),
        "frvar": round(shown.frvar, 5),
        "notes": shown.notes,
    }


def failed_row(line: Line, status: str, error: str) -> dict[str, Any]:
    """The row of a clip without a page: what was wrong, and what to do about it."""
    match = REMEDY.fullmatch(error)
    problem, remedy = match.groups() if match else (error, "")
    return {"id": line["id"], "status": status, "problem": problem, "remedy": remedy}


def run_failed_row(line: Line) -> dict[str, Any]:
    """The row of a clip that the run itself failed."""
    return failed_row(line, FAILED, str(line.get("error") or "the run does not say why"))
