"""Readers of affective lexicons, each from the file its authors publish (C.3, eq. 4).

Every term of every file becomes an emotion label (or none), a polarity in [-1, 1] and an intensity
in [0, 1]. A term without a label that is itself the name of one has it; others get the nearest one
of `priors.EMOTION_AFFECT` when looked up.

============  ===============  =========================  ===================
format        label            polarity                   intensity
============  ===============  =========================  ===================
table         as written       as written                 as written
vader         none             v / sqrt(v^2 + 15)         sqrt(|v| / 4)
warriner      none             (V - 5) / 4                (A - 1) / 8
anew          none             (V - 5) / 4                (A - 1) / 8
sentiwordnet  none             positive - negative        positive + negative
nrc           NRC_LABELS       score * polarity of label  score
liwc          LIWC_CATEGORIES  LIWC_CATEGORIES            LIWC_CATEGORIES
============  ===============  =========================  ===================

- table: csv with the header subject,emotion,polarity,intensity; the package's own is `SUBJECTS`.
- vader: vader_lexicon.txt of vaderSentiment (Hutto and Gilbert 2014). v is the mean rating, from
  -4 to 4. The polarity is VADER's compound of the word alone: the units of s_text in eq. 3.
  The root is there because VADER lists no neutral words: a rating of 1 just passes eq. 3. On words
  that both have, it is closer to the table's intensity than |v| / 4 is.
  Terms with capitals are left out, for VADER itself never finds them.
- warriner: BRM-emot-submit.csv (Warriner et al. 2013). V and A are the mean ratings of valence and
  arousal (V.Mean.Sum, A.Mean.Sum), from 1 to 9.
- anew: the csv of 1999 or the tab-separated text of 2010 (Bradley and Lang). V and A as above.
- sentiwordnet: version 3.0 (Baccianella et al. 2010). Positive and negative are means over the
  senses of a term in all parts of speech; sense number k weighs 1/k.
- nrc: the Affect Intensity Lexicon of Mohammad (2018), versions 0.5 and 1. Of a term's emotions
  that of the highest score counts, the first if equal. The label's polarity is EMOTION_AFFECT's,
  so that anger is as negative as it is intense, and surprise hardly positive at any score.
- liwc: a LIWC .dic of 2001 to 2015. LIWC gives no degrees: a category is a constant. Anxiety, anger
  and sadness replace negemo; a term of several has their mean, and no label. `happ*` stands for any
  word that begins so. Of the numbers with a condition on the neighbouring words, (02 134)125/464 or
  <of>131/125, the last holds, which is that of a word alone. Affect without a direction is left
  out, and so are numbers that the file does not name.

A term of several rows has their mean in warriner and anew, and the values of the last in vader, as
in VADER itself. Case, hyphens, underscores and runs of spaces do not count. Emoticons are left out.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable
from pathlib import Path

from mreactor_ref.emotion.lexicon_terms import Affect, Lexicon, LexiconFile, devices_of, tidy
from mreactor_ref.emotion.priors import EMOTION_AFFECT, Prior
from mreactor_ref.errors import UsageError
from mreactor_ref.packaged import vader_folder

SUBJECTS = Path(__file__).with_name("subjects.csv")
COLUMNS = ["subject", "emotion", "polarity", "intensity"]

VADER_ALPHA = 15  # vaderSentiment's normalize(score, alpha=15)
SENSE = re.compile(r"0*[1-9][0-9]{0,3}")  # which of a word's senses
VADER_RATING = 4  # the largest rating

# Plutchik's eight as labels of this project. Trust is pleasant and calm.
NRC_LABELS = {
    **{label: label for label in ("anger", "disgust", "fear", "joy", "sadness", "surprise")},
    "anticipation": "interest",
    "trust": "contentment",
}

# Made by hand: what LIWC counts as emotion is intense enough for eq. 3, and the emotions that it
# names are stronger than the two that only have a direction.
LIWC_CATEGORIES = {
    "posemo": ("joy", 0.6, 0.6),
    "negemo": ("disappointment", -0.5, 0.5),
    "anx": ("anxiety", -0.6, 0.7),
    "anger": ("anger", -0.8, 0.8),
    "sad": ("sadness", -0.7, 0.5),
}
LIWC_NAMED = {"anx", "anger", "sad"}

# What a file looks like, for errors and for help.
EXPECTED = {
    "table": f"a csv with the header {','.join(COLUMNS)}",
    "vader": "lines of a term, a tab and its mean rating",
    "warriner": "a csv with the columns Word, V.Mean.Sum and A.Mean.Sum",
    "anew": "a table with the columns Description, Valence Mean and Arousal Mean, "
    "or Word, ValMn and AroMn",
    "sentiwordnet": "tab-separated POS, ID, PosScore, NegScore and terms such as good#1",
    "nrc": "a tab-separated table with the columns term, score and AffectDimension, "
    "or word, emotion and emotion-intensity-score",
    "liwc": "categories between two lines of %, then terms with the numbers of their categories",
}

_TERM = re.compile(r"(?=.*[^\W\d_]{2})[^\W\d_][\w' ]*")  # not o_o
_LIWC_CATEGORY = re.compile(r"(\d{1,9})\s+(\w+)")
_LIWC_TERM = re.compile(r"(\S.*?)\s+([\d(<].*)")
_LIWC_CONDITION = re.compile(r"(?:\([^)]*\)|<[^>]*>)\s*\d+(?:/(\d+))?")
_LIWC_NUMBER = re.compile(r"\d{1,9}")


def parse_lexicon_option(text: str) -> Lexicon:
    """The lexicon of "FORMAT=FILE", or of "table" or "vader" for the package's own.

    Raises:
        UsageError: neither of these, or what `read_lexicon` raises.
    """
    format, equals, file = (part.strip() for part in text.partition("="))
    if format.lower() in OWN_FILES and not equals:
        return read_lexicon(OWN_FILES[format.lower()](), format)
    if not file:
        known = ", ".join(FORMATS)
        raise UsageError(f"lexicon {text!r} is not FORMAT=FILE", fix=f"formats are {known}")
    return read_lexicon(Path(os.path.expanduser(file)), format)


def read_lexicon(path: Path, format: str) -> Lexicon:
    """The lexicon of a file in one of FORMATS.

    Raises:
        UsageError: an unknown format; a file that cannot be read, is not UTF-8 text, is not of the
            format, has a value out of range or no terms. Names the line and what is expected.
    """
    reader = FORMATS.get(format.lower())
    if reader is None:
        raise UsageError(f"lexicon format {format!r} is not one of {', '.join(FORMATS)}")
    return reader(Path(path))


def read_table(path: Path) -> Lexicon:
    """A table of subjects, with its rows."""
    rows = read_subjects(path)
    entries = {tidy(r.subject): Affect(r.emotion, r.polarity, r.intensity) for r in reversed(rows)}
    return Lexicon(_name("table", path), entries, subjects=rows)


def read_subjects(path: Path = SUBJECTS) -> tuple[Prior, ...]:
    """The rows of a table of subjects: a csv file with a header subject,emotion,polarity,intensity.

    Raises:
        UsageError: the file is missing, is not UTF-8 text or has another header, no rows, a row
            that is not a prior or a subject that came before; the message names the line.
    """
    file = _open("table", path)
    rows = file.rows(",")
    if next(rows, (1, []))[1] != COLUMNS:
        raise file.wrong("line 1 is not the header")
    priors: dict[str, Prior] = {}
    for line, row in rows:
        if len(row) != len(COLUMNS):
            raise file.wrong(f"line {line} has {len(row)} columns, not {len(COLUMNS)}")
        subject, emotion, polarity, intensity = (cell.strip() for cell in row)
        if not tidy(subject) or subject.lower() in priors:
            raise file.wrong(f"line {line}: subject {subject!r} is empty or came before")
        try:
            prior = Prior(subject, emotion.lower(), float(polarity), float(intensity))
        except (ValueError, UsageError) as error:
            raise file.wrong(f"line {line}: {error}") from error
        priors[subject.lower()] = prior
    if not priors:
        raise file.wrong("has no subjects")
    return tuple(priors.values())


def read_vader(path: Path) -> Lexicon:
    """VADER's words and phrases."""
    file = _open("vader", path)
    entries: dict[str, Affect] = {}
    for line, text in file.lines():
        term, tab, rest = text.partition("\t")
        if not tab:
            raise file.wrong(f"line {line} has no tab")
        v = file.number(rest.partition("\t")[0], "rating", -VADER_RATING, VADER_RATING, line)
        if term == term.lower():
            polarity = v / math.sqrt(v * v + VADER_ALPHA)
            intensity = math.sqrt(abs(v) / VADER_RATING)
            entries[tidy(term)] = Affect(None, polarity, intensity)
    return _lexicon("vader", file, entries)


