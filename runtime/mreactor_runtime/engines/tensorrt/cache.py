"""Plans on disk, under names that hold their cache key, and the reasons why one is not used.

A plan is `GRAPH-KEY.plan`. `GRAPH-KEY.plan.json` beside it names each part of the key, and the
plan's SHA-256, which is checked before anything is deserialised. `GRAPH-KEY.layers.json` lists its
layers.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from mreactor_ref.cache import cache_folder
from mreactor_ref.errors import IntegrityError, UsageError
from mreactor_ref.files import shown_hash, unwritable, write_whole
from mreactor_ref.json_text import parse_json
from mreactor_runtime.engines.tensorrt.build import (
    Plan,
    build_plan,
    gpu_name,
    merge_timing_cache,
)
from mreactor_runtime.engines.tensorrt.key import KEY_DIGITS, PlanKey, plan_key
from mreactor_runtime.engines.tensorrt.options import BuildOptions, Profile
from mreactor_runtime.engines.tensorrt.package import TensorRT
from mreactor_runtime.sealed_json import is_sealed, seal
from mreactor_runtime.tensors import GraphSpec

SCHEMA_VERSION = 1
PLAN, MANIFEST, LAYERS = ".plan", ".plan.json", ".layers.json"
BUILD_AGAIN = "delete it; it is built again when it is needed"


class StalePlanError(UsageError):
    """A plan that is whole, but was not built for this: the message says what differs."""


def engines_folder() -> Path:
    """Where plans are kept; it need not exist."""
    return cache_folder() / "engines"


def plan_files(key: PlanKey, plan: Plan) -> dict[str, bytes]:
    """The files of a plan, by name; the one that makes it findable comes last."""
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "key": asdict(key),
        "plan_sha256": hashlib.sha256(plan.content).hexdigest(),
        "bytes": len(plan.content),
        "seconds": round(plan.seconds, 3),
        "layers": plan.layers.summary,
    }
    return {
        f"{key.stem}{PLAN}": plan.content,
        f"{key.stem}{LAYERS}": plan.layers.to_json().encode(),
        f"{key.stem}{MANIFEST}": seal(manifest),
    }


def write_plan(folder: Path, key: PlanKey, plan: Plan) -> Path:
    """Store a plan whole or not at all.

    Returns: the plan's path. Raises: UsageError where the folder cannot be written.
    """
    for name, content in plan_files(key, plan).items():
        with unwritable(folder / name):
            write_whole(folder / name, content)
    return folder / f"{key.stem}{PLAN}"


def read_plan(path: Path, key: PlanKey) -> bytes:
    """The bytes of a stored plan, which are what was built, for this.

    Args:
        path: of the plan; its manifest is beside it.
    Raises:
        StalePlanError: it was built for something else; one line says what.
        IntegrityError: it, or its manifest, is missing or changed.
    """
    manifest = _read_manifest(path.with_suffix(MANIFEST))
    differences = key.differences(manifest.key)
    if differences:
        raise StalePlanError(f"was built {'; '.join(differences)}", path, "build it again")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"cannot be read: {error.strerror}", path, BUILD_AGAIN) from None
    actual = hashlib.sha256(content).hexdigest()
    if actual != manifest.plan_sha256:
        was = shown_hash(manifest.plan_sha256)
        raise IntegrityError(
            f"its SHA-256 is {shown_hash(actual)}, not {was} of its {MANIFEST}", path, BUILD_AGAIN
        )
    return content


def cached_plan(
    tensorrt: TensorRT,
    spec: GraphSpec,
    onnx_model: bytes,
    profiles: Sequence[Profile],
    options: BuildOptions | None = None,
    *,
    checkpoint_sha256: str,
    dtype: str,
    folder: Path | None = None,
    shipped: Path | None = None,
    report: Callable[[str], None] | None = None,
) -> Path:
    """The path of a plan that can be used here: the stored one, or one that is built now.

    A second process that wants the same plan waits for the first.

    Args:
        checkpoint_sha256: of the model. dtype: of the export.
        folder: of plans; None is the user's cache.
        shipped: a folder whose plan, if it is for this, is used as it is: a bundle's.
        report: hears one line before a build: what is built, and why.
    Raises: as `build_plan` and `write_plan`; IntegrityError for a damaged plan in `shipped`.
    """
    options, folder = options or BuildOptions(), folder or engines_folder()
    say = report or (lambda _: None)
    plan = (tensorrt, spec, onnx_model, profiles, options)
    key = plan_key(*plan, checkpoint_sha256=checkpoint_sha256, dtype=dtype)
    name = f"{key.stem}{PLAN}"
    if shipped is not None and (shipped / name).is_file():
        read_plan(shipped / name, key)
        return shipped / name
    path = folder / name
    if _why_not(path, key, shipped) is None:
        return path
    with locked(folder / key.stem):
        why = _why_not(path, key, shipped)
        if why is None:  # another process has built it in the meantime
            return path
        say(f"building the {spec.name} with {tensorrt}: {why}")
        return write_plan(folder, key, _build(*plan, folder))


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Alone with a file among processes. Raises: UsageError where its folder cannot be written."""
    lock = FileLock(f"{path}.lock")
    with unwritable(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _build(
    tensorrt: TensorRT,
    spec: GraphSpec,
    onnx_model: bytes,
    profiles: Sequence[Profile],
    options: BuildOptions,
    folder: Path,
) -> Plan:
    """Build with the timing cache of this GPU, and give back to it what was measured."""
    if tensorrt.is_rtx:
        return build_plan(tensorrt, spec, onnx_model, profiles, options)
    measured = options.timing_cache_file or folder / _timing_name(tensorrt)
    before = measured.read_bytes() if measured.is_file() else b""
    plan = build_plan(tensorrt, spec, onnx_model, profiles, options, before)
    if plan.timing_cache is not None:
        with locked(measured):
            now = measured.read_bytes() if measured.is_file() else b""
            merged = plan.timing_cache
            if now != before:
                merged = merge_timing_cache(tensorrt, merged, now)
            with unwritable(measured):
                write_whole(measured, merged)
    return plan


def _timing_name(tensorrt: TensorRT) -> str:
    where = hashlib.sha256(f"{tensorrt} {gpu_name()}".encode()).hexdigest()
    return f"timing-{where[:KEY_DIGITS]}.cache"


def _why_not(path: Path, key: PlanKey, shipped: Path | None) -> str | None:
    """Why a stored plan cannot be used, or None where it can."""
    if path.is_file() or path.with_suffix(MANIFEST).is_file():
        try:
            read_plan(path, key)
        except (IntegrityError, StalePlanError) as error:
            return f"{path.name} {error.problem}"
        return None
    near = [
        key.differences(built)
        for folder in (path.parent, shipped)
        if folder is not None
        for other in folder.glob(f"{key.graph}-*{MANIFEST}")
        if (built := _key_of(other)) is not None and built.model == key.model
    ]
    if not near:
        return "there is none yet"
    return f"what is there was built {'; '.join(min(near, key=len))}"


@dataclass(frozen=True)
class _Manifest:
    """The manifest beside a plan, as far as reading it needs."""

    key: PlanKey
    plan_sha256: str


def _key_of(path: Path) -> PlanKey | None:
    """The key in a manifest; None for a broken one, which is no candidate for anything."""
    try:
        return _read_manifest(path).key
    except IntegrityError:
        return None


def _read_manifest(path: Path) -> _Manifest:
    try:
        content = path.read_bytes()
        if not is_sealed(content):
            raise ValueError("it does not begin with its own SHA-256")
        told = parse_json(content)
        if told["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"its schema version is {told['schema_version']}")
        return _Manifest(PlanKey(**told["key"]), told["plan_sha256"])
    except OSError as error:
        raise IntegrityError(f"cannot be read: {error.strerror}", path, BUILD_AGAIN) from None
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(f"does not describe a plan: {error}", path, BUILD_AGAIN) from None
