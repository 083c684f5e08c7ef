"""The proof itself: a right engine passes, each kind of wrong one is caught where it is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.exported import exported_engine, exported_graph, network
from fakes.models import random_model, small_config
from torch import Tensor

from mreactor_export.parity import cases, proof
from mreactor_export.parity.calls import step_inputs
from mreactor_export.parity.candidates import ON_CUDA, open_candidates
from mreactor_export.parity.cases import (
    DDPM,
    DEFAULT,
    FIRST_ORDER,
    SECOND_ORDER,
    Cases,
    Sizes,
    Trajectory,
)
from mreactor_export.parity.figures import (
    EQUAL,
    LAYER,
    METRIC,
    PADDING,
    ROWS,
    STEP,
    TRAJECTORY,
    AxesError,
    DtypesError,
    Figure,
    NamesError,
    ParityError,
    Report,
    RunError,
    ShapesError,
    ValuesError,
)
from mreactor_export.parity.layers import sublayers
from mreactor_export.parity.proof import verify
from mreactor_export.parity.reference import Reference
from mreactor_export.parity.speakers import noise, random_speaker
from mreactor_ref.config import ATTENTIONS, CONFIGS, Attention
from mreactor_ref.schedule import SCHEDULERS, solver_table
from mreactor_ref.signals import ATTRIBUTES, SpeakerClip
from mreactor_runtime.engines.openvino_engine import OpenVinoEngine
from mreactor_runtime.tensors import (
    ATTENTION,
    CONDITIONAL,
    DENOISER,
    ENCODER,
    MODULATOR,
    PRESENT,
    STEPPING,
    all_graph_specs,
)

Tensors = dict[str, Tensor]
CHECKS = {STEP, LAYER, ROWS, EQUAL, PADDING, TRAJECTORY, METRIC}
FEW = Cases(
    steps=(Sizes(1, 2, 1), Sizes(3, 2, 9), Sizes(2, 1, 16)),
    rows=(Sizes(3, 2, 7),),
    layers=(Sizes(2, 2, 9),),
    padding=((5, 8),),
    trajectories=(
        Trajectory(Sizes(1, 2, 5), 4, DDPM, 7.5),
        Trajectory(Sizes(2, 1, 9), 4, FIRST_ORDER, 0.0),
        Trajectory(Sizes(1, 1, 1), 3, SECOND_ORDER, 1.0),
        Trajectory(Sizes(1, 1, 7), 3, DEFAULT, 7.5),
    ),
    clips=(),
    real=(),
    dyads=((1, 24),),
    others=(1, 9),
)


@pytest.fixture(autouse=True)
def few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real lists are minutes of work."""
    monkeypatch.setattr(proof, "cases", lambda config, thorough: FEW)


@pytest.fixture
def no_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulated dyads are a second's work."""
    monkeypatch.setattr(proof, "metric_figures", lambda setup, note: ())


class WrongEngine:
    """The exported model, with one fault: in what a graph is given, or in what it gives back."""

    name = "wrong"
    device = torch.device("cpu")

    def __init__(
        self,
        *wrong: str,
        given: Callable[[Tensors], Tensors] = dict,
        back: Callable[[Tensors], Tensors] = dict,
    ):
        self.right, self.wrong = exported_engine(), wrong
        self.given, self.back = given, back

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> Tensors:
        if graph not in self.wrong:
            return self.right.run(graph, inputs)
        return self.back(self.right.run(graph, self.given(dict(inputs))))


def failure(engine: WrongEngine) -> tuple[ParityError, Report]:
    """The error, and the report that it carries."""
    heard: list[Figure] = []
    with pytest.raises(ParityError) as error:
        verify(network(), {"wrong": engine}, report=heard.append)
    assert error.value.exit_code == 1
    report = error.value.report
    assert report is not None
    assert list(report.figures) == heard
    return error.value, report


def failed(engine: WrongEngine) -> set[tuple[str, str]]:
    """(check, graph or solver) of the figures that are over their bound."""
    error, report = failure(engine)
    assert type(error) is ValuesError
    assert str(error).startswith(f"{len(report.failed)} of {len(report.figures)} figures are over")
    return {(f.check, f.what.partition(" ")[0]) for f in report.failed}


def steps(*graphs: str) -> set[tuple[str, str]]:
    return {(STEP, graph) for graph in graphs}


