"""The semantic score of a subject and an utterance (eq. 2), calibrated for the encoder.

Eq. 2 is a cosine, and what a cosine of 0.5 means depends on the encoder: with all-MiniLM-L6-v2 the
subjects of the paper's example lie between 0.02 and 0.24. So the score here is a probability: that
someone who judges calls the subject related. Four steps lead from the embeddings to it:

1. A subject is embedded as "Topic: success", since the encoder was trained on longer texts.
2. Embeddings of utterances have a direction in common, and so have those of subjects; it says
   nothing of what they are about. The mean over the utterances of `calibration.csv`, and that over
   the subjects of the table, is taken away before the cosine.
3. Some subjects are near to everything. So a cosine counts by how far it stands out among those of
   the same subject with the utterances of `calibration.csv`, in deviations.
4. A logistic curve of that (Platt 1999), fitted to the judged pairs of `calibration.csv`.

The form of step 1 was chosen among a dozen that are as good in cross-validation, because with it
the paper's worked example comes out as printed. `mreactor-eval filters` measures the score, beside
the raw cosine, on utterances that none of this has seen.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mreactor_ref.cache import cache_folder
from mreactor_ref.emotion.calibration import fit_curve, probability, read_judged
from mreactor_ref.features.pretrained import load_model, load_pretrained
from mreactor_ref.files import open_whole
from mreactor_ref.packaged import minilm_folder

DEFAULT_ENCODER = "minilm"
BATCH = 32
VERSION = 1  # a change of how a basis is made makes the stored ones stale
FORM = "Topic: {}"
PROBE = "the quick brown fox"  # its embedding tells encoders of one name apart


class SentenceEncoder:
    """Texts to embeddings of length 1, on the CPU: the same verdicts with a GPU and without.

    Args:
        name: "minilm" (all-MiniLM-L6-v2 from its package), a hub name, or a folder.

    Raises:
        UsageError: the model cannot be loaded.
    """

    def __init__(self, name: str = DEFAULT_ENCODER):
        self.name = name
        if name == DEFAULT_ENCODER:
            name = str(minilm_folder())
        self._model = load_pretrained("sentence encoder", name, _load)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32, each row of length 1. What a text is longer than the model is cut."""
        # Half a surrogate pair, which a transcript in JSON can hold, is refused by tokenizers.
        whole = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return self._model.encode(
            whole, batch_size=BATCH, normalize_embeddings=True, show_progress_bar=False
        ).reshape(len(texts), -1)


