"""From a checkpoint to a bundle that is proved: graphs, engine, parity, then the folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from mreactor_export.parity import Figure, verify
from mreactor_export.to_onnx import DEFAULT_OPSET, export_graphs
from mreactor_ref.checkpoint import checkpoint_hash, find_checkpoint, load_checkpoint
from mreactor_runtime.bundle import Bundle, BundleInfo, bundle_for, versions, write_bundle
from mreactor_runtime.engines.onnxruntime_engine import OnnxRuntimeEngine

PACKAGES = ("mreactor", "torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu")


def export_bundle(
    model: str | Path,
    output: Path | None = None,
    *,
    opset: int = DEFAULT_OPSET,
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
    """
    say = report or (lambda _: None)
    path = find_checkpoint(model)
    sha256 = checkpoint_hash(path)
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
    return write_bundle(output or bundle_for(sha256), info, files), figures