@pytest.fixture(scope="module")
def right() -> Report:
    """Of ONNX Runtime, and of OpenVINO as the independent engine."""
    config = network().config
    files = {name: exported_graph(name) for name in all_graph_specs(config)}
    engines = {"onnx": exported_engine(), "openvino": OpenVinoEngine(files, config, threads=1)}
    held = proof.cases
    proof.cases = lambda config, thorough: FEW  # pyright: ignore[reportPrivateImportUsage]
    try:
        return verify(network(), engines, onnx_files=files)
    finally:
        proof.cases = held  # pyright: ignore[reportPrivateImportUsage]


def test_right_engines_pass_every_check(right: Report):
    assert right.failed == ()
    assert right.engines == ("onnx", "openvino")
    first = [figure for figure in right.figures if figure.engine == "onnx"]
    assert {figure.check for figure in first} == CHECKS
    assert {f.guidance for f in first if (f.check, f.what) == (STEP, DENOISER)} == {0, 1, 7.5}
    assert {f.what for f in first if f.check == STEP} == {
        ENCODER,
        MODULATOR,
        CONDITIONAL,
        DENOISER,
    }
    assert {f.what for f in first if f.check == METRIC} == {"FRCorr", "FRDist", "FRDiv", "FRVar"}
    own = {f.what for f in first if f.check == TRAJECTORY}
    assert own == {
        *("4 steps ddpm", "4 steps ddim", "4 steps dpmsolver++1", "4 steps euler"),
        *("3 steps dpmsolver++", "3 steps dpmsolver++ logsnr"),
    }


def test_every_value_is_held_against_both_precisions_of_the_reference(right: Report):
    for figure in right.figures:
        if figure.check in (ROWS, EQUAL):
            assert set(figure.errors) == {"itself"}
        elif figure.check == METRIC:
            assert set(figure.errors) == {"float64"}
        else:
            assert set(figure.errors) == {"float64", "float32"}
    # rounding, so the two references differ, and neither is what an engine computes to the bit
    errors = [f.errors for f in right.figures if (f.check, f.what) == (STEP, DENOISER)]
    assert all(0 < e["float64"].relative < 1e-5 for e in errors)
    assert any(e["float64"].relative != e["float32"].relative for e in errors)


def test_the_independent_engine_is_asked_at_some_lengths(right: Report):
    second = [figure for figure in right.figures if figure.engine == "openvino"]
    lengths = {figure.frames for figure in second if figure.check in (STEP, TRAJECTORY)}
    assert lengths == {1, 9}
    assert METRIC not in {figure.check for figure in second}  # of 24 frames


def test_a_curve_has_an_error_a_step_and_ends_at_the_figure(right: Report):
    assert [len(curve.errors) for curve in right.curves if curve.label.engine == "onnx"] == [
        *(4, 4, 3, 3)
    ]
    for curve in right.curves:
        assert all(0 < error < curve.bound for error in curve.errors)
        name = curve.label.what.partition(",")[0]  # a curve for all names of a solver
        size, engine = curve.label.size, curve.label.engine
        ends = [f for f in right.figures if (f.engine, f.what, f.size) == (engine, name, size)]
        # the last row of every table is the clean sample itself
        assert ends[0].errors["float64"].relative == pytest.approx(curve.errors[-1], rel=1e-5)


def test_the_same_figures_again(right: Report):
    again = verify(
        network(),
        {"onnx": exported_engine()},
        onnx_files={g: exported_graph(g) for g in (*STEPPING, ATTENTION)},
    )
    assert again.figures == tuple(f for f in right.figures if f.engine == "onnx")


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_every_kind_of_attention_has_its_layers(kind: Attention):
    model = random_model(small_config(kind, layers=2))
    reference, sizes = Reference(model, torch.float64), Sizes(2, 3, 5)
    speaker = random_speaker(model, sizes)
    modulation = reference.run(MODULATOR, {"timestep": torch.tensor([500])})["modulation"][0]
    step = step_inputs(noise(sizes), modulation, 2.0)
    inputs = {**reference.run(ENCODER, speaker), **step, "mask": speaker["mask"]}
    for graph in STEPPING:
        parts = reference.layers(graph, inputs)
        assert sorted(parts) == sorted(sublayers(model))
        both = {name for name, x in parts.items() if x.shape == (2, 6, 5, 16)}
        assert {x.shape for name, x in parts.items() if name not in both} <= {(2, 3, 5, 16)}
        once = {name for name in parts if name.endswith("subject")}
        once |= {"layers.0.relative"} if kind in ("self+cross", "relative+subject") else set()
        assert both == (set(parts) - once if graph == DENOISER else set())


