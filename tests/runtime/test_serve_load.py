"""Many clients at once: whoever is let in is answered, others are told when to come; the end."""

from __future__ import annotations

import io
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.engines import FakeEngine, TwoSubjects, fake_model
from fakes.jobs import BatchReactor, SlowEngine

from mreactor_runtime.reactor import Reactor
from mreactor_runtime.sampling_options import Sampling, changed
from mreactor_runtime.serve.limits import Limits

fake = pytest.importorskip("fakes.served", reason="the extra serve is not installed")
import httpx2  # noqa: E402 - of that extra's tests

SECONDS = 0.05  # that a clip takes
SAMPLING = changed(Sampling(), samples=1, steps=1)


def slow(seconds: float = SECONDS) -> Reactor:
    return Reactor(fake_model(), SlowEngine(seconds), TwoSubjects(), sampling=SAMPLING)


def face(frames: int) -> dict[str, tuple[str, bytes]]:
    content = io.BytesIO()
    np.save(content, np.random.default_rng(frames).normal(size=(frames, 58)).astype(np.float32))
    return {"face": ("a.npy", content.getvalue())}


def at_once(calls: int, call: Callable[[int], Any]) -> list[Any]:
    with ThreadPoolExecutor(calls) as pool:
        return list(pool.map(call, range(calls)))


def test_everything_that_is_taken_in_is_answered_and_the_rest_is_told_when_to_come():
    lengths = [10, 70, 130, 70]
    with fake.served(slow(), limits=Limits(queue=6)) as site:
        alone = {frames: site.post(face(frames)).content for frames in lengths}

        def patient(number: int) -> tuple[bytes, int]:
            refusals, frames = 0, lengths[number % len(lengths)]
            with httpx2.Client(base_url=site.address, timeout=60, trust_env=False) as client:
                while True:
                    response = client.post(fake.REACTIONS, files=face(frames))
                    if response.status_code == 200:
                        return response.content, refusals
                    assert response.status_code == 429
                    assert 1 <= int(response.headers["retry-after"]) <= 120
                    error = site.error(response)
                    assert (error["stage"], error["kind"]) == ("queue", "Too Many Requests")
                    refusals += 1
                    time.sleep(0.1)

        answers = at_once(40, patient)
        text = site.client.get("/metrics").text
        assert site.service.places.taken == 0
        assert list(site.service.folder.iterdir()) == []
    for number, (content, _) in enumerate(answers):
        assert content == alone[lengths[number % len(lengths)]]
    refusals = sum(count for _, count in answers)
    assert refusals > 0
    assert f'mreactor_requests_total{{method="POST",status="429"}} {refusals:.1f}' in text
    done = len(lengths) - 1 + 1 + 40
    assert f'mreactor_clips_total{{outcome="done"}} {done:.1f}' in text


def test_a_refusal_reaches_a_client_that_has_a_body_to_send():
    body = face(2000)  # 464 KB: more than fits between two sockets
    with fake.served(slow(0.5), limits=Limits(queue=1)) as site:
        place = site.post(face(10), wait=0).headers["location"]
        statuses = Counter(at_once(8, lambda _: site.post(body).status_code))
        assert statuses[429] >= 7
        assert sum(statuses.values()) == 8
        while site.client.get(f"{place}/result").status_code != 200:
            time.sleep(0.05)


def test_a_body_that_does_not_come_gives_its_place_back():
    head = b"POST /v1/reactions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: 2000000\r\n\r\n{"
    with fake.served(slow(), limits=Limits(queue=1, upload_seconds=0.3)) as site:
        host, port = site.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as late:
            late.sendall(head)
            assert late.recv(1000).startswith(b"HTTP/1.1 408 ")
        wait_for(lambda: site.service.places.taken == 0)
        with socket.create_connection((host, int(port))) as gone:
            gone.sendall(head)
            wait_for(lambda: site.service.places.taken == 1)
        wait_for(lambda: site.service.places.taken == 0)
        assert site.post(face(10)).status_code == 200


