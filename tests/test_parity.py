"""The proof itself: a right engine passes, and each kind of wrong one is caught by a figure."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

import pytest
import torch
from exported import exported_engine, network
from torch import Tensor

from mreactor_export import parity
from mreactor_export.parity import (
    STEP_BOUND,
    TRAJECTORY_BOUND,
    Figure,
    ParityError,
    compare,
    trajectory,
    verify,
)
from mreactor_ref.config import ATTENTIONS, Attention
from mreactor_ref.noise import INITIAL, reaction_noise
from mreactor_ref.schedule import solver_table
from mreactor_ref.signals import REACTION
from mreactor_runtime.engines.torch_engine import TorchEngine
from mreactor_runtime.tensors import (
    DENOISER,
    ENCODER,
    MASK,
    MODULATOR,
    PRESENT,
    example_inputs,
    graphs,
)

PADDED, TRAJECTORY = "padded in a batch", "4 steps"
Tensors = dict[str, Tensor]


@pytest.fixture(autouse=True)
def few_cases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real lists are minutes of work."""
    monkeypatch.setattr(parity, "STEP_CASES", ((1, 2, 1), (3, 2, 9), (2, 1, 16)))
    monkeypatch.setattr(parity, "TRAJECTORY_CASES", ((1, 2, 1), (2, 1, 9)))
    monkeypatch.setattr(parity, "TRAJECTORY_STEPS", 4)


class WrongEngine:
    """The model itself, with one fault: in what a graph is given, or in what it gives back."""

    name = "wrong"
    device = torch.device("cpu")

    def __init__(
        self,
        graph: str,
        given: Callable[[Tensors], Tensors] = dict,
        back: Callable[[Tensors], Tensors] = dict,
    ):
        self.right, self.graph = TorchEngine(network()), graph
        self.given, self.back = given, back

    def run(self, graph: str, inputs: Mapping[str, Tensor]) -> Tensors:
        if graph != self.graph:
            return self.right.run(graph, inputs)
        return self.back(self.right.run(graph, self.given(dict(inputs))))


def found(engine: WrongEngine) -> tuple[str, list[Figure]]:
    """The message of the failure, and the figures that are over their bound."""
    figures: list[Figure] = []
    with pytest.raises(ParityError) as error:
        verify(network(), engine, figures.append)
    assert error.value.exit_code == 1
    failed = [figure for figure in figures if not figure.passed]
    if failed:
        assert str(error.value).startswith(f"{len(failed)} of {len(figures)} figures are over")
    return str(error.value), failed


def what(figures: list[Figure]) -> set[str]:
    return {TRAJECTORY if TRAJECTORY in figure.what else figure.what for figure in figures}


def setting(**values: float) -> Callable[[Tensors], Tensors]:
    """Takes the same for some inputs, whatever it is given."""
    return lambda inputs: inputs | {k: torch.full_like(inputs[k], v) for k, v in values.items()}


def test_onnx_runtime_passes():
    seen: list[Figure] = []
    figures = verify(network(), exported_engine(), seen.append)
    assert figures == seen
    assert all(figure.passed for figure in figures)
    assert 0 < max(figure.relative for figure in figures) < TRAJECTORY_BOUND
    sizes = [(f.what, f.clips, f.reactions, f.frames, f.guidance) for f in figures]
    steps = [
        (name, *case, scale)
        for case in parity.STEP_CASES
        for name, scale in (
            *((ENCODER, None), (MODULATOR, None)),
            *((DENOISER, 0.0), (DENOISER, 1.0), (DENOISER, 7.5)),
        )
    ]
    ends = [("4 steps ddim", 1, 2, 1, 7.5), ("4 steps dpmsolver++", 2, 1, 9, 1.0)]
    assert sizes == [*steps, (PADDED, 2, 2, 37, 2.0), *ends]


@pytest.mark.parametrize("kind", ATTENTIONS)
def test_the_kernels_of_pytorch_pass_for_every_kind_of_attention(kind: Attention):
    figures = verify(network(kind), TorchEngine(network(kind)))
    assert 0 < max(figure.relative for figure in figures) < STEP_BOUND  # another order of sums


