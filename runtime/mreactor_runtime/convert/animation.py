"""What the glTF files of a reaction share: tracks over time, and the word that it is generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mreactor_ref.signals import Array
from mreactor_runtime.convert.gltf import Accessors
from mreactor_runtime.convert.take import Take


class Track(NamedTuple):
    """Values over time of a node's `rotation`, `translation` or `weights`."""

    node: int
    path: str
    values: NDArray[np.float32]


def animation(take: Take, accessors: Accessors, tracks: Sequence[Track]) -> dict[str, Any]:
    """One animation of linear tracks, a key a frame; their arrays are added to `accessors`."""
    times = accessors.add(take.times.astype(np.float32), bounds=True)
    outputs = [accessors.add(track.values) for track in tracks]
    return {
        "name": f"reaction {take.about['reaction']}",
        "samplers": [
            {"input": times, "output": output, "interpolation": "LINEAR"} for output in outputs
        ],
        "channels": [
            {"sampler": k, "target": {"node": track.node, "path": track.path}}
            for k, track in enumerate(tracks)
        ],
    }


def generated_asset(take: Take) -> dict[str, Any]:
    """The `asset` of a file, which says what it is and where it came from."""
    generator = f"{take.about['generator']}: {take.about['what']}"
    return {"version": "2.0", "generator": generator, "extras": take.about}


def quaternions(angles: Array) -> NDArray[np.float32]:
    """(T, 4) x, y, z, w of pitch, yaw, roll (T, 3): the rotations of head/turn.py."""
    pitch, yaw, roll = angles.astype(np.float64).T
    turn = Rotation.from_euler("YXZ", np.stack([yaw, pitch, -roll], axis=1))
    return turn.as_quat().astype(np.float32)
