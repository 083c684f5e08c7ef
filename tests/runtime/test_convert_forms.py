"""Each form of a reaction, read by somebody else's reader."""

import csv
import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from fakes.results import FPS, some_reactions, write_run

pytest.importorskip("openfacefx")
pytest.importorskip("pygltflib")

from openfacefx.edits import sample
from openfacefx.export_a2f import read_a2f
from openfacefx.importers_csv import read_csv as read_live_link
from openfacefx.importers_gltf import read_gltf
from pygltflib import GLTF2

from mreactor_ref.features.action_units import unit_shapes
from mreactor_ref.features.faces.tools import read_csv as read_face
from mreactor_ref.head.head import PARTS, TARGETS, load_head
from mreactor_ref.head.turn import angles, rotation
from mreactor_ref.signals import ANGLE_SLICE, ATTRIBUTE_NAMES, AU_SLICE, SHAPE_SLICE
from mreactor_runtime.convert.convert import convert
from mreactor_runtime.convert.tables import openface_angles
from mreactor_runtime.convert.vrma import SKELETON

ROOT = Path(__file__).parents[2]
FRAMES = 60
REACTIONS = some_reactions(FRAMES)
ATTRIBUTES, COEFFICIENTS = REACTIONS.attributes[1], REACTIONS.coefficients[1]
SHAPES = unit_shapes(ATTRIBUTES[:, AU_SLICE])
TIMES = np.arange(FRAMES) / FPS
THREE = (0, 31, 59)  # frames that are looked at one by one


@pytest.fixture
def written(tmp_path):
    """Writes reaction 1 in a form; the file."""
    write_run(tmp_path / "run", {"a": FRAMES})

    def write(form: str, **options) -> Path:
        options = {"reaction": 1} | options
        return convert(tmp_path / "run" / "a.npz", [form], tmp_path / "out", **options)[0]

    return write


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def shapes_of(track, names=TARGETS) -> np.ndarray:
    """(T, 52) what openfacefx read, at the times of the frames; it drops what stays 0."""
    keys = {channel.name: channel.keys for channel in track.channels}
    return np.stack([sample(keys.get(name, []), TIMES) for name in names], axis=1)


def test_csv_gives_every_attribute_again_to_the_last_bit(written):
    path = written("csv")
    assert path.name == "a.reaction1.csv"
    rows = rows_of(path)
    values = np.array([[row[name] for name in ATTRIBUTE_NAMES] for row in rows], np.float32)
    np.testing.assert_array_equal(values, ATTRIBUTES)
    assert [float(row["time"]) for row in rows] == pytest.approx(TIMES)
    np.testing.assert_array_equal(read_face(path).attributes, ATTRIBUTES)


def test_openface_has_its_columns_units_of_0_and_1_and_radians(written):
    rows = rows_of(written("openface-csv"))
    assert list(rows[0])[:8] == [
        *("frame", "face_id", "timestamp", "confidence", "success"),
        *("pose_Rx", "pose_Ry", "pose_Rz"),
    ]
    assert [int(row["frame"]) for row in rows] == list(range(1, FRAMES + 1))
    assert {row["AU12_c"] for row in rows} == {"0", "1"}
    clear = np.abs(ATTRIBUTES[:, 7] - 0.5) > 0.05  # outside the hysteresis
    units = np.array([int(row["AU12_c"]) for row in rows])
    np.testing.assert_array_equal(units[clear], ATTRIBUTES[clear, 7] > 0.5)


@pytest.mark.parametrize("axis", range(3))
def test_openface_turns_are_about_the_cameras_axes(axis):
    """A small turn about one of our axes is one about x, y or z of the camera."""
    turn = np.zeros((1, 3), np.float32)
    turn[0, axis] = 0.1
    expected = np.zeros(3)
    expected[axis] = (0.1, -0.1, 0.1)[axis]  # down; to its left is -y; left ear down
    np.testing.assert_allclose(openface_angles(turn)[0], expected, atol=1e-7)


def test_openface_angles_are_the_same_rotation():
    """Rx Ry Rz of OpenFace's definition, seen in our axes: y and z point the other way there."""
    flip = np.diag([1.0, -1.0, -1.0])
    for ours, (a, b, c) in zip(
        COEFFICIENTS[:5, ANGLE_SLICE], openface_angles(COEFFICIENTS[:5, ANGLE_SLICE]), strict=True
    ):
        x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
        y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
        z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
        np.testing.assert_allclose(flip @ x @ y @ z @ flip, rotation(*ours), atol=1e-6)


