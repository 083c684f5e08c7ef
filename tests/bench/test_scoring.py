"""What `mreactor-eval reactions` prints beside the means, and `mreactor-bench metrics`."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from mreactor_bench.bench_cli import main
from mreactor_bench.eval_cli import evaluate
from mreactor_bench.quality_tables import latex_rows
from mreactor_ref.data.simulated.dataset import write_dataset
from mreactor_ref.metrics.table import MEASURES

pytestmark = pytest.mark.usefixtures("quick_priors")

CLIPS = [f"test/session-{n:04d}/clip-0" for n in range(4)]


@pytest.fixture(scope="module")
def dyads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dyads") / "simulated"
    write_dataset(root, {"train": 2, "test": 4}, seed=99, listeners=2)
    return root


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MREACTOR_CACHE", str(tmp_path / "cache"))


def score(dyads: Path, *options: str) -> Result:
    fixed = ["--samples", "2", "--steps", "2", "--resamples", "200"]
    return CliRunner().invoke(evaluate, ["reactions", "--data", str(dyads), *fixed, *options])


def groups(path: Path, rows: str) -> str:
    path.write_text(f"clip,gender\n{rows}")
    return str(path)


def test_intervals_groups_realism_and_latex(dyads: Path, tmp_path: Path):
    rng = np.random.default_rng(0)
    for name in ("real", "generated"):
        np.save(tmp_path / f"{name}.npy", rng.random((20, 3)))
    rows = "".join(f"{clip},{'fm'[n % 2]}\n" for n, clip in enumerate(CLIPS))
    given = ["--groups", groups(tmp_path / "groups.csv", rows), "--latex"]
    given += ["--features", str(tmp_path / "real.npy"), str(tmp_path / "generated.npy")]
    done = score(dyads, *given, "--output", str(tmp_path / "quality.json"))
    assert done.exit_code == 0, done.output
    assert "| predictor | FRCorr | FRDist | FRDiv | FRVar | FRDvs | FRSyn | FRRea |" in done.output
    assert "mini by gender, with intervals:" in done.output
    assert "| gender | clips | FRCorr |" in done.output
    assert "| largest gap | - | " in done.output
    assert r"B\_MeanFr & " in done.output
    report = json.loads((tmp_path / "quality.json").read_text())
    means, intervals = report["rows"]["mini"], report["intervals"]["mini"]
    assert list(intervals) == list(MEASURES)
    for name, ends in intervals.items():
        assert ends["low"] <= means[name] <= ends["high"]
    (division,) = report["divisions"]
    assert [group["clips"] for group in division["groups"].values()] == [2, 2]
    assert list(report["by_clip"]) == CLIPS
    values = [clip["FRCorr"] for clip in report["by_clip"].values()]
    assert np.mean(values) == pytest.approx(means["FRCorr"])
    both = [group["means"]["FRCorr"] for group in division["groups"].values()]
    assert np.mean(both) == pytest.approx(means["FRCorr"])
    gap = division["gaps"]["FRCorr"]
    assert gap["difference"] == pytest.approx(max(both) - min(both))


def test_an_edition_of_the_challenge(dyads: Path, tmp_path: Path):
    done = score(
        dyads, "--compat", "react2025", "--limit", "2", "--output", str(tmp_path / "q.json")
    )
    assert done.exit_code == 0, done.output
    assert "2 clips of test, 2 reactions each, as the code of react2025 computes" in done.output
    report = json.loads((tmp_path / "q.json").read_text())
    assert list(report["rows"]) == ["mini", "B_Random", "B_Mime", "B_MeanFr"]
    assert "FRDvs" not in report["rows"]["mini"]
    assert report["setting"]["compat"] == "react2025"


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ("test/nobody,f\n", "line 2: there is no clip 'test/nobody'"),
        (f"{CLIPS[0]},f\n", "1 of 2 clips have no row, such as 'test/session-0001/clip-0'"),
    ],
)
def test_bad_groups_are_one_line_before_anything_is_generated(
    dyads: Path, tmp_path: Path, rows: str, problem: str
):
    path = tmp_path / "groups.csv"
    done = score(dyads, "--limit", "2", "--groups", groups(path, rows))
    assert done.exit_code == 2
    (line,) = [line for line in done.output.splitlines() if problem in line]
    assert str(path) in line
    assert "Traceback" not in done.output


def test_clips_beyond_the_limit_may_have_a_group(dyads: Path, tmp_path: Path):
    rows = "".join(f"{clip},f\n" for clip in CLIPS)
    path = groups(tmp_path / "groups.csv", rows)
    assert score(dyads, "--limit", "2", "--groups", path).exit_code == 0


def test_latex_rows_have_the_columns_and_decimals_of_the_challenge():
    row = {"FRCorr": 1.234, "FRDist": 90.5, "FRDiv": 0.12345, "FRVar": 0.05, "FRSyn": 44.0}
    assert latex_rows({"B_Mime": row}) == (
        r"B\_Mime & 1.23 & 90.50 & 0.1235 & 0.0500 & - & - & 44.00 \\"
    )


def test_speed_is_measured_on_what_gives_the_same_numbers(tmp_path: Path):
    sizes = ["--samples", "2", "--frames", "200", "--real", "3", "--pairs", "1"]
    done = CliRunner().invoke(main, ["metrics", *sizes, "--output", str(tmp_path / "m.json")])
    assert done.exit_code == 0, done.output
    report = json.loads((tmp_path / "m.json").read_text())
    assert set(report["speed"]) == {"simulated", "random"}
    for speeds in report["speed"].values():
        assert list(speeds) == ["FRCorr", "FRDist", "FRSyn"]
        for speed in speeds.values():
            assert speed["difference"] <= 1e-6
            assert speed["ours"] > 0
