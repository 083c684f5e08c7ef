"""Fixtures that several test files share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.checkpoint import save_checkpoint
from mreactor_ref.emotion.lexicon import default_lexicon
from mreactor_ref.emotion.semantics import DEFAULT_ENCODER, Similarity

# Triton reads it when it is first imported: without a GPU its kernels run in its interpreter.
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")


@pytest.fixture(scope="session")
def loaded_similarity() -> Similarity:
    """The default encoder, calibrated for the package's table; loading it takes seconds."""
    similarity = Similarity([prior.subject for prior in default_lexicon().subjects])
    similarity.relate(["hello"], ["Success"])
    return similarity


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT is heard here and in new processes: a shell has it ignored in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def quick_priors(loaded_similarity: Similarity, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every `Similarity` of the default encoder and table takes what is loaded already."""
    load = Similarity._load

    def taken(self: Similarity):
        same = (self.encoder, self.table) == (DEFAULT_ENCODER, loaded_similarity.table)
        return load(loaded_similarity if same else self)

    monkeypatch.setattr(Similarity, "_load", taken)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small model that exports are tried on, as a file; no test may change it."""
    from fakes.exported import network

    path = tmp_path_factory.mktemp("checkpoint") / "small.safetensors"
    save_checkpoint(network(), path)
    return path


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """Exports of it take no time: what each asks for, as it comes. The user's cache is empty."""
    from fakes.export_runs import few_figures, traced_before

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    few_figures(monkeypatch)
    return traced_before(monkeypatch)