def read_warriner(path: Path) -> Lexicon:
    """The norms of Warriner, Kuperman and Brysbaert for 13,915 lemmas."""
    return _read_rated("warriner", path, {"word"}, {"vmeansum"}, {"ameansum"})


def read_anew(path: Path) -> Lexicon:
    """Affective norms for English words, as the csv of 1999 or the text of 2010."""
    valences, arousals = {"valencemean", "valmn"}, {"arousalmean", "aromn"}
    return _read_rated("anew", path, {"description", "word"}, valences, arousals)


def _read_rated(format: str, path: Path, *columns: set[str]) -> Lexicon:
    """A table of terms with mean valence and arousal from 1 to 9.

    Columns are found by any of their names, of which only letters and digits count.
    """
    file = _open(format, path)
    first = file.text.partition("\n")[0]
    rows = file.rows(max(",\t;", key=first.count))
    header = next(rows, (1, []))[1]
    places = devices_of([re.sub(r"[\W_]", "", cell) for cell in header], *columns)
    if not places:
        raise file.wrong("line 1 is not the header")
    ratings: dict[str, list[tuple[float, float]]] = {}
    for line, row in rows:
        term, valence, arousal = file.cells(line, row, places)
        v = file.number(valence, "valence", 1, 9, line)
        a = file.number(arousal, "arousal", 1, 9, line)
        ratings.setdefault(tidy(term), []).append((v, a))
    entries: dict[str, Affect] = {}
    for key, pairs in ratings.items():
        v, a = (sum(values) / len(pairs) for values in zip(*pairs, strict=True))
        entries[key] = Affect(None, (v - 5) / 4, (a - 1) / 8)
    return _lexicon(format, file, entries)