def test_the_real_cases_reach_the_ends_of_a_bucket_and_long_clips(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.undo()
    for cases in (parity.STEP_CASES, parity.TRAJECTORY_CASES):
        assert {1, 63, 64, 65, 750} <= {frames for _, _, frames in cases}
        assert {1, 2, 3} <= {clips for clips, _, _ in cases}
        assert max(reactions for _, reactions, _ in cases) > 10
    assert parity.TRAJECTORY_STEPS == 50


def test_a_scale_of_a_ten_thousandth_is_caught():
    scaled = WrongEngine(DENOISER, back=lambda out: {"clean": out["clean"] * (1 + 1e-4)})
    message, failed = found(scaled)
    assert {DENOISER, PADDED} <= what(failed) <= {DENOISER, PADDED, TRAJECTORY}
    steps = [figure for figure in failed if figure.what == DENOISER]
    assert len(steps) == 9  # three sizes, three scales of guidance
    for figure in steps:
        assert figure.relative == pytest.approx(1e-4, rel=0.01)
        assert figure.bound == STEP_BOUND
    worst = max(failed, key=lambda f: f.relative / f.bound)
    assert (
        f"the worst is {worst.what} with {worst.clips} clips, {worst.reactions} reactions, "
        f"{worst.frames} frames: relative error {worst.relative:.1e}, bound 1e-05"
    ) in message


@pytest.mark.parametrize("name", ["condition", "keys", "values", "style"])
def test_nan_in_any_output_of_a_graph_is_caught(name: str):
    """Whichever output it is: a NaN compares to no number, so a plain maximum may lose it."""

    def spoil(out: Tensors) -> Tensors:
        return out | {name: out[name].index_fill(0, torch.tensor(0), math.nan)}

    message, failed = found(WrongEngine(ENCODER, back=spoil))
    assert len([figure for figure in failed if figure.what == ENCODER]) == 3
    assert "relative error nan" in message


def test_one_nan_is_the_worst_of_all_errors():
    def spoil(out: Tensors) -> Tensors:
        clean = out["clean"] * 3
        if clean.shape[:3] == (3, 2, 9):
            clean[2, 1, 8, 82] = math.nan
        return {"clean": clean}

    message, failed = found(WrongEngine(DENOISER, back=spoil))
    assert {figure.relative > 1 for figure in failed} == {True, False}  # some are no number
    assert (
        "the worst is denoiser with 3 clips, 2 reactions, 9 frames: relative error nan" in message
    )


@pytest.mark.parametrize(
    ("graph", "back", "message"),
    [
        (
            DENOISER,
            lambda out: {"clean": out["clean"][:, :, :, :82]},
            r"clean has shape .*82\), not",
        ),
        (DENOISER, lambda out: {"clean": out["clean"].double()}, r"clean is torch\.float64, not"),
        (DENOISER, lambda out: {"clean": out["clean"].half()}, r"clean is torch\.float16, not"),
        (ENCODER, lambda out: out | {"keys": out["keys"][:1]}, "encoder's keys has shape"),
        (ENCODER, lambda out: {"keys": out["keys"]}, "encoder gives keys, not condition, keys"),
        (MODULATOR, lambda out: out | {"modulation": out["modulation"][0]}, "modulation has shape"),
    ],
)
def test_another_shape_type_or_output_is_named(
    graph: str, back: Callable[[Tensors], Tensors], message: str
):
    text, _ = found(WrongEngine(graph, back=back))
    assert re.search(message, text)


@pytest.mark.parametrize("graph", [ENCODER, DENOISER])
def test_an_engine_that_ignores_the_mask_is_caught(graph: str):
    _, failed = found(WrongEngine(graph, given=setting(mask=True)))
    assert {graph, PADDED, TRAJECTORY} == what(failed)
    steps = {(f.clips, f.frames) for f in failed if f.what == graph}
    assert steps == {(3, 9), (2, 16)}  # a lone clip has no padding


@pytest.mark.parametrize("scale", [0.0, 1.0, 2.0, 7.5])
def test_an_engine_that_ignores_guidance_is_caught(scale: float):
    _, failed = found(WrongEngine(DENOISER, given=setting(guidance=scale)))
    wrong = {f.guidance for f in failed if f.what == DENOISER}
    assert wrong == {0.0, 1.0, 7.5} - {scale}
    assert (PADDED in what(failed)) == (scale != 2.0)


@pytest.mark.parametrize(
    ("graph", "name", "value"),
    [
        *((ENCODER, "emotion", 1), (ENCODER, "affect", 0.0), (ENCODER, "smoothness", 0.0)),
        *((ENCODER, "sound", 0.0), (ENCODER, "words", 0.0)),
        *((ENCODER, "coefficients", 0.0), (ENCODER, "attributes", 0.0), (ENCODER, PRESENT, 1.0)),
        *((DENOISER, "noisy", 0.0), (DENOISER, "style", 0.0), (DENOISER, "keys", 0.0)),
        *((DENOISER, "values", 0.0), (DENOISER, "modulation", 0.0), (MODULATOR, "timestep", 500)),
    ],
)
def test_an_input_that_is_ignored_is_caught(graph: str, name: str, value: float):
    _, failed = found(WrongEngine(graph, given=setting(**{name: value})))
    assert graph in what(failed)


@pytest.mark.parametrize("stream", range(4))
def test_a_missing_stream_that_is_taken_for_there_is_caught(stream: int):
    def take(inputs: Tensors) -> Tensors:
        present = inputs[PRESENT].clone()
        present[:, stream] = 1
        return inputs | {PRESENT: present}

    _, failed = found(WrongEngine(ENCODER, given=take))
    assert ENCODER in what(failed)


def test_a_fault_in_the_last_row_of_a_batch_is_caught():
    """As of engines that are right for a batch of one alone."""

    def repeat(out: Tensors) -> Tensors:
        return {"clean": out["clean"][:1].expand_as(out["clean"]).clone()}

    _, failed = found(WrongEngine(DENOISER, back=repeat))
    assert {figure.clips > 1 for figure in failed} == {True}
    assert {DENOISER, PADDED, TRAJECTORY} == what(failed)


def test_a_buffer_that_is_not_filled_again_is_caught_by_the_trajectories_alone():
    """Each call of a step figure is of other sizes or the same sample; a trajectory moves on."""
    held: Tensors = {}

    def stale(inputs: Tensors) -> Tensors:
        if held and torch.equal(held["style"], inputs["style"]):
            return inputs | {"noisy": held["noisy"]}
        held.clear()
        held.update(inputs)
        return inputs

    _, failed = found(WrongEngine(DENOISER, given=stale))
    assert what(failed) == {TRAJECTORY}
    assert {figure.bound for figure in failed} == {TRAJECTORY_BOUND}


def test_a_bias_that_only_padding_brings_is_caught():
    """A condition that leaks from the padded frames of a clip in a batch."""

    def leak(out: Tensors) -> Tensors:
        return out | {"values": out["values"] + 1e-3} if out["keys"].shape[2] == 64 else out

    _, failed = found(WrongEngine(ENCODER, back=leak))
    assert what(failed) == {PADDED}


def test_compare_measures_both_errors():
    expected = torch.tensor([3.0, 0.0, 4.0])
    assert compare(expected + torch.tensor([0.0, 0.5, 0.0]), expected, "x") == (0.5, 0.1)
    assert compare(torch.zeros(2), torch.zeros(2), "x") == (0.0, 0.0)
    assert compare(torch.tensor([0.0, 0.3]), torch.zeros(2), "x")[1] == pytest.approx(0.3)
    assert all(map(math.isnan, compare(torch.tensor([math.nan, 0]), torch.ones(2), "x")))


def test_a_figure_passes_up_to_its_bound():
    def figure(relative: float) -> Figure:
        return Figure("x", 1, 1, 1, None, 0.0, relative, 1e-5)

    assert figure(1e-5).passed
    assert not figure(1.01e-5).passed
    assert not figure(math.nan).passed
    assert not figure(math.inf).passed
    assert figure(math.nan).excess == math.inf


def test_a_trajectory_is_the_solver_over_the_model():
    """DDIM written out: the noise, the clean sample and its weight at every step."""
    model = network()
    speaker = example_inputs(graphs(model.config)[ENCODER], {"B": 2, "S": 2, "T": 6})
    end = trajectory(TorchEngine(network()), speaker, "ddim", 3, 2.0)
    table = solver_table("ddim", 3)
    x = torch.from_numpy(reaction_noise(0, ["clip 0", "clip 1"], range(2), INITIAL, 6, REACTION))
    engine = TorchEngine(model)
    context = engine.run(ENCODER, speaker)
    del context["condition"]
    for (a, b, _, _), timestep in zip(table.rows.tolist(), table.timesteps.tolist(), strict=True):
        row = engine.run(MODULATOR, {"timestep": torch.tensor([timestep])})["modulation"][0]
        inputs = {"noisy": x, "modulation": row, MASK: speaker[MASK], **context}
        x = a * x + b * engine.run(DENOISER, inputs | {"guidance": torch.tensor(2.0)})["clean"]
    assert torch.allclose(end, x, atol=1e-5)
