"""Opens a model on an engine, by what a user calls it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mreactor_ref.checkpoint import find_checkpoint, load_checkpoint
from mreactor_ref.config import ModelConfig
from mreactor_ref.errors import IntegrityError, MReactorError, UsageError
from mreactor_ref.files import sha256_of
from mreactor_ref.schedule import Solver
from mreactor_ref.signals import Array
from mreactor_runtime.bundle import MANIFEST, bundle_for, open_bundle
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.engines.names import (
    AUTO,
    BF16,
    CPU,
    CUDA,
    DEVICES,
    DTYPES,
    ENGINES,
    FP32,
    ONNX,
    OPENVINO,
    PREFERENCE,
    TENSORRT,
    TENSORRT_RTX,
    TORCH,
)
from mreactor_runtime.engines.onnxruntime_engine import has_provider, open_onnxruntime
from mreactor_runtime.engines.openvino_engine import OpenVinoEngine
from mreactor_runtime.engines.tensorrt.engine import open_tensorrt
from mreactor_runtime.engines.tensorrt.options import plan_options
from mreactor_runtime.engines.tensorrt.package import is_installed
from mreactor_runtime.engines.torch_cpu import PAPER, TorchCpuEngine
from mreactor_runtime.engines.torch_fused import TorchFusedEngine
from mreactor_runtime.kernels.step import HAS_TRITON
from mreactor_runtime.tensors import graph_specs

MODULES = {ONNX: "onnxruntime", OPENVINO: "openvino"}  # of the engines that run a bundle
CUDA_ONLY = (TENSORRT, TENSORRT_RTX)


@dataclass(frozen=True)
class ModelFacts:
    """Facts of a model that a run needs beside its graphs.

    Attributes:
        name: as it was asked for. sha256: of its checkpoint.
        reaction_mean, reaction_std: (83) float32, from standardised channels to natural units.
        listener_shares: (K) of each listener's code, from which a run draws.
        dtype: one of DTYPES, that the steps of sampling are computed in.
        graphs_sha256: SHA-256 of all ONNX files of a bundle; None where the checkpoint itself runs.
        defaults: of the solver.
    """

    name: str
    sha256: str
    config: ModelConfig
    reaction_mean: Tensor
    reaction_std: Tensor
    listener_shares: Array
    dtype: str = FP32
    graphs_sha256: str | None = None
    defaults: Solver = field(default_factory=Solver)


@dataclass(frozen=True)
class ModelFiles:
    """Where a model is: at least one of its checkpoint and its bundle."""

    name: str
    checkpoint: Path | None
    bundle: Path | None
    sha256: str | None  # of the checkpoint

    @property
    def how_to_export(self) -> str:
        return f"mreactor-export --model {self.name}"

    def can_run(self, engine: str) -> bool:
        if engine == TORCH:
            return self.checkpoint is not None
        if engine in CUDA_ONLY:
            return self.bundle is not None and is_installed(engine)
        return self.bundle is not None and importlib.util.find_spec(MODULES[engine]) is not None


@dataclass(frozen=True)
class Opened:
    """A model, the engine that runs it, and lines for the user about the choice."""

    model: ModelFacts
    engine: Engine
    notes: tuple[str, ...]


def find_model(model: str | Path) -> ModelFiles:
    """A bundle's folder, or a checkpoint by path or shipped name with its bundle in the cache.

    Raises: UsageError where there is neither.
    """
    folder = Path(model)
    if (folder / MANIFEST).is_file():
        return ModelFiles(str(model), checkpoint=None, bundle=folder, sha256=None)
    try:
        checkpoint = find_checkpoint(model)
    except UsageError:
        if folder.is_dir():
            raise UsageError(f"no bundle: it has no {MANIFEST}", folder) from None
        raise
    sha256 = sha256_of(checkpoint)
    cached = bundle_for(sha256)
    bundle = cached if (cached / MANIFEST).is_file() else None
    return ModelFiles(str(model), checkpoint, bundle, sha256)


def open_model(
    model: str | Path,
    engine: str = AUTO,
    device: str = AUTO,
    threads: int | None = None,
    dtype: str = AUTO,
) -> Opened:
    """A model on an engine.

    Args:
        model: as `find_model` takes it.
        engine: one of ENGINES. "torch" runs a checkpoint; the others a bundle, which a
            checkpoint may have in the cache; "auto" is the first of its device's PREFERENCE that
            can, and the next one, with a note, where opening that fails. An engine that is named
            is never replaced.
        device: "cpu", "cuda", or "auto": CUDA where the engine has it.
        threads: of the engine on the CPU; None is the engine's own choice.
        dtype: one of DTYPES, that the steps are to be computed in. Of a bundle it is what it was
            exported in; a checkpoint runs in fp32 on a CPU, and on CUDA in fp32, fp16 or, for
            "auto", bf16.
    Raises:
        UsageError: no such model, engine, device or dtype, or they do not fit.
        IntegrityError: a checkpoint or bundle is damaged.
    """
    if engine not in ENGINES:
        raise UsageError(f"engine is {engine!r}, not one of {', '.join(ENGINES)}")
    if device not in DEVICES:
        raise UsageError(f"device is {device!r}, not one of {', '.join(DEVICES)}")
    if dtype not in (AUTO, *DTYPES):
        raise UsageError(f"dtype is {dtype!r}, not one of {', '.join((AUTO, *DTYPES))}")
    files = find_model(model)
    if engine != AUTO:
        return _open(files, engine, device, threads, dtype)
    able = _able(files, device)
    notes: list[str] = []
    if files.bundle is None:
        notes.append(f"{able[0][0]} runs the checkpoint: no export yet ({files.how_to_export})")
    for (name, place), after in zip(able, [*able[1:], None], strict=True):
        try:
            opened = _open(files, name, place, threads, dtype)
        except IntegrityError:
            raise  # what is damaged is said, and not passed over
        except (MReactorError, RuntimeError) as error:
            if after is None:
                raise
            why = error.problem if isinstance(error, MReactorError) else str(error).splitlines()[0]
            notes.append(f"{name} cannot run on {place}: {why}; {after[0]} on {after[1]} instead")
        else:
            return replace(opened, notes=(*notes, *opened.notes))
    raise AssertionError("one engine is always tried")


def _able(files: ModelFiles, device: str) -> list[tuple[str, str]]:
    """Engine and device of all that `auto` may take, the best first; never none."""
    places = (CUDA, CPU) if device == AUTO else (device,)
    able = [
        (engine, place)
        for place in places
        for engine in PREFERENCE[place]
        if files.can_run(engine) and (device != AUTO or place == CPU or _has_cuda(engine))
    ]
    # A bundle without ONNX Runtime: opening it says what to install.
    return able or [(ONNX, CPU if device == AUTO else device)]


def _open(files: ModelFiles, engine: str, device: str, threads: int | None, dtype: str) -> Opened:
    """On this engine and no other."""
    if engine in CUDA_ONLY and device == CPU:
        raise UsageError(f"{engine} runs on CUDA only", fix="use another --engine on a CPU")
    if engine in CUDA_ONLY and not torch.cuda.is_available():
        raise UsageError(
            f"{engine} runs on CUDA only, and torch sees no such device", fix="use another --engine"
        )
    if device == AUTO:
        device = CUDA if engine in CUDA_ONLY or _has_cuda(engine) else CPU
    if engine == TORCH:
        return Opened(*_open_torch(files, device, threads, dtype), notes=())
    said: list[str] = []
    model, opened = _open_bundle(files, engine, device, threads, dtype, said.append)
    return Opened(model, opened, notes=tuple(said))


def _has_cuda(engine: str) -> bool:
    if engine == OPENVINO or not torch.cuda.is_available():
        return False
    return engine == TORCH or has_provider(CUDA)


def _open_torch(
    files: ModelFiles, device: str, threads: int | None, dtype: str
) -> tuple[ModelFacts, Engine]:
    if files.checkpoint is None or files.sha256 is None:
        raise UsageError(
            "a bundle has no checkpoint for the torch engine",
            files.bundle,
            "give --model the checkpoint, or --engine onnx",
        )
    own_kernels = device == CUDA and HAS_TRITON
    if dtype == AUTO:
        dtype = BF16 if own_kernels else FP32
    elif dtype != FP32 and not own_kernels:
        raise UsageError(
            f"the torch engine computes in {FP32} on {device} here, not in {dtype}",
            fix=f"leave --dtype out, or: {files.how_to_export} --dtype {dtype}",
        )
    network = load_checkpoint(files.checkpoint)
    model = ModelFacts(
        name=files.name,
        sha256=files.sha256,
        config=network.config,
        reaction_mean=network.reaction.mean.clone(),
        reaction_std=network.reaction.std.clone(),
        listener_shares=network.listener_shares.numpy(force=True).copy(),
        dtype=dtype,
    )
    if own_kernels:
        from mreactor_runtime.engines.torch_cuda import TorchCudaEngine

        return model, TorchCudaEngine(network, dtype)
    if device == CPU and network.config.attention == PAPER:
        return model, TorchCpuEngine(network, threads)
    return model, TorchFusedEngine(network, device, threads)


def _open_bundle(
    files: ModelFiles,
    engine: str,
    device: str,
    threads: int | None,
    dtype: str,
    say: Callable[[str], None],
) -> tuple[ModelFacts, Engine]:
    if files.bundle is None:
        raise UsageError(f"{files.name} has no export yet", fix=files.how_to_export)
    bundle = open_bundle(files.bundle)
    info = bundle.info
    if files.sha256 not in (None, info.checkpoint_sha256):
        raise IntegrityError("is of another checkpoint", files.bundle, files.how_to_export)
    if dtype not in (AUTO, info.dtype):
        again = f"leave --dtype out, or: mreactor-export --model {info.model_name} --dtype {dtype}"
        raise UsageError(f"was exported in {info.dtype}, not in {dtype}", files.bundle, again)
    model = ModelFacts(
        name=files.name,
        sha256=info.checkpoint_sha256,
        config=info.config,
        reaction_mean=torch.tensor(info.reaction_mean, dtype=torch.float32),
        reaction_std=torch.tensor(info.reaction_std, dtype=torch.float32),
        listener_shares=np.array(info.listener_shares, np.float32),
        dtype=info.dtype,
        graphs_sha256=bundle.graphs_sha256,
        defaults=info.defaults,
    )
    onnx_files = {name: bundle.graph(name) for name in graph_specs(info.config)}
    if engine in CUDA_ONLY:
        build, profiles = plan_options(bundle)
        opened = open_tensorrt(
            engine,
            onnx_files,
            info.config,
            checkpoint_sha256=info.checkpoint_sha256,
            dtype=info.dtype,
            profiles=profiles,
            build=build,
            shipped=bundle.folder,
            report=say,
        )
        return model, opened
    if engine == OPENVINO:
        return model, OpenVinoEngine(onnx_files, info.config, device, threads)
    return model, open_onnxruntime(onnx_files, info.config, device, threads, info.session, say)