def read_sentiwordnet(path: Path) -> Lexicon:
    """SentiWordNet's terms, a mean over their senses."""
    file = _open("sentiwordnet", path)
    sums: dict[str, tuple[float, float, float]] = {}  # of weights, positive and negative
    for line, text in file.lines():
        row = text.split("\t")
        # The published file ends in a line of empty cells, and some copies bare the header.
        if text.startswith("#") or not any(row[:2]) or row[2:3] == ["PosScore"]:
            continue
        *scores, terms = file.cells(line, row, [2, 3, 4])
        p = file.number(scores[0], "PosScore", 0, 1, line)
        n = file.number(scores[1], "NegScore", 0, 1, line)
        if p + n > 1.001:  # thirds are rounded
            raise file.wrong(f"line {line}: PosScore and NegScore sum to {p + n}, over 1")
        for name in terms.split():
            term, _, sense = name.rpartition("#")
            if not term or not SENSE.fullmatch(sense):
                raise file.wrong(f"line {line}: term {name!r} has no sense number")
            weight, key = 1 / int(sense), tidy(term)
            w, positive, negative = sums.get(key, (0.0, 0.0, 0.0))
            sums[key] = w + weight, positive + weight * p, negative + weight * n
    return _lexicon(
        "sentiwordnet",
        file,
        {key: Affect(None, (p - n) / w, min((p + n) / w, 1.0)) for key, (w, p, n) in sums.items()},
    )


