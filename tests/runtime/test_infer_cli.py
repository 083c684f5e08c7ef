import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fakes.engines import SAID, bundle_info, onnx_files, tiny_network, write_clips

from mreactor_ref.cache import CACHE_VARIABLE
from mreactor_ref.checkpoint import save_checkpoint
from mreactor_ref.data.clips import FeatureReader
from mreactor_ref.signals import SpeakerClip
from mreactor_runtime.bundle import write_bundle
from mreactor_runtime.cli import main

pytestmark = pytest.mark.usefixtures("quick_priors")


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A working folder with two clips, a bundle and a checkpoint."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    write_clips(Path("clips"), ("a", "deep/b"))
    write_bundle(Path("bundle"), bundle_info(), onnx_files())
    save_checkpoint(tiny_network(), Path("tiny.safetensors"))
    return tmp_path


def infer(*arguments: str, model: str = "bundle") -> Result:
    """Run the command in this process; `output` is stdout and stderr together."""
    given = ("--input", "clips", "--model", model, "--samples", "2", "--steps", "2", *arguments)
    return CliRunner().invoke(main, given)


def test_a_run_ends_with_a_summary_and_0(place):
    result = infer()
    assert result.exit_code == 0, result.output
    [summary] = result.stdout.splitlines()
    assert summary.startswith("2 of 2 clips done, 4 reactions in ")
    assert summary.endswith("2 without face; results in reactions")
    assert "Note: a has no face" in result.stderr
    with np.load(place / "reactions" / "deep" / "b.npz") as arrays:
        assert arrays["attributes"].shape == (2, 50, 25)


def test_every_option_reaches_the_run(place):
    luck = {"subject": "Luck", "emotion": "joy", "polarity": 0.7, "intensity": 0.5}
    Path("subjects.json").write_text(json.dumps({SAID: [luck]}))
    result = infer(
        *("--subject-source", "subjects.json", "--lexicon", "vader", "--explain-priors"),
        *("--semantic-threshold", "0.25", "--polarity-threshold", "0.75"),
        *("--intensity-threshold", "0.125"),
        *("--output", "out", "--engine", "torch", "--device", "cpu", "--seed", "-5"),
        *("--scheduler", "ddpm", "--guidance-scale", "1.25", "--smoothness", "-0.5"),
        *("--threads", "1", "--max-errors", "3"),
        model="tiny.safetensors",
    )
    assert result.exit_code == 0, result.output
    run = json.loads((place / "out" / "run.json").read_text())
    assert run["engine"] == "torch"
    assert run["arguments"] == {
        "input": "clips",
        "samples": 2,
        "seed": -5,
        "scheduler": "ddpm",
        "steps": 2,
        "guidance_scale": 1.25,
        "smoothness": -0.5,
        "max_errors": 3,
        "debug": False,
        "batch_size": None,
        "resume": True,
        "overlap": True,
        "shard": None,
        "timestep_spacing": "logsnr",
        "recovery": {
            "subject_source": "subjects.json",
            "llm_model": None,
            "llm_base_url": None,
            "allow_upload": False,
            "lexicon": ["vader"],
            "sentence_encoder": "minilm",
            "semantic_threshold": 0.25,
            "polarity_threshold": 0.75,
            "intensity_threshold": 0.125,
        },
        "reading": {
            "strict": False,
            "video_faces": True,
            "expression_model": None,
            "transcribe": {"model": None, "language": "auto", "compute_type": "default"},
        },
    }
    told = json.loads((place / "out" / "a.priors.json").read_text())
    assert [row["verdict"] for row in told[0]["candidates"]] == ["kept"]
    assert told[0]["thresholds"] == {"semantic": 0.25, "polarity": 0.75, "intensity": 0.125}
    assert told[0]["priors"] == [
        {"subject": "Luck", "emotion": "joy", "polarity": 0.7, "intensity": 0.5}
    ]
    [first, _] = (place / "out" / "manifest.jsonl").read_text().splitlines()
    assert json.loads(first)["reactions"][0]["subjects"][0] == "Luck"


