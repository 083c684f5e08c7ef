"""From a checkpoint to a bundle that is proved: graphs, plans, parity, then the folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mreactor_export.options import TRACERS, ExportOptions
from mreactor_ref.checkpoint import find_checkpoint, load_checkpoint
from mreactor_ref.errors import MReactorError
from mreactor_ref.files import sha256_of
from mreactor_runtime.bundle import (
    EXPORT_RECORD,
    Bundle,
    BundleInfo,
    bundle_for,
    check_output,
    open_bundle,
    versions,
    write_bundle,
)

if TYPE_CHECKING:
    from mreactor_export.parity import Figure, Report
    from mreactor_export.plans import ShippedPlan
    from mreactor_ref.model import MReactor

PARITY_JSON, PARITY_HTML = "parity.json", "parity.html"


@dataclass(frozen=True)
class Exported:
    """The result of an export: the bundle, its parity report, and facts of its plans."""

    bundle: Bundle
    report: Report
    plans: tuple[ShippedPlan, ...]


def current_bundle(
    model: str | Path, output: Path | None = None, options: ExportOptions | None = None
) -> Bundle | None:
    """The bundle that an export would write again, or None.

    It is of the same checkpoint, options and versions, and its plans are for this GPU.
    """
    options = options or ExportOptions()
    sha256 = sha256_of(find_checkpoint(model))
    try:
        bundle = open_bundle(output or bundle_for(sha256))
        record = json.loads(bundle.read(EXPORT_RECORD))
        info = bundle.info
        made_of = (info.checkpoint_sha256, dict(info.created_by), record)
        asked = (sha256, versions(*options.distributions), options.record(info.config))
        return bundle if made_of == asked and _fits(bundle, options) else None
    except MReactorError:
        return None  # none there, or one that is damaged: it is written anew


def _fits(bundle: Bundle, options: ExportOptions) -> bool:
    """Whether its plans are for what they would be built for now."""
    if not options.bound_to_gpu:
        return True
    from mreactor_export.plans import targets
    from mreactor_runtime.engines.tensorrt.cache import MANIFEST

    manifests = [name for name in bundle.files if name.endswith(MANIFEST)]
    built = {json.loads(bundle.read(name))["key"]["target"] for name in manifests}
    return built == targets(options)


def export_bundle(
    model: str | Path,
    output: Path | None = None,
    options: ExportOptions | None = None,
    *,
    workers: int = 1,
    report: Callable[[str], None] | None = None,
    figure: Callable[[Figure], None] | None = None,
) -> Exported:
    """Export a checkpoint, and hold the result against the reference.

    Args:
        model: a shipped name or a checkpoint.
        output: the bundle's folder; None is its place in the user's cache.
        workers: processes that trace, see `tracing.trace_graphs`.
        report: hears what is being done. figure: hears each parity figure.
    Raises:
        UsageError: no such model, a folder that cannot be written, or a package that is missing.
        ExportError: a graph that is not what it should be. ParityError: an engine that does not
            compute what the reference computes. TensorRTError: a plan that cannot be built. No
            bundle is left in any case.
        IntegrityError: a checkpoint that is none.
    """
    options, say = options or ExportOptions(), report or (lambda _: None)
    path = find_checkpoint(model)
    sha256 = sha256_of(path)
    output = output or bundle_for(sha256)
    check_output(output, least=path.stat().st_size)  # graphs hold all weights of it
    from mreactor_export.plans import build_plans, load_packages
    from mreactor_export.tracing import trace_graphs
    from mreactor_runtime.engines.onnxruntime_engine import require_onnxruntime

    require_onnxruntime()  # parity would say so after minutes
    packages = load_packages(options)
    network = load_checkpoint(path)
    info = _info(str(model), network, sha256, options)
    onnx_files = trace_graphs(
        network,
        path,
        options.graph_opset,
        _metadata(info),
        dtype=options.dtype,
        form=options.form,
        workers=workers,
        report=say,
    )
    plan_files, plans = build_plans(
        packages, onnx_files, network.config, options, checkpoint_sha256=sha256, report=say
    )
    say("checking parity")
    from mreactor_export.parity.figures import verify_command
    from mreactor_export.parity.proof import prove_graphs

    proof = prove_graphs(network, info, onnx_files, command=verify_command(output), report=figure)
    files = {f"{name}.onnx": content for name, content in onnx_files.items()} | plan_files
    files |= {EXPORT_RECORD: _json(options.record(network.config)), **report_files(proof)}
    return Exported(write_bundle(output, info, files), proof, tuple(plans))


def report_files(report: Report) -> dict[str, bytes]:
    """A parity report as JSON and as a page."""
    from mreactor_export.parity.html import page

    return {PARITY_JSON: _json(report.to_dict()), PARITY_HTML: page(report).encode()}


def _info(model: str, network: MReactor, sha256: str, options: ExportOptions) -> BundleInfo:
    return BundleInfo(
        model_name=model,
        config=network.config,
        checkpoint_sha256=sha256,
        reaction_mean=tuple(network.reaction.mean.tolist()),
        listener_shares=tuple(network.listener_shares.tolist()),
        reaction_std=tuple(network.reaction.std.tolist()),
        opset=options.graph_opset,
        dtype=options.dtype,
        created_by=versions(*options.distributions),
    )


def _metadata(info: BundleInfo) -> dict[str, str]:
    """Of the ONNX files. Other versions than these do not change a file, nor a plan's key."""
    created_by = {name: v for name, v in info.created_by.items() if name in TRACERS}
    return {
        "model": info.model_name,
        "checkpoint_sha256": info.checkpoint_sha256,
        "config": json.dumps(info.config.to_dict()),
        "created_by": json.dumps(created_by),
    }


def _json(values: Mapping[str, object]) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()
