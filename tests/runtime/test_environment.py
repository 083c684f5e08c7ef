"""What a report of a bug holds."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_runtime.env_cli import main
from mreactor_runtime.environment import OPTIONAL, describe_environment


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    (tmp_path / "kept").write_bytes(b"x" * 2**20)
    return tmp_path


def test_facts_name_versions_engines_and_the_cache(cache):
    import torch

    facts = describe_environment()
    assert facts["packages"]["torch"] == torch.__version__
    assert facts["cache"] == {"folder": str(cache), "MiB": 1.0}
    assert "mreactor-export --model mini" in facts["models"]["mini"]
    assert "torch" in facts["models"]["mini"]


def test_what_is_missing_says_how_to_get_it(cache, monkeypatch):
    monkeypatch.setattr("mreactor_runtime.environment.versions", lambda *_: {})
    packages = describe_environment()["packages"]
    assert set(packages) == set(OPTIONAL)
    assert packages["openvino"] == 'not installed (pip install "mreactor[openvino]")'


def test_the_command_prints_text_and_json(cache):
    text = CliRunner().invoke(main, [])
    assert text.exit_code == 0
    assert f"folder: {cache}" in text.output
    facts = json.loads(CliRunner().invoke(main, ["--json"]).output)
    assert facts["cache"]["folder"] == str(cache)
