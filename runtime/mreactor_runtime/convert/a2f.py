"""Reactions as the JSON of weights that Audio2Face exports."""

from __future__ import annotations

import json

import numpy as np

from mreactor_runtime.convert.take import ENGINE_ORDER, Take


def a2f_json(take: Take) -> bytes:
    """The rate, the names of the 52 shapes, and a row of weights a frame; no turn of the head."""
    weights = np.round(take.shapes_as(ENGINE_ORDER).astype(np.float64), 6)
    content = {
        "exportFps": take.fps,
        "numPoses": len(ENGINE_ORDER),
        "numFrames": len(weights),
        "facsNames": ENGINE_ORDER,
        "weightMat": weights.tolist(),
        "about": take.about,
    }
    return json.dumps(content, separators=(",", ":")).encode()
