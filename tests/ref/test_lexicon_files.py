"""Readers of lexicon files: small files of exactly the published forms, and every formula."""

import time

import pytest
from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

from mreactor_ref.emotion.lexicon_files import (
    FORMATS,
    OWN_FILES,
    parse_lexicon_option,
    read_lexicon,
    read_subjects,
)
from mreactor_ref.emotion.lexicon_terms import Affect
from mreactor_ref.emotion.priors import Prior
from mreactor_ref.errors import UsageError
from mreactor_ref.signals import EMOTIONS

TABLE = "subject,emotion,polarity,intensity\n"
TABLE_FILE = TABLE + 'New-Job,Excitement,0.75,0.7\n\n"Rain, heavy", Sadness ,-0.5,0.6\n'

VADER_FILE = (
    "$:\t-1.5\t0.80623\t[-1, -1, -1, -1, -3, -1, -3, -1, -2, -1]\r\n"
    "( '}{' )\t1.6\t0.66332\t[1, 2, 2, 1, 1, 2, 2, 1, 3, 1]\r\n"
    "XD\t2.8\t0.87178\t[3, 2, 3, 4, 3, 2, 3, 1, 4, 3]\r\n"
    "awful\t-2.0\t1.26491\t[-1, -2, -2, -2, -3, 1, -3, -3, -3, -2]\r\n"
    "o_o\t-0.5\t1.0\t[0, -1, -1, -1, 1, 0, 0, -1, -1, -1]\r\n"
    "joy\t1.6\t1.42829\t[0, 0, 1, 1, 1, 4, 3, 4, 1, 1]\r\n"
    "joy\t2.8\t0.74833\t[3, 2, 3, 4, 3, 2, 3, 1, 4, 3]\r\n"
    "self-confident\t2.5\t0.80623\t[2, 3, 2, 4, 3, 1, 3, 3, 2, 2]\r\n"
)

WARRINER_FILE = (
    ",Word,V.Mean.Sum,V.SD.Sum,V.Rat.Sum,A.Mean.Sum,A.SD.Sum,A.Rat.Sum,D.Mean.Sum\n"
    "1,aardvark,6.26,2.21,19,2.41,1.4,22,4.27\n"
    "2,abhorrent,1,1.4,20,9,2.1,20,4.5\n"
    "3,TRUE,9,1.1,20,5,2.2,20,6.1\n"
)

ANEW_CSV = (
    "Description,Word No.,Valence Mean,Valence SD,Arousal Mean,Arousal SD,Dominance Mean,"
    "Dominance SD,Word Frequency\n"
    "abduction,621,2.76,2.06,5.53,2.43,3.49,2.38,1\n"
    "diploma,119,8,1.39,5.67,2.8,6.76,2.5,.\n"
)
ANEW_TEXT = (
    "Word\tWdnum\tValMn\tValSD\tAroMn\tAroSD\tDomMn\tDomSD\n"
    "annoy\t1086\t2.96\t1.65\t5.52\t2.49\t4.44\t2\n"
    "annoy\t20\t2.74\t1.81\t6.49\t2.17\t5.09\t2.04\n"
)

SWN_FILE = (
    "# SentiWordNet v3.0.0 (1 June 2010)\n#\n# POS\tID\tPosScore\tNegScore\tSynsetTerms\tGloss\n"
    'a\t00001740\t0.125\t0\table#1\t(usually followed by `to\') having the means; "able to swim"\n'
    "a\t01123148\t0.75\t0\tgood#1\thaving desirable qualities\n"
    "a\t01586752\t0.333\t0.667\tharsh#2 good#3\tunpleasantly stern\n"
    "n\t05144079\t0.5\t0.125\tgood#1 well-being#1\tbenefit\n"
    "r\t00011093\t0\t0.25\tkeep_open#2 d.o.a.#1\tnot closed\n"
    "\t\t\t\t\t\n"
)

NRC_FILE = (
    "The NRC Affect Intensity Lexicon v0.5\nContact: the author\n\n"
    "disgust, anticipation, and surprise. We will also be adding.)\tIt includes\n\n"
    "term\tscore\tAffectDimension\n"
    "outraged\t0.964\tanger\nabandon\t0.531\tfear\nabandon\t0.703\tsadness\nabandon\t0.7\tanger\n"
    "even\t0.5\tfear\neven\t0.5\tjoy\nhappiest\t1\tjoy\n"
)
NRC_NEW_FILE = (
    "word\temotion\temotion-intensity-score\n"
    "explosion\tsurprise\t0.8\nhopeful\tanticipation\t0.6\nhonest\ttrust\t0.9\nrot\tdisgust\t0.5\n"
)
NRC_TRANSLATED_FILE = (
    "English Word\tJapanese Word\tEmotion\tEmotion-Intensity-Score\nrage\t怒り\tanger\t0.9\n"
)

