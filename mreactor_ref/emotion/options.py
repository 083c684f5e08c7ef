"""The options of expressive recovery that commands share, and what they open."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mreactor_ref.errors import UsageError

if TYPE_CHECKING:  # heavy: `--help` must not wait for them
    from mreactor_ref.emotion.recovery import ExpressiveRecovery
    from mreactor_ref.emotion.subjects import SubjectSource

LEXICON, LLM = "lexicon", "llm"
HALF = 0.5  # every threshold of the paper


@dataclass(frozen=True)
class RecoveryOptions:
    """How the subjects of an utterance are found; see the help of each option."""

    subject_source: str = LEXICON
    llm_model: str | None = None
    llm_base_url: str | None = None
    allow_upload: bool = False
    lexicon: tuple[str, ...] = ()
    sentence_encoder: str = "minilm"
    semantic_threshold: float = HALF
    polarity_threshold: float = HALF
    intensity_threshold: float = HALF


DEFAULTS = RecoveryOptions()

CLICK_OPTIONS = (
    click.option(
        "--subject-source",
        default=DEFAULTS.subject_source,
        metavar="lexicon|llm|FILE.json",
        help="Who proposes what an utterance is about.",
    ),
    click.option("--llm-model", help="Name of the language model, for --subject-source llm."),
    click.option(
        "--llm-base-url",
        show_default="$OPENAI_BASE_URL, else OpenAI's",
        help="OpenAI-compatible server; its key is read from $OPENAI_API_KEY.",
    ),
    click.option(
        "--allow-upload", is_flag=True, help="Agree that what is said is sent to that server."
    ),
    click.option(
        "--lexicon",
        multiple=True,
        metavar="FORMAT=FILE",
        help="A lexicon that goes before the package's own: table, vader, warriner, anew, "
        "sentiwordnet, nrc or liwc. Several: the first that knows a subject answers.",
    ),
    click.option(
        "--sentence-encoder",
        default=DEFAULTS.sentence_encoder,
        help="Of the semantic filter: a folder or hub name that sentence-transformers loads.",
    ),
    click.option(
        "--semantic-threshold",
        type=click.FloatRange(0, 1),
        default=HALF,
        help="Least calibrated similarity of a subject (tau 1).",
    ),
    click.option(
        "--polarity-threshold",
        type=click.FloatRange(0, 2),
        default=HALF,
        help="Largest difference in polarity between subject and utterance (tau 2).",
    ),
    click.option(
        "--intensity-threshold",
        type=click.FloatRange(0, 1),
        default=HALF,
        help="Least intensity of a subject (tau 3).",
    ),
)


def recovery_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command these options, and pass them on as one argument, `recovery`."""
    names = [field.name for field in fields(RecoveryOptions)]

    @wraps(command)
    def gathered(**values: Any) -> None:
        recovery = RecoveryOptions(**{name: values.pop(name) for name in names})
        command(**values, recovery=recovery)

    for option in reversed(CLICK_OPTIONS):
        gathered = option(gathered)
    return gathered


def open_recovery(
    options: RecoveryOptions = DEFAULTS, given: tuple[str, ...] | None = None
) -> ExpressiveRecovery:
    """The recovery that the options ask for.

    Args:
        given: subjects to judge, in place of those that a source proposes.

    Raises:
        UsageError: a file, model or key that is missing or wrong, or options that do not fit.
    """
    from mreactor_ref.emotion.filters import Thresholds
    from mreactor_ref.emotion.lexicon import default_lexicon
    from mreactor_ref.emotion.lexicon_files import parse_lexicon_option
    from mreactor_ref.emotion.recovery import ExpressiveRecovery
    from mreactor_ref.emotion.semantics import Similarity
    from mreactor_ref.emotion.subjects import (
        FileSubjects,
        GivenSubjects,
        TableSubjects,
        check_subjects,
    )

    thresholds = Thresholds(
        options.semantic_threshold, options.polarity_threshold, options.intensity_threshold
    )
    extra = [parse_lexicon_option(text) for text in options.lexicon]
    lexicon = default_lexicon(extra)
    similarity = Similarity([p.subject for p in lexicon.subjects], options.sentence_encoder)
    source: SubjectSource = TableSubjects(similarity)
    if given is not None:
        source = GivenSubjects(check_subjects(given))
    elif options.subject_source == LLM:
        source = _language_model(options, source)
    elif options.subject_source != LEXICON:
        source = own = FileSubjects(Path(os.path.expanduser(options.subject_source)), source)
        lexicon = default_lexicon([own.lexicon, *extra])
    if options.subject_source != LLM and (options.llm_model or options.llm_base_url):
        given_name = "--llm-model" if options.llm_model else "--llm-base-url"
        raise UsageError(f"{given_name} without --subject-source llm", fix="add it")
    return ExpressiveRecovery(source, lexicon, similarity, thresholds)


def _language_model(options: RecoveryOptions, fallback: SubjectSource) -> SubjectSource:
    from mreactor_ref.emotion.llm import LLMSubjects
    from mreactor_ref.emotion.llm_client import require_packages

    if not options.llm_model:
        raise UsageError("no language model is named", fix="--llm-model NAME")
    require_packages()
    return LLMSubjects(
        options.llm_model,
        fallback,
        base_url=options.llm_base_url,
        allow_upload=options.allow_upload,
    )
