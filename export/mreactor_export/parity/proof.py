"""The proof: every figure of some engines against a model, in one report, or of a bundle's graphs.

A bundle is being written, or lies on the disk, whoever exported it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mreactor_export.parity.candidates import open_candidates
from mreactor_export.parity.cases import cases
from mreactor_export.parity.clips import example_clips
from mreactor_export.parity.figures import COMMAND, Curve, Figure, Report, verify_command
from mreactor_export.parity.layers import attention_figures, layer_figures
from mreactor_export.parity.measures import metric_figures
from mreactor_export.parity.setup import Setup
from mreactor_export.parity.steps import padding_figures, row_figures, step_figures
from mreactor_export.parity.trajectories import trajectory_figures
from mreactor_export.precision import FP32, halved
from mreactor_ref.checkpoint import find_checkpoint, load_checkpoint
from mreactor_ref.errors import UsageError
from mreactor_ref.files import sha256_of
from mreactor_ref.model import MReactor
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.bundle import Bundle, BundleInfo
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.tensors import ATTENTION, all_graph_specs

NO_CLIPS = "random features only: no clips were given"
NO_FILES = "no figures of layers: no graphs were given"


def verify(
    model: MReactor,
    candidates: Mapping[str, Engine],
    *,
    dtype: str = FP32,
    clips: Sequence[SpeakerClip] = (),
    onnx_files: Mapping[str, bytes] | None = None,
    report: Callable[[Figure], None] | None = None,
    thorough: bool = False,
    notes: Sequence[str] = (),
    command: str = COMMAND,
) -> Report:
    """All figures of engines that run one set of graphs.

    Args:
        model: what they were exported from; not changed.
        candidates: name -> engine. The first is asked everything; the others, which prove that
            the graphs mean the same to another reader, some short lengths, and everything where
            `thorough`.
        dtype: one of `names.DTYPES`: which bounds hold.
        clips: real features, the first of them in an export's check, all where `thorough`.
        onnx_files: graph name -> ONNX bytes, for the figures of each layer.
        report: hears each figure as it comes.
        thorough: the whole product of lengths, solvers, guidance and features: an hour for `mini`.
        notes: what the report should say of the engines. command: that it was, or would be.
    Raises:
        ParityError: after all figures were taken, the class of the first kind of failure in the
            order of the checks, with the report. UsageError: no engine, or an unknown precision.
    """
    halved(dtype)
    if not candidates:
        raise ValueError("there is no engine to verify")
    setup = Setup(model, dict(candidates), dtype, cases(model.config, thorough))
    figures: list[Figure] = []
    curves: list[Curve] = []
    said = list(notes)
    if not clips and not any(note.startswith("random features only") for note in said):
        said.append(NO_CLIPS)
    if onnx_files is None:
        said.append(NO_FILES)
    sources = (
        step_figures(setup),
        layer_figures(setup, onnx_files) if onnx_files is not None else (),
        attention_figures(setup) if ATTENTION in (onnx_files or {}) else (),
        row_figures(setup),
        padding_figures(setup),
        trajectory_figures(setup, clips, curves.append),
        metric_figures(setup, said.append),
    )
    for source in sources:
        for figure in source:
            figures.append(figure)
            if report is not None:
                report(figure)
    proof = Report(
        dtype=dtype,
        engines=tuple(candidates),
        thorough=thorough,
        figures=tuple(figures),
        curves=tuple(curves),
        notes=tuple(dict.fromkeys(said)),
        command=command,
    )
    proof.check()
    return proof


def verify_bundle(
    bundle: Bundle,
    model: str | Path | None = None,
    *,
    thorough: bool = True,
    report: Callable[[Figure], None] | None = None,
    threads: int | None = None,
) -> Report:
    """Every figure of a bundle's graphs against the checkpoint that they came from.

    Args:
        model: the checkpoint, by path or shipped name; None is what the bundle says it came from.
        thorough, report: as `verify` takes them. threads: of each engine.
    Raises:
        UsageError: the checkpoint is not here, or not the bundle's.
        IntegrityError: a damaged file. ParityError: as `verify` does; its report has the command.
    """
    network, info = load_reference(bundle, model), bundle.info
    names = [name for name in all_graph_specs(info.config) if f"{name}.onnx" in bundle.files]
    return prove_graphs(
        network,
        info,
        {name: bundle.graph(name) for name in names},
        command=verify_command(bundle.folder, model, thorough),
        thorough=thorough,
        report=report,
        threads=threads,
    )


def prove_graphs(
    network: MReactor,
    info: BundleInfo,
    onnx_files: Mapping[str, bytes],
    *,
    command: str,
    thorough: bool = False,
    report: Callable[[Figure], None] | None = None,
    threads: int | None = None,
) -> Report:
    """Every figure of the graphs of a bundle, which need not be written yet.

    Args:
        network: what they come from. onnx_files: graph name -> ONNX bytes.
        command: that takes the figures again. The others are `verify_bundle`'s.
    """
    opened = open_candidates(onnx_files, info.config, info.dtype, info.session, threads)
    clips, lack = example_clips(info.config, None if thorough else 1)
    return verify(
        network,
        opened.engines,
        dtype=info.dtype,
        clips=clips,
        onnx_files=onnx_files,
        report=report,
        thorough=thorough,
        notes=(*opened.notes, *([lack] if lack else [])),
        command=command,
    )


def load_reference(bundle: Bundle, model: str | Path | None = None) -> MReactor:
    """The checkpoint that a bundle was exported from.

    Raises: UsageError: it is not here, or another one is.
    """
    name = bundle.info.model_name if model is None else model
    try:
        path = find_checkpoint(name)
    except UsageError:
        if model is not None:
            raise
        raise UsageError(
            f"its checkpoint {name} is not here, and parity is measured against it",
            bundle.folder,
            "give it with --model",
        ) from None
    if sha256_of(path) != bundle.info.checkpoint_sha256:
        raise UsageError(
            "is not the checkpoint that the bundle came from",
            path,
            "give the right one with --model",
        )
    return load_checkpoint(path)
