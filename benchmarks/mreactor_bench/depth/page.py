"""The report of the depths: JSON, Markdown, and figure 3 as a picture."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from mreactor_bench.depth.study import MORE_IS_BETTER, PAPER_BEST, PAPER_RANGES, Depths
from mreactor_bench.pictures import write_study
from mreactor_bench.report import table
from mreactor_bench.solvers.rule import MEASURES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SHOWN_TRIVIAL = {"B_Mime": "--", "B_MeanSeq": ":"}  # line styles of the predictors in the picture
COLOUR = "#3b528b"


def sentences(report: Depths) -> list[str]:
    """The findings: the best depth and the range of each measure, beside the paper's."""
    lines: list[str] = []
    for name in MORE_IS_BETTER:
        text = f"{name}: best with {report.best(name)}, range {report.range(name):.3g}"
        if name in PAPER_RANGES:
            text += f" (paper: best with {PAPER_BEST}, range below {PAPER_RANGES[name]:g})"
        if report.about["repeats"] > 1:
            text += f"; trainings of one depth are {_spread(report, name):.3g} apart"
        lines.append(f"{text}.")
    return lines


def _spread(report: Depths, measure: str) -> float:
    """How far the trainings of one depth are apart at most, mean over the depths."""
    values = [report.of(layers, measure) for layers in report.depths]
    return fmean(max(of_depth) - min(of_depth) for of_depth in values)


def to_markdown(report: Depths) -> str:
    """The sentences, and a row for each depth and each trivial predictor."""
    rows = [
        [str(layers), *(f"{report.means(name)[layers]:.3g}" for name in MORE_IS_BETTER)]
        for layers in report.depths
    ]
    rows += [
        [name, "-", *(f"{figures[measure]:.3g}" for measure in MEASURES)]
        for name, figures in report.trained[0].trivial.items()
    ]
    columns = ("layers", *MORE_IS_BETTER)
    return "\n".join([*(f"- {line}" for line in sentences(report)), "", table(columns, rows)])


def to_values(report: Depths) -> dict[str, Any]:
    """The report for JSON."""
    names = list(MORE_IS_BETTER)
    return {
        "command": report.command,
        "setting": report.about,
        "best": {name: report.best(name) for name in names},
        "ranges": {name: report.range(name) for name in names},
        "rows": {
            str(layers): {name: report.means(name)[layers] for name in names}
            for layers in report.depths
        },
        "trivial": report.trained[0].trivial,
        "trainings": [
            {name: x for name, x in asdict(one).items() if name != "trivial"}
            for one in report.trained
        ],
    }


def draw(report: Depths) -> Figure:
    """Each measure over the layers: the mean as a line, each training as a dot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6), layout="constrained")
    panels = figure.subplots(2, 3, sharex=True).ravel()
    for panel, name in zip(panels, MORE_IS_BETTER, strict=True):
        _panel(panel, report, name)
    for panel in panels[3:]:
        panel.set(xlabel="layers", xticks=report.depths)
    lines = panels[1].get_legend_handles_labels()
    figure.legend(*lines, loc="outside lower center", ncols=len(lines[0]), frameon=False)
    return figure


def _panel(panel: Axes, report: Depths, name: str) -> None:
    means = report.means(name)
    panel.plot(list(means), list(means.values()), color=COLOUR, label="mean")
    dots = [(layers, value) for layers in report.depths for value in report.of(layers, name)]
    panel.plot(*zip(*dots, strict=True), "o", ms=4, color=COLOUR, alpha=0.6, label="a training")
    for predictor, style in SHOWN_TRIVIAL.items():
        figures = report.trained[0].trivial.get(predictor, {})
        if name in figures:
            panel.axhline(figures[name], color="0.5", lw=1, ls=style, label=predictor)
    panel.axvline(PAPER_BEST, color="#d55e00", lw=1, alpha=0.6, label="the paper's best")
    panel.set(title=f"{name} ({'more' if MORE_IS_BETTER[name] else 'less'} is better)")
    panel.grid(alpha=0.3)


def write_reports(report: Depths, folder: Path) -> list[Path]:
    """depth.json, .md and .png in the folder; their paths.

    Raises: UsageError: matplotlib is not installed; OSError.
    """
    return write_study(folder, "depth", to_values(report), to_markdown(report), draw(report))
