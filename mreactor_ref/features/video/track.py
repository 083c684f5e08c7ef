"""One face through a video: found once, then carried on from frame to frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.features.video.blendshapes import products, upright
from mreactor_ref.features.video.crop import Square
from mreactor_ref.features.video.detector import Detector
from mreactor_ref.features.video.expression import ExpressionNetwork, Judge
from mreactor_ref.features.video.frames import Frame, Pixels
from mreactor_ref.features.video.landmarks import Mesh, MeshNetwork
from mreactor_ref.features.video.pose import find_pose
from mreactor_ref.head.head import TARGETS
from mreactor_ref.signals import EXPRESSIONS, Array

LEAST_SCORE = 0.5  # of a mesh that is a face
LOOK_SECONDS = 2.0  # between looks at the whole picture for other faces
LARGER = 1.5  # times as large as the followed one must another face be, in two looks, to take over
JUDGE_SECONDS = 0.1  # between judgements of the expression
RUN_SECONDS = 0.2  # a face that is seen for less is a mistake
UPPER_LIP, LOWER_LIP = 13, 14  # the middles of their inner edges

# Columns of a row: what a frame leaves behind.
PRODUCTS = slice(0, len(TARGETS))
LIPS = PRODUCTS.stop
SCORE = LIPS + 1
POSE = slice(SCORE + 1, SCORE + 7)  # pitch, yaw, roll; right, up, towards
EXPRESSION = slice(POSE.stop, POSE.stop + len(EXPRESSIONS))
AFFECT = slice(EXPRESSION.stop, EXPRESSION.stop + 2)
WIDTH = AFFECT.stop


@dataclass(frozen=True)
class Track:
    """A face over a video.

    Attributes:
        times: (T',) when each frame is first shown, seconds from the start of the clip.
        rows: (T', WIDTH) float32 in the columns above; where no face was seen, NaN.
        others: the most faces seen beside the followed one in a picture.
        switches: how often another, larger face took over.
    """

    times: NDArray[np.float64]
    rows: Array
    others: int
    switches: int

    @property
    def seen(self) -> NDArray[np.bool_]:
        """(T',) whether the frame shows the face."""
        return np.isfinite(self.rows[:, SCORE])


class Follower:
    """Follows the largest steady face from frame to frame.

    Args:
        judge: of its expression; the default is the one that comes with the package.
    """

    def __init__(self, judge: Judge | None = None) -> None:
        self._detector, self._mesh = Detector(), MeshNetwork()
        self._judge: Judge = judge or ExpressionNetwork()
        self._square: Square | None = None
        self._fresh = False  # whether the square is the detector's
        self._looked = self._judged = -np.inf
        self._judgement = np.zeros(len(EXPRESSIONS) + 2, np.float32)
        self._rival: Square | None = None
        self._others: list[int] = []
        self.switches = 0

    def follow(self, frame: Frame) -> Array | None:
        """The row of the next frame, or None where it shows no face."""
        if self._square is None or frame.time - self._looked >= LOOK_SECONDS:
            self._look(frame)
        if self._square is None:
            return None
        mesh = self._mesh.find(frame.pixels, self._square)
        if self._fresh:  # the detector's square is coarser than a mesh's own
            mesh, self._fresh = self._mesh.find(frame.pixels, mesh.square), False
        if mesh.score < LEAST_SCORE:
            self._square, self._judged = None, -np.inf
            return None
        self._square = mesh.square
        if frame.time - self._judged >= JUDGE_SECONDS:
            self._judged = frame.time
            self._judgement = np.concatenate(self._judge.judge(frame.pixels, mesh.square))
        return _row(mesh, frame.pixels, self._judgement)

    def _look(self, frame: Frame) -> None:
        """Look at the whole picture: for a face to follow, or for one that is larger."""
        self._looked = frame.time
        faces = [detection.square for detection in self._detector.find(frame.pixels)]
        if self._square is None:
            sure = (square for square in faces if self._is_face(frame, square))
            self._square, self._rival, self._fresh = next(sure, None), None, True
        followed = self._square
        if followed is None:
            return
        others = [s for s in faces if not _same(s, followed) and self._is_face(frame, s)]
        self._others.append(len(others))
        larger = next((s for s in others if s.side > LARGER * followed.side), None)
        if larger is not None and self._rival is not None and _same(larger, self._rival):
            self._square, self._judged, self._rival, self._fresh = larger, -np.inf, None, True
            self.switches += 1
        else:
            self._rival = larger

    def _is_face(self, frame: Frame, square: Square) -> bool:
        """Whether the mesh, too, finds a face where the detector does."""
        return self._mesh.find(frame.pixels, square).score >= LEAST_SCORE

    @property
    def others(self) -> int:
        """The most faces beside the followed one in two looks, or in the only one."""
        return sorted([0, *self._others])[-2 if len(self._others) > 1 else -1]


def _same(one: Square, other: Square) -> bool:
    return bool(np.linalg.norm(one.centre - other.centre) < max(one.side, other.side) / 2)


def _row(mesh: Mesh, pixels: Pixels, judgement: Array) -> Array:
    height, width = pixels.shape[:2]
    points, pose = upright(mesh), find_pose(mesh, width, height)
    row = np.empty(WIDTH, np.float32)
    row[PRODUCTS] = products(points)
    row[LIPS] = np.linalg.norm(points[UPPER_LIP] - points[LOWER_LIP])
    row[SCORE] = mesh.score
    row[POSE] = [*pose.angles, *pose.translation]
    row[EXPRESSION.start :] = judgement
    return row


def follow_face(frames: Iterable[Frame], judge: Judge | None = None) -> Track:
    """Follow the face through the frames; seventy numbers of each frame are kept."""
    follower = Follower(judge)
    nothing = np.full(WIDTH, np.nan, np.float32)
    times: list[float] = []
    rows: list[Array] = []
    for frame in frames:
        row = follower.follow(frame)
        times.append(frame.time)
        rows.append(nothing if row is None else row)
    track = Track(
        np.array(times),
        np.array(rows, np.float32).reshape(-1, WIDTH),
        follower.others,
        follower.switches,
    )
    _drop_short_runs(track)
    return track


def _drop_short_runs(track: Track) -> None:
    """Take out faces that are seen for less than RUN_SECONDS between frames without one."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], track.seen.astype(int), [0]])))
    for start, end in zip(edges[::2], edges[1::2], strict=True):
        bounded = start > 0 and end < len(track.times)
        shown = track.times[min(end, len(track.times) - 1)] - track.times[start]
        if (bounded or end - start < len(track.times)) and shown < RUN_SECONDS:
            track.rows[start:end] = np.nan
