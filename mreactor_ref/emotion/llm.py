"""Stage 1 by a language model: T = LLM(P, utterance), eq. 1, over an OpenAI-compatible server.

Utterances without an answer get their subjects from another source: a run never ends because of a
server.

Answers are kept on disk, a file each, named by the hash of prompt, model and utterance: a second
run asks nothing. The server is no part of the name, so a run can be repeated elsewhere; two servers
that give one name to different models need two cache folders. A file holds subjects, no utterance.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
from collections.abc import Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mreactor_ref.cache import cache_folder
from mreactor_ref.emotion.llm_client import DEFAULT_URL, URL_VARIABLE, LLMClient, address, key
from mreactor_ref.emotion.llm_prompt import (
    LARGEST_ANSWER,
    PROMPT_VERSION,
    NoAnswer,
    read_subjects,
)
from mreactor_ref.emotion.subjects import Proposal, SubjectSource
from mreactor_ref.errors import UsageError
from mreactor_ref.files import shown_hash, write_whole

if TYPE_CHECKING:
    import openai

log = logging.getLogger(__name__)

LONGEST_UTTERANCE = 4000  # characters that are sent
OUTAGES = 3  # utterances in a row that the server fails before it is asked no more

_Answers = dict[str, tuple[str, ...]]


class LLMSubjects:
    """A `SubjectSource` that asks a language model; `fallback` proposes where it does not answer.

    After three utterances in a row that the server failed, or one for which it did not accept the
    key or know the model, it is asked no more.

    Args:
        model: its name on the server.
        base_url: of the server; else $OPENAI_BASE_URL, else OpenAI's own.
        allow_upload: agrees that the utterances are sent there. Needed even for a server on this
            machine, since only its owner knows where it sends them.
        concurrency: utterances in flight at once.
        timeout: seconds for one try; an utterance takes at most `retries` + 1 times this.
        retries: tries after the first, where the server is busy, fails or cannot be reached.
        cache: the folder of kept answers; `subjects` in the user's cache folder by default.

    Attributes:
        notes: as `SubjectSource` has them, with those of `fallback`. One line counts the utterances
            that were not answered, and is brought up to date in its place.

    Raises:
        UsageError: the upload was not agreed to, $OPENAI_API_KEY is not set, or a setting is wrong.
    """

    def __init__(
        self,
        model: str,
        fallback: SubjectSource,
        *,
        base_url: str | None = None,
        allow_upload: bool = False,
        concurrency: int = 8,
        timeout: float = 30.0,
        retries: int = 3,
        cache: Path | None = None,
    ):
        if not model.strip():
            raise UsageError("the language model has no name", fix="give one")
        if concurrency < 1 or not timeout > 0 or retries < 0:
            raise UsageError(
                f"a language model cannot be asked {concurrency} at once, for {timeout} s, with"
                f" {retries} retries",
                fix="give at least 1, more than 0 and at least 0",
            )
        base_url = base_url or os.environ.get(URL_VARIABLE) or DEFAULT_URL
        where = address(base_url)
        if not allow_upload:
            raise UsageError(
                f"the text of the transcripts would be sent to {where}, for the language model"
                f" {model}",
                fix="give --allow-upload to agree to that",
            )
        key()
        self.notes: list[str] = []
        self.fallback, self.source, self.concurrency = fallback, f"llm:{model}", concurrency
        self.cache = cache_folder() / "subjects" if cache is None else cache
        self._client = LLMClient(model, base_url, timeout, retries)
        self._noted: set[str] = set()  # what about
        self._reasons: dict[str, None] = {}  # in the order in which they came up
        self._outages = 0  # in a row
        self._stopped = False

    def propose(self, utterances: Sequence[str]) -> list[Proposal]:
        """The model's subjects of each utterance, in their order.

        Equal utterances are asked once; those without a letter or digit are not asked, and have no
        subjects. May be called where an event loop runs, as in a notebook.
        """
        texts = [self._to_send(utterance) for utterance in utterances]
        known = {text: self._kept(text) for text in dict.fromkeys(texts) if text}
        missing = [text for text, subjects in known.items() if subjects is None]
        if missing and not self._stopped:
            known.update(_run(self._ask_all(missing)))
        proposals = [Proposal(known.get(text) or (), self.source) for text in texts]
        lost = [i for i, text in enumerate(texts) if text and not known[text]]
        if lost:
            instead = self.fallback.propose([utterances[i] for i in lost])
            for i, proposal in zip(lost, instead, strict=True):
                proposals[i] = proposal
            self._note_unanswered()
            self.notes.extend(note for note in self.fallback.notes if note not in self.notes)
        return proposals

    def _to_send(self, utterance: str) -> str:
        """The utterance as it is sent, and known by; empty where it has no words."""
        # Half a surrogate pair, which a transcript in JSON can hold, cannot be sent.
        text = " ".join(utterance.encode("utf-8", "replace").decode("utf-8").split())
        if len(text) > LONGEST_UTTERANCE:
            self._note(
                "cut",
                f"an utterance is longer than {LONGEST_UTTERANCE:,} characters: the language model"
                " sees only its start",
            )
            text = text[:LONGEST_UTTERANCE]
        return text if re.search(r"[^\W_]", text) else ""

    async def _ask_all(self, texts: Sequence[str]) -> _Answers:
        """The subjects of those texts that were answered."""
        waiting = iter(texts)
        answers: _Answers = {}
        async with self._client.connect() as connection, asyncio.TaskGroup() as tasks:
            for _ in range(min(self.concurrency, len(texts))):
                tasks.create_task(self._ask_some(connection, waiting, answers))
        return answers

    async def _ask_some(
        self, connection: openai.AsyncOpenAI, waiting: Iterator[str], answers: _Answers
    ) -> None:
        for text in waiting:
            if self._stopped:
                return
            name = shown_hash(sha256(text.encode()).hexdigest())
            log.debug("asking about an utterance of %d characters, sha256 %s", len(text), name)
            try:
                answers[text] = await self._client.ask(connection, text)
            except NoAnswer as failure:
                log.debug("no answer for sha256 %s: %s", name, failure.reason)
                self._reasons.setdefault(failure.reason)
                self._outages = self._outages + 1 if failure.outage else 0
                self._stopped |= failure.hopeless or self._outages >= OUTAGES
            else:
                log.debug("%d subjects for sha256 %s", len(answers[text]), name)
                self._outages = 0
                self._keep(text, answers[text])

    def _note(self, about: str, text: str) -> None:
        """Say something, once."""
        if about not in self._noted:
            self._noted.add(about)
            self.notes.append(text)

    def _note_unanswered(self) -> None:
        why = "; ".join([*self._reasons][:3] + ["asked no more"] * self._stopped)
        self._note(
            "unanswered",
            f"the language model did not answer for every utterance ({why}): the lexicon proposes"
            " in its place",
        )

    def _entry(self, text: str) -> Path:
        name = json.dumps([PROMPT_VERSION, self._client.model, text])
        return self.cache / f"{sha256(name.encode()).hexdigest()}.json"

    def _kept(self, text: str) -> tuple[str, ...] | None:
        """The answer of an earlier run; None where there is none that can be used."""
        entry = self._entry(text)
        try:
            with entry.open("rb") as file:
                return read_subjects(file.read(LARGEST_ANSWER + 1))
        except FileNotFoundError:
            return None
        except (OSError, NoAnswer) as error:
            log.info("%s is of no use and asked again: %s", entry, error)
            return None

    def _keep(self, text: str, subjects: tuple[str, ...]) -> None:
        """Put an answer on disk for later runs, or say once that this cannot be done."""
        answer = json.dumps({"subjects": subjects}, ensure_ascii=False)
        try:
            write_whole(self._entry(text), answer.encode())
        except OSError as error:
            self._note("cache", f"{self.cache}: answers cannot be kept: {error.strerror}")


def _run(work: Coroutine[Any, Any, _Answers]) -> _Answers:
    """Run a coroutine and return its value, also where an event loop runs already."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
