"""Validation by sampled reactions: they are those of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.models import random_model, small_config

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.checkpoint import save_checkpoint
from mreactor_ref.data.dyads import load_dyads
from mreactor_ref.data.simulated.dataset import write_dataset
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.metrics.table import score
from mreactor_ref.sampled_validation import SAMPLES, SampledValidation
from mreactor_runtime.reactor import Reactor

pytestmark = pytest.mark.usefixtures("quick_priors")


@pytest.mark.parametrize("layout", ["mars", "mars-dyads"])
def test_they_are_scored_as_a_run_and_an_evaluation_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    write_dataset(tmp_path / "tree", {"val": 2}, listeners=2, layout=layout)
    model = random_model(small_config())
    with torch.no_grad():
        model.reaction.std.fill_(0.3)
    dyads = load_dyads(tmp_path / "tree", "val", model.config)
    found = SampledValidation(dyads, ExpressiveRecovery(), seed=3).scores(model)

    save_checkpoint(model, tmp_path / "model.safetensors")
    reactor = Reactor.open(tmp_path / "model.safetensors", "torch", samples=SAMPLES, seed=3)
    predictions = [reactor.generate(dyad.clip).attributes for dyad in dyads]
    speakers = [np.asarray(dyad.clip.attributes) for dyad in dyads]
    means = score(predictions, dyads.appropriate_attributes(), speakers).means()
    assert found["frcorr"] == pytest.approx(means["FRCorr"], rel=1e-3)
    assert found["frdist"] == pytest.approx(means["FRDist"], rel=1e-3)