LIWC_FILE = (
    "%\n1\tfunct\n19\tnegate\n125\taffect\n126\tposemo\n127\tnegemo\n128\tanx\n129\tanger\n130\tsad\n"
    "131\tcogmech\n%\n"
    "a\t1\nbad\t125\t127\nafraid\t125\t127\t128\nhate\t125\t127\t129\naching\t125\t127 130\t131\n"
    "acid*   125  127\nhapp*\t125\t126\nhapl*\t125\t127\nconcerned\t125\n\t \n"
    "guarded\t125\t127\t128\t129\nmixed\t126\t127\nkind of\t1\n"
    "like\t(02 134)125/464\t(02 134)126\t253\t466\nkind\t<of>131/126\t125\n(:\t126\n"
)


def write(folder, text: str, name: str = "file.txt"):
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


def affect(lexicon, term: str) -> tuple:
    found = lexicon.lookup(term)
    assert found is not None, term
    return found.emotion, pytest.approx(found.polarity), pytest.approx(found.intensity)


def test_every_format_has_a_reader():
    assert list(FORMATS) == ["table", "vader", "warriner", "anew", "sentiwordnet", "nrc", "liwc"]


def test_table(tmp_path):
    lexicon = read_lexicon(write(tmp_path, TABLE_FILE, "mine.csv"), "table")
    assert lexicon.name == "table mine.csv"
    assert lexicon.lookup("new job") == Affect("excitement", 0.75, 0.7)
    assert lexicon.lookup("Rain, heavy") == Affect("sadness", -0.5, 0.6)
    assert lexicon.subjects == (
        Prior("New-Job", "excitement", 0.75, 0.7),
        Prior("Rain, heavy", "sadness", -0.5, 0.6),
    )


def test_vader(tmp_path):
    lexicon = read_lexicon(write(tmp_path, VADER_FILE), "vader")
    assert set(lexicon.entries) == {"awful", "joy", "self confident"}
    assert affect(lexicon, "awful") == (None, -2 / 19**0.5, 0.5**0.5)
    assert affect(lexicon, "Self Confident") == (None, 2.5 / 21.25**0.5, 0.625**0.5)
    assert affect(lexicon, "joy") == ("joy", 2.8 / 22.84**0.5, 0.7**0.5)  # the name of a label


@pytest.mark.parametrize("word", ["success", "grief", "thrilled", "ok", "betrayal"])
def test_vaders_polarity_is_the_compound_of_the_word_alone(word):
    found = parse_lexicon_option("vader").lookup(word)
    compound = SentimentIntensityAnalyzer().polarity_scores(word)["compound"]
    assert found is not None
    assert found.polarity == pytest.approx(compound, abs=5e-5)  # the compound has four decimals


def test_warriner(tmp_path):
    lexicon = read_lexicon(write(tmp_path, WARRINER_FILE), "warriner")
    assert affect(lexicon, "aardvark") == (None, 0.315, 0.17625)
    assert affect(lexicon, "abhorrent") == (None, -1, 1)
    assert affect(lexicon, "true") == (None, 1, 0.5)


def test_anew_in_both_forms(tmp_path):
    lexicon = read_lexicon(write(tmp_path, ANEW_CSV), "anew")
    assert affect(lexicon, "abduction") == (None, -0.56, 0.56625)
    assert affect(lexicon, "diploma") == (None, 0.75, 0.58375)
    lexicon = read_lexicon(write(tmp_path, ANEW_TEXT), "anew")
    assert affect(lexicon, "annoy") == (None, -0.5375, (6.005 - 1) / 8)  # the mean of two rows


def test_anew_with_other_spellings_of_its_header(tmp_path):
    text = ANEW_CSV.replace("Valence Mean", "valence_mean").replace("Arousal Mean", "arousal_mean")
    lexicon = read_lexicon(write(tmp_path, text.lower().replace(",", ";")), "anew")
    assert affect(lexicon, "abduction") == (None, -0.56, 0.56625)


