"""The comparison key: what must agree for two records to be compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from vcpu_ladder.records.fingerprint import added, fingerprint
from vcpu_ladder.records.record import RunRecord

# A part of the source whose name begins with this counts in environments of that kind only.
OF_ENVIRONMENT = "environment "
# The one pulled image that takes part in every run. Built images are covered by the source that they are
# built from; the database's image belongs to a knob (``stands_for``).
_FETCHED_ALWAYS = ("k6",)


@dataclass(frozen=True)
class ComparisonKey:
    """What must agree for two records to be compared. ``host`` is the hardware; ``platform`` the software
    and the CPUs it was given; ``load`` the load and the data; ``workload`` the source of service, load and
    run. ``parts`` are the workload's (name, hash) pairs, to say what differs; () in records that lack them.
    """

    ladder: str
    environment: str
    host: str
    platform: str
    load: str
    workload: str
    parts: tuple[tuple[str, str], ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, record: RunRecord) -> ComparisonKey:
        kind = str(record.environment.get("kind"))
        return cls(
            ladder=record.ladder,
            environment=kind,
            host=str(record.machine.get("host")),
            platform=fingerprint(_platform(record)),
            load=record.load_fingerprint,
            workload=workload_of(record.source, kind),
            parts=tuple(sorted(acting(record.source.get("parts", {}), kind).items())),
        )

    def differences(self, other: ComparisonKey) -> str:
        """``host a and b, workload (load, service) c and d``: where the two keys differ."""
        pairs = zip(asdict(self).items(), asdict(other).values(), strict=True)
        differing = {
            name: f"{name}{self._which(other) if name == 'workload' else ''} {ours} and {theirs}"
            for (name, ours), theirs in pairs
            if ours != theirs
        }
        differing.pop("parts", None)
        return ", ".join(differing.values())

    def _which(self, other: ComparisonKey) -> str:
        if not self.parts or not other.parts:
            return ""
        differing = sorted({name for name, _ in set(self.parts) ^ set(other.parts)})
        return f" ({', '.join(differing)})"


def workload_of(source: Mapping[str, Any], kind: str) -> str:
    """The hash of the workload of a record's source in that kind of environment."""
    parts = source.get("parts")
    return added(acting(parts, kind).values()) if parts else str(source.get("workload"))


def acting(parts: Mapping[str, str], kind: str) -> dict[str, str]:
    """The parts that affect a figure in that kind of environment."""
    own = f"{OF_ENVIRONMENT}{kind}"
    return {name: part for name, part in parts.items() if not name.startswith(OF_ENVIRONMENT) or name == own}


def stands_for(record: RunRecord) -> str:
    """The stage's fingerprint, with the database's image if there is one: what ``database`` stands for."""
    image = _image(record, "postgres") if record.knobs.get("database") == "postgres" else None
    return record.fingerprint if image is None else fingerprint([record.fingerprint, image])


def _platform(record: RunRecord) -> list[Any]:
    environment, machine = record.environment, record.machine
    versions, images = environment.get("versions"), environment.get("images")
    # In containers the service shares only the kernel with this machine.
    contained = bool(versions or images)
    software = [versions] if contained else [machine.get("python"), machine.get("k6")]
    platform = [
        *software,
        machine.get("kernel"),
        environment.get("pinned"),
        len(environment.get("other_cpus", ())),
        [_image(record, name) for name in _FETCHED_ALWAYS] if contained else record.source.get("packages"),
        # Prometheus scrapes the service every second, on the service's CPU: watched runs are slower.
        *(["live view"] if environment.get("live_view") else []),
    ]
    # A user's own server is part of the platform; ours is the same for everybody, fixed by its locked wheel.
    if "database_server" in environment:
        platform.append(environment["database_server"])
    return platform


def _image(record: RunRecord, name: str) -> str | None:
    """Its digest if it was pulled, else its id, else its name."""
    image = record.environment.get("images", {}).get(name) or {}
    return image.get("digest") or image.get("id") or image.get("name")
