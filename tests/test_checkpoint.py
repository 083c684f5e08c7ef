import pickle
from pathlib import Path

import pytest
import safetensors.torch
import torch
from models import random_model, small_config

from mreactor_ref.checkpoint import (
    checkpoint_hash,
    find_checkpoint,
    load_checkpoint,
    read_metadata,
    save_checkpoint,
)
from mreactor_ref.errors import IntegrityError, UsageError


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
    assert len(checkpoint_hash(path)) == 64
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("change", ["missing", "unknown", "shape"])
def test_tensors_that_do_not_fit_are_named(tmp_path: Path, change: str):
    model, path = random_model(small_config()), tmp_path / "m.safetensors"
    save_checkpoint(model, path)
    tensors, metadata = safetensors.torch.load_file(path), read_metadata(path)
    if change == "missing":
        del tensors["denoiser.null_token"]
    elif change == "unknown":
        tensors["surprise"] = torch.zeros(1)
    else:
        tensors["denoiser.null_token"] = torch.zeros(3)
    safetensors.torch.save_file(tensors, path, metadata)
    with pytest.raises(IntegrityError, match=r"surprise|denoiser\.null_token") as error:
        load_checkpoint(path)
    assert str(path) in str(error.value)


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
