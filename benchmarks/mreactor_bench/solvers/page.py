"""The report of the solvers: JSON, Markdown, a picture, and a page with the picture in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from mreactor_bench.pictures import picture_bytes
from mreactor_bench.report import table, to_json, write_reports_as
from mreactor_bench.solvers.rule import (
    CONVERGED,
    LEVEL,
    MEASURES,
    PUBLISHED,
    SolverCase,
    SolverRow,
    Verdict,
    choose,
    verdicts,
)
from mreactor_runtime.report.page import bullets, document, paragraph, picture, reproduce
from mreactor_runtime.report.page import table as page_table
from mreactor_runtime.report.timeline import require_matplotlib
from mreactor_runtime.sampling_options import flat

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TITLE = "Fewer steps, measured"
RULE = (
    "The rule: the cheapest setting without guidance that is no farther from the converged "
    "solution than DDIM with 50 trailing steps, and whose measures are not worse. Distance: "
    "relative L2, mean over clips. Intervals: the difference of the means on the same clips and "
    f"noise, {LEVEL:g} % bootstrap over clips. No farther: the whole interval is at or below 0 (in "
    "doubt: only the mean is); worse: the whole interval is on the bad side, against DDIM 50 and "
    "against the converged solution. Cost: in steps without guidance."
)
COLUMNS = ("setting", "cost", "distance", "against DDIM 50", *MEASURES, "verdict")
WORDS = (0, len(COLUMNS) - 1)  # of the columns
DISTANCE = "distance"
LEGEND = (
    "Square: what the rule picks; diamond: DDIM with 50 trailing steps; grey: the converged "
    "solution. Solid lines: steps even in log-SNR; dashed: trailing."
)
DASHES = {"trailing": "--", "logsnr": "-"}
COLOURS = {"ddim": "#3b528b", "dpmsolver++": "#d55e00", "ddpm": "#5ec962"}


@dataclass(frozen=True)
class Solvers:
    """A whole report.

    Attributes:
        about: model, data, device, engine, clips, samples, seed and the like.
        checks: other ways to the converged solution, and how far they end from it, by clip.
        price: of a step with guidance, in steps without.
        current: the model's own default.
    """

    about: dict[str, Any]
    command: str
    rows: tuple[SolverRow, ...]
    checks: Mapping[str, tuple[float, ...]]
    price: float
    current: SolverCase

    @property
    def verdicts(self) -> list[Verdict]:
        """Without guidance, which is where the rule chooses."""
        return verdicts(self.rows)

    @property
    def chosen(self) -> Verdict:
        return choose(self.verdicts, self.price)

    def sentences(self) -> list[str]:
        """The findings, before the figures."""
        best = self.chosen.row
        same = "is" if best.case == self.current else "is not"
        checks = [
            f"{name} is {fmean(values):.2%} away from it ({len(values)} clips)."
            for name, values in self.checks.items()
        ]
        lines = [
            f"Converged: {SolverCase(CONVERGED).name}. {' '.join(checks)}",
            f"The rule picks {best.case.name}: distance {best.distance:.2%}. That {same} the "
            f"current default, {self.current.name}.",
            f"A step with guidance costs {self.price:.2f} steps without.",
        ]
        current = [v for v in self.verdicts if v.row.case == self.current != best.case]
        return lines + [f"The current default: {_verdict(verdict)}." for verdict in current]


def to_values(report: Solvers) -> dict[str, Any]:
    """The report for JSON: every figure, by clip and as a mean."""
    judged = {verdict.row.case: verdict for verdict in report.verdicts}
    return {
        **report.about,
        "command": report.command,
        "price_of_guidance": report.price,
        "checks": {name: list(values) for name, values in report.checks.items()},
        "current": _case_values(report.current),
        "chosen": _case_values(report.chosen.row.case),
        "rows": [_row_values(row, report.price, judged.get(row.case)) for row in report.rows],
    }


def _row_values(row: SolverRow, price: float, verdict: Verdict | None) -> dict[str, Any]:
    values: dict[str, Any] = {
        **{"name": row.case.name, "setting": _case_values(row.case)},
        "guided_steps": row.guided_steps,
        "cost": row.cost(price),
        "distance": row.distance,
        "distance_by_clip": list(row.distances),
        "measures": {name: row.mean(name) for name in row.measures},
        "measures_by_clip": {name: list(values) for name, values in row.measures.items()},
    }
    if verdict is not None:
        values["against_published"] = {
            "distance": asdict(verdict.distance),
            **{name: asdict(change) for name, change in verdict.changes.items()},
        }
        values["against_converged"] = {
            name: asdict(change) for name, change in verdict.departures.items()
        }
        values["verdict"] = _verdict(verdict)
    return values


def _case_values(case: SolverCase) -> dict[str, Any]:
    values = flat(case)
    if case.guidance_interval is not None:  # JSON has no infinity
        bounds = case.guidance_interval
        values["guidance_interval"] = [x if math.isfinite(x) else None for x in bounds]
    return values


def _verdict(verdict: Verdict) -> str:
    if verdict.passes:
        return "passes"
    reasons = [f"{measure} worse" for measure in verdict.worse]
    if verdict.is_farther or verdict.is_in_doubt:
        reasons.insert(0, "farther" if verdict.is_farther else "in doubt")
    return ", ".join(reasons)


def table_rows(report: Solvers) -> list[list[str]]:
    """The cells of each row, as in COLUMNS: the cheapest first."""
    judged = {verdict.row.case: verdict for verdict in report.verdicts}
    rows = []
    for row in sorted(
        report.rows, key=lambda row: (row.case.solver.guidance_scale, _cost(report, row))
    ):
        verdict = judged.get(row.case)
        against = ""
        if verdict is not None:
            away = verdict.distance
            against = f"{away.mean:+.2%} ({away.low:+.2%} to {away.high:+.2%})"
        rows.append(
            [
                row.case.name,
                f"{_cost(report, row):.1f}",
                "" if row.distance is None else f"{row.distance:.2%}",
                against,
                *(f"{row.mean(name):.3g}" for name in MEASURES),
                "" if verdict is None else _verdict(verdict),
            ]
        )
    return rows


def _cost(report: Solvers, row: SolverRow) -> float:
    return row.cost(report.price)


def to_markdown(report: Solvers) -> str:
    """The report's sentences, and a table of all cases."""
    return "\n".join([*report.sentences(), "", table(COLUMNS, table_rows(report), WORDS)])