def test_a_checkpoint_without_export_says_how_to_make_one(place):
    result = infer(model="tiny.safetensors")
    assert result.exit_code == 0, result.output
    [line] = [line for line in result.stderr.splitlines() if "mreactor-export" in line]
    assert "mreactor-export --model tiny.safetensors" in line


def test_a_report_are_the_pages_of_the_run(place):
    result = infer("--report")
    assert result.exit_code == 0, result.output
    index = place / "reactions" / "view" / "index.html"
    assert result.stdout.rstrip().endswith(f"to see them open {index.relative_to(place)}")
    assert '"src": "../../../clips/a.wav"'.replace(" ", "") in (
        index.with_name("clips") / "a.js"
    ).read_text(encoding="ascii")


def test_two_runs_give_the_same_bytes(place):
    for output in ("one", "two"):
        assert infer("--output", output, model="tiny.safetensors").exit_code == 0
    for name in ("a.npz", "deep/b.npz"):
        assert (place / "one" / name).read_bytes() == (place / "two" / name).read_bytes()


def test_quiet_says_nothing(place):
    result = infer("--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_some_bad_clips_end_with_3_and_their_names(place):
    Path("clips/bad.wav").write_bytes(b"not a sound")
    result = infer("--quiet")
    assert result.exit_code == 3
    assert result.output.startswith("Failed: clips/bad.wav: cannot be read as sound")
    assert len(result.output.splitlines()) == 1
    assert (place / "reactions" / "a.npz").is_file()


def test_too_many_bad_clips_end_with_4(place):
    for name in ("0", "1"):
        Path(f"clips/{name}.wav").write_bytes(b"not a sound")
    result = infer("--max-errors", "1")
    assert result.exit_code == 4
    assert "0 of 4 clips done, 2 failed, 2 not tried" in result.stdout
    assert infer("--max-errors", "2").exit_code == 3


@pytest.mark.parametrize("damaged", ["denoiser.onnx", "bundle.json"])
def test_a_damaged_bundle_ends_with_5_and_its_file(place, damaged):
    path = place / "bundle" / damaged
    path.write_bytes(path.read_bytes()[:-10])
    result = infer()
    assert result.exit_code == 5
    assert len(result.output.splitlines()) == 1
    assert f"Error: bundle/{damaged}: " in result.output


def test_a_damaged_checkpoint_ends_with_5(place):
    Path("tiny.safetensors").write_bytes(b"not a checkpoint")
    result = infer(model="tiny.safetensors")
    assert result.exit_code == 5
    assert "Error: tiny.safetensors: not a safetensors file" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--samples", "0"), "--samples"),
        (("--steps", "0"), "--steps"),
        (("--steps", "1001"), "--steps"),
        (("--threads", "0"), "--threads"),
        (("--max-errors", "-1"), "--max-errors"),
        (("--guidance-scale", "nan"), "--guidance-scale"),
        (("--guidance-scale", "-1"), "--guidance-scale"),
        (("--smoothness", "inf"), "--smoothness"),
        (("--scheduler", "magic"), "--scheduler"),
        (("--engine", "magic"), "--engine"),
        (("--polarity-threshold", "3"), "--polarity-threshold"),
        (("--lexicon", "liwc=none.dic"), "none.dic"),
        (("--sentence-encoder", "./none"), "./none"),
        (("--input", "no-such-folder"), "no-such-folder"),
        (("--model", "no-such-model"), "no model 'no-such-model'"),
        (("--model", "clips"), "no bundle"),
        (("--output", "tiny.safetensors/below"), "cannot be written"),
        (("--engine", "torch"), "no checkpoint for the torch engine"),
        (("--shard", "3/2"), "there is no shard 3/2"),
        (("--shard", "half"), "shard is 'half', not like 1/4"),
        (("--batch-size", "0"), "neither auto nor a number from 1"),
        (("--devices", "99"), "device 99 does not exist"),
        (("--devices", "tpu"), "device 'tpu' is neither cpu nor"),
        (("--devices", "0", "--device", "cpu"), "give one of them"),
    ],
)
def test_a_wrong_option_ends_with_2_and_its_name(place, arguments, message):
    Path("empty").mkdir()
    result = infer(*arguments)
    assert result.exit_code == 2
    assert message in result.output
    assert "Traceback" not in result.output
    assert not Path("reactions/manifest.jsonl").exists()


