"""What every command owes its user: help at once, and one clear line for what cannot be."""

import json
import subprocess
import sys
import time
from configparser import ConfigParser
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from mreactor_ref.command import line_now_and_then, one_line_errors

ROOT = Path(__file__).parent.parent
HEAVY = (
    *("torch", "transformers", "scipy", "onnx", "onnxruntime", "av", "matplotlib", "accelerate"),
    *("sentence_transformers", "openai", "numba", "ray", "pyarrow", "fastapi", "uvicorn"),
    *("pydantic", "c2pa"),
)


def entry_points() -> dict[str, tuple[str, str]]:
    setup = ConfigParser()
    setup.read(ROOT / "setup.cfg")
    lines = setup["options.entry_points"]["console_scripts"].strip().splitlines()
    pairs = (line.split(" = ") for line in lines)
    return {name: tuple(target.split(":")) for name, target in pairs}  # pyright: ignore


COMMANDS = entry_points()


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_waits_for_nothing_heavy(command: str):
    """Help must answer in half a second, and importing torch alone takes longer."""
    module, function = COMMANDS[command]
    script = f"""
import json, sys
from {module} import {function} as command
try:
    command(["--help"], prog_name="{command}")
except SystemExit as end:
    code = end.code
print(json.dumps([code, [name for name in {HEAVY!r} if name in sys.modules]]), file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert json.loads(done.stderr) == [0, []]
    assert done.stdout.startswith(f"Usage: {command}")


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("mreactor-infer", ["--input", "nowhere"], "nowhere"),
        ("mreactor-infer", ["--input", ".", "--samples", "0"], "--samples"),
        ("mreactor-export", ["--model", "maxi"], "maxi"),
        ("mreactor-eval", ["reactions", "--data", ".", "--model", "maxi"], "maxi"),
        ("mreactor-bench", ["throughput", "--model", "maxi"], "maxi"),
        ("mreactor-eval", ["control", "--data", ".", "--model", "maxi"], "maxi"),
        ("mreactor-priors", [""], "no words"),
        ("mreactor-priors", ["Hello", "--lexicon", "warriner=none.csv"], "none.csv"),
        ("mreactor-priors", ["Hello", "--subject-source", "none.json"], "none.json"),
        ("mreactor-priors", ["Hello", "--subject-source", "llm"], "--llm-model"),
        (
            "mreactor-priors",
            ["Hello", "--subject-source", "llm", "--llm-model", "m"],
            "--allow-upload",
        ),
        ("mreactor-train", ["--data", "nowhere", "--output", "run"], "nowhere"),
        ("mreactor-train", ["--data", ".", "--output", "run", "--config", "maxi"], "maxi"),
        ("mreactor-data", ["simulate", "--output", "d", "--train", "-1"], "--train"),
        ("mreactor-infer", ["--input", ".", "--shard", "0/2"], "no shard 0/2"),
        ("mreactor-infer", ["--input", ".", "--model", "nonesuch"], "no model 'nonesuch'"),
        ("mreactor-infer", ["--input", ".", "--output-format", "fbx"], "no format 'fbx'"),
        ("mreactor-infer", ["--input", ".", "--output-format", "parquet"], "form of a whole run"),
        ("mreactor-infer", ["--input", ".", "--ray-num-cpus", "2"], "--ray-num-cpus needs --ray"),
        ("mreactor-infer", ["--input", "memory://clips", "--ray"], "a URL that all of them see"),
        ("mreactor-infer", ["--input", "memory://clips"], "no clips found"),
        ("mreactor-infer", ["merge", "."], "has no manifests of shards"),
        ("mreactor-serve", ["--model", "maxi", "--port", "0"], "no model 'maxi'"),
        ("mreactor-serve", ["--queue", "0"], "--queue"),
        ("mreactor-serve", ["--api-key-file", "none"], "none: the key cannot be read"),
        (
            "mreactor-serve",
            ["--samples", "30", "--port", "0"],
            "samples is 30, more than a request",
        ),
        ("mreactor-convert", [".", "--to", "glb"], "is no run's folder"),
        ("mreactor-convert", [".", "--to", "webdataset"], "is no run's folder"),
        ("mreactor-export", ["--model", "."], "is a folder, not a checkpoint"),
        (
            "mreactor-bench",
            ["forms", "--model", "mini", "--random-weights", "base"],
            "--model and --random-weights: give one of them",
        ),
    ],
)
def test_what_cannot_be_ends_with_code_2_and_a_line(
    command: str, arguments: list[str], words: str, tmp_path: Path
):
    module, function = COMMANDS[command]
    script = f"import sys; from {module} import {function} as command; command()"
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def interrupted() -> None:
    with one_line_errors():
        raise KeyboardInterrupt


def test_ctrl_c_ends_any_command_with_130_and_a_line():
    result = CliRunner().invoke(click.command()(interrupted))
    assert (result.exit_code, result.output) == (130, "Interrupted\n")


def test_lines_of_progress_are_rare(monkeypatch: pytest.MonkeyPatch, capsys):
    clock = iter([0.0, 1.0, 31.0, 31.0, 40.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    say = line_now_and_then()
    for text in ("too soon", "now", "too soon again"):
        say(text)
    assert capsys.readouterr().err == "now\n"
