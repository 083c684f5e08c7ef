import errno
import hashlib
import importlib.util
import json
import os
import random
import shutil
import socket
from dataclasses import replace
from pathlib import Path

import onnx
import onnx.helper
import pytest
from fakes.disk import fail_writing
from fakes.engines import CONFIG, bundle_info, onnx_files

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_ref.schedule import Solver
from mreactor_runtime import bundle as bundle_module
from mreactor_runtime.bundle import (
    SessionOptions,
    bundle_for,
    check_output,
    open_bundle,
    versions,
    write_bundle,
)
from mreactor_runtime.onnx_files import check_onnx
from mreactor_runtime.opening import MODULES, open_model
from mreactor_runtime.sealed_json import seal
from mreactor_runtime.tensors import ENCODER, example_inputs, graph_specs

INFO = bundle_info()
FILES = onnx_files()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "parent" / "bundle", INFO, FILES)
    return tmp_path / "parent" / "bundle"


def rewrite(folder: Path, **changes) -> None:
    """Another manifest with a hash that fits it, as somebody who means it would write."""
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text()) | changes
    del manifest["sha256"]
    path.write_bytes(seal(manifest))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_written_is_what_is_opened(tmp_path):
    info = replace(
        INFO,
        defaults=Solver("ddim", 7, 1.5),
        reaction_mean=tuple(i / 3 for i in range(83)),
        session=SessionOptions(graph_optimization_level="ORT_ENABLE_BASIC"),
        created_by=versions("torch", "no-such-package"),
    )
    write_bundle(tmp_path / "bundle", info, FILES)
    bundle = open_bundle(tmp_path / "bundle")
    assert bundle.info == info
    assert {name: bundle.read(name) for name in bundle.files} == FILES
    assert bundle.graph("denoiser") == FILES["denoiser.onnx"]
    manifest = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    assert list(manifest["created_by"]) == ["torch"]
    assert manifest["graphs"]["denoiser"]["inputs"][0] == {
        "name": "noisy",
        "axes": ["B", "S", "T", 83],
        "dtype": "float32",
        "range": [-10.0, 10.0],
    }
    assert manifest["files"]["encoder.onnx"]["bytes"] == len(FILES["encoder.onnx"])
    assert manifest["onnxruntime"] == {
        "graph_optimization_level": "ORT_ENABLE_BASIC",
        "execution_mode": "ORT_SEQUENTIAL",
        "use_deterministic_compute": True,
    }


@pytest.mark.parametrize("name", sorted(FILES))
def test_one_changed_byte_is_found_and_named(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=f"{name}.*SHA-256") as error:
        open_bundle(folder)
    assert error.value.exit_code == 5


def test_a_missing_file_is_named(folder):
    (folder / "denoiser.onnx").unlink()
    with pytest.raises(IntegrityError, match=r"denoiser\.onnx.*No such file"):
        open_bundle(folder)


def test_a_file_that_changes_after_opening_is_not_used(folder):
    bundle = open_bundle(folder)
    (folder / "encoder.onnx").write_bytes(b"other")
    with pytest.raises(IntegrityError, match=r"encoder\.onnx"):
        bundle.graph("encoder")
    with pytest.raises(IntegrityError, match="no engine"):
        bundle.read("engine")


def test_a_thousand_damages_are_refused_by_the_name_of_the_file(folder, monkeypatch):
    """One bit in any place of any file, the manifest too, or an end that is missing."""
    monkeypatch.setattr(bundle_module, "check_onnx", None)  # nothing is deserialised
    chance = random.Random(0)
    contents = {path: path.read_bytes() for path in sorted(folder.iterdir())}
    for number in range(1000):
        path, content = chance.choice(list(contents.items()))
        place = chance.randrange(len(content))
        damaged = bytearray(content)
        if number % 3:
            damaged[place] ^= 1 << chance.randrange(8)
        else:
            del damaged[place:]
        path.write_bytes(damaged)
        with pytest.raises(IntegrityError) as error:
            open_bundle(folder)
        assert error.value.path == path, number
        assert path.name in str(error.value)
        assert error.value.exit_code == 5
        path.write_bytes(content)
    assert open_bundle(folder).info == INFO


