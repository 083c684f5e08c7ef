"""Loading of a transformers model: quietly, whole or not at all, and never code from the hub."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from mreactor_ref.errors import UsageError

T = TypeVar("T")

BROKEN = (OSError, ValueError, KeyError, TypeError, ImportError)  # what a folder may raise

HUB_SECONDS = 10  # to answer whether a model exists, before a download with its many retries
UNUSED_WEIGHTS = ("pooler.", "masked_spec_embed")  # checkpoints leave these out; nothing reads them


def load_pretrained(kind: str, name: str, load: Callable[..., T]) -> T:
    """Call `load(folder or hub name, **options)`: from the disk if it is there, else from the hub.

    Args:
        kind: what it is for, in the words of an error.
        name: a folder, or a hub name.
        load: calls `from_pretrained` with the options that it is given.

    Raises:
        UsageError: no such folder or model, no network, or files that are not such a model.
    """
    from huggingface_hub import HfApi
    from safetensors import SafetensorError

    folder = Path(name).expanduser()
    if is_folder_name(name) and not folder.is_dir():
        raise UsageError(f"the {kind} is not there", name, "give the folder of a saved model")
    local = {"local_files_only": True, "trust_remote_code": False}
    with _quiet():
        if folder.is_dir():
            try:
                return load(str(folder), **local)
            except (*BROKEN, SafetensorError) as error:
                raise UsageError(
                    f"the {kind} cannot be loaded: {first_line(error)}",
                    name,
                    "give the folder of a model that transformers saved",
                ) from error
        try:
            return load(name, **local)
        except (OSError, ValueError):  # not in the cache, or not all of it
            pass
        try:
            HfApi().model_info(name, timeout=HUB_SECONDS)
            return load(name, trust_remote_code=False)
        except UsageError:
            raise
        except Exception as error:  # the hub's client changes its exceptions from time to time
            raise UsageError(
                f"the {kind} {name!r} is not on this machine, and the hub does not give it: "
                f"{first_line(error)}",
                fix=f"check the name and the network, or give the folder of a model saved before; "
                f"`hf download {name}` fetches one",
            ) from error


def load_model(name: str, **options: Any) -> Any:
    """The model of a folder or hub name in float32, ready to run.

    Raises:
        UsageError: weights are missing, and would be random numbers.
    """
    from transformers import AutoModel

    model, info = AutoModel.from_pretrained(
        name, dtype="float32", output_loading_info=True, **options
    )
    missing = [
        key for key in info["missing_keys"] if not any(part in key for part in UNUSED_WEIGHTS)
    ]
    if missing:
        raise UsageError(
            f"{len(missing)} weights are missing, {sorted(missing)[0]} first",
            name,
            "give a complete model",
        )
    return model.eval()


def is_folder_name(name: str) -> bool:
    """Whether a model's name can only be a folder: a hub name is one or two parts."""
    folder = Path(name).expanduser()
    return folder.is_absolute() or name.startswith(".") or len(folder.parts) > 2


def first_line(error: Exception) -> str:
    """The first line of an exception's text, or its type where it has none."""
    lines = str(error).strip().split("\n")
    return lines[0] or type(error).__name__


@contextmanager
def _quiet() -> Generator[None]:
    """No progress bars and no advice from transformers while it loads; then as it was."""
    from transformers.utils import logging

    bars, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
