"""The report as a page: one file that needs no other, with its plots as SVG in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mreactor_bench.throughput.compare import Comparison
from mreactor_bench.throughput.measure import TimedRow
from mreactor_bench.throughput.report import (
    CEILING_COLUMNS,
    COST_COLUMNS,
    EXPLANATIONS,
    KIND,
    ROW_COLUMNS,
    Report,
    ceiling_rows,
    cost_cells,
    drift_text,
    machine_text,
    peers_in,
    row_cells,
)
from mreactor_bench.throughput.setting import PEERS
from mreactor_ref.files import write_whole
from mreactor_runtime.report.page import (
    bullets,
    document,
    paragraph,
    reproduce,
    section,
    svg,
    svg_line,
    svg_text,
    table,
    terms,
)

WIDTH, ROW, TOP, BOTTOM, RIGHT = 760, 26, 8, 34, 60  # of a plot, pixels
LETTER, MOST_NAMES = 6.5, 400  # of the names at its left: a letter, and all of them at most
TICKS = 4
NAMED = (0, 1, 4)  # columns of words: runner, dtype, solver
RATIOS = "Dots: the ratio of each pair of calls, in turns; bar: their median; orange: equal."
TIMES = "Bar: the median; dots: every timed call; orange: the floor."


def write_reports(report: Report, folder: Path) -> list[Path]:
    """Write the JSON, the Markdown and the page, each whole or not at all; their paths."""
    contents = {"json": report.to_json(), "md": report.to_markdown(), "html": page(report)}
    paths = {folder / f"{KIND}.{suffix}": content for suffix, content in contents.items()}
    for path, content in paths.items():
        write_whole(path, content.encode())
    return list(paths)


def page(report: Report) -> str:
    """The page's text: machine and ceiling, plots, tables, then what is inside a figure."""
    settings = (report.weights, report.rates, report.settings)
    parts = [
        paragraph(machine_text(report.device, report.rates)),
        reproduce(report.command),
        section("Ceiling", table(CEILING_COLUMNS, ceiling_rows(*settings), words=())),
        paragraph(drift_text(report.rates, report.rates_after)),
    ]
    if report.comparisons:
        parts += [
            section("Comparisons", paragraph(RATIOS), plot_ratios(report.comparisons)),
            bullets(comparison.summary() for comparison in report.comparisons),
        ]
    if rows := report.all_rows:
        costs = [cost_cells(row) for row in rows]
        parts += [
            section("Time of a clip", paragraph(TIMES), plot_times(rows)),
            section("Figures", table(ROW_COLUMNS, [row_cells(row) for row in rows], words=NAMED)),
            section("Costs", table(COST_COLUMNS, costs, words=NAMED)),
        ]
    if report.failures:
        parts.append(section("Not measured", bullets(report.failures)))
    if peers := peers_in(report.settings):
        parts.append(section("Peers", terms({name: PEERS[name] for name in peers})))
    parts.append(section("What is inside a figure", terms(EXPLANATIONS)))
    return document(f"Throughput of {report.weights.name}", *parts)


@dataclass(frozen=True)
class Bar:
    """A line of a plot: its length, a dot for each value, a mark, and what stands at its end."""

    name: str
    length: float
    dots: tuple[float, ...]
    mark: float
    label: str


def plot_times(rows: Sequence[TimedRow]) -> str:
    """A bar a row, the seconds of a clip, with every call and the floor."""
    bars = []
    for row in rows:
        s, clips = row.setting, row.setting.batch_size
        name = f"{row.name} {s.dtype} {s.frames}x{s.samples} "
        name += f"{s.solver.scheduler} {s.solver.steps}"
        calls = tuple(seconds / clips for seconds in row.seconds)
        bars.append(Bar(name, row.latency / clips, calls, row.ceiling.seconds, f"{row.share:.0%}"))
    return plot(bars, "seconds a clip; at the end, the share of the ceiling")


def plot_ratios(comparisons: Sequence[Comparison]) -> str:
    """A bar a comparison: the median ratio, with that of every pair."""
    bars = [
        Bar(f"{c.a.name} / {c.b.name}", c.ratio, c.ratios, 1.0, f"{c.ratio:.2f}")
        for c in comparisons
    ]
    return plot(bars, "seconds of A over seconds of B")


def plot(bars: Sequence[Bar], unit: str) -> str:
    """Bars from zero, under each other, as SVG."""
    most = max(max(bar.length, bar.mark, *bar.dots) for bar in bars) or 1.0
    names = min(16 + LETTER * max(len(bar.name) for bar in bars), MOST_NAMES)
    height, width = TOP + ROW * len(bars) + BOTTOM, WIDTH - names - RIGHT

    def across(value: float) -> float:
        return names + width * value / most

    bottom = TOP + ROW * len(bars)
    parts: list[str] = []
    for i in range(TICKS + 1):
        x = across(most * i / TICKS)
        parts.append(svg_line((x, x), (TOP, bottom), "grid"))
        parts.append(svg_text(x, bottom + 14, f"{most * i / TICKS:.3g}"))
    parts.append(svg_text(names + width / 2, bottom + 30, unit))
    for i, bar in enumerate(bars):
        y, end = TOP + ROW * i, across(bar.length)
        parts.append(svg_text(names - 8, y + ROW * 0.65, bar.name, "end"))
        parts.append(
            f'<rect class="bar" x="{names:.1f}" y="{y + 5}" width="{end - names:.1f}" '
            f'height="{ROW - 10}"><title>{bar.length:.4g}</title></rect>'
        )
        parts += [
            f'<circle class="dot" cx="{across(dot):.1f}" cy="{y + ROW / 2}" r="2.5">'
            f"<title>{dot:.4g}</title></circle>"
            for dot in bar.dots
        ]
        x = across(bar.mark)
        parts.append(svg_line((x, x), (y + 2, y + ROW - 2), "mark", f"{bar.mark:.4g}"))
        parts.append(svg_text(WIDTH - RIGHT + 8, y + ROW * 0.65, bar.label, "start"))
    return svg(WIDTH, height, unit, *parts)