def test_sentiwordnet(tmp_path):
    lexicon = read_lexicon(write(tmp_path, SWN_FILE), "sentiwordnet")
    assert affect(lexicon, "able") == (None, 0.125, 0.125)
    assert affect(lexicon, "harsh") == (None, -0.334, 1)
    # Two first senses and a third one: weights 1, 1, 1/3.
    positive, negative = (0.75 + 0.5 + 0.333 / 3) * 3 / 7, (0.125 + 0.667 / 3) * 3 / 7
    assert affect(lexicon, "good") == (None, positive - negative, positive + negative)
    assert affect(lexicon, "well being") == (None, 0.375, 0.625)
    assert affect(lexicon, "keep open") == (None, -0.25, 0.25)
    assert lexicon.lookup("d.o.a.") is None


def test_sentiwordnet_with_a_bare_header(tmp_path):
    text = "POS\tID\tPosScore\tNegScore\tSynsetTerms\tGloss\na\t00001740\t0.125\t0\table#1\tgloss\n"
    assert set(read_lexicon(write(tmp_path, text), "sentiwordnet").entries) == {"able"}


def test_nrc(tmp_path):
    lexicon = read_lexicon(write(tmp_path, NRC_FILE), "nrc")
    assert affect(lexicon, "outraged") == ("anger", 0.964 * -0.85, 0.964)
    assert affect(lexicon, "abandon") == ("sadness", 0.703 * -0.7, 0.703)  # of three the highest
    assert affect(lexicon, "even") == ("fear", 0.5 * -0.65, 0.5)  # of equals the first
    assert affect(lexicon, "happiest") == ("joy", 0.7, 1)


def test_nrc_of_later_releases(tmp_path):
    lexicon = read_lexicon(write(tmp_path, NRC_NEW_FILE), "nrc")
    assert affect(lexicon, "explosion") == ("surprise", 0.08, 0.8)
    assert affect(lexicon, "hopeful") == ("interest", 0.15, 0.6)
    assert affect(lexicon, "honest") == ("contentment", 0.45, 0.9)
    assert affect(lexicon, "rot") == ("disgust", -0.425, 0.5)
    lexicon = read_lexicon(write(tmp_path, NRC_TRANSLATED_FILE), "nrc")
    assert affect(lexicon, "rage") == ("anger", 0.9 * -0.85, 0.9)


def test_liwc(tmp_path):
    lexicon = read_lexicon(write(tmp_path, LIWC_FILE, "LIWC2007.dic"), "liwc")
    assert lexicon.name == "liwc LIWC2007.dic"
    assert affect(lexicon, "bad") == ("disappointment", -0.5, 0.5)
    assert affect(lexicon, "afraid") == ("anxiety", -0.6, 0.7)
    assert affect(lexicon, "hate") == ("anger", -0.8, 0.8)
    assert affect(lexicon, "aching") == ("sadness", -0.7, 0.5)
    assert affect(lexicon, "guarded") == (None, -0.7, 0.75)  # anxiety and anger
    assert affect(lexicon, "mixed") == (None, 0.05, 0.55)
    assert affect(lexicon, "kind") == ("joy", 0.6, 0.6)  # the word alone
    for term in ("a", "concerned", "kind of", "like", "(:"):
        assert lexicon.lookup(term) is None, term


def test_a_wildcard_is_any_word_that_begins_so(tmp_path):
    lexicon = read_lexicon(write(tmp_path, LIWC_FILE), "liwc")
    assert set(lexicon.stems) == {"acid", "happ", "hapl"}
    for term in ("happ", "happy", "Happiness"):
        assert affect(lexicon, term) == ("joy", 0.6, 0.6), term
    assert affect(lexicon, "hapless") == ("disappointment", -0.5, 0.5)
    for term in ("hap", "unhappy", "happy birthday", "acid rain"):
        assert lexicon.lookup(term) is None, term


def test_an_own_entry_and_the_longest_stem_come_first(tmp_path):
    text = "%\n1 Posemo\n2 Negemo\n3 Sad\n%\npain*\t2\npainl*\t1\npainting\t1\npaint*\t3\n"
    lexicon = read_lexicon(write(tmp_path, text), "liwc")
    labels = {t: lexicon.lookup(t).emotion for t in ("pains", "painless", "painting", "painter")}
    assert labels == {
        "pains": "disappointment",
        "painless": "joy",
        "painting": "joy",
        "painter": "sadness",
    }