def draw(report: Solvers) -> Figure:
    """Distance and each measure over the steps, a line for each solver and spacing.

    Raises: UsageError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator, PercentFormatter

    rows = [row for row in report.rows if not row.case.solver.guided]
    few = [row for row in rows if row.case.solver.steps < CONVERGED.steps]
    ticks = sorted({row.case.solver.steps for row in few})
    figure = Figure(figsize=(11, 6.6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True).ravel()
    for panel, name in zip(panels, (DISTANCE, *MEASURES), strict=True):
        _lines(panel, few, name)
        for marker, case in (("s", report.chosen.row.case), ("D", SolverCase(PUBLISHED))):
            at = [(r.case.solver.steps, _value(r, name)) for r in few if r.case == case]
            panel.plot(*zip(*at, strict=True), marker, ms=9, mfc="none", mec="black")
        if name == DISTANCE:
            panel.set(title="distance from the converged solution", yscale="log")
            panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            panel.yaxis.set_minor_formatter(PercentFormatter(1, decimals=0))
        else:
            converged = next(row for row in rows if row.case.is_converged)
            panel.axhline(converged.mean(name), color="0.5", lw=1)
            panel.set(title=f"{name} ({'more' if MEASURES[name] else 'less'} is better)")
        panel.grid(alpha=0.3)
    panels[0].set(xscale="log")
    panels[0].set_xticks(ticks, [str(tick) for tick in ticks])
    panels[0].xaxis.set_minor_locator(NullLocator())
    lines = panels[1].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=len(lines[0]), frameon=False)
    for panel in panels[3:]:
        panel.set_xlabel("steps")
    return figure


def _lines(panel: Axes, rows: Sequence[SolverRow], name: str) -> None:
    def kind(row: SolverRow) -> tuple[str, str]:
        return row.case.solver.scheduler, row.case.solver.timestep_spacing

    for scheduler, spacing in dict.fromkeys(kind(row) for row in rows):
        points = sorted(
            (row.case.solver.steps, value)
            for row in rows
            if kind(row) == (scheduler, spacing) and (value := _value(row, name)) is not None
        )
        if points:
            panel.plot(
                *zip(*points, strict=True),
                marker="o",
                ms=3,
                label=f"{scheduler} {spacing}",
                color=COLOURS.get(scheduler),
                linestyle=DASHES.get(spacing, "-"),
            )


def _value(row: SolverRow, name: str) -> float | None:
    return row.distance if name == DISTANCE else row.mean(name)


def page(report: Solvers, svg: str) -> str:
    """The page's text, with the picture in it."""
    return document(
        f"{TITLE}: {report.about['model']}",
        paragraph(about_text(report.about)),
        reproduce(report.command),
        bullets(report.sentences()),
        picture(svg),
        paragraph(LEGEND),
        paragraph(RULE),
        page_table(COLUMNS, table_rows(report), words=WORDS),
    )


def about_text(about: dict[str, Any]) -> str:
    """The model, data and machine, in one line."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items())


def write_reports(report: Solvers, folder: Path) -> list[Path]:
    """solvers.json, .md, .html and .png in a folder that is made if need be; their paths.

    Raises: UsageError: matplotlib is not installed; OSError.
    """
    figure = draw(report)
    contents = {
        "json": to_json("solvers", to_values(report)).encode(),
        "md": f"{to_markdown(report)}\n".encode(),
        "html": page(report, picture_bytes(figure, "svg").decode()).encode(),
        "png": picture_bytes(figure, "png"),
    }
    return write_reports_as(folder, "solvers", contents)
