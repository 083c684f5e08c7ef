"""The page of one clip: its frame; what is in it comes with its data."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from mreactor_runtime.view.frame import frame

SCRIPTS = (
    *("core.js", "face.js", "heads_webgl.js", "heads_canvas.js", "clock.js", "charts.js"),
    *("transcript.js", "listeners.js", "keys.js", "clip.js", "mesh.js"),
)
BODY = """
<a class="skip" href="#controls">Skip to the controls</a>
<header class="top">
<nav aria-label="Where this is"><a href="{root}index.html">All clips</a></nav>
<h1>{title}</h1>
<ul class="facts" id="facts"></ul>
<p class="mark-ai">{mark}</p>
</header>
<noscript><p class="failed">This page draws with JavaScript, which is switched off.</p></noscript>
<p id="trouble" class="failed" role="alert" hidden></p>
<main>
<section class="stage" id="stage" aria-label="The listeners">
<canvas id="heads" aria-hidden="true"></canvas>
<div id="speaker" class="speaker"></div>
<ol class="listeners" id="listeners"></ol>
</section>
<div class="controls" id="controls" role="group" aria-label="Playing" tabindex="-1"></div>
<p class="now" id="now"></p>
<div class="columns">
<section aria-labelledby="said-title"><h2 id="said-title">What is said</h2>
<div id="transcript" class="transcript" tabindex="0" aria-label="Transcript"></div></section>
<section aria-labelledby="curves-title"><h2 id="curves-title">Over time</h2>
<div id="curves" class="curves"></div></section>
</div>
<section aria-labelledby="heat-title"><h2 id="heat-title">All 25 channels</h2>
<p class="hint" id="heat-hint"></p><div id="heat" class="heat"></div></section>
<section id="notes" hidden><h2>Good to know</h2><ul id="note-list"></ul></section>
</main>
<dialog id="help" aria-labelledby="help-title"></dialog>
<p class="sr" id="told" role="status" aria-live="polite"></p>
"""


def clip_page(clip: str, mark: str) -> bytes:
    """The page of a clip by its id; its data are beside it, in `<clip>.js`.

    Args: mark: that the reactions are generated, and by what.
    """
    depth = clip.count("/") + 1
    root = "../" * depth
    data = quote(clip.rsplit("/", 1)[-1] + ".js")
    scripts = [f"{root}assets/{name}" for name in SCRIPTS]
    body = BODY.format(root=root, title=escape(clip), mark=escape(mark))
    return frame(f"{clip} - mreactor", root, [*scripts, data], body.strip())
