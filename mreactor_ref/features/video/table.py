"""`<clip>.face.csv`: the face of a video as a table that people and `read_face` can read."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np

from mreactor_ref.features.video.description import VideoFace
from mreactor_ref.files import write_whole
from mreactor_ref.signals import ATTRIBUTE_NAMES, AU_SLICE

SUFFIX = ".face.csv"
POSE_NAMES = ("pitch", "yaw", "roll", "right", "up", "towards")
OTHER_NAMES = ("timestamp", *POSE_NAMES, "confidence", "seen")


def write_table(path: Path, face: VideoFace) -> None:
    """Write the table whole or not at all."""
    write_whole(path, as_table(face))


def as_table(face: VideoFace) -> bytes:
    """The table: lines of remarks that begin with #, the header, a row a frame.

    The timestamp is when the frame begins, in seconds from the start of the clip, as OpenFace has
    it. Cells of the pose are empty where the face is not seen.
    """
    track = face.face
    assert track is not None, "a video without a face has no table"
    attributes, times = track.attributes, track.times
    assert attributes is not None, "no attributes"
    assert times is not None, "no times"
    half = np.median(np.diff(times)) / 2 if len(times) > 1 else 0.0
    with io.StringIO(newline="") as file:
        for line in face.warnings:
            file.write(f"# {line}\n")
        file.write("# pose: radians, and centimetres of the canonical face from the camera\n")
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*OTHER_NAMES, *ATTRIBUTE_NAMES])
        for k, row in enumerate(attributes.tolist()):
            pose = ["" if np.isnan(value) else f"{value:.4f}" for value in face.pose[k].tolist()]
            units = [f"{value:.0f}" for value in row[AU_SLICE]]
            others = [f"{value:.4f}" for value in row[AU_SLICE.stop :]]
            about = [
                f"{times[k] - half:.6f}",
                *pose,
                f"{face.confidence[k]:.4f}",
                int(face.seen[k]),
            ]
            table.writerow([*about, *units, *others])
        return file.getvalue().encode()
