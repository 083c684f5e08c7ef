"""A clip's timeline as a picture: what the speaker did above, the reactions below, in seconds."""

from __future__ import annotations

import importlib
import io
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mreactor_ref.errors import UsageError
from mreactor_ref.files import write_whole
from mreactor_ref.signals import (
    ANGLE_SLICE,
    AROUSAL,
    ATTRIBUTE_NAMES,
    MFCC_WIDTH,
    VALENCE,
    Array,
    Reactions,
    SpeakerClip,
)
from mreactor_runtime.provenance import MARK, Provenance

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SMILE = ATTRIBUTE_NAMES.index("AU12")
PITCH = ANGLE_SLICE.start

WIDTH, DPI = 14.0, 110  # inches, dots an inch
DRAWN = 0.87  # of the width, what the panels have
WORDS_HEIGHT, LINES_HEIGHT, ROW_HEIGHT = 0.55, 1.15, 0.16  # inches
LEAST_HEIGHT, MOST_HEIGHT = 0.6, 4.0  # inches, of the rows of few and of many reactions
MOST_LABELS = 12  # row labels of many reactions
LETTERS_AN_INCH, WORDS_LINES, LEAST_LETTERS = 14, 3, 20
SPEAKER, SPEAKER_FACE, SPOKEN = "#4d4d4d", "#d55e00", "#e8eef6"
MEAN, GRID = "black", "#dddddd"
REACTION_COLOURS, SMILE_COLOURS, PITCH_COLOURS = "viridis", "cividis", "PuOr"
LIGHTEST = 0.85  # of the reactions' colours: the last yellow does not show on white
PITCH_QUANTILE = 0.99  # of the colours' range: a single jump must not wash out the rest
SMALLEST_PITCH = 1.0  # degrees


def require_matplotlib() -> None:
    """Raises UsageError where the extra is not installed."""
    try:
        importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError:
        raise UsageError(
            "matplotlib is not installed", fix='pip install "mreactor[plot]"'
        ) from None


