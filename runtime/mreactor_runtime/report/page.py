"""The one look of the HTML pages: frame, sections, tables, lists and drawings.

A page is one file that needs no other, for light and dark screens, wide and narrow ones. Text is
escaped here; `parts` are HTML that these functions have made.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape

SERIES = 10  # colours of curves; the next one is the first again
STYLE = """
:root{color-scheme:light dark;--paper:#fff;--ink:#222;--faint:#ddd;--code:#e8eef6;--failed:#fbe3d6;
--bar:#3b528b;--dot:#0f766e;--mark:#c2500a;--series0:#440154;--series1:#2563ad;--series2:#0f8a80;
--series3:#7a8b00;--series4:#c2500a;--series5:#6b6b6b;
--series6:#b3286e;--series7:#8a5a2b;--series8:#1e7a34;--series9:#7b6fd0}
@media (prefers-color-scheme:dark){:root{--paper:#16181d;--ink:#e4e6ea;--faint:#3a3f48;
--code:#262c36;--failed:#5c2b1a;--bar:#8ea6e6;--dot:#5fd0c0;--mark:#ff9b57;--series0:#c9a0f5;
--series1:#75aef2;--series2:#4fcabd;--series3:#c8d651;--series4:#ff9b57;--series5:#b4b4b4;
--series6:#f28bbd;--series7:#d0a277;--series8:#7fd28f;--series9:#aaa4f5}}
body{font:15px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper);
margin:2rem auto;max-width:72rem;padding:0 1rem;overflow-wrap:anywhere}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem}
p,ul,dl{max-width:50rem}dt{font-weight:bold}dd{margin:0 0 .6rem 1.2rem}ul{padding-left:1.4rem}
code{background:var(--code);padding:.1rem .3rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13px;font-variant-numeric:tabular-nums}
th,td{padding:.15rem .45rem;text-align:right;border-bottom:1px solid var(--faint);
white-space:nowrap}.words{text-align:left}
.failed{background:var(--failed);font-weight:bold}p.failed{padding:.15rem .5rem}
.legend{list-style:none;padding:0 0 0 1.2em;text-indent:-1.2em}
.scroll>svg{display:block;max-width:100%;min-width:44rem;height:auto}
.plot text{font:11px system-ui,sans-serif;fill:var(--ink)}
.plot polyline{fill:none;stroke:currentColor;stroke-width:1.5}
.grid{stroke:var(--faint)}.bound{stroke:var(--ink);stroke-dasharray:5 4}
.mark{stroke:var(--mark);stroke-width:2}
.bar{fill:var(--bar);fill-opacity:.35}.dot{fill:var(--dot);fill-opacity:.7}
""" + "".join(f".series{i}{{color:var(--series{i})}}" for i in range(SERIES))


def document(title: str, *parts: str) -> str:
    """A whole page, with its title as the heading."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>mreactor: {escape(title)}</title><style>{STYLE}</style></head>"
        f"<body>{_tag('h1', escape(title))}{''.join(parts)}</body></html>\n"
    )


def section(title: str, *parts: str, level: int = 2) -> str:
    """A heading and the text under it."""
    return _tag(f"h{level}", escape(title)) + "".join(parts)


def paragraph(text: str, failed: bool = False) -> str:
    """A paragraph; what stands between backticks is code."""
    return _tag("p", _prose(text), "failed" if failed else "")


def reproduce(command: str) -> str:
    """The line that makes the page's figures again."""
    return f"<p>Reproduce: <code>{escape(command)}</code></p>"


def bullets(lines: Iterable[str]) -> str:
    """A list; nothing where there are no lines."""
    items = "".join(_tag("li", _prose(line)) for line in lines)
    return items and _tag("ul", items)


def terms(texts: Mapping[str, str]) -> str:
    """A list of words with their meanings."""
    pairs = (_tag("dt", escape(name)) + _tag("dd", _prose(text)) for name, text in texts.items())
    return _tag("dl", "".join(pairs))


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: Collection[int] = (0,),
    failed: Collection[int] = (),
) -> str:
    """A table that scrolls within itself where the screen is narrow.

    Args:
        words: columns of words, which stand to the left; numbers to the right.
        failed: rows to be seen at once.
    """

    def cells(tag: str, texts: Sequence[str]) -> str:
        return "".join(
            _tag(tag, escape(text), "words" if i in words else "") for i, text in enumerate(texts)
        )

    body = (
        _tag("tr", cells("td", row), "failed" if i in failed else "") for i, row in enumerate(rows)
    )
    head = _tag("thead", _tag("tr", cells("th", columns)))
    return _scroll(_tag("table", head + _tag("tbody", "".join(body))))


def legend(names: Iterable[str]) -> str:
    """The names of curves, each with the colour of its `series`."""
    items = (
        _tag("li", f"{_tag('span', '&#9632;', series(i))} {escape(name)}")
        for i, name in enumerate(names)
    )
    return _tag("ul", "".join(items), "legend")


def series(number: int) -> str:
    """The class of a curve of a drawing."""
    return f"series{number % SERIES}"


def svg(width: int, height: int, label: str, *parts: str) -> str:
    """A drawing in the page's own colours, with what it shows in words."""
    return _scroll(
        f'<svg class="plot" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(label)}">{"".join(parts)}</svg>'
    )


def svg_text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    """Text in a drawing; anchor: start, middle or end."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def svg_line(x: tuple[float, float], y: tuple[float, float], kind: str, title: str = "") -> str:
    """A line from (x[0], y[0]) to (x[1], y[1]); kind: grid, bound or mark."""
    ends = f'x1="{x[0]:.1f}" x2="{x[1]:.1f}" y1="{y[0]:.1f}" y2="{y[1]:.1f}"'
    return f'<line class="{kind}" {ends}>{title and _tag("title", escape(title))}</line>'


def svg_curve(points: Iterable[tuple[float, float]], kind: str, title: str) -> str:
    """A line through points (x, y); kind: of `series`."""
    places = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="{kind}" points="{places}">{_tag("title", escape(title))}</polyline>'


def picture(drawn: str) -> str:
    """A drawing of another program, an SVG file in colours of its own."""
    return _scroll(drawn[drawn.index("<svg") :])


def _prose(text: str) -> str:
    return re.sub("`([^`]+)`", r"<code>\1</code>", escape(text))


def _scroll(inside: str) -> str:
    return f'<div class="scroll">{inside}</div>'


def _tag(name: str, inside: str, kind: str = "") -> str:
    return f'<{name} class="{kind}">{inside}</{name}>' if kind else f"<{name}>{inside}</{name}>"
