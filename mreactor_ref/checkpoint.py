"""Checkpoints: one safetensors file with the model's config inside. Strict both ways."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

import safetensors

from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import IntegrityError, UsageError

if TYPE_CHECKING:  # finding and hashing a checkpoint must not wait for torch
    from mreactor_ref.model import MReactor

MODELS = Path(__file__).parent / "models"
FORMAT = "mreactor-1"


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
    names = ", ".join(shipped()) or "none in this installation"
    raise UsageError(f"no model {str(model)!r}", fix=f"give a file, or one of: {names}")


def checkpoint_hash(path: Path) -> str:
    """SHA-256 of the file, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_checkpoint(model: MReactor, path: Path, notes: dict[str, str] | None = None) -> None:
    """Write weights and config; `notes` (how it was trained) go into the metadata."""
    from safetensors.torch import save_file

    metadata = {"format": FORMAT, "config": json.dumps(model.config.to_dict()), **(notes or {})}
    tensors = {name: x.detach().cpu().contiguous() for name, x in model.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata)
    partial.replace(path)


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a checkpoint. Raises IntegrityError where the file is not one of ours."""
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise IntegrityError(
            f"not a safetensors file: {error}", path, "train or download it again"
        ) from None
    if metadata.get("format") != FORMAT:
        raise IntegrityError(
            f"its format is {metadata.get('format')!r}, not {FORMAT!r}",
            path,
            "give a checkpoint that mreactor-train wrote",
        )
    return metadata


def load_checkpoint(path: Path) -> MReactor:
    """The model in evaluation mode, on the CPU.

    Raises: IntegrityError for a file that is no checkpoint, or whose tensors are missing, extra,
        or of another shape than its config says.
    """
    from safetensors.torch import load_file

    from mreactor_ref.model import MReactor

    config = ModelConfig.from_dict(json.loads(read_metadata(path)["config"]))
    model = MReactor(config)
    given, expected = load_file(path), model.state_dict()
    problems = [f"missing {name}" for name in expected.keys() - given.keys()]
    problems += [f"unknown {name}" for name in given.keys() - expected.keys()]
    problems += [
        f"{name} is {tuple(given[name].shape)}, not {tuple(expected[name].shape)}"
        for name in given.keys() & expected.keys()
        if given[name].shape != expected[name].shape
    ]
    if problems:
        shown = "; ".join(sorted(problems)[:3])
        raise IntegrityError(f"{len(problems)} tensors do not fit the config: {shown}", path)
    model.load_state_dict(given)
    return model.eval().requires_grad_(False)
