"""One container of a project: start, watch, copy a file in, read logs, remove; all over the socket."""

from __future__ import annotations

import base64
import json
import tarfile
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vcpu_ladder.environments.compose.engine import PROJECT, SERVICE, Engine, words_of
from vcpu_ladder.errors import EnvironmentNotReady

_COPY_S = 600.0


@dataclass(frozen=True)
class End:
    """How a container ended, in a few words. ``code`` is negative if a signal ended it."""

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
    """One container of the project, by id. A thread waits for its end, so that polling costs nothing."""

    def __init__(self, engine: Engine, ident: str, service: str) -> None:
        self.engine, self.id, self.service = engine, ident, service
        self._end: End | None = None
        self._ended = threading.Event()

    def start(self) -> None:
        """Raises EnvironmentNotReady if it does not start: port taken, no memory, or any other cause."""
        answer = self.engine.call("POST", f"/containers/{self.id}/start")
        if answer.is_error:
            raise EnvironmentNotReady(f"{self.service} does not start: {words_of(answer)}")
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
        """End it now, and wait until it has ended; does nothing if it has ended already."""
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
        """The engine's statistics for it, one JSON object a second, until it ends. Raises httpx.HTTPError."""
        path = f"/containers/{self.id}/stats"
        with self.engine.stream(path, stream="true") as answer:
            yield from answer.iter_lines()

    def put(self, source: Path, target: PurePosixPath, owner: int) -> None:
        """Copy a file from this machine into it. Raises EnvironmentNotReady, for example on a full disk."""
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
        """What it wrote to ``stdout`` or ``stderr``; empty when the engine no longer has it."""
        query = {stream: "true", "tail": "all" if tail is None else str(tail)}
        try:
            raw = self.engine.demand("GET", f"/containers/{self.id}/logs", params=query).content
        except EnvironmentNotReady:
            return ""
        return _without_headers(raw).decode(errors="replace")

    def remove(self) -> None:
        """Remove it at once, with its anonymous volumes; does nothing if it is gone."""
        self.engine.call("DELETE", f"/containers/{self.id}", params={"force": "true", "v": "true"})


def containers(engine: Engine, project: str) -> list[Container]:
    """Every container of this project, running or not, and none of another project."""
    labels = json.dumps({"label": [f"{PROJECT}={project}"]})
    found = engine.get("/containers/json", all="true", filters=labels)
    return [Container(engine, one["Id"], one["Labels"].get(SERVICE, "?")) for one in found]


def _tar(source: Path, name: str, owner: int) -> Iterator[bytes]:
    """The file as a tar archive with one member, in chunks."""
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
