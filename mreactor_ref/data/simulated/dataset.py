"""The simulated dyads on disk: a tree in which every right reaction is known.

Each session has one speaker clip and the reactions of several listeners, each of another style
(see speaker.py and listener.py); or, in the layouts of the challenges, several recordings of one
speaker and one listener (see recordings.py). What is learned from it is for trying the tool.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from mreactor_ref.data.simulated.faces import ShownFace
from mreactor_ref.data.simulated.listener import STYLES, simulate_listener
from mreactor_ref.data.simulated.recordings import WRITERS, recordings, write_react_list
from mreactor_ref.data.simulated.sentences import SHELVES
from mreactor_ref.data.simulated.speaker import Speaker, Turns, simulate_speaker
from mreactor_ref.data.simulated.speech import MIN_SECONDS
from mreactor_ref.data.simulated.writing import write_array, write_wav, write_words
from mreactor_ref.errors import UsageError

GENERATOR = "3"  # version; a change of the bytes is a new one
SESSIONS = {"train": 480, "val": 60, "test": 60}
LISTENERS = 5  # of each speaker
MIN_FPS, MAX_FPS = 10.0, 120.0
SECONDS = (Turns.shortest, Turns.longest)
ALIGNED, REACT = "mars", "react2024"
LAYOUTS = (ALIGNED, *WRITERS)

# Sentences said in one of these splits are said in no other split.
HELD_OUT = {"val": (0,), "test": (1,)}
SHARED = tuple(range(2, SHELVES))


def write_dataset(
    root: str | Path,
    sessions: Mapping[str, int] | None = None,
    seed: int = 0,
    fps: float = 25.0,
    listeners: int = LISTENERS,
    progress: Callable[[int, int], None] | None = None,
    layout: str = ALIGNED,
    seconds: tuple[float, float] = SECONDS,
) -> None:
    """Simulate dyads and write them in the layout of MARS (REACT 2025/2026), or another.

    `<root>/<split>/{audio,words,facial-attributes,coefficients}/{speaker,listener}/<session>/
    <clip>.{wav,json,npy,npy}`. Listeners are silent: they have no audio and no words. `words`, an
    addition to MARS, holds segments with word times. `<root>/dataset.json`, written last, holds
    version, arguments and the style of each listener clip. The same arguments write the same
    bytes; a session depends on the seed, its split and number, fps, seconds and listeners alone.

    Args:
        root: a new or empty folder.
        sessions: how many of each split; SESSIONS if None. No sentence of the splits `val` and
            `test` is said in another split.
        seed: 0 or more.
        fps: frames a second, 10 to 120.
        listeners: of each speaker, 1 to 6, each of another style; in the other layouts the
            recordings of a session, of one listener each.
        progress: called with the number of sessions written and their total.
        layout: "mars"; "mars-dyads", as MARS is: a listener has a speaker clip of its own, of the
            same name, lengths differ, and nothing has words; or "react2024".
        seconds: the least and the most of a clip; at least 8, so that a sentence fits.

    Raises:
        UsageError: an argument that cannot be, a folder that is not empty or cannot be written.
    """
    root, sessions = Path(root), dict(SESSIONS if sessions is None else sessions)
    turns = Turns(fps, *seconds)
    _check(sessions, seed, turns, listeners)
    if layout not in LAYOUTS:
        raise UsageError(f"no layout {layout!r}", fix=f"one of: {', '.join(LAYOUTS)}")
    styles: dict[str, dict[str, dict[str, str]]] = {}
    total, done = sum(sessions.values()), 0
    try:
        root.mkdir(parents=True, exist_ok=True)
        if any(root.iterdir()):
            raise UsageError("the folder is not empty", root, "give a new or an empty folder")
        for split, count in sessions.items():
            styles[split] = {}
            for number in range(count):
                session = f"session-{number:04d}"
                rng = np.random.default_rng((seed, zlib.crc32(split.encode()), number))
                write = _write_session if layout == ALIGNED else _write_recordings(layout)
                styles[split][session] = write(root / split, session, rng, split, turns, listeners)
                done += 1
                if progress is not None:
                    progress(done, total)
            if layout == REACT:
                write_react_list(root, split, styles[split])
        record: dict[str, object] = {
            "generator": GENERATOR,
            "seed": seed,
            "fps": fps,
            "listeners": listeners,
            "sessions": sessions,
            "styles": styles,
        }
        if layout != ALIGNED:
            record["layout"] = layout
        if seconds != SECONDS:
            record["seconds"] = seconds
        (root / "dataset.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror or error}",
            error.filename or root,
            "give another folder, or make room",
        ) from error


def _check(sessions: Mapping[str, int], seed: int, turns: Turns, listeners: int) -> None:
    if not sessions:
        raise UsageError("no split has a session", fix="ask for one at least")
    if min(sessions.values()) < 1:
        raise UsageError(f"sessions are {dict(sessions)}, not at least one in each split")
    for split in sessions:
        if not split.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"the split {split!r} is not a name", None, "use letters and digits")
    if seed < 0:
        raise UsageError(f"the seed is {seed}, not 0 or more")
    if not MIN_FPS <= turns.fps <= MAX_FPS:
        raise UsageError(f"fps is {turns.fps:g}, not {MIN_FPS:g} to {MAX_FPS:g}")
    if not MIN_SECONDS <= turns.shortest <= turns.longest:
        raise UsageError(
            f"clips are of {turns.shortest:g} to {turns.longest:g} seconds",
            fix=f"the least is {MIN_SECONDS:g}, and the most no less than the least",
        )
    if not 1 <= listeners <= len(STYLES):
        raise UsageError(f"listeners is {listeners}, not 1 to {len(STYLES)}, the number of styles")


def _write_session(
    folder: Path, session: str, rng: np.random.Generator, split: str, turns: Turns, listeners: int
) -> dict[str, str]:
    """Simulate and write one session; returns the style of each listener clip."""
    shelves = HELD_OUT.get(split, SHARED)
    speaker = simulate_speaker(rng, turns.seconds(rng), turns.fps, shelves)
    _write_speaker(folder, session, speaker)
    chosen = rng.permutation(list(STYLES))[:listeners].tolist()
    clips = {f"clip-{i}": style for i, style in enumerate(chosen)}
    for clip, style in clips.items():
        face = simulate_listener(rng, speaker, STYLES[style])
        _write_face(folder, f"listener/{session}/{clip}", face)
    return clips


def _write_recordings(layout: str) -> Callable[..., dict[str, str]]:
    """A function as `_write_session`, of recordings in one of the challenges' layouts."""

    def write(
        folder: Path, session: str, rng: np.random.Generator, split: str, turns: Turns, count: int
    ) -> dict[str, str]:
        shelves = HELD_OUT.get(split, SHARED)
        return {
            WRITERS[layout](folder, session, recording): recording.style
            for recording in recordings(rng, count, turns, shelves)
        }

    return write


def _write_speaker(folder: Path, session: str, speaker: Speaker) -> None:
    clip = f"speaker/{session}/clip-0"
    write_wav(folder / "audio" / f"{clip}.wav", speaker.sound)
    write_words(folder / "words" / f"{clip}.json", speaker.script)
    _write_face(folder, clip, speaker.face)


def _write_face(folder: Path, clip: str, face: ShownFace) -> None:
    write_array(folder / "facial-attributes" / f"{clip}.npy", face.attributes)
    write_array(folder / "coefficients" / f"{clip}.npy", face.coefficients)