def test_live_link_is_read_by_openfacefx(written):
    path = written("livelink-csv")
    track, warnings = read_live_link(str(path), fps=FPS, epsilon=1e-6)
    names = [name[0].upper() + name[1:] for name in TARGETS]
    np.testing.assert_allclose(shapes_of(track, names), SHAPES, atol=1e-4)
    assert all("Head" in warning for warning in warnings)  # which are no weights
    rows = rows_of(path)
    assert len(rows[0]) == 63
    assert list(rows[0])[:2] == ["Timecode", "BlendShapeCount"]
    assert {row["BlendShapeCount"] for row in rows} == {"61"}
    assert rows[27]["Timecode"] == "00:00:01:02.000"
    for frame in THREE:
        pitch, yaw, roll = COEFFICIENTS[frame, ANGLE_SLICE]
        turn = [float(rows[frame][f"Head{angle}"]) for angle in ("Yaw", "Pitch", "Roll")]
        assert turn == pytest.approx([yaw, pitch, -roll], abs=1e-6)
        assert float(rows[frame]["LeftEyeYaw"]) == 0


def test_audio2face_is_read_by_openfacefx(written):
    path = written("a2f-json")
    track, warnings = read_a2f(str(path), epsilon=1e-6)
    assert (track.fps, warnings) == (FPS, [])
    np.testing.assert_allclose(shapes_of(track), SHAPES, atol=1e-4)
    content = json.loads(path.read_text())
    assert (content["numPoses"], content["numFrames"]) == (52, FRAMES)


def test_arkit_coefficients_are_taken_as_they_are(written):
    track, _ = read_a2f(str(written("a2f-json", coefficients="arkit")), epsilon=1e-6)
    expected = np.clip(COEFFICIENTS[:, SHAPE_SLICE], 0, 1)
    np.testing.assert_allclose(shapes_of(track), expected, atol=1e-4)


