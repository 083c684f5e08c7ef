"""The report as a page: one file that needs no other, with the error over the steps as curves."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

from mreactor_export.parity.figures import Curve, Figure, Report, rows
from mreactor_ref.files import write_whole
from mreactor_runtime.report.page import (
    bullets,
    document,
    legend,
    paragraph,
    reproduce,
    section,
    series,
    svg,
    svg_curve,
    svg_line,
    svg_text,
    table,
)

WIDTH, HEIGHT, LEFT, RIGHT, BOTTOM, TOP = 760, 300, 60, 10, 36, 12  # of a plot, pixels
LEAST, MOST = 1e-9, 1e2  # of what a plot shows: no error at all has no logarithm
ABOUT = (
    "Relative errors are L2 of the difference over L2 of what is expected. Sizes are clips x "
    "reactions x frames."
)


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
    scope = "the whole product of cases" if report.thorough else "the cases of an export"
    return document(
        f"Parity with the PyTorch reference, {report.dtype}",
        paragraph(verdict, failed=failed > 0),
        paragraph(f"Engines: {', '.join(report.engines)}; {scope}."),
        reproduce(report.command),
        bullets(report.notes),
        paragraph(ABOUT),
        section("The worst of each", _worst(report)),
        section("Error over the steps of each trajectory", *_plots(report.curves)),
        section("Every figure", _figures(report.figures)),
    )


def _worst(report: Report) -> str:
    some = rows(report)
    return table(
        ("engine", "what", "figures", *CELLS),
        [(row.engine, row.name, f"{len(row.figures)}", *_cells(row.worst)) for row in some],
        words=(0, 1, *(3 + i for i in WORDS)),
        failed={i for i, row in enumerate(some) if not row.worst.passed},
    )


def _figures(figures: Sequence[Figure]) -> str:
    return table(
        ("engine", "check", "what", *CELLS),
        [(figure.engine, figure.check, figure.what, *_cells(figure)) for figure in figures],
        words=(0, 1, 2, *(3 + i for i in WORDS)),
        failed={i for i, figure in enumerate(figures) if not figure.passed},
    )


CELLS = (
    *("verdict", "size", "guidance", "features", "against", "largest", "relative", "bound"),
    "fault",
)
WORDS = (0, 3, 4, 8)  # columns of CELLS, by place


def _cells(figure: Figure) -> tuple[str, ...]:
    """What both tables say of a figure; where it was held against two, both errors."""
    errors = figure.errors.values()
    return (
        "ok" if figure.passed else "FAILED",
        figure.size,
        "" if figure.guidance is None else f"{figure.guidance:g}",
        figure.features,
        ", ".join(figure.errors),
        ", ".join(f"{error.maximum:.1e}" for error in errors),
        ", ".join(f"{error.relative:.1e}" for error in errors),
        f"{figure.bound:.0e}",
        str(figure.fault or ""),
    )


def _plots(curves: Sequence[Curve]) -> Iterable[str]:
    """A plot for each engine and number of steps."""
    held: dict[tuple[str, int], list[Curve]] = {}
    for curve in curves:
        held.setdefault((curve.about.engine, len(curve.errors)), []).append(curve)
    for (engine, steps), some in held.items():
        yield section(f"{engine}, {steps} steps", plot(some), level=3)


def plot(curves: Sequence[Curve]) -> str:
    """Relative errors of the clean samples, a line a trajectory, logarithmic, as SVG."""
    shown = [min(max(e, LEAST), MOST) for c in curves for e in c.errors if math.isfinite(e)]
    bound = max(curve.bound for curve in curves)
    low = math.floor(math.log10(min(*shown, bound))) if shown else -9
    high = math.ceil(math.log10(max(*shown, bound)) + 0.01) if shown else 2
    steps = max(len(curve.errors) for curve in curves)

    def across(step: int) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * step / max(steps - 1, 1)

    def up(error: float) -> float:
        share = (math.log10(min(max(error, LEAST), MOST)) - low) / (high - low)
        return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * share

    ends = (LEFT, WIDTH - RIGHT)
    parts: list[str] = []
    for power in range(low, high + 1):
        y = up(10.0**power)
        parts += [svg_line(ends, (y, y), "grid"), svg_text(LEFT - 6, y + 4, f"1e{power}", "end")]
    parts += [
        svg_text(across(step), HEIGHT - BOTTOM + 14, f"{step + 1}")
        for step in range(0, steps, max(steps // 10, 1))
    ]
    parts += [
        svg_text(sum(ends) / 2, HEIGHT - 4, "step"),
        svg_line(ends, (up(bound), up(bound)), "bound", "bound at the end"),
    ]
    for i, curve in enumerate(curves):
        points = [
            (across(n), up(error)) for n, error in enumerate(curve.errors) if math.isfinite(error)
        ]
        parts.append(svg_curve(points, series(i), _name(curve)))
    label = "relative error of the clean sample over the steps"
    return svg(WIDTH, HEIGHT, label, *parts) + legend(map(_name, curves))


def _name(curve: Curve) -> str:
    about = curve.about
    return f"{about.what}, {about.size}, guidance {about.guidance:g}, {about.features}"
