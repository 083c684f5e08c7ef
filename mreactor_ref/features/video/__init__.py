"""The face out of a video: networks that run offline on a CPU, and what is made of their output."""

from mreactor_ref.features.video.description import VideoFace
from mreactor_ref.features.video.frames import read_frames
from mreactor_ref.features.video.reader import FaceReader, open_face_reader
from mreactor_ref.features.video.store import read_face_of_video, read_video_face

__all__ = [
    "FaceReader",
    "VideoFace",
    "open_face_reader",
    "read_face_of_video",
    "read_frames",
    "read_video_face",
]
