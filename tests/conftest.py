"""Fixtures that several test files share."""

from __future__ import annotations

import pytest

from mreactor_ref.emotion.lexicon import default_lexicon
from mreactor_ref.emotion.semantics import DEFAULT_ENCODER, Similarity


@pytest.fixture(scope="session")
def loaded_similarity() -> Similarity:
    """The default encoder, calibrated for the package's table; loading it takes seconds."""
    similarity = Similarity([prior.subject for prior in default_lexicon().subjects])
    similarity.relate(["hello"], ["Success"])
    return similarity


@pytest.fixture
def quick_priors(loaded_similarity: Similarity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `Similarity` of the default encoder and table takes what is loaded already."""
    load = Similarity._load

    def taken(self: Similarity):
        same = (self.encoder, self.table) == (DEFAULT_ENCODER, loaded_similarity.table)
        return load(loaded_similarity if same else self)

    monkeypatch.setattr(Similarity, "_load", taken)
