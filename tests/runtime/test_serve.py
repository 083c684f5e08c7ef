"""The service over HTTP: the bytes of a run, all forms, jobs, and an answer to what is wrong."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.engines import TwoSubjects
from fakes.jobs import run_options, write_faces

from mreactor_runtime.forms import SUFFIXES
from mreactor_runtime.provenance import Provenance
from mreactor_runtime.reactor import Reactor
from mreactor_runtime.run.job import run_job
from mreactor_runtime.serve.limits import Limits

if TYPE_CHECKING:
    from fakes.served import Served

fake = pytest.importorskip("fakes.served", reason="the extra serve is not installed")
REACTIONS, served = fake.REACTIONS, fake.served
EXAMPLES = Path(__file__).parents[2] / "examples" / "clips"
LIMITS = Limits(upload_bytes=2**20, clip_seconds=20, samples=4, steps=5, kept_jobs=2)
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def reactor(checkpoint: Path) -> Reactor:
    return Reactor.open(checkpoint, source=TwoSubjects(), engine="torch", samples=2, steps=2)


@pytest.fixture(scope="module")
def site(reactor: Reactor) -> Iterator[Served]:
    with served(reactor, limits=LIMITS) as site:
        yield site


def face(frames: int = 30) -> tuple[str, bytes]:
    """An npy of a face: its name, and its content."""
    content = io.BytesIO()
    np.save(content, np.random.default_rng(0).normal(size=(frames, 58)).astype(np.float32))
    return "a.npy", content.getvalue()


def attributes(width: int = 25, frames: int = 30) -> list[list[float]]:
    return np.zeros((frames, width)).tolist()


def test_the_same_clip_gives_the_bytes_of_a_run(site: Served, reactor: Reactor, tmp_path: Path):
    write_faces(tmp_path / "clips", {"deep/a": 40})
    sound = (EXAMPLES / "good_news.wav").read_bytes()
    (tmp_path / "clips/deep/a.wav").write_bytes(sound)
    options = run_options(seed=7, samples=3, steps=2)
    run_job(tmp_path / "clips", tmp_path / "out", reactor, options)
    files = {
        "face": ("x.npy", (tmp_path / "clips/deep/a.npy").read_bytes()),
        "sound": ("y.wav", sound),
    }
    response = site.post(files, id="deep/a", seed=7, samples=3)
    assert response.status_code == 200
    assert response.content == (tmp_path / "out/deep/a.npz").read_bytes()
    other = site.post(files, id="deep/a", seed=8, samples=3)
    assert other.content != response.content


def test_the_name_of_the_first_file_is_the_clips_where_none_is_given(site: Served):
    name, content = face()
    one = site.post({"face": ("../../etc/good news.npy", content)})
    two = site.post({"face": (name, content)}, id="good news")
    assert one.content == two.content
    assert "good%20news.npz" in one.headers["content-disposition"]


def test_every_answer_says_that_it_is_generated(site: Served):
    response = site.post({"face": face()}, seed=3)
    told = Provenance.from_json(response.headers["mreactor-provenance"])
    with np.load(io.BytesIO(response.content), allow_pickle=False) as arrays:
        assert Provenance.from_json(str(arrays["provenance"])) == told
    assert (told.clip, told.seed) == ("a", 3)
    assert "a face" not in response.headers["mreactor-warnings"]
    assert "25 fps" in response.headers["mreactor-warnings"]


def test_one_file_comes_as_it_is_and_several_in_a_zip(site: Served):
    glb = site.post({"face": face()}, format="glb", reaction=1)
    assert glb.content.startswith(b"glTF")
    assert glb.headers["content-type"] == "model/gltf-binary"
    every = site.post({"face": face()}, format=",".join(["npz", *SUFFIXES]))
    with zipfile.ZipFile(io.BytesIO(every.content)) as archive:
        names = archive.namelist()
        about = json.loads(archive.read("a.reaction1.csv.about.json"))
        assert archive.read("a.reaction1.glb") == glb.content
    assert len(names) == 1 + 2 * (len(SUFFIXES) + 3)  # three are tables
    assert about["seed"] == 0


def test_features_are_a_clip_too(site: Served):
    said = [{"start": 0.0, "end": 1.0, "text": "I lost my keys."}]
    body = {"fps": 25.0, "attributes": attributes(), "utterances": said}
    response = site.client.post(REACTIONS, json=body, params={"samples": 1, "id": "x"})
    assert response.status_code == 200
    with np.load(io.BytesIO(response.content)) as arrays:
        assert arrays["attributes"].shape == (1, 30, 25)


def test_a_job_is_asked_for_until_it_is_done_and_then_forgotten(site: Served):
    response = site.post({"face": face()}, wait=0, format="vrma", reaction=0)
    assert response.status_code == 202
    place = response.headers["location"]
    while (answer := site.client.get(f"{place}/result")).status_code == 202:
        assert answer.headers["retry-after"] == "1"
    assert answer.content.startswith(b"glTF")
    told = site.client.get(place).json()
    assert (told["state"], told["clip"]) == ("done", "a")
    assert told["provenance"]["ai_generated"] is True
    assert site.client.delete(place).status_code == 204
    assert site.error(site.client.get(place))["stage"] == "job"


def test_a_job_that_fails_says_why(site: Served):
    response = site.post({"face": ("a.npy", b"broken")}, wait=0)
    place = response.headers["location"]
    while (answer := site.client.get(f"{place}/result")).status_code == 202:
        pass
    assert answer.status_code == 422
    assert site.client.get(place).json()["state"] == "failed"
    assert site.client.get(place).json()["error"] == site.error(answer)


def test_jobs_are_kept_in_a_number(site: Served):
    places = []
    for _ in range(3):
        places.append(site.post({"face": face()}, wait=0).headers["location"])
        while site.client.get(f"{places[-1]}/result").status_code == 202:
            pass
    states = [site.client.get(place).status_code for place in places]
    assert states == [404, 200, 200]


@pytest.mark.parametrize(
    ("files", "status", "words"),
    [
        ({"sound": ("a.wav", b"RIFF")}, 422, "cannot be read as sound"),
        ({"face": ("a.npy", b"\x93NUMPY")}, 422, "clip.npy"),
        ({"sound": ("a.exe", b"MZ")}, 415, "no suffix that is known"),
        ({"sound": ("", b"MZ")}, 422, "something else than files"),
        ({"words": ("a.txt", b"Hello")}, 422, "no clip can be read from its files"),
        ({"picture": ("a.png", b"")}, 422, "something else than files named sound"),
        ([("sound", ("a.wav", b"1")), ("sound", ("b.mp3", b"2"))], 422, "more files of a sound"),
        ([("face", ("a.npy", b"1"))] * 3, 422, "more files of a face"),
        ({"face": face(501)}, 422, "lasts 20.0 s, more than 20 s"),
        ({"sound": ("a.wav", bytes(2**20))}, 413, "larger than 1048576 bytes"),
    ],
)
def test_wrong_files_are_named(files, status: int, words: str, site: Served):
    response = site.post(files)
    assert response.status_code == status
    error = site.error(response)
    assert words in f"{error['path']}: {error['message']}"
    assert str(site.service.folder) not in response.text
    assert list(site.service.folder.iterdir()) == []
    assert site.service.places.taken == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"samples": 5}, "samples is 5, more than 4"),
        ({"samples": 0}, "samples"),
        ({"steps": 6}, "steps is 6, more than 5"),
        ({"reaction": 2}, "reaction is 2, more than 1"),
        ({"seed": "x"}, "seed"),
        ({"sampels": 3}, "sampels"),
        ({"format": "fbx"}, "there is no format 'fbx'"),
        ({"format": ","}, "no format is given"),
        ({"format": "glb", "fps": 1000}, "fps is 1000, not 1 to 240"),
        ({"scheduler": "heun"}, "scheduler is 'heun'"),
        ({"guidance_scale": "nan"}, "guidance_scale"),
        ({"id": "../a"}, "is no path below a folder"),
        ({"id": "/a"}, "is no path below a folder"),
        ({"id": ""}, "has no letters"),
        ({"id": "a\n"}, "cannot be printed"),
        ({"wait": -1}, "wait"),
    ],
)
def test_wrong_options_are_named(options, words: str, site: Served):
    response = site.post({"face": face()}, **options)
    assert response.status_code == 422
    assert words in site.error(response)["message"]
    assert site.service.places.taken == 0
    assert list(site.service.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON"),
        (b'{"fps": 25}', "have no stream"),
        (b'{"fps": 24, "sound": [[1]]}', "have 24 frames a second, not 25"),
        (b'{"fps": 25, "sound": [[1]]}', "have sound of 1 numbers a frame, not 78"),
        (b'{"fps": 25, "sound": []}', "have sound of no numbers a frame"),
        (b'{"fps": 25, "sound": [["x"]]}', "sound.0.0"),
        (b'{"fps": 25, "sounds": []}', "sounds: Extra"),
        (json.dumps({"fps": 25, "attributes": [[1e39] * 25]}).encode(), "that are not finite"),
        (json.dumps({"fps": 25, "attributes": attributes(frames=501)}).encode(), "more than 20 s"),
        (
            json.dumps(
                {"fps": 25, "attributes": attributes(), "coefficients": attributes(58, 9)}
            ).encode(),
            "several lengths: coefficients 9, attributes 30",
        ),
    ],
)
def test_wrong_features_are_named(content: bytes, words: str, site: Served):
    response = site.client.post(REACTIONS, content=content, headers=JSON)
    assert response.status_code == 422
    assert words in site.error(response)["message"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "content", "status"),
    [
        ("POST", REACTIONS, {}, b"hello", 415),
        ("POST", REACTIONS, {"Content-Type": "multipart/form-data"}, b"hello", 400),
        ("POST", REACTIONS, {"Content-Type": "multipart/form-data; boundary=x"}, b"hello", 400),
        ("POST", REACTIONS, {"Content-Type": "multipart/form-data; boundary=x"}, b"--x--", 422),
        ("PUT", REACTIONS, {}, b"", 405),
        ("GET", "/v1/jobs/none", {}, b"", 404),
        ("GET", "/nothing", {}, b"", 404),
    ],
)
def test_wrong_requests_have_an_answer(method, path, headers, content, status, site: Served):
    response = site.client.request(method, path, headers=headers, content=content)
    assert response.status_code == status
    assert site.error(response)["stage"] in ("request", "job")


def test_a_body_without_a_length_is_bounded_too(site: Served):
    def pieces() -> Iterator[bytes]:
        for _ in range(20):
            yield bytes(2**17)

    response = site.client.post(REACTIONS, content=pieces(), headers=JSON)
    assert response.status_code == 413


def test_an_error_of_ours_is_in_the_log_and_not_in_the_answer(
    site: Served, reactor: Reactor, monkeypatch: pytest.MonkeyPatch, caplog
):
    def broken(*_: object) -> None:
        raise RuntimeError("secret place /srv/model")

    monkeypatch.setattr(reactor, "generate_batch", broken)
    response = site.post({"face": face()})
    assert response.status_code == 500
    assert site.error(response)["stage"] == "sample"
    assert "secret" not in response.text
    assert "secret place" in caplog.text
    monkeypatch.undo()
    assert site.post({"face": face()}).status_code == 200  # and the next one is done


def test_who_watches_over_it_is_told(site: Served):
    assert site.client.get("/health/live").json() == {"status": "live"}
    assert site.client.get("/health/ready").json()["status"] == "ready"
    site.post({"face": face()})
    text = site.client.get("/metrics").text
    assert 'mreactor_requests_total{method="POST",status="200"}' in text
    assert 'mreactor_clips_total{outcome="done"}' in text
    assert 'mreactor_stage_seconds_count{stage="sample"}' in text
    assert "mreactor_taken_clips 0.0" in text


def test_the_page_explains_everything_without_a_network(site: Served):
    page = site.client.get("/docs").text
    assert "http://" not in page
    assert "https://" not in page
    described = site.client.get("/openapi.json").json()
    assert set(described["paths"][REACTIONS]["post"]["responses"]) >= {"200", "202", "422", "429"}
    for name in re.findall(r'"\$ref": "([^"]*)"', json.dumps(described)):
        assert name.removeprefix("#/components/schemas/") in described["components"]["schemas"]
    body = described["paths"][REACTIONS]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "application/json"}
    example = body["application/json"]["example"]
    assert site.client.post(REACTIONS, json=example).status_code == 200


def test_a_key_is_asked_for_everywhere_but_for_health(reactor: Reactor, caplog):
    key = "canary-key-0123456789"
    with served(reactor, key=key) as site:
        assert site.client.get("/health/ready").status_code == 200
        for headers in ({}, {"Authorization": "Bearer no"}, {"X-API-Key": key[:-1]}):
            response = site.client.post(REACTIONS, files={"face": face()}, headers=headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert site.client.get("/metrics", headers=headers).status_code == 401
            assert site.client.get("/v1/jobs/x", headers=headers).status_code == 401
        for headers in ({"Authorization": f"Bearer {key}"}, {"X-API-Key": key}):
            response = site.client.post(REACTIONS, files={"face": face()}, headers=headers)
            assert response.status_code == 200
    assert key not in caplog.text
