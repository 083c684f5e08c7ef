import errno
import json
import os
import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from fakes.models import random_model, small_config

from mreactor_ref.checkpoint import (
    find_checkpoint,
    load_checkpoint,
    read_metadata,
    save_checkpoint,
)
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_ref.files import sha256_of


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path):
    model, path = random_model(small_config()), tmp_path / "m.safetensors"
    model.reaction.mean.normal_()
    save_checkpoint(model, path, {"seed": "3"})
    loaded = load_checkpoint(path)
    assert loaded.config == model.config
    assert not loaded.training
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    assert read_metadata(path)["seed"] == "3"
    assert len(sha256_of(path)) == 64
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("change", ["missing", "unknown", "shape", "type", "not finite"])
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, change: str):
    model, path = random_model(small_config()), tmp_path / "m.safetensors"
    save_checkpoint(model, path)
    tensors, metadata = safetensors.torch.load_file(path), read_metadata(path)
    if change == "missing":
        del tensors["denoiser.null_token"]
    elif change == "unknown":
        tensors["surprise"] = torch.zeros(1)
    elif change == "type":
        tensors["denoiser.null_token"] = tensors["denoiser.null_token"].half()
    elif change == "not finite":
        tensors["denoiser.null_token"][0] = torch.nan
    else:
        tensors["denoiser.null_token"] = torch.zeros(3)
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(IntegrityError, match=r"surprise|denoiser\.null_token") as error:
        load_checkpoint(path)
    assert str(error.value).startswith(f"{path}: tensors do not fit the config: ")
    assert "train it again" in str(error.value)


def test_a_whole_layer_too_much_is_one_line(tmp_path: Path):
    path = tmp_path / "m.safetensors"
    save_checkpoint(random_model(small_config(layers=3)), path)
    metadata = read_metadata(path)
    config = json.loads(metadata["config"]) | {"layers": 2}
    safetensors.torch.save_file(
        safetensors.torch.load_file(path), path, metadata | {"config": json.dumps(config)}
    )
    with pytest.raises(
        IntegrityError, match=r"tensors do not fit.*unknown denoiser.*; and \d+ more"
    ) as error:
        load_checkpoint(path)
    assert len(str(error.value)) < 400


def test_what_is_no_checkpoint_is_refused(tmp_path: Path):
    pickled, foreign = tmp_path / "p.safetensors", tmp_path / "f.safetensors"
    pickled.write_bytes(pickle.dumps({"weights": [1, 2, 3]}))
    safetensors.torch.save_file({"x": torch.zeros(1)}, foreign)
    for path in (pickled, foreign):
        with pytest.raises(IntegrityError, match=path.name):
            load_checkpoint(path)


def test_an_unknown_model_is_told_the_names():
    with pytest.raises(UsageError, match="no model 'maxi'"):
        find_checkpoint("maxi")


PICKLED = "no checkpoint but a pickle, which runs what is in it when it is read"


class Bomb:
    """Runs when it is unpickled."""

    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle ran')",)


@pytest.mark.parametrize("name", ["m.pt", "m.bin", "m.ckpt", "m.safetensors"])
@pytest.mark.parametrize("how", ["torch", "old torch", "pickle", "text pickle"])
def test_a_pickle_is_refused_unread(tmp_path: Path, name: str, how: str):
    path = tmp_path / name
    if how == "pickle":
        path.write_bytes(pickle.dumps(Bomb()))
    elif how == "text pickle":
        path.write_bytes(pickle.dumps(Bomb(), protocol=0))
    else:
        torch.save({"weights": Bomb()}, path, _use_new_zipfile_serialization=how == "torch")
    with pytest.raises(IntegrityError) as error:
        load_checkpoint(path)
    line = str(error.value)
    assert len(line.splitlines()) == 1
    if (name, how) == ("m.safetensors", "text pickle"):  # nothing tells it from any other text
        assert line.startswith(f"{path}: not a safetensors file")
    else:
        assert line == f"{path}: {PICKLED} (give a checkpoint that mreactor-train wrote)"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("denoiser.onnx", b"\x08\x0a", "an ONNX graph; give the folder of its bundle"),
        ("m.engine", b"ftrt", "a TensorRT engine"),
        ("m.safetensors", b"version https://git-lfs.github.com/spec/v1", "run git lfs pull"),
        ("m.h5", b"\x89HDF\r\n", "an HDF5 file"),
        ("m.safetensors", b"", "not a safetensors file"),
        ("m.safetensors", b"\xff" * 64, "not a safetensors file"),
    ],
)
def test_what_else_is_no_checkpoint_is_called_by_its_name(
    tmp_path: Path, name: str, content: bytes, message: str
):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(IntegrityError, match=message) as error:
        load_checkpoint(path)
    assert str(error.value).startswith(f"{path}: ")
    assert len(str(error.value).splitlines()) == 1