def plot_timeline(
    clip: SpeakerClip, reactions: Reactions, path: Path, provenance: Provenance | None = None
) -> None:
    """Write the timeline of one clip as a PNG, whole or not at all.

    Above, the speaker: words, sound level, valence and smile, as far as the clip has them. Below,
    one line or one row a reaction: valence, arousal, smile (AU12) and head pitch.

    Args:
        clip: T frames. reactions: S of T frames, in natural units.
        provenance: goes into the file as its description.
    Raises:
        UsageError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    rows = _panels(clip, reactions)
    figure = Figure(figsize=(WIDTH, sum(h for h, _ in rows) + 1.0), layout="constrained")
    grid = figure.add_gridspec(
        len(rows), 2, width_ratios=(1, 0.012), height_ratios=[height for height, _ in rows]
    )
    drawn: list[Axes] = []
    for i, (_, draw) in enumerate(rows):
        axes = figure.add_subplot(grid[i, 0], sharex=drawn[0] if drawn else None)
        drawn.append(axes)
        draw(axes, figure.add_subplot(grid[i, 1]))
        axes.tick_params(labelbottom=i == len(rows) - 1)
    drawn[0].set_xlim(0, clip.frames / clip.fps)
    drawn[-1].set_xlabel("Time (seconds)")
    count = len(reactions.attributes)
    figure.suptitle(
        f"{clip.id}: the speaker, and {count} generated listener reaction{'s' * (count > 1)}",
        parse_math=False,
        fontsize=13,
        fontweight="bold",
    )
    mark = figure.text(0.995, 0.006, MARK, fontsize=8, ha="right")
    mark.set_in_layout(False)
    write_whole(path, _png(figure, provenance.to_json() if provenance else None))


Draw = Callable[["Axes", "Axes"], None]


def _panels(clip: SpeakerClip, reactions: Reactions) -> list[tuple[float, Draw]]:
    """Height in inches and drawing of each panel, from the top; a drawing takes its side, too."""
    panels: list[tuple[float, Draw]] = []
    if clip.utterances:
        panels.append((WORDS_HEIGHT, lambda axes, side: _words(axes, side, clip)))
    if clip.sound is not None:
        panels.append((LINES_HEIGHT * 0.7, lambda axes, side: _sound(axes, side, clip)))
    if clip.attributes is not None:
        panels.append((LINES_HEIGHT, lambda axes, side: _speaker_face(axes, side, clip)))
    attributes = reactions.attributes
    pitch = np.degrees(reactions.coefficients[..., PITCH])
    pitch = pitch - np.median(pitch, axis=1, keepdims=True)  # how it moves, not how it is held
    limit = max(float(np.quantile(np.abs(pitch), PITCH_QUANTILE)), SMALLEST_PITCH)
    height = min(max(ROW_HEIGHT * len(attributes), LEAST_HEIGHT), MOST_HEIGHT)
    fps = clip.fps
    panels += [
        (
            LINES_HEIGHT * 1.5,
            lambda axes, side: _lines(
                axes,
                side,
                attributes[..., VALENCE],
                fps,
                "Valence",
                "negative to positive; a colour a reaction, numbered below",
            ),
        ),
        (
            LINES_HEIGHT * 1.5,
            lambda axes, side: _lines(
                axes,
                side,
                attributes[..., AROUSAL],
                fps,
                "Arousal",
                "calm to excited; a colour a reaction, numbered below",
            ),
        ),
        (
            height,
            lambda axes, side: _rows(
                axes, side, attributes[..., SMILE], fps, "Smile (AU12)", SMILE_COLOURS, (0, 1)
            ),
        ),
        (
            height,
            lambda axes, side: _rows(
                axes,
                side,
                pitch,
                fps,
                "Head pitch (degrees from its median)",
                PITCH_COLOURS,
                (-limit, limit),
            ),
        ),
    ]
    return panels


def _times(frames: int, fps: float) -> np.ndarray:
    """The middle of each frame, in seconds."""
    return (np.arange(frames) + 0.5) / fps


def _title(axes: Axes, title: str, explanation: str = "") -> None:
    text = f"{title}  ({explanation})" if explanation else title
    axes.set_title(text, loc="left", fontsize=9.5, pad=3)


def _plain(axes: Axes) -> None:
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)


def _legend(axes: Axes, side: Axes) -> None:
    """The legend of a panel, to its right."""
    side.set_axis_off()
    side.legend(*axes.get_legend_handles_labels(), loc="center left", frameon=False, fontsize=8)


def _words(axes: Axes, side: Axes, clip: SpeakerClip) -> None:
    """Each utterance where it is said; short ones are printed with those that follow."""
    side.set_axis_off()
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.tick_params(bottom=False)
    _title(axes, "Speaker: words")
    duration = clip.frames / clip.fps
    letters_a_second = LETTERS_AN_INCH * WIDTH * DRAWN / duration
    labels: list[tuple[float, list[str]]] = []
    for utterance in sorted(clip.utterances, key=lambda utterance: utterance.start):
        axes.axvspan(utterance.start, min(utterance.end, duration), color=SPOKEN, linewidth=0)
        if not labels or (utterance.start - labels[-1][0]) * letters_a_second >= LEAST_LETTERS:
            labels.append((utterance.start, []))
        labels[-1][1].append(utterance.text)
    ends = [start for start, _ in labels[1:]] + [duration]
    for (start, texts), end in zip(labels, ends, strict=True):
        axes.axvline(start, color=SPEAKER, linewidth=0.8)
        letters = max(int((end - start) * letters_a_second) - 1, LEAST_LETTERS // 2)
        lines = textwrap.wrap(
            " ".join(texts), letters, max_lines=WORDS_LINES, placeholder=" ...", tabsize=1
        )
        text = axes.annotate(
            "\n".join(lines),
            (start, 0.95),
            xytext=(3, 0),
            textcoords="offset points",
            va="top",
            fontsize=8,
            parse_math=False,
        )
        text.set_in_layout(False)


def _sound(axes: Axes, side: Axes, clip: SpeakerClip) -> None:
    assert clip.sound is not None
    level = _sound_level(clip.sound)
    axes.fill_between(_times(clip.frames, clip.fps), level, color=SPEAKER, alpha=0.6, linewidth=0)
    axes.set_ylim(0, 1.05)
    axes.set_yticks([0, 1], ["quiet", "loud"])
    _plain(axes)
    _title(axes, "Speaker: sound level", "within this clip")
    side.set_axis_off()


def _sound_level(sound: Array) -> Array:
    """(T, width) -> (T,) in [0, 1], from the clip's quietest frame to its loudest.

    The first MFCC is the mean level of the bands in decibels. Other encoders have no such channel:
    the root mean square of their features stands for it.
    """
    level = sound[:, 0] if sound.shape[1] == MFCC_WIDTH else np.sqrt((sound**2).mean(axis=1))
    low, high = float(level.min()), float(level.max())
    return (level - low) / (high - low) if high > low else np.zeros_like(level)


def _speaker_face(axes: Axes, side: Axes, clip: SpeakerClip) -> None:
    assert clip.attributes is not None
    times = _times(clip.frames, clip.fps)
    axes.plot(times, clip.attributes[:, VALENCE], color=SPEAKER, linewidth=1.2, label="valence")
    axes.plot(
        times,
        clip.attributes[:, SMILE],
        color=SPEAKER_FACE,
        linewidth=1.2,
        linestyle="--",
        label="smile (AU12)",
    )
    axes.set_ylim(-1.05, 1.05)
    axes.set_yticks([-1, 0, 1])
    _plain(axes)
    _title(axes, "Speaker: face")
    _legend(axes, side)


def _lines(axes: Axes, side: Axes, values: Array, fps: float, name: str, explanation: str) -> None:
    """One line a reaction (S, T), and their mean."""
    times = _times(values.shape[1], fps)
    many = len(values) > MOST_LABELS
    for i, (line, colour) in enumerate(zip(values, _colours(len(values)), strict=True)):
        label = "one reaction" if i == len(values) // 2 else None
        axes.plot(times, line, color=colour, lw=0.9, alpha=0.35 if many else 0.8, label=label)
    if len(values) > 1:
        axes.plot(times, values.mean(axis=0), color=MEAN, linewidth=2.2, label="mean")
    axes.set_ylim(-1.05, 1.05)
    axes.set_yticks([-1, -0.5, 0, 0.5, 1])
    _plain(axes)
    _title(axes, f"Reactions: {name.lower()}", explanation)
    _legend(axes, side)


def _rows(
    axes: Axes,
    side: Axes,
    values: Array,
    fps: float,
    name: str,
    colours: str,
    limits: tuple[float, float],
) -> None:
    """One row of colours a reaction (S, T), the first at the top."""
    count, frames = values.shape
    image = axes.imshow(
        values,
        aspect="auto",
        cmap=colours,
        vmin=limits[0],
        vmax=limits[1],
        interpolation="nearest",
        extent=(0, frames / fps, count + 0.5, 0.5),
    )
    every = -(-count // MOST_LABELS)
    axes.set_yticks(range(1, count + 1, every))
    axes.set_yticks(np.arange(0.5, count + 1), minor=True)
    axes.grid(which="minor", axis="y", color="white", linewidth=0.8)
    axes.tick_params(which="both", left=False, labelsize=8)
    shades = _colours(count)
    for label, number in zip(axes.get_yticklabels(), range(0, count, every), strict=True):
        label.set_color(shades[number])
        label.set_fontweight("bold")
    axes.set_ylabel("Reaction", fontsize=8)
    _title(axes, f"Reactions: {name[0].lower()}{name[1:]}")
    bar = axes.figure.colorbar(image, cax=side)
    bar.ax.tick_params(labelsize=8)


def _colours(count: int) -> list[Any]:
    """A colour a reaction, dark to light."""
    from matplotlib import colormaps

    return list(colormaps[REACTION_COLOURS](np.linspace(0, LIGHTEST, count)))


def _png(figure: Figure, description: str | None) -> bytes:
    """The picture's bytes; without matplotlib's version, so that they are the same again."""
    words = {"Software": None, "Title": MARK, "Description": description}
    content = io.BytesIO()
    with warnings.catch_warnings():
        # A script that the font does not have is drawn as boxes: not worth a line a letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(content, format="png", dpi=DPI, metadata=words)
    return content.getvalue()
