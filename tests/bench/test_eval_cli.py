"""`mreactor-eval filters` and `control`: what they count, and what they owe the shipped model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fakes.engines import FakeEngine, TwoSubjects, fake_model

from mreactor_bench.control import INTENSITIES, POLARITIES, measure_control, with_listener
from mreactor_bench.eval_cli import evaluate
from mreactor_bench.filters import JUDGED, best_threshold, measure_filters, scores
from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.data.simulated.dataset import write_dataset
from mreactor_ref.emotion.calibration import read_judged
from mreactor_ref.errors import UsageError
from mreactor_ref.listeners import draw_codes
from mreactor_ref.schedule import Solver
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling_options import Sampling

pytestmark = pytest.mark.usefixtures("quick_priors")


def test_scores_are_precision_recall_and_their_mean():
    kept, right = np.array([1, 1, 1, 0, 0], bool), np.array([1, 0, 1, 1, 0], bool)
    found = scores(kept, right)
    assert found == pytest.approx({"precision": 2 / 3, "recall": 2 / 3, "F1": 2 / 3, "kept": 3})
    assert scores(~kept, kept)["F1"] == 0
    assert scores(np.zeros(5, bool), right)["precision"] == 0


def test_the_best_threshold_parts_what_can_be_parted():
    values = np.array([0.1, 0.2, 0.3, 0.7, 0.8])
    assert best_threshold(values, values > 0.5) == 0.7


def test_the_pairs_that_test_are_not_those_that_calibrate():
    learned, tested = read_judged(), read_judged(JUDGED)
    assert {p.utterance for p in learned}.isdisjoint(p.utterance for p in tested)
    for pairs in (learned, tested):
        assert len({pair.utterance for pair in pairs}) >= 100
        assert len({(pair.utterance, pair.subject) for pair in pairs}) == len(pairs)


def test_the_filters_do_what_the_docs_say():
    rows, tested = measure_filters()
    assert len(tested.related) == len(read_judged(JUDGED))
    calibrated = rows["related: calibrated >= 0.5 (eq. 2)"]
    assert calibrated["precision"] > 0.8
    assert calibrated["recall"] > 0.75
    raw = [row for name, row in rows.items() if name.startswith("related: raw")]
    assert calibrated["F1"] > max(row["F1"] for row in raw)
    both = rows["both: eqs. 2 and 3"]
    assert both["precision"] > 0.7
    # Of pairs with a score near p, a share near p is related: ten bins, by their size.
    places = np.minimum((tested.similarity * 10).astype(int), 9)
    gaps = [
        (places == i).mean()
        * abs(tested.similarity[places == i].mean() - tested.related[places == i].mean())
        for i in range(10)
        if (places == i).any()
    ]
    assert sum(gaps) < 0.08


@pytest.fixture(scope="module")
def dyads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dyads") / "simulated"
    write_dataset(root, {"test": 3}, seed=4321, listeners=1)
    return root


def test_a_model_whose_valence_is_the_polarity_is_seen_to_follow_it(dyads: Path):
    """The fake model answers with the polarity, and does not know the intensity.

    Its guidance is a factor of the answer, which must be small, for valence is cut at 1. Before the
    first word of a clip there is no polarity, so its answer there is 0.
    """
    reactor = Reactor(fake_model(), FakeEngine(), source=TwoSubjects())
    source = reactor.source
    sampling = Sampling(solver=Solver(guidance_scale=1e-4))
    found = measure_control(reactor, dyads, limit=2, sampling=sampling)
    assert found.clips == 2
    valence = found.rows["valence with polarity"]
    assert valence["within a clip"] == pytest.approx(1)
    clips = [dyad.clip for dyad in load_dyads(dyads, "test", reactor.config)][:2]
    spoken = [1 - clip.utterances[0].start * clip.fps // 1 / clip.frames for clip in clips]
    assert valence["mean at the most"] - valence["mean at the least"] == pytest.approx(
        1e-4 * (POLARITIES[-1] - POLARITIES[0]) * np.mean(spoken), rel=1e-3
    )
    assert found.rows["motion with intensity"]["within a clip"] == 0
    assert len(INTENSITIES) > 3
    assert reactor.source is source


def test_all_reactions_can_be_of_one_listener_or_of_none():
    reactor = Reactor(fake_model(), FakeEngine(), source=TwoSubjects())
    for code in (5, 0):
        shares = with_listener(reactor, code).model.listener_shares
        assert draw_codes(0, "clip", range(4), shares).tolist() == [code] * 4
    assert with_listener(reactor, 5).source is reactor.source
    with pytest.raises(UsageError, match="listener 17: the model has codes 1 to 16"):
        with_listener(reactor, 17)


def test_the_shipped_model_follows_its_priors(
    dyads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    output = tmp_path / "control.json"
    arguments = ["control", "--data", str(dyads), "--limit", "2", "--steps", "10"]
    done = CliRunner().invoke(evaluate, [*arguments, "--output", str(output)])
    assert done.exit_code == 0, done.output
    rows = json.loads(output.read_text())["rows"]
    assert rows["valence with polarity"]["within a clip"] > 0.9
    assert rows["motion with intensity"]["within a clip"] > 0.7
