"""The Docker engine of this machine: found, asked over its socket, and driven through Compose.

What only reads or touches one container goes over the socket, at a millisecond a call, because the
runner asks while it measures; what needs compose.yaml goes through ``docker compose``.
"""

from __future__ import annotations

import base64
import json
import os
import platform
import shutil
import signal
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import httpx

from vcpu_ladder import paths
from vcpu_ladder.errors import EnvironmentNotReady

_API = "/v1.41"  # of engine 20.10
_FIND_S = 20.0
COMPOSE_S = 120.0
BUILD_S = 1200.0
_COPY_S = 600.0
PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
_REMEDY = "start Docker, or choose the other environment: ENVIRONMENT=native"


@dataclass(frozen=True)
class Engine:
    """An engine that answered. Its socket is on this machine, so its published ports are too."""

    socket: str
    compose_version: str

    @classmethod
    def find(cls) -> Engine:
        """The engine that ``docker`` is set to. Raises EnvironmentNotReady: none, remote, no Compose v2."""
        if shutil.which("docker") is None:
            raise EnvironmentNotReady("the docker command is not installed", next_command=_REMEDY)
        host = _output("context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
        if not host.startswith("unix://"):
            raise EnvironmentNotReady(
                f"docker is set to {host}: not a socket on this machine, where the load would have to go",
                next_command="docker context use default; unset DOCKER_HOST",
            )
        _output("version", "--format", "{{.Server.Version}}")
        compose = _output("compose", "version", "--short")
        if compose.removeprefix("v").startswith("1."):
            raise EnvironmentNotReady(f"Docker Compose {compose} is too old: v2 is needed")
        engine = cls(host.removeprefix("unix://"), compose)
        engine.get("/info")
        return engine

    @cached_property
    def _client(self) -> httpx.Client:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=4)
        return httpx.Client(
            transport=httpx.HTTPTransport(uds=self.socket, limits=limits), base_url="http://docker" + _API
        )

    def call(
        self, method: str, path: str, *, timeout_s: float | None = 30.0, **request: Any
    ) -> httpx.Response:
        """One call of the engine's API, whatever status comes.

        Raises EnvironmentNotReady when the engine does not answer.
        """
        try:
            return self._client.request(method, path, timeout=timeout_s, **request)
        except httpx.HTTPError as error:
            raise EnvironmentNotReady(
                f"the Docker engine does not answer: {error}", next_command=_REMEDY
            ) from None

    def demand(self, method: str, path: str, **request: Any) -> httpx.Response:
        """``call``, and EnvironmentNotReady with the engine's own words for any failure."""
        answer = self.call(method, path, **request)
        if answer.is_error:
            raise EnvironmentNotReady(f"the Docker engine refuses {method} {path}: {_words(answer)}")
        return answer

    def get(self, path: str, **query: Any) -> Any:
        return self.demand("GET", path, params=query).json()

    @cached_property
    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/info")
        return found

    @property
    def on_this_kernel(self) -> bool:
        """Whether containers are processes of this machine, not of a virtual machine on it."""
        return platform.system() == "Linux" and self.info["KernelVersion"] == platform.release()

    def ask(self, image: str, project: str, *command: str) -> str:
        """What a program of an image prints, without network, in a container that is gone after."""
        guard = ["--rm", "--network", "none", "--label", f"{PROJECT}={project}", "--entrypoint", command[0]]
        return _output("run", *guard, image, *command[1:])

    def image(self, name: str) -> dict[str, Any] | None:
        answer = self.call("GET", f"/images/{name}/json")
        return None if answer.status_code == 404 else dict(answer.json())

    def compose(
        self,
        project: str,
        files: Sequence[Path],
        arguments: Sequence[str],
        variables: Mapping[str, str],
        timeout_s: float = COMPOSE_S,
    ) -> str:
        """``docker compose ARGUMENTS`` on the project; its standard output.

        Raises EnvironmentNotReady with its last words, or when it takes too long.
        """
        named = [word for file in files for word in ("--file", str(file))]
        command = ["compose", "--project-name", project, "--project-directory", str(paths.HOME), *named]
        words = [*command, "--progress", "plain", *arguments]
        return _output(*words, what=f"compose {_plain(arguments)}", variables=variables, timeout_s=timeout_s)


@dataclass(frozen=True)
class End:
    """How a container ended, in a few words. ``code`` is negative for the signal that ended it."""

    code: int
    how: str

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> End:
        """From the engine's ``State``."""
        code = int(state["ExitCode"])
        code = 128 - code if code > 128 else code
        if state["OOMKilled"]:
            return cls(code, "was killed by the kernel at its memory limit")
        return cls(code, f"was killed by signal {-code}" if code < 0 else f"ended with status {code}")