def array_of(gltf: GLTF2, number: int) -> np.ndarray:
    """An accessor's values, sparse ones too."""
    accessor, widths = gltf.accessors[number], {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
    types = {5121: np.uint8, 5123: np.uint16, 5126: np.float32}

    def view(k: int, count: int, kind: type, width: int) -> np.ndarray:
        start = gltf.bufferViews[k].byteOffset
        return np.frombuffer(gltf.binary_blob(), kind, count * width, start).reshape(count, width)

    width, kind = widths[accessor.type], types[accessor.componentType]
    if accessor.bufferView is not None:
        return view(accessor.bufferView, accessor.count, kind, width)
    values = np.zeros((accessor.count, width), kind)
    if accessor.sparse is not None:
        count, indices = accessor.sparse.count, accessor.sparse.indices
        rows = view(indices.bufferView, count, types[indices.componentType], 1)[:, 0]
        values[rows] = view(accessor.sparse.values.bufferView, count, kind, width)
    return values


def tracks_of(gltf: GLTF2) -> dict[tuple[str, str], np.ndarray]:
    """(node, path) -> its values; the keys of all are at the times of the frames."""
    [animation], tracks = gltf.animations, {}
    for channel in animation.channels:
        sampler = animation.samplers[channel.sampler]
        np.testing.assert_allclose(array_of(gltf, sampler.input)[:, 0], TIMES, rtol=1e-6)
        node = gltf.nodes[channel.target.node].name
        tracks[node, channel.target.path] = array_of(gltf, sampler.output)
    return tracks


def turned(quaternion: np.ndarray) -> np.ndarray:
    """(3, 3) the rotation of a unit quaternion x, y, z, w."""
    x, y, z, w = quaternion.astype(np.float64)
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def test_glb_moves_the_head_as_the_reaction_does(written):
    path = written("glb")
    track, warnings = read_gltf(str(path), epsilon=1e-6)
    assert (round(track.fps, 3), warnings) == (FPS, [])
    np.testing.assert_allclose(shapes_of(track), SHAPES, atol=1e-4)
    tracks = tracks_of(GLTF2.load_binary(str(path)))
    assert set(tracks) == {("head", "weights"), ("head", "rotation")}
    np.testing.assert_array_equal(tracks["head", "weights"].reshape(FRAMES, 52), SHAPES)
    for frame in THREE:
        matrix = turned(tracks["head", "rotation"][frame])
        np.testing.assert_allclose(angles(matrix), COEFFICIENTS[frame, ANGLE_SLICE], atol=1e-6)


def test_glb_holds_the_head_part_by_part(written):
    gltf, head = GLTF2.load_binary(str(written("glb"))), load_head()
    [mesh] = gltf.meshes
    assert tuple(mesh.extras["targetNames"]) == TARGETS
    assert [material.name for material in gltf.materials] == list(PARTS)
    for part, primitive in enumerate(mesh.primitives):
        corners = array_of(gltf, primitive.indices).reshape(-1, 3)
        expected = head.triangles[head.parts == part]
        places = array_of(gltf, primitive.attributes.POSITION)
        np.testing.assert_array_equal(places[corners], head.vertices[expected])
        for target, morph in zip(head.targets, primitive.targets, strict=True):
            moved = array_of(gltf, morph["POSITION"])
            np.testing.assert_array_equal(moved[corners], target[expected])
        lengths = np.linalg.norm(array_of(gltf, primitive.attributes.NORMAL), axis=1)
        np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_vrma_has_presets_and_the_head_of_a_whole_skeleton(written):
    gltf = GLTF2.load_binary(str(written("vrma")))
    extension = gltf.extensions["VRMC_vrm_animation"]
    assert extension["specVersion"] == "1.0"
    bones = {name: bone["node"] for name, bone in extension["humanoid"]["humanBones"].items()}
    sides = ("UpperArm", "LowerArm", "Hand", "UpperLeg", "LowerLeg", "Foot")
    required = {f"{side}{bone}" for side in ("left", "right") for bone in sides}
    assert set(bones) == required | {"hips", "spine", "head"}  # what VRM 1.0 asks for
    for name, (parent, _) in SKELETON.items():
        assert parent is None or bones[name] in gltf.nodes[bones[parent]].children
    tracks = tracks_of(gltf)
    preset = extension["expressions"]["preset"]
    for name, attribute in {"happy": "Happy", "angry": "Anger", "sad": "Sad"}.items():
        places = tracks[gltf.nodes[preset[name]["node"]].name, "translation"]
        expected = ATTRIBUTES[:, ATTRIBUTE_NAMES.index(attribute)]
        np.testing.assert_array_equal(places[:, 0], expected)
        assert not places[:, 1:].any()
    opened = SHAPES[:, TARGETS.index("jawOpen")] - SHAPES[:, TARGETS.index("mouthClose")]
    np.testing.assert_allclose(tracks["aa", "translation"][:, 0], np.clip(opened, 0, 1))
    matrix = turned(tracks["head", "rotation"][31])
    np.testing.assert_allclose(matrix, rotation(*COEFFICIENTS[31, ANGLE_SLICE]), atol=1e-6)


@pytest.mark.parametrize("form", ["glb", "vrma"])
def test_the_khronos_validator_finds_no_fault(form, written):
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node, which runs the Khronos glTF validator")
    script = """
        const bytes = new Uint8Array(require('fs').readFileSync(process.argv[1]))
        require('gltf-validator').validateBytes(bytes).then(r => console.log(JSON.stringify(r)))
    """
    places = f"{ROOT / '.venv/gltf/node_modules'}{os.pathsep}{os.environ.get('NODE_PATH', '')}"
    done = subprocess.run(
        [node, "-e", script, str(written(form))],
        capture_output=True, text=True, env=os.environ | {"NODE_PATH": places},
    )  # fmt: skip
    if "Cannot find module 'gltf-validator'" in done.stderr:
        pytest.skip("gltf-validator is not installed: make validator")
    issues = json.loads(done.stdout)["issues"]
    assert (issues["numErrors"], issues["numWarnings"]) == (0, 0), issues["messages"]


@pytest.mark.parametrize("form", ["a2f-json", "glb", "vrma", "csv"])
def test_a_file_says_that_it_is_generated(form, written):
    path = written(form)
    if form == "a2f-json":
        about = json.loads(path.read_text())["about"]
    elif form == "csv":
        about = json.loads(path.with_name("a.reaction1.csv.about.json").read_text())
    else:
        asset = GLTF2.load_binary(str(path)).asset
        assert "AI-generated" in asset.generator
        about = asset.extras
    expected = {"ai_generated": True, "generator": "mreactor 0.0.9", "model": "tiny", "seed": 7}
    assert about.items() >= (expected | {"clip": "a", "reaction": 1}).items()


def test_another_rate_is_read_linearly_at_the_middles_of_frames(written):
    rows = rows_of(written("csv", fps=50))
    assert len(rows) == 2 * FRAMES
    smile = np.array([float(row["AU12"]) for row in rows])
    own, wanted = (np.arange(FRAMES) + 0.5) / 25, (np.arange(2 * FRAMES) + 0.5) / 50
    np.testing.assert_allclose(smile, np.interp(wanted, own, ATTRIBUTES[:, 7]), atol=1e-6)


def test_smoothing_is_a_gaussian_and_only_where_asked_for(written):
    rows = rows_of(written("csv", smooth=0.08))
    smile = np.array([float(row["AU12"]) for row in rows])
    distance = np.arange(-8, 9)
    weights = np.exp(-0.5 * (distance / 2) ** 2)  # 0.08 s are 2 frames
    expected = (ATTRIBUTES[30 + distance, 7] * weights).sum() / weights.sum()
    assert smile[30] == pytest.approx(expected, abs=1e-5)
