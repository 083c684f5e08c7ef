"""Tracing a checkpoint's graphs in several processes: no graph needs another, and each takes long.

The files are the same bytes as from one process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import torch

from mreactor_export.operators import DECOMPOSED
from mreactor_export.precision import FP32
from mreactor_export.to_onnx import ExportError, export_graph
from mreactor_ref.checkpoint import load_checkpoint
from mreactor_ref.model import MReactor
from mreactor_runtime.tensors import (
    ATTENTION,
    CONDITIONAL,
    DENOISER,
    ENCODER,
    MODULATOR,
    all_graph_specs,
)

LONGEST_FIRST: tuple[str, ...] = (DENOISER, CONDITIONAL, ENCODER, ATTENTION, MODULATOR)
# A process takes seconds to start and half a GiB; a graph of one layer is traced sooner.
LEAST_LAYERS = 2


def usual_workers() -> int:
    """As many processes as help: one a core, and no more than there are long graphs."""
    return min(os.cpu_count() or 1, LONGEST_FIRST.index(ENCODER) + 1)


def trace_graphs(
    model: MReactor,
    path: Path,
    opset: int,
    metadata: Mapping[str, str],
    *,
    dtype: str = FP32,
    form: str = DECOMPOSED,
    workers: int = 1,
    report: Callable[[str], None] | None = None,
) -> dict[str, bytes]:
    """The ONNX files of a checkpoint's graphs: graph name -> content, as `export_graph` gives it.

    Args:
        model: the checkpoint at `path`, which other processes load again.
        workers: processes. More than one start anew, as `multiprocessing` with "spawn" does: the
            program's main module must be safe to import.
        report: hears what is being traced.
    Raises: as `export_graph`; ExportError where a process ends on its own, as without memory.
    """
    say = report or (lambda _: None)
    specs = all_graph_specs(model.config)
    if workers == 1 or model.config.layers < LEAST_LAYERS:
        onnx_files = {}
        for name, spec in specs.items():
            say(f"exporting {name}")
            onnx_files[name] = export_graph(model, spec, opset, metadata, dtype=dtype, form=form)
        return onnx_files
    left = list(LONGEST_FIRST)
    arguments = (str(path), opset, dict(metadata), dtype, form)
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
        say(f"exporting {', '.join(left)}")
        jobs = {pool.submit(_trace, name, *arguments): name for name in left}
        try:
            for job in as_completed(jobs):
                job.result()
                left.remove(jobs[job])
                say(f"exporting {', '.join(left)}")
        except BrokenProcessPool:
            raise ExportError(
                f"a process ended while it traced {', '.join(left)}",
                fix="try --workers 1, which takes less memory",
            ) from None
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    results = {name: job.result() for job, name in jobs.items()}
    return {name: results[name] for name in specs}


def _trace(
    name: str, path: str, opset: int, metadata: dict[str, str], dtype: str, form: str
) -> bytes:
    """In a process of its own."""
    model = _load(path)
    spec = all_graph_specs(model.config)[name]
    return export_graph(model, spec, opset, metadata, dtype=dtype, form=form)


@cache
def _load(path: str) -> MReactor:
    return load_checkpoint(Path(path))
