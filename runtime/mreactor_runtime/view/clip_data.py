"""What the page of a clip shows of it: reactions in few bytes, words, priors and figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mreactor_ref.data.clips import ClipFiles
from mreactor_ref.metrics.diversity import clip_frdiv, clip_frvar
from mreactor_ref.signals import ATTRIBUTE_NAMES, Array
from mreactor_runtime.convert.result import read_result
from mreactor_runtime.convert.take import make_take
from mreactor_runtime.run.manifest import Line
from mreactor_runtime.view.script import packed
from mreactor_runtime.view.sources import media_of, utterances_of

MOST_SHOWN = 20  # reactions of a clip that its page holds
DEFAULT_FPS = 25.0  # where nothing tells it: that of the REACT challenges
# What one of the whole numbers is worth: of shapes (uint8), attributes (int8), radians (int16).
SHAPE_STEP, ATTRIBUTE_STEP, ANGLE_STEP = 1 / 255, 1 / 127, 1e-4
LARGEST_ANGLE = 32767 * ANGLE_STEP  # 3.3 radians


@dataclass(frozen=True)
class Shown:
    """A clip as its page and its row of the run show it.

    Attributes:
        data: for its page, as JSON.
        seconds: of the clip.
        reactions: their number.
        streams: of the speaker, those that files are there for; None where no file was found.
        subjects: of the priors, the most frequent first.
        frdiv, frvar: see metrics/diversity.py.
        notes: what its page cannot show, and why.
        mark: that it is generated, and by what.
    """

    data: dict[str, Any]
    seconds: float
    reactions: int
    streams: tuple[str, ...] | None
    subjects: tuple[str, ...]
    frdiv: float
    frvar: float
    notes: tuple[str, ...]
    mark: str


def show_clip(
    result: Path, line: Line, clip: ClipFiles | None, page: Path, media: str, meaning: str
) -> Shown:
    """Read a clip's result and what is known of it.

    Args:
        result: its npz. line: of the manifest. clip: its own files, where they were found.
        page: the file of its page. media: see `sources.media_of`. meaning: see `take.make_take`.

    Raises:
        ClipError: the result cannot be read.
    """
    read = read_result(result)
    fps = read.provenance.fps or DEFAULT_FPS
    samples, frames = read.attributes.shape[:2]
    seconds = frames / fps
    played, no_sound = media_of(clip, page, media)
    utterances, no_words = utterances_of(clip, result, seconds)
    priors, no_priors = _priors(line)
    utterances = utterances or [{"words": []} for _ in range(max(map(len, priors), default=0))]
    frdiv, frvar = (float(f([read.attributes])[0]) for f in (clip_frdiv, clip_frvar))
    warned = line.get("warnings")
    warnings = map(str, warned if isinstance(warned, list) else [])
    notes = [*warnings, *filter(None, (no_sound, no_words, no_priors))]
    if read.provenance.fps is None:
        notes.append(f"its frames a second are not known: taken as {DEFAULT_FPS:g}")
    if samples > MOST_SHOWN:
        notes.append(f"shown are the first {MOST_SHOWN} of {samples} reactions")
    streams = None if clip is None else _streams(clip)
    data = {
        "id": line["id"],
        "provenance": read.provenance.to_dict(),
        "fps": fps,
        "frames": frames,
        "reactions": min(samples, MOST_SHOWN),
        "media": played and {"src": played.address, "video": played.is_video},
        "utterances": utterances,
        "priors": priors,
        "streams": streams,
        "frdiv": frdiv,
        "frvar": frvar,
        "notes": notes,
        "names": ATTRIBUTE_NAMES,
        **_packed_takes(read.attributes[:MOST_SHOWN], read.coefficients[:MOST_SHOWN], meaning),
    }
    measures = frdiv, frvar, tuple(notes), read.provenance.line
    return Shown(data, seconds, samples, streams, _subjects(priors), *measures)


def _priors(line: Line) -> tuple[list[list[dict[str, Any]]], str]:
    """The priors of each reaction, an utterance each, and a note where they cannot be shown."""
    try:
        return [
            [
                {
                    "subject": str(prior["subject"]),
                    "emotion": str(prior["emotion"]),
                    "polarity": float(prior["polarity"]),
                    "intensity": float(prior["intensity"]),
                }
                for prior in reaction["priors"]
            ]
            for reaction in line.get("reactions") or []
        ][:MOST_SHOWN], ""
    except (TypeError, KeyError, ValueError, AttributeError):  # of another version
        return [], "its priors are not as this version writes them"


def _streams(clip: ClipFiles) -> tuple[str, ...]:
    return tuple(name for name in ("sound", "words", "face") if name not in clip.missing)


def _subjects(priors: list[list[dict[str, Any]]]) -> tuple[str, ...]:
    counts: dict[str, int] = {}
    for prior in (prior for row in priors for prior in row):
        counts[prior["subject"]] = counts.get(prior["subject"], 0) + 1
    return tuple(sorted(counts, key=lambda subject: -counts[subject]))


def _packed_takes(attributes: Array, coefficients: Array, meaning: str) -> dict[str, Any]:
    """Reactions (S, T, 25) and (S, T, 58) as whole numbers; shapes that never show are left out."""
    takes = [
        make_take(*reaction, meaning, DEFAULT_FPS, {})
        for reaction in zip(attributes, coefficients, strict=True)
    ]
    shapes = np.stack([take.shapes for take in takes])  # (S, T, 52)
    angles = np.stack([take.angles for take in takes])  # (S, T, 3)
    places = np.flatnonzero(shapes.max(axis=(0, 1)) >= SHAPE_STEP / 2)
    turns = np.clip(angles, -LARGEST_ANGLE, LARGEST_ANGLE)
    levels = np.clip(attributes, -1, 1)

    def table(values: Array, step: float, dtype: type) -> dict[str, Any]:
        return {"step": step, "data": packed(np.rint(values / step), dtype)}

    return {
        "shapes": {"places": places.tolist(), **table(shapes[..., places], SHAPE_STEP, np.uint8)},
        "angles": table(turns, ANGLE_STEP, np.int16),
        "attributes": table(levels, ATTRIBUTE_STEP, np.int8),
    }