class SentenceEncoders:
    """`SentenceEncoder` for several threads at once: one for each of those that ask together, since
    a tokenizer serves one at a time. Arguments and errors are its own.
    """

    def __init__(self, name: str = DEFAULT_ENCODER):
        first = SentenceEncoder(name)
        self.name, self._free = name, [first]

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(N, D) float32, each row of length 1."""
        try:
            encoder = self._free.pop()
        except IndexError:  # all are at work
            encoder = SentenceEncoder(self.name)
        try:
            return encoder(texts)
        finally:
            self._free.append(encoder)


def _load(name: str, **options: Any) -> Any:
    from sentence_transformers import SentenceTransformer

    if Path(name, "config.json").is_file():
        load_model(name, **options)  # refuses missing weights, which SentenceTransformer makes up
    return SentenceTransformer(name, device="cpu", **options)


Encode = SentenceEncoder | SentenceEncoders


@dataclass(frozen=True)
class Relatedness:
    """Of U utterances and K subjects: the cosine (U, K) before calibration, and the score."""

    cosine: NDArray[np.float64]
    score: NDArray[np.float64]


@dataclass(frozen=True)
class Directions:
    """Subjects as an utterance is held against them: what no utterance changes.

    Attributes:
        units: (K, D), of length 1.
        mean, deviation: (K,), of their cosines with the background.
    """

    units: NDArray[np.float64]
    mean: NDArray[np.float64]
    deviation: NDArray[np.float64]


@dataclass(frozen=True)
class Basis:
    """An encoder's embeddings of the table and of the judged pairs: made once, kept in the cache.

    Attributes:
        table: (K, D) embeddings of the table's subjects.
        background: (N, D) embeddings of the judged utterances.
        weights: (2,) of the curve, slope and offset.
    """

    table: NDArray[np.float32]
    background: NDArray[np.float32]
    weights: NDArray[np.float64]

    def standing(
        self, utterances: NDArray[np.float32], subjects: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """(U, K) centred cosine of an utterance with a subject, among those of the background."""
        return self.standing_along(utterances, self.directions(subjects))

    def directions(self, subjects: NDArray[np.float32]) -> Directions:
        """Those of embeddings (K, D). For all subjects of the table it takes 20 ms."""
        units = _unit(subjects - self.table.mean(axis=0))
        others = _unit(self.background - self.background.mean(axis=0)) @ units.T  # (N, K)
        return Directions(units, others.mean(axis=0), np.maximum(others.std(axis=0), 1e-12))

    def standing_along(
        self, utterances: NDArray[np.float32], directions: Directions
    ) -> NDArray[np.float64]:
        """`standing` with subjects whose directions are known."""
        centred = utterances - self.background.mean(axis=0)
        cosine = _unit(centred) @ directions.units.T  # (U, K)
        return (cosine - directions.mean) / directions.deviation


class Similarity:
    """The calibrated eq. 2 for one encoder, which is loaded when it is first needed.

    What a call gives depends on the call alone, never on earlier ones, to the last bit. Several
    threads may ask at once.

    Args:
        table: the subjects whose embeddings are kept, and centre those of all others.
        encoder: as `SentenceEncoder` takes it.

    Raises:
        UsageError: an encoder other than the default cannot be loaded.
    """

    def __init__(self, table: Sequence[str], encoder: str = DEFAULT_ENCODER):
        self.table, self.encoder = tuple(table), encoder
        self._loading = threading.Lock()
        self._loaded: tuple[SentenceEncoders, Basis, Directions] | None = None
        self._of_thread = threading.local()  # .last: utterances and their embeddings
        if encoder != DEFAULT_ENCODER:
            self._load()

    def relate(self, utterances: Sequence[str], subjects: Sequence[str]) -> Relatedness:
        """Each subject to each utterance. Subjects of the table are not encoded again."""
        encoder, basis, of_table = self._load()
        place = {name: i for i, name in enumerate(self.table)}
        new = [subject for subject in subjects if subject not in place]
        encoded = dict(zip(new, _encode_subjects(encoder, new), strict=True)) if new else {}
        vectors = np.stack(
            [encoded[s] if s in encoded else basis.table[place[s]] for s in subjects]
        )
        texts, said = getattr(self._of_thread, "last", ((), None))
        if said is None or texts != tuple(utterances):  # stage 1 has just asked for the same ones
            said = encoder(utterances)
            self._of_thread.last = tuple(utterances), said
        cosine = said.astype(np.float64) @ vectors.T.astype(np.float64)
        whole = tuple(subjects) == self.table
        directions = of_table if whole else basis.directions(vectors)
        standing = basis.standing_along(said, directions)
        return Relatedness(cosine, probability(standing[..., None], basis.weights))

    def _load(self) -> tuple[SentenceEncoders, Basis, Directions]:
        """The encoder, its basis, and the directions of the table."""
        with self._loading:
            if self._loaded is None:
                encoder = SentenceEncoders(self.encoder)
                basis = _kept_basis(encoder, self.table)
                self._loaded = encoder, basis, basis.directions(basis.table)
            return self._loaded


def make_basis(encoder: Encode, table: Sequence[str]) -> Basis:
    """Encode the table and the judged pairs, and fit the curve to them."""
    judged = read_judged()
    utterances = list(dict.fromkeys(pair.utterance for pair in judged))
    subjects = list(dict.fromkeys(pair.subject for pair in judged))
    said = encoder(utterances)
    basis = Basis(_encode_subjects(encoder, table), said, np.zeros(2))
    standing = basis.standing(said, _encode_subjects(encoder, subjects))
    rows = [utterances.index(pair.utterance) for pair in judged]
    columns = [subjects.index(pair.subject) for pair in judged]
    related = np.array([pair.related for pair in judged])
    return replace(basis, weights=fit_curve(standing[rows, columns, None], related))


def _encode_subjects(encoder: Encode, subjects: Sequence[str]) -> NDArray[np.float32]:
    return encoder([FORM.format(subject.lower()) for subject in subjects])


def _unit(x: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = x.astype(np.float64)
    return wide / np.maximum(np.linalg.norm(wide, axis=-1, keepdims=True), 1e-12)


def _kept_basis(encoder: Encode, table: Sequence[str]) -> Basis:
    """The basis from the user's cache, or a new one put there where that can be done."""
    path = cache_folder() / "priors" / f"{_basis_key(encoder, table)}.npz"
    try:
        # Opened here, for np.load leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return Basis(**{name: stored[name] for name in Basis.__dataclass_fields__})
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        basis = make_basis(encoder, table)  # not there yet, or damaged
    # A cache that cannot be written costs seconds, and nothing else.
    with suppress(OSError), open_whole(path) as file:
        np.savez(file, allow_pickle=False, **vars(basis))
    return basis


def _basis_key(encoder: Encode, table: Sequence[str]) -> str:
    judged = [(pair.utterance, pair.subject, pair.related) for pair in read_judged()]
    probe = encoder([PROBE])[0].round(2).tolist()
    parts = [VERSION, FORM, encoder.name, probe, list(table), judged]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
