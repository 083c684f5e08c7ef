"""The artefact folder: a manifest with the hash of every file, written whole, opened with proof.

The manifest carries a hash of itself (`sealed_json`), so that no byte of a bundle is left out.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from mreactor_ref.cache import cache_folder
from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_ref.files import sha256_of, shown_hash
from mreactor_ref.json_text import parse_json
from mreactor_ref.schedule import Solver
from mreactor_ref.signals import REACTION
from mreactor_runtime.folders import check_replaceable, write_folder
from mreactor_runtime.onnx_files import AGAIN, check_onnx
from mreactor_runtime.sealed_json import BrokenSeal, is_sealed, seal
from mreactor_runtime.tensors import all_graph_specs, graph_specs

MANIFEST = "bundle.json"
EXPORT_RECORD = "export.json"  # what was asked for; a bundle need not have it
SCHEMA_VERSION = 4
OPTIMIZATION_LEVELS = (
    *("ORT_DISABLE_ALL", "ORT_ENABLE_BASIC", "ORT_ENABLE_EXTENDED"),
    *("ORT_ENABLE_LAYOUT", "ORT_ENABLE_ALL"),
)
EXECUTION_MODES = ("ORT_SEQUENTIAL", "ORT_PARALLEL")


@dataclass(frozen=True)
class SessionOptions:
    """How ONNX Runtime opens the graphs, on every machine; names and values are its own.

    The plain graphs are kept: measured on a CPU, fixed axes are not faster, and a model that is
    stored optimised opens a moment sooner but fits one kind of processor.

    Raises: ValueError for a value that ONNX Runtime has not.
    """

    graph_optimization_level: str = "ORT_ENABLE_ALL"
    execution_mode: str = "ORT_SEQUENTIAL"
    use_deterministic_compute: bool = True

    def __post_init__(self) -> None:
        for value, known in (
            (self.graph_optimization_level, OPTIMIZATION_LEVELS),
            (self.execution_mode, EXECUTION_MODES),
            (self.use_deterministic_compute, (False, True)),
        ):
            if value not in known:
                raise ValueError(f"session option {value!r} is not one of {known}")


@dataclass(frozen=True)
class BundleInfo:
    """The manifest's content beside the list of files.

    Attributes:
        model_name: the name or path that was exported, for people.
        config: fixes the table of tensors, which the manifest repeats.
        checkpoint_sha256: of the checkpoint that the graphs came from.
        defaults: the solver of a run that is not told otherwise.
        reaction_mean, reaction_std: (83) each, from standardised channels to natural units.
        listener_shares: (K) of each listener's code, from which a run draws.
        opset: of the ONNX files. dtype: "fp32", "mixed", "fp16" or "bf16".
        session: how ONNX Runtime opens the graphs.
        created_by: package -> version.
    """

    model_name: str
    config: ModelConfig
    checkpoint_sha256: str
    reaction_mean: tuple[float, ...]
    reaction_std: tuple[float, ...]
    listener_shares: tuple[float, ...]
    opset: int
    dtype: str = "fp32"
    defaults: Solver = field(default_factory=Solver)
    session: SessionOptions = field(default_factory=SessionOptions)
    created_by: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle. `files` is name -> SHA-256, already held against the folder once."""

    folder: Path
    info: BundleInfo
    files: Mapping[str, str]

    @property
    def graphs_sha256(self) -> str:
        """One hash of the ONNX files that a run needs."""
        hashes = [
            f"{name} {self.files.get(f'{name}.onnx')}" for name in graph_specs(self.info.config)
        ]
        return hashlib.sha256("\n".join(hashes).encode()).hexdigest()

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
        """The ONNX file of a graph of the table, as `read` gives it.

        Raises: IntegrityError as `read` and `check_onnx` do.
        """
        content, spec = self.read(f"{name}.onnx"), all_graph_specs(self.info.config)[name]
        check_onnx(content, self.folder / f"{name}.onnx", self.info.checkpoint_sha256, spec)
        return content


def versions(*packages: str) -> dict[str, str]:
    """Package -> installed version; a package that is not installed is left out."""
    installed = {}
    for package in packages:
        with contextlib.suppress(PackageNotFoundError):
            installed[package] = version(package)
    return installed


def write_bundle(folder: Path, info: BundleInfo, files: Mapping[str, bytes]) -> Bundle:
    """Write a bundle whole or not at all: into a folder beside it, then renamed.

    Args:
        folder: its parent is made; an older bundle there is replaced.
        files: plain name -> content; an ONNX file of each graph of the table at least.
    Raises: UsageError where the folder holds something else than a bundle, cannot be written, or
        the disk is full: then what was there before is still there.
    """
    folder = Path(folder)
    check_output(folder)
    missing = {f"{name}.onnx" for name in graph_specs(info.config)} - set(files)
    if missing:
        raise ValueError(f"a bundle needs {', '.join(sorted(missing))}")
    if wrong := [name for name in files if not _is_plain(name)]:
        raise ValueError(f"a bundle's file cannot be called {wrong[0]!r}")
    write_folder(folder, {**files, MANIFEST: seal(_manifest(info, files))})
    return open_bundle(folder)


