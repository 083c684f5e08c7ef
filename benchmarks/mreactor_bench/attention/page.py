"""The report of the attention maps: JSON, Markdown, and figure 2 as a picture."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np

from mreactor_bench.attention.maps import AttentionMap
from mreactor_bench.attention.study import Maps, ModelMaps
from mreactor_bench.pictures import write_study
from mreactor_bench.report import table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = (
    *("model", "attention", "layer", "entropy, nats", "of the bias alone"),
    *("distance, frames", "of the bias alone", "nearest head", "farthest head", "on speech"),
)
WORDS = (0, 1)  # of the columns
SIZE = 1.6  # inches of a map
COLOURS = 32  # shades; more make a large file of what is noise to the eye
SPEECH = "#d55e00"  # colour of the bar above frames with words
BRIGHTEST = 0.995  # quantile of a map that is drawn brightest: one frame must not wash out the rest


def sentences(report: Maps) -> list[str]:
    """What the figures are held against, and the mean of each kind."""
    lines = [
        f"A map that looks everywhere alike has an entropy of {report.even_entropy:.2f} nats and a "
        f"distance of {report.even_distance:.0f} frames; the clip has {report.frames}."
    ]
    for model in report.models:
        parts = [_part(model, name) for name in dict.fromkeys(x.name for x in model.maps)]
        loss = "" if model.loss is None else f" Loss on held-out windows {model.loss:.3f}."
        lines.append(f"{model.name}: {'; '.join(parts)}.{loss}")
    return lines


def _part(model: ModelMaps, name: str) -> str:
    chosen = [x for x in model.maps if x.name == name]
    nats = fmean(float(x.entropy.mean()) for x in chosen)
    frames = fmean(float(x.distance.mean()) for x in chosen)
    return f"{name} attention {nats:.2f} nats, {frames:.0f} frames"


def table_rows(report: Maps) -> list[list[str]]:
    """The cells of each attention of each layer, as in COLUMNS."""
    return [
        [
            *(model.name, x.name, str(x.layer), f"{x.entropy.mean():.2f}", f"{x.start[0]:.2f}"),
            *(f"{x.distance.mean():.1f}", f"{x.start[1]:.1f}"),
            *(f"{x.distance.min():.1f}", f"{x.distance.max():.1f}"),
            "-" if x.on_speech is None else f"{x.on_speech.mean():.2f}",
        ]
        for model in report.models
        for x in model.maps
    ]


def to_markdown(report: Maps) -> str:
    """The sentences, and a row for each attention of each layer."""
    lines = [f"- {line}" for line in sentences(report)]
    return "\n".join([*lines, "", table(COLUMNS, table_rows(report), WORDS)])


def to_values(report: Maps) -> dict[str, Any]:
    """The report for JSON: all figures by head, without the maps themselves."""
    return {
        "command": report.command,
        "setting": report.about,
        "even": {"entropy": report.even_entropy, "distance": report.even_distance},
        "models": [
            {
                "name": model.name,
                "kind": model.kind,
                "loss": model.loss,
                "maps": [_map_values(x) for x in model.maps],
            }
            for model in report.models
        ],
    }


def _map_values(x: AttentionMap) -> dict[str, Any]:
    by_head = {"entropy": x.entropy, "distance": x.distance, "on_speech": x.on_speech}
    start = dict(zip(("entropy", "distance"), (round(value, 4) for value in x.start), strict=True))
    return {"layer": x.layer, "attention": x.name, "bias_alone": start} | {
        name: None if values is None else [round(float(value), 4) for value in values]
        for name, values in by_head.items()
    }


def draw(report: Maps) -> Figure:
    """A row for each model, a column for each attention of each layer."""
    from matplotlib.figure import Figure

    across = max(len(model.maps) for model in report.models)
    figure = Figure(figsize=(SIZE * across + 1, SIZE * 1.15 * len(report.models)))
    figure.set_layout_engine("constrained")
    grid = figure.subplots(len(report.models), across, squeeze=False)
    for row, letter, model in zip(grid, _letters(len(grid)), report.models, strict=True):
        used, unused = row[: len(model.maps)], row[len(model.maps) :]
        for panel in unused:
            panel.set_axis_off()
        for panel, x in zip(used, model.maps, strict=True):
            _panel(panel, x, report)
        row[0].set_ylabel(f"({letter}) {model.name}\nlistener, s", fontsize=8)
    for panel in grid[-1]:
        panel.set_xlabel("looks at, s", fontsize=8)
    return figure


def _letters(count: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[:count]


def _panel(panel: Axes, x: AttentionMap, report: Maps) -> None:
    """A map; a bar above it where the speaker has words."""
    from matplotlib import colormaps

    brightest = float(np.quantile(x.picture, BRIGHTEST))
    seconds = report.frames / report.fps
    colours = colormaps["viridis"].resampled(COLOURS)
    panel.imshow(x.picture, vmin=0, vmax=brightest, extent=(0, seconds, seconds, 0), cmap=colours)
    times = np.arange(report.frames) / report.fps
    across = panel.get_xaxis_transform()
    panel.fill_between(
        *(times, 1.01, 1.05, report.spoken.tolist()),
        transform=across,
        color=SPEECH,
        clip_on=False,
        linewidth=0,
    )
    panel.set_title(
        f"{x.name} {x.layer}: {x.entropy.mean():.1f} nats, {x.distance.mean():.0f} frames",
        fontsize=7,
        pad=8,
    )
    panel.tick_params(labelsize=6)


def write_reports(report: Maps, folder: Path) -> list[Path]:
    """attention.json, .md and .png in the folder; their paths.

    Raises: UsageError: matplotlib is not installed; OSError.
    """
    return write_study(folder, "attention", to_values(report), to_markdown(report), draw(report))
