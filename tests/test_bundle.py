import json
from dataclasses import replace
from pathlib import Path

import pytest
from runtime_fakes import bundle_info, onnx_files

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_runtime.bundle import (
    SolverDefaults,
    bundle_for,
    open_bundle,
    versions,
    write_bundle,
)

INFO = bundle_info()
FILES = onnx_files()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "parent" / "bundle", INFO, FILES)
    return tmp_path / "parent" / "bundle"


def rewrite(folder: Path, **changes) -> None:
    path = folder / "bundle.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps(manifest | changes))


def test_what_is_written_is_what_is_opened(tmp_path):
    info = replace(
        INFO,
        defaults=SolverDefaults("ddim", 7, 1.5),
        reaction_mean=tuple(i / 3 for i in range(83)),
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


@pytest.mark.parametrize(
    "manifest",
    [
        "{",
        "[]",
        "{}",
        '{"schema_version": 1}',
        '{"schema_version": 1, "model": {"config": 3}}',
        '{"schema_version": 1, "model": {"config": {"width": 3}}}',
    ],
)
def test_a_broken_manifest_is_an_integrity_error(folder, manifest):
    (folder / "bundle.json").write_text(manifest)
    with pytest.raises(IntegrityError, match=r"bundle\.json"):
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
    rewrite(folder, schema_version=2)
    with pytest.raises(UsageError, match="schema version is 2, not 1"):
        open_bundle(folder)
    with pytest.raises(UsageError, match="no bundle"):
        open_bundle(folder.parent)


def test_a_wrong_number_of_channels_is_found(folder):
    rewrite(folder, reaction_mean=[0.0] * 82)
    with pytest.raises(IntegrityError, match="82 channels, not 83"):
        open_bundle(folder)


def test_a_bundle_replaces_an_older_one_and_nothing_else(folder):
    (folder / "left-over").write_text("x")
    write_bundle(folder, replace(INFO, opset=21), FILES)
    assert open_bundle(folder).info.opset == 21
    assert sorted(path.name for path in folder.iterdir()) == ["bundle.json", *sorted(FILES)]
    other = folder.parent / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="exists and is no bundle"):
        write_bundle(other, INFO, FILES)
    assert (other / "thesis.txt").read_text() == "mine"
    assert sorted(path.name for path in folder.parent.iterdir()) == ["bundle", "other"]


@pytest.mark.parametrize("failing", ["write_text", "rename"])
@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_a_write_that_fails_leaves_what_was_there(folder, monkeypatch, failing, error):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    original = getattr(Path, failing)

    def fail(self: Path, *args, **kwargs):
        if failing == "rename" and self == folder:  # the older one is put aside first
            return original(self, *args, **kwargs)
        if failing == "rename" and self.name == folder.name:  # and put back
            return original(self, *args, **kwargs)
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(Path, failing, fail)
        with pytest.raises(error):
            write_bundle(folder, replace(INFO, opset=21), FILES)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]


def test_a_graph_that_is_left_out_is_an_error(tmp_path):
    files = {name: content for name, content in FILES.items() if name != "modulator.onnx"}
    with pytest.raises(ValueError, match=r"modulator\.onnx"):
        write_bundle(tmp_path / "bundle", INFO, files)
    assert list(tmp_path.iterdir()) == []


def test_an_output_below_a_file_is_a_usage_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_bundle(tmp_path / "file" / "bundle", INFO, FILES)


def test_a_checkpoints_bundle_has_its_place_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    assert bundle_for("abc") == tmp_path / "bundles" / "abc"
