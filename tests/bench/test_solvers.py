"""`mreactor-bench solvers`: errors of known solutions, the rule on made-up figures, the report."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from fakes.engines import FakeEngine, TwoSubjects, fake_model, speaker_clip
from fakes.html_reader import Html
from torch import Tensor

from mreactor_bench.solvers import measure as solvers_measure
from mreactor_bench.solvers.command import solvers_command
from mreactor_bench.solvers.measure import CaseRunner, guided_steps, measure_cases
from mreactor_bench.solvers.page import Solvers, draw, page, table_rows, to_markdown, to_values
from mreactor_bench.solvers.rule import (
    CONVERGED,
    INTERVALS,
    MEASURES,
    NOISY_STEPS,
    PUBLISHED,
    SolverCase,
    SolverRow,
    adds_noise,
    choose,
    default_cases,
    interval,
    verdicts,
)
from mreactor_ref.data.dyads import Dyad
from mreactor_ref.errors import ClipError, UsageError
from mreactor_ref.schedule import Solver, noise_scales, solver_table
from mreactor_ref.signals import REACTION
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling_options import Sampling, changed

SPREAD = 0.5  # the deviation of the data whose solution is known
TRAIN_STEPS = 1000
SIGNAL, SIGMA = noise_scales(TRAIN_STEPS)
FACTORS = SIGNAL * SPREAD**2 / (SIGNAL**2 * SPREAD**2 + SIGMA**2)


class GaussianEngine(FakeEngine):
    """The exact denoiser of normal data: E[clean | noisy], a factor that depends on the timestep.

    Guidance g multiplies the factor by g.
    """

    def modulator(self, timestep: Tensor):
        modulation = super().modulator(timestep)["modulation"]
        modulation[:] = timestep[:, None, None]
        return {"modulation": modulation}

    def denoiser(self, noisy, modulation, guidance, **_: Tensor):  # pyright: ignore
        return {"clean": noisy * float(FACTORS[int(modulation[0, 0])]) * guidance}


def dyad(number: int, frames: int = 20) -> Dyad:
    clip = speaker_clip(frames, f"clip/{number}", seed=number)
    reactions = np.random.default_rng(number).normal(0, SPREAD, (3, frames, REACTION))
    return Dyad(
        clip, reactions.astype(np.float32), clip.utterances, np.zeros((3, 2, 2), np.float32)
    )


def case_of(
    scheduler: str,
    spacing: str,
    steps: int,
    guidance_scale: float = 1.0,
    guidance_interval: tuple[float, float] | None = None,
) -> SolverCase:
    return SolverCase(Solver(scheduler, steps, guidance_scale, spacing), guidance_interval)


def runner() -> CaseRunner:
    return CaseRunner(Reactor(fake_model(), GaussianEngine(), source=TwoSubjects()))


def errors_of(scheduler: str, spacing: str, counts: tuple[int, ...]) -> list[float]:
    """Distances from the exact solution: the start, at the deviation of the data."""
    runs = runner()
    encoded = runs.encode(dyad(0), samples=2, seed=0)
    start = encoded.noise(-1)[0, :, : encoded.dyad.clip.frames]
    found = []
    for count in counts:
        made = runs.react(encoded, case_of(scheduler, spacing, count))
        found.append(solvers_measure.distance(made, start * SPREAD))
    return found


@pytest.mark.parametrize("scheduler", ["ddim", "dpmsolver++"])
def test_errors_fall_with_the_order_of_the_solver(scheduler: str):
    ten, twenty, forty = errors_of(scheduler, "logsnr", (10, 20, 40))
    order = math.log2(ten / forty) / 2
    assert ten > twenty > forty
    if scheduler == "ddim":
        assert order == pytest.approx(1, abs=0.25)
    else:
        assert order == pytest.approx(2, abs=0.4)


def test_the_converged_settings_reach_the_exact_solution():
    (error,) = errors_of(CONVERGED.scheduler, CONVERGED.timestep_spacing, (CONVERGED.steps,))
    assert error < 2e-3
    ends = [SolverCase(CONVERGED)]
    checks = measure_cases(runner(), [dyad(n) for n in range(3)], ends, samples=2).checks
    assert [len(values) for values in checks.values()] == [2, 2]
    assert max(max(values) for values in checks.values()) < 0.01
    assert min(min(values) for values in checks.values()) > 0


def test_rows_hold_each_clip_against_the_converged_one_of_its_guidance():
    cases = [
        SolverCase(PUBLISHED),
        case_of("dpmsolver++", "logsnr", 10),
        case_of("ddpm", "trailing", 10),
        case_of("dpmsolver++", "logsnr", 10, 1.5, (1.0, 100.0)),
        SolverCase(CONVERGED),
        SolverCase(CONVERGED).converged,
        changed(SolverCase(PUBLISHED), guidance_scale=1.5).converged,
    ]
    runs, dyads, told = runner(), [dyad(0), dyad(1, frames=70)], []
    rows = measure_cases(
        runs, dyads, list(dict.fromkeys(cases)), samples=2, progress=lambda *x: told.append(x)
    ).rows
    by_name = {row.case.name: row for row in rows}
    assert by_name["ddpm trailing 10"].distances == ()
    assert by_name["ddpm trailing 10"].distance is None
    assert by_name["dpmsolver++ trailing 1000"].distances == (0.0, 0.0)
    assert 0 < min(by_name["ddim trailing 50"].distances) < 0.1
    assert all(set(row.measures) == set(MEASURES) for row in rows)
    assert all(len(values) == 2 for row in rows for values in row.measures.values())
    ours = by_name["dpmsolver++ logsnr 10"]
    encoded = runs.encode(dyads[1], samples=2, seed=0)
    end = runs.react(encoded, SolverCase(CONVERGED))
    apart = runs.react(encoded, ours.case) - end
    assert ours.distances[1] == pytest.approx(float(apart.norm() / end.norm()))
    guided = by_name["dpmsolver++ logsnr 10 g1.5 in 1 to 100"]
    assert 0 < guided.guided_steps < 10
    assert told[-1] == ("sample and score", 12, 12)


def test_no_clip_is_started_when_time_is_up_but_for_the_first_two():
    dyads, ends = [dyad(number, frames=8) for number in range(3)], [SolverCase(CONVERGED)]

    def clips(seconds: float) -> int:
        clock = iter(range(100)).__next__
        found = measure_cases(
            runner(), dyads, ends, samples=2, seconds=seconds, clock=lambda: float(clock())
        )
        assert len(found.rows[0].distances) == found.clips
        return found.clips

    assert clips(0.0) == 2
    assert clips(math.inf) == 3


def test_a_setting_without_its_converged_one_is_refused():
    with pytest.raises(ValueError, match="dpmsolver\\+\\+ trailing 1000 must be measured"):
        measure_cases(runner(), [dyad(0), dyad(1)], [SolverCase(PUBLISHED)], samples=2)


def test_one_clip_is_too_few():
    with pytest.raises(UsageError, match="1 clip is too few"):
        measure_cases(runner(), [dyad(0)], [SolverCase(CONVERGED)], samples=2)


def test_a_speaker_without_a_face_is_named():
    one = dyad(0)
    faceless = replace(one, clip=replace(one.clip, attributes=None))
    with pytest.raises(UsageError, match=r"clip/0.*has no attributes"):
        solvers_measure.score(np.zeros((2, 20, 25), np.float32), faceless)


def test_reactions_that_are_not_finite_are_no_figure():
    runs = runner()
    encoded = runs.encode(dyad(0), samples=2, seed=0)
    with pytest.raises(ClipError, match=r"clip/0.*ddim trailing 4 ginf gives .* not finite"):
        runs.react(encoded, case_of("ddim", "trailing", 4, math.inf))


def test_reactions_are_those_of_the_reactor():
    runs, one = runner(), dyad(0)
    case = case_of("ddpm", "logsnr", 6, guidance_scale=0.5)
    ours = runs.react(runs.encode(one, samples=3, seed=4), case)
    theirs = runs.reactor.generate(one.clip, Sampling(3, 4, solver=case.solver))
    np.testing.assert_array_equal(solvers_measure.natural(runs.reactor, ours), theirs.attributes)


def test_guidance_in_an_interval_runs_the_second_branch_there_alone():
    runs = runner()
    encoded = runs.encode(dyad(0), samples=2, seed=0)
    engine = runs.engine
    assert isinstance(engine, GaussianEngine)
    case = case_of("dpmsolver++", "logsnr", 20, 1.5, (1.0, 100.0))
    tabled = runs.table(case)
    guided = guided_steps(case, tabled, TRAIN_STEPS)
    ratio = (SIGMA / SIGNAL)[tabled.timesteps]
    assert guided == [1 <= r <= 100 for r in ratio]
    engine.calls.clear()
    runs.react(encoded, case)
    assert [graph == "denoiser" for graph, _ in engine.calls] == guided
    assert guided_steps(changed(case, guidance_scale=1.0), tabled, TRAIN_STEPS) == [False] * 20
    whole = replace(case, guidance_interval=None)
    assert guided_steps(whole, tabled, TRAIN_STEPS) == [True] * 20


def test_an_interval_of_everything_is_guidance_and_one_of_nothing_is_none():
    runs = runner()
    encoded = runs.encode(dyad(0), samples=2, seed=0)
    whole = case_of("dpmsolver++", "logsnr", 8, 0.5)
    everything = replace(whole, guidance_interval=(0.0, math.inf))
    nothing = replace(whole, guidance_interval=(0.0, 1e-9))
    assert torch.equal(runs.react(encoded, everything), runs.react(encoded, whole))
    free = runs.react(encoded, changed(whole, guidance_scale=1.0))
    assert torch.equal(runs.react(encoded, nothing), free)
    assert not torch.equal(runs.react(encoded, whole), free)


def test_the_price_of_guidance_is_a_ratio_of_times(monkeypatch: pytest.MonkeyPatch):
    runs = runner()
    encoded = runs.encode(dyad(0), samples=2, seed=0)
    seconds = {0: 2.0, 1: 3.2}
    monkeypatch.setattr(runs, "_seconds", lambda _e, _x, _s, guided: seconds[guided])
    assert runs.price_of_guidance(encoded, pairs=3) == pytest.approx(1.6)
    monkeypatch.undo()
    assert runs.price_of_guidance(encoded, pairs=3) > 0


def test_default_cases_are_all_different_and_complete():
    cases = default_cases()
    assert len(set(cases)) == len(cases)
    tables = set()
    for case in cases:
        s = case.solver
        table_of_case = solver_table(s.scheduler, s.steps, timestep_spacing=s.timestep_spacing)
        where = (s.guidance_scale, case.guidance_interval)
        tables.add((table_of_case.rows.tobytes(), table_of_case.timesteps.tobytes(), where))
    assert len(tables) == len(cases)
    solvers = [case.solver for case in cases]
    assert {s.scheduler for s in solvers} == {"ddpm", "ddim", "dpmsolver++"}
    published = {SolverCase(replace(PUBLISHED, guidance_scale=s.guidance_scale)) for s in solvers}
    assert {case.converged for case in cases} | published <= set(cases)
    assert {s.steps for s in solvers if adds_noise(s.scheduler)} == set(NOISY_STEPS)
    assert {case.guidance_interval for case in cases} == {None, *INTERVALS}
    assert all(case.solver.guidance_scale == 1 for case in default_cases(guidance_scale=1))


def row(case: SolverCase, away: float, corr: float = 2.0, clips: int = 6) -> SolverRow:
    """Made up: every clip at these means, give or take what is the same for all cases."""
    around = np.linspace(-0.01, 0.01, clips)
    same = {name: tuple(1 + around) for name in MEASURES}
    guided = case.solver.steps if case.solver.guidance_scale != 1 else 0
    measures = same | {"FRCorr": tuple(corr + around)}
    return SolverRow(case, guided, tuple((away + around).tolist()), measures)


PUBLISHED_ROW = row(SolverCase(PUBLISHED), 0.10)
END = row(SolverCase(CONVERGED), 0.0)


def pick(*rows: SolverRow) -> str:
    return choose(verdicts([PUBLISHED_ROW, END, *rows]), price=1.6).row.case.name


def test_the_rule_takes_the_cheapest_that_is_near_enough_and_not_worse():
    ten = row(case_of("dpmsolver++", "logsnr", 10), 0.12)
    twelve = row(case_of("dpmsolver++", "logsnr", 12), 0.09, corr=1.9)
    fifteen = row(case_of("dpmsolver++", "logsnr", 15), 0.09)
    nearer = row(case_of("ddim", "logsnr", 15), 0.08)
    twenty = row(case_of("dpmsolver++", "logsnr", 20), 0.05, corr=2.5)
    assert pick(ten, twelve, fifteen, twenty) == "dpmsolver++ logsnr 15"
    assert pick(ten, twelve, fifteen, nearer) == "ddim logsnr 15"
    assert pick(ten, twelve) == "ddim trailing 50"
    found = {
        v.row.case.solver.steps: v for v in verdicts([PUBLISHED_ROW, END, ten, twelve, fifteen])
    }
    assert set(found) == {50, 10, 12, 15}  # not the converged one
    assert found[10].is_farther
    assert found[10].worse == ()
    assert found[12].worse == ("FRCorr",)
    assert found[12].distance.mean == pytest.approx(-0.01)


def test_what_adds_noise_or_is_guided_is_not_chosen_and_the_published_is_needed():
    noisy = SolverRow(case_of("ddpm", "trailing", 5), 0, (), PUBLISHED_ROW.measures)
    guided = row(case_of("dpmsolver++", "logsnr", 5, 1.5), 0.01)
    assert pick(noisy, guided) == "ddim trailing 50"
    with pytest.raises(ValueError, match="ddim trailing 50 was not measured"):
        verdicts([END])
    with pytest.raises(ValueError, match="trailing 1000 was not measured"):
        verdicts([PUBLISHED_ROW])


def held(published: float, converged: float, ours: float, measure: str) -> tuple[str, ...]:
    """Which measures are worse where a measure has these means, and all else is equal."""

    def values(mean: float) -> dict[str, tuple[float, ...]]:
        spread = np.linspace(-0.1, 0.1, 6)
        return {name: (1.0,) * 6 for name in MEASURES} | {measure: tuple((mean + spread).tolist())}

    rows = [
        SolverRow(SolverCase(PUBLISHED), 0, (0.1,) * 6, values(published)),
        SolverRow(SolverCase(CONVERGED), 0, (0.0,) * 6, values(converged)),
        SolverRow(case_of("dpmsolver++", "logsnr", 10), 0, (0.1,) * 6, values(ours)),
    ]
    verdict = verdicts(rows)[1]
    assert verdict.passes == (verdict.worse == ())
    return verdict.worse


@pytest.mark.parametrize("measure", MEASURES)
def test_worse_is_the_bad_side_of_both_the_published_and_the_converged(measure: str):
    better, worse = (3.0, 1.0) if MEASURES[measure] else (1.0, 3.0)
    assert held(better, better, worse, measure) == (measure,)
    assert held(worse, worse, better, measure) == ()
    assert held(better, worse, worse, measure) == ()  # as the model says
    assert held(worse, better, worse, measure) == ()  # as published samplers do
    assert held(better, better, better, measure) == ()


def test_what_other_clips_could_turn_is_in_doubt_and_does_not_pass_and_is_not_worse():
    mixed = SolverRow(
        case_of("dpmsolver++", "logsnr", 10),
        0,
        (0.05, 0.11, 0.05, 0.15, 0.05, 0.15),
        {name: (0.0, 3.0, 0.0, 3.0, 0.0, 1.0) for name in MEASURES},
    )
    values = {name: (1.0,) * 6 for name in MEASURES}
    published = SolverRow(PUBLISHED_ROW.case, 0, (0.1,) * 6, values)
    verdict = verdicts([published, SolverRow(SolverCase(CONVERGED), 0, (0.0,) * 6, values), mixed])[
        1
    ]
    assert verdict.is_in_doubt
    assert not verdict.is_farther
    assert verdict.worse == ()
    assert not verdict.passes


def test_the_interval_is_that_of_a_normal_mean():
    values = np.random.default_rng(0).normal(3, 2, 400)
    found = interval(values.tolist())
    half = 1.96 * values.std() / math.sqrt(400)
    assert found.mean == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)
    assert interval(values.tolist()) == found


def test_the_cost_counts_what_is_guided():
    case = case_of("dpmsolver++", "logsnr", 20, 1.5, (1.0, 100.0))
    assert SolverRow(case, 5, (), {}).cost(1.6) == pytest.approx(15 + 5 * 1.6)


def made_up_report() -> Solvers:
    rows = (
        PUBLISHED_ROW,
        END,
        row(case_of("dpmsolver++", "logsnr", 10), 0.12),
        row(case_of("dpmsolver++", "logsnr", 15), 0.09),
        row(case_of("dpmsolver++", "logsnr", 20), 0.05),
        SolverRow(case_of("ddpm", "trailing", 20), 0, (), PUBLISHED_ROW.measures),
        row(case_of("dpmsolver++", "logsnr", 20, 1.5, (1.0, math.inf)), 0.3),
    )
    about = {"model": "m<ini>", "clips": 6}
    current = case_of("dpmsolver++", "logsnr", 20)
    return Solvers(
        about, "mreactor-bench solvers --data x", rows, {"a": (0.01, 0.03)}, 1.6, current
    )


def test_the_report_says_what_the_rule_picks_and_what_the_default_is():
    text = to_markdown(made_up_report())
    assert "The rule picks dpmsolver++ logsnr 15: distance 9.00%. That is not the current" in text
    assert "default, dpmsolver++ logsnr 20." in text
    assert "a is 2.00% away from it (2 clips)." in text
    cells = {line[0]: line for line in table_rows(made_up_report())}
    assert cells["dpmsolver++ logsnr 10"][-1] == "farther"
    assert cells["dpmsolver++ logsnr 20"][-1] == "passes"
    assert cells["dpmsolver++ logsnr 20 g1.5 in 1 to inf"][1] == "32.0"
    assert cells["ddpm trailing 20"][2] == ""


def test_the_values_are_json_with_every_figure():
    report = made_up_report()
    values = json.loads(json.dumps(to_values(report), allow_nan=False))
    assert values["chosen"]["steps"] == 15
    assert values["current"]["steps"] == 20
    assert values["price_of_guidance"] == 1.6
    by_name = {found["name"]: found for found in values["rows"]}
    assert len(by_name) == len(report.rows)
    guided = by_name["dpmsolver++ logsnr 20 g1.5 in 1 to inf"]
    assert guided["setting"]["guidance_interval"] == [1.0, None]
    assert "against_published" not in guided
    ten = by_name["dpmsolver++ logsnr 10"]
    assert len(ten["distance_by_clip"]) == 6
    assert ten["verdict"] == "farther"
    assert ten["against_published"]["distance"]["low"] > 0
    assert set(ten["against_converged"]) == set(MEASURES)
    assert set(ten["measures"]) == set(ten["measures_by_clip"]) == set(MEASURES)


def test_the_page_is_whole_and_needs_no_other_file():
    svg = "<?xml version='1.0'?>\n<svg><text>steps</text></svg>"
    text = page(made_up_report(), svg)
    read = Html(text)
    assert (read.open, read.fetched) == ([], [])
    assert {"svg", "table"} <= read.seen
    assert [cells for _, cells in read.rows[1:]] == table_rows(made_up_report())
    assert "m&lt;ini&gt;" in text
    assert "<?xml" not in text


def test_a_line_is_drawn_for_each_solver_that_has_the_figure():
    pytest.importorskip("matplotlib")
    panels = draw(made_up_report()).axes
    assert len(panels) == 1 + len(MEASURES)
    distance, corr = panels[:2]
    assert distance.get_yscale() == "log"
    assert [line.get_label() for line in distance.lines if line.get_linestyle() != "None"] == [
        "ddim trailing",
        "dpmsolver++ logsnr",
    ]
    curve = next(line for line in distance.lines if line.get_label() == "dpmsolver++ logsnr")
    drawn = np.asarray(curve.get_xydata(), np.float64)
    np.testing.assert_allclose(drawn, [(10, 0.12), (15, 0.09), (20, 0.05)])
    assert "ddpm trailing" in [line.get_label() for line in corr.lines]


def test_the_command_measures_and_writes_its_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pytest.importorskip("matplotlib")
    reactor = Reactor(fake_model(), GaussianEngine(), source=TwoSubjects())
    monkeypatch.setattr(Reactor, "open", lambda *_, **__: reactor)
    monkeypatch.setattr("mreactor_ref.data.dyads.load_dyads", lambda *_: [dyad(0), dyad(1)])
    arguments = ["--data", str(tmp_path), "--samples", "2", "--steps", "10", "--steps", "20"]
    output = tmp_path / "report"
    done = CliRunner().invoke(solvers_command, [*arguments, "--output", str(output)])
    assert done.exit_code == 0, done.output
    assert "The rule picks" in done.output
    report = json.loads((output / "solvers.json").read_text())
    assert report["kind"] == "solvers"
    assert report["schema_version"] == 1
    assert report["versions"]["torch"]
    assert report["clips"] == report["samples"] == 2
    assert {found["setting"]["steps"] for found in report["rows"]} == {10, 20, 50, 200, 1000}
    assert (output / "solvers.png").read_bytes().startswith(b"\x89PNG")
    read = Html((output / "solvers.html").read_text())
    assert (read.open, read.fetched) == ([], [])
    assert (output / "solvers.md").read_text().count("\n| ") == len(report["rows"]) + 1


def test_a_folder_that_is_no_data_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reactor = Reactor(fake_model(), GaussianEngine(), source=TwoSubjects())
    monkeypatch.setattr(Reactor, "open", lambda *_, **__: reactor)
    done = CliRunner().invoke(solvers_command, ["--data", str(tmp_path)])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "val" in done.stderr
