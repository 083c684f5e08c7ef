"""The options of expressive recovery: how a command gets them, and what they open."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from fakes.encoders import save_tiny_encoder

from mreactor_ref.emotion.lexicon_files import COLUMNS
from mreactor_ref.emotion.llm import LLMSubjects
from mreactor_ref.emotion.options import DEFAULTS, RecoveryOptions, open_recovery, recovery_options
from mreactor_ref.emotion.priors import Prior
from mreactor_ref.emotion.subjects import FileSubjects, GivenSubjects, TableSubjects
from mreactor_ref.errors import UsageError

HEAVY = ("numpy", "torch", "transformers", "sentence_transformers", "openai", "vaderSentiment",
         "scipy", "sklearn", "platformdirs")  # fmt: skip


@pytest.fixture(autouse=True)
def environment(tmp_path, monkeypatch):
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


# A command with the options


@click.command()
@click.argument("text")
@recovery_options
@click.option("--json", "as_json", is_flag=True)
def dummy(text: str, as_json: bool, recovery: RecoveryOptions) -> None:
    """A command of no use."""
    click.echo(json.dumps([text, as_json, *map(list, sorted(vars(recovery).items()))]))


def run(*arguments: str) -> dict[str, object]:
    done = CliRunner().invoke(dummy, ["words", *arguments])
    assert done.exit_code == 0, done.output
    return dict(json.loads(done.output)[2:])


def test_a_command_gets_its_own_arguments_and_the_options_as_one():
    done = CliRunner().invoke(dummy, ["words", "--json", "--allow-upload"])
    assert done.exit_code == 0
    text, as_json, *_ = json.loads(done.output)
    assert (text, as_json) == ("words", True)


def test_without_options_a_command_gets_the_defaults():
    assert run() == vars(DEFAULTS) | {"lexicon": []}
    assert RecoveryOptions() == DEFAULTS
    assert DEFAULTS.subject_source == "lexicon"
    assert not DEFAULTS.allow_upload
    thresholds = (
        DEFAULTS.semantic_threshold,
        DEFAULTS.polarity_threshold,
        DEFAULTS.intensity_threshold,
    )
    assert thresholds == (0.5, 0.5, 0.5)


def test_every_option_arrives():
    arguments = {
        "--subject-source": "llm",
        "--llm-model": "gpt-test",
        "--llm-base-url": "http://127.0.0.1:1/v1",
        "--sentence-encoder": "folder",
        "--semantic-threshold": "0.25",
        "--polarity-threshold": "1.75",
        "--intensity-threshold": "1",
    }
    pairs = [part for pair in arguments.items() for part in pair]
    lexicons = ["--lexicon", "table=a.csv", "--lexicon", "nrc=b.txt"]
    assert run(*pairs, *lexicons, "--allow-upload") == {
        "subject_source": "llm",
        "llm_model": "gpt-test",
        "llm_base_url": "http://127.0.0.1:1/v1",
        "allow_upload": True,
        "lexicon": ["table=a.csv", "nrc=b.txt"],
        "sentence_encoder": "folder",
        "semantic_threshold": 0.25,
        "polarity_threshold": 1.75,
        "intensity_threshold": 1.0,
    }


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--semantic-threshold", "1.01"),
        ("--semantic-threshold", "-0.01"),
        ("--polarity-threshold", "2.01"),
        ("--intensity-threshold", "1.01"),
        ("--intensity-threshold", "half"),
    ],
)
def test_a_threshold_out_of_range_is_refused(option, value):
    done = CliRunner().invoke(dummy, ["words", option, value])
    assert done.exit_code == 2
    assert f"Invalid value for '{option}'" in done.output
    assert value in done.output


def test_help_tells_of_every_option():
    done = CliRunner().invoke(dummy, ["--help"])
    assert done.exit_code == 0
    for name in vars(DEFAULTS):
        assert f"--{name.replace('_', '-')}" in done.output
    assert "A command of no use." in done.output


def test_options_import_nothing_heavy():
    script = f"""
import json, sys
import mreactor_ref.emotion.options
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == ""
    assert json.loads(done.stdout) == []