def read_nrc(path: Path) -> Lexicon:
    """The NRC affect (later: emotion) intensity lexicon; text before its header is skipped."""
    file = _open("nrc", path)
    lines = file.lines()
    columns = {"term", "word", "english word"}, {"emotion", "affectdimension"}
    columns = *columns, {"score", "emotion-intensity-score"}
    headers = (devices_of(text.split("\t"), *columns) for _, text in lines)
    places = next(filter(None, headers), None)
    if places is None:
        raise file.wrong("has no header")
    best: dict[str, tuple[float, str]] = {}
    for line, text in lines:
        term, emotion, score = file.cells(line, text.split("\t"), places)
        value = file.number(score, "score", 0, 1, line)
        label = NRC_LABELS.get(emotion.strip().lower())
        if label is None:
            known = ", ".join(NRC_LABELS)
            raise file.wrong(f"line {line}: emotion {emotion.strip()!r} is not one of {known}")
        key = tidy(term)
        if key not in best or value > best[key][0]:
            best[key] = value, label
    return _lexicon(
        "nrc",
        file,
        {key: Affect(e, value * EMOTION_AFFECT[e][0], value) for key, (value, e) in best.items()},
    )


def read_liwc(path: Path) -> Lexicon:
    """The terms and stems of LIWC's emotion categories."""
    file = _open("liwc", path)
    lines = file.lines()
    if next(lines, (1, ""))[1].strip() != "%":
        raise file.wrong("line 1 is not %")
    names: dict[int, str] = {}
    for line, text in lines:
        if text.strip() == "%":
            break
        match = _LIWC_CATEGORY.match(text.strip())
        if not match:
            raise file.wrong(f"line {line} is not a category's number and name")
        names[int(match[1])] = match[2].lower()
    if LIWC_CATEGORIES.keys().isdisjoint(names.values()):
        raise file.wrong(f"has none of the categories {', '.join(LIWC_CATEGORIES)}")
    kinds_of: dict[str, set[str]] = {}
    for line, text in lines:
        match = _LIWC_TERM.fullmatch(text.strip())
        numbers = _LIWC_CONDITION.sub(r"\1", match[2]).split() if match else []
        if not match or not all(map(_LIWC_NUMBER.fullmatch, numbers)):
            raise file.wrong(f"line {line} is not a term and its categories")
        kinds = {names.get(int(number), "") for number in numbers} & LIWC_CATEGORIES.keys()
        kinds_of.setdefault(match[1].lower(), set()).update(kinds)
    terms = {term: _liwc_affect(kinds) for term, kinds in kinds_of.items() if kinds}
    entries = {tidy(t): affect for t, affect in terms.items() if not t.endswith("*")}
    stems = {tidy(t): affect for t, affect in terms.items() if t.endswith("*")}
    return _lexicon("liwc", file, entries, stems)


def _liwc_affect(kinds: set[str]) -> Affect:
    if kinds & LIWC_NAMED:
        kinds = kinds - {"negemo"}
    n = len(kinds)
    labels, polarities, intensities = zip(*(LIWC_CATEGORIES[k] for k in sorted(kinds)), strict=True)
    return Affect(labels[0] if n == 1 else None, sum(polarities) / n, sum(intensities) / n)


def _open(format: str, path: Path) -> LexiconFile:
    return LexiconFile(path, f"{format}: {EXPECTED[format]}")


def _lexicon(
    format: str,
    file: LexiconFile,
    entries: dict[str, Affect],
    stems: dict[str, Affect] | None = None,
) -> Lexicon:
    """The terms that are words; names of labels have their own."""
    entries = {key: affect for key, affect in entries.items() if _TERM.fullmatch(key)}
    stems = {key: affect for key, affect in (stems or {}).items() if _TERM.fullmatch(key)}
    if not entries and not stems:
        raise file.wrong("has no terms")
    for label in EMOTION_AFFECT.keys() & entries.keys():
        entries[label] = entries[label]._replace(emotion=entries[label].emotion or label)
    return Lexicon(_name(format, file.path), entries, stems)


def _name(format: str, path: Path) -> str:
    own = format in OWN_FILES and path == OWN_FILES[format]()
    return format if own else f"{format} {path.name}"


def vader_file() -> Path:
    """The lexicon that the vaderSentiment package carries. Raises: as `vader_folder`."""
    return vader_folder() / "vader_lexicon.txt"


FORMATS: dict[str, Callable[[Path], Lexicon]] = {
    "table": read_table,
    "vader": read_vader,
    "warriner": read_warriner,
    "anew": read_anew,
    "sentiwordnet": read_sentiwordnet,
    "nrc": read_nrc,
    "liwc": read_liwc,
}
OWN_FILES: dict[str, Callable[[], Path]] = {"table": lambda: SUBJECTS, "vader": vader_file}
