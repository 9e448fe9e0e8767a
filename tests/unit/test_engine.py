"""The Docker engine: found or refused, called with an API version that it supports, asked about images."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingMixIn, UnixStreamServer
from threading import Thread
from typing import Any

import pytest

from vcpu_ladder.environments.compose import engine as docker
from vcpu_ladder.environments.compose.engine import Engine, digest_of, spoken
from vcpu_ladder.errors import EnvironmentNotReady

SHA = "sha256:" + "a" * 64


class FakeEngine(ThreadingMixIn, UnixStreamServer):
    """An engine's API on a socket, for the versions ``oldest`` to ``newest``; ``asked`` are the paths."""

    daemon_threads = True

    def __init__(self, path: Path, oldest: str | None, newest: str, answers: dict[str, Any]) -> None:
        self.oldest, self.newest, self.answers = oldest, newest, answers
        self.asked: list[str] = []
        super().__init__(str(path), _Handler)

    def answer(self, path: str) -> tuple[int, Any]:
        self.asked.append(path)
        said = {"ApiVersion": self.newest, **({"MinAPIVersion": self.oldest} if self.oldest else {})}
        if path == "/version":
            return 200, said
        version, _, rest = path.removeprefix("/v").partition("/")
        minor = int(version.partition(".")[2])
        if not int((self.oldest or "1.0").partition(".")[2]) <= minor <= int(self.newest.partition(".")[2]):
            return 400, {"message": f"client version {version} is refused"}
        if rest not in self.answers:
            return 404, {"message": "no such thing"}
        answer = self.answers[rest]
        return (500, {"message": "out of order"}) if answer is None else (200, answer)


class _Handler(BaseHTTPRequestHandler):
    server: FakeEngine

    def do_GET(self) -> None:
        status, answer = self.server.answer(self.path)
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "socket"

    def log_message(self, format: str, *arguments: Any) -> None: ...


@pytest.fixture
def serving(tmp_path: Path) -> Callable[..., Any]:
    @contextmanager
    def serve(oldest: str | None, newest: str, **answers: Any) -> Iterator[tuple[Engine, FakeEngine]]:
        fake = FakeEngine(tmp_path / "docker.sock", oldest, newest, answers)
        Thread(target=fake.serve_forever, args=(0.01,), daemon=True).start()
        engine = Engine(str(tmp_path / "docker.sock"), "2.40")
        try:
            yield engine, fake
        finally:
            fake.shutdown()
            fake.server_close()

    return serve


@pytest.mark.parametrize(
    ("oldest", "newest", "expected"),
    [
        ("1.12", "1.41", "1.41"),  # Docker 20.10
        ("1.24", "1.47", "1.41"),
        ("1.44", "1.52", "1.44"),  # Docker 29
        ("1.44", "1.100", "1.44"),  # numbers, not text
        (None, "1.41", "1.41"),
    ],
)
def test_the_version_spoken_is_one_that_the_engine_knows(
    serving: Callable[..., Any], oldest: str | None, newest: str, expected: str
) -> None:
    with serving(oldest, newest, info={"ServerVersion": "x"}) as (engine, fake):
        assert engine.info == {"ServerVersion": "x"}
        engine.get("/info")
    assert fake.asked == ["/version", f"/v{expected}/info", f"/v{expected}/info"]


@pytest.mark.parametrize("newest", ["1.40", "1.9"])
def test_an_engine_older_than_what_this_was_written_for_is_refused(newest: str) -> None:
    with pytest.raises(EnvironmentNotReady, match=rf"speaks API {newest}, and 1\.41 is needed"):
        spoken(newest, "1.0")


def test_an_image_is_named_by_its_id_and_by_what_a_registry_calls_it(serving: Callable[..., Any]) -> None:
    pulled = {"Id": "sha256:1", "RepoDigests": [f"other/k6@sha256:{'b' * 64}", f"grafana/k6@{SHA}"]}
    images = {
        "images/grafana/k6:1.1.0/json": pulled,
        "images/built/json": {"Id": "sha256:2", "RepoDigests": []},
    }
    with serving("1.12", "1.41", **images) as (engine, _):
        assert engine.identity("grafana/k6:1.1.0") == {
            "name": "grafana/k6:1.1.0", "id": "sha256:1", "digest": SHA,
        }  # fmt: skip
        assert engine.identity("built") == {"name": "built", "id": "sha256:2", "digest": None}
        assert engine.identity("not-here") == {"name": "not-here", "id": None, "digest": None}


@pytest.mark.parametrize(
    "name", ["python:3.13", "python", f"python:3.13@{SHA}"], ids=["tag", "none", "tag and digest"]
)
def test_a_digest_is_the_one_of_the_same_repository(name: str) -> None:
    assert digest_of(name, [f"python@{SHA}"]) == SHA
    assert digest_of(name, [f"mirror:5000/python@{SHA}"]) is None
    assert digest_of("mirror:5000/python", [f"mirror:5000/python@{SHA}"]) == SHA
    assert digest_of(name, None) is None


def test_an_engine_in_trouble_is_not_taken_for_a_missing_image(serving: Callable[..., Any]) -> None:
    with serving("1.12", "1.41", **{"images/k6/json": None}) as (engine, _):
        with pytest.raises(EnvironmentNotReady, match="refuses GET /images/k6/json: out of order"):
            engine.image("k6")
        assert engine.image("not-here") is None


def test_a_remote_engine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/docker")
    monkeypatch.setattr(docker, "_output", lambda *words, **rest: "ssh://elsewhere")
    with pytest.raises(EnvironmentNotReady, match="ssh://elsewhere: not a socket on this machine"):
        Engine.find()


def test_compose_version_1_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {"context": "unix:///x.sock", "version": "20.10", "compose": "1.29.2"}
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/docker")
    monkeypatch.setattr(docker, "_output", lambda word, *words, **rest: said[word])
    with pytest.raises(EnvironmentNotReady, match=r"Compose 1\.29\.2 is too old"):
        Engine.find()


def test_an_engine_that_goes_away_instead_of_answering_is_not_ready(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "docker.sock"))
        listening.listen()
        Thread(target=lambda: listening.accept()[0].close()).start()
        with pytest.raises(EnvironmentNotReady, match="does not answer"):
            Engine(str(tmp_path / "docker.sock"), "2.40").get("/info")
