"""A folder of clips to a folder of reactions, with a manifest: what `mreactor-infer` runs.

    run_job(Path("clips"), Path("reactions"), Reactor.open("mini"), Options(samples=10))

Each clip becomes `OUT/<clip id>.npz` with `attributes` (S, T, 25) and `coefficients` (S, T, 58),
float32; `OUT/manifest.jsonl` has a line a clip and `OUT/run.json` what the run was. The same input
and options on the same engine and machine give the same npz bytes.
"""

from __future__ import annotations

import json
import platform
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from mreactor_ref.data.clips import BadClip, ClipFiles, FeatureReader, find_clips
from mreactor_ref.emotion.explain import as_dict
from mreactor_ref.emotion.options import RecoveryOptions
from mreactor_ref.emotion.recovery import ExpressiveRecovery
from mreactor_ref.errors import ClipError, MReactorError, UsageError
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.bundle import versions
from mreactor_runtime.outputs import check_writable, write_json, write_npz
from mreactor_runtime.reactor import ClipReactions, Reactor

MANIFEST, RUN = "manifest.jsonl", "run.json"
PRIORS = ".priors.json"
DONE, FAILED = "done", "failed"
PACKAGES = (
    *("mreactor", "numpy", "torch", "onnxruntime", "onnxruntime-gpu", "openvino"),
    *("transformers", "sentence-transformers", "vaderSentiment"),
)
MOST_WARNINGS = 20  # said aloud, each kind once; the manifest has them all
AND_MORE = f" (further warnings are only in {MANIFEST})"


@dataclass(frozen=True)
class Options:
    """What a run is told. The first seven are those of `Reactor.generate`.

    Attributes:
        max_errors: the run stops when more clips than this have failed; None is no limit.
        debug: an error that is nobody's clip is raised as it is, instead of failing its clip.
        recovery: how the reactor's source of priors was opened; run.json keeps it.
    """

    samples: int = 10
    seed: int = 0
    scheduler: str | None = None
    steps: int | None = None
    guidance_scale: float | None = None
    smoothness: float = 0.0
    max_errors: int | None = None
    debug: bool = False
    timestep_spacing: str | None = None
    recovery: RecoveryOptions | None = None

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UsageError(f"samples is {self.samples}, not at least 1")


@dataclass(frozen=True)
class Outcome:
    """What became of one clip; `error` is None where it is done."""

    clip_id: str
    reactions: int
    milliseconds: float
    error: str | None = None


class Progress(Protocol):
    """Who is told how a run goes."""

    def begin(self, clips: int) -> None:
        """The run starts, with so many clips to do."""
        ...

    def say(self, text: str) -> None:
        """Something the user should know, once."""
        ...

    def finished(self, outcome: Outcome) -> None:
        """A clip is done, or has failed."""
        ...


class Silent:
    """Tells nobody; the summary keeps the notes."""

    def begin(self, clips: int) -> None: ...

    def say(self, text: str) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...


