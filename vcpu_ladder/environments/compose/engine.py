"""The Docker engine of this machine: found, queried over its socket, and driven through Compose.

Calls that only read, or that touch one container, go over the socket at about a millisecond each, because
the runner makes them while it measures; what needs compose.yaml goes through ``docker compose``.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from vcpu_ladder import paths
from vcpu_ladder.errors import EnvironmentNotReady

# The API version of engine 20.10, whose answers this code reads. A newer engine gives the same answers as
# long as it supports this version; after that, the oldest version that it supports is used.
_WRITTEN_FOR = "1.41"
_CALL_S = 30.0
_FIND_S = 20.0
COMPOSE_S = 120.0
BUILD_S = 1200.0
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
                f"docker is set to {host}: not a socket on this machine, and the load must stay on it",
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
        """Speaks the API version to use with this engine. Raises httpx.HTTPError, EnvironmentNotReady."""
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        transport = httpx.HTTPTransport(uds=self.socket, limits=limits)
        client = httpx.Client(transport=transport, base_url="http://docker", timeout=_CALL_S)
        said = client.get("/version").raise_for_status().json()
        version = spoken(said["ApiVersion"], said.get("MinAPIVersion"))
        client.base_url = httpx.URL(f"http://docker/v{version}")
        return client

    def call(
        self, method: str, path: str, *, timeout_s: float | None = _CALL_S, **request: Any
    ) -> httpx.Response:
        """One call of the engine's API, returned whatever its status.

        Raises EnvironmentNotReady when the engine does not answer.
        """
        try:
            return self._client.request(method, path, timeout=timeout_s, **request)
        except httpx.HTTPError as error:
            raise EnvironmentNotReady(
                f"the Docker engine does not answer: {error}", next_command=_REMEDY
            ) from None

    def demand(self, method: str, path: str, **request: Any) -> httpx.Response:
        """``call``, raising EnvironmentNotReady with the engine's message for any failure."""
        return _accepted(self.call(method, path, **request), f"{method} {path}")

    def find_one(self, path: str) -> httpx.Response | None:
        """What is at the path; None if the engine has no such thing. Raises as ``demand`` does otherwise."""
        answer = self.call("GET", path)
        return None if answer.status_code == 404 else _accepted(answer, f"GET {path}")

    def get(self, path: str, **query: Any) -> Any:
        return self.demand("GET", path, params=query).json()

    def stream(self, path: str, **query: Any) -> AbstractContextManager[httpx.Response]:
        """A streamed answer, open for as long as the engine sends. Raises httpx.HTTPError."""
        return self._client.stream("GET", path, params=query, timeout=None)

    @cached_property
    def info(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("/info")
        return found

    @property
    def on_this_kernel(self) -> bool:
        """Whether containers are processes of this machine, not of a virtual machine on it."""
        return platform.system() == "Linux" and self.info["KernelVersion"] == platform.release()

    def ask(self, image: str, project: str, *command: str) -> str:
        """What a program of an image prints, without network, in a container that is removed afterwards."""
        # Compose labels the images it builds: without its own label this would pass for the service.
        labels = ["--label", f"{PROJECT}={project}", "--label", f"{SERVICE}=version"]
        guard = ["--rm", "--network", "none", *labels, "--entrypoint", command[0]]
        return _output("run", *guard, image, *command[1:])

    def image(self, name: str) -> dict[str, Any] | None:
        answer = self.find_one(f"/images/{name}/json")
        return None if answer is None else dict(answer.json())

    def identity(self, name: str) -> dict[str, str | None]:
        """For the record: ``{"name", "id", "digest"}``, the id on this engine and the digest in a registry.

        ``id`` is None if the image is not on this engine; ``digest`` also if it was never in a registry.
        """
        found = self.image(name) or {}
        return {"name": name, "id": found.get("Id"), "digest": digest_of(name, found.get("RepoDigests"))}

    def pull(self, name: str) -> None:
        """Raises EnvironmentNotReady with the engine's message."""
        _output("pull", "--quiet", name, timeout_s=BUILD_S)

    def compose(
        self,
        project: str,
        files: Sequence[Path],
        arguments: Sequence[str],
        variables: Mapping[str, str],
        timeout_s: float = COMPOSE_S,
    ) -> str:
        """``docker compose ARGUMENTS`` on the project; its standard output.

        Raises EnvironmentNotReady with its last output, or when it takes too long.
        """
        named = [word for file in files for word in ("--file", str(file))]
        command = ["compose", "--project-name", project, "--project-directory", str(paths.HOME), *named]
        words = [*command, "--progress", "plain", *arguments]
        return _output(*words, what=f"compose {_plain(arguments)}", variables=variables, timeout_s=timeout_s)


def spoken(newest: str, oldest: str | None) -> str:
    """The API version to use with an engine that supports ``oldest`` to ``newest``.

    Raises EnvironmentNotReady if the engine is older than the version that this code was written for.
    """

    def order(version: str) -> list[int]:
        return [int(part) for part in version.split(".")]

    if order(newest) < order(_WRITTEN_FOR):
        raise EnvironmentNotReady(
            f"the Docker engine speaks API {newest}, and {_WRITTEN_FOR} is needed",
            next_command="update Docker to 20.10 or newer, or ENVIRONMENT=native",
        )
    return max(oldest or _WRITTEN_FOR, _WRITTEN_FOR, key=order)


def digest_of(name: str, digests: Sequence[str] | None) -> str | None:
    """``sha256:…`` of an image's RepoDigests (``repository@sha256:…``), for the repository of this name."""
    repository = name.partition("@")[0]
    if ":" in repository.rpartition("/")[2]:  # a tag; before the last slash it would be a registry's port
        repository = repository.rpartition(":")[0]
    known = dict(digest.partition("@")[::2] for digest in digests or ())
    return known.get(repository)


def _accepted(answer: httpx.Response, asked: str) -> httpx.Response:
    if answer.is_error:
        raise EnvironmentNotReady(f"the Docker engine refuses {asked}: {words_of(answer)}")
    return answer


def words_of(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.text[:200]}"


def _plain(arguments: Sequence[str]) -> str:
    """A command as errors name it: without options and formats."""
    return " ".join(word for word in arguments if word[:1] not in ("/", "-", "{", "*"))


def _output(
    *arguments: str,
    what: str = "",
    variables: Mapping[str, str] | None = None,
    timeout_s: float = _FIND_S,
) -> str:
    """``docker ARGUMENTS``. An interrupt kills it too; ``down`` then removes what it left half made."""
    what = what or _plain(arguments)
    try:
        running = subprocess.Popen(
            ["docker", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=dict(variables) if variables is not None else None,
            start_new_session=True,  # only the runner should receive a Ctrl-C from the terminal
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