@pytest.mark.gpu
def test_the_engines_of_a_gpu_pass(no_measures: None):
    config = network().config
    files = {name: exported_graph(name) for name in all_graph_specs(config)}
    opened = open_candidates(files, config, threads=1)
    if ON_CUDA not in opened.engines:
        pytest.skip("no onnxruntime for CUDA here")
    assert verify(network(), {ON_CUDA: opened.engines[ON_CUDA]}).failed == ()


def test_attention_alone_is_held_to_the_reference(right: Report):
    found = {f.what: f for f in right.figures if f.what.startswith("attention ")}
    assert set(found) == {"attention relative", "attention subject"}
    assert {(f.check, f.row, f.bound) for f in found.values()} == {(LAYER, "attention", 1e-5)}
    assert all(0 < f.relative < f.bound for f in found.values())


def test_a_wrong_attention_is_found(no_measures: None):
    wrong = WrongEngine(ATTENTION, back=lambda out: {**out, "subject": 1.001 * out["subject"]})
    setup = proof.Setup(network(), {"wrong": wrong}, "fp32", FEW)
    taken = {f.what: f.passed for f in proof.attention_figures(setup)}
    assert taken == {"attention relative": True, "attention subject": False}


def test_clips_take_the_trajectories_in_turns(no_measures: None):
    config = network().config
    clips = [
        SpeakerClip(name, 6, config.fps, attributes=np.zeros((6, ATTRIBUTES), np.float32))
        for name in ("a", "b")
    ]
    real = tuple((2, DEFAULT, scale) for scale in (0.0, 1.0, 7.5))
    only = replace(FEW, trajectories=(), clips=((1, 4), (2, 6)), real=real)
    setup = proof.Setup(network(), {"onnx": exported_engine()}, "fp32", only)
    taken = list(proof.trajectory_figures(setup, clips, lambda _: None))
    assert all(figure.passed for figure in taken)
    assert [(f.features, f.frames, f.guidance) for f in taken] == [
        *(("a", 4, 0.0), ("a", 4, 1.0), ("a", 4, 7.5)),
        *(("a", 6, 0.0), ("b", 6, 1.0), ("a", 6, 7.5)),
    ]


def test_without_graphs_or_clips_the_report_says_so(no_measures: None):
    report = verify(network(), {"onnx": exported_engine()})
    assert report.notes == (proof.NO_CLIPS, proof.NO_FILES)
    assert LAYER not in {figure.check for figure in report.figures}


@pytest.mark.usefixtures("no_measures")
class TestFaults:
    """Each its own exception, after all figures were taken; the first kind of check counts."""

    @pytest.mark.parametrize(
        ("graph", "back", "kind", "message"),
        [
            (
                ENCODER,
                lambda out: {"keys": out["keys"]},
                NamesError,
                "wrong's encoder gives keys, not condition, keys, values, style",
            ),
            (
                MODULATOR,
                lambda out: {"modulation": out["modulation"][0]},
                AxesError,
                "wrong's modulator gives modulation of shape (11, 16), not of axes ('N', 11, 16)",
            ),
            (
                DENOISER,
                lambda out: {"clean": out["clean"][..., :82]},
                AxesError,
                "wrong's denoiser gives clean of shape (1, 2, 1, 82), not of axes "
                "('B', 'S', 'T', 83)",
            ),
            (
                CONDITIONAL,
                lambda out: {"clean": out["clean"][:1]},
                ShapesError,
                "wrong's conditional gives clean of shape (1, 2, 9, 83), not (3, 2, 9, 83)",
            ),
            (
                DENOISER,
                lambda out: {"clean": out["clean"].half()},
                DtypesError,
                "wrong's denoiser gives clean in float16, not float32",
            ),
        ],
    )
    def test_structure(
        self,
        graph: str,
        back: Callable[[Tensors], Tensors],
        kind: type[ParityError],
        message: str,
    ):
        error, report = failure(WrongEngine(graph, back=back))
        assert type(error) is kind
        assert error.problem == (
            f"{message}; {len(report.failed)} of {len(report.figures)} figures failed"
        )
        assert all(math.isnan(figure.relative) for figure in report.failed if figure.fault)

    def test_names_come_before_shapes_and_values(self):
        def spoil(out: Tensors) -> Tensors:
            return (
                {"other": out["clean"][:1]}
                if len(out["clean"]) == 3
                else {"clean": out["clean"] * 2}
            )

        error, report = failure(WrongEngine(DENOISER, back=spoil))
        assert type(error) is NamesError
        assert any(f.fault is None and f.relative > 0.5 for f in report.failed)

    def test_an_engine_that_breaks_at_a_size(self):
        def breaks(inputs: Tensors) -> Tensors:
            if inputs["noisy"].shape[0] == 3:
                raise RuntimeError("no such shape")
            return inputs

        error, _ = failure(WrongEngine(CONDITIONAL, given=breaks))
        assert type(error) is RunError
        assert "wrong cannot run the conditional at B 3, S 2, T 9: no such shape;" in str(error)