def test_opening_without_asking_loads_no_model():
    """What an encoder or a language model needs is loaded with the first utterance."""
    script = f"""
import json, sys
from mreactor_ref.emotion.options import RecoveryOptions, open_recovery
open_recovery()
llm = RecoveryOptions(subject_source="llm", llm_model="m", allow_upload=True)
open_recovery(llm)
heavy = [name for name in {HEAVY!r} if name in sys.modules]
print(json.dumps(heavy))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == ""
    heavy = {"torch", "transformers", "sentence_transformers", "openai", "sklearn", "scipy"}
    assert not heavy.intersection(json.loads(done.stdout))


# What is opened


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def table(path: Path, *rows: str) -> str:
    return f"table={write(path, ','.join(COLUMNS), *rows)}"


def test_the_defaults_open_the_table():
    found = open_recovery()
    assert isinstance(found.source, TableSubjects)
    assert found.source.similarity is found.similarity
    assert found.similarity.encoder == "minilm"
    assert found.similarity.table == tuple(prior.subject for prior in found.lexicon.subjects)
    assert [lexicon.name for lexicon in found.lexicon.lexicons] == ["table", "vader"]
    assert found.notes == []


def test_thresholds_are_passed_on():
    options = RecoveryOptions(
        semantic_threshold=0.1, polarity_threshold=1.2, intensity_threshold=0.3
    )
    thresholds = open_recovery(options).thresholds
    assert (thresholds.semantic, thresholds.polarity, thresholds.intensity) == (0.1, 1.2, 0.3)
    with pytest.raises(UsageError, match="semantic threshold is nan, not 0 to 1"):
        open_recovery(RecoveryOptions(semantic_threshold=float("nan")))


def test_lexicons_go_before_the_packages_own_in_their_order(tmp_path):
    first = table(tmp_path / "first.csv", "Success,pride,0.6,0.55", "Kite Surfing,joy,0.5,0.9")
    second = table(tmp_path / "second.csv", "Success,fear,-0.6,0.55", "Loss,relief,0.4,0.5")
    found = open_recovery(RecoveryOptions(lexicon=(first, second)))
    assert found.lexicon.prior("Success") == Prior("Success", "pride", 0.6, 0.55)
    assert found.lexicon.prior("Loss") == Prior("Loss", "relief", 0.4, 0.5)
    assert found.lexicon.prior("Achievement") == Prior("Achievement", "excitement", 0.9, 0.8)
    assert "Kite Surfing" in found.similarity.table
    plain = open_recovery()
    assert plain.lexicon.prior("Success") == Prior("Success", "happiness", 0.8, 0.7)
    assert "Kite Surfing" not in plain.similarity.table


@pytest.mark.parametrize(
    ("lexicon", "problem"),
    [
        ("table=nowhere.csv", "nowhere.csv: cannot be read"),
        ("glee=nowhere.csv", "'glee' is not one of"),
        ("nowhere.csv", "is not FORMAT=FILE"),
    ],
)
def test_a_wrong_lexicon_is_one_line(tmp_path, monkeypatch, lexicon, problem):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=problem) as raised:
        open_recovery(RecoveryOptions(lexicon=(lexicon,)))
    assert "\n" not in str(raised.value)


def test_given_subjects_take_the_place_of_a_source():
    found = open_recovery(given=(" Success ", "success", "New  Job"))
    assert found.source == GivenSubjects(("Success", "New Job"))
    with pytest.raises(UsageError, match="does not have 1 to 48 characters"):
        open_recovery(given=("Success", ""))
    with pytest.raises(UsageError, match="25 subjects are more than 24"):
        open_recovery(given=tuple(f"Subject {i}" for i in range(25)))


def test_no_given_subjects_are_no_subjects():
    assert open_recovery(given=()).source == GivenSubjects(())


def test_a_file_of_subjects_goes_before_the_named_lexicons(tmp_path):
    own = {"subject": "Success", "emotion": "relief", "polarity": 0.3, "intensity": 0.5}
    path = write(tmp_path / "own.json", json.dumps({"I won!": [own, "Loss"]}))
    named = table(tmp_path / "named.csv", "Success,pride,0.6,0.55", "Loss,relief,0.4,0.5")
    found = open_recovery(RecoveryOptions(subject_source=str(path), lexicon=(named,)))
    assert isinstance(found.source, FileSubjects)
    assert isinstance(found.source.fallback, TableSubjects)
    assert found.source.fallback.similarity is found.similarity
    assert found.lexicon.prior("Success") == Prior("Success", "relief", 0.3, 0.5)
    assert found.lexicon.prior("Loss") == Prior("Loss", "relief", 0.4, 0.5)
    assert found.source.propose(["I won!"])[0].subjects == ("Success", "Loss")


def test_a_file_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "own.json", '{"I won!": ["Loss"]}')
    found = open_recovery(RecoveryOptions(subject_source="~/own.json"))
    assert found.source.propose(["I won!"])[0].subjects == ("Loss",)


@pytest.mark.parametrize("source", ["nowhere.json", "LLM", "gpt-4", "", "~nobody-here/own.json"])
def test_a_source_that_is_not_there_is_one_line(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        UsageError, match=r"cannot be read: .*lexicon, llm or a JSON file"
    ) as raised:
        open_recovery(RecoveryOptions(subject_source=source))
    assert str(raised.value).startswith(f"{source or '.'}: ")
    assert "\n" not in str(raised.value)


# A language model


def llm(**options: object) -> RecoveryOptions:
    values = {"subject_source": "llm", "llm_model": "gpt-test", "allow_upload": True} | options
    return RecoveryOptions(**values)  # pyright: ignore[reportArgumentType]


def test_a_language_model_is_backed_by_the_table():
    found = open_recovery(llm(llm_base_url="http://127.0.0.1:1/v1"))
    assert isinstance(found.source, LLMSubjects)
    assert found.source.source == "llm:gpt-test"
    assert isinstance(found.source.fallback, TableSubjects)
    assert found.source.fallback.similarity is found.similarity
    assert found.notes == []


def test_a_language_model_needs_a_name():
    for name in (None, ""):
        with pytest.raises(UsageError, match=r"no language model is named .*--llm-model NAME"):
            open_recovery(llm(llm_model=name))


def test_text_leaves_only_with_consent():
    options = llm(allow_upload=False, llm_base_url="https://models.example/v1")
    with pytest.raises(UsageError, match=r"would be sent to .*models\.example.*--allow-upload"):
        open_recovery(options)


def test_a_language_model_needs_a_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UsageError, match="OPENAI_API_KEY") as raised:
        open_recovery(llm())
    assert "\n" not in str(raised.value)


def test_a_model_without_its_source_is_a_mistake():
    with pytest.raises(UsageError, match="--llm-model without --subject-source llm"):
        open_recovery(RecoveryOptions(llm_model="gpt-test"))


# A sentence encoder


def test_an_encoder_from_a_folder_is_used_for_all(tmp_path):
    folder = save_tiny_encoder(tmp_path, seed=0)
    found = open_recovery(RecoveryOptions(sentence_encoder=folder))
    assert found.similarity.encoder == folder
    (explanation,) = found.explain(["I am feeling thrilled!"])
    assert len(explanation.candidates) == 24
    assert {round(c.cosine, 3) for c in explanation.candidates} != {0.0}


def test_an_encoder_that_is_not_there_is_said_at_once(tmp_path):
    path = tmp_path / "nowhere"
    with pytest.raises(UsageError) as raised:
        open_recovery(RecoveryOptions(sentence_encoder=str(path)))
    assert str(raised.value) == (
        f"{path}: the sentence encoder is not there (give the folder of a saved model)"
    )


@pytest.mark.parametrize("missing", ["openai", "httpx2"])
def test_a_language_model_needs_its_extra(missing: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, missing, None)
    options = RecoveryOptions(subject_source="llm", llm_model="m", allow_upload=True)
    with pytest.raises(UsageError, match=rf"without {missing}.*'mreactor\[llm\]'"):
        open_recovery(options)
