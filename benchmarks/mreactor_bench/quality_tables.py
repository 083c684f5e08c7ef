"""A report of quality as text: means, intervals, groups of clips, rows for LaTeX."""

from __future__ import annotations

from collections.abc import Iterator

from mreactor_bench.quality import REALISM, Division, Quality
from mreactor_bench.report import markdown, text_table
from mreactor_ref.metrics.intervals import Interval

# The columns of the challenge's tables with their decimals.
LATEX_COLUMNS = {
    **{"FRCorr": 2, "FRDist": 2, "FRDiv": 4, "FRVar": 4, "FRDvs": 4},
    **{REALISM: 2, "FRSyn": 2},
}


def quality_text(quality: Quality) -> Iterator[str]:
    """The tables one after the other, each with its title."""
    setting = quality.setting
    compat = f", as the code of {setting['compat']} computes" if setting.get("compat") else ""
    yield f"{quality.clips} clips of {setting['split']}, {quality.samples} reactions each{compat}"
    yield markdown(quality.rows, "predictor")
    yield "Intervals of 95 % over clips:"
    yield text_table(
        {
            name: {measure: _span(figure) for measure, figure in row.items()}
            for name, row in quality.intervals.items()
        },
        "predictor",
    )
    for division in quality.divisions:
        yield f"{setting['model']} by {division.column}, with intervals:"
        yield _division(division)


def latex_rows(rows: dict[str, dict[str, float]]) -> str:
    r"""A line a predictor: name & FRCorr & FRDist & FRDiv & FRVar & FRDvs & FRRea & FRSyn \\."""
    lines: list[str] = []
    for name, row in rows.items():
        cells = [f"{row[c]:.{n}f}" if c in row else "-" for c, n in LATEX_COLUMNS.items()]
        escaped = "".join(f"\\{letter}" if letter in "_&%#$" else letter for letter in name)
        lines.append(" & ".join([escaped, *cells]) + r" \\")
    return "\n".join(lines)


def _division(division: Division) -> str:
    rows = {
        name: {"clips": str(group.clips)}
        | {
            measure: f"{mean:.3g} ({_span(group.intervals[measure])})"
            for measure, mean in group.means.items()
        }
        for name, group in division.groups.items()
    }
    if division.gaps:
        rows["largest gap"] = {
            measure: f"{gap.difference:.3g} ({_span(gap.interval)}), {gap.largest} - {gap.smallest}"
            for measure, gap in division.gaps.items()
        }
    return text_table(rows, division.column)


def _span(interval: Interval | None) -> str:
    """Such as "2.1 to 2.6"; a dash for none."""
    return "-" if interval is None else f"{interval.low:.3g} to {interval.high:.3g}"