class Gated(BatchReactor):
    """A fake whose first batch waits until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.sampling, self.go = SAMPLING, threading.Event()

    def generate_batch(self, *arguments: Any) -> Any:
        self.go.wait(30)
        return super().generate_batch(*arguments)


def test_clips_of_one_bucket_and_sampling_are_sampled_together():
    reactor = Gated()
    asked = [(10, 0), (20, 0), (300, 0), (30, 0), (40, 1), (50, 0)]  # frames, seed
    with fake.served(reactor, batch_size=3) as site:
        first = site.post(face(9), wait=0).headers["location"]
        wait_for(lambda: site.client.get(first).json()["state"] == "sampling")
        places = []
        for frames, seed in asked:
            places.append(site.post(face(frames), wait=0, seed=seed).headers["location"])
            wait_for(lambda place=places[-1]: site.client.get(place).json()["state"] == "ready")
        reactor.go.set()
        for place in places:
            wait_for(lambda place=place: site.client.get(place).json()["state"] == "done")
    # the one that waits longest with its like, then the next: 10, 20, 30; 300; 40; 50
    assert reactor.batches == [1, 3, 1, 1, 1]


def test_a_clip_that_nobody_has_begun_is_not_done_when_it_is_forgotten():
    reactor = Gated()
    with fake.served(reactor, limits=Limits(queue=40)) as site:
        hold = threading.Event()
        site.service._readers.submit(hold.wait)
        place = site.post(face(10), wait=0).headers["location"]
        assert site.service.places.taken == 1
        assert site.client.delete(place).status_code == 204
        assert site.service.places.taken == 0
        hold.set()
        reactor.go.set()
        assert site.post(face(20)).status_code == 200
        assert reactor.batches == [1]
        assert list(site.service.folder.iterdir()) == []


def test_the_end_answers_what_was_taken_in_and_takes_no_more():
    with fake.served(slow(0.2)) as site, ThreadPoolExecutor(8) as pool:
        waiting = [pool.submit(site.post, face(10 + i)) for i in range(4)]
        wait_for(lambda: site.service.places.taken == 4)
        place = site.post(face(30), wait=0).headers["location"]
        drained = pool.submit(site.service.drain, 30.0)
        wait_for(lambda: site.service.places.closed)
        refused = site.post(face(10))
        assert (refused.status_code, refused.headers["connection"]) == (503, "close")
        ready = site.client.get("/health/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "draining")
        assert site.client.get("/health/live").status_code == 200
        assert [one.result().status_code for one in waiting] == [200] * 4
        wait_for(lambda: site.client.get(place).json()["state"] == "done")
        assert not drained.done()  # nobody has fetched it
        assert site.client.get(f"{place}/result").status_code == 200
        assert drained.result() is True


def test_an_end_that_takes_too_long_says_so():
    with fake.served(slow(1.0)) as site:
        site.post(face(10), wait=0)
        assert site.service.drain(0.1) is False


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


COMMAND = "from mreactor_runtime.serve.command import main; main()"


@contextmanager
def started(*arguments: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and its address."""
    options = ["--port", "0", "--no-warm-up", "--samples", "1", "--steps", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *options, *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"MREACTOR_API_KEY": "canary-key-0123456789"},
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if match := re.search(r"Listening at (\S+),", line):
                yield process, match[1]
                return
        raise AssertionError("it does not listen")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def test_sigterm_ends_in_order(checkpoint: Path):
    headers = {"Authorization": "Bearer canary-key-0123456789"}
    with (
        started("--model", checkpoint, "--engine", "torch") as (process, address),
        httpx2.Client(base_url=address, timeout=60, trust_env=False, headers=headers) as client,
    ):
        response = client.post(fake.REACTIONS, files=face(400), params={"wait": 0, "id": "canary"})
        assert response.status_code == 202
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: client.get("/health/ready").status_code == 503)
        place = f"{response.headers['location']}/result"
        wait_for(lambda: client.get(place).status_code == 200)
        assert process.wait(30) == 0
        assert process.stderr is not None
        said = process.stderr.read()
    assert said.splitlines()[-1] == "Ended in order"
    assert "canary" not in said


def test_an_end_in_a_hurry_has_the_signals_exit_code(checkpoint: Path):
    headers = {"X-API-Key": "canary-key-0123456789"}
    with started(
        *("--model", checkpoint, "--engine", "torch", "--drain-seconds", "0.1"),
    ) as (process, address):
        post = httpx2.post(
            f"{address}{fake.REACTIONS}", files=face(50), params={"wait": 0}, headers=headers,
            trust_env=False,
        )  # fmt: skip
        assert post.status_code == 202
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 143
        assert process.stderr is not None
        assert "1 clips were not answered or fetched in time" in process.stderr.read()


def test_an_address_that_is_taken_is_a_usage_error():
    from click.testing import CliRunner

    from mreactor_runtime.serve.command import main
    from mreactor_runtime.serve.server import listen

    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        done = CliRunner().invoke(main, ["--port", str(port)])
    assert done.exit_code == 2
    assert f"127.0.0.1:{port}: cannot listen: Address already in use" in done.output


def test_a_warm_up_that_fails_ends_the_start():
    from mreactor_ref.errors import MReactorError

    class Broken(FakeEngine):
        def encoder(self, **_: Any):
            raise RuntimeError("no")

    reactor = Reactor(fake_model(), Broken(), TwoSubjects(), sampling=SAMPLING)
    with (
        pytest.raises(MReactorError, match="no reactions can be made"),
        fake.served(reactor, warm=True),
    ):
        pass