def test_every_byte_of_the_manifest_is_covered(folder):
    path = folder / "bundle.json"
    content = path.read_bytes()
    for place in (*range(200), *range(len(content) - 200, len(content))):
        for changed in (content[:place], content[:place] + b" " + content[place:]):
            path.write_bytes(changed)
            with pytest.raises(IntegrityError, match=r"bundle\.json"):
                open_bundle(folder)


def test_the_hash_of_a_manifest_can_be_had_without_the_package(folder):
    """As `sha256sum` gives it, once zeros stand in its place."""
    content = (folder / "bundle.json").read_text()
    stated = json.loads(content)["sha256"]
    blank = content.replace(stated, "0" * 64)
    assert hashlib.sha256(blank.encode()).hexdigest() == stated


def test_a_file_that_is_not_listed_is_named(folder):
    (folder / ".DS_Store").write_bytes(b"left by a file manager")
    (folder / "reactions").mkdir()
    assert open_bundle(folder).info == INFO
    (folder / "engine.plan").write_bytes(b"from elsewhere")
    with pytest.raises(IntegrityError, match=r"engine\.plan: is not listed in bundle\.json"):
        open_bundle(folder)


@pytest.mark.parametrize(
    "manifest",
    [
        "{",
        "[]",
        "{}",
        "[" * 100_000,
        '{"schema_version": 4}',
        '{"schema_version": 4, "model": {"config": 3}}',
    ],
)
def test_a_broken_manifest_is_an_integrity_error(folder, manifest):
    (folder / "bundle.json").write_text(manifest)
    with pytest.raises(IntegrityError, match=r"bundle\.json"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"config": 3}}, "TypeError"),
        ({"opset": None, "model": {"config": {}}}, "missing"),
        ({"model": {"name": "x", "config": {"width": 3}, "checkpoint_sha256": ""}}, "missing"),
        ({"files": {"encoder.onnx": {}}}, "KeyError"),
        ({"files": []}, "AttributeError"),
        ({"onnxruntime": {"execution_mode": "ORT_SOMEHOW"}}, "ORT_SOMEHOW"),
        ({"onnxruntime": {"surprise": 1}}, "surprise"),
    ],
)
def test_a_manifest_that_is_sealed_but_wrong(folder, changes, message):
    rewrite(folder, **changes)
    with pytest.raises(IntegrityError, match=rf"bundle\.json: no manifest.*{message}"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "a/b", ".."])
def test_a_name_that_leaves_the_folder_is_refused_unread(folder, name):
    rewrite(folder, files={name: {"sha256": "0" * 64, "bytes": 1}})
    with pytest.raises(IntegrityError, match="no plain file name"):
        open_bundle(folder)


def test_another_schema_or_table_says_to_export_again(folder):
    rewrite(folder, graphs={})
    with pytest.raises(IntegrityError, match=r"not those of this version.*export it again"):
        open_bundle(folder)
    rewrite(folder, schema_version=5)
    with pytest.raises(UsageError, match="schema version is 5, not 4"):
        open_bundle(folder)
    (folder / "bundle.json").write_text('{"schema_version": 1}')  # the first had no hash
    with pytest.raises(UsageError, match=r"schema version is 1, not 4 \(export it again"):
        open_bundle(folder)
    with pytest.raises(UsageError, match="no bundle"):
        open_bundle(folder.parent)


def test_a_wrong_number_of_channels_is_found(folder):
    rewrite(folder, reaction_mean=[0.0] * 82)
    with pytest.raises(IntegrityError, match="82 numbers, not 83"):
        open_bundle(folder)


