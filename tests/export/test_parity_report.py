"""What the proof leaves: the table, the JSON and the page; and the proof of a bundle."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from fakes.exported import exported_files, exported_graph, network
from fakes.html_reader import Html
from rich.console import Console

from mreactor_export.parity import clips, measures, proof
from mreactor_export.parity.candidates import EMULATED, open_candidates
from mreactor_export.parity.clips import Scored, example_clips
from mreactor_export.parity.figures import (
    LAYER,
    METRIC,
    STEP,
    TRAJECTORY,
    AxesError,
    Curve,
    Deviation,
    Figure,
    FigureLabel,
    MetricsError,
    NamesError,
    Report,
    ValuesError,
    compare,
    compare_all,
    rows,
)
from mreactor_export.parity.html import page, plot
from mreactor_export.parity.layers import exposed
from mreactor_export.parity.proof import load_reference, verify_bundle
from mreactor_export.parity.setup import BOUNDS, METRIC_BOUND, bound
from mreactor_export.precision import convert
from mreactor_export.screen import print_parity
from mreactor_ref.checkpoint import save_checkpoint
from mreactor_ref.config import CONFIGS
from mreactor_ref.errors import UsageError
from mreactor_ref.files import sha256_of
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.bundle import Bundle, BundleInfo, write_bundle
from mreactor_runtime.engines.names import DTYPES
from mreactor_runtime.tensors import DENOISER, ENCODER, all_graph_specs, graph_specs

STEPPED = "50 steps dpmsolver++ logsnr"


def figure(check: str = STEP, what: str = DENOISER, relative: float = 1e-6, **more) -> Figure:
    own = {"clips": 2, "reactions": 3, "frames": 65, "guidance": 7.5, "bound": 1e-5} | more
    errors = {
        "float64": Deviation(2 * relative, relative),
        "float32": Deviation(relative, relative / 2),
    }
    return Figure("onnx", check, what, errors=errors, **own)


def report(*figures: Figure, **more) -> Report:
    curves = tuple(
        Curve(f, (1e-7, 1e-6, f.relative), f.bound) for f in figures if f.check == TRAJECTORY
    )
    return Report("fp32", ("onnx",), False, figures, curves, **more)


MANY = (
    figure(),
    figure(relative=4e-6, frames=1000),
    figure(LAYER, "denoiser layers.0.relative"),
    figure(LAYER, "denoiser layers.0.feedforward", relative=3e-6),
    figure(TRAJECTORY, STEPPED, bound=1e-4),
    figure(METRIC, "FRCorr", bound=0.01),
)


def test_both_errors_are_measured():
    expected = torch.tensor([3.0, 0.0, 4.0])
    found = expected + torch.tensor([0.0, 0.5, 0.0])
    assert compare(found, expected) == Deviation(0.5, 0.1)
    assert compare(torch.zeros(2), torch.zeros(2)) == Deviation(0.0, 0.0)
    assert compare(torch.tensor([0.0, 0.3]), torch.zeros(2)).relative == pytest.approx(0.3)


def test_the_worst_of_several_counts_and_a_nan_is_the_worst():
    about, one = FigureLabel("onnx", STEP, ENCODER, 1, 1, 1), torch.ones(1)
    pairs = [("float64", one * x, one) for x in (1.5, 1.25)] + [("float32", one, one)]
    taken = compare_all(about, 0.5, lambda: pairs)
    assert taken.errors == {"float64": Deviation(0.5, 0.5), "float32": Deviation(0, 0)}
    assert (taken.relative, taken.passed) == (0.5, True)
    spoiled = compare_all(about, 0.5, lambda: [*pairs, ("float64", one * math.nan, one), pairs[1]])
    assert math.isnan(spoiled.relative)
    assert (spoiled.passed, spoiled.excess) == (False, math.inf)
    nothing = compare_all(about, 0.5, lambda: [])
    assert not nothing.passed


def test_a_figure_passes_up_to_its_bound():
    assert figure(relative=1e-5).passed
    assert not figure(relative=1.01e-5).passed
    assert not figure(relative=math.inf).passed


def test_measures_that_move_are_their_own_failure():
    moved = figure(METRIC, "FRVar", relative=0.011, bound=0.01)
    with pytest.raises(MetricsError, match=r"onnx's metric FRVar .* 1\.1e-02, bound 1e-02"):
        report(*MANY, moved).check()
    with pytest.raises(ValuesError) as error:
        report(moved, figure(relative=1e-3)).check()
    assert type(error.value) is ValuesError
    report(*MANY).check()


def test_every_precision_has_bounds_that_its_graphs_share():
    assert set(BOUNDS) == set(DTYPES)
    assert (bound("fp32", STEP, DENOISER), bound("fp32", TRAJECTORY, DENOISER)) == (1e-5, 1e-4)
    for precision in DTYPES:
        assert bound(precision, STEP, ENCODER) == 1e-5  # stays in fp32
        assert bound(precision, STEP, DENOISER) == BOUNDS[precision].step
        assert bound(precision, LAYER, DENOISER) == BOUNDS[precision].layer
        assert bound(precision, METRIC, DENOISER) == METRIC_BOUND == 0.01


def test_a_row_of_the_table_is_a_layer_a_graph_or_a_solver():
    assert [(row.name, len(row.figures), row.worst.relative) for row in rows(report(*MANY))] == [
        ("step denoiser", 2, 4e-6),
        ("denoiser.0", 2, 3e-6),
        (STEPPED, 1, 1e-6),
        ("FRCorr", 1, 1e-6),
    ]


def test_a_fault_is_the_worst_of_its_row():
    fault = Figure("onnx", STEP, DENOISER, 1, 1, 1, fault=AxesError("no axes"), bound=1e-5)
    (row,) = rows(report(fault, figure(relative=math.nan)))
    assert row.worst is fault


def test_the_table_fits_in_eighty_columns(capsys: pytest.CaptureFixture[str]):
    longest = figure(TRAJECTORY, STEPPED, relative=math.nan, clips=1, reactions=16, frames=1000)
    print_parity(Console(width=80), report(*MANY, *[longest] * 140, notes=("a note [x]",)))
    output = capsys.readouterr().out
    lines = [" ".join(line.split()) for line in output.splitlines()]
    assert f"{STEPPED} 141 1x16x1000 7.5 nan nan 1e-05 FAILED" in lines
    assert "step denoiser 2 2x3x1000 7.5 8.0e-06 4.0e-06 1e-05 ok" in lines
    assert "- a note [x]\n" in output
    assert "Reproduce: mreactor-export --verify BUNDLE\n" in output
    assert "…" not in output
    assert max(map(len, output.splitlines())) <= 80


def test_the_json_has_every_figure_and_no_number_that_json_has_not():
    fault = Figure("onnx", STEP, DENOISER, 1, 1, 1, fault=AxesError("no axes"), bound=1e-5)
    some = report(*MANY, figure(relative=math.nan), fault)
    made = json.loads(json.dumps(some.to_dict(), allow_nan=False))
    assert len(made["figures"]) == len(MANY) + 2
    assert made["passed"] is False
    first = made["figures"][0]
    assert first["errors"]["float64"] == {"maximum": 2e-6, "relative": 1e-6}
    assert (first["passed"], first["fault"], first["features"]) == (True, None, "random")
    assert made["figures"][-2]["errors"]["float32"]["relative"] is None
    assert made["figures"][-1]["fault"] == "no axes"
    assert made["curves"][0]["errors"] == [1e-7, 1e-6, 1e-6]


def test_the_page_needs_no_other_file_and_shows_all():
    fault = Figure("onnx", STEP, ENCODER, 1, 1, 1, fault=AxesError("no <axes>"), bound=1e-5)
    some = report(*MANY, figure(relative=math.nan), fault, notes=("<script>",), command="a & b")
    text = page(some)
    read = Html(text)
    assert (read.open, read.fetched) == ([], [])
    assert not {"script", "link", "img"} & read.seen
    assert "svg" in read.seen
    assert "&lt;script&gt;" in text
    assert "Reproduce: <code>a &amp; b</code>" in text
    assert read.cells.count(STEPPED) == 2  # the worst of each, and every figure
    failed = [cells for kind, cells in read.rows if kind == "failed"]
    assert [cells[-1] for cells in failed] == ["", "no <axes>"] * 2
    assert [cells.count("FAILED") for cells in failed] == [1, 1, 1, 1]
    assert read.cells.count("FAILED") == 4
    assert "2 of 8 figures FAILED" in text
    assert "All 6 figures are within their bounds." in page(report(*MANY))


def test_a_plot_rises_with_the_error_and_takes_what_is_no_number():
    curve = Curve(figure(TRAJECTORY, STEPPED), (1e-8, 1e-6, math.nan, 1e-2), 1e-4)
    points = plot([curve]).partition('points="')[2].partition('"')[0].split()
    x, y = zip(*(map(float, point.split(",")) for point in points), strict=True)
    assert len(points) == 3
    assert list(x) == sorted(x)
    assert list(y) == sorted(y, reverse=True)
    assert 'class="bound"' in plot([curve])
    assert "polyline" in plot([Curve(curve.label, (0.0, math.inf), 1e-4)])


def test_the_measures_are_those_of_the_challenge():
    generator = np.random.default_rng(0)
    real = generator.random((2, 30, 25))
    scored = [Scored(SpeakerClip("a", 20, 25.0), tuple(real))]
    own = measures.measures(real[None, :, :20], scored)
    assert own["FRCorr"] == pytest.approx(2)  # both reactions are appropriate ones
    assert own["FRDist"] == pytest.approx(0, abs=1e-6)
    assert own["FRDiv"] == pytest.approx(np.square(real[0, :20] - real[1, :20]).mean())
    assert own["FRVar"] == pytest.approx(real[:, :20].var(axis=1, ddof=1).mean())
    assert all(map(math.isnan, measures.measures(real[None] * math.nan, scored).values()))


def test_clips_are_those_of_the_checkout_or_none_and_why(monkeypatch: pytest.MonkeyPatch):
    found, lack = example_clips(CONFIGS["mini"], 1)
    assert lack == ""
    assert all(getattr(found[0], name) is not None for name in ("sound", "words"))
    assert found[0].attributes is not None or found[0].coefficients is not None
    elsewhere = replace(CONFIGS["mini"], sound_encoder="nobody/none-such", words_encoder="n/w")
    assert example_clips(elsewhere) == (
        [],
        "random features only: nobody/none-such, n/w is not on this machine",
    )
    scored, lack = clips.dyads(elsewhere, 1)
    assert lack.startswith("the measures' speakers have a face alone: no nobody/none-such")
    assert scored[0].clip.sound is None
    assert scored[0].clip.attributes is not None
    assert len(scored[0].appropriate) == 3
    monkeypatch.setattr(clips, "EXAMPLES", Path("/nowhere"))
    assert example_clips(CONFIGS["mini"])[1].startswith("random features only: no example clips")


def test_a_graph_without_the_parts_of_a_layer_is_refused():
    proto = onnx.load_from_string(exported_graph(DENOISER))
    assert len(exposed(proto, DENOISER, ["layers.0.subject", "layers.0.feedforward"])) == 2
    with pytest.raises(NamesError, match=r"denoiser has no part layers\.1\.subject"):
        exposed(proto, DENOISER, ["layers.1.subject"])


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_a_half_precision_is_emulated_where_a_cpu_has_none(dtype: str):
    config = network().config
    files = {name: exported_graph(name) for name in graph_specs(config)}
    for name in ("conditional", "denoiser"):
        half = convert(onnx.load_from_string(files[name]), dtype)
        files[name] = half.SerializeToString()
    opened = open_candidates(files, config, dtype, threads=1)
    assert next(iter(opened.engines)) == EMULATED
    assert opened.notes[0].startswith(f"{EMULATED}: a CPU has no {dtype};")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Path]:
    """A bundle whose checkpoint is elsewhere, and that checkpoint."""
    folder, model = tmp_path_factory.mktemp("bundle"), network()
    checkpoint = folder / "small.safetensors"
    save_checkpoint(model, checkpoint)
    info = BundleInfo(
        model_name=str(folder / "gone.safetensors"),
        config=model.config,
        checkpoint_sha256=sha256_of(checkpoint),
        reaction_mean=tuple(model.reaction.mean.tolist()),
        reaction_std=tuple(model.reaction.std.tolist()),
        listener_shares=tuple(model.listener_shares.tolist()),
        opset=20,
    )
    # the graphs name no checkpoint, so that any may hold them
    return write_bundle(folder / "bundle", info, exported_files()), checkpoint


def test_a_bundle_without_its_checkpoint_says_what_to_give(bundle: tuple[Bundle, Path]):
    with pytest.raises(
        UsageError, match=r"gone\.safetensors is not here.*\(give it with --model\)"
    ):
        load_reference(bundle[0])
    other = bundle[1].with_name("other.safetensors")
    model = network()
    model.smoothness_mean.add_(1)
    save_checkpoint(model, other)
    with pytest.raises(UsageError, match=r"other\.safetensors: is not the checkpoint"):
        load_reference(bundle[0], other)
    model = load_reference(bundle[0], bundle[1])
    assert model.state_dict().keys() == network().state_dict().keys()


def test_a_bundle_is_verified_with_all_that_is_there(
    bundle: tuple[Bundle, Path], monkeypatch: pytest.MonkeyPatch
):
    asked = {}

    def verify(model, engines, **options) -> Report:
        asked.update(options, engines=engines)
        return report(*MANY)

    monkeypatch.setattr(proof, "verify", verify)
    monkeypatch.setattr(Bundle, "graph", lambda self, name: self.read(f"{name}.onnx"))
    verify_bundle(bundle[0], bundle[1], threads=1)
    typed = f"mreactor-export --verify {bundle[0].folder} --model {bundle[1]} --thorough"
    assert (asked["thorough"], asked["dtype"], asked["command"]) == (True, "fp32", typed)
    assert set(asked["onnx_files"]) == set(all_graph_specs(bundle[0].info.config))
    assert {"onnx", "openvino"} <= set(asked["engines"])
    assert len(asked["clips"]) > 3
    assert any("CUDA" in note for note in asked["notes"]) or torch.cuda.is_available()
