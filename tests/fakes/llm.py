"""What the tests of the language model share: where they run, whom they ask, what stands in."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from mreactor_ref.emotion.llm import LLMSubjects
from mreactor_ref.emotion.subjects import Proposal

KEY = "sk-very-secret-0123456789"
THRILLED = "I am feeling thrilled!"
TEXTS = [f"utterance {n}" for n in range(40)]


class Table:
    """A fallback that remembers what it was asked."""

    def __init__(self, *notes: str):
        self.notes = list(notes)
        self.asked: list[str] = []

    def propose(self, utterances):
        self.asked.extend(utterances)
        return [Proposal((f"Table {len(text)}",), "table") for text in utterances]


@pytest.fixture(autouse=True)
def llm_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    # The client's own first pause of half a second, without changing what it does.
    monkeypatch.setattr("openai._base_client.INITIAL_RETRY_DELAY", 0.01)


def source(url: str, fallback: Table | None = None, **settings) -> LLMSubjects:
    settings = {"timeout": 5.0, "retries": 1, "allow_upload": True} | settings
    return LLMSubjects("gpt-test", fallback or Table(), base_url=url, **settings)


def only(llm_subjects: LLMSubjects, text: str = THRILLED) -> Proposal:
    (proposal,) = llm_subjects.propose([text])
    return proposal


def lost(*reasons: str) -> str:
    """The note about utterances that were not answered."""
    why = "; ".join(reasons)
    return (
        f"the language model did not answer for every utterance ({why}): the lexicon proposes in"
        " its place"
    )


@contextmanager
def at_most(seconds: float) -> Iterator[None]:
    start = time.perf_counter()
    yield
    assert time.perf_counter() - start < seconds
