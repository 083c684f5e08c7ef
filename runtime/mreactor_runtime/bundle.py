"""The artefact folder: a manifest with the hash of every file, written whole, opened with proof."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mreactor_ref.cache import cache_folder
from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_ref.schedule import LOG_SNR
from mreactor_ref.signals import REACTION
from mreactor_runtime.tensors import graphs

MANIFEST = "bundle.json"
SCHEMA_VERSION = 1
AGAIN = "export it again with mreactor-export"


@dataclass(frozen=True)
class SolverDefaults:
    """What a run takes when it is not told otherwise."""

    scheduler: str = "dpmsolver++"
    steps: int = 20
    guidance_scale: float = 1.0
    timestep_spacing: str = LOG_SNR


@dataclass(frozen=True)
class BundleInfo:
    """What the manifest says beside the list of files.

    Attributes:
        model_name: the name or path that was exported, for people.
        config: fixes the table of tensors, which the manifest repeats.
        checkpoint_sha256: of the checkpoint that the graphs came from.
        defaults: of the solver.
        reaction_mean, reaction_std: (83) each, from standardised channels to natural units.
        opset: of the ONNX files. dtype: "fp32", "fp16" or "bf16".
        created_by: package -> version.
    """

    model_name: str
    config: ModelConfig
    checkpoint_sha256: str
    reaction_mean: tuple[float, ...]
    reaction_std: tuple[float, ...]
    opset: int
    dtype: str = "fp32"
    defaults: SolverDefaults = field(default_factory=SolverDefaults)
    created_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. `files` is name -> SHA-256, already held against the folder once."""

    folder: Path
    info: BundleInfo
    files: Mapping[str, str]

    def read(self, name: str) -> bytes:
        """The bytes of one file, hashed again, so that what is deserialised is what was checked.

        Raises: IntegrityError where the file is not listed, or is not what it was.
        """
        if name not in self.files:
            raise IntegrityError(f"has no {name}", self.folder, AGAIN)
        try:
            content = (self.folder / name).read_bytes()
        except OSError as error:
            raise IntegrityError(
                f"cannot be read: {error.strerror}", self.folder / name, AGAIN
            ) from None
        _check(self.folder / name, hashlib.sha256(content).hexdigest(), self.files[name])
        return content

    def graph(self, name: str) -> bytes:
        """The ONNX file of a graph of the table, as `read` gives it."""
        return self.read(f"{name}.onnx")


