"""The tables of `mreactor-priors`, and the same as JSON."""

import json

import pytest
from click.testing import CliRunner

from mreactor_ref.cli import priors

pytestmark = pytest.mark.usefixtures("quick_priors")

SEVEN = "Achievement,University Acceptance,Success,Adventure,Energy Burst,Overreaction,Future Plans"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(priors, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_the_papers_example_is_shown_stage_by_stage():
    text = run("I am feeling thrilled!", "--subjects", SEVEN)
    lines = text.splitlines()
    assert lines[0] == '"I am feeling thrilled!"'
    assert "similarity >= 0.5, gap <= 0.5, intensity >= 0.5" in lines[1]
    rows = [line.rsplit(maxsplit=1) for line in lines[4:11]]
    verdicts = {row[0].split("  ")[0].strip(): row[1] for row in rows}
    assert {name for name, verdict in verdicts.items() if verdict == "kept"} == {
        "Achievement",
        "University Acceptance",
        "Success",
    }
    assert sorted(lines[13:]) == [
        "  Achievement: excitement, polarity +0.90, intensity 0.80",
        "  Success: happiness, polarity +0.80, intensity 0.70",
        "  University Acceptance: joy, polarity +0.70, intensity 0.60",
    ]
    assert len({line.rindex("  ") for line in lines[3:11]}) == 1  # columns stand in line


def test_json_has_scores_thresholds_and_verdicts():
    [first, second] = json.loads(
        run(
            "We won!", "Oh.", "--subjects", "Victory, qwxz", "--json", "--semantic-threshold", "0.9"
        )
    )
    assert (first["utterance"], second["utterance"]) == ("We won!", "Oh.")
    assert first["thresholds"] == {"semantic": 0.9, "polarity": 0.5, "intensity": 0.5}
    victory, unknown = first["candidates"]
    assert victory["verdict"] == "kept"
    assert victory["similarity"] > 0.9 > victory["cosine"]
    assert victory["gap"] == pytest.approx(abs(victory["polarity"] - first["polarity"]), abs=1e-4)
    assert (unknown["verdict"], unknown["lexicon"]) == ("unknown", None)
    assert [prior["subject"] for prior in first["priors"]] == ["Victory"]
    assert [prior["subject"] for prior in second["priors"]] == ["own sentiment"]


def test_notes_go_to_stderr():
    done = CliRunner().invoke(priors, ["word " * 300, "--subjects", "Success"])
    assert done.exit_code == 0
    assert "Note: an utterance has 300 words" in done.stderr
    assert "Note" not in done.stdout