def test_a_bundle_replaces_an_older_one_and_nothing_else(folder):
    (folder / "left-over").write_text("x")
    write_bundle(folder, replace(INFO, opset=21), FILES)
    assert open_bundle(folder).info.opset == 21
    assert names(folder) == ["bundle.json", *sorted(FILES)]
    other = folder.parent / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is no bundle"):
        write_bundle(other, INFO, FILES)
    assert (other / "thesis.txt").read_text() == "mine"
    assert names(folder.parent) == ["bundle", "other"]


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("failing", ["first", "denoiser.onnx", "bundle.json", "rename"])
@pytest.mark.parametrize("error", [FULL, KeyboardInterrupt()], ids=["full", "interrupted"])
@pytest.mark.parametrize("older", [True, False])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, failing, error, older):
    """Half of the file is on the disk when it is full."""
    folder = tmp_path / "bundle"
    if older:
        write_bundle(folder, INFO, FILES)
    before = {path.name: path.read_bytes() for path in folder.glob("*")}
    rename = Path.rename

    def fail_rename(self: Path, target: Path) -> Path:
        if self.name.startswith(".bundle.") and target == folder and failing == "rename":
            raise error
        return rename(self, target)

    with monkeypatch.context() as patch:
        fail_writing(patch, lambda path: failing in ("first", path.name), error)
        patch.setattr(Path, "rename", fail_rename)
        expected = UsageError if error is FULL else KeyboardInterrupt
        with pytest.raises(expected) as found:
            write_bundle(folder, replace(INFO, opset=21), FILES)
    if error is FULL:
        message = "cannot be written: No space left on device (give another --output)"
        assert str(found.value) == f"{folder}: {message}"
    assert {path.name: path.read_bytes() for path in folder.glob("*")} == before
    assert names(tmp_path) == (["bundle"] if older else [])
    if older:
        assert open_bundle(folder).info == INFO


def test_a_place_that_cannot_be_taken_is_said_before_any_work(tmp_path, monkeypatch):
    folder = tmp_path / "bundle"
    folder.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "ismount", lambda path: path == folder)
        with pytest.raises(UsageError, match=r"is a mount point.*give a folder inside it"):
            check_output(folder)
    room = shutil.disk_usage(tmp_path).free
    with pytest.raises(UsageError, match=r"its disk has .* MiB left, and a bundle is over"):
        check_output(folder, least=2 * room)
    check_output(folder, least=1)
    assert names(tmp_path) == ["bundle"]


def test_a_folder_that_cannot_be_put_aside_leaves_nothing_else(tmp_path, monkeypatch):
    folder = tmp_path / "bundle"
    write_bundle(folder, INFO, FILES)
    rename = Path.rename

    def busy(self: Path, target: Path) -> Path:
        if self == folder:
            raise OSError(errno.EBUSY, "Device or resource busy")
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", busy)
        with pytest.raises(UsageError, match="cannot be written: Device or resource busy"):
            write_bundle(folder, replace(INFO, opset=21), FILES)
    assert names(tmp_path) == ["bundle"]
    assert open_bundle(folder).info == INFO


def test_a_graph_that_is_left_out_is_an_error(tmp_path):
    files = {name: content for name, content in FILES.items() if name != "modulator.onnx"}
    with pytest.raises(ValueError, match=r"modulator\.onnx"):
        write_bundle(tmp_path / "bundle", INFO, files)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a/b.plan", "..", "bundle.json", ""])
def test_a_name_that_cannot_be_is_an_error(tmp_path, name):
    with pytest.raises(ValueError, match="cannot be called"):
        write_bundle(tmp_path / "bundle", INFO, FILES | {name: b"x"})
    assert list(tmp_path.iterdir()) == []


def test_an_output_below_a_file_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_bundle(tmp_path / "file" / "bundle", INFO, FILES)


