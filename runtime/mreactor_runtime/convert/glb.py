"""Reactions as binary glTF: the head with its 52 morph targets, moved by one reaction."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.head.head import PARTS, TARGETS, load_head
from mreactor_ref.head.picture import paint, vertex_normals
from mreactor_ref.signals import Array
from mreactor_runtime.convert.animation import Track, animation, generated_asset, quaternions
from mreactor_runtime.convert.gltf import INDICES, VERTICES, Accessors
from mreactor_runtime.convert.take import Take

CREDIT = "Head: MakeHuman base mesh and Face Units 01 by Mika Suominen, CC0 1.0"
ROUGHNESS = {"skin": 0.6, "eyes": 0.2, "teeth": 0.3, "tongue": 0.5}
LEAST_BEND = 1e-3  # of a normal; less is not stored


@dataclass(frozen=True)
class Model:
    """The head as glTF: its arrays, primitives and materials; a part of PARTS each."""

    accessors: Accessors
    primitives: list[dict[str, Any]]
    materials: list[dict[str, Any]]


def head_glb(take: Take) -> bytes:
    """The head, the weights of its targets over time, and how it is turned.

    Metres; x to the head's left, y up, z out of the face. The colours of iris, lips, brows and hair
    are those of vertices. `asset` says that it is generated.
    """
    model = head_model()
    accessors = model.accessors.copy()
    tracks = (
        Track(0, "weights", take.shapes.reshape(-1)),
        Track(0, "rotation", quaternions(take.angles)),
    )
    mesh = {
        "name": "head",
        "primitives": model.primitives,
        "weights": [0.0] * len(TARGETS),
        "extras": {"targetNames": TARGETS},
    }
    return accessors.to_bytes(
        {
            "asset": generated_asset(take) | {"copyright": CREDIT},
            "scene": 0,
            "scenes": [{"nodes": [0]}],
            "nodes": [{"name": "head", "mesh": 0}],
            "meshes": [mesh],
            "materials": model.materials,
            "animations": [animation(take, accessors, tracks)],
        }
    )


@cache
def head_model() -> Model:
    """The head, which every file holds."""
    head, accessors = load_head(), Accessors()
    rest = vertex_normals(head.vertices, head)
    bends = [vertex_normals(head.vertices + target, head) - rest for target in head.targets]
    bends = [np.where(np.abs(b).max(axis=1, keepdims=True) > LEAST_BEND, b, 0) for b in bends]
    primitives, materials = [], []
    for part, name in enumerate(PARTS):
        vertices, corners = np.unique(head.triangles[head.parts == part], return_inverse=True)
        base, colours = part_colours(head.vertices[vertices], part)
        primitives.append(
            {
                "attributes": {
                    "POSITION": accessors.add(head.vertices[vertices], VERTICES, bounds=True),
                    "NORMAL": accessors.add(rest[vertices], VERTICES),
                    "COLOR_0": accessors.add(colours, VERTICES, normalized=True),
                },
                "indices": accessors.add(corners.reshape(-1).astype(np.uint16), INDICES),
                "material": part,
                "targets": [
                    {
                        "POSITION": accessors.add_sparse(target[vertices]),
                        "NORMAL": accessors.add_sparse(bend[vertices]),
                    }
                    for target, bend in zip(head.targets, bends, strict=True)
                ],
            }
        )
        surface = {"baseColorFactor": base, "metallicFactor": 0, "roughnessFactor": ROUGHNESS[name]}
        materials.append({"name": name, "doubleSided": True, "pbrMetallicRoughness": surface})
    return Model(accessors, primitives, materials)


def part_colours(places: Array, part: int) -> tuple[list[float], NDArray[np.uint8]]:
    """The colour of a part, linear RGBA, and what shares of it its vertices (N, 3) have: (N, 4).

    Where a reader leaves the vertices' colours out, the part has one colour.
    """
    painted = linear(paint(places.astype(np.float64), np.full(len(places), part, np.uint8))[0])
    base = painted.max(axis=0)
    shares = np.ones((len(places), 4))
    shares[:, :3] = painted / base
    return [*base.tolist(), 1.0], np.round(255 * shares).astype(np.uint8)


def linear(shown: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours as screens show them (sRGB) -> linear ones."""
    return np.where(shown <= 0.04045, shown / 12.92, ((shown + 0.055) / 1.055) ** 2.4)
