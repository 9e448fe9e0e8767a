"""The comparison key: what must agree for two records to be compared."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from vcpu_ladder.records.fingerprint import fingerprint
from vcpu_ladder.records.record import RunRecord


@dataclass(frozen=True)
class ComparisonKey:
    """What must agree for two records to be compared. ``host`` is the hardware; ``platform`` the software
    and the CPUs it was given; ``load`` the load and the data; ``workload`` the source of service and load.
    """

    ladder: str
    environment: str
    host: str
    platform: str
    load: str
    workload: str

    @classmethod
    def of(cls, record: RunRecord) -> ComparisonKey:
        environment, machine = record.environment, record.machine
        platform = [
            *(machine.get(name) for name in ("python", "k6", "kernel")),
            environment.get("pinned"),
            len(environment.get("other_cpus", ())),
            record.source.get("packages"),
            # Prometheus asks the service each second on its own CPU: watched runs are slower.
            *(["live view"] if environment.get("live_view") else []),
            # In containers: the images' Python and k6 are not this machine's.
            *([environment["versions"]] if environment.get("versions") else []),
        ]
        # A server of the user's is part of the platform; ours is the same for all, by its locked wheel.
        if "database_server" in environment:
            platform.append(environment["database_server"])
        return cls(
            ladder=record.ladder,
            environment=str(environment.get("kind")),
            host=str(machine.get("host")),
            platform=fingerprint(platform),
            load=record.load_fingerprint,
            workload=str(record.source.get("workload")),
        )

    def differences(self, other: ComparisonKey) -> str:
        """``host a and b, load c and d``: what keeps the two apart."""
        pairs = zip(asdict(self).items(), asdict(other).values(), strict=True)
        return ", ".join(f"{name} {ours} and {theirs}" for (name, ours), theirs in pairs if ours != theirs)