@pytest.mark.parametrize("format", FORMATS)
def test_values_stay_in_range_and_labels_are_known(tmp_path, format):
    files = {
        "table": TABLE_FILE,
        "vader": VADER_FILE,
        "warriner": WARRINER_FILE,
        "anew": ANEW_TEXT,
        "sentiwordnet": SWN_FILE,
        "nrc": NRC_NEW_FILE,
        "liwc": LIWC_FILE,
    }
    path = write(tmp_path, files[format])
    lexicon = read_lexicon(path, format)
    for found in [*lexicon.entries.values(), *lexicon.stems.values()]:
        assert found.emotion is None or found.emotion in EMOTIONS
        assert -1 <= found.polarity <= 1
        assert 0 <= found.intensity <= 1
    # A byte order mark and the line ends of other systems change nothing.
    path.write_bytes(b"\xef\xbb\xbf" + files[format].replace("\n", "\r\n").encode())
    assert read_lexicon(path, format).entries == lexicon.entries


LIWC_HEAD = "%\n1\tposemo\n%\n"


@pytest.mark.parametrize(
    ("format", "text", "problem"),
    [
        *((format, "", "") for format in FORMATS),
        *((format, "\n \n", "") for format in FORMATS),
        *((format, "PK\x03\x04 is no lexicon\x00\n", "") for format in FORMATS),
        ("vader", "good 1.9\n", "line 1 has no tab"),
        ("vader", "good\t1.9\nbad\tlow\n", "line 2: rating 'low' is not a number from -4 to 4"),
        ("vader", "good\t7.89\n", "line 1: rating '7.89' is not a number from -4 to 4"),
        ("vader", "good\tnan\n", "line 1: rating 'nan' is not a number"),
        ("vader", ":)\t2.0\n", "has no terms"),
        ("warriner", WARRINER_FILE.replace("V.Mean.Sum", "V"), "line 1 is not the header"),
        ("warriner", ANEW_CSV, "line 1 is not the header"),
        ("warriner", WARRINER_FILE + "4,x,5,1,1\n", "line 5 has 5 columns, not 6 or more"),
        ("warriner", WARRINER_FILE + "\n4,x,0.5,1,1,5\n", "line 6: valence '0.5' is not a number"),
        ("warriner", WARRINER_FILE + "4,x,5,1,1,\n", "line 5: arousal '' is not a number from 1"),
        ("warriner", WARRINER_FILE + '4,"x,5,1\n', "line 5 has 2 columns, not 6"),
        ("warriner", WARRINER_FILE + '4,"' + "x" * 140_000, "line 5: field larger than field"),
        ("anew", WARRINER_FILE, "line 1 is not the header"),
        ("anew", ANEW_CSV + "x,1,9.5,1,5\n", "line 4: valence '9.5' is not a number from 1 to 9"),
        ("sentiwordnet", "a\t1\t0.5\t0\n", "line 1 has 4 columns, not 5 or more"),
        (
            "sentiwordnet",
            "# x\na\t1\tmuch\t0\tx#1\t\n",
            "line 2: PosScore 'much' is not a number from 0",
        ),
        (
            "sentiwordnet",
            "a\t1\t0.75\t0.5\tx#1\t\n",
            "line 1: PosScore and NegScore sum to 1.25, over 1",
        ),
        ("sentiwordnet", "a\t1\t0.5\t0\tgood\t\n", "line 1: term 'good' has no sense number"),
        ("sentiwordnet", "a\t1\t0.5\t0\tgood#0\t\n", "line 1: term 'good#0' has no sense number"),
        ("nrc", "outraged\t0.964\tanger\n", "has no header"),
        ("nrc", NRC_FILE + "x\t1.5\tanger\n", "line 14: score '1.5' is not a number from 0 to 1"),
        (
            "nrc",
            NRC_FILE + "x\t0.5\tlust\n",
            "line 14: emotion 'lust' is not one of anger, disgust",
        ),
        ("nrc", NRC_FILE + "x\t0.5\n", "line 14 has 2 columns, not 3 or more"),
        ("nrc", "term\tscore\tAffectDimension\n", "has no terms"),
        ("liwc", "happy\t126\n", "line 1 is not %"),
        ("liwc", "%\n1\tposemo\nhappy\t1\n", "line 3 is not a category's number and name"),
        ("liwc", "%\n1\tfunct\n%\na\t1\n", "has none of the categories posemo, negemo, anx"),
        ("liwc", LIWC_HEAD + "happy\t1\nsad\n", "line 5 is not a term and its categories"),
        ("liwc", LIWC_HEAD + "happy\t1\tx\n", "line 4 is not a term and its categories"),
        ("liwc", LIWC_HEAD + "table\t2\n", "has no terms"),
    ],
)
def test_a_file_of_another_form_names_the_line_and_the_format(tmp_path, format, text, problem):
    path = write(tmp_path, text, "mine.dat")
    with pytest.raises(UsageError) as caught:
        read_lexicon(path, format)
    message = str(caught.value)
    assert problem in message
    assert message.startswith(str(path))
    assert f"(expected {format}: " in message
    assert "\n" not in message


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_cannot_be_read(tmp_path, format):
    with pytest.raises(UsageError, match=r"none\.txt: cannot be read: No such file"):
        read_lexicon(tmp_path / "none.txt", format)
    with pytest.raises(UsageError, match="cannot be read: Is a directory"):
        read_lexicon(tmp_path, format)
    (tmp_path / "latin.txt").write_bytes(b"line\nna\xefve\t1.5\n")
    with pytest.raises(UsageError, match=r"line 2 is not UTF-8 text \(save it as UTF-8; expected"):
        read_lexicon(tmp_path / "latin.txt", format)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name,emotion,polarity,intensity\nA,Joy,0,0\n", "line 1 is not the header"),
        (TABLE, "has no subjects"),
        (TABLE + "A,Joy,0.5,0.5\nB,Joy,0.5\n", "line 3 has 3 columns, not 4"),
        (TABLE + "A,Joy,high,0.5\n", "line 2: could not convert string to float: 'high'"),
        (TABLE + "A,Glee,0.5,0.5\n", "line 2: emotion is 'glee', not one of"),
        (TABLE + "A,Joy,1.5,0.5\n", "line 2: polarity is 1.5, not -1 to 1"),
        (TABLE + "A,Joy,nan,0.5\n", "line 2: polarity is nan"),
        (TABLE + "A,Joy,0.5,0.5\na,Joy,0.1,0.5\n", "line 3: subject 'a' is empty or came before"),
        (TABLE + " ,Joy,0.5,0.5\n", "line 2: subject '' is empty"),
        (TABLE + "A,Joy,0.5,0.5\n\nB,Joy\n", "line 4 has 2 columns"),
    ],
)
def test_a_malformed_table_names_the_line(tmp_path, text, problem):
    path = write(tmp_path, text, "mine.csv")
    with pytest.raises(UsageError) as caught:
        read_subjects(path)
    assert problem in str(caught.value)
    assert "mine.csv" in str(caught.value)


