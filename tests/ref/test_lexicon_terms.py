"""Terms in one form, other forms of a word, the stems of a lexicon."""

import pytest

from mreactor_ref.emotion.lexicon_terms import Affect, Lexicon, tidy, word_forms


@pytest.mark.parametrize(
    ("term", "key"),
    [
        ("Success", "success"),
        (" New \t JOB\n", "new job"),
        ("self-esteem", "self esteem"),
        ("keep_open", "keep open"),
        ("Well\u2013Being", "well being"),
        ("\u201cGood News!\u201d", "good news"),
        ("Child\u2019s Play", "child's play"),
        ("Rain, heavy", "rain, heavy"),
        ("happ*", "happ"),
        ("- ?! -", ""),
    ],
)
def test_terms_are_tidied(term, key):
    assert tidy(term) == key
    assert tidy(key) == key


def test_a_stem_stands_for_the_rest_of_one_word():
    joy, fear = Affect("joy", 0.6, 0.6), Affect("fear", -0.6, 0.8)
    lexicon = Lexicon("x", {"happen": fear}, {"happ": joy, "happen": fear, "have fun": joy})
    assert lexicon.lookup("happily") == joy
    assert lexicon.lookup("Happen") == lexicon.lookup("happening") == fear
    assert lexicon.lookup("have funny") == joy
    assert lexicon.lookup("happy days") is None
    assert lexicon.lookup("have fun there") is None
    assert lexicon.lookup("") is None


@pytest.mark.parametrize(
    ("word", "form"),
    [
        *(("losses", "loss"), ("stories", "story"), ("movies", "movie"), ("crises", "crisis")),
        *(("wives", "wife"), ("gloves", "glove"), ("houses", "house"), ("plan", "plans")),
        *(("party", "parties"), ("wish", "wishes"), ("family's", "family")),
        *(("crying", "cry"), ("dying", "die"), ("winning", "win"), ("dancing", "dance")),
        *(("tried", "try"), ("died", "die"), ("planned", "plan"), ("agreed", "agree")),
        *(("rejected", "reject"), ("passing", "pass"), ("cancelled", "cancel")),
        *(("honour", "honor"), ("honors", "honour"), ("realising", "realize")),
        *(("organized", "organise"), ("analyse", "analyze"), ("defence", "defense")),
        *(("theater", "theatre"), ("judgment", "judgement")),
    ],
)
def test_other_forms_of_a_word(word, form):
    assert form in word_forms(word)


def test_the_likeliest_form_comes_first():
    assert word_forms("hoping").index("hope") < word_forms("hoping").index("hop")
    assert word_forms("caring")[0] == "care"
    assert word_forms("feeling")[0] == "feel"
    assert word_forms("hopping").index("hop") < len(word_forms("hopping"))


@pytest.mark.parametrize("word", ["glass", "bus", "thing", "string", "red", "crisis"])
def test_what_only_looks_like_an_ending_stays(word):
    assert all(form.startswith(word) for form in word_forms(word))
