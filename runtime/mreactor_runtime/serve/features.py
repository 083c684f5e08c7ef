"""A clip as JSON: its streams on the frame grid, made by somebody else's encoders."""

from __future__ import annotations

from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import ClipError
from mreactor_ref.signals import ATTRIBUTES, COEFFICIENTS, STREAMS, Array, SpeakerClip, Utterance

MOST_PROBLEMS = 3  # that are told of
MOST_UTTERANCES, MOST_LETTERS = 10_000, 1_000_000

Rows = list[list[float]]


class Said(BaseModel):
    """Words that belong together."""

    model_config = ConfigDict(extra="forbid")

    start: float = Field(ge=0, allow_inf_nan=False, description="Seconds.")
    end: float = Field(ge=0, allow_inf_nan=False)
    text: str


class Features(BaseModel):
    """A clip as features, a row a frame; every stream but one may be left out."""

    model_config = ConfigDict(extra="forbid")

    fps: float = Field(description="Frames a second; those of the model.")
    sound: Rows | None = Field(None, description="As wide as the model's sound encoder makes it.")
    words: Rows | None = Field(None, description="Likewise; 0 where nobody speaks.")
    coefficients: Rows | None = Field(None, description=f"{COEFFICIENTS} of FaceVerse.")
    attributes: Rows | None = Field(None, description=f"{ATTRIBUTES} of the face.")
    utterances: list[Said] = Field([], description="What is said, which the priors come from.")


def parse_features(content: bytes) -> Features:
    """The features of a body.

    Raises:
        ClipError: it is none of them.
    """
    try:
        return Features.model_validate_json(content)
    except ValidationError as error:
        raise _wrong(f"are none of a clip: {told(error.errors())}") from None


def told(problems: Any) -> str:
    """What pydantic finds wrong, without the values."""
    lines = [f"{'.'.join(map(str, one['loc'])) or 'it'}: {one['msg']}" for one in problems]
    more = f" and {len(lines) - MOST_PROBLEMS} more" if len(lines) > MOST_PROBLEMS else ""
    return "; ".join(lines[:MOST_PROBLEMS]) + more


def as_clip(features: Features, clip_id: str, config: ModelConfig) -> SpeakerClip:
    """The clip that a model reads.

    Raises:
        ClipError: it does not fit the model, or its streams do not fit each other.
    """
    if features.fps != config.fps:
        fix = f"bring them to {config.fps:g}"
        raise _wrong(f"have {features.fps:g} frames a second, not {config.fps:g}", fix)
    widths = (config.sound, config.words, COEFFICIENTS, ATTRIBUTES)
    streams = {
        name: _stream(name, getattr(features, name), width)
        for name, width in zip(STREAMS, widths, strict=True)
    }
    lengths = {name: len(stream) for name, stream in streams.items() if stream is not None}
    if not lengths:
        raise _wrong(f"have no stream: none of {', '.join(STREAMS)}")
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise _wrong(f"have streams of several lengths: {shown}")
    said = features.utterances
    if len(said) > MOST_UTTERANCES or sum(len(one.text) for one in said) > MOST_LETTERS:
        problem = f"have more than {MOST_UTTERANCES} utterances or {MOST_LETTERS} letters"
        raise _wrong(problem, "cut the clip")
    utterances = tuple(Utterance(one.start, one.end, one.text) for one in said)
    frames = next(iter(lengths.values()))
    return SpeakerClip(clip_id, frames, features.fps, **streams, utterances=utterances)


def _wrong(problem: str, fix: str | None = None) -> ClipError:
    return ClipError(problem, "features", fix)


def _stream(name: str, rows: Rows | None, width: int) -> Array | None:
    """(T, width). Raises ClipError."""
    if rows is None:
        return None
    widths = sorted({len(row) for row in rows})
    if widths != [width]:
        shown = " and ".join(map(str, widths[:2])) or "no"
        raise _wrong(f"have {name} of {shown} numbers a frame, not {width}")
    with np.errstate(over="ignore"):  # what is too large becomes infinite
        values = np.array(rows, np.float32)
    if not np.isfinite(values).all():
        raise _wrong(f"have {name} that are not finite")
    return values
