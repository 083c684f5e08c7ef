"""Reactions as VRM animations: for any VRM 1.0 avatar, its expressions and the turn of its head.

By VRMC_vrm_animation 1.0: each expression is a node, whose place along x is its weight.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mreactor_ref.head.head import TARGETS
from mreactor_ref.signals import EXPRESSION_SLICE, EXPRESSIONS, Array
from mreactor_runtime.convert.animation import Track, animation, generated_asset, quaternions
from mreactor_runtime.convert.gltf import Accessors
from mreactor_runtime.convert.take import Take

EXTENSION = "VRMC_vrm_animation"
# VRM has no Fear, Disgust and Contempt; at Neutral its face is at rest.
PRESETS = {"happy": "Happy", "angry": "Anger", "sad": "Sad", "surprised": "Surprise"}
OPEN_MOUTH = "aa"
HEAD, HIPS = "head", "hips"

# The bones that VRM 1.0 requires, standing in its T-pose: the parent, and the place from it in
# metres; x to the left, y up, z forwards.
_MIDDLE: dict[str, tuple[str | None, tuple[float, float, float]]] = {
    HIPS: (None, (0.0, 0.95, 0.0)),
    "spine": (HIPS, (0.0, 0.12, 0.0)),
    HEAD: ("spine", (0.0, 0.5, 0.0)),
}
_LEFT = {
    "UpperArm": ("spine", (0.17, 0.33, 0.0)),
    "LowerArm": ("UpperArm", (0.26, 0.0, 0.0)),
    "Hand": ("LowerArm", (0.25, 0.0, 0.0)),
    "UpperLeg": (HIPS, (0.09, -0.05, 0.0)),
    "LowerLeg": ("UpperLeg", (0.0, -0.42, 0.0)),
    "Foot": ("LowerLeg", (0.0, -0.42, 0.0)),
}
SKELETON = _MIDDLE | {
    f"{side}{bone}": (f"{side}{parent}" if parent in _LEFT else parent, (sign * x, y, z))
    for side, sign in (("left", 1.0), ("right", -1.0))
    for bone, (parent, (x, y, z)) in _LEFT.items()
}


def vrm_animation(take: Take) -> bytes:
    """The weights of five preset expressions over time, and the rotation of the head's bone.

    `happy`, `angry`, `sad` and `surprised` are the probabilities of these expressions, `aa` is how
    far the mouth is open. No bone but the head moves. `asset` says that it is generated.
    """
    bones, weights = list(SKELETON), preset_weights(take)
    nodes: list[dict[str, Any]] = []
    for name, (_, place) in SKELETON.items():
        children = [bones.index(bone) for bone, (parent, _) in SKELETON.items() if parent == name]
        nodes.append(
            {"name": name, "translation": place} | ({"children": children} if children else {})
        )
    tracks = [Track(bones.index(HEAD), "rotation", quaternions(take.angles))]
    expressions: dict[str, dict[str, int]] = {}
    for name, values in weights.items():
        expressions[name] = {"node": len(nodes)}
        places = np.zeros((len(values), 3), np.float32)
        places[:, 0] = values
        tracks.append(Track(len(nodes), "translation", places))
        nodes.append({"name": name})
    accessors = Accessors()
    extension = {
        "specVersion": "1.0",
        "humanoid": {"humanBones": {bone: {"node": k} for k, bone in enumerate(bones)}},
        "expressions": {"preset": expressions},
    }
    return accessors.to_bytes(
        {
            "asset": generated_asset(take),
            "extensionsUsed": [EXTENSION],
            "extensions": {EXTENSION: extension},
            "scene": 0,
            "scenes": [{"nodes": [0, *(node["node"] for node in expressions.values())]}],
            "nodes": nodes,
            "animations": [animation(take, accessors, tracks)],
        }
    )


def preset_weights(take: Take) -> dict[str, Array]:
    """Preset expression of VRM -> (T,) its weight, 0 to 1."""
    expressions = take.attributes[:, EXPRESSION_SLICE]
    weights = {name: expressions[:, EXPRESSIONS.index(own)] for name, own in PRESETS.items()}
    opened = take.shapes[:, TARGETS.index("jawOpen")] - take.shapes[:, TARGETS.index("mouthClose")]
    weights[OPEN_MOUTH] = opened
    return {name: np.clip(values, 0.0, 1.0) for name, values in weights.items()}