def test_inputs_without_clips_end_with_2(place):
    Path("empty").mkdir()
    result = CliRunner().invoke(main, ["--input", "empty"])
    assert result.exit_code == 2
    assert "no clips found" in result.output


def test_anything_else_ends_with_1_and_a_traceback_only_with_debug(place, monkeypatch):
    def broken(*_: object) -> SpeakerClip:
        raise RuntimeError("out of luck")

    monkeypatch.setattr("mreactor_runtime.run.job.find_clips", broken)
    result = infer()
    assert result.exit_code == 1
    assert result.output == (
        "Error: RuntimeError: out of luck (run again with --debug to see where)\n"
    )
    result = infer("--debug")
    assert result.exit_code == 1
    assert "Traceback" in result.output
    assert result.output.endswith("Error: RuntimeError: out of luck\n")


def test_ctrl_c_ends_with_130_and_leaves_whole_files(place, monkeypatch):
    read = FeatureReader.read

    def interrupted(self, files):
        if files.id == "deep/b":
            raise KeyboardInterrupt
        return read(self, files)

    monkeypatch.setattr(FeatureReader, "read", interrupted)
    result = infer("--quiet")
    assert result.exit_code == 130
    assert result.output == "Interrupted: what is done is kept; run it again to go on\n"
    left = sorted(path.name for path in (place / "reactions").iterdir())
    assert left == ["a.npz", "manifest.jsonl", "run.json"]


def test_plot_draws_a_timeline_a_clip(place):
    result = infer("--plot")
    assert result.exit_code == 0, result.output
    for name in ("a.png", "deep/b.png"):
        assert (place / "reactions" / name).read_bytes().startswith(b"\x89PNG")


def test_plot_without_matplotlib_says_what_to_install(place, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    result = infer("--plot")
    assert result.exit_code == 2
    assert 'pip install "mreactor[plot]"' in result.output


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from mreactor_runtime.cli import main;"
        "main(['--help'], standalone_mode=False);"
        "heavy = {'torch', 'onnxruntime', 'scipy', 'transformers', 'rich', 'av', 'matplotlib'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--guidance-scale" in found.stdout
    assert found.stdout.splitlines()[-1] == "[]"


def test_the_same_command_goes_on_and_shards_come_together(place):
    assert infer("--quiet", "--output", "whole").exit_code == 0
    for i in (1, 2):
        assert infer("--quiet", "--shard", f"{i}/2").exit_code == 0
    result = infer("--no-overlap", "--batch-size", "2")
    assert result.exit_code == 0, result.output
    said = "All 2 clips were done before (--no-resume does them again); results in reactions\n"
    assert result.stdout == said
    empty = infer("--shard", "3/3", "--output", "third")
    assert empty.stdout.startswith("0 of 0 clips done, ")
    for name in ("a.npz", "deep/b.npz"):
        assert (place / "reactions" / name).read_bytes() == (place / "whole" / name).read_bytes()
    assert not list(Path("reactions").glob("*-of-*"))
    again = infer("--no-resume", "--quiet")
    assert again.exit_code == 0
    assert json.loads(Path("reactions/run.json").read_text())["done"] == 2


def test_a_changed_option_does_all_again_and_says_why(place):
    infer("--quiet")
    result = infer("--seed", "4")
    assert "Note: what is there already is done again" in result.stderr
    assert "seed was 0, now 4" in result.stderr
    assert result.stdout.startswith("2 of 2 clips done, 4 reactions")


@pytest.mark.slow
def test_two_cpu_processes_leave_what_one_leaves(place):
    infer("--quiet", "--output", "one", model="tiny.safetensors")
    result = infer("--devices", "cpu,cpu", model="tiny.safetensors")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("2 of 2 clips done, 4 reactions")
    for name in ("a.npz", "deep/b.npz"):
        assert (place / "reactions" / name).read_bytes() == (place / "one" / name).read_bytes()
    run = json.loads(Path("reactions/run.json").read_text())
    assert [device["done"] for device in run["devices"]] == [1, 1]