def changed(**values: object) -> str:
    return json.dumps(small_config().to_dict() | values)


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({}, "its format is None, not 'mreactor-1' (give a checkpoint that"),
        ({"format": "pt"}, "its format is 'pt', not 'mreactor-1' (give a checkpoint that"),
        ({"format": "mreactor-2"}, "'mreactor-2', not 'mreactor-1' (take the version of mreactor"),
        ({"format": "mreactor-1"}, "its metadata has no config"),
        ({"config": ""}, "its config makes no model: "),
        ({"config": "{"}, "its config makes no model: "),
        ({"config": "[" * 100_000}, "its config makes no model: "),
        ({"config": "[]"}, "its config makes no model: list, not an object"),
        ({"config": "{}"}, "its config makes no model: model config: missing ["),
        ({"config": changed(surprise=1)}, "unknown ['surprise']"),
        ({"config": changed(width="wide")}, "width is 'wide'"),
        ({"config": changed(width=None)}, "width is None"),
        ({"config": changed(layers=2.5)}, "layers is 2.5"),
        ({"config": changed(layers=99)}, "layers is 99, not 1 to 9"),
        ({"config": changed(heads=0)}, "its config makes no model: "),
        ({"config": changed(width=-16)}, "its config makes no model: "),
        ({"config": changed(attention="sideways")}, "attention is 'sideways'"),
        ({"config": changed(width=2 * 10**6)}, "tensors do not fit the config: "),
        ({"config": changed(width=2 * 10**30)}, "its config makes no model: "),
    ],
)
def test_metadata_that_is_broken_is_one_clear_line(
    tmp_path: Path, metadata: dict[str, str], message: str
):
    path = tmp_path / "m.safetensors"
    if "config" in metadata:
        metadata = {"format": "mreactor-1", **metadata}
    safetensors.torch.save_file(random_model(small_config()).state_dict(), path, metadata)
    with pytest.raises(IntegrityError) as error:
        load_checkpoint(path)
    line = str(error.value)
    assert message in line
    assert line.startswith(f"{path}: ")
    assert line.endswith(")")  # what to do
    assert len(line.splitlines()) == 1


def test_a_full_disk_leaves_the_older_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, path = random_model(small_config()), tmp_path / "m.safetensors"
    save_checkpoint(model, path)
    before = path.read_bytes()

    def full(tensors: object, partial: Path, metadata: object) -> None:
        Path(partial).write_bytes(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(UsageError, match=r"m\.safetensors: cannot be written: .*No space left"):
        save_checkpoint(model, path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_processes_that_write_one_checkpoint_do_not_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Another one writes the same file from the start to the end while this one is at it."""
    model, path = random_model(small_config()), tmp_path / "m.safetensors"
    save = safetensors.torch.save_file

    def meanwhile(*args: object) -> None:
        save(*args)
        monkeypatch.setattr(safetensors.torch, "save_file", save)
        with monkeypatch.context() as other:
            other.setattr(os, "getpid", lambda: -1)
            save_checkpoint(model, path, {"writer": "the other"})

    monkeypatch.setattr(safetensors.torch, "save_file", meanwhile)
    save_checkpoint(model, path, {"writer": "this one"})
    assert read_metadata(path)["writer"] == "this one"
    assert list(tmp_path.iterdir()) == [path]
