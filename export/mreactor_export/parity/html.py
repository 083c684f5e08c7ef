"""The report as a page: one file that needs no other, with the error over the steps as curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from mreactor_export.parity.figures import Curve, Figure, Report, rows
from mreactor_runtime.run.outputs import write_whole

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 760, 300, 60, 36, 12  # of a plot, pixels
COLOURS = ("#440154", "#3b528b", "#21918c", "#5ec962", "#d55e00", "#4d4d4d")
LEAST, MOST = 1e-9, 1e2  # of what a plot shows: no error at all has no logarithm
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;color:#222;margin:2rem auto;max-width:60rem;padding:0 1rem}
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}
table{border-collapse:collapse;font-size:13px;width:100%}
th,td{padding:.15rem .5rem;text-align:right;border-bottom:1px solid #ddd;white-space:nowrap}
th:first-child,td:first-child{text-align:left}
.failed{background:#fbe3d6;font-weight:bold}
code{background:#e8eef6;padding:.1rem .3rem}
.scroll{overflow-x:auto}svg{max-width:100%;height:auto}svg text{font:11px system-ui,sans-serif}
"""


def write_html(report: Report, path: Path) -> None:
    """Write the report as a page, whole or not at all. Raises: OSError."""
    write_whole(Path(path), page(report).encode())


def page(report: Report) -> str:
    """The page's text: the verdict, a row for each thing, the curves, then every figure."""
    failed = len(report.failed)
    verdict = (
        f"All {len(report.figures)} figures are within their bounds."
        if not failed
        else f"{failed} of {len(report.figures)} figures FAILED."
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    scope = "the whole product of cases" if report.thorough else "the cases of an export"
    plots = "".join(_plots(report.curves))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>mreactor: parity</title><style>{STYLE}</style></head><body>"
        f"<h1>Parity with the PyTorch reference, {escape(report.dtype)}</h1>"
        f'<p class="{"failed" if failed else "passed"}">{verdict}</p>'
        f"<p>Engines: {escape(', '.join(report.engines))}; {scope}. "
        f"Reproduce: <code>{escape(report.command)}</code></p><ul>{notes}</ul>"
        "<p>Relative errors are L2 of the difference over L2 of what is expected. Sizes are "
        "clips x reactions x frames.</p>"
        f"<h2>The worst of each</h2>{_worst(report)}"
        f"<h2>Error over the steps of each trajectory</h2>{plots}"
        f"<h2>Every figure</h2>{_figures(report.figures)}</body></html>\n"
    )


def _worst(report: Report) -> str:
    lines = [
        _row(
            (row.engine, row.name, str(len(row.figures)), *_cells(row.worst)), not row.worst.passed
        )
        for row in rows(report)
    ]
    head = ("engine", "what", "figures", *CELLS)
    return _table(head, lines)


def _figures(figures: Iterable[Figure]) -> str:
    lines = [
        _row((figure.engine, figure.check, figure.what, *_cells(figure)), not figure.passed)
        for figure in figures
    ]
    return _table(("engine", "check", "what", *CELLS), lines)


CELLS = ("size", "guidance", "features", "against", "largest", "relative", "bound", "")


def _cells(figure: Figure) -> tuple[str, ...]:
    """What both tables say of a figure; where it was held against two, both errors."""
    errors = figure.errors.values()
    return (
        figure.size,
        "" if figure.guidance is None else f"{figure.guidance:g}",
        figure.features,
        ", ".join(figure.errors),
        ", ".join(f"{error.maximum:.1e}" for error in errors),
        ", ".join(f"{error.relative:.1e}" for error in errors),
        f"{figure.bound:.0e}",
        str(figure.fault) if figure.fault else "ok" if figure.passed else "FAILED",
    )


def _table(head: Sequence[str], lines: Iterable[str]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    return (
        f'<div class="scroll"><table><thead><tr>{cells}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def _row(cells: Iterable[str], failed: bool) -> str:
    inside = "".join(f"<td>{escape(cell)}</td>" for cell in cells)
    return f'<tr class="failed">{inside}</tr>' if failed else f"<tr>{inside}</tr>"


def _plots(curves: Sequence[Curve]) -> Iterable[str]:
    """A plot for each engine and number of steps."""
    held: dict[tuple[str, int], list[Curve]] = {}
    for curve in curves:
        held.setdefault((curve.about.engine, len(curve.errors)), []).append(curve)
    for (engine, steps), some in held.items():
        yield f"<h3>{escape(engine)}, {steps} steps</h3>{plot(some)}"


def plot(curves: Sequence[Curve]) -> str:
    """Relative errors of the clean samples, a line a trajectory, logarithmic, as SVG."""
    shown = [min(max(e, LEAST), MOST) for c in curves for e in c.errors if math.isfinite(e)]
    bound = max(curve.bound for curve in curves)
    low = math.floor(math.log10(min(*shown, bound))) if shown else -9
    high = math.ceil(math.log10(max(*shown, bound)) + 0.01) if shown else 2
    steps = max(len(curve.errors) for curve in curves)

    def across(step: int) -> float:
        return LEFT + (WIDTH - LEFT - 10) * step / max(steps - 1, 1)

    def up(error: float) -> float:
        share = (math.log10(min(max(error, LEAST), MOST)) - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share

    parts = []
    for power in range(low, high + 1):
        y = up(10.0**power)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">1e{power}</text>'
        )
    parts += [
        f'<text x="{across(step):.1f}" y="{HEIGHT - BOTTOM + 14}" '
        f'text-anchor="middle">{step + 1}</text>'
        for step in range(0, steps, max(steps // 10, 1))
    ]
    parts.append(
        f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 4}" text-anchor="middle">step</text>'
        f'<line x1="{LEFT}" x2="{WIDTH - 10}" y1="{up(bound):.1f}" y2="{up(bound):.1f}" '
        'stroke="#222" stroke-dasharray="5 4"><title>bound at the end</title></line>'
    )
    for i, curve in enumerate(curves):
        points = " ".join(
            f"{across(step):.1f},{up(error):.1f}"
            for step, error in enumerate(curve.errors)
            if math.isfinite(error)
        )
        parts.append(
            f'<polyline points="{points}" fill="none" stroke-width="1.5" '
            f'stroke="{COLOURS[i % len(COLOURS)]}"><title>{escape(_name(curve))}</title></polyline>'
        )
    legend = "".join(
        f'<li style="color:{COLOURS[i % len(COLOURS)]}">{escape(_name(curve))}</li>'
        for i, curve in enumerate(curves)
    )
    label = "relative error of the clean sample over the steps"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
        f"{''.join(parts)}</svg><ul>{legend}</ul>"
    )


def _name(curve: Curve) -> str:
    about = curve.about
    return f"{about.what}, {about.size}, guidance {about.guidance:g}, {about.features}"