def check_output(folder: Path, least: int = 0) -> None:
    """Say now what `write_bundle` would say later, after minutes of work.

    Args: least: bytes of the bundle, at the least.
    Raises: UsageError where the folder holds something else than a bundle, cannot be written, or
        the disk has not even so much room.
    """
    check_replaceable(folder, MANIFEST, "bundle", least)


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle. Every file is hashed, the manifest first, before anything is deserialised.

    A file that is not listed is refused too, but not a folder or hidden file that is left there.

    Raises:
        IntegrityError: a file is missing, changed or not listed, or the manifest is not one; it
            names the file.
        UsageError: no bundle there, or one of another schema version.
    """
    folder = Path(folder)
    path = folder / MANIFEST
    if not path.is_file():
        raise UsageError(f"no bundle: it has no {MANIFEST}", folder)
    manifest = _read_manifest(path)
    try:
        info = _info(manifest)
        listed = {str(name): entry["sha256"] for name, entry in manifest["files"].items()}
        table = manifest["graphs"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"no manifest of a bundle: {error!r}", path, AGAIN) from None
    for name, expected in listed.items():
        if not _is_plain(name):
            raise IntegrityError(f"lists {name!r}, which is no plain file name", path, AGAIN)
        _check(folder / name, _hash(folder / name), expected)
    for entry in sorted(folder.iterdir()):
        known = entry.name in listed or entry.name == MANIFEST
        if not (known or entry.is_dir() or entry.name.startswith(".")):
            raise IntegrityError(f"is not listed in {MANIFEST}", entry, "move it elsewhere")
    if table != _table(info.config, listed):
        raise IntegrityError("its tensors are not those of this version", path, AGAIN)
    return Bundle(folder, info, listed)


def bundle_for(checkpoint_sha256: str) -> Path:
    """Where a checkpoint's bundle is cached; it need not exist."""
    return cache_folder() / "bundles" / checkpoint_sha256


def _read_manifest(path: Path) -> dict[str, Any]:
    """The manifest, its own hash held against it; an older one has none.

    Raises: IntegrityError for a damaged one, UsageError for another schema version.
    """
    try:
        content = path.read_bytes()
        sealed = is_sealed(content)
        manifest = parse_json(content)
        schema = manifest["schema_version"]
    except BrokenSeal as error:
        raise IntegrityError(str(error), path, AGAIN) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise IntegrityError(f"no manifest of a bundle: {error!r}", path, AGAIN) from None
    if schema != SCHEMA_VERSION:
        raise UsageError(f"its schema version is {schema}, not {SCHEMA_VERSION}", path, AGAIN)
    if not sealed:
        raise IntegrityError("does not begin with its own SHA-256", path, AGAIN)
    return manifest


def _manifest(info: BundleInfo, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "created_by": dict(info.created_by),
        "model": {
            "name": info.model_name,
            "config": info.config.to_dict(),
            "checkpoint_sha256": info.checkpoint_sha256,
        },
        "graphs": _table(info.config, files),
        "defaults": asdict(info.defaults),
        "onnxruntime": asdict(info.session),
        "reaction_mean": list(info.reaction_mean),
        "reaction_std": list(info.reaction_std),
        "listener_shares": list(info.listener_shares),
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
        reaction_mean=_numbers(manifest["reaction_mean"], REACTION),
        reaction_std=_numbers(manifest["reaction_std"], REACTION),
        listener_shares=_numbers(manifest["listener_shares"], config.listeners),
        opset=manifest["opset"],
        dtype=manifest["dtype"],
        defaults=Solver(**manifest["defaults"]),
        session=SessionOptions(**manifest["onnxruntime"]),
        created_by=manifest["created_by"],
    )


def _numbers(values: Sequence[float], count: int) -> tuple[float, ...]:
    if len(values) != count:
        raise ValueError(f"{len(values)} numbers, not {count}")
    return tuple(float(value) for value in values)


def _table(config: ModelConfig, files: Collection[str]) -> dict[str, Any]:
    """Of the graphs that are there: a bundle need not have those for kernel work."""
    return {
        name: spec.to_dict()
        for name, spec in all_graph_specs(config).items()
        if f"{name}.onnx" in files
    }


def _is_plain(name: str) -> bool:  # it stays in the folder, and is not the manifest's
    return Path(name).name == name and name not in ("", ".", "..", MANIFEST)


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise IntegrityError(f"cannot be read: {error.strerror}", path, AGAIN) from None


def _check(path: Path, found: str, expected: str) -> None:
    if found != expected:
        hashes = f"{shown_hash(found)}, not {shown_hash(str(expected))} of {MANIFEST}"
        raise IntegrityError(f"its SHA-256 is {hashes}", path, AGAIN)
