"""The measurements behind choices of the exporter, as tables: precisions, forms of attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import onnx

from mreactor_bench.precision.forms import measure_forms
from mreactor_bench.precision.sensitivity import (
    GUIDANCE,
    Case,
    denoiser_cases,
    find_kept,
    measure_precision,
    measure_sensitivity,
)
from mreactor_bench.report import table_head, table_row
from mreactor_bench.throughput.weights import OPSET
from mreactor_export.operators import CLASSES
from mreactor_export.precision import FP32, KEEP_FP32
from mreactor_export.to_onnx import export_graph
from mreactor_ref.model import MReactor
from mreactor_runtime.tensors import DENOISER, graph_specs

Say = Callable[[str], None]


def precision_tables(
    model: MReactor, frames: int, dtypes: Sequence[str], say: Say, sensitivity: bool = True
) -> dict[str, Any]:
    """Tell what each dtype loses, and which operators lose it, a line as it is found.

    Args:
        frames: of the one reaction that is denoised. dtypes: half types.
        sensitivity: also each class of operators alone, which takes as long again.
    Raises: UsageError: onnxruntime is not installed.
    """
    proto = onnx.load_from_string(
        export_graph(model, graph_specs(model.config)[DENOISER], OPSET, {}, dtype=FP32)
    )
    cases = denoiser_cases(model, {"B": 1, "S": 1, "T": frames})
    scales = ", ".join(f"{scale:g}" for scale in GUIDANCE)
    say(f"Relative L2 error of a step, the largest of {len(cases)} steps, {frames} frames, ")
    say(f"guidance {scales}.\n")
    return {dtype: _one_precision(proto, dtype, cases, say, sensitivity) for dtype in dtypes}


def _one_precision(
    proto: onnx.ModelProto, dtype: str, cases: Sequence[Case], say: Say, sensitivity: bool
) -> dict[str, Any]:
    kept_in_table, nothing = measure_precision(proto, dtype, cases)
    say(f"## {dtype}\n\nWith the table KEEP_FP32 {kept_in_table:.2g}, without {nothing:.2g}.\n")
    columns = (f"{dtype}: kept in fp32, one more a line", "error", "in the table")
    say(table_head(columns, words=(0, 2)))
    kept = []
    for operators, error in find_kept(proto, dtype, cases):
        there = "" if not operators else "yes" if operators in KEEP_FP32 else "no"
        say(table_row((operators or "nothing", f"{error:.2g}", there)))
        kept.append({"operators": operators, "error": error})
    record: dict[str, Any] = {"table": kept_in_table, "nothing_kept": nothing, "kept": kept}
    if sensitivity:
        columns = (f"{dtype}: operators", "nodes", "alone", "all but these", "what")
        say("\n" + table_head(columns, words=(0, 4)))
        record["sensitivity"] = []
        for s in measure_sensitivity(proto, dtype, cases):
            figures = (f"{s.nodes}", f"{s.alone:.2g}", f"{s.spared:.2g}")
            say(table_row((s.operators, *figures, CLASSES[s.operators])))
            record["sensitivity"].append(vars(s))
    say("")
    return record


def forms_table(
    model: MReactor, frames: Sequence[int], samples: Sequence[int], pairs: int, say: Say
) -> list[dict[str, Any]]:
    """Times of the forms of a denoiser over that of the exported one, in pairs; said as found.

    Raises: UsageError: onnxruntime is not installed.
    """
    sizes = [{"B": 1, "S": s, "T": t} for t in frames for s in samples]
    say("Processor time of a form over that of the exported one, the median of pairs.\n")
    say(table_head(("form", "reactions", "frames", "ratio", "exported s")))
    ratios = []
    for ratio in measure_forms(model, sizes, pairs):
        size = ratio.sizes
        figures = (f"{size['S']}", f"{size['T']}", f"{ratio.ratio:.3f}", f"{ratio.seconds:.3g}")
        say(table_row((ratio.form, *figures)))
        ratios.append(vars(ratio))
    return ratios
