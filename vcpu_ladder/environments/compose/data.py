"""The shop's data in Compose: a SQLite file in the service's volume, or PostgreSQL in its container."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from vcpu_ladder.data import sqlite
from vcpu_ladder.environments.compose.container import Container
from vcpu_ladder.environments.compose.project import Project
from vcpu_ladder.environments.live_data import DATA_SEED, LiveData, live_postgres
from vcpu_ladder.ladder.resolve import ResolvedStage
from vcpu_ladder.postgres.connect import session
from vcpu_ladder.postgres.plan import SeedPlan
from vcpu_ladder.postgres.seed import SeedReport, seed, template_ready
from vcpu_ladder.postgres.server import MEASURE, SEED
from vcpu_ladder.postgres.steps import OnProgress
from vcpu_ladder.records.events import Preparing

SQLITE = PurePosixPath("/data/shop.sqlite")
# The user and group id in the service's image.
_OWNER = 10001
UP_S = 300.0
VOLUME = "postgres-data"


@dataclass(frozen=True)
class ComposeServer:
    """PostgreSQL in the project's container, as the runner reaches it."""

    project: Project
    kind: str = "compose"

    def url(self, database: str = "postgres") -> str:
        return self.project.postgres_url(database)

    def log_tail(self) -> str:
        found = self.project.containers("postgres")
        return found[0].logs("stderr", 8).strip() if found else ""

    def free_bytes(self) -> int | None:
        return None  # the volume belongs to the engine


def start_postgres(project: Project, settings: Path = MEASURE) -> Container:
    """Start the server with these settings; returns when it answers. Raises EnvironmentNotReady."""
    there = project.has_volume(VOLUME)
    try:
        project.start("postgres", timeout_s=UP_S, given={"POSTGRES_SETTINGS": settings.name})
    except BaseException:
        if not there:  # a half-made cluster would be mistaken for a complete one
            project.remove("postgres")
            project.drop_volume(VOLUME)
        raise
    (container,) = project.containers("postgres")
    return container


def stop_postgres(project: Project) -> None:
    """Shut down cleanly, so that the next start has no log to replay."""
    project.compose("rm", "--stop", "--force", "postgres")


def seed_postgres(
    project: Project, plan: SeedPlan, on_progress: OnProgress, anew: bool = False
) -> SeedReport:
    """Make the plan's template in the project's volume if it is missing, under the settings for seeding."""
    server = ComposeServer(project)
    start_postgres(project)
    with session(server.url()) as control:
        there = template_ready(control, plan)
    if there and not anew:
        return seed(server, plan, on_progress)
    start_postgres(project, SEED)
    try:
        report = seed(server, plan, on_progress, anew)
    finally:
        on_progress(Preparing(step="restart with the settings for measuring"))
        start_postgres(project)
    return report


def prepare(stages: Iterable[ResolvedStage], project: Project, folder: Path, on_progress: OnProgress) -> None:
    """Make what the stages' data is restored from, if it is missing. Raises EnvironmentNotReady."""
    wanted = {(str(stage.knobs["database"]), stage.scale.factor): stage.scale for stage in stages}
    for (database, factor), scale in sorted(wanted.items(), key=lambda item: item[0]):
        if database == "sqlite":
            on_progress(Preparing(step=f"SQLite file at scale {factor:g}, if it is missing"))
            sqlite.template(folder / "sqlite", scale, DATA_SEED)
        else:
            seed_postgres(project, SeedPlan(factor, DATA_SEED), on_progress)


def copy_sqlite(stage: ResolvedStage, folder: Path, api: Container) -> None:
    """Copy the stage's file into a service that is created but not started; its volume is otherwise empty."""
    source = sqlite.template(folder / "sqlite", stage.scale, DATA_SEED)
    sqlite.check_rows(source, stage.scale)
    api.put(source, SQLITE, _OWNER)


@contextmanager
def live_data(stage: ResolvedStage, project: Project, tell: Callable[[str], None]) -> Iterator[LiveData]:
    """Restore the stage's data as seeded, and say where the service finds it. Raises EnvironmentNotReady."""
    if stage.knobs["database"] == "sqlite":
        yield LiveData({"API_SQLITE_PATH": str(SQLITE)}, {"database": "sqlite"})
        return
    server = ComposeServer(project)

    def from_the_service(database: str) -> str:
        (container,) = project.containers("postgres")
        return project.postgres_url(database, f"{container.address()}:5432")

    with live_postgres(server, stage, from_the_service, tell) as live:
        yield live