@dataclass
class Summary:
    """What a run did.

    Attributes:
        failed: clip id -> error. notes: what was said on the way.
        missing: modality -> clips that have none of it.
        stopped: whether more than `max_errors` failed, so that clips were left undone.
    """

    output: Path
    clips: int
    done: int = 0
    reactions: int = 0
    seconds: float = 0.0
    failed: dict[str, str] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    stopped: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For JSON, without what the manifest says already."""
        return {
            "clips": self.clips,
            "done": self.done,
            "failed": len(self.failed),
            "stopped": self.stopped,
            "reactions": self.reactions,
            "seconds": round(self.seconds, 3),
            "missing": dict(self.missing),
            "notes": self.notes,
        }


# Draws a clip and its reactions to a path.
Draw = Callable[[SpeakerClip, ClipReactions, Path], None]
# Says how the priors of a clip came about: anything that JSON can hold.
Explain = Callable[[SpeakerClip], Any]


class Job:
    """One run over a folder. Made and run by `run_job`."""

    def __init__(
        self,
        input: Path,
        output: Path,
        reactor: Reactor,
        options: Options,
        progress: Progress,
        draw: Draw | None,
        explain: Explain | None,
    ):
        self.input, self.output, self.reactor = input, output, reactor
        self.options, self.progress = options, progress
        self.draw, self.explain = draw, explain
        self.solver = reactor.solver(
            options.scheduler, options.steps, options.guidance_scale, options.timestep_spacing
        )
        self.clips = find_clips(input)
        self.summary = Summary(output, len(self.clips))
        self._warned: set[str] = set()
        self._prior_notes = len(reactor.source.notes)  # how many of them were said

    def run(self) -> Summary:
        started = time.perf_counter()
        record = self._record()
        write_json(self.output / RUN, record | {"finished": False})
        self.progress.begin(len(self.clips))
        for note in self.reactor.notes:
            self._say(note)
        reader = FeatureReader(self.reactor.config)
        with (self.output / MANIFEST).open("w", encoding="utf-8") as manifest:
            for files in self.clips:
                line = self._clip(reader, files)
                manifest.write(json.dumps(line) + "\n")
                manifest.flush()
                if self._too_many_failed():
                    self.summary.stopped = True
                    break
        self.summary.seconds = time.perf_counter() - started
        write_json(self.output / RUN, record | {"finished": True} | self.summary.to_dict())
        return self.summary

    def _clip(self, reader: FeatureReader, files: ClipFiles | BadClip) -> dict[str, Any]:
        """Do one clip; its line of the manifest."""
        started = time.perf_counter()
        line: dict[str, Any] = {"id": files.id, "status": DONE, "seed": self.options.seed}
        path = self.output / f"{files.id}.npz"
        error = None
        try:
            if isinstance(files, BadClip):
                raise files.error
            clip, warnings = reader.read(files)
            self._tell(clip, warnings)
            reactions = self._react(clip)
            self._tell_of_priors()
            digest = write_npz(path, reactions)
            if self.explain is not None:
                write_json(_beside(path, PRIORS), self.explain(clip))
            self._draw(clip, reactions, path)
            line |= {"frames": clip.frames, "fps": clip.fps, "sha256": digest}
            line["warnings"] = warnings
            line["reactions"] = [
                {"subjects": [p.subject for p in row], "priors": [asdict(p) for p in row]}
                for row in reactions.priors
            ]
        except ClipError as problem:
            error = str(problem)
        except MReactorError:
            raise  # wrong for every clip
        except Exception as problem:
            if self.options.debug:
                raise
            error = f"{files.id}: unexpected {type(problem).__name__}: {problem}"
        milliseconds = round(1000 * (time.perf_counter() - started), 1)
        if error is None:
            self.summary.done += 1
            self.summary.reactions += self.options.samples
        else:
            self.summary.failed[files.id] = error
            for old in (path, _beside(path, PRIORS)):  # an older run's: this manifest denies them
                old.unlink(missing_ok=True)
        made = 0 if error else self.options.samples
        self.progress.finished(Outcome(files.id, made, milliseconds, error))
        return line | {
            "status": FAILED if error else DONE,
            "milliseconds": milliseconds,
            "error": error,
        }

    def _react(self, clip: SpeakerClip) -> ClipReactions:
        options = self.options
        return self.reactor.generate(
            clip,
            samples=options.samples,
            seed=options.seed,
            scheduler=options.scheduler,
            steps=options.steps,
            guidance_scale=options.guidance_scale,
            smoothness=options.smoothness,
            timestep_spacing=options.timestep_spacing,
        )

    def _draw(self, clip: SpeakerClip, reactions: ClipReactions, path: Path) -> None:
        """The clip's picture, beside its result; a picture that fails does not fail the clip."""
        if self.draw is None:
            return
        try:
            self.draw(clip, reactions, _beside(path, ".png"))
        except Exception as problem:
            if self.options.debug:
                raise
            self._say(f"no picture of {clip.id}: {type(problem).__name__}: {problem}")

    def _tell(self, clip: SpeakerClip, warnings: Sequence[str]) -> None:
        """Pass on each warning, and each kind of missing stream, once a run."""
        missing = [name for name in ("sound", "words") if getattr(clip, name) is None]
        face = [name for name in ("coefficients", "attributes") if getattr(clip, name) is None]
        missing += ["face"] if len(face) == 2 else [f"face {name}" for name in face]
        for name in missing:
            if not self.summary.missing[name]:
                self._say(f"{clip.id} has no {name}: the model does without (said once a run)")
            self.summary.missing[name] += 1
        for warning in warnings:
            if warning not in self._warned and len(self._warned) < MOST_WARNINGS:
                self._warned.add(warning)
                last = len(self._warned) == MOST_WARNINGS
                self._say(f"{clip.id}: {warning}{AND_MORE if last else ''}")

    def _tell_of_priors(self) -> None:
        """Pass on what the source of priors has noted since the last clip."""
        notes = list(self.reactor.source.notes)
        for note in notes[self._prior_notes :]:
            self._say(note)
        self._prior_notes = len(notes)

    def _say(self, text: str) -> None:
        self.summary.notes.append(text)
        self.progress.say(text)

    def _too_many_failed(self) -> bool:
        limit = self.options.max_errors
        return limit is not None and len(self.summary.failed) > limit

    def _record(self) -> dict[str, Any]:
        """What run.json says before the run."""
        model, engine = self.reactor.model, self.reactor.engine
        return {
            "ai_generated": True,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": {"python": platform.python_version(), **versions(*PACKAGES)},
            "device": {"type": engine.device.type, "name": self.reactor.device_name},
            "engine": engine.name,
            "model": {"name": model.name, "sha256": model.sha256},
            "arguments": {"input": str(self.input), **asdict(self.options), **asdict(self.solver)},
        }


def explain_with(recovery: ExpressiveRecovery) -> Explain:
    """For `run_job`: the stages of each utterance of a clip."""

    def explain(clip: SpeakerClip) -> Any:
        texts = [utterance.text for utterance in clip.utterances]
        return [
            {
                "start": utterance.start,
                "end": utterance.end,
                **as_dict(explanation, recovery.thresholds),
            }
            for utterance, explanation in zip(clip.utterances, recovery.explain(texts), strict=True)
        ]

    return explain


def _beside(path: Path, suffix: str) -> Path:
    """A file beside a clip's npz. The clip's id may have dots, so no part of it is a suffix."""
    return path.with_name(path.name.removesuffix(".npz") + suffix)


def run_job(
    input: Path,
    output: Path,
    reactor: Reactor,
    options: Options | None = None,
    progress: Progress | None = None,
    draw: Draw | None = None,
    explain: Explain | None = None,
) -> Summary:
    """Reactions to every clip of a folder. A clip that cannot be done is reported, the rest go on.

    Args:
        input: searched in depth, as `find_clips` does it.
        output: made if need be. What an earlier run left there is replaced clip by clip.
        draw: called with each clip, its reactions, and the path of a picture beside the npz.
        explain: its answer for each clip is written beside the npz, to `<clip id>.priors.json`.
    Raises:
        UsageError: no clips, an option out of range, or an output that cannot be written: all
            before any work.
    """
    input, output = Path(input), Path(output)
    job = Job(input, output, reactor, options or Options(), progress or Silent(), draw, explain)
    check_writable(output)
    return job.run()
