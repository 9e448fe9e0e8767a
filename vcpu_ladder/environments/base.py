"""What an environment must offer (``describe``, ``prepare``, ``up``, ``down``), and what ``up`` returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.postgres.steps import OnProgress

if TYPE_CHECKING:  # the registry imports this module, and must not import a database driver with it
    from vcpu_ladder.postgres.plan import SeedPlan
    from vcpu_ladder.postgres.seed import SeedReport


@dataclass(frozen=True)
class Activity:
    """The service's connections as the database server counts them, by worker pid and by state.

    ``interruptions`` counts how often the server has ended the observing session, because it crashed or was
    restarted.
    """

    by_pid: dict[int, int]
    active: int
    idle: int
    idle_in_transaction: int
    waiting_for_locks: int
    interruptions: int = 0


@dataclass(frozen=True)
class Usage:
    """Consumption since start, read now: CPU in seconds, memory in bytes.

    ``foreign_cpu_s`` is what other processes used of the service's own CPU, and ``stolen_cpu_s`` what
    the hypervisor took of it; ``others_busy_s`` is the busy time of all other CPUs, the
    hypervisor's share included; ``database_cpu_s`` is the database server's, if the server is ours. None
    where the platform does not report a value, or it does not apply.
    """

    service_cpu_s: float
    service_rss_bytes: int
    service_threads: int
    service_pids: tuple[int, ...]
    upstream_cpu_s: float
    generator_cpu_s: float
    generator_rss_bytes: int
    throttled_s: float | None
    foreign_cpu_s: float | None
    stolen_cpu_s: float | None
    others_busy_s: float | None
    database_cpu_s: float | None = None


class Load(Protocol):
    """A running load generator."""

    stats_url: str

    def exit_code(self) -> int | None:
        """None while it runs; negative if a signal ended it."""
        ...

    def tail(self) -> str:
        """The last lines of its standard error."""
        ...

    def stop(self) -> None: ...


class Stack(Protocol):
    """A started service and upstream."""

    service_url: str
    upstream_url: str
    service_cpus: int
    generator_cpus: int

    @property
    def facts(self) -> Mapping[str, Any]:
        """For the record, in addition to the environment's own facts; read once, when the stack is up.

        In JSON's types. At least ``data``, ``service_cpus`` and ``other_cpus``: what this stage was given.
        """
        ...

    def start_load(self, stage: ResolvedStage, variables: Mapping[str, str], summary: Path) -> Load: ...

    def usage(self) -> Usage: ...

    def activity(self) -> Activity | None:
        """The service's connections as the database server counts them; None without a server.

        Raises EnvironmentNotReady while the server does not answer.
        """
        ...

    def died(self) -> str | None:
        """One line naming a process of the stack that ended by itself, with its last output; else None."""
        ...


class Environment(Protocol):
    """One place to run stages. ``kind`` goes into the record."""

    kind: str

    def describe(self) -> dict[str, Any]:
        """Facts for the record that hold before anything starts: pinning, CPUs, versions, limits."""
        ...

    def check_ready(self) -> None:
        """Nothing of ours is running and everything needed is there; else raises EnvironmentNotReady."""
        ...

    def prepare(self, stages: Sequence[ResolvedStage], on_progress: OnProgress) -> None:
        """Make what the stages' data is restored from, unless it exists. Raises EnvironmentNotReady."""
        ...

    def up(self, stage: ResolvedStage, run_id: str, folder: Path, tell: Callable[[str], None]) -> Stack:
        """Restore the data, start upstream and service fresh, wait until both answer.

        ``tell`` is called with what is being waited for.
        """
        ...

    def down(self) -> None:
        """End everything that ``up`` and ``start_load`` started. Safe to call twice."""
        ...


@runtime_checkable
class SeedsPostgres(Protocol):
    """An environment with its own PostgreSQL, which can be seeded without a ladder."""

    def seed(self, plan: SeedPlan, on_progress: OnProgress, anew: bool) -> SeedReport:
        """Make the plan's template if it is missing, or again with ``anew``. Leaves no new process running.

        Raises EnvironmentNotReady.
        """
        ...