def setting(**values: float) -> Callable[[Tensors], Tensors]:
    """Takes the same for some inputs, whatever it is given."""
    return lambda inputs: inputs | {k: torch.full_like(inputs[k], v) for k, v in values.items()}


@pytest.mark.usefixtures("no_measures")
class TestWrongEngines:
    @pytest.mark.parametrize("graph", STEPPING)
    def test_a_scale_of_a_ten_thousandth(self, graph: str):
        scaled = WrongEngine(graph, back=lambda out: {"clean": out["clean"] * (1 + 1e-4)})
        error, report = failure(scaled)
        own = [f for f in report.failed if (f.check, f.what) == (STEP, graph)]
        assert len(own) == 3 * (3 if graph == DENOISER else 1)
        for figure in own:
            assert figure.relative == pytest.approx(1e-4, rel=0.1)
        assert {ROWS, EQUAL}.isdisjoint(f.check for f in report.failed)  # all rows are as wrong
        worst = max(report.failed, key=lambda figure: figure.excess)
        assert f"the worst is wrong's {worst.check} {worst.what} with" in str(error)
        assert f"relative error {worst.relative:.1e}, bound 1e-0" in str(error)

    @pytest.mark.parametrize("name", ["condition", "keys", "values", "style"])
    def test_nan_in_any_output(self, name: str):
        """A NaN compares to no number, so a plain maximum may lose it."""

        def spoil(out: Tensors) -> Tensors:
            return out | {name: out[name].index_fill(0, torch.tensor(0), math.nan)}

        error, report = failure(WrongEngine(ENCODER, back=spoil))
        assert len([f for f in report.failed if (f.check, f.what) == (STEP, ENCODER)]) == 3
        assert "relative error nan" in str(error)

    def test_rows_that_change_places(self):
        """Each value is right, in the row of another clip."""

        def swap(out: Tensors) -> Tensors:
            return {"clean": out["clean"].flip(0)}

        seen = failed(WrongEngine(DENOISER, back=swap))
        assert {(STEP, DENOISER), (ROWS, DENOISER), (PADDING, DENOISER)} <= seen
        assert (EQUAL, DENOISER) not in seen

    def test_a_row_that_sees_its_neighbour(self):
        def leak(out: Tensors) -> Tensors:
            return {"clean": out["clean"] + 1e-3 * out["clean"].mean(dim=1, keepdim=True)}

        assert (ROWS, CONDITIONAL) in failed(WrongEngine(CONDITIONAL, back=leak))

    def test_equal_rows_that_differ(self):
        """By their place in the batch, as of a kernel that reads beyond its row."""

        def drift(out: Tensors) -> Tensors:
            place = torch.arange(out["clean"].shape[1])[:, None, None]
            return {"clean": out["clean"] * (1 + 1e-4 * place)}

        assert {(EQUAL, DENOISER), (ROWS, DENOISER)} <= failed(WrongEngine(DENOISER, back=drift))

    def test_padding_that_brings_a_bias(self):
        def leak(out: Tensors) -> Tensors:
            return out | {"values": out["values"] + 1e-3} if out["keys"].shape[2] == 8 else out

        assert failed(WrongEngine(ENCODER, back=leak)) == {
            (PADDING, CONDITIONAL),
            (PADDING, DENOISER),
        }

    @pytest.mark.parametrize("graph", [ENCODER, *STEPPING])
    def test_a_mask_that_is_ignored(self, graph: str):
        seen = failed(WrongEngine(graph, given=setting(mask=True)))
        assert (STEP, graph) in seen
        assert {check for check, _ in seen} >= {STEP, PADDING}

    def test_what_padded_frames_hold_that_is_seen(self):
        """The mask is applied to what is zero, and not to what is not."""

        def see(inputs: Tensors) -> Tensors:
            padded = (inputs["sound"] == 3.0).all(dim=-1)
            return inputs | {"mask": inputs["mask"] | padded}

        assert failed(WrongEngine(ENCODER, given=see)) == {
            (PADDING, CONDITIONAL),
            (PADDING, DENOISER),
        }

    @pytest.mark.parametrize("scale", [0.0, 1.0, 7.5])
    def test_guidance_that_is_ignored(self, scale: float):
        _, report = failure(WrongEngine(DENOISER, given=setting(guidance=scale)))
        wrong = {f.guidance for f in report.failed if (f.check, f.what) == (STEP, DENOISER)}
        assert wrong == {0.0, 1.0, 7.5} - {scale}

    @pytest.mark.parametrize(
        ("graph", "name", "value"),
        [
            *((ENCODER, "emotion", 1), (ENCODER, "affect", 0.0), (ENCODER, "smoothness", 0.0)),
            *((ENCODER, "sound", 0.0), (ENCODER, "words", 0.0), (ENCODER, PRESENT, 1.0)),
            *((ENCODER, "coefficients", 0.0), (ENCODER, "attributes", 0.0)),
            *((CONDITIONAL, "noisy", 0.0), (CONDITIONAL, "style", 0.0)),
            *((DENOISER, "keys", 0.0), (DENOISER, "values", 0.0), (DENOISER, "modulation", 0.0)),
            (MODULATOR, "timestep", 500),
        ],
    )
    def test_an_input_that_is_ignored(self, graph: str, name: str, value: float):
        assert (STEP, graph) in failed(WrongEngine(graph, given=setting(**{name: value})))

    def test_a_buffer_that_is_not_filled_again(self):
        """Each call of a step figure is of other sizes or the same sample; a trajectory moves."""
        held: Tensors = {}

        def stale(inputs: Tensors) -> Tensors:
            if held and torch.equal(held["style"], inputs["style"]):
                return inputs | {"noisy": held["noisy"]}
            held.clear()
            held.update(inputs)
            return inputs

        _, report = failure(WrongEngine(DENOISER, given=stale))
        assert {figure.check for figure in report.failed} == {TRAJECTORY}


