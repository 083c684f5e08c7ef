"""From a checkpoint to a bundle that is proved: graphs, engine, parity, then the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from mreactor_ref.checkpoint import checkpoint_hash, find_checkpoint, load_checkpoint
from mreactor_ref.errors import MReactorError
from mreactor_runtime.bundle import (
    Bundle,
    BundleInfo,
    bundle_for,
    check_output,
    open_bundle,
    versions,
    write_bundle,
)

if TYPE_CHECKING:
    from mreactor_export.parity import Figure

PACKAGES = ("mreactor", "torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu")


def current_bundle(model: str | Path, output: Path | None, opset: int) -> Bundle | None:
    """The bundle that an export would write again: same checkpoint, opset and versions, or None."""
    sha256 = checkpoint_hash(find_checkpoint(model))
    try:
        bundle = open_bundle(output or bundle_for(sha256))
    except MReactorError:
        return None  # none there, or one that is damaged: it is written anew
    made_of = (bundle.info.checkpoint_sha256, bundle.info.opset, dict(bundle.info.created_by))
    return bundle if made_of == (sha256, opset, versions(*PACKAGES)) else None


def export_bundle(
    model: str | Path,
    output: Path | None = None,
    *,
    opset: int,
    report: Callable[[str], None] | None = None,
    figure: Callable[[Figure], None] | None = None,
) -> tuple[Bundle, list[Figure]]:
    """Export a checkpoint to ONNX and hold the result against the reference.

    Args:
        model: a shipped name or a checkpoint.
        output: the bundle's folder; None is its place in the user's cache.
        report: called with what is being done. figure: called with each parity figure.
    Returns: the bundle, and its parity figures.
    Raises:
        UsageError: no such model, or a folder that cannot be written.
        ExportError: a graph that is not what it should be. ParityError: an engine that does not
            compute what the reference computes. No bundle is left in either case.
        IntegrityError: a checkpoint that is none.
    """
    path = find_checkpoint(model)
    sha256 = checkpoint_hash(path)
    output = output or bundle_for(sha256)
    check_output(output)
    from mreactor_export.parity import verify
    from mreactor_export.to_onnx import export_graphs
    from mreactor_runtime.engines.onnxruntime_engine import OnnxRuntimeEngine

    say = report or (lambda _: None)
    network = load_checkpoint(path)
    info = BundleInfo(
        model_name=str(model),
        config=network.config,
        checkpoint_sha256=sha256,
        reaction_mean=tuple(network.reaction.mean.tolist()),
        reaction_std=tuple(network.reaction.std.tolist()),
        opset=opset,
        created_by=versions(*PACKAGES),
    )
    metadata = {
        "model": info.model_name,
        "checkpoint_sha256": sha256,
        "config": json.dumps(network.config.to_dict()),
        "created_by": json.dumps(dict(info.created_by)),
    }
    files = export_graphs(network, opset, metadata, lambda name: say(f"exporting {name}"))
    say("checking parity")
    engine = OnnxRuntimeEngine(
        {name.removesuffix(".onnx"): content for name, content in files.items()}, network.config
    )
    figures = verify(network, engine, figure)
    return write_bundle(output, info, files), figures