def test_a_checkpoints_bundle_has_its_place_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert bundle_for("abc") == tmp_path / "bundles" / "abc"


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_bundle_moves(folder, tmp_path, monkeypatch, engine):
    """To another folder, read-only, with neither a checkpoint nor a network nor a cache."""
    if importlib.util.find_spec(MODULES[engine]) is None:
        pytest.skip(f"{engine} is not installed")
    moved = tmp_path / "another machine" / "model"
    shutil.copytree(folder, moved)
    shutil.rmtree(folder)
    for path in (*moved.iterdir(), moved):
        path.chmod(0o555 if path.is_dir() else 0o444)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "no such folder"))
    monkeypatch.chdir(moved.parent)

    def no_network(*_: object) -> None:
        raise AssertionError("a bundle asks nobody")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    before = {path: path.stat().st_mtime_ns for path in moved.iterdir()}
    opened = open_model("model", engine=engine, device="cpu", threads=1)
    assert opened.model.config == CONFIG
    sizes = {"B": 1, "S": 2, "T": 7}
    inputs = example_inputs(graph_specs(CONFIG)[ENCODER], sizes)
    assert opened.engine.run(ENCODER, inputs)["values"].shape == (1, 2, 1, 7, CONFIG.width)
    assert {path: path.stat().st_mtime_ns for path in moved.iterdir()} == before
    assert not (tmp_path / "no such folder").exists()
    moved.chmod(0o755)  # for those who clean up


def with_external_data() -> bytes:
    model = onnx.load_model_from_string(FILES["encoder.onnx"])
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return model.SerializeToString()


def with_external_data_inside_a_node() -> bytes:
    model = onnx.load_model_from_string(FILES["encoder.onnx"])
    hidden = onnx.TensorProto(name="hidden", data_location=onnx.TensorProto.EXTERNAL)
    inner = onnx.helper.make_graph([], "inner", [], [], [hidden])
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("body", inner))
    return model.SerializeToString()


def of_another_checkpoint() -> bytes:
    model = onnx.load_model_from_string(FILES["encoder.onnx"])
    model.metadata_props.add(key="checkpoint_sha256", value="f" * 64)
    return model.SerializeToString()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (with_external_data(), "keeps data of 1 tensors in other files"),
        (with_external_data_inside_a_node(), "in other files, 'hidden' first"),
        (of_another_checkpoint(), r"is of the checkpoint f+\.\.\., not 0+\.\.\. of its bundle"),
        (b"", "is no ONNX model"),
        (b"not an onnx file", "is no ONNX model"),
    ],
)
def test_a_graph_from_elsewhere_is_refused_though_its_hash_is_listed(tmp_path, content, message):
    write_bundle(tmp_path / "bundle", INFO, FILES | {"encoder.onnx": content})
    with pytest.raises(IntegrityError, match=rf"encoder\.onnx: .*{message}.*export it again"):
        open_model(tmp_path / "bundle", engine="onnx", device="cpu")


def test_a_graph_of_its_own_checkpoint_is_taken():
    check_onnx(
        of_another_checkpoint(), Path("encoder.onnx"), "f" * 64, graph_specs(CONFIG)[ENCODER]
    )


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_graph_in_the_place_of_another_is_refused_whatever_an_engine_forgets(tmp_path, engine):
    swapped = FILES | {"denoiser.onnx": FILES["conditional.onnx"]}
    write_bundle(tmp_path / "bundle", INFO, swapped)
    with pytest.raises(IntegrityError, match=r"denoiser\.onnx: has the inputs .*, not .*guidance"):
        open_model(tmp_path / "bundle", engine=engine, device="cpu")


def test_the_graphs_of_a_run_have_one_hash(tmp_path):
    first = write_bundle(tmp_path / "first", INFO, FILES).graphs_sha256
    assert write_bundle(tmp_path / "again", INFO, FILES | {"x.plan": b"x"}).graphs_sha256 == first
    model = onnx.load_model_from_string(FILES["denoiser.onnx"])
    model.doc_string = "another"
    other = FILES | {"denoiser.onnx": model.SerializeToString()}
    changed = write_bundle(tmp_path / "other", INFO, other)
    assert changed.graphs_sha256 != first
    assert (
        open_model(tmp_path / "other", "onnx", "cpu").model.graphs_sha256 == changed.graphs_sha256
    )


def test_a_session_option_that_onnx_runtime_has_not_is_an_error():
    with pytest.raises(ValueError, match="'ORT_FASTER'"):
        SessionOptions(graph_optimization_level="ORT_FASTER")
