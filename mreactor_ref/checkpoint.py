"""Checkpoints: one safetensors file with the model's config inside. Strict both ways.

Nothing else is read: a pickle runs what is in it, so it is known by its first bytes and refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors

from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_ref.files import in_place_of
from mreactor_ref.json_text import parse_json

if TYPE_CHECKING:  # finding and hashing a checkpoint must not wait for torch
    from mreactor_ref.model import MReactor

# What a config's values are in JSON, by the annotation of the field.
JSON_TYPES = {"int": (int,), "float": (int, float), "str": (str,), "Attention": (str,)}
TYPES = {field.name: JSON_TYPES[str(field.type)] for field in fields(ModelConfig)}

MODELS = Path(__file__).parent / "models"
FORMAT = "mreactor-1"
SHOWN = 3  # problems of a file that are named
TRAIN = "give a checkpoint that mreactor-train wrote"

# What else may be offered: how such files begin, by their format, and by their name.
PICKLE = "a pickle, which runs what is in it when it is read"
ONNX = "an ONNX graph; give the folder of its bundle"
BEGINNINGS = {
    b"PK\x03\x04": PICKLE,  # what torch.save writes
    b"\x80": PICKLE,
    b"\x89HDF": "an HDF5 file",
    b"GGUF": "a GGUF file",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself; run git lfs pull",
}
SUFFIXES = {
    **dict.fromkeys((".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle"), PICKLE),
    **dict.fromkeys((".onnx",), ONNX),
    **dict.fromkeys((".engine", ".plan", ".trt"), "a TensorRT engine; give its bundle's folder"),
}


def shipped() -> list[str]:
    """Names of the models that come with the package."""
    return sorted(path.stem for path in MODELS.glob("*.safetensors"))


def find_checkpoint(model: str | Path) -> Path:
    """The file of a shipped model's name, or of a path.

    Raises: UsageError for a name that is neither.
    """
    named = MODELS / f"{model}.safetensors"
    if str(model) in shipped():
        return named
    path = Path(model)
    if path.is_file():
        return path
    if path.is_dir():
        raise UsageError("is a folder, not a checkpoint", path, "give the .safetensors file itself")
    names = ", ".join(shipped()) or "none in this installation"
    raise UsageError(f"no model {str(model)!r}", fix=f"give a file, or one of: {names}")


def save_checkpoint(model: MReactor, path: Path, notes: dict[str, str] | None = None) -> None:
    """Write weights and config; `notes` (how it was trained) go into the metadata.

    Raises: UsageError where it cannot be written; then an older file there stays.
    """
    from safetensors.torch import save_file

    metadata = {"format": FORMAT, "config": json.dumps(model.config.to_dict()), **(notes or {})}
    tensors = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    try:
        with in_place_of(path) as partial:
            save_file(tensors, partial, metadata)
    except (safetensors.SafetensorError, OSError) as error:
        raise UsageError(
            f"cannot be written: {error}", path, "make room, or write elsewhere"
        ) from None


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a checkpoint. Raises IntegrityError where the file is not one of ours."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        if kind := _foreign(path):
            raise IntegrityError(f"no checkpoint but {kind}", path, TRAIN) from None
        raise IntegrityError(
            f"not a safetensors file: {error}", path, "train or download it again"
        ) from None
    form = metadata.get("format")
    if form != FORMAT:
        ours = form is not None and form.startswith(FORMAT.rstrip("0123456789"))
        raise IntegrityError(
            f"its format is {form!r}, not {FORMAT!r}",
            path,
            "take the version of mreactor that wrote it" if ours else TRAIN,
        )
    return metadata


def load_checkpoint(path: Path) -> MReactor:
    """The model in evaluation mode, on the CPU.

    Raises: IntegrityError for a file that is no checkpoint, or whose tensors are missing, extra,
        of another shape or type than its config says, or not finite.
    """
    import torch
    from safetensors.torch import load_file

    from mreactor_ref.model import MReactor

    config = _config(read_metadata(path), path)
    try:
        with torch.device("meta"):  # no memory: a broken config may say any size
            expected = MReactor(config).state_dict()
        given = load_file(path)
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise _broken_config(path, error) from None
    except (safetensors.SafetensorError, OSError) as error:
        raise IntegrityError(
            f"cannot be read: {error}", path, "train or download it again"
        ) from None
    problems = [f"missing {name}" for name in expected.keys() - given.keys()]
    problems += [f"unknown {name}" for name in given.keys() - expected.keys()]
    for name in given.keys() & expected.keys():
        if given[name].shape != expected[name].shape:
            shapes = tuple(given[name].shape), tuple(expected[name].shape)
            problems.append(f"{name} is {shapes[0]}, not {shapes[1]}")
        elif given[name].dtype != expected[name].dtype:
            problems.append(f"{name} is {given[name].dtype}, not {expected[name].dtype}")
        elif not given[name].isfinite().all():
            problems.append(f"{name} has numbers that are not finite")
    if problems:
        more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
        shown = "; ".join(sorted(problems)[:SHOWN]) + more
        raise IntegrityError(f"tensors do not fit the config: {shown}", path, "train it again")
    model = MReactor(config)
    model.load_state_dict(given)
    return model.eval().requires_grad_(False)


def _config(metadata: Mapping[str, str], path: Path) -> ModelConfig:
    """The config in the metadata. Raises IntegrityError where it is missing or broken."""
    try:
        values = parse_json(metadata["config"])
        if not isinstance(values, dict):
            raise TypeError(f"{type(values).__name__}, not an object")
        for name, value in values.items():
            expected = TYPES.get(name)
            if expected is not None and type(value) not in expected:
                raise TypeError(f"{name} is {value!r}")
        return ModelConfig.from_dict(values)
    except UsageError as error:
        raise _broken_config(path, error) from None
    except KeyError:
        raise IntegrityError("its metadata has no config", path, TRAIN) from None
    except (ValueError, TypeError, ArithmeticError) as error:
        raise _broken_config(path, error) from None


def _broken_config(path: Path, error: Exception) -> IntegrityError:
    reason = str(error).partition("\n")[0]
    return IntegrityError(f"its config makes no model: {reason}", path, TRAIN)


def _foreign(path: Path) -> str | None:
    """The kind of a file that is no checkpoint, by how it begins or by its name."""
    try:
        with path.open("rb") as file:
            start = file.read(max(map(len, BEGINNINGS)))
    except OSError:
        return None
    known = (kind for beginning, kind in BEGINNINGS.items() if start.startswith(beginning))
    return next(known, SUFFIXES.get(path.suffix.lower()))
