"""The report as a page: one file that needs no other, with its plots as SVG in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from mreactor_bench.throughput.compare import Comparison
from mreactor_bench.throughput.measure import Row
from mreactor_bench.throughput.report import (
    CEILING_COLUMNS,
    COST_COLUMNS,
    EXPLANATIONS,
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
from mreactor_export.parity.html import STYLE

WIDTH, NAMES, ROW, TOP, BOTTOM, RIGHT = 760, 290, 26, 8, 34, 60  # of a plot, pixels
BAR, FLOOR, DOT, GRID = "#3b528b", "#d55e00", "#21918c", "#dddddd"
TICKS = 4


def page(report: Report) -> str:
    """The page's text: machine and ceiling, plots, tables, then what is inside a figure."""
    title = f"Throughput of {report.weights.name}"
    settings = (report.weights, report.rates, report.settings)
    parts = [
        f"<h1>{escape(title)}</h1><p>{escape(machine_text(report.device, report.rates))}</p>",
        f"<p>Reproduce: <code>{escape(report.command)}</code></p>",
        f"<h2>Ceiling</h2>{_table(CEILING_COLUMNS, ceiling_rows(*settings))}",
        f"<p>{escape(drift_text(report.rates, report.rates_after))}</p>",
    ]
    if report.comparisons:
        parts.append(
            "<h2>Comparisons</h2><p>Dots: the ratio of each pair of calls, in turns; bar: their "
            f"median; orange: equal.</p>{plot_ratios(report.comparisons)}"
        )
        parts.append(_list(comparison.summary() for comparison in report.comparisons))
    if rows := report.all_rows:
        parts += [
            "<h2>Time of a clip</h2><p>Bar: the median; dots: every timed call; orange: the "
            f"floor.</p>{plot_times(rows)}",
            f"<h2>Figures</h2>{_table(ROW_COLUMNS, map(row_cells, rows))}",
            f"<h2>Costs</h2>{_table(COST_COLUMNS, map(cost_cells, rows))}",
        ]
    if report.failures:
        parts.append(f"<h2>Not measured</h2>{_list(report.failures)}")
    if peers := peers_in(report.settings):
        parts.append(f"<h2>Peers</h2>{_terms({name: PEERS[name] for name in peers})}")
    parts.append(f"<h2>What is inside a figure</h2>{_terms(EXPLANATIONS)}")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>mreactor: {escape(title)}</title><style>{STYLE}</style></head><body>"
        f"{''.join(parts)}</body></html>\n"
    )


@dataclass(frozen=True)
class Bar:
    """A line of a plot: its length, a dot for each value, a mark, and what stands at its end."""

    name: str
    length: float
    dots: tuple[float, ...]
    mark: float
    label: str


def plot_times(rows: Sequence[Row]) -> str:
    """A bar a row, the seconds of a clip, with every call and the floor."""
    bars = []
    for row in rows:
        s, clips = row.setting, row.setting.batch_size
        name = f"{row.name} {s.dtype} {s.frames}x{s.samples} {s.scheduler} {s.steps}"
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
    height, width = TOP + ROW * len(bars) + BOTTOM, WIDTH - NAMES - RIGHT

    def across(value: float) -> float:
        return NAMES + width * value / most

    bottom = TOP + ROW * len(bars)
    parts = []
    for i in range(TICKS + 1):
        x = across(most * i / TICKS)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}" stroke="{GRID}"/>')
        parts.append(_text(x, bottom + 14, f"{most * i / TICKS:.3g}", "middle"))
    parts.append(_text(NAMES + width / 2, bottom + 30, unit, "middle"))
    for i, bar in enumerate(bars):
        y, end = TOP + ROW * i, across(bar.length)
        parts.append(_text(NAMES - 8, y + ROW * 0.65, bar.name, "end"))
        parts.append(
            f'<rect x="{NAMES}" y="{y + 5}" width="{end - NAMES:.1f}" height="{ROW - 10}" '
            f'fill="{BAR}" fill-opacity="0.35"><title>{bar.length:.4g}</title></rect>'
        )
        parts += [
            f'<circle cx="{across(dot):.1f}" cy="{y + ROW / 2}" r="2.5" fill="{DOT}" '
            f'fill-opacity="0.7"><title>{dot:.4g}</title></circle>'
            for dot in bar.dots
        ]
        x = across(bar.mark)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{y + 2}" y2="{y + ROW - 2}" stroke="{FLOOR}" '
            f'stroke-width="2"><title>{bar.mark:.4g}</title></line>'
        )
        parts.append(_text(WIDTH - RIGHT + 8, y + ROW * 0.65, bar.label, "start"))
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">'
        f"{''.join(parts)}</svg>"
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _terms(texts: Mapping[str, str]) -> str:
    return "".join(f"<p><b>{escape(name)}</b>: {escape(text)}</p>" for name, text in texts.items())