def versions(*packages: str) -> dict[str, str]:
    """Package -> installed version; a package that is not installed is left out."""
    found = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def write_bundle(folder: Path, info: BundleInfo, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle whole or not at all: into a folder beside it, then renamed.

    Args:
        folder: its parent is made; an older bundle there is replaced.
        files: plain name -> content; `encoder.onnx`, `modulator.onnx` and `denoiser.onnx` at least.
    Raises: UsageError where the folder holds something else than a bundle, or cannot be written.
    """
    folder = Path(folder)
    check_output(folder)
    missing = {f"{name}.onnx" for name in graphs(info.config)} - set(files)
    if missing:
        raise ValueError(f"a bundle needs {', '.join(sorted(missing))}")
    partial = _folder_beside(folder)
    try:
        partial.chmod(0o755)  # mkdtemp's own is for one user only
        for name, content in files.items():
            (partial / name).write_bytes(content)
        text = json.dumps(_manifest(info, files), indent=2) + "\n"
        (partial / MANIFEST).write_text(text, encoding="utf-8")
        _replace_folder(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return open_bundle(folder)


def check_output(folder: Path) -> None:
    """Say now what `write_bundle` would say later, after minutes of work.

    Raises: UsageError where the folder holds something else than a bundle, or cannot be written.
    """
    if folder.exists() and not (folder / MANIFEST).is_file() and not _is_empty(folder):
        raise UsageError("exists and is no bundle", folder, "give another --output")
    _folder_beside(folder).rmdir()


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle. Every listed file is hashed before anything of it is deserialised.

    Raises:
        IntegrityError: a file is missing or changed, or the manifest is not one; it names the file.
        UsageError: no bundle there, or one of another schema version.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(f"no bundle: it has no {MANIFEST}", folder)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        schema = manifest["schema_version"]
        if schema != SCHEMA_VERSION:
            raise UsageError(f"its schema version is {schema}, not {SCHEMA_VERSION}", path, AGAIN)
        info = _info(manifest)
        listed = {str(name): entry["sha256"] for name, entry in manifest["files"].items()}
        table = manifest["graphs"]
    except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
        raise IntegrityError(f"no manifest of a bundle: {error!r}", path, AGAIN) from None
    for name, expected in listed.items():
        if Path(name).name != name or name in (".", ".."):
            raise IntegrityError(f"lists {name!r}, which is no plain file name", path, AGAIN)
        _check(folder / name, _hash(folder / name), expected)
    if table != _table(info.config):
        raise IntegrityError("its tensors are not those of this version", path, AGAIN)
    return Bundle(folder, info, listed)


def bundle_for(checkpoint_sha256: str) -> Path:
    """The folder in the cache for a checkpoint's bundle; it need not exist."""
    return cache_folder() / "bundles" / checkpoint_sha256


def _manifest(info: BundleInfo, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "created_by": dict(info.created_by),
        "model": {
            "name": info.model_name,
            "config": info.config.to_dict(),
            "checkpoint_sha256": info.checkpoint_sha256,
        },
        "graphs": _table(info.config),
        "defaults": asdict(info.defaults),
        "reaction_mean": list(info.reaction_mean),
        "reaction_std": list(info.reaction_std),
        "opset": info.opset,
        "dtype": info.dtype,
        "files": {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in files.items()
        },
    }


def _info(manifest: Mapping[str, Any]) -> BundleInfo:
    """The inverse of `_manifest`. Raises KeyError, TypeError or ValueError for a broken one."""
    model = manifest["model"]
    try:
        config = ModelConfig.from_dict(model["config"])
    except UsageError as error:
        raise ValueError(error.problem) from None
    return BundleInfo(
        model_name=model["name"],
        config=config,
        checkpoint_sha256=model["checkpoint_sha256"],
        reaction_mean=_channels(manifest["reaction_mean"]),
        reaction_std=_channels(manifest["reaction_std"]),
        opset=manifest["opset"],
        dtype=manifest["dtype"],
        defaults=SolverDefaults(**manifest["defaults"]),
        created_by=manifest["created_by"],
    )


def _channels(values: Sequence[float]) -> tuple[float, ...]:
    if len(values) != REACTION:
        raise ValueError(f"{len(values)} channels, not {REACTION}")
    return tuple(float(value) for value in values)


def _table(config: ModelConfig) -> dict[str, Any]:
    return {name: graph.to_dict() for name, graph in graphs(config).items()}


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise IntegrityError(f"cannot be read: {error.strerror}", path, AGAIN) from None


def _check(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise IntegrityError(
            f"its SHA-256 is {found[:12]}..., not {str(expected)[:12]}... of {MANIFEST}",
            path,
            AGAIN,
        )


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and next(folder.iterdir(), None) is None


def _folder_beside(folder: Path) -> Path:
    """A new folder next to one; its parent is made. UsageError where that cannot be."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", folder, "give another --output"
        ) from None


def _replace_folder(new: Path, folder: Path) -> None:
    """Rename `new` to `folder`; an older one is put aside first, and back when that fails."""
    with _put_aside(folder):
        new.rename(folder)


@contextlib.contextmanager
def _put_aside(folder: Path) -> Iterator[None]:
    if not folder.exists():
        yield
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.old.", dir=folder.parent))
    folder.rename(old / folder.name)
    try:
        yield
    except BaseException:
        (old / folder.name).rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