def test_every_guarantee_is_in_the_check_of_an_export():
    for name in CONFIGS:
        brief = cases.cases(CONFIGS[name], thorough=False)
        assert {sizes.frames for sizes in brief.steps} == {1, 2, 63, 64, 65, 750, 1000}
        assert {sizes.clips for sizes in brief.steps} >= {1, 2, 3}
        solved = {(case.steps, case.solver) for case in brief.trajectories}
        assert solved >= {(n, solver) for n in (20, 50) for solver in cases.SOLVERS}
        assert {case.guidance for case in brief.trajectories} == {0, 1, 7.5}
        assert brief.rows
        assert brief.layers
        assert brief.padding
        assert brief.dyads
        assert brief.real
        assert max(case.sizes.frames for case in brief.trajectories) == 1000


def test_the_whole_product_holds_the_check_of_an_export():
    brief, whole = (cases.cases(CONFIGS["mini"], thorough) for thorough in (False, True))
    for name in ("steps", "rows", "layers", "padding", "trajectories", "clips", "real", "dyads"):
        assert set(getattr(brief, name)) <= set(getattr(whole, name))
    solved = {(c.sizes.frames, c.steps, c.solver, c.guidance) for c in whole.trajectories}
    assert len(solved) >= 7 * 2 * len(cases.SOLVERS) * 3
    assert len(set(whole.steps)) == len(whole.steps)


def test_solvers_that_share_a_trajectory_have_one_table():
    assert {name for names, _ in cases.SOLVERS for name in names} == set(SCHEDULERS)
    for names, spacing in cases.SOLVERS:
        for steps in (20, 50):
            tables = [solver_table(name, steps, timestep_spacing=spacing) for name in names]
            for table in tables[1:]:
                assert table.timesteps.tolist() == tables[0].timesteps.tolist()
                rows = [t.rows.astype("float32").tolist() for t in (table, tables[0])]
                assert rows[0] == rows[1]
