"""The proof: every figure of some engines against a model, in one report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mreactor_export.parity.cases import cases
from mreactor_export.parity.figures import COMMAND, Curve, Figure, Report
from mreactor_export.parity.layers import attention_figures, layer_figures
from mreactor_export.parity.measures import metric_figures
from mreactor_export.parity.rig import Rig
from mreactor_export.parity.steps import padding_figures, row_figures, step_figures
from mreactor_export.parity.trajectories import trajectory_figures
from mreactor_export.precision import FP32, halved
from mreactor_ref.model import MReactor
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.engines.engine import Engine
from mreactor_runtime.tensors import ATTENTION

NO_CLIPS = "random features only: no clips were given"
NO_FILES = "no figures of layers: no graphs were given"


def verify(
    model: MReactor,
    candidates: Mapping[str, Engine],
    *,
    dtype: str = FP32,
    clips: Sequence[SpeakerClip] = (),
    files: Mapping[str, bytes] | None = None,
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
        files: graph name -> ONNX bytes, for the figures of each layer.
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
    rig = Rig(model, dict(candidates), dtype, cases(model.config, thorough))
    figures: list[Figure] = []
    curves: list[Curve] = []
    said = list(notes)
    if not clips and not any(note.startswith("random features only") for note in said):
        said.append(NO_CLIPS)
    if files is None:
        said.append(NO_FILES)
    sources = (
        step_figures(rig),
        layer_figures(rig, files) if files is not None else (),
        attention_figures(rig) if ATTENTION in (files or {}) else (),
        row_figures(rig),
        padding_figures(rig),
        trajectory_figures(rig, clips, curves.append),
        metric_figures(rig, said.append),
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