def test_a_table_of_the_user(tmp_path):
    path = write(tmp_path, TABLE + '\n"Rain, heavy", Sadness ,-0.5,0.6\n\n')
    assert read_subjects(path) == (Prior("Rain, heavy", "sadness", -0.5, 0.6),)


@pytest.mark.parametrize("option", ["nrc={}", " NRC = {} "])
def test_an_option_names_format_and_file(tmp_path, option):
    path = write(tmp_path, NRC_FILE, "my=words.txt")
    lexicon = parse_lexicon_option(option.format(path))
    assert lexicon.name == "nrc my=words.txt"
    assert lexicon.lookup("outraged") == Affect("anger", pytest.approx(-0.8194), 0.964)


def test_an_option_may_begin_at_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, VADER_FILE, "words.txt")
    assert parse_lexicon_option("vader=~/words.txt").name == "vader words.txt"


def test_an_option_may_name_the_packages_own():
    assert parse_lexicon_option("table").subjects == read_subjects()
    lexicon = parse_lexicon_option("VADER")
    assert lexicon.name == "vader"
    assert len(lexicon.entries) > 7000
    assert list(OWN_FILES) == ["table", "vader"]


@pytest.mark.parametrize("option", ["", "=", "warriner", "warriner=", "vader=", "=x.csv", "x.csv"])
def test_an_option_that_is_neither(option):
    with pytest.raises(UsageError) as caught:
        parse_lexicon_option(option)
    assert "table, vader, warriner, anew, sentiwordnet, nrc, liwc" in str(caught.value)


def test_an_unknown_format(tmp_path):
    with pytest.raises(UsageError, match="lexicon format 'afinn' is not one of table, vader"):
        parse_lexicon_option(f"afinn={write(tmp_path, '')}")


def test_large_files_take_a_moment(tmp_path):
    rows = (f"{i},word{i},5.{i % 10},1,20,4.{i % 10},2,20\n" for i in range(14_000))
    header = WARRINER_FILE.partition("\n")[0] + "\n"
    warriner = write(tmp_path, header + "".join(rows))
    synsets = (f"n\t{i:08}\t0.25\t0\tterm{i}#1 word{i % 999}#2\tg\n" for i in range(118_000))
    swn = write(tmp_path, "".join(synsets), "swn.txt")
    start = time.process_time()
    assert len(read_lexicon(warriner, "warriner").entries) == 14_000
    assert time.process_time() - start < 1
    assert len(read_lexicon(swn, "sentiwordnet").entries) == 118_999
    assert time.process_time() - start < 6