class Container:
    """One container of the project, by id. Once started a thread waits for its end: asking costs nothing."""

    def __init__(self, engine: Engine, ident: str, service: str) -> None:
        self.engine, self.id, self.service = engine, ident, service
        self._end: End | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Raises EnvironmentNotReady: port taken, no memory, whatever keeps it from starting."""
        answer = self.engine.call("POST", f"/containers/{self.id}/start")
        if answer.is_error:
            raise EnvironmentNotReady(f"{self.service} does not start: {_words(answer)}")
        self.watch()

    def watch(self) -> None:
        threading.Thread(target=self._wait, name=f"wait-{self.service}", daemon=True).start()

    def _wait(self) -> None:
        try:
            self.engine.demand("POST", f"/containers/{self.id}/wait", timeout_s=None)
            self._end = End.of(self.inspect()["State"])
        except EnvironmentNotReady as error:
            self._end = End(255, f"was removed, or its engine went away ({error.what})")
        self._ended.set()

    @property
    def end(self) -> End | None:
        """None while it runs."""
        return self._end if self._ended.is_set() else None

    def kill(self) -> None:
        """End it now, and wait for that; nothing if it has ended."""
        if self.end is None:
            self.engine.call("POST", f"/containers/{self.id}/kill")
            self._ended.wait(10)

    def inspect(self) -> dict[str, Any]:
        found: dict[str, Any] = self.engine.get(f"/containers/{self.id}/json")
        return found

    def address(self) -> str:
        """Its IP address in the project's network."""
        (network,) = self.inspect()["NetworkSettings"]["Networks"].values()
        return str(network["IPAddress"])

    def follow_stats(self) -> Iterator[str]:
        """The engine's statistics of it, a JSON a second, until it ends. Raises httpx.HTTPError."""
        path = f"/containers/{self.id}/stats"
        with self.engine._client.stream("GET", path, params={"stream": "true"}, timeout=None) as answer:
            yield from answer.iter_lines()

    def put(self, source: Path, target: PurePosixPath, owner: int) -> None:
        """Copy a file of this machine into it. Raises EnvironmentNotReady: the disk is full, for one."""
        place = f"/containers/{self.id}/archive"
        self.engine.demand(
            "PUT",
            place,
            params={"path": str(target.parent)},
            content=_tar(source, target.name, owner),
            timeout_s=_COPY_S,
        )
        answer = self.engine.demand("HEAD", place, params={"path": str(target)})
        there = json.loads(base64.b64decode(answer.headers["X-Docker-Container-Path-Stat"]))["size"]
        if there != source.stat().st_size:
            raise EnvironmentNotReady(
                f"{self.service}:{target} has {there} bytes, {source} has {source.stat().st_size}"
            )

    def logs(self, stream: str, tail: int | None = None) -> str:
        """What it wrote to ``stdout`` or ``stderr``; empty when the engine no longer tells."""
        query = {stream: "true", "tail": "all" if tail is None else str(tail)}
        try:
            raw = self.engine.demand("GET", f"/containers/{self.id}/logs", params=query).content
        except EnvironmentNotReady:
            return ""
        return _without_headers(raw).decode(errors="replace")

    def remove(self) -> None:
        """At once, with its anonymous volumes; nothing if it is gone."""
        self.engine.call("DELETE", f"/containers/{self.id}", params={"force": "true", "v": "true"})


def containers(engine: Engine, project: str) -> list[Container]:
    """Every container of the project, running or not, and of no other."""
    labels = json.dumps({"label": [f"{PROJECT}={project}"]})
    found = engine.get("/containers/json", all="true", filters=labels)
    return [Container(engine, one["Id"], one["Labels"].get(SERVICE, "?")) for one in found]


def _tar(source: Path, name: str, owner: int) -> Iterator[bytes]:
    """The file as a tar archive of one member, a piece at a time."""
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.uid, member.gid = source.stat().st_size, 0o600, owner, owner
    yield member.tobuf(tarfile.GNU_FORMAT)
    with source.open("rb") as file:
        while piece := file.read(1 << 20):
            yield piece
    yield bytes(-member.size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def _without_headers(raw: bytes) -> bytes:
    """The engine frames its log: a byte for the stream, three unused, four for the length, then the text."""
    text, at = b"", 0
    while at + 8 <= len(raw):
        length = int.from_bytes(raw[at + 4 : at + 8], "big")
        text += raw[at + 8 : at + 8 + length]
        at += 8 + length
    return text


def _words(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.text[:200]}"


def _plain(arguments: Sequence[str]) -> str:
    """A command as an error names it: without options and formats."""
    return " ".join(word for word in arguments if word[:1] not in ("/", "-", "{", "*"))


def _output(
    *arguments: str,
    what: str = "",
    variables: Mapping[str, str] | None = None,
    timeout_s: float = _FIND_S,
) -> str:
    """``docker ARGUMENTS``. Interrupted, it is killed with us: what it leaves half made, ``down`` removes."""
    what = what or _plain(arguments)
    try:
        running = subprocess.Popen(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(variables) if variables is not None else None,
            start_new_session=True,  # a Ctrl-C in the terminal is the runner's to handle
        )
    except OSError as error:
        raise EnvironmentNotReady(f"docker cannot be run: {error.strerror}") from None
    try:
        stdout, stderr = running.communicate(timeout=timeout_s)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)  # Compose is a child of the docker command
        running.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise EnvironmentNotReady(f"docker {what} did not end in {timeout_s:g} s") from None
        raise
    if running.returncode != 0:
        tail = (stderr.strip() or stdout.strip()).splitlines()[-6:]
        raise EnvironmentNotReady(
            f"docker {what} failed: {tail[-1] if tail else f'status {running.returncode}'}",
            "\n".join(tail),
            _REMEDY,
        )
    return stdout.strip()
