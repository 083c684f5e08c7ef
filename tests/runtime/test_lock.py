"""One run at a time in an output, shards side by side; what killed runs leave stops nobody."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.jobs import files_in, open_fake, reactor, run_options, write_faces

from mreactor_ref.errors import UsageError
from mreactor_runtime.run.devices import run_on_devices
from mreactor_runtime.run.job import run_job
from mreactor_runtime.run.lock import only_run
from mreactor_runtime.run.shard import WHOLE, Shard

QUICK = {"samples": 1, "steps": 1}
FIRST, SECOND = Shard(1, 2), Shard(2, 2)


def test_a_second_run_is_refused_with_the_process_of_the_first(tmp_path: Path) -> None:
    write_faces(tmp_path / "clips", {"a": 20})
    with only_run(tmp_path / "out", WHOLE):
        for run in (
            lambda: run_job(tmp_path / "clips", tmp_path / "out", reactor(), run_options(**QUICK)),
            lambda: run_on_devices(tmp_path / "clips", tmp_path / "out", ["cpu"], open_fake),
        ):
            with pytest.raises(UsageError, match="another run is writing there") as refused:
                run()
            assert f"(process {os.getpid()} on " in str(refused.value)
            assert refused.value.path == tmp_path / "out"
    assert files_in(tmp_path / "out") == set()


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        (FIRST, SECOND, True),
        (FIRST, FIRST, False),
        (FIRST, WHOLE, False),
        (WHOLE, FIRST, False),
        (WHOLE, WHOLE, False),
    ],
)
def test_shards_fit_beside_each_other_alone(
    tmp_path: Path, first: Shard, second: Shard, fits: bool
) -> None:
    with only_run(tmp_path, first):
        if fits:
            with only_run(tmp_path, second):
                pass
        else:
            with pytest.raises(UsageError), only_run(tmp_path, second):
                pass
    with only_run(tmp_path, second):
        pass
    assert files_in(tmp_path) == set()


@pytest.mark.parametrize("shard", [WHOLE, FIRST])
def test_the_lock_of_a_killed_process_stops_nobody(tmp_path: Path, shard: Shard) -> None:
    code = (
        "import os, sys; from pathlib import Path; from mreactor_runtime.run.lock import only_run;"
        "from mreactor_runtime.run.shard import Shard\n"
        f"with only_run(Path(sys.argv[1]), Shard({shard.index}, {shard.count})): "
        "os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert died.returncode == -9
    [left] = files_in(tmp_path)
    assert left.endswith(".lock")
    with only_run(tmp_path, WHOLE):
        pass
    assert files_in(tmp_path) == set()
