"""Simulated recordings of one speaker and one listener each, in the layouts of the challenges.

Recordings of one session differ in what is said and in length, as those of MARS do. The listener of
a recording heard its speaker; that the session's other listeners are appropriate too is the
challenge's rule, not a fact of the simulation.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mreactor_ref.data.simulated.faces import ShownFace
from mreactor_ref.data.simulated.listener import STYLES, simulate_listener
from mreactor_ref.data.simulated.speaker import Speaker, Turns, simulate_speaker
from mreactor_ref.data.simulated.writing import write_array, write_wav, write_words
from mreactor_ref.signals import ATTRIBUTE_NAMES


@dataclass(frozen=True)
class Recording:
    """One recording of a session.

    Attributes:
        number: in the session, from 0.
        style: of the listener.
    """

    number: int
    speaker: Speaker
    listener: ShownFace
    style: str


def recordings(
    rng: np.random.Generator, count: int, turns: Turns, shelves: Collection[int]
) -> Iterator[Recording]:
    """The recordings of a session, each with a listener of another style.

    Args:
        shelves: which sentences may be said.
    """
    styles = rng.permutation(list(STYLES))[:count].tolist()
    for number, style in enumerate(styles):
        speaker = simulate_speaker(rng, turns.seconds(rng), turns.fps, shelves)
        yield Recording(number, speaker, simulate_listener(rng, speaker, STYLES[style]), style)


def write_mars_recording(folder: Path, session: str, recording: Recording) -> str:
    """Write one as MARS has them, below the folder of a split: sound and faces, no words."""
    clip = f"Camera-{recording.number}"
    write_wav(folder / "audio/speaker" / session / f"{clip}.wav", recording.speaker.sound)
    for role, face in (("speaker", recording.speaker.face), ("listener", recording.listener)):
        place = f"{role}/{session}/{clip}.npy"
        write_array(folder / "facial-attributes" / place, face.attributes)
        write_array(folder / "coefficients" / place, face.coefficients[:, None])
    return clip


def write_react_recording(folder: Path, session: str, recording: Recording) -> str:
    """Write one as REACT 2023/2024 has them, with `Words_files`, this project's own addition."""
    chat, number = f"NoXI/{session}", recording.number + 1
    speaker = f"{chat}/Expert_video/{number}"
    write_wav(folder / "Audio_files" / f"{speaker}.wav", recording.speaker.sound)
    write_words(folder / "Words_files" / f"{speaker}.json", recording.speaker.script)
    listener = f"{chat}/Novice_video/{number}"
    for path, face in ((speaker, recording.speaker.face), (listener, recording.listener)):
        write_array(folder / "3D_FV_files" / f"{path}.npy", face.coefficients[:, None])
        emotion = folder / "Emotion" / f"{path}.csv"
        emotion.parent.mkdir(parents=True, exist_ok=True)
        header = ",".join(ATTRIBUTE_NAMES)
        np.savetxt(emotion, face.attributes, "%.6g", ",", header=header, comments="")
    return str(number)


def write_react_list(root: Path, split: str, clips: dict[str, dict[str, str]]) -> None:
    """Write the list of a split, and the matrix in which the clips of one chat fit each other.

    Args:
        clips: session -> clip -> style.
    """
    rows = [(session, clip) for session, of_session in clips.items() for clip in of_session]
    lines = [",speaker_path,listener_path"]
    for number, (session, clip) in enumerate(rows):
        chat = f"NoXI/{session}"
        lines.append(f"{number},{chat}/Expert_video/{clip},{chat}/Novice_video/{clip}")
    (root / f"{split}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sessions = np.array([session for session, _ in rows])
    same = (sessions[:, None] == sessions[None]).astype(np.float64)
    matrix = np.kron(np.eye(2), same)  # the rows as they are, and with both sides exchanged
    np.save(root / f"neighbour_emotion_{split}.npy", matrix)


WRITERS: dict[str, Callable[[Path, str, Recording], str]] = {
    "mars-dyads": write_mars_recording,
    "react2024": write_react_recording,
}
